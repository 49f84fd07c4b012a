"""The tables in the networks' docstrings, by the inspector: ``python -m cenote.models.tables``.

Without arguments it says which docstrings show something else than :func:`cenote.inspect` sees,
and fails then; with ``--write`` it puts the right tables into them.
"""

from __future__ import annotations

import argparse
import ast
import inspect as python
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cenote import models
from cenote.inspection import Operator, inspect
from cenote.inspection.rows import Row, rows_of
from cenote.inspection.table import count_text
from cenote.window import Axis

__all__ = ["main", "names", "stale", "table", "write"]

_HEADINGS = ("layer", "what", "output", "field", "parameters", "MACs")
_RIGHT = (False, False, False, True, True, True)
_MODULES = {"LocalResponseNorm": "norm", "BatchNorm2d": "norm"}
_RULE = r" +(?:=+  )+=+"
_TABLE = rf"^{_RULE}\n.*\n{_RULE}\n(?:.*\n)*?{_RULE}$"


@dataclass
class _Line:
    """What a line of a table is about: a layer with weights or a mean, and what follows it."""

    name: str
    words: list[str]
    operators: list[Operator]
    times: int = 1

    def cells(self) -> tuple[str, ...]:
        """The text of each column."""
        last = self.operators[-1]
        what = ", ".join(self.words)
        return (
            self.name, f"{self.times} x {what}" if self.times > 1 else what,
            "x".join(map(str, last.shape[1:])), _field(last),
            f"{sum(o.parameters for o in self.operators):,}",
            count_text(sum(o.macs or 0 for o in self.operators)),
        )  # fmt: skip


def names() -> tuple[str, ...]:
    """The networks whose docstrings hold a table of this kind; LeNet-5's is its own."""
    return tuple(name for name in models.names() if name != "lenet5")


def table(name: str) -> str:
    """The table of the network called ``name``, as it comes without options.

    A line is a layer with weights, or a mean, and what follows it; of VGG, whose layers are all
    alike, those of one block. ``3x3/2`` is a window with stride 2, ``output`` is channels, height
    and width, ``field`` the side of the square of pixels that a unit sees, "all" where that is the
    whole image. The last line holds the sums.

    Raises:
        ValueError: there is no network of that name.
    """
    with torch.device("meta"):
        model: Any = models.get(name)
        image = torch.zeros(1, *model.input_shape)
    record = inspect(model, image, backward=False)
    kinds = {module.name: module.kind for module in record.modules}
    lines = [line.cells() for line in _lines(rows_of(record), kinds, name.startswith("vgg"))]
    lines.append(("all", "", "", "", f"{record.parameters:,}", count_text(record.totals.macs)))
    widths = [max(len(line[at]) for line in (_HEADINGS, *lines)) for at in range(len(_HEADINGS))]
    rule = "  ".join("=" * width for width in widths)
    return "\n".join(
        [rule, _text(_HEADINGS, widths), rule, *(_text(line, widths) for line in lines), rule]
    )


def _lines(rows: Sequence[Row], kinds: dict[str, str], merged: bool) -> list[_Line]:
    lines: list[_Line] = []
    for row in rows:
        word = _MODULES.get(kinds[row.name]) or _word(row.last)
        if not word:
            continue
        operators = list(row.operators)
        if not _begins(row.last, word):
            lines[-1].words.append(word)
            lines[-1].operators += operators
        elif merged and lines and _repeats(row.last, word, lines[-1]):
            lines[-1].times += 1
            lines[-1].words = [word]
            lines[-1].operators += operators
        else:
            name = row.name.rpartition(".")[2]
            lines.append(_Line(row.name if name.isdigit() else name, [word], operators))
    return lines


def _begins(operator: Operator, word: str) -> bool:
    return operator.kind in ("conv", "linear") or word.startswith("mean")


def _repeats(operator: Operator, word: str, line: _Line) -> bool:
    pooled = any("pool" in earlier for earlier in line.words)
    return operator.kind == "conv" and word == line.words[0] and not pooled


def _word(operator: Operator) -> str:
    """What an operator does, in few words; "" where it leaves every number as it is.

    Padding is left out where it keeps the size, the stride of a pooling where windows adjoin.
    """
    kind = operator.kind.replace("_", " ")
    before, after = operator.input_shapes[0], operator.shape
    if operator.kind == "reshape" or (operator.kind.startswith("adaptive") and before == after):
        return ""
    if operator.window is None:
        return kind
    if operator.kind.startswith("adaptive"):
        return "mean of each map" if after[2:] == (1, 1) else f"means to {after[2]}x{after[3]}"
    axis = operator.window[0]
    assert isinstance(axis, Axis)
    stride = "" if axis.stride == (1 if kind == "conv" else axis.kernel) else f"/{axis.stride}"
    words = [f"{kind} {axis.kernel}x{axis.kernel}{stride}"]
    if axis.before and axis.before != axis.kernel // 2:
        words.append(f"pad {axis.before}")
    if operator.details.get("groups", 1) > 1:
        words.append(f"{operator.details['groups']} groups")
    return ", ".join(words)


def _field(operator: Operator) -> str:
    field = operator.field
    if field is None:
        return "?"
    return "all" if field.everything else str(field.sizes[0])


def _text(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = (
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, _RIGHT, strict=True)
    )
    return "  ".join(aligned).rstrip()


def stale() -> list[str]:
    """The networks whose docstring does not show their table."""
    return [
        name for name in names() if table(name) not in (python.getdoc(getattr(models, name)) or "")
    ]


def write(name: str) -> None:
    """Put the table of the network called ``name`` into its docstring, in the source file.

    It takes the place of the one that is there, or of a line ``table: NAME``.
    """
    path = Path(python.getsourcefile(getattr(models, name)) or "")
    source = path.read_text(encoding="utf-8")
    # Not by inspect.getsource, which goes by the lines of the file that was imported.
    found = next(n for n in ast.parse(source).body if getattr(n, "name", "") == name)
    lines = source.splitlines(keepends=True)
    old = "".join(lines[found.lineno - 1 : found.end_lineno])
    indented = "\n".join(f"    {line}" for line in table(name).splitlines())
    new, places = re.subn(rf"{_TABLE}|^    table: {name}$", indented, old, count=1, flags=re.M)
    if places != 1:
        raise ValueError(f"{path}: {name}'s docstring has no place for a table")
    path.write_text(source.replace(old, new), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the tables, or write them; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m cenote.models.tables", description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the right tables in")
    wrong = stale()
    if parser.parse_args(arguments).write:
        for name in wrong:
            write(name)
            print(f"{name}: written")
        return 0
    for name in wrong:
        print(f"{name}: the docstring shows another table")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
