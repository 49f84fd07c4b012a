"""Pictures that calculate: numbers on grids, a kernel, and what comes of them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from cenote.inspection.kinds.canvas import Canvas, mix
from cenote.inspection.kinds.grids import (
    Grid,
    caption,
    costs,
    header,
    indices,
    number,
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

__all__ = ["flip", "plain", "separable"]

_TIMES, _STAR = "\N{MULTIPLICATION SIGN}", "\N{STAR OPERATOR}"
_NONE = ((0, 0), (0, 0))


def plain(plan: Plan, theme: Theme) -> Canvas:
    """Two windows on a padded input, the kernel, and the outputs that they make."""
    canvas, step = sheet(19.4, theme), plan.steps[0]
    axis, pads = step.window[1], [a.padding for a in step.window]
    colours = (theme.first, theme.second)
    header(canvas, f"plain: {step.window}", sizes(axis, step.n[1], step.out[1]))
    given, made = Grid(3.6, 7.2, step.n), Grid(25.6, 8.2, step.out)
    weight = Grid(15.4, 8.2, tuple(a.kernel for a in step.window))
    for grid, around in ((given, pads), (weight, _NONE), (made, _NONE)):
        grid.draw(canvas, around)
        indices(canvas, grid, around)
    two_windows(canvas, given, step, plan.units, colours)
    for unit, colour in zip(plan.units, colours, strict=True):
        window(canvas, made, [unit], colour)
    for position in sorted(set(positions(step.n, pads)) - set(positions(step.n))):
        canvas.words(*given.middle(position), "0", size=9, colour=theme.soft)
    for grid, values in ((given, step.given), (weight, step.weight), (made, step.made)):
        grid.numbers(canvas, values)
    y = given.corner((-pads[0][0], 0))[1] - 1.45
    starts = [given.corner((0, axis.start(unit[1])))[0] for unit in plan.units]
    canvas.arrow((starts[0], y), (starts[1], y), theme.ink)
    canvas.words(starts[1] + 0.3, y, f"stride {axis.stride}", size=9, side="left")
    canvas.words(12.2, made.middle((1, 1))[1], _STAR, size=24)
    canvas.words(21.6, made.middle((1, 1))[1], "=", size=15)
    caption(canvas, 6.1, 14.1, "input", f"{times(step.n)}, zeros around")
    caption(canvas, 16.9, 12.2, "weight", times(weight.n))
    caption(canvas, 27.1, 12.2, "output", times(step.out))
    for row, (unit, colour) in enumerate(zip(plan.units, colours, strict=True)):
        text = _sum_of(step, unit)
        canvas.words(14, 14.8 + 1.15 * row, text, size=9, colour=colour, side="left", bold=True)
    costs(canvas, f"{step_costs(step)}; the sums leave out the padding and weights of 0")
    return canvas


def _sum_of(step: Step, unit: Position) -> str:
    """The products that make an output."""
    values = dict(zip(positions(step.n), step.given, strict=True))
    pairs = zip(step.weight, step.whole(unit), strict=True)
    parts = [(w, values[at]) for w, at in pairs if w and at in values]
    products = (f"{f'({number(w)})' if w < 0 else number(w)} * {number(x)}" for w, x in parts)
    result = step.made[positions(step.out).index(unit)]
    return f"out[{', '.join(map(str, unit))}] = {' + '.join(products)} = {number(result)}"


def separable(plan: Plan, theme: Theme) -> Canvas:
    """A column of taps, then a row of them; their product is the kernel of one convolution."""
    canvas, dense = sheet(21.6, theme), plan.beside
    assert dense is not None
    down, across = plan.steps
    header(
        canvas, f"spatially separable: {down.window}, then {across.window}",
        f"the product of both is a {dense.window} kernel: the same output in two short steps",
    )  # fmt: skip
    seen = levels([step.reads for step in plan.steps], plan.units[0])
    one = sorted(seen[1])[1]  # of the units between, the one whose own window is shown
    grids = [Grid(3.2, 6, down.n), Grid(13.6, 7, down.out), Grid(25, 7, across.out)]
    names = ("input", f"after {down.window}", f"after {across.window}")
    parts = (down.whole(one), (one,), ())
    values = (down.given, across.given, across.made)
    for grid, name, units, part, shown in zip(grids, names, seen, parts, values, strict=True):
        grid.draw(canvas)
        indices(canvas, grid)
        window(canvas, grid, units, theme.first)
        if part:
            window(canvas, grid, part, theme.second)
        grid.numbers(canvas, shown)
        caption(canvas, grid.x + grid.wide / 2, grid.y + grid.high + 0.9, name, times(grid.n))
    for (left, right), step in zip(itertools.pairwise(grids), plan.steps, strict=True):
        start, y = left.x + left.wide + 0.7, grids[0].y + grids[0].high / 2
        canvas.arrow((start, y), (right.x - 1.5, y), theme.ink)
        canvas.words((start + right.x - 1.5) / 2, y - 0.7, str(step.window), size=9)
    _product(canvas, 15.4, (down, across, dense))
    costs(canvas, f"{down.parameters} + {across.parameters} weights, {down.macs} + {across.macs}"
          f" multiply-accumulates; in one step {dense.parameters} and {dense.macs}")  # fmt: skip
    return canvas


def _product(canvas: Canvas, y: float, steps: Sequence[Step]) -> None:
    """A column times a row is a kernel, in numbers."""
    theme = canvas.theme
    places = ((7.2, y, theme.second), (11.2, y + 1, theme.first), (17.4, y, None))
    for (x, top, tone), step in zip(places, steps, strict=True):
        grid = Grid(x, top, tuple(axis.kernel for axis in step.window))
        grid.draw(canvas, fill=mix(tone, theme.paper, 0.32) if tone else None)
        grid.numbers(canvas, step.weight)
    canvas.words(9.7, y + 1.5, _TIMES, size=13)
    canvas.words(15.8, y + 1.5, "=", size=15)
    canvas.words(4.2, y + 1.5, "weights", bold=True)
    canvas.words(21.4, y + 1.5, "the kernel of one convolution", size=9, side="left")


def flip(plan: Plan, theme: Theme) -> Canvas:
    """A single 1, and what either way of sliding makes of it."""
    canvas, unit = sheet(19.2, theme), plan.units[0]
    straight, turned = plan.steps
    header(canvas, "flip: cross-correlation turns the kernel round, convolution keeps it",
           "cross-correlation: out[o] = sum of x[o - before + k] * weight[k]",
           "convolution: the same with weight[kernel - 1 - k]")  # fmt: skip
    kernel = tuple(axis.kernel for axis in straight.window)
    given, weight = Grid(2.6, 7.4, straight.n), Grid(11.8, 8.4, kernel)
    given.draw(canvas, [axis.padding for axis in straight.window])
    window(canvas, given, straight.whole(unit), theme.first)
    one = positions(straight.n)[straight.given.index(1)]
    canvas.cells([given.corner(one)], fill=mix(theme.second, theme.paper, 0.75))
    given.numbers(canvas, straight.given)
    weight.draw(canvas)
    most = max(straight.weight)
    _shaded(canvas, weight, straight.weight, most)
    caption(canvas, 5.1, 14.2, "input", f"{times(straight.n)}, zeros around")
    caption(canvas, 13.3, 12.3, "weight", times(kernel))
    canvas.words(9.9, given.middle(one)[1], _STAR, size=24)
    canvas.words(16.4, given.middle(one)[1], "=", size=15)
    for x, step, name, way in (
        (18, straight, "cross-correlation", "flip=False, as everywhere"),
        (25.2, turned, "convolution", "flip=True, as in mathematics"),
    ):
        made = Grid(x, 7.4, step.out)
        made.draw(canvas)
        _shaded(canvas, made, step.made, most)
        window(canvas, made, [unit], theme.first, fill=False)
        caption(canvas, x + made.wide / 2, 13.3, name, way)
    taps = tuple(a.tap(o, i) for a, o, i in zip(straight.window, unit, one, strict=True))
    costs(canvas, f"The window of output {list(unit)} meets the 1 with tap {list(taps)}, which is"
          f" {number(straight.weight[positions(kernel).index(taps)])}; turned, the kernel has"
          f" {number(turned.made[positions(turned.out).index(unit)])} there")  # fmt: skip
    return canvas


def _shaded(canvas: Canvas, grid: Grid, values: Sequence[float], most: float) -> None:
    """Numbers on cells that are the darker the larger they are."""
    theme = canvas.theme
    for position, value in zip(positions(grid.n), values, strict=True):
        if value:
            fill = mix(theme.second, theme.paper, 0.1 + 0.6 * value / most)
            canvas.cells([grid.corner(position)], fill=fill, edge=theme.paper, width=0.6)
    grid.numbers(canvas, values)
