"""Pictures of what convolutions do to positions: windows on grids, and what they depend on."""

from __future__ import annotations

from collections.abc import Sequence

from cenote.field import compose
from cenote.inspection.kinds.canvas import Canvas, Point, mix
from cenote.inspection.kinds.grids import (
    Grid,
    caption,
    costs,
    header,
    indices,
    positions,
    sheet,
    sizes,
    step_costs,
    times,
    two_windows,
    window,
)
from cenote.inspection.kinds.plans import Plan, Position, Step, levels
from cenote.inspection.style import Theme

__all__ = ["causal", "dilated", "local", "transposed"]


def dilated(plan: Plan, theme: Theme) -> Canvas:
    """The same nine taps, ever further apart, and what is left of the output."""
    canvas = sheet(26, theme)
    header(canvas, "dilated: the same nine taps, further apart",
           "extent = (kernel - 1) * dilation + 1",
           "out = (n + before + after - extent) // stride + 1")  # fmt: skip
    for place, step in enumerate(plan.steps):
        middle, axis, unit = 5.6 + 10.4 * place, step.window[0], plan.units[0]
        given = Grid(middle - step.n[1] / 2, 8.2, step.n)
        made = Grid(middle - step.out[1] / 2, 16.6, step.out)
        caption(canvas, middle, 5.7, f"dilation {axis.dilation}",
                f"extent = ({axis.kernel} - 1) * {axis.dilation} + 1 = {axis.extent}")  # fmt: skip
        given.draw(canvas)
        indices(canvas, given)
        made.draw(canvas)
        window(canvas, given, step.whole(unit), theme.first)
        window(canvas, made, [unit], theme.first)
        x, y = given.corner((axis.extent, 0))
        left, top = made.corner(unit)
        beams = [[(x, y), (left, top)], [(x + axis.extent, y), (left + 1, top)]]
        canvas.lines(beams, mix(theme.first, theme.paper, 0.55), width=1)
        text = f"out = ({step.n[0]} - {axis.extent}) // {axis.stride} + 1 = {step.out[0]}"
        canvas.words(middle, made.y + made.high + 0.8, text, size=9, colour=theme.soft)
    extent = plan.steps[-1].window[0].extent
    costs(canvas, f"{plan.steps[0].parameters} weights at any dilation, where a window of extent"
          f" {extent} without holes has {extent**2}")  # fmt: skip
    return canvas


def local(plan: Plan, theme: Theme) -> Canvas:
    """One kernel everywhere beside a kernel for every position."""
    canvas = sheet(20.2, theme)
    shared, own = plan.steps
    header(canvas, f"locally connected: {own.window}, a kernel for every position",
           sizes(own.window[0], own.n[0], own.out[0]))  # fmt: skip
    given = Grid(1.6, 7.3, own.n)
    given.draw(canvas)
    two_windows(canvas, given, own, plan.units, (theme.first, theme.second))
    caption(canvas, 4.1, 15.4, "input", times(own.n))
    for x, step, name in ((9.4, shared, "convolution"), (20.9, own, "locally connected")):
        _kernels(canvas, x, 5.0, step, plan.units)
        caption(canvas, x + 4.8, 15.4, name, step_costs(step))
    costs(canvas, "Each small square is the kernel of one output position: there are as many sums,"
          " but no shared weights")  # fmt: skip
    return canvas


def _kernels(canvas: Canvas, x: float, y: float, step: Step, units: Sequence[Position]) -> None:
    """The kernel at every output position, its weights as colours."""
    theme, taps = canvas.theme, step.window.kernel_taps
    own = len(step.weight) > taps
    limit = max(map(abs, step.weight))
    edges = dict(zip(units, (theme.first, theme.second), strict=True))
    for place, unit in enumerate(positions(step.out)):
        grid = Grid(x + 3.3 * unit[1], y + 3.3 * unit[0], tuple(a.kernel for a in step.window))
        start = place * taps if own else 0
        weights = step.weight[start : start + taps]
        for position, weight in zip(positions(grid.n), weights, strict=True):
            tone = theme.first if weight > 0 else theme.second
            fill = mix(tone, theme.zero, abs(weight) / limit * 0.85)
            canvas.cells([grid.corner(position)], fill=fill, edge=theme.paper, width=0.6)
        edge = edges.get(unit, mix(theme.soft, theme.paper, 0.5))
        canvas.box(grid.x, grid.y, grid.wide, grid.high, edge, width=2.6 if unit in edges else 0.8)


def transposed(plan: Plan, theme: Theme) -> Canvas:
    """The windows of two inputs on the output, and how many windows meet at each output."""
    canvas = sheet(20, theme)
    step, even = plan.steps
    axis, n, out = step.window[0], step.n[0], step.out[0]
    before, after = axis.padding
    more = out - axis.adjoint(n)
    header(
        canvas, f"transposed: {step.window}, output_padding {more}",
        "out = (n - 1) * stride - before - after + extent + output_padding"
        f" = ({n} - 1) * {axis.stride} - {before} - {after} + {axis.extent} + {more} = {out}",
    )  # fmt: skip
    _spread(canvas, Grid(1.7, 8.5, step.n), Grid(9.2, 7, step.out), step, plan.units, more)
    canvas.arrow((5.2, 10), (7.7, 10), theme.ink)
    caption(canvas, 3.2, 15, "input", times(step.n))
    caption(canvas, 12.2, 15, f"output {times(step.out)}", "inputs a stride apart, a window each")
    for x, each, verdict in ((17.8, step, "a checkerboard"), (25, even, "even inside")):
        _overlaps(canvas, Grid(x, 7, each.out), each)
        sides = each.window[0]
        name = f"kernel {sides.kernel}, stride {sides.stride}"
        caption(canvas, x + each.out[1] / 2, 15, name, verdict)
    costs(canvas, f"{step_costs(step)}; windows overlap evenly where the stride divides the kernel")
    return canvas


def _spread(
    canvas: Canvas, given: Grid, made: Grid, step: Step, units: Sequence[Position], more: int
) -> None:
    """The inputs, and where they stand on the output, two of them with their windows."""
    theme = canvas.theme
    wholes = {unit: step.whole(unit) for unit in positions(step.n)}
    touched = [row for whole in wholes.values() for row, _ in whole]
    pads = max(0, -min(touched)), max(0, max(touched) + 1 - step.out[0])
    given.draw(canvas)
    made.draw(canvas, [pads, pads])
    added = [position for position in positions(step.out) if max(position) >= step.out[0] - more]
    canvas.cells(map(made.corner, added), fill=mix(theme.third, theme.paper, 0.3),
                 edge=mix(theme.third, theme.paper, 0.6))  # fmt: skip
    tones = dict(zip(units, (theme.first, theme.second), strict=True))
    two_windows(canvas, made, step, units, tuple(tones.values()))
    for unit, whole in wholes.items():
        if unit in tones:
            window(canvas, given, [unit], tones[unit])
        for x, y in (given.middle(unit), made.middle(whole[len(whole) // 2])):
            canvas.cells([(x - 0.2, y - 0.2)], size=0.4, fill=tones.get(unit, theme.soft))
    canvas.words(made.corner((0, -pads[0]))[0], made.y - 1.7, "padding: cut off", size=9,
                 colour=theme.soft, side="left")  # fmt: skip
    canvas.words(made.x + made.wide, made.y + made.high + 0.8, "output_padding", size=9,
                 colour=theme.third, side="right")  # fmt: skip


def _overlaps(canvas: Canvas, grid: Grid, step: Step) -> None:
    """How many inputs each output sums: what a kernel of ones makes of ones."""
    theme = canvas.theme
    for position, count in zip(positions(grid.n), step.made, strict=True):
        fill = mix(theme.first, theme.paper, 0.62 * count / max(step.made))
        canvas.cells([grid.corner(position)], fill=fill, edge=theme.paper, width=0.6)
    grid.numbers(canvas, step.made)
    canvas.words(grid.x + grid.wide / 2, grid.y - 0.8, "windows on each cell", size=9,
                 colour=theme.soft)  # fmt: skip


def causal(plan: Plan, theme: Theme) -> Canvas:
    """Everything that the last output depends on, through all layers."""
    canvas = sheet(21.6, theme)
    axes = [step.window[0] for step in plan.steps]
    field, unit = compose(axis.field for axis in axes), plan.units[0]
    apart = " + ".join(str(axis.dilation) for axis in axes)
    header(
        canvas, f"causal: kernel {axes[0].kernel}, dilations that double",
        "before = (kernel - 1) * dilation and after = 0: the output is as long as the input",
        f"field = 1 + (kernel - 1) * (sum of dilations) = 1 + {axes[0].kernel - 1} * ({apart})"
        f" = {field.size}",
    )  # fmt: skip
    seen = levels([step.reads for step in plan.steps], unit)
    _tree(canvas, plan, seen)
    for level, axis in enumerate(axes):
        y = (_moment(level, 0)[1] + _moment(level + 1, 0)[1]) / 2
        canvas.words(1, y - 0.36, f"dilation {axis.dilation}", size=9, side="left")
        zeros = f"{axis.padding[0]} zero{'s' if axis.padding[0] > 1 else ''} before"
        canvas.words(1, y + 0.42, zeros, size=7.5, colour=theme.soft, side="left")
    for level, name in ((0, "input"), (len(axes), "output")):
        canvas.words(1, _moment(level, 0)[1], name, side="left", bold=True)
    for at in range(plan.steps[0].n[0]):
        canvas.words(_moment(0, at)[0], 17.6, str(at), size=7.5, colour=theme.soft)
    canvas.words(1, 17.6, "time", size=7.5, colour=theme.soft, side="left")
    (first,), (last,) = min(seen[0]), max(seen[0])
    weights = sum(step.parameters for step in plan.steps)
    costs(canvas, f"Output {unit[0]} sees the {len(seen[0])} inputs from {first} to {last} and none"
          f" later, through {weights} weights")  # fmt: skip
    return canvas


def _moment(level: int, at: int) -> Point:
    """The middle of a time's cell, at the input or behind so many layers."""
    return 6.6 + 1.4 * at, 16.6 - 2.55 * level


def _tree(canvas: Canvas, plan: Plan, seen: Sequence[set[Position]]) -> None:
    """All that is read, and of it what one output depends on."""
    theme = canvas.theme
    strong: list[list[Point]] = []
    faint: list[list[Point]] = []
    for level, step in enumerate(plan.steps):
        for made, reads in step.reads.items():
            kept = strong if made in seen[level + 1] else faint
            kept += [[_moment(level, read[0]), _moment(level + 1, made[0])] for read in reads]
    canvas.lines(faint, mix(theme.soft, theme.paper, 0.3), width=0.9)
    canvas.lines(strong, theme.first, width=1.8)
    for level, units in enumerate(seen):
        grey = mix(theme.soft, theme.paper, 0.6)
        every = sorted((at,) for at in range(plan.steps[0].n[0]))
        share = 1.0 if level == len(plan.steps) else 0.45
        for lit, fill, edge in (
            (every, theme.zero, grey),
            (sorted(units), mix(theme.first, theme.paper, share), theme.first),
        ):
            middles = [_moment(level, at) for at, *_ in lit]
            canvas.cells([(x - 0.4, y - 0.4) for x, y in middles], size=0.8, fill=fill, edge=edge)
