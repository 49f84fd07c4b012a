"""The benchmark of networks: definitions, what is compared, records, tables, a model of one's own.

What ``cenote.accelerate`` does has tests of its own: something plain stands in its place here.
"""

import copy
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
import typer
from torch import nn

import cenote
import commands
import network_records
from cenote import cli
from cenote.benchmarking.doctor import doctor
from cenote.benchmarking.networks import definitions, grid, memory, own, peers, plan
from cenote.benchmarking.networks.grid import INFERENCE, TRAINING, Row
from cenote.benchmarking.networks.pages import TABLES
from cenote.benchmarking.networks.plan import Plan
from cenote.benchmarking.networks.targets import out_of_the_box, targets
from cenote.benchmarking.networks.work import Work, floats, off, settle, too_far
from cenote.benchmarking.pages import update
from cenote.benchmarking.peers import Contender
from cenote.benchmarking.record import read, write
from cenote.benchmarking.turns import take_turns

PROMISED = {
    "alexnet": 61_100_840, "vgg16": 138_357_544, "squeezenet1_1": 1_235_496,
    "googlenet": 13_004_888, "inception_v3": 27_161_264, "densenet121": 7_978_856,
    "resnet18": 11_689_512, "resnet50": 25_557_032, "shufflenet_v2_x1_0": 2_278_604,
    "mobilenet_v2": 3_504_872,
}  # fmt: skip
MODEL = """
from torch import nn

def make_model():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
                         nn.Linear(4 * 36, 5))
"""


class Slower(nn.Module):
    """A model as it is, with a report; ``times`` what it gives."""

    def __init__(self, model, times=1.0):
        super().__init__()
        self.model, self.times = model, times
        self.report = "nothing was changed"

    def forward(self, *inputs):
        return self.model(*inputs) * self.times


@pytest.fixture
def stand_in(monkeypatch):
    """What cenote.accelerate was called with, the latest last."""
    given = []

    def accelerate(model, x=None, *, without=(), layout="auto", budget=2.0):
        given.append({"x": x, "without": tuple(without), "layout": layout})
        return Slower(model)

    monkeypatch.setattr(cenote, "accelerate", accelerate, raising=False)
    monkeypatch.setattr(own, "_rules", lambda: ("operators", "stages"))
    return given


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MODEL)
    return f"{path}:make_model"


def call(capsys, *arguments):
    return commands.call(capsys, "bench", *arguments)


def refused(capsys, *arguments):
    return commands.refused(capsys, "bench", *arguments)


def test_every_network_that_is_promised_is_there():
    assert [network.name for network in grid.NETWORKS] == list(PROMISED)
    assert len(definitions.names()) == 80
    with torch.device("meta"):
        found = {n: sum(p.numel() for p in definitions.network(n).parameters()) for n in PROMISED}
    assert found == PROMISED


def test_definitions_take_the_options_of_torchvision():
    with torch.device("meta"):
        with_them = definitions.network("googlenet", aux_logits=True)
        without = definitions.network("googlenet", aux_logits=False)
    assert hasattr(with_them.aux1, "conv")
    assert without.aux1 is None
    with pytest.raises(ValueError, match="network = 'lenet9': not known; there are alexnet, "):
        definitions.network("lenet9")


def alone(code):
    """What a fresh process prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_operators_are_named_only_where_torchvision_lacks_them():
    lacks, named = alone(
        """
        import torch
        try:
            import torchvision
            print(0)
        except RuntimeError:
            print(1)
        from cenote.benchmarking.networks import definitions
        definitions.names()
        definitions.names()
        print(len(definitions.UNTOLD))
        """
    ).split()
    assert named == lacks


def test_without_torchvision_it_is_said_how_to_get_it():
    said = alone(
        """
        import sys
        sys.modules["torchvision"] = None
        class Nowhere:
            def find_spec(self, name, path=None, target=None):
                if name.startswith("torchvision"):
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.meta_path.insert(0, Nowhere())
        del sys.modules["torchvision"]
        from cenote.benchmarking.networks import definitions
        try:
            definitions.names()
        except ValueError as error:
            print(error)
        """
    )
    assert "pip install 'cenote[bench]'" in said


def test_cenote_does_not_import_torchvision():
    code = "import sys, cenote, cenote.cli, cenote.benchmarking.command; print([m for m in"
    assert alone(f"{code} sys.modules if m.startswith('torchvision')])") == "[]"


def test_words_choose_rows():
    assert len(grid.rows()) == 20
    assert grid.rows(["vgg16,alexnet"], [TRAINING]) == [
        Row("vgg16", TRAINING), Row("alexnet", TRAINING)
    ]  # fmt: skip
    assert grid.of("inception_v3").shape == (8, 3, 299, 299)
    assert grid.of("vgg19").shape == (8, 3, 224, 224)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--network", "lenet9"), "network = 'lenet9': not known; there are alexnet, vgg16, "),
        (("--mode", "sleep"), "mode = 'sleep': must be one of inference, training"),
        (("--turns", "0"), "turns = 0: must be at least 1"),
        (("--peer", "jax"), "peer = 'jax': must be one of torch, torch.channels_last, "),
    ],
)
def test_words_that_do_not_exist(capsys, arguments, message):
    assert message in refused(capsys, "networks", *arguments)


def test_settled_networks_draw_nothing_and_know_their_batch():
    torch.manual_seed(0)
    x = torch.randn(16, 3, 8, 8) * 5 + 2
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Dropout2d(0.5))
    settle(net, (x,), False)
    y = net(x).detach()
    assert float(y.mean().abs()) < 1e-3
    assert abs(float(y.std()) - 1) < 1e-2
    assert net[0].momentum == 0.1
    settle(net, (x,), True)
    assert net.training
    assert torch.equal(net(x), net(x))


def test_floats_are_found_in_every_kind_of_output():
    one, two, whole = torch.ones(1), torch.ones(2), torch.ones(3, dtype=torch.int64)
    assert list(floats({"a": one, "b": [two, whole], "c": None})) == [one, two]
    assert list(floats((one, (two,)))) == [one, two]


@pytest.mark.parametrize(
    ("given", "training", "wrong"),
    [
        ((torch.tensor([1.0, 2.0]),), False, None),
        ((torch.tensor([1.0, 2.001]),), False, None),
        ((torch.tensor([1.0, 2.1]),), False, "outputs are off by 5.0e-02 of the largest"),
        ((torch.tensor([1.0, float("nan")]),), False, "outputs are off by nan"),
        ((torch.tensor([1.0]),), False, r"shape \(1,\) where \(2,\) is right"),
        ((), False, "0 results where 1 are right"),
    ],
)
def test_outputs_are_compared(given, training, wrong):
    found = too_far(off((torch.tensor([1.0, 2.0]),), given, training))
    assert (found is None) == (wrong is None)
    if wrong is not None:
        with pytest.raises(AssertionError, match=wrong):
            raise AssertionError(found)


def test_every_gradient_is_compared_by_itself():
    loss, large, small = torch.tensor(1.0), torch.full((4,), 10.0), torch.full((4,), 0.1)
    right = (loss, large, small)
    assert too_far(off(right, right, True)) is None
    assert too_far(off(right, (loss, large * 1.01, small), True)) is None
    assert "gradients are off" in too_far(off(right, (loss, large, small * 2), True))
    assert "gradients are off" in too_far(off(right, (loss, large * 1.3, small), True))


def test_a_step_leaves_gradients_of_itself_alone():
    torch.manual_seed(0)
    net, x = nn.Linear(3, 2), torch.randn(5, 3)
    contender = peers.called(net, (x,), lambda y: y.square().mean())
    loss, weight, bias = contender.results()
    taken = take_turns({"a": contender}, 0.0, 3)
    assert len(taken["a"].seconds) == 3
    assert torch.equal(net.weight.grad, weight)  # not three times as much
    expected = net(x).square().mean()
    assert torch.equal(loss, expected.detach())
    assert bias.shape == (2,)


def test_what_stands_before_a_call_is_not_timed():
    now, said = [0.0], []

    def later(seconds, word):
        now[0] += seconds
        said.append(word)

    contender = Contender(lambda: later(1, "call"), lambda: (), before=lambda: later(100, "before"))
    taken = take_turns({"a": contender}, 0.0, 4, clock=lambda: now[0])
    assert taken["a"].seconds == [1.0] * 4
    assert said == ["before", "call"] * 5


@pytest.mark.parametrize("mode", grid.MODES)
def test_a_row_is_measured(stand_in, monkeypatch, mode):
    small = nn.Sequential(nn.Conv2d(3, 4, 3, stride=7), nn.BatchNorm2d(4), nn.Flatten(),
                          nn.Linear(16, 1000))  # fmt: skip
    monkeypatch.setattr(definitions, "network", lambda name: copy.deepcopy(small))
    monkeypatch.setattr(grid.Network, "shape", (2, 3, 14, 14))
    monkeypatch.setattr(memory, "measure", lambda row, name, setting: 7 if name != "torch" else "-")
    there, _ = peers.load(["torch.channels_last"])
    row = plan.measure(Plan(turns=2), Row("alexnet", mode, 1), there, 1e-6)
    assert list(row["contenders"]) == ["torch", "cenote", "torch.channels_last"]
    assert row["left_out"].keys() == ({"memory of torch"} if mode == TRAINING else set())
    assert set(row["memory"]) == ({"cenote", "torch.channels_last"} if mode == TRAINING else set())
    assert all(figures["n"] >= 2 for figures in row["contenders"].values())
    assert row["times_faster"].keys() == {"torch", "torch.channels_last"}
    assert len(stand_in) == 1


def test_other_results_are_not_timed(stand_in, monkeypatch):
    monkeypatch.setattr(cenote, "accelerate", lambda net, x, **_: Slower(net, 1.01), raising=False)
    monkeypatch.setattr(definitions, "network", lambda name: nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 10)))  # fmt: skip
    monkeypatch.setattr(grid.Network, "shape", (2, 3, 8, 8))
    there, _ = peers.load(["torch"])
    row = plan.measure(Plan(turns=1), Row("alexnet", INFERENCE, 1), there, 1e-6)
    assert list(row["contenders"]) == ["torch"]
    assert "outputs are off by 1.0e-02" in row["left_out"]["cenote"]


def test_the_loss_counts_auxiliary_outputs_for_a_part(monkeypatch):
    monkeypatch.setattr(definitions, "network", lambda name: nn.Identity())
    monkeypatch.setattr(grid.Network, "shape", (2, 1000))
    work = Work(Row("googlenet", TRAINING))
    alone_, both = work.loss(work.x), work.loss((work.x, work.x))
    assert float(both / alone_) == pytest.approx(1.3)


@pytest.mark.skipif(memory.why_not() is not None, reason="needs the kernel's mark of high water")
def test_memory_is_what_a_call_needs_at_its_peak():
    def peaks(megabytes):
        return memory.peak(Contender(lambda: torch.zeros(megabytes << 18).sum(), lambda: ()))

    assert 60e6 < peaks(64) < 80e6
    assert 125e6 < peaks(128) < 150e6


def test_a_record_is_gone_on_with(tmp_path, monkeypatch):
    path, measured = tmp_path / "record.json", []

    def measure(plan, row, there, seconds):
        measured.append(row.network)
        medians = {"torch": 1.0, "cenote": 0.5}
        return network_records.row_record(row, medians)

    monkeypatch.setattr(plan, "measure", measure)
    once = {"mode": [INFERENCE], "peer": ["torch"], "out": path}
    plan.run(Plan(network=["vgg16"], **once))
    plan.run(Plan(network=["alexnet,vgg16"], **once))
    assert measured == ["vgg16", "alexnet"]
    found = read(path)
    assert [row["case"] for row in found["rows"]] == measured
    assert found["complete"]
    assert found["command"] == "cenote bench networks --allocator default"
    plan.run(Plan(network=["vgg16"], again=True, **once))
    assert measured == ["vgg16", "alexnet", "vgg16"]
    assert [row["case"] for row in read(path)["rows"]] == ["alexnet", "vgg16"]


def test_a_record_of_another_machine_or_setting_is_not_gone_on_with(tmp_path):
    path = tmp_path / "record.json"
    there = network_records.every()
    write(there, path)
    with pytest.raises(ValueError, match="measured with processor Paper, here it is"):
        plan.run(Plan(network=["vgg16"], out=path))
    write({**there, "machine": doctor(), "allocator": {"setting": "raised", "detail": {}}}, path)
    with pytest.raises(ValueError, match="measured with allocator raised, here it is default"):
        plan.run(Plan(network=["vgg16"], out=path))
    assert json.loads(path.read_text())["rows"] == there["rows"]


def test_targets_of_a_record():
    found = [
        (t.wanted, round(t.reached, 3), t.rows, t.met) for t in targets(network_records.every())
    ]
    assert found == [
        (0.98, 2.0, 20, True), (2.0, 4.0, 10, True), (1.15, 2.0, 10, True), (1.4, 4.0, 10, True),
        (1.1, 2.0, 10, True), (0.8, 0.7, 10, True), (2.0, 0.5, 20, True),
    ]  # fmt: skip
    slow = targets(network_records.every(ours=0.3))
    assert [t.met for t in slow] == [False, False, False, False, False, True, True]
    both = out_of_the_box(network_records.every(), network_records.every("raised", ours=0.16))
    assert [(t.wanted, round(t.reached, 3), t.met) for t in both] == [
        (2.5, 2.5, True), (1.3, 1.25, False)
    ]  # fmt: skip


def test_networks_that_are_not_promised_do_not_count():
    record = network_records.every()
    record["rows"].append(network_records.row_record(Row("vgg19"), {"torch": 1.0, "cenote": 100.0}))
    assert all(target.met for target in targets(record))


def test_tables_of_a_record():
    record = network_records.every()
    short = TABLES["net-short"]([record]).splitlines()
    assert len(short) == 2 + len(PROMISED) + 1
    assert short[2] == (
        "| AlexNet | 400 | 200 | 100 | 4.00x | 2.00x | 800 | 400 | 200 | 4.00x | 2.00x |"
    )
    assert short[-1].count("**4.00x**") == 2
    every = TABLES["net-every"]([record]).splitlines()
    assert len(every) == 2 + 2 * len(PROMISED) + 2
    assert len({line.count("|") for line in every}) == 1
    made = TABLES["net-targets"]([record, network_records.every("raised", ours=0.3)])
    assert "| at least 2 | 4.00, reached | **1.33, not reached** | 10 |" in made
    assert "it is hard" in TABLES["net-behind"]([record])


def test_pages_hold_the_tables():
    text = "<!-- bench: net-targets default+raised -->\n<!-- end of bench -->\n"
    both = [network_records.every(), network_records.every("raised")]
    assert update(text, both[:1]) == text
    made = update(text, both)
    assert "reached" in made
    assert update(made, both) == made


def test_a_record_is_printed(capsys, tmp_path):
    path = tmp_path / "record.json"
    write(network_records.every(), path)
    code, out, _ = call(capsys, "table", path)
    assert code == 0
    assert "inference        10 networks, NCHW 4.00x (10)" in out
    assert "0.70, at most 0.8, 10 rows: reached" in out


def test_list_shows_rows_and_measures_nothing(capsys, monkeypatch):
    monkeypatch.setattr(plan, "run", None)
    code, out, _ = call(capsys, "networks", "--list", "--mode", "training")
    assert code == 0
    assert len(out.splitlines()) == 10
    assert "inception_v3 training 2 threads: 8x3x299x299" in out


def test_the_options_are_those_of_the_plan():
    command = typer.main.get_command(cli.app).commands["bench"].commands["networks"]
    options = {option for parameter in command.params for option in parameter.opts}
    assert options == {
        "--network", "--mode", "--peer", "--seconds", "--quick", "--turns", "--again",
        "--allocator", "--out", "--list",
    }  # fmt: skip


@pytest.mark.parametrize("words", [(), ("--training",)])
def test_a_model_is_measured_before_and_after(capsys, stand_in, model, words):
    code, out, err = call(
        capsys, model, "--input", "2,3,8,8", "--turns", 2, "--without", "stages", *words
    )
    assert (code, err) == (0, "")
    for name in ("torch, as given", "torch, channels_last", "cenote"):
        assert name in out
    mode = "training" if words else "inference"
    assert out.splitlines()[0].endswith(f"mine.py:make_model, {mode}, input 2x3x8x8")
    assert "2 turns of each" in out
    assert out.rstrip().endswith("nothing was changed")
    assert [(g["x"].shape, g["without"], g["layout"]) for g in stand_in] == [
        ((2, 3, 8, 8), ("stages",), "auto")
    ]


REFUSED = {
    "input = '2,3,b': must be sizes such as 1,3,224,224": ("{model}", "--input", "2,3,b"),
    "input = 2,3,9,9: the model does not take it (RuntimeError: ": (
        "{model}", "--input", "2,3,9,9"
    ),
    "input: say the sizes of what": ("{model}",),
    "nowhere.py: no such file": ("nowhere.py:make", "--input", "2,3,8,8"),
    "has no other; it has": ("{model}", "--input", "2,3,8,8", "--other"),
    "without = 'magic': must be one of operators, stages": (
        "{model}", "--input", "2,3,8,8", "--without", "stages,magic"
    ),
    "turns = 0: must be at least 1": ("{model}", "--input", "2,3,8,8", "--turns", "0"),
    "No such command 'swim'": ("swim",),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_an_error_names_the_argument(capsys, stand_in, model, message):
    words = [word.format(model=model) for word in REFUSED[message]]
    if words[-1] == "--other":
        words = [words[0].replace("make_model", "other"), *words[1:-1]]
    assert message in refused(capsys, *words)


def test_a_model_that_gives_other_results_is_not_praised(capsys, stand_in, model, monkeypatch):
    monkeypatch.setattr(cenote, "accelerate", lambda net, x, **_: Slower(net, 2.0), raising=False)
    message = refused(capsys, model, "--input", "2,3,8,8", "--turns", 1)
    assert "other results than the model's: outputs are off by 1.0e+00" in message


ROOT = Path(__file__).parent.parent
RECORDS = [read(path) for path in sorted(ROOT.glob("benchmarks/results/networks-*.json"))]


@pytest.mark.parametrize("page", ["README.md", "docs/acceleration.md"])
def test_the_tables_of_the_pages_are_those_of_the_records(page):
    text = (ROOT / page).read_text("utf-8")
    assert "<!-- bench: net-" in text
    assert update(text, RECORDS) == text
