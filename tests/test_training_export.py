"""What is exported is what was trained: every format is run or read back, and compared."""

from __future__ import annotations

import csv
import json
import sys

import pytest
import torch
from PIL import Image

import cenote
from cenote.training import Run
from cenote.training import export as module
from cenote.training.export import ExportError, export
from commands import call, refused
from training_helpers import QUICK, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    return cenote.fit("lenet5", data=str(data), out=out, **QUICK).run


def inputs(count):
    return torch.randn(count, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def expected(run, x):
    with torch.inference_mode():
        return run.model()(x)


def test_onnx_answers_as_the_network_does_for_any_batch(capsys, run, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path / "net.onnx"
    code, out, _ = call(capsys, "export", run.folder, "--format", "onnx", "--out", path)
    assert code == 0
    assert out.startswith(f"wrote {path}: run with ONNX Runtime on 3 inputs; largest difference")
    session = onnxruntime.InferenceSession(path)
    for count in (1, 5):
        x = inputs(count)
        found = torch.from_numpy(session.run(None, {"input": x.numpy()})[0])
        torch.testing.assert_close(found, expected(run, x), rtol=1e-4, atol=1e-5)
    facts = json.loads(session.get_modelmeta().custom_metadata_map["cenote"])
    assert facts["classes"] == list("0123456789")
    assert tuple(facts["mean"]) == run.facts.mean


def test_an_archive_of_torch_answers_as_the_network_does(run, tmp_path):
    assert "loaded and run on 3 inputs" in export(run, "torch", tmp_path / "net.pt2")
    loaded = torch.export.load(tmp_path / "net.pt2").module()
    for count in (1, 5):
        x = inputs(count)
        torch.testing.assert_close(loaded(x).detach(), expected(run, x), rtol=1e-5, atol=1e-6)


def test_safetensors_hold_the_weights_under_their_names(run):
    from safetensors.torch import load_file

    assert "read back, equal to the bit" in export(run, "safetensors")
    found = load_file(run.folder / "model.safetensors")
    own = run.model().state_dict()
    assert found.keys() == own.keys()
    assert all(torch.equal(found[name], own[name]) for name in own)


def test_an_unknown_format_is_refused(capsys, run):
    said = refused(capsys, "export", run.folder, "--format", "tflite")
    assert "format = 'tflite': must be one of onnx, torch, safetensors" in said


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_a_file_that_answers_otherwise_is_not_kept(run, tmp_path, monkeypatch, format):
    original = module._exported

    def spoilt(make):
        program = original(make)
        if format == "onnx":
            # The graph of another network: the last layer's bias moved.
            name = "classifier.fc3.bias"
            bias = program.model.graph.initializers[name]
            moved = bias.const_value.numpy() + 1
            import onnx_ir

            bias.const_value = onnx_ir.tensor(moved, name=name)
        else:
            program.state_dict["classifier.fc3.bias"].data += 1
        return program

    monkeypatch.setattr(module, "_exported", spoilt)
    # Of torch's archive the state is the network's own: compare with what it was before.
    before = run.model()
    monkeypatch.setattr(Run, "model", lambda *_: _copy(before))
    if format == "torch":
        monkeypatch.setattr(module, "_compare", _against(module._compare, before))
    with pytest.raises(ExportError, match=r"differs from the network by 1\.0e"):
        export(run, format, tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def _copy(model):
    import copy

    return copy.deepcopy(model)


def _against(compare, before):
    def comparing(found, expected, format):
        x = module._inputs((1, 28, 28))
        return compare(found, before(x).detach(), format)

    return comparing


def test_what_torch_cannot_export_is_said_in_a_line(data, tmp_path):
    class Choosing(torch.nn.Module):
        def __init__(self, classes):
            super().__init__()
            self.last = torch.nn.Linear(784, classes)

        def forward(self, x):
            y = self.last(x.flatten(1))
            return y if float(y.detach().sum()) > 0 else -y  # depends on values: no graph holds it

    run = cenote.fit(Choosing, data=str(data), out=tmp_path / "run", **QUICK)
    with pytest.raises(ExportError, match="torch cannot export this network"):
        export(run.run, "torch", tmp_path / "net.pt2")
    assert not (tmp_path / "net.pt2").exists()


def test_without_onnx_runtime_nothing_is_called_verified(run, tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    said = export(run, "onnx", tmp_path / "net.onnx")
    assert said.endswith("NOT verified: onnxruntime is not installed")


@pytest.fixture
def folder(tmp_path, data):
    """Two pictures in folders, a damaged one, and a file that is none."""
    images = cenote.data.load(data, "test").images
    for label, place in ((3, "a"), (7, "b/c")):
        where = tmp_path / "pictures" / place
        where.mkdir(parents=True)
        Image.fromarray(255 - images[label, 0].numpy()).save(where / f"{label}.png")
    (tmp_path / "pictures" / "broken.png").write_text("not a picture")
    (tmp_path / "pictures" / "letter.txt").write_text("dear")
    return tmp_path / "pictures"


def test_predict_takes_folders_and_writes_csv(capsys, run, folder, tmp_path):
    code, _, err = call(capsys, "predict", run.folder, folder, "--out", tmp_path / "answers.csv")
    assert code == 1
    assert err.startswith("error: ")
    with (tmp_path / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"].rpartition("/")[2] for row in rows] == ["3.png", "7.png", "broken.png"]
    seen = [cenote.training.Predictor(run)(row["file"]) for row in rows[:2]]
    assert [row["class1"] for row in rows] == [seen[0].label, seen[1].label, ""]
    assert float(rows[1]["probability3"]) == seen[1].top[2][1]
    assert 0 < float(rows[0]["probability2"]) <= float(rows[0]["probability1"]) <= 1
    assert "not a picture" in rows[2]["error"]


def test_predict_writes_json(capsys, run, folder, tmp_path):
    assert call(capsys, "predict", run.folder, folder / "a", "--out", tmp_path / "a.json")[0] == 0
    (row,) = json.loads((tmp_path / "a.json").read_text())
    seen = cenote.training.Predictor(run)(row["file"])
    assert [(e["class"], e["probability"]) for e in row["top"]] == list(seen.top)


def test_predict_refuses_before_the_work(capsys, run, folder, tmp_path):
    said = refused(capsys, "predict", run.folder, folder, "--out", tmp_path / "a.xlsx")
    assert "must end in .csv or .json" in said
    (tmp_path / "empty").mkdir()
    said = refused(capsys, "predict", run.folder, tmp_path / "empty")
    assert "a folder without pictures" in said


def test_colour_pictures_keep_their_colours(tmp_path):
    # Classes that differ in colour alone, at one brightness.
    colours = torch.tensor([[200, 60, 60], [60, 120, 60], [60, 60, 255]], dtype=torch.uint8)
    labels = torch.arange(90) % 3
    images = colours[labels].view(-1, 3, 1, 1).expand(-1, 3, 8, 8).contiguous()

    def make(classes):
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, classes))

    options = {**QUICK, "augment": "none", "validation": 0, "epochs": 20, "learning_rate": 0.02}
    run = cenote.fit(make, data=(images, labels), out=tmp_path / "run", **options).run
    predictor = cenote.training.Predictor(run)
    for k, colour in enumerate(colours.tolist()):
        Image.new("RGB", (40, 30), tuple(colour)).save(tmp_path / f"{k}.png")
        assert predictor(tmp_path / f"{k}.png").label == str(k)
