"""Feature maps as files: a sheet for each operator, or a picture for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cenote.inspection.drawing.paper import FORMATS, checked_file, on_paper, safe_name
from cenote.inspection.drawing.planes import Planes, planes_of, spatial_dims
from cenote.inspection.drawing.scale import Scale, draw_scale, not_finite
from cenote.inspection.drawing.sheets import Heading, draw_planes
from cenote.inspection.record import Operator, Record
from cenote.inspection.serial import title_of
from cenote.inspection.style import LIGHT, Theme
from cenote.training.files import replace_file

__all__ = ["draw_maps"]

_LEAST = 128  # pixels: smaller maps are enlarged to about this in pictures of one channel


@dataclass(frozen=True)
class _Drawn:
    """An operator with what is shown of it."""

    operator: Operator
    planes: Planes

    @property
    def heading(self) -> Heading:
        shape = " \N{MULTIPLICATION SIGN} ".join(map(str, self.operator.shape))
        name = self.operator.name or "the network itself"
        described = f"{title_of(self.operator)}, output {shape}, operator {self.operator.index}"
        return Heading(name, described)


def draw_maps(
    record: Record,
    path: Path | str,
    *,
    layers: Sequence[str | int] | str | int | None = None,
    per: str = "layer",
    scale: str = "layer",
    columns: int | None = None,
    channels: Sequence[int] | None = None,
    image: int = 0,
    format: str = "png",
    theme: Theme = LIGHT,
) -> list[Path]:
    """Draw the feature maps of a record that was made with ``maps=True``; returns the files.

    A unit is at least a pixel. ``path`` is a folder, which gets a file for each operator, such as
    ``03-features.conv2-conv.png``, or is itself a file in .png or .svg for one of them. With
    ``per="channel"``, it is a folder that gets a folder for each operator, with a PNG file for each
    channel (``000.png``, ...), and beside it a picture of the scale.

    Args:
        record: what was watched.
        path: where to draw.
        layers: modules, by their paths, or operators, by their indices. By default all operators
            with a spatial output that is not merely a view of another's.
        per: a picture per ``"layer"`` or per ``"channel"``.
        scale: each ``"layer"`` its own scale of colours, or one ``"shared"`` by all.
        columns: how many maps stand in a row.
        channels: those to draw; layers without one of them go without it.
        image: the one of the batch.
        format: of the files in a folder: ``"png"`` or ``"svg"``.
        theme: the colours.

    Raises:
        ValueError: the record holds no maps, or an argument is none of those allowed.
    """
    path = Path(path)
    _check(path, per, scale, columns, format)
    chosen = [_drawn(record, o, channels, image) for o in _chosen(record, layers)]
    drawn = [d for d in chosen if d.planes.channels]
    if not drawn:
        raise ValueError(f"channels = {channels}: no layer has one of them")
    shared = Scale.of(d.planes.values for d in drawn) if scale == "shared" else None
    if path.suffix and not path.is_dir() and len(drawn) > 1 and _is_picture(path):
        raise ValueError(
            f"path = {str(path)!r}: {len(drawn)} operators do not go into one file; "
            "give a folder, or one of them as layers"
        )
    digits = max(2, len(str(len(record.operators) - 1)))
    files = []
    for d in drawn:
        its = shared or Scale.of([d.planes.values])
        name = _file_name(d.operator, digits)
        if per == "channel":
            files += _draw_channels(d, its, path / name, theme)
            continue
        file = path if _is_picture(path) else path / f"{name}.{format}"
        draw_planes(d.planes, its, d.heading, file, theme=theme, columns=columns)
        files.append(file)
    return files


def _check(path: Path, per: str, scale: str, columns: int | None, format: str) -> None:
    choices = {"per": (per, ("layer", "channel")), "scale": (scale, ("layer", "shared")),
               "format": (format, FORMATS)}  # fmt: skip
    for name, (value, allowed) in choices.items():
        if value not in allowed:
            raise ValueError(f"{name} = {value!r}: must be one of {', '.join(allowed)}")
    if columns is not None and columns < 1:
        raise ValueError(f"columns = {columns}: must be at least 1")
    if _is_some_picture(path) and not path.is_dir():
        checked_file(path)
    if per == "channel" and (_is_picture(path) or format != "png"):
        wrong = f"path = {str(path)!r}" if _is_picture(path) else f"format = {format!r}"
        raise ValueError(f"{wrong}: per = 'channel' makes a folder of PNG files for each layer")


def _is_some_picture(path: Path) -> bool:
    """Whether a path is called like a picture of any format."""
    from PIL import Image

    return path.suffix.lower() in Image.registered_extensions()


def _is_picture(path: Path) -> bool:
    return path.suffix.lower().removeprefix(".") in FORMATS and not path.is_dir()


def _chosen(record: Record, layers: Sequence[str | int] | str | int | None) -> list[Operator]:
    """The operators to draw, in the order in which they ran."""
    if not any(o.output is not None for o in record.operators):
        raise ValueError("record: holds no feature maps; watch the network with maps=True")
    if layers is None:
        # A view shows what its source shows already.
        found = [o for o in record.operators if o.written and spatial_dims(record, o)]
        if not found:
            raise ValueError("record: no operator has an output with spatial axes")
        return found
    wanted: set[int] = set()
    for layer in [layers] if isinstance(layers, str | int) else layers:
        spatial = [o.index for o in _of_layer(record, layer) if spatial_dims(record, o)]
        if not spatial:
            raise ValueError(f"layers = {layer!r}: has no output with spatial axes")
        wanted.update(spatial)
    return [o for o in record.operators if o.index in wanted]


def _of_layer(record: Record, layer: str | int) -> list[Operator]:
    if isinstance(layer, str):
        try:
            return record.named(layer)
        except KeyError as error:
            raise ValueError(f"layers: {error.args[0]}") from None
    count = len(record.operators)
    if not 0 <= layer < count:
        raise ValueError(f"layers = {layer}: must lie in 0 to {count - 1}")
    return [record.operators[layer]]


def _drawn(
    record: Record, operator: Operator, channels: Sequence[int] | None, image: int
) -> _Drawn:
    dims = spatial_dims(record, operator)
    assert operator.output is not None
    assert dims is not None
    others = [n for d, n in enumerate(operator.output.shape) if d not in dims]
    batch = others[0] if len(others) > 1 else 1
    if not 0 <= image < batch:
        raise ValueError(f"image = {image}: must lie in 0 to {batch - 1}")
    count = 1
    for n in others[1:] if len(others) > 1 else others:
        count *= n
    if channels is not None:
        if any(channel < 0 for channel in channels):
            raise ValueError(f"channels = {channels}: must not be negative")
        channels = [channel for channel in channels if channel < count]
    depth = operator.field.axes[0].name if operator.field else "the first axis"
    planes = planes_of(operator.output, dims, image=image, channels=channels, depth=depth)
    return _Drawn(operator, planes)


def _file_name(operator: Operator, digits: int) -> str:
    parts = [f"{operator.index:0{digits}d}", safe_name(operator.name), safe_name(operator.kind)]
    return "-".join(filter(None, parts))


def _draw_channels(drawn: _Drawn, scale: Scale, folder: Path, theme: Theme) -> list[Path]:
    """A file for each channel, straight from its levels and their palette, and the scale."""
    from PIL import Image, PngImagePlugin

    planes = drawn.planes
    if planes.values.dim() == 2:
        raise ValueError(f"per = 'channel': {drawn.heading.title} has curves, of one axis each")
    palette = scale.palette(theme).tobytes()
    times = max(1, _LEAST // max(planes.values.shape[1:]))
    levels = scale.levels(planes.values).numpy().repeat(times, axis=1).repeat(times, axis=2)
    digits = max(3, len(str(max(planes.channels))))
    files = []
    for channel, plane in zip(planes.channels, levels, strict=True):
        picture = Image.fromarray(plane)
        picture.putpalette(palette)
        about = PngImagePlugin.PngInfo()
        about.add_itxt("Title", f"{drawn.heading.title}, channel {channel}")
        about.add_itxt("Description", f"{drawn.heading.subtitle}; colours {scale}")
        file = folder / f"{channel:0{digits}d}.png"
        replace_file(file, lambda path: picture.save(path, format="png", pnginfo=about))  # noqa: B023
        files.append(file)
    legend = folder.with_name(f"{folder.name}-scale.png")
    _draw_legend(drawn, scale, legend, theme)
    return [*files, legend]


def _draw_legend(drawn: _Drawn, scale: Scale, path: Path, theme: Theme) -> None:
    size, width = 13.0, 400
    notes = drawn.planes.notes
    with on_paper(width, round((5.5 + 1.5 * len(notes)) * size), theme) as paper:
        paper.words(size, size, drawn.heading.title, size, width - 2 * size, fontweight="bold")
        odd = not_finite(drawn.planes.values)
        draw_scale(paper, scale, size, 3 * size, 14 * size, size, odd)
        for line, note in enumerate(notes):
            paper.words(size, (5.2 + 1.5 * line) * size, note, size, color=theme.soft)
        paper.save(path)
