"""A figure measured in pixels from its upper left corner, and how it becomes a file."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cenote.inspection.style import Theme, themed
from cenote.training.files import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FORMATS", "Paper", "checked_file", "on_paper", "safe_name", "shortened"]

FORMATS = ("png", "svg")
_DPI = 100


class Paper:
    """A sheet of ``width`` x ``height`` pixels; sizes of text are in pixels too."""

    def __init__(self, width: int, height: int, theme: Theme) -> None:
        # A figure of its own rather than pyplot's: no global state, no window.
        from matplotlib.figure import Figure

        self.width, self.height, self.theme = width, height, theme
        # A trace more, which is cut off again: the size in inches must not round down to a pixel
        # less. More than a trace would move what is measured from the lower edge.
        size = ((width + 1e-3) / _DPI, (height + 1e-3) / _DPI)
        self.figure = Figure(figsize=size, dpi=_DPI)

    def axes(self, x: float, y: float, wide: float, high: float) -> Axes:
        """Bare axes whose upper left corner is at (x, y), measured in pixels downwards."""
        across, down = self.figure.get_size_inches() * _DPI
        axes = self.figure.add_axes((x / across, 1 - (y + high) / down, wide / across, high / down))
        axes.axis("off")
        axes.set_xlim(0, wide)
        axes.set_ylim(high, 0)
        return axes

    def words(
        self, x: float, y: float, text: str, size: float, room: float | None = None, **look: Any
    ) -> None:
        """Text, its upper left corner at (x, y) unless ``look`` aligns it otherwise.

        Where it is wider than ``room`` pixels, its middle is left out.
        """
        across, down = self.figure.get_size_inches() * _DPI
        look = {"va": "top", "color": self.theme.ink, **look}
        # Module paths may hold dollar signs, which matplotlib would take for formulas.
        drawn = self.figure.text(
            x / across, 1 - y / down, text, fontsize=size * 72 / _DPI, parse_math=False, **look
        )
        if room is None:
            return
        while len(text) > 3 and (width := drawn.get_window_extent().width) > room:
            text = shortened(text, min(len(text) - 1, int(len(text) * room / width)))
            drawn.set_text(text)

    def save(self, path: Path) -> None:
        """Write the file ``path``, PNG or SVG by its suffix, whole or not at all."""
        kind = path.suffix.lower().removeprefix(".")
        about: dict[str, Any] = {"Software": "cenote"} if kind == "png" else {"Date": None}
        replace_file(
            path,
            lambda temporary: self.figure.savefig(temporary, format=kind, dpi=_DPI, metadata=about),
        )

    def save_levels(
        self, path: Path, levels: np.ndarray, palette: np.ndarray, x: int, y: int
    ) -> None:
        """Write a PNG file of one byte a pixel, with ``levels`` (H, W) of the palette at (x, y).

        The rest of the sheet takes the nearest colours of the palette. This is several times as
        fast as an image in full colours, of which matplotlib makes several copies.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from PIL import Image

        canvas: Any = FigureCanvasAgg(self.figure)
        canvas.draw()
        colours = np.array(canvas.buffer_rgba()).view(np.uint32)[..., 0]
        marked = colours != colours[0, 0]  # nearly all is bare ground, as is the corner
        found, which = np.unique(colours[marked], return_inverse=True)
        indices = np.full(colours.shape, _nearest(colours[:1, 0], palette)[0])
        indices[marked] = _nearest(found, palette)[which]
        indices[y : y + levels.shape[0], x : x + levels.shape[1]] = levels
        picture = Image.fromarray(indices)
        picture.putpalette(palette.tobytes())
        replace_file(path, lambda temporary: picture.save(temporary, format="png"))


@contextlib.contextmanager
def on_paper(width: float, height: float, theme: Theme) -> Iterator[Paper]:
    """A sheet, with matplotlib set to ``theme`` for what is drawn and saved inside."""
    import matplotlib

    fixed: Any = {"svg.hashsalt": "cenote", "svg.fonttype": "none"}
    with themed(theme), matplotlib.rc_context(fixed):
        # As families of their own, so that one has the signs that another lacks.
        matplotlib.rcParams["font.family"] = matplotlib.rcParams["font.sans-serif"]
        yield Paper(round(width), round(height), theme)


def checked_file(path: Path | str) -> Path:
    """``path``, which must end in .png or .svg.

    Raises:
        ValueError: it ends otherwise.
    """
    path = Path(path)
    if path.suffix.lower().removeprefix(".") not in FORMATS:
        raise ValueError(f"path = {str(path)!r}: must end in .png or .svg")
    return path


def _nearest(colours: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """For each colour, RGBA in four bytes, the index of the palette's nearest, as uint8."""
    rgb = colours.view(np.uint8).reshape(-1, 4)[:, :3].astype(int)
    away = ((rgb[:, None] - palette[None].astype(int)) ** 2).sum(-1)
    return np.asarray(away.argmin(1).astype(np.uint8))


def safe_name(text: str, most: int = 100) -> str:
    """``text`` as a part of a file name that every file system takes.

    >>> safe_name("blocks.a/b: c")
    'blocks.a_b__c'
    """
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)[:most]


def shortened(text: str, most: int) -> str:
    """``text`` without its middle, where it has more than ``most`` characters.

    >>> shortened("features.block.conv1", 11)
    'featu…conv1'
    """
    if len(text) <= most:
        return text
    half = max(1, (most - 1) // 2)
    return f"{text[:half]}…{text[-half:]}"
