"""The downloader, against a real server on this machine."""

import gzip
import hashlib
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cenote import data
from cenote.data import DataError
from cenote.data._catalog import CATALOG, FILES, Source
from cenote.data._download import fetch
from test_data_find import contents, lay, world  # noqa: F401

CONTENT = bytes(range(256)) * 400
GOOD = hashlib.sha256(CONTENT).hexdigest()


class Server:
    """Serves ``files`` by name, with or without ranges; ``cuts`` break off the next answers."""

    def __init__(self, files, ranges=True):
        self.files = files
        self.ranges = ranges
        self.cuts = []
        self.headers = {}
        self.asked = []
        self.wait_for = None
        self.status = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def answer(self, handler):
        wanted = handler.headers.get("Range")
        self.asked.append((handler.path.strip("/"), wanted))
        if self.wait_for is not None:
            self.wait_for(handler.path.strip("/"))
        body = self.files.get(handler.path.strip("/"))
        if body is None:
            handler.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and self.ranges else 0
        if start >= len(body):
            handler.send_error(416)
            return
        handler.send_response(self.status or (206 if wanted and self.ranges else 200))
        handler.send_header("Content-Length", str(len(body) - start))
        if wanted and self.ranges:
            handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        stop = start + self.cuts.pop(0) if self.cuts else None
        handler.wfile.write(body[start:stop])

    def close(self):
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    server = Server({"file": CONTENT})
    yield server
    server.close()


def check(path):
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != GOOD:
        raise DataError(f"expected {GOOD}, found {found}")


def left_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_whole_file(server, tmp_path):
    path = fetch("file", [server.url], tmp_path / "new/folder", check)
    assert path == tmp_path / "new/folder/file"
    assert path.read_bytes() == CONTENT
    assert left_in(path.parent) == ["file"]


def test_what_is_there_is_not_asked_for_again(server, tmp_path):
    for _ in range(2):
        fetch("file", [server.url], tmp_path, check)
    assert server.asked == [("file", None)]


def test_broken_transfer_goes_on_at_once(server, tmp_path):
    server.cuts = [1000, 5000]
    assert fetch("file", [server.url], tmp_path, check).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [None, "bytes=1000-", "bytes=6000-"]


def test_given_up_transfer_goes_on_in_the_next_call(server, tmp_path):
    server.cuts = [1000, 0]
    with pytest.raises(DataError, match=f"^{server.url}file: "):
        fetch("file", [server.url], tmp_path, check)
    assert left_in(tmp_path) == ["file.part"]
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:1000]
    server.asked.clear()
    assert fetch("file", [server.url], tmp_path, check).read_bytes() == CONTENT
    assert server.asked == [("file", "bytes=1000-")]
    assert left_in(tmp_path) == ["file"]


def test_server_without_ranges_starts_over(server, tmp_path):
    server.ranges = False
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    assert fetch("file", [server.url], tmp_path, check).read_bytes() == CONTENT
    assert server.asked == [("file", "bytes=1000-")]


def test_server_without_ranges_and_a_part_that_is_longer(server, tmp_path):
    server.ranges = False
    (tmp_path / "file.part").write_bytes(CONTENT + b"too long")
    assert fetch("file", [server.url], tmp_path, check).read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_server_without_ranges_that_always_breaks_is_given_up(server, tmp_path):
    server.ranges = False
    server.cuts = [1000] * 10
    with pytest.raises(DataError, match=f"{server.url}file: "):
        fetch("file", [server.url], tmp_path, check)
    assert len(server.asked) == 2
    assert left_in(tmp_path) == ["file.part"]


@pytest.mark.parametrize("content", [CONTENT, CONTENT + b"too long"], ids=["complete", "too_long"])
def test_part_with_nothing_to_follow(server, tmp_path, content):
    (tmp_path / "file.part").write_bytes(content)
    assert fetch("file", [server.url], tmp_path, check).read_bytes() == CONTENT
    assert len(server.asked) == (1 if content == CONTENT else 2)


def test_part_of_another_file_starts_over_once(server, tmp_path):
    (tmp_path / "file.part").write_bytes(b"another mirror's packing")
    assert fetch("file", [server.url], tmp_path, check).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == ["bytes=24-", None]


def test_wrong_content_is_refused_and_removed(server, tmp_path):
    server.files["file"] = b"an error page"
    found = hashlib.sha256(b"an error page").hexdigest()
    with pytest.raises(DataError, match=f"{server.url}file: expected {GOOD}, found {found}"):
        fetch("file", [server.url], tmp_path, check)
    assert left_in(tmp_path) == []


def test_range_that_was_not_asked_for(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    server.headers = {"Content-Range": "bytes 7-9/10"}
    server.ranges = False
    server.status = 206
    with pytest.raises(
        DataError, match="expected the range from byte 1000 on, found 'bytes 7-9/10'"
    ):
        fetch("file", [server.url], tmp_path, check)
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:1000]


def test_packed_file_is_kept_packed_whatever_the_server_calls_it(server, tmp_path):
    packed = gzip.compress(CONTENT)
    server.files["file"] = packed
    server.headers = {"Content-Encoding": "gzip"}
    assert fetch("file", [server.url], tmp_path, lambda _: None).read_bytes() == packed


def test_next_mirror_when_one_fails(server, tmp_path):
    assert (
        fetch("file", [f"{server.url}not/here/", server.url], tmp_path, check).read_bytes()
        == CONTENT
    )
    assert server.asked == [("not/here/file", None), ("file", None)]


def test_every_mirror_is_named_with_its_reason(server, tmp_path):
    closed = "http://127.0.0.1:9/"  # the discard port: nothing listens there
    with pytest.raises(DataError) as caught:
        fetch("gone", [server.url, closed], tmp_path, check)
    message = str(caught.value)
    assert f"{server.url}gone: 404 Client Error" in message
    assert f"{closed}gone: cannot be reached" in message
    assert left_in(tmp_path) == []


CHILD = """
import hashlib, sys
from pathlib import Path
import requests
from cenote.data._download import fetch
url, folder, good = sys.argv[1:]
requests.get(url + "ready")
def check(path):
    assert hashlib.sha256(path.read_bytes()).hexdigest() == good
print(fetch("file", [url], Path(folder), check))
"""


def test_two_processes_at_once_download_once(server, tmp_path):
    both = threading.Barrier(2, timeout=120)
    second = threading.Event()

    def wait(path):
        if path == "ready":
            both.wait()
        elif len(server.asked) == 4:
            second.set()
        else:
            second.wait(1)  # leave the other process time to ask too, if it does

    server.wait_for = wait
    server.files["ready"] = b"yes"
    command = [sys.executable, "-c", CHILD, server.url, str(tmp_path), GOOD]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [child.communicate(timeout=240)[0].strip() for child in children]
    assert outputs == [str(tmp_path / "file")] * 2
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [name for name, _ in server.asked].count("file") == 1
    assert left_in(tmp_path) == ["file"]


@pytest.fixture
def tiny(server, world):  # noqa: F811
    """The small data set, to be had from the server."""
    sums = CATALOG["tiny"].sums
    server.files = {f"{stem}.gz": gzip.compress(content) for stem, content in contents().items()}
    CATALOG["tiny"] = Source("tiny", ("a", "b", "c"), sums, (server.url,))
    return world


def test_load_downloads_into_the_cache_once(server, tiny):
    for _ in range(2):
        assert len(data.load("tiny", "train")) == 6
    assert [name for name, _ in server.asked] == [f"{stem}.gz" for stem in FILES[:2]]
    assert left_in(tiny / "cache/tiny") == [f"{stem}.gz" for stem in FILES[:2]]


def test_load_downloads_into_data_dir(server, tiny):
    assert len(data.load("tiny", "test", data_dir=tiny / "given")) == 6
    assert left_in(tiny / "given/tiny") == sorted(f"{stem}.gz" for stem in FILES[2:])
    assert left_in(tiny / "cache") == []


def test_load_of_a_wrong_download_says_so_and_leaves_nothing(server, tiny):
    other = contents(seed=1)["train-images-idx3-ubyte"]
    server.files["train-images-idx3-ubyte.gz"] = gzip.compress(other)
    expected = CATALOG["tiny"].sums[0]
    found = hashlib.sha256(other).hexdigest()
    with pytest.raises(
        DataError, match=f"download: {server.url}train.*sha256 {expected}, found {found}\n"
    ):
        data.load("tiny", "train")
    assert left_in(tiny / "cache/tiny") == []


def test_load_without_a_network_lists_the_places_and_what_to_do(tiny):
    CATALOG["tiny"] = Source(
        "tiny", ("a", "b", "c"), CATALOG["tiny"].sums, ("http://127.0.0.1:9/",)
    )
    with pytest.raises(DataError) as caught:
        data.load("tiny", "train")
    message = str(caught.value)
    assert f"{tiny}/system/tiny: no such folder" in message
    assert f"{tiny}/cache/tiny: no such folder" in message  # as it was before the attempt
    assert "download: http://127.0.0.1:9/train-images-idx3-ubyte.gz: cannot be reached" in message
    assert f"Put the files into {tiny}/cache/tiny, or name their folder" in message


def test_load_where_nothing_can_be_written(server, tiny):
    (tiny / "given").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"(?s)tiny: expected .* download: .*given"):
        data.load("tiny", "train", data_dir=tiny / "given")


def test_load_completes_a_pair_that_was_half_there(server, tiny):
    stem = "train-images-idx3-ubyte"
    lay(tiny / "cache/tiny", {stem: contents()[stem]})
    assert len(data.load("tiny", "train")) == 6
    assert [name for name, _ in server.asked] == ["train-labels-idx1-ubyte.gz"]
