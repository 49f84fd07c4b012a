"""The live page: who is answered, what is refused, and that layers follow what is drawn."""

from __future__ import annotations

import io
import threading

import pytest
import torch
from PIL import Image, ImageDraw
from starlette.testclient import TestClient
from torch import nn

from browsing import browser, needs_browser
from cenote.inspection.live import MOST_BYTES, Viewer, app_of, serve
from cenote.inspection.subject import Preparation, Subject, load_subject

HOME = "http://127.0.0.1:8000"


class Reds(nn.Module):
    """Answers with the mean of each channel: what was sent can be read off."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3).view(3, 3, 1, 1))

    def forward(self, x):
        return self.conv(x).mean((2, 3)) * 100


def subject():
    return Subject("reds", Reds(), (torch.zeros(1, 3, 16, 24),), None, ("red", "green", "blue"),
                   Preparation(3, (16, 24)))  # fmt: skip


@pytest.fixture
def client():
    return TestClient(app_of(Viewer(subject())), base_url=HOME)


def picture(colour="red", size=(40, 30), kind="PNG"):
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, kind)
    return stream.getvalue()


def test_the_page_is_whole_and_asks_for_nothing_elsewhere(client):
    answer = client.get("/")
    assert answer.status_code == 200
    assert 'id="draw"' in answer.text
    assert 'id="record"' in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(("colour", "kind"), [("red", "PNG"), ("blue", "JPEG"), ("lime", "WEBP")])
def test_a_picture_goes_through_the_network(client, colour, kind):
    found = client.post("/look", content=picture(colour, kind=kind)).json()
    expected = {"red": "red", "blue": "blue", "lime": "green"}[colour]
    assert found["top"][0]["class"] == expected
    assert found["top"][0]["probability"] > 0.99
    assert found["maps"]["0"]["limit"] == pytest.approx(1.0, abs=0.02)
    assert found["image"]["size"] == [16, 24]
    assert found["seconds"] > 0


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1.example.com", "10.0.0.1"])
def test_other_hosts_are_not_answered(client, host):
    assert client.get("/", headers={"host": host}).status_code == 400
    assert client.post("/look", content=picture(), headers={"host": host}).status_code == 400


def test_other_origins_may_not_ask(client):
    for origin in ("https://example.com", "null", "http://127.0.0.1:9999"):
        answer = client.post("/look", content=picture(), headers={"origin": origin})
        assert answer.status_code == 403
        assert f"origin = {origin}" in answer.json()["error"]
    assert client.post("/look", content=picture(), headers={"origin": HOME}).status_code == 200


def test_what_is_too_long_is_refused_whether_it_says_so_or_not(client):
    answer = client.post("/look", content=b"x" * (MOST_BYTES + 1))
    assert answer.status_code == 413

    def parts():
        for _ in range(MOST_BYTES // 1_000_000 + 2):
            yield b"x" * 1_000_000

    assert client.post("/look", content=parts()).status_code == 413


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (picture()[:60], "damaged picture"),
        (picture(size=(9000, 9000)), "9000x9000 pixels; at most 64,000,000"),
    ],
    ids=["empty", "svg", "cut", "huge"],
)
def test_what_is_no_picture_is_said(client, content, message):
    answer = client.post("/look", content=content)
    assert answer.status_code == 422
    assert message in answer.json()["error"]
    assert client.post("/look", content=picture()).status_code == 200


def test_other_ways_to_ask_are_closed(client):
    assert client.get("/look").status_code == 405
    assert client.post("/").status_code == 405
    assert client.get("/etc/passwd").status_code == 404


def test_networks_without_images_cannot_be_viewed(tmp_path):
    words = Subject("words", nn.Linear(3, 2), (torch.zeros(1, 3),))
    with pytest.raises(ValueError, match="its first input is no image"):
        serve(words)
    taken = subject()
    import socket

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ValueError, match=f"port = {port}: "):
            serve(taken, port)


@needs_browser
def test_all_layers_follow_what_is_drawn():
    torch.manual_seed(0)
    ready, address = threading.Event(), []

    def tell(where):
        address.append(where)
        ready.set()

    network = load_subject("lenet5")
    threading.Thread(target=serve, args=(network, 0, tell), daemon=True).start()
    assert ready.wait(30)
    with browser() as opened:
        page = opened.new_page(viewport={"width": 1280, "height": 900})
        trouble = []
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.goto(address[0])
        before = page.evaluate("document.getElementById('record').textContent.length")
        assert before > 1000
        pad = page.locator("#draw")
        pad.scroll_into_view_if_needed()
        box = pad.bounding_box()
        page.mouse.move(box["x"] + 60, box["y"] + 40)
        page.mouse.down()
        page.mouse.move(box["x"] + 60, box["y"] + 180, steps=5)
        page.mouse.up()
        page.locator("#live .answers li").nth(2).wait_for()
        assert "all layers in" in page.locator("#live .said").inner_text()
        # The stroke is seen in the input: a bright column at 60/224 of its width.
        shown = page.evaluate("window.cenote.state.index")
        assert shown == 0
        stream = io.BytesIO()
        drawn = Image.new("L", (300, 300), 255)
        ImageDraw.Draw(drawn).line((150, 40, 150, 260), fill=0, width=30)
        drawn.save(stream, "PNG")
        page.locator("#file").set_input_files(
            {"name": "one.png", "mimeType": "image/png", "buffer": stream.getvalue()}
        )
        page.wait_for_timeout(500)
        page.locator("#file").set_input_files(
            {"name": "bad.png", "mimeType": "image/png", "buffer": b"no picture"}
        )
        page.locator("#live .said.failed").wait_for()
        assert "not a picture" in page.locator("#live .said").inner_text()
        assert all("422" in line for line in trouble), trouble
