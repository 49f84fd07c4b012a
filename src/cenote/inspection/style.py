"""The look of all pictures: two themes, the colours of signed values, and how a figure is set.

The hues are blue and orange, which people with any common colour blindness tell apart, and their
lightness differs from that of zero in both directions alike.
"""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import jinja2
    from matplotlib.colors import LinearSegmentedColormap

__all__ = ["DARK", "LIGHT", "THEMES", "Theme", "data_uri", "png", "templates", "themed"]


@dataclass(frozen=True)
class Theme:
    """Colours as #rrggbb: of sheet, text and lines, and of negative, zero and positive values."""

    name: str
    paper: str
    ink: str
    soft: str
    line: str
    first: str
    second: str
    third: str
    negative: tuple[str, str]
    zero: str
    positive: tuple[str, str]

    @property
    def anchors(self) -> tuple[str, ...]:
        """The colours of -1, -1/2, 0, 1/2 and 1."""
        return (self.negative[1], self.negative[0], self.zero, self.positive[0], self.positive[1])

    def colours(self, values: np.ndarray) -> np.ndarray:
        """RGB bytes (..., 3) of values in [-1, 1]."""
        stops = np.array([_rgb(anchor) for anchor in self.anchors], dtype=float)
        at = np.linspace(-1, 1, len(stops))
        channels = [np.interp(values, at, stops[:, c]) for c in range(3)]
        return np.stack(channels, axis=-1).round().astype(np.uint8)

    def colormap(self, *, signed: bool = True) -> LinearSegmentedColormap:
        """The same colours for matplotlib; not ``signed``, the half from zero up."""
        from matplotlib.colors import LinearSegmentedColormap

        anchors = self.anchors if signed else self.anchors[2:]
        return LinearSegmentedColormap.from_list(f"cenote-{self.name}", anchors)


LIGHT = Theme(
    name="light",
    paper="#ffffff",
    ink="#14262e",
    soft="#5d7078",
    line="#dde5e7",
    first="#0a6c86",
    second="#c8590a",
    third="#7a4fa3",
    negative=("#ef9a4d", "#8f3a02"),
    zero="#f4f6f5",
    positive=("#4aa3b8", "#06445a"),
)
DARK = Theme(
    name="dark",
    paper="#101d23",
    ink="#e3eef0",
    soft="#8fa6ad",
    line="#25373f",
    first="#55c3d8",
    second="#f59a4a",
    third="#bd9be6",
    negative=("#c0651b", "#ffcf9e"),
    zero="#16262d",
    positive=("#2594b0", "#b5f0fa"),
)
THEMES = (LIGHT, DARK)


@contextlib.contextmanager
def themed(theme: Theme) -> Iterator[None]:
    """Set matplotlib to ``theme`` for the pictures drawn inside."""
    import matplotlib

    settings: Any = {**_settings(theme), "font.sans-serif": _fonts()}
    with matplotlib.rc_context(settings):
        yield


def _settings(theme: Theme) -> dict[str, Any]:
    return {
        "figure.facecolor": theme.paper,
        "savefig.facecolor": theme.paper,
        "axes.facecolor": theme.paper,
        "axes.edgecolor": theme.line,
        "axes.labelcolor": theme.soft,
        "axes.titlecolor": theme.ink,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 12,
        "axes.labelsize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        "grid.color": theme.line,
        "grid.linewidth": 0.8,
        "text.color": theme.ink,
        "xtick.color": theme.soft,
        "ytick.color": theme.soft,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "xtick.minor.size": 0,
        "ytick.minor.size": 0,
        "xtick.labelsize": 10,
        "ytick.labelsize": 10,
        "lines.linewidth": 2.2,
        "lines.solid_capstyle": "round",
        "font.family": "sans-serif",
        "figure.dpi": 100,
        "savefig.dpi": 160,
    }


def _fonts() -> list[str]:
    """Plain faces that are installed; naming a missing one makes matplotlib complain in the log."""
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    wanted = ("Inter", "Source Sans 3", "Helvetica Neue", "Helvetica", "Arial", "Liberation Sans")
    return [*(name for name in wanted if name in installed), "DejaVu Sans"]


def png(pixels: np.ndarray) -> bytes:
    """RGB or RGBA bytes (H, W, 3 or 4), or grey (H, W), as a PNG file's content."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png", optimize=True)
    return buffer.getvalue()


def data_uri(content: bytes) -> str:
    """A PNG file's content as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def templates(*folders: Path) -> jinja2.Environment:
    """What makes pages of the templates in ``folders`` and of those that all pages share."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, Path(__file__).parent / "templates"]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
