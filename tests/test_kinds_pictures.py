"""The pictures of the kinds of convolution: they show what the layers do, and are those in docs."""

import io
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cenote.inspection.kinds import KINDS, draw_kind, picture, plan
from cenote.inspection.kinds.plans import levels
from cenote.inspection.style import THEMES

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs/convolution.md").read_text("utf-8")
FOLDER = ROOT / "docs/images/kinds"


def kinds_of_the_table():
    section = PAGE.split("## The kinds\n")[1].split("\n## ")[0]
    names = re.findall(r"^\| ([a-z][^,(|]*?) *[,(|].*`", section, re.MULTILINE)
    return [name.replace(" ", "_") for name in names]


def dependencies(layer, channels, n):
    """The inputs that change each output, found by changing one after the other."""
    layer = layer.to(torch.float64)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.copy_(torch.arange(1, weight.numel() + 1).reshape(weight.shape))
        cells = torch.eye(channels * torch.Size(n).numel(), dtype=torch.float64)
        out = layer(cells.reshape(-1, channels, *n))
    changed = (out != 0).any(1).reshape(channels, *n, *out.shape[2:]).any(0)
    return {
        o: {tuple(i) for i in changed[(..., *o)].nonzero().tolist()}
        for o in itertools.product(*map(range, out.shape[2:]))
    }


def test_every_kind_of_the_table_has_a_picture_and_every_picture_is_shown():
    names = kinds_of_the_table()
    assert len(names) == 12
    assert [*names, "flip"] == list(KINDS)
    shown = re.findall(r"!\[([^\]]+)\]\(images/kinds/(\w+)\.svg\)", PAGE)
    assert sorted(name for _, name in shown) == sorted(KINDS)
    assert all(len(alt) > 60 for alt, _ in shown)
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_windows_are_where_outputs_change(name):
    drawn = plan(name)
    for layer, step in zip(KINDS[name].layers(), drawn.steps, strict=True):
        found = dependencies(layer, layer.in_channels, step.n)
        assert found == {o: set(reads) for o, reads in step.reads.items()}
        inside = set(itertools.product(*map(range, step.n)))
        if not step.adjoint:
            assert all(set(step.whole(o)) & inside == reads for o, reads in found.items())
            continue
        for unit in inside:
            reached = {o for o, reads in found.items() if unit in reads}
            assert reached == set(step.whole(unit)) & set(found)


@pytest.mark.parametrize("name", [name for name in KINDS if KINDS[name].chained])
def test_what_a_chain_depends_on_is_what_changes_it(name):
    layers, steps = KINDS[name].layers(), plan(name).steps
    found = dependencies(torch.nn.Sequential(*layers), layers[0].in_channels, steps[0].n)
    for unit, reads in found.items():
        assert levels([step.reads for step in steps], unit)[0] == reads


FEEDS = {
    "pointwise": [dict.fromkeys(range(5), (0, 1, 2, 3))],
    "grouped": [{o: (0, 1, 2) if o < 3 else (3, 4, 5) for o in range(6)}],
    "shuffled_grouped": [
        {o: (3, 4, 5) if o % 2 else (0, 1, 2) for o in range(6)},
        {o: (0, 1, 2) if o < 3 else (3, 4, 5) for o in range(6)},
    ],
    "depthwise": [{0: (0,), 1: (0,), 2: (1,), 3: (1,), 4: (2,), 5: (2,)}],
    "depthwise_separable": [{c: (c,) for c in range(3)}, dict.fromkeys(range(5), (0, 1, 2))],
    "flattened": [dict.fromkeys(range(3), (0, 1, 2, 3)), *[{o: (o,) for o in range(3)}] * 2],
}


@pytest.mark.parametrize("name", KINDS)
def test_channels_feed_those_that_the_page_says(name):
    feeds = [step.feeds for step in plan(name).steps]
    assert feeds == FEEDS.get(name, [{0: (0,)}] * len(feeds))


def test_numbers_are_those_of_the_definition():
    by_hand = {
        "plain": (-1, -4, 5, -8, 3, 5, -5, 3, 2),
        "flip": (0,) * 6 + (9, 8, 7, 0, 0, 6, 5, 4, 0, 0, 3, 2, 1) + (0,) * 6,
    }
    assert {name: plan(name).steps[0].made for name in by_hand} == by_hand
    separable = plan("spatially_separable")
    assert separable.steps[-1].made == separable.beside.made
    assert separable.beside.weight == (1, 0, -1, 2, 0, -2, 1, 0, -1)
    checkerboard, even = (torch.tensor(s.made).view(6, 6) for s in plan("transposed").steps)
    assert checkerboard[1].tolist() == [2, 4, 2, 4, 2, 2]
    assert (even[1:5, 1:5] == 4).all()


def test_variants_end_where_the_formulas_do():
    assert [step.out for step in plan("dilated").steps] == [(5, 5), (3, 3), (1, 1)]
    assert [step.out for step in plan("transposed").steps] == [(6, 6), (6, 6)]
    field = levels([step.reads for step in plan("causal").steps], (17,))[0]
    assert field == {(time,) for time in range(2, 18)}


@pytest.mark.parametrize("name", KINDS)
def test_pictures_in_the_docs_are_up_to_date(name):
    """By what is drawn, not by bytes: another matplotlib writes another file of the same marks."""
    text = (FOLDER / f"{name}.svg").read_text("utf-8")
    assert f"<dc:identifier>{picture(name).digest}</dc:identifier>" in text, "run make pages"
    assert "<dc:date>" not in text


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_the_same_picture_is_the_same_file(theme):
    first, second = io.BytesIO(), io.BytesIO()
    draw_kind("shuffled_grouped", first, theme=theme)
    draw_kind("shuffled_grouped", second, theme=theme)
    assert first.getvalue() == second.getvalue()
    assert theme.paper in first.getvalue().decode()
    assert picture("plain").digest != picture("flip").digest


@pytest.mark.parametrize("name", KINDS)
def test_nothing_leaves_the_card(name):
    canvas = picture(name)
    for line in (line for mark in canvas.marks if hasattr(mark, "points") for line in mark.points):
        assert all(0 <= x <= canvas.width and 0 <= y <= canvas.height for x, y in line)


@pytest.mark.parametrize("function", [plan, lambda name: draw_kind(name, io.BytesIO())])
@pytest.mark.parametrize("name", ["plian", None, ["plain"]])
def test_an_unknown_kind_is_refused(function, name):
    with pytest.raises(ValueError, match=r"name = .*: must be one of plain, pointwise, dilated"):
        function(name)


def test_the_command_draws_all(tmp_path):
    command = [sys.executable, "-m", "cenote.inspection.kinds"]
    subprocess.run([*command, str(tmp_path / "new")], check=True, timeout=120)
    assert sorted(path.stem for path in (tmp_path / "new").iterdir()) == sorted(KINDS)
    refused = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (refused.returncode, "usage" in refused.stderr) == (1, True)
