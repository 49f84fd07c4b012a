"""Pictures of what convolutions do to channels: which feed which, beside the window in space."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from cenote.inspection.kinds.canvas import Canvas, Point, mix
from cenote.inspection.kinds.grids import (
    Grid,
    caption,
    costs,
    header,
    sheet,
    step_costs,
    times,
    window,
)
from cenote.inspection.kinds.plans import Plan, Step, levels
from cenote.inspection.style import Theme

__all__ = ["in_steps", "one_step", "shuffled"]

_NODE, _PITCH = 0.95, 1.35
_MIDDLE, _FOOT = 9.2, 14.5  # of what stands side by side, and the line of captions below
Colours = Sequence[str | None]


def one_step(plan: Plan, theme: Theme) -> Canvas:
    """The window in space, the channels that feed one another, and the weight as a table."""
    canvas, step = sheet(19.6, theme), plan.steps[0]
    groups, reads, made = _groups(step.feeds), _channels(step), len(step.feeds)
    title = _TITLES[plan.name]
    header(canvas, title.format(window=step.window, groups=len(groups), each=made // reads),
           _RULES[plan.name])  # fmt: skip
    _space(canvas, step, plan)
    into, out = _tones(step, theme)
    left, right = _column(canvas, 16.5, into), _column(canvas, 20.7, out)
    _wires(canvas, (left, right), step.feeds, (into, out))
    for (x, y), name in ((left[0], "in"), (right[0], "out")):
        canvas.words(x, y - 0.95, name, size=8, colour=theme.soft)
    caption(canvas, 18.6, _FOOT, "channels", f"{reads} to {made}")
    _table(canvas, 24.6, _MIDDLE - made / 2, step, out)
    taps = times(axis.kernel for axis in step.window)
    below = f"{taps} kernels, else 0" if len(groups) > 1 else f"each cell a {taps} kernel"
    caption(canvas, 24.6 + reads / 2, _FOOT, "weight", below)
    costs(canvas, _compared(plan))
    return canvas


_TITLES = {
    "pointwise": "pointwise: {window}, all channels of each position",
    "grouped": "grouped: {window}, {groups} groups",
    "depthwise": "depthwise: {window}, multiplier {each}",
    "depthwise_separable": "depthwise separable: every channel by itself, then all of them",
    "flattened": "flattened: along the channels, the height and the width in turn",
}
_RULES = {
    "pointwise": "every output channel is a weighted sum of the input channels, pixel by pixel",
    "grouped": "each run of output channels sees one run of input channels, and no other",
    "depthwise": "channel c makes the output channels c * m to c * m + m - 1, each by a kernel",
    "depthwise_separable": "space first and channels afterwards, each where it is cheap",
    "flattened": "every filter is the outer product of three vectors",
}


def shuffled(plan: Plan, theme: Theme) -> Canvas:
    """Two grouped layers that never mix, beside two with the outputs of the first in turns."""
    canvas = sheet(19.6, theme)
    first, second = plan.steps
    header(
        canvas,
        f"shuffled grouped: {first.window}, the outputs in turns",
        "output channel k * g + i is the k-th of group i: the next layer sees all groups",
    )
    _space(canvas, first, plan)
    for x, steps, name, verdict in (
        (15.6, (second, second), "grouped twice", "the groups never meet"),
        (24.6, (first, second), "shuffled, then grouped", "every output sees both groups"),
    ):
        _two_layers(canvas, x, steps)
        caption(canvas, x + 2.8, _FOOT, name, verdict)
    costs(canvas, f"{step_costs(first)} a layer, as without the shuffle")
    return canvas


def _two_layers(canvas: Canvas, x: float, steps: Sequence[Step]) -> None:
    """Channels through two layers, the last in the colours of all that they depend on."""
    into, between = _tones(steps[0], canvas.theme)
    blank: list[str | None] = [None] * len(steps[1].feeds)
    tones = (into, between, blank)
    columns = [_column(canvas, x + 2.8 * place, column) for place, column in enumerate(tones)]
    for place, step in enumerate(steps):
        _wires(canvas, columns[place : place + 2], step.feeds, tones[place : place + 2])
    for channel, node in enumerate(columns[2]):
        seen = levels([step.feeds for step in steps], channel)[0]
        mixed = dict.fromkeys(into[read] for read in sorted(seen))
        _node(canvas, node, [tone for tone in mixed if tone], channel)


def in_steps(plan: Plan, theme: Theme) -> Canvas:
    """Steps one after the other: the positions above, the channels below."""
    canvas, count = sheet(25.6, theme), len(plan.steps) + 1
    header(canvas, _TITLES[plan.name], _RULES[plan.name])
    canvas.words(1, 4.7, "positions", side="left", bold=True)
    canvas.words(1, 13.6, "channels", side="left", bold=True)
    seen = levels([step.reads for step in plan.steps], plan.units[0])
    middles = [1 + 30 / count * (place + 0.5) for place in range(count)]
    sizes = [plan.steps[0].n, *(step.out for step in plan.steps)]
    tones, columns = _tones_of_steps(plan, theme), []
    for place, (x, n, units) in enumerate(zip(middles, sizes, seen, strict=True)):
        grid = Grid(x - n[1] * 0.4, 8.2 - n[0] * 0.4, n, 0.8)
        pads = [axis.padding for axis in plan.steps[place].window] if place < count - 1 else []
        grid.draw(canvas, pads or ((0, 0), (0, 0)))
        window(canvas, grid, units, theme.ink)
        canvas.words(x, 11.7, times(n), size=9, colour=theme.soft)
        columns.append(_column(canvas, x, tones[place], 16.2))
    for place, step in enumerate(plan.steps):
        x = (middles[place] + middles[place + 1]) / 2
        canvas.arrow((x - 1, 8.2), (x + 1, 8.2), theme.ink)
        canvas.words(x, 7.5, "x".join(str(axis.kernel) for axis in step.window), size=9, bold=True)
        _wires(canvas, columns[place : place + 2], step.feeds, tones[place : place + 2])
        how = "all channels" if len(_groups(step.feeds)) == 1 else "each channel by itself"
        canvas.words(x, 20.6, how, size=9)
        canvas.words(x, 21.6, f"{step.parameters} weights", size=9, colour=theme.soft)
    costs(canvas, _compared(plan))
    return canvas


def _tones_of_steps(plan: Plan, theme: Theme) -> list[list[str | None]]:
    """The colours of the channels at the input and after each step."""
    tones: list[list[str | None]] = [[None] * _channels(plan.steps[0])]
    tones += [[None] * len(step.feeds) for step in plan.steps]
    for place, step in enumerate(plan.steps):
        if len(_groups(step.feeds)) > 1:
            tones[place], tones[place + 1] = _tones(step, theme)
    return tones


def _compared(plan: Plan) -> str:
    """Weights and multiply-accumulates of all steps, and of the plain convolution beside them."""
    weights = " + ".join(str(step.parameters) for step in plan.steps)
    macs = " + ".join(f"{step.macs:,}" for step in plan.steps)
    text = f"{weights} weights, {macs} multiply-accumulates"
    if plan.beside is None:
        return text
    plain = plan.beside
    taps = times(axis.kernel for axis in plain.window)
    return f"{text}; a plain {taps} convolution: {plain.parameters} and {plain.macs:,}"


def _channels(step: Step) -> int:
    return 1 + max(read for reads in step.feeds.values() for read in reads)


def _palette(theme: Theme) -> tuple[str, str, str]:
    return theme.first, theme.second, theme.third


def _groups(feeds: Mapping[int, tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The sets of inputs that outputs share, in order."""
    return sorted(set(feeds.values()))


def _tones(step: Step, theme: Theme) -> tuple[list[str | None], list[str | None]]:
    """The colours of inputs and outputs by group; of one group, an output to look at alone."""
    groups, palette = _groups(step.feeds), _palette(theme)
    if len(groups) == 1:
        return [None] * _channels(step), [palette[0], *[None] * (len(step.feeds) - 1)]
    into: list[str | None] = [None] * _channels(step)
    for group, colour in zip(groups, palette, strict=False):
        for channel in group:
            into[channel] = colour
    return into, [into[reads[0]] for reads in step.feeds.values()]


def _space(canvas: Canvas, step: Step, plan: Plan) -> None:
    """The window of one output on the input, and the output."""
    theme, unit = canvas.theme, plan.units[0]
    given = Grid(2.2, _MIDDLE - 0.4 * step.n[0], step.n, 0.8)
    made = Grid(9.4, _MIDDLE - 0.4 * step.out[0], step.out, 0.8)
    given.draw(canvas, [axis.padding for axis in step.window])
    made.draw(canvas)
    window(canvas, given, step.whole(unit), theme.ink)
    window(canvas, made, [unit], theme.ink)
    canvas.arrow((given.x + given.wide + 1.1, _MIDDLE), (made.x - 0.5, _MIDDLE), theme.ink)
    middle = (given.x + made.x + made.wide) / 2
    caption(canvas, middle, _FOOT, "positions", f"{times(step.n)} to {times(step.out)}")


def _column(canvas: Canvas, x: float, tones: Colours, middle: float = _MIDDLE) -> list[Point]:
    """Channels under one another; their middles."""
    start = middle - _PITCH * (len(tones) - 1) / 2
    nodes = [(x, start + _PITCH * place) for place in range(len(tones))]
    for channel, (node, tone) in enumerate(zip(nodes, tones, strict=True)):
        _node(canvas, node, [tone] if tone else [], channel)
    return nodes


def _node(canvas: Canvas, node: Point, tones: Sequence[str], label: int) -> None:
    """A channel in the colours of all that it is made of."""
    theme = canvas.theme
    x, y = node[0] - _NODE / 2, node[1] - _NODE / 2
    grey = mix(theme.soft, theme.paper, 0.75)
    canvas.cells([(x, y)], size=_NODE, fill=theme.zero)
    wide = _NODE / max(1, len(tones))
    for place, tone in enumerate(tones):
        left = x + place * wide
        part = [(left, y), (left + wide, y), (left + wide, y + _NODE), (left, y + _NODE)]
        canvas.polygons([part], fill=mix(tone, theme.paper, 0.4))
    canvas.box(x, y, _NODE, _NODE, tones[0] if len(tones) == 1 else grey, width=1.2)
    canvas.words(*node, str(label), size=8)


def _wires(
    canvas: Canvas,
    columns: Sequence[Sequence[Point]],
    feeds: Mapping[int, tuple[int, ...]],
    tones: Sequence[Colours],
) -> None:
    """A line for every input of every output, in the colour of one of its ends."""
    pale = mix(canvas.theme.soft, canvas.theme.paper, 0.35)
    (left, right), (into, out) = columns, tones
    by_colour: dict[str, list[list[Point]]] = {}
    for made, reads in feeds.items():
        for read in reads:
            (x, y), (to, end) = left[read], right[made]
            line = [(x + _NODE / 2 + 0.1, y), (to - _NODE / 2 - 0.1, end)]
            by_colour.setdefault(into[read] or out[made] or pale, []).append(line)
    for colour in sorted(by_colour, key=lambda colour: colour != pale):
        canvas.lines(by_colour[colour], colour, width=1 if colour == pale else 1.4)


def _table(canvas: Canvas, x: float, y: float, step: Step, out: Colours) -> None:
    """A row an output and a column an input: coloured where there is a kernel."""
    theme = canvas.theme
    grid = Grid(x, y, (len(step.feeds), _channels(step)))
    grid.draw(canvas, fill=theme.paper)
    for made, reads in step.feeds.items():
        fill = mix(out[made] or theme.soft, theme.paper, 0.5 if out[made] else 0.25)
        canvas.cells((grid.corner((made, read)) for read in reads), fill=fill, edge=theme.paper,
                     width=1)  # fmt: skip
    for read, made in itertools.zip_longest(range(_channels(step)), step.feeds):
        if read is not None:
            at, top = grid.middle((0, read))
            canvas.words(at, top - 0.95, str(read), size=7.5, colour=theme.soft)
        if made is not None:
            at, top = grid.middle((made, 0))
            canvas.words(at - 0.8, top, str(made), size=7.5, colour=theme.soft, side="right")
    canvas.words(x + grid.wide / 2, y - 1.25, "in", size=8, colour=theme.soft)
    canvas.words(x - 1.3, y + grid.high / 2, "out", size=8, colour=theme.soft, side="right")
