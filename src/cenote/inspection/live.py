"""``cenote view``: the page to explore, served on this machine alone, with input that people make.

Nothing but the loopback address is listened on, and only what names it as its host is answered:
a page of another site, opened in the same browser, can neither read nor post anything here.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cenote.inspection.advice import advise
from cenote.inspection.explorer import explorer_html, picture_of
from cenote.inspection.record import Record
from cenote.inspection.sprites import maps_of
from cenote.inspection.style import templates
from cenote.inspection.subject import Subject, read_picture
from cenote.inspection.tracing.build import inspect

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["MOST_BYTES", "Viewer", "app_of", "serve"]

MOST_BYTES = 8_000_000
"""Of a picture that is sent."""
_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_TOP = 3
_BEFORE = '<section class="explore"'
"""Where the place for input goes, in the page."""


class Viewer:
    """A network that is looked into while somebody changes what it sees."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._lock = threading.Lock()  # one network, one pass at a time

    def page(self) -> str:
        """The page, with the place where input is made."""
        record = inspect(self.subject.model, *self.subject.inputs, maps=True)
        page = explorer_html(
            record, image=self.subject.image, advice=advise(record), title=self.subject.title
        )
        live = templates().get_template("live.html").render()
        return page.replace(_BEFORE, f"{live}\n{_BEFORE}", 1)

    def look(self, content: bytes) -> dict[str, Any]:
        """What the network makes of a picture: the parts of the page that change.

        Raises:
            ValueError: the bytes are no picture, it shows nothing, or the network failed on it.
        """
        subject = self.subject.shown(read_picture(content))
        with self._lock:
            record = inspect(subject.model, *subject.inputs, maps=True, backward=False)
        if record.error is not None:
            raise ValueError(f"{record.error.name}: {record.error.message}")
        return {
            "maps": maps_of(record),
            "image": picture_of(subject.image, record) if subject.image is not None else None,
            "seconds": record.seconds,
            "top": self._answers(record),
        }

    def _answers(self, record: Record) -> list[dict[str, Any]]:
        """The most probable classes, where the network gives one value for each."""
        output = record.operators[record.outputs[0]].output if record.outputs else None
        if output is None or output.dim() != 2 or output.shape[1] < 2:
            return []
        values, places = output[0].float().softmax(0).topk(min(_TOP, output.shape[1]))
        names = self.subject.classes
        return [
            {"class": names[i] if i < len(names) else str(i), "probability": round(v, 4)}
            for i, v in zip(places.tolist(), values.tolist(), strict=True)
        ]


def app_of(viewer: Viewer) -> Starlette:
    """The application: ``GET /`` is the page, ``POST /look`` takes a picture and answers JSON."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import HTMLResponse, JSONResponse
    from starlette.routing import Route

    async def page(request: Request) -> Response:
        return HTMLResponse(await run_in_threadpool(viewer.page), headers=_HEADERS)

    async def look(request: Request) -> Response:
        try:
            content = await _received(request)
            found = await run_in_threadpool(viewer.look, content)
        except _RefusedError as error:
            return JSONResponse({"error": str(error)}, error.status, headers=_HEADERS)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 422, headers=_HEADERS)
        return JSONResponse(found, headers=_HEADERS)

    return Starlette(
        routes=[Route("/", page), Route("/look", look, methods=["POST"])],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(_HOSTS))],
    )


_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def _received(request: Request) -> bytes:
    """The body of a request from our own page, as long as it is not too long."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise _RefusedError(403, f"origin = {origin}: only this page may ask")
    said = request.headers.get("content-length", "0")
    if said.isdigit() and int(said) > MOST_BYTES:
        raise _RefusedError(413, f"{int(said):,} bytes: at most {MOST_BYTES:,}")
    parts, size = [], 0
    stream: AsyncIterator[bytes] = request.stream()
    async for part in stream:
        size += len(part)
        if size > MOST_BYTES:
            raise _RefusedError(413, f"more than {MOST_BYTES:,} bytes")
        parts.append(part)
    return b"".join(parts)


def serve(
    subject: Subject, port: int = 0, ready: Callable[[str], None] = lambda address: None
) -> None:
    """Serve the page of a network until somebody stops it; ``ready`` is told the address.

    Args:
        subject: the network, of :func:`cenote.inspection.subject.load_subject`.
        port: of the loopback address; 0 takes one that is free.
        ready: called when the address answers.

    Raises:
        ValueError: the port is taken, or the network's first input is no image.
    """
    import socket

    import uvicorn

    if subject.prepare is None:
        raise ValueError(
            "model: its first input is no image (N, C, H, W); cenote inspect --html shows it"
        )
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
    except OSError as error:
        listening.close()
        raise ValueError(f"port = {port}: {error.strerror}") from None
    viewer = Viewer(subject)
    config = uvicorn.Config(app_of(viewer), log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    ready(f"http://127.0.0.1:{listening.getsockname()[1]}/")
    server.run(sockets=[listening])
