"""The demonstration: its pictures, and its page in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

import cenote
from cenote import cli
from cenote.field import Field
from cenote.inspection import demonstrate, watch, window_of
from cenote.inspection.style import THEMES
from cenote.inspection.tiles import sheet
from cenote.training import RunError
from cenote.window import Axis, Window
from training_helpers import QUICK, write_data

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)

# Put at the end of a copy of the page; what it finds becomes the page's title.
PROBE = """
<script>
addEventListener("load", () => {
  const pictures = [...document.images];
  const shown = () => [...document.querySelectorAll(".walk")].map(walk => walk.offsetHeight > 0);
  const before = shown();
  document.querySelectorAll(".tabs label")[1].click();
  document.title = "PROBE" + JSON.stringify({
    pictures: pictures.length,
    broken: pictures.filter(image => !(image.complete && image.naturalWidth)).length,
    unnamed: pictures.filter(image => !image.alt).length,
    before, after: shown(),
    overflow: document.documentElement.scrollWidth - innerWidth,
    ground: getComputedStyle(document.body).backgroundColor,
    dark: [...document.querySelectorAll("picture img")].filter(i => i.currentSrc !== i.src).length,
    themed: document.querySelectorAll("picture img").length,
    asked: performance.getEntriesByType("resource").map(entry => entry.name),
  }) + "PROBE";
});
</script>
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    data = write_data(folder / "data")
    return demonstrate(folder / "demo", data=str(data), **QUICK)


def browse(page, folder, *arguments):
    """What the probe finds on a copy of the page, and what the browser complains about."""
    copy = folder / "page.html"
    copy.write_text(page.read_text(encoding="utf-8") + PROBE, encoding="utf-8")
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr",
            *arguments, "--dump-dom", copy.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = json.loads(re.search(r"<title>PROBE(.*)PROBE</title>", done.stdout)[1])
    return found, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


needs_browser = pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine")


@needs_browser
def test_the_page_is_whole_in_a_browser(page, tmp_path):
    found, console = browse(page, tmp_path, "--window-size=1200,900")
    assert console == []
    assert found["asked"] == []
    assert found["pictures"] > 40
    assert (found["broken"], found["unnamed"], found["dark"]) == (0, 0, 0)
    assert found["overflow"] <= 0
    # One image is followed at a time, and choosing another shows that one.
    walks = len(found["before"])
    assert found["before"] == [True] + [False] * (walks - 1)
    assert found["after"] == [False, True] + [False] * (walks - 2)


@needs_browser
def test_the_page_fits_a_phone_in_the_dark(page, tmp_path):
    found, console = browse(
        page, tmp_path, "--window-size=360,800", "--blink-settings=preferredColorScheme=0"
    )
    assert found["overflow"] <= 0
    red, green, blue = map(int, re.findall(r"\d+", found["ground"]))
    assert red + green + blue < 100
    assert (found["broken"], console) == (0, [])
    assert found["dark"] == found["themed"] > 30


@needs_browser
def test_the_probe_sees_a_broken_picture_and_a_request(page, tmp_path):
    harmed = tmp_path / "harmed.html"
    text = page.read_text(encoding="utf-8").replace("base64,iVBOR", "base64,AAAA", 3)
    more = '<img src="http://localhost:9/x.png"><script>undefined.oops</script>'
    harmed.write_text(text + more, encoding="utf-8")
    found, console = browse(harmed, tmp_path)
    assert found["broken"] >= 2  # the request, and of the three those that this theme shows
    assert found["unnamed"] == 1
    assert found["asked"] == ["http://localhost:9/x.png"]
    assert len(console) == 1
    assert "TypeError" in console[0]


def test_the_page_needs_nothing_but_itself(page):
    text = page.read_text(encoding="utf-8")
    addresses = re.findall(r'(?:src|href|srcset)="([^"]*)"', text)
    assert addresses
    assert all(address.startswith("data:") for address in addresses)
    assert "<script" not in text
    assert "@import" not in text
    assert "url(" not in text


def test_the_page_says_what_was_measured(page):
    run = cenote.training.Run.open(page.parent / "run")
    text = page.read_text(encoding="utf-8")
    assert f"{100 * run.summary['test_accuracy']:.2f}&thinsp;%" in text
    assert f"<dd>{run.summary['test_errors']}</dd>" in text
    assert "61,706" in text
    for words in ("conv 5*5, padding 2", "max pool 2*2, stride 2", "sees 14 * 14", "16 * 5 * 5"):
        assert words.replace("*", "\N{MULTIPLICATION SIGN}") in text


def test_the_pictures_lie_beside_the_page(page):
    names = sorted(path.name for path in page.parent.glob("*.png"))
    assert [name for name in names if not name.startswith("maps")] == [
        "confusion.png",
        "curves.png",
        "kernels.png",
        "mistakes.png",
    ]
    assert len(names) >= 4 + 4
    for name in names:
        with Image.open(page.parent / name) as image:
            assert np.asarray(image.convert("L")).std() > 5, name  # something is drawn


def test_a_second_time_only_draws(page, monkeypatch, capsys):
    def trained_again(*_):
        pytest.fail("trained again")

    monkeypatch.setattr(cenote.training.loop.Trainer, "_step", trained_again)
    before = page.read_text(encoding="utf-8")
    page.write_text("damaged", encoding="utf-8")
    code = cli.main(["demo", "--out", str(page.parent), "--progress", "none"])
    assert (code, capsys.readouterr().out) == (0, f"the page: {page}\n")
    assert page.read_text(encoding="utf-8") == before


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(RunError, match="is not empty and holds no demo"):
        demonstrate(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    ("terminal", "environment", "platform", "opened"),
    [
        (True, {"DISPLAY": ":0"}, "linux", True),
        (True, {"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        (True, {}, "linux", False),
        (True, {}, "darwin", True),
        (True, {"DISPLAY": ":0", "CI": "true"}, "linux", False),
        (False, {"DISPLAY": ":0"}, "linux", False),
    ],
)
def test_the_page_is_opened_only_where_someone_sees_it(
    page, monkeypatch, terminal, environment, platform, opened
):
    import webbrowser

    asked = []
    monkeypatch.setattr(webbrowser, "open", asked.append)
    monkeypatch.setattr(cli.sys.stdout, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(cli.sys, "platform", platform)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("cenote.inspection.demonstrate", lambda *_, **__: page)
    monkeypatch.setattr(cli, "demonstrate", lambda *_, **__: page, raising=False)
    assert cli.main(["demo", "--progress", "none"]) == 0
    assert asked == ([page.resolve().as_uri()] if opened else [])


def test_a_network_without_mistakes_has_a_page_too(tmp_path, monkeypatch):
    from cenote.inspection import demo
    from cenote.training import Evaluation

    def perfect(model, dataset, **_):
        return Evaluation(torch.nn.functional.one_hot(dataset.labels).float() * 9, dataset.labels)

    monkeypatch.setattr(demo, "evaluate", perfect)
    data = write_data(tmp_path / "data")
    page = demonstrate(tmp_path / "demo", data=str(data), **{**QUICK, "epochs": 1})
    text = page.read_text(encoding="utf-8")
    assert "<h2>No mistakes</h2>" in text
    assert "the last one is a mistake" not in text


def test_watching_gives_every_layer_its_shape_parameters_and_field():
    layers = watch(cenote.models.lenet5(), torch.zeros(2, 1, 28, 28))
    maps = {layer.name.rpartition(".")[2]: layer for layer in layers}
    assert [layer.shape for layer in layers[:6]] == [
        (6, 28, 28), (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 10, 10), (16, 5, 5),
    ]  # fmt: skip
    assert sum(layer.parameters for layer in layers) == 61706
    fields = {"conv1": (5, 1, -2), "pool1": (6, 2, -2), "conv2": (14, 2, -2), "pool2": (16, 4, -2)}
    for name, field in fields.items():
        assert maps[name].fields == (Field(*field),) * 2
    assert maps["fc1"].fields is None
    assert maps["conv1"].title == "conv 5x5, padding 2"
    assert maps["fc3"].title == "dense 84 to 10"


def test_a_field_is_what_the_gradient_reaches():
    model = cenote.models.lenet5(pool="avg", activation="tanh")
    image = torch.randn(1, 1, 28, 28, requires_grad=True)
    units = model.features(image)
    (gradient,) = torch.autograd.grad(units[0, :, 2, 1].sum(), image)
    reached = gradient[0, 0].nonzero()
    fields = watch(model, image.detach())[5].fields
    for axis, unit in ((0, 2), (1, 1)):
        start, stop = fields[axis].interval(unit)
        assert reached[:, axis].min() == max(0, start)
        assert reached[:, axis].max() == min(28, stop) - 1


@pytest.mark.parametrize(
    ("module", "window"),
    [
        (torch.nn.Conv2d(1, 1, (3, 5), padding="same"), [Axis(3, 1, 1, 1), Axis(5, 1, 2, 2)]),
        (torch.nn.Conv2d(1, 1, 3, padding="valid", dilation=2), [Axis(3, dilation=2)] * 2),
        (torch.nn.MaxPool2d(3, 2, 1, ceil_mode=True), [Axis(3, 2, 1, 1, ceil=True)] * 2),
        (torch.nn.AvgPool2d((2, 3)), [Axis(2, 2), Axis(3, 3)]),
        (cenote.nn.MaxPool2d(2), [Axis(2, 2)] * 2),
        (torch.nn.ReLU(), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, torch.nn.Module) else "",
)
def test_the_window_of_a_module(module, window):
    assert window_of(module) == (None if window is None else Window(window))


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_colours_tell_sign_and_size_apart_by_lightness(theme):
    luma = theme.colours(np.linspace(-1, 1, 41)).astype(float) @ (0.299, 0.587, 0.114)
    away = np.sign(luma[0] - luma[20])
    for half in (luma[20:], luma[20::-1]):  # from zero outwards
        assert (np.diff(half) * away > 0).all()


def test_a_sheet_has_a_pixel_for_every_unit():
    planes = torch.tensor([[[-1.0, 0.0]], [[1.0, 2.0]], [[0.5, -3.0]]])
    theme = THEMES[0]
    address = sheet(planes, 1.0, theme, columns=2, scale=1)
    import base64
    import io

    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))
    assert pixels.shape == (1 + 2 + 1, 2 + 2 + 2, 4)  # two rows and columns, gaps of 2
    expected = theme.colours(np.array([-1.0, 0.0, 1.0, 1.0, 0.5, -1.0]))  # clipped at the limit
    for (row, column), colour in zip(
        [(0, 0), (0, 1), (0, 4), (0, 5), (3, 0), (3, 1)], expected, strict=True
    ):
        assert (pixels[row, column] == (*colour, 255)).all()
    assert (pixels[:, 2:4, 3] == 0).all()
