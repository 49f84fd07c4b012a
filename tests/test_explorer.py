"""The page to look into a network: what it does in a real browser."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import cenote
from browsing import CHROMIUM, blob
from browsing import browser as opened_browser
from cenote.inspection import inspect
from cenote.inspection.explorer import explorer_html, maps_of, write_explorer
from cenote.inspection.style import DARK, LIGHT

TIMES = "\N{MULTIPLICATION SIGN}"
BLUE = (0, 0, 255)  # of the test image: no theme has it, so it tells where the input is drawn


@pytest.fixture(scope="module")
def record():
    torch.manual_seed(3)
    return inspect(cenote.models.lenet5(), torch.randn(1, 1, 28, 28), maps=True)


def chain(*layers, size):
    torch.manual_seed(5)
    return inspect(nn.Sequential(*layers), torch.randn(1, *size), maps=True)


EFFECTIVE = np.zeros((5, 3), np.float32)
EFFECTIVE[1:4, 1] = 1  # three rows of one column
ADVICE = [
    SimpleNamespace(kind="weights", name="classifier.fc1", operator=7, text="holds the most."),
    SimpleNamespace(kind="note", name="", operator=None, text="Of no layer."),
]


@pytest.fixture(scope="module")
def browser():
    pytest.importorskip("playwright.sync_api")
    if not CHROMIUM:
        pytest.skip("no chromium on this machine")
    with opened_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(record, tmp_path_factory):
    path = tmp_path_factory.mktemp("explorer") / "page.html"
    image = np.empty((28, 28, 3), np.uint8)
    image[:] = BLUE
    write_explorer(record, path, image=image, advice=ADVICE, effective={2: EFFECTIVE})
    return path.as_uri()


@pytest.fixture
def visit(browser):
    """Open a page; at the end nothing may have complained, nor anything but the page been asked."""
    contexts, complaints, asked = [], [], []

    def visit(address, width=1280, height=1000, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        settle(page)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url[:60] for url in asked if not url.startswith(("file:", "data:image/png"))] == [
        "data:," for url in asked if url == "data:,"
    ]


@pytest.fixture
def page(visit, address):
    return visit(address)


def settle(page):
    """Wait until what was asked last is drawn."""
    page.evaluate("() => window.cenote.update()")


def show(page, index):
    page.evaluate("index => window.cenote.select(index)", index)


def state(page):
    return SimpleNamespace(**page.evaluate("() => window.cenote.state"))


def readout(page):
    return page.inner_text("#readout")


def pixels(page, canvas):
    """The RGB bytes of a canvas."""
    address = page.evaluate("id => document.getElementById(id).toDataURL()", canvas)
    image = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    return np.asarray(image.convert("RGB")).astype(int)


def bounds(shown):
    """[top, bottom), [left, right) of what is True."""
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    return (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)


def near(image, colour, tolerance=3):
    rgb = (
        tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5)) if isinstance(colour, str) else colour
    )
    return (np.abs(image - rgb) <= tolerance).all(2)


def drawn_box(page, colour=LIGHT.second, lengths=(28, 28)):
    """The frame on the input, in input elements, going by where the blue image lies."""
    image = pixels(page, "input")
    found = []
    for (start, stop), (low, high), n in zip(
        bounds(near(image, colour)), bounds(near(image, BLUE)), lengths, strict=True
    ):
        scale = n / (high - low)
        # Lines of 2 pixels lie on the edges.
        found.append(((start + 1 - low) * scale, (stop - 1 - low) * scale))
    return found


def place(page, canvas, row, column, size):
    """The middle of a unit on the page, by the canvas' size alone."""
    rect = page.locator(f"#{canvas}").bounding_box()
    rows, columns = size
    edge = 3
    x = rect["x"] + edge + (column + 0.5) / columns * (rect["width"] - 2 * edge)
    return x, rect["y"] + edge + (row + 0.5) / rows * (rect["height"] - 2 * edge)


def hover(page, *where):
    page.locator(f"#{where[0]}").scroll_into_view_if_needed()
    page.mouse.move(*place(page, *where))
    settle(page)


UNITS = {
    "conv in the middle": (0, (14, 9)),
    "pool": (2, (6, 8)),
    "conv of strided units": (3, (4, 5)),
    "at the end": (5, (4, 4)),
    "the first of all": (0, (0, 0)),
    "in a corner": (3, (0, 9)),
}


@pytest.mark.parametrize(("index", "unit"), UNITS.values(), ids=UNITS)
def test_pointing_at_a_unit_frames_what_it_sees(page, record, index, unit):
    show(page, index)
    if page.is_visible("#heat"):
        page.uncheck("#heat")
    hover(page, "map", *unit, record.operators[index].shape[2:])
    assert (state(page).row, state(page).column, state(page).channel) == (*unit, 0)
    field = record.operators[index].field
    expected = field.box(unit)
    box = page.evaluate("() => window.cenote.box()")
    assert (box["rows"], box["columns"]) == tuple(map(list, expected))
    theory = [axis.rule.interval(u) for axis, u in zip(field.axes, unit, strict=True)]
    # Dashes may be missing at the very end of a line, so that a field beyond the input can seem
    # up to a dash's gap, 4 pixels, smaller than it is.
    whole = all(t == e for t, e in zip(theory, expected, strict=True))
    tolerance = 0.15 if whole else 0.4
    for (start, stop), (low, high) in zip(drawn_box(page), theory, strict=True):
        assert start == pytest.approx(low, abs=tolerance)
        assert stop == pytest.approx(high, abs=tolerance)
    size = f" {TIMES} ".join(str(b - a) for a, b in expected)
    assert f"Unit ({unit[0]}, {unit[1]}) of channel 0" in readout(page)
    assert f"sees {size} of the input" in readout(page)
    assert ("beyond the" in readout(page)) == (not whole)


def test_beyond_the_input_the_frame_is_dashed(page):
    show(page, 0)
    page.evaluate("() => window.cenote.unit(0, 14)")
    image = pixels(page, "input")
    orange = near(image, LIGHT.second)
    (top, _), (left, right) = bounds(orange)
    (blue_top, _), _ = bounds(near(image, BLUE))
    assert top < blue_top - 10
    line = orange[top, left + 4 : right - 4]
    assert 0.3 < line.mean() < 0.8  # of dashes
    inside = orange[blue_top - 2 : blue_top + 3, left + 4 : right - 4]
    assert inside.all(1).any()  # of the clipped frame's own line


def test_the_value_is_that_of_the_unit(page, record):
    show(page, 3)
    page.evaluate("() => window.cenote.unit(2, 7, 11)")
    said = float(re.search(r"≈ (\S+)\)", readout(page))[1].replace("\N{MINUS SIGN}", "-"))
    limit = float(record.operators[3].output.abs().max())
    true = float(record.operators[3].output[0, 11, 2, 7])
    assert said == pytest.approx(true, abs=limit / 127 / 2 + 0.005 * abs(true))


@pytest.mark.parametrize(
    ("index", "pixel"), [(0, (0, 0)), (2, (14, 3)), (3, (9, 20)), (5, (27, 0))]
)
def test_pointing_at_the_input_outlines_who_looks_there(page, record, index, pixel):
    show(page, index)
    image = pixels(page, "input")
    rect = page.locator("#input").bounding_box()
    blue = bounds(near(image, BLUE))
    y, x = (low + (p + 0.5) / 28 * (high - low) for p, (low, high) in zip(pixel, blue, strict=True))
    page.mouse.move(rect["x"] + x, rect["y"] + y)
    settle(page)
    assert state(page).pixel == list(pixel)
    sees = record.operators[index].field.units(pixel)
    sees = np.broadcast_to(sees, record.operators[index].shape)[0, 0]
    seen = page.evaluate("() => window.cenote.seen()")
    rows, columns = np.flatnonzero(sees.any(1)).tolist(), np.flatnonzero(sees.any(0)).tolist()
    assert (seen["rows"], seen["columns"]) == (rows, columns)
    assert f"Input ({pixel[0]}, {pixel[1]}) is seen by" in readout(page)
    if not rows:
        assert "no unit of this map" in readout(page)
        return
    shown = bounds(near(pixels(page, "map"), LIGHT.third))
    across = page.locator("#map").bounding_box()["width"] - 6
    unit = across / sees.shape[1]
    for (start, stop), found in zip(shown, (rows, columns), strict=True):
        assert (start + 1 - 3) / unit == pytest.approx(found[0], abs=0.1)
        assert (stop - 1 - 3) / unit == pytest.approx(found[-1] + 1, abs=0.1)


def test_pointing_at_a_vector_finds_its_unit(page, record):
    flat = record.operators[6]
    assert flat.shape == (1, 400)
    show(page, 6)
    wrap = maps_of(record)["6"]["wrap"]
    hover(page, "map", 137 // wrap, 137 % wrap, (400 // wrap, wrap))
    assert (state(page).row, state(page).column) == (0, 137)
    box = page.evaluate("() => window.cenote.box()")
    assert (box["rows"], box["columns"]) == tuple(map(list, flat.field.box((137,))))
    page.evaluate("() => window.cenote.pixel(0, 27)")
    seen = page.evaluate("() => window.cenote.seen()")
    sees = np.broadcast_to(flat.field.units((0, 27)), flat.shape)[0]
    assert seen["columns"] == np.flatnonzero(sees).tolist()


def test_the_output_lists_its_strongest_units(page, record):
    show(page, 11)
    output = record.operators[11].output[0]
    items = page.locator("#answer li").all_inner_texts()
    assert len(items) == 10
    best = int(output.argmax())
    share = 100 * float(output.softmax(0)[best])
    assert items[0].startswith(f"unit {best}")
    assert f"softmax {share:.1f}" in items[0]
    assert "whole input" in readout(page)
    assert state(page).column == best


def test_the_effective_field_lies_around_the_units_middle(page):
    show(page, 2)
    page.evaluate("() => window.cenote.unit(6, 8)")  # sees rows 10-15, columns 14-19
    heat = pixels(page, "input")
    page.uncheck("#heat")
    settle(page)
    plain = pixels(page, "input")
    (top, bottom), (left, right) = bounds((heat != plain).any(2))
    (low, high), (first, _) = bounds(near(plain, BLUE) | near(plain, LIGHT.second))
    scale = 28 / (high - low)
    assert ((top - low) * scale, (bottom - low) * scale) == pytest.approx((11.5, 14.5), abs=0.15)
    assert ((left - first) * scale, (right - first) * scale) == pytest.approx(
        (16.5, 17.5), abs=0.15
    )
    show(page, 3)
    assert not page.is_visible("#heat")  # no patch was given for it


def test_the_keyboard_reaches_everything(page):
    show(page, 3)
    page.evaluate("() => window.cenote.unit(4, 4, 0)")
    page.focus("#map")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", ".", ".", ","):
        page.keyboard.press(key)
    assert (state(page).row, state(page).column, state(page).channel) == (5, 6, 1)
    page.keyboard.press("Shift+ArrowLeft")
    assert state(page).column == 0
    page.focus("#input")
    page.keyboard.press("ArrowDown")
    assert state(page).pixel == [15, 14]
    page.keyboard.press("j")
    assert state(page).index == 4
    page.keyboard.press("k")
    assert state(page).index == 3
    page.focus("#list button >> nth=3")
    page.keyboard.press("ArrowDown")
    settle(page)
    page.keyboard.press("ArrowDown")
    settle(page)
    assert state(page).index == 5
    assert page.evaluate("() => document.activeElement.dataset.index") == "5"


def test_focus_is_seen_and_read_out(page):
    page.keyboard.press("Tab")
    assert page.inner_text(":focus") == "Skip to the chosen layer"
    page.focus("#map")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("() => getComputedStyle(document.activeElement).outlineWidth") == "3px"
    page.wait_for_timeout(500)  # the voice waits until the pointer rests
    assert page.inner_text("#spoken") == readout(page)
    assert page.get_attribute("#spoken", "aria-live") == "polite"
    assert page.get_attribute("html", "lang") == "en"
    named = """() => [...document.querySelectorAll("button, canvas, input")].every(e =>
        e.textContent.trim() || e.ariaLabel || e.labels?.length)"""
    assert page.evaluate(named)


def test_clicking_chooses_layers_and_channels(page):
    page.click("#list button >> nth=4")
    settle(page)
    assert state(page).index == 4
    assert page.inner_text("#layer") == "relu"
    assert page.get_attribute("#list button >> nth=4", "aria-current") == "true"
    canvas = page.locator("#tiles")
    canvas.scroll_into_view_if_needed()
    rect = canvas.bounding_box()
    page.mouse.click(rect["x"] + rect["width"] * 0.99 - 12, rect["y"] + 10)
    settle(page)
    assert state(page).channel == 7  # the last of the first line of 16 in two lines
    unit = (rect["width"] - 4 - 7 * 8) / 8 / 10  # eight tiles of ten units, 8 pixels between them
    page.mouse.move(rect["x"] + 2 + 1.5 * unit, rect["y"] + rect["height"] - 2 - 1.5 * unit)
    settle(page)
    assert (state(page).channel, state(page).row, state(page).column) == (8, 8, 1)
    page.click("#advice button")
    assert (state(page).index, page.inner_text("#where").split(" ")[0]) == (7, "classifier.fc1")
    assert page.locator("#advice .card").all_inner_texts()[1] == "Of no layer."
    page.click("#table tbody tr >> nth=2")
    assert state(page).index == 2


def test_the_table_sorts_by_click_and_by_key(page, record):
    def column(number):
        rows = page.locator("#table tbody tr").all()
        return [row.locator("td").nth(number).inner_text() for row in rows]

    order = sorted(record.operators, key=lambda o: -o.macs)
    page.click("#table th:nth-child(6) button")
    assert page.get_attribute("#table th:nth-child(6)", "aria-sort") == "descending"
    assert column(0)[:4] == [str(o.index) for o in order[:4]]
    page.focus("#table th:nth-child(6) button")
    page.keyboard.press("Enter")
    assert page.get_attribute("#table th:nth-child(6)", "aria-sort") == "ascending"
    assert column(0)[-4:] == [str(o.index) for o in order[3::-1]]
    page.click("#table th:nth-child(2) button")
    assert column(1)[0].startswith("conv")
    assert page.locator("#table [aria-sort]").count() == 1
    total = page.locator("#table tfoot td").nth(4).inner_text()
    assert total == f"{record.totals.parameters:,}" == "61,706"


def test_the_theme_follows_the_system_and_the_button(visit, address):
    def ground(page):
        return page.evaluate("() => getComputedStyle(document.body).backgroundColor")

    dark = visit(address, color_scheme="dark")
    assert ground(dark) == "rgb(10, 20, 25)"
    assert near(pixels(dark, "input"), DARK.second).any()
    assert not near(pixels(dark, "input"), LIGHT.second).any()
    dark.click("#theme")
    settle(dark)
    assert ground(dark) == "rgb(243, 246, 246)"
    assert near(pixels(dark, "input"), LIGHT.second).any()
    assert dark.inner_text("#theme") == "Dark"


def test_colours_are_those_of_the_values(page, record):
    largest = max(float(o.output.abs().max()) for o in record.operators)
    index = min((2, 5), key=lambda i: float(record.operators[i].output.max()))
    assert float(record.operators[index].output.max()) < 0.8 * largest
    show(page, index)
    output = record.operators[index].output[0, 0]
    row, column = divmod(int(output.argmax()), output.shape[1])
    image = pixels(page, "map")
    unit = (image.shape[1] - 6) / output.shape[1]
    colour = image[int(3 + (row + 0.5) * unit), int(3 + (column + 0.5) * unit)]
    limit = float(record.operators[index].output.max())
    expected = LIGHT.colours(np.array(float(output.max()) / limit))
    assert np.abs(colour - expected.astype(int)).max() <= 4
    assert page.inner_text("#scale span >> nth=1") == f"{limit:.3g}"
    page.check("#shared")
    settle(page)
    assert page.inner_text("#scale span >> nth=1") == f"{largest:.3g}"
    paler = pixels(page, "map")[int(3 + (row + 0.5) * unit), int(3 + (column + 0.5) * unit)]
    assert paler.sum() > colour.sum() + 20


def test_the_window_slides_unless_motion_is_reduced(visit, address):
    def later(page):
        page.locator("#window").scroll_into_view_if_needed()
        before = pixels(page, "window")
        page.wait_for_timeout(1300)
        return before, pixels(page, "window")

    moving = visit(address)
    before, after = later(moving)
    assert (before != after).any()
    still = visit(address, reduced_motion="reduce")
    before, after = later(still)
    assert (before == after).all()
    assert still.inner_text("#play") == "Play"
    # A step moves the window by its stride: one element of 28 and the padding of 2 and 2.
    (_, bottom), (left, _) = bounds(near(before, LIGHT.second))
    still.click("#step")
    moved = near(pixels(still, "window"), LIGHT.second)
    start = np.flatnonzero(moved[: bottom // 2].any(0))[0]
    cell = (before.shape[1] - 4) / (32 + 2 + 28)
    assert start - left == pytest.approx(cell, abs=1.01)
    assert still.inner_text("#window-text").startswith(f"Kernel 5 {TIMES} 5, stride 1 {TIMES} 1")


def test_updating_replaces_values_and_image(page, record):
    torch.manual_seed(9)
    model = cenote.models.lenet5()
    other = inspect(model, torch.randn(1, 1, 28, 28), maps=True)
    show(page, 3)
    page.evaluate("() => window.cenote.unit(2, 3, 5)")
    before, shown = readout(page), pixels(page, "map")
    page.evaluate("maps => window.cenote.update({ maps })", maps_of(other))
    assert readout(page) != before
    said = float(re.search(r"≈ (\S+)\)", readout(page))[1].replace("\N{MINUS SIGN}", "-"))
    true, limit = other.operators[3].output[0, 5, 2, 3], other.operators[3].output.abs().max()
    assert said == pytest.approx(float(true), abs=float(limit) / 127)
    assert (pixels(page, "map") != shown).any()
    image = blob(explorer_html(other, image=np.full((28, 28), 90, np.uint8)))["image"]
    page.evaluate("image => window.cenote.update({ image })", image)
    assert near(pixels(page, "input"), (90, 90, 90), 0).mean() > 0.3


def test_nothing_sticks_out_on_a_phone(visit, address, record):
    page = visit(address, 360, 740, has_touch=True, is_mobile=True, device_scale_factor=2)
    for index in range(len(record.operators)):
        show(page, index)
        wide = page.evaluate("() => document.documentElement.scrollWidth")
        assert wide <= 360, record.operators[index].name
    show(page, 3)
    page.locator("#map").scroll_into_view_if_needed()
    page.touchscreen.tap(*place(page, "map", 7, 2, (10, 10)))
    settle(page)
    assert (state(page).row, state(page).column) == (7, 2)


HOSTILE = "</script><img src=x onerror=alert(1)>"


def test_names_are_never_markup(visit, tmp_path):
    model = nn.Sequential()
    for name in (HOSTILE, "{{ 7 * 7 }}", "a&amp;b \u2028 \N{SNOWMAN}", "<!--<script>"):
        model.add_module(name, nn.Conv2d(1, 1, 1))
    record = inspect(model, torch.zeros(1, 1, 4, 4), maps=True)
    advice = [SimpleNamespace(kind="k", name=HOSTILE, operator=0, text=HOSTILE)]
    path = write_explorer(record, tmp_path / "page.html", title=HOSTILE, advice=advice)
    page = visit(path.as_uri())
    assert page.locator("img").count() == 0
    assert page.inner_text("h1") == HOSTILE
    assert page.title().startswith(HOSTILE)
    assert [o["name"] for o in blob(path.read_text("utf-8"))["record"]["operators"]] == [
        operator.name for operator in record.operators
    ]
    shown = page.locator("#list .more b").all_inner_texts()
    assert shown[:2] == [HOSTILE, "{{ 7 * 7 }}"]
    assert page.locator("#table tbody tr td:nth-child(3)").first.inner_text() == HOSTILE


class Branches(nn.Module):
    """A network with a way around, and a name that is used twice."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.long = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())

    def forward(self, x):
        """(N, 1, H, W) -> (N, 4, H/2, W/2)."""
        x = self.stem(x)
        for _ in range(12):
            x = x + self.long(x)
        return nn.functional.adaptive_avg_pool2d(x, (3, 5))


def test_a_long_network_has_a_gutter_and_a_filter(visit, tmp_path):
    record = inspect(Branches(), torch.randn(1, 1, 12, 14), maps=True)
    page = visit(write_explorer(record, tmp_path / "page.html").as_uri())
    count = len(record.operators)
    assert count > 36
    lines = page.get_attribute("#gutter path >> nth=0", "d") + page.get_attribute(
        "#gutter path >> nth=1", "d"
    )
    skips = sum(s >= 0 and s != o.index - 1 for o in record.operators for s in set(o.sources))
    assert lines.count("C") == 2 * skips > 0
    if count <= 40:
        assert not page.is_visible("#filter")
        return
    page.fill("#filter input", "conv")
    convs = sum(o.kind == "conv" for o in record.operators)
    assert page.locator("#list button:visible").count() == convs
    assert page.inner_text("#count") == f"{convs} of {count}"


def test_windows_of_different_sizes_slide_too(visit, tmp_path):
    record = inspect(Branches(), torch.randn(1, 1, 12, 14), maps=True)
    page = visit(write_explorer(record, tmp_path / "page.html").as_uri())
    last = record.operators[-1]
    show(page, last.index)
    page.evaluate("() => window.cenote.unit(1, 2)")
    box = page.evaluate("() => window.cenote.box()")
    assert (box["rows"], box["columns"]) == tuple(map(list, last.field.box((1, 2))))
    if last.window is not None:
        assert page.is_visible("#window")


OTHERS = {
    "signal": (nn.Conv1d(2, 3, 5, dilation=2), (1, 2, 40), "Unit 7 of channel 1"),
    "volume": (nn.Conv3d(1, 3, 3), (1, 1, 6, 8, 9), "Unit (5, 6) of channel 1"),
    "transposed": (nn.ConvTranspose2d(1, 3, 4, 2, 1), (1, 1, 7, 9), "Unit (7, 7) of channel 1"),
}


@pytest.mark.parametrize(("model", "size", "words"), OTHERS.values(), ids=OTHERS)
def test_other_ranks_and_rules(visit, tmp_path, model, size, words):
    x = torch.randn(size)
    record = inspect(model, x, maps=True)
    page = visit(write_explorer(record, tmp_path / "page.html", image=x).as_uri())
    page.evaluate("() => window.cenote.unit(7, 7, 1)")
    assert words in readout(page)
    assert page.is_visible("#window")
    now, operator = state(page), record.operators[0]
    unit = {3: (now.column,), 4: (now.row, now.column), 5: (2, now.row, now.column)}[len(size)]
    expected = [list(interval) for interval in operator.field.box(unit)]
    assert page.evaluate("() => window.cenote.box().axes") == expected


def test_what_is_not_known_is_said(visit, tmp_path, record):
    first, *rest = record.operators
    changed = dataclasses.replace(first, fields=None, unknown="aten.strange", output=None)
    odd = dataclasses.replace(record, operators=(changed, *rest), notes=("A note.",))
    page = visit(write_explorer(odd, tmp_path / "page.html").as_uri())
    assert "not known: aten.strange came before it" in readout(page)
    assert page.inner_text("#more") == "the values were not kept."
    assert page.inner_text("#notes") == "A note."
    page.evaluate("() => window.cenote.pixel(3, 3)")
    assert "is seen by units that are not known" in readout(page)
    page.evaluate("() => window.cenote.unit(3, 3)")
    assert "\N{ALMOST EQUAL TO}" not in readout(page)


def test_a_network_that_failed_shows_how_far_it_came(visit, tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(7, 2))
    record = inspect(model, torch.randn(1, 1, 6, 6), maps=True)
    assert record.error is not None
    page = visit(write_explorer(record, tmp_path / "page.html").as_uri())
    assert page.inner_text("#notes .failure").startswith("Stopped in 2 (Linear)")
    nothing = dataclasses.replace(record, operators=(), outputs=())
    page = visit(write_explorer(nothing, tmp_path / "none.html").as_uri())
    assert not page.is_visible("#list")
