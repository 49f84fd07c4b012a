"""Files that are whole or not there, and checkpoints that hold every bit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cenote.training import Checkpoint, CheckpointError
from cenote.training import checkpoint as module
from cenote.training.files import remove_leftovers, replace_file, replace_text
from cenote.training.recipe import optimizer


class Killed(BaseException):
    """Stands for the end of the process."""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced(tmp_path):
    path = tmp_path / "deep" / "file"
    replace_text(path, "old")
    replace_text(path, "new")
    assert path.read_text() == "new"
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
def test_a_failure_at_any_moment_leaves_the_old_file_and_nothing_else(
    tmp_path, monkeypatch, moment
):
    path = tmp_path / "file"
    replace_text(path, "old")

    def fail(*_):
        raise Killed

    def write(temporary):
        temporary.write_text("half")
        if moment == "write":
            fail()

    if moment == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    if moment == "replace":
        monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(Killed):
        replace_file(path, write)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_content_is_on_the_disk_before_the_name_points_to_it(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda h: (events.append("sync"), fsync(h)))
    monkeypatch.setattr(Path, "replace", lambda *a: (events.append("replace"), replace(*a))[1])
    replace_text(tmp_path / "file", "text")
    assert events == ["sync", "replace", "sync"]


def test_leftovers_of_killed_writers_are_removed_and_nothing_else(tmp_path):
    kept = [".another.tmp", ".keep", "keep.cenote-tmp", "keep.tmp"]
    for name in (".config.json.abc.cenote-tmp", *kept):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == kept


def test_every_bit_and_every_word_comes_back(tmp_path):
    path = tmp_path / "c.safetensors"
    tensors = {
        "model/w": torch.randn(3, 4).t(),  # not contiguous
        "model/nan": torch.tensor([float("nan"), -0.0]),
        "rng/torch": torch.get_rng_state(),
        "tally/loss": torch.tensor(1 / 3, dtype=torch.float64),
    }
    Checkpoint(tensors, {"epoch": 3, "words": ["a"]}).save(path)
    loaded = Checkpoint.load(path)
    assert loaded.state["epoch"] == 3
    assert loaded.state["words"] == ["a"]
    for name, tensor in tensors.items():
        assert _bytes(loaded.tensors[name]) == _bytes(tensor), name


def _bytes(tensor):
    return tuple(tensor.shape), tensor.contiguous().numpy().tobytes()


def test_tied_weights_can_be_saved(tmp_path):
    weight = torch.ones(2)
    Checkpoint({"a": weight, "b": weight}, {}).save(tmp_path / "c")
    assert set(Checkpoint.load(tmp_path / "c").tensors) == {"a", "b"}


def test_a_part_is_taken_by_its_prefix():
    checkpoint = Checkpoint({"model/a/b": torch.zeros(1), "modelled": torch.zeros(1)}, {})
    assert list(checkpoint.part("model")) == ["a/b"]


BROKEN = {
    "no checkpoint there": lambda path: None,
    "damaged, not a whole safetensors file": lambda path: path.write_bytes(b"\x10\0\0\0\0\0\0\0{}"),
    "not a checkpoint of cenote": lambda path: save_file({"w": torch.zeros(1)}, path),
    "format 99, this version of cenote reads 1": lambda path: save_file(
        {"w": torch.zeros(1)}, path, {"cenote": '{"format": 99}'}
    ),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, message):
    path = tmp_path / "c.safetensors"
    BROKEN[message](path)
    with pytest.raises(CheckpointError, match=f"c.safetensors: .*{message}"):
        Checkpoint.load(path)


def test_a_cut_off_checkpoint_is_damaged(tmp_path):
    path = tmp_path / "c.safetensors"
    Checkpoint({"model/w": torch.zeros(100)}, {}).save(path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match="damaged"):
        Checkpoint.load(path)


def test_a_pickle_is_not_opened(tmp_path):
    path = tmp_path / "c.safetensors"
    torch.save({"model/w": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="damaged"):
        Checkpoint.load(path)


ANOTHER_NETWORK = {
    "bias is missing": {"weight": torch.zeros(2, 3)},
    r"weight is \(2, 4\), expected \(2, 3\)": {"weight": torch.zeros(2, 4), "bias": torch.zeros(2)},
    "more is not in this one": {
        "weight": torch.zeros(2, 3), "bias": torch.zeros(2), "more": torch.zeros(1),
    },
}  # fmt: skip


@pytest.mark.parametrize("message", ANOTHER_NETWORK)
def test_weights_of_another_network_are_refused_before_anything_is_loaded(message):
    layer = torch.nn.Linear(3, 2)
    before = layer.weight.detach().clone()
    tensors = {f"model/{name}": tensor for name, tensor in ANOTHER_NETWORK[message].items()}
    with pytest.raises(CheckpointError, match=f"c: another network's weights: {message}"):
        module.load_model(layer, Checkpoint(tensors, {}), Path("c"))
    assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_an_optimizer_goes_on_as_if_it_had_never_stopped(name, tmp_path):
    def make():
        torch.manual_seed(0)
        layer = torch.nn.Linear(4, 3)
        return layer, optimizer(name, layer.parameters(), rate=0.1, momentum=0.9, decay=0.01)

    def steps(layer, optimiser, seeds):
        for seed in seeds:
            x = torch.randn(5, 4, generator=torch.Generator().manual_seed(seed))
            optimiser.zero_grad()
            layer(x).square().sum().backward()
            optimiser.step()

    whole, optimiser = make()
    steps(whole, optimiser, range(6))

    first, optimiser = make()
    steps(first, optimiser, range(3))
    order = [parameter for parameter, _ in first.named_parameters()]
    state = {f"model/{k}": v for k, v in first.state_dict().items()}
    Checkpoint({**state, **module.optimizer_tensors(optimiser, order)}, {}).save(tmp_path / "c")

    second, optimiser = make()
    loaded = Checkpoint.load(tmp_path / "c")
    module.load_model(second, loaded, tmp_path / "c")
    module.load_optimizer(optimiser, order, loaded)
    steps(second, optimiser, range(3, 6))
    assert torch.equal(whole.weight, second.weight)
    assert torch.equal(whole.bias, second.bias)
