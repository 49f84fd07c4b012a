"""``cenote inspect`` and ``cenote view``: what they load, what they write, what they refuse."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from PIL import Image
from torch import nn

from cenote import cli
from cenote.inspection.subject import load_subject, parse_sizes, read_picture
from training_helpers import QUICK, as_arguments, write_data

NETWORKS = """
import torch
from torch import nn

import beside  # lies next to this file


def make():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(beside.FEATURES, 5)
    )


def misfit():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(7, 5))


def number():
    return 3


MADE = nn.Sequential(nn.Conv2d(1, 2, 3))
TEXT = "no network"
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "beside.py").write_text("FEATURES = 4 * 7 * 7\n")
    path = tmp_path / "my_net.py"
    path.write_text(NETWORKS)
    return path


def call(capsys, *arguments):
    code = cli.main(["inspect", *map(str, arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_one_of_ours_by_name(capsys):
    code, out, err = call(capsys, "lenet5")
    assert code == 0
    assert not err
    assert "features.conv2" in out
    assert "61,706 parameters, 417 k multiply-accumulates" in out
    assert "aliasing: features.pool1, features.pool2" in out


def test_a_function_in_a_file(capsys, file):
    code, out, _ = call(capsys, f"{file}:make", "--input", "2,3,16,16", "--depth", "1")
    assert code == 0
    # 2 images, 4 maps of 7x7, each of 27 products; then 196 to 5.
    assert f"{2 * (4 * 49 * 27 + 196 * 5) / 1000:.1f} k multiply-accumulates" in out


def test_a_file_takes_the_place_of_no_module(tmp_path):
    import inspect
    import pickle
    import random

    path = tmp_path / "random.py"
    path.write_text(
        "from torch import nn\n\n\nclass Net(nn.Linear):\n"
        "    def __init__(self):\n        super().__init__(2, 3)\n"
    )
    model = load_subject(f"{path}:Net", ["1,2"]).model
    assert sys.modules["random"] is random
    again = pickle.loads(pickle.dumps(model))
    assert type(again) is type(model)
    assert torch.equal(again.weight, model.weight)
    assert inspect.getsource(type(model)).startswith("class Net(nn.Linear):")


def test_tokens_and_half_precision(capsys, tmp_path):
    path = tmp_path / "words.py"
    path.write_text(
        "from torch import nn\n"
        "words = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 2))\n"
        "halves = nn.Conv2d(1, 2, 3).half()\n"
    )
    assert call(capsys, f"{path}:words", "--input", "1,6:int64", "--spatial", "1")[0] == 0
    assert call(capsys, f"{path}:halves", "--input", "1,1,8,8")[0] == 0
    code, _, err = call(capsys, f"{path}:words", "--input", "1,6:words")
    assert code == 2
    assert "words is no element type" in err


def test_a_module_in_a_file(capsys, file):
    assert call(capsys, f"{file}:MADE", "--input", "1,1,8,8")[0] == 0


def test_a_network_that_fails_shows_what_it_did_and_what_would_fit(capsys, file):
    code, out, _ = call(capsys, f"{file}:misfit", "--input", "1,3,8,8")
    assert code == 1
    assert "conv 3x3" in out
    words = " ".join(out.split())
    assert "stopped in 2 (Linear)" in words
    assert "in_features = 144 would fit" in words


def test_files_are_written(capsys, file, tmp_path):
    picture = tmp_path / "picture.png"
    Image.linear_gradient("L").convert("RGB").save(picture)
    page, record, folder = (tmp_path / name for name in ("page.html", "record.json", "pictures"))
    code, out, _ = call(
        capsys, f"{file}:make", "--input", "1,3,16,16", "--image", picture,
        "--html", page, "--json", record, "--pictures", folder,
    )  # fmt: skip
    assert code == 0
    plain = json.loads(record.read_text())
    assert [o["kind"] for o in plain["operators"]] == ["conv", "relu", "reshape", "linear"]
    assert "</html>" in page.read_text()
    assert (folder / "costs.png").exists()
    assert list((folder / "maps").glob("*conv*.png"))
    assert out.count("wrote ") == 3


def test_an_archive(capsys, tmp_path):
    body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    path = tmp_path / "network.pt2"
    exported = torch.export.export(nn.Sequential(body).eval(), (torch.randn(1, 1, 8, 8),))
    torch.export.save(exported, path)
    code, out, _ = call(capsys, path)
    assert code == 0
    # Its modules are gone; where operators came from is not.
    assert [line.split()[:2] for line in out.splitlines()[1:3]] == [
        ["0.0", "conv"],
        ["0.1", "relu"],
    ]


def test_a_run(capsys, tmp_path):
    data = write_data(tmp_path / "data")
    run = tmp_path / "run"
    assert cli.main(["train", "lenet5", "--data", str(data), "--out", str(run),
                     *as_arguments(QUICK)]) == 0  # fmt: skip
    capsys.readouterr()
    digit = tmp_path / "digit.png"
    drawn = Image.new("L", (60, 60), 255)
    drawn.paste(0, (25, 10, 35, 50))
    drawn.save(digit)
    code, out, _ = call(capsys, run, "--image", digit, "--sort", "macs")
    assert code == 0
    first = next(line for line in out.splitlines() if line.startswith(("features", "classifier")))
    assert first.startswith("features.conv2")
    subject = load_subject(str(run), image=digit)
    assert subject.classes[0] == "0"
    assert subject.image.shape == (28, 28)
    assert subject.inputs[0].shape == (1, 1, 28, 28)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "model = 'nowhere': no file, folder or .pt2 archive of that name"),
        (["nowhere.py:make"], "model = nowhere.py: no such file"),
        (["nowhere.pt2"], "model = nowhere.pt2: no such file"),
        (["no.such.module:make"], "model = 'no.such.module': cannot be imported"),
        (["{file}:nothing"], "has no nothing; it has torch, nn, beside, make, misfit"),
        (["{file}:number", "--input", "1"], "gave an int, not a torch.nn.Module"),
        (["{file}:TEXT", "--input", "1"], "is a str, no module"),
        (["{file}:make"], "input: say the sizes"),
        (["{file}:make", "--input", "1,three"], "input = '1,three': must be sizes such as"),
        (["{file}:make", "--input", "1,0"], "input = '1,0': must be sizes such as"),
        (["lenet5", "--image", "{here}/none.png"], "none.png: no such file"),
        (["lenet5", "--image", "{file}"], "my_net.py: not a picture"),
        (["lenet5", "--mean", "0.5"], r"mean = (0.5,), std = (): give as many of each"),
        (["lenet5", "--mean", "1", "--mean", "1", "--std", "1", "--std", "1"],
         "the input has 1 channels"),
        (["lenet5", "--sort", "colour"], "sort = 'colour': must be one of"),
        (["lenet5", "--depth", "0"], "depth = 0: must be at least 1"),
        (["lenet5", "--object-size", "0"], "object_size = 0: must be at least 1"),
        (["{here}"], "no run there"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(capsys, file, arguments, message):
    filled = [a.format(file=file, here=file.parent) for a in arguments]
    code, _, err = call(capsys, *filled)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_nothing_is_half_written(capsys, file, tmp_path):
    page = tmp_path / "there.html"
    page.write_text("what was there")
    page.chmod(0o444)
    taken = tmp_path / "taken"
    taken.write_text("a file")
    code, _, err = call(
        capsys, f"{file}:make", "--input", "1,3,16,16", "--html", taken / "page.html"
    )
    assert code == 2
    assert "taken" in err
    assert taken.read_text() == "a file"


def test_viewing_what_is_no_image_is_refused(capsys, tmp_path):
    path = tmp_path / "words.py"
    path.write_text("from torch import nn\nmodel = nn.Linear(3, 2)\n")
    assert cli.main(["view", f"{path}:model", "--input", "1,3"]) == 2
    assert "its first input is no image" in capsys.readouterr().err


def test_sizes_and_pictures():
    assert parse_sizes("1,3,224,224") == parse_sizes("1x3x224x224") == (1, 3, 224, 224)
    with pytest.raises(ValueError, match="sent: not a picture"):
        read_picture(b"GIF?", "sent")
