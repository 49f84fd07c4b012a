"""What the commands below ``cenote bench`` print and write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cenote.benchmarking import convolution, grid, networks
from cenote.benchmarking import pooling as benchmark
from cenote.benchmarking import table as tables
from cenote.benchmarking.choosing import Rows
from cenote.benchmarking.convolution import grid as conv_grid
from cenote.benchmarking.convolution import plan as conv_benchmark
from cenote.benchmarking.convolution import table as conv_tables
from cenote.benchmarking.networks import grid as net_grid
from cenote.benchmarking.networks import own
from cenote.benchmarking.networks import plan as net_benchmark
from cenote.benchmarking.networks import table as net_tables
from cenote.benchmarking.pages import update
from cenote.benchmarking.pooling import Plan
from cenote.benchmarking.record import AnyRecord, read

__all__ = ["conv", "model", "nets", "pages", "pooling", "table"]


def pooling(plan: Plan, *, show: bool = False) -> bool:
    """Measure and print row by row; False where it was stopped. ``show`` prints the rows alone."""
    from rich.console import Console

    if show:
        _show(plan.rows(), grid.QUICK if plan.quick else grid.GRID, grid.named)
        return True
    console = Console(highlight=False)
    record = benchmark.run(plan, each=tables.Printer(console).row)
    tables.print_record(record, console, rows=False)
    return _ended(record, plan.out, console)


def conv(plan: convolution.Plan, *, show: bool = False) -> bool:
    """The same for convolutions."""
    from rich.console import Console

    if show:
        blocks = conv_grid.QUICK if plan.quick else conv_grid.GRID
        _show(plan.rows(), blocks, conv_grid.named)
        return True
    console = Console(highlight=False)
    record = conv_benchmark.run(plan, each=conv_tables.printer(console).row)
    conv_tables.print_record(record, console, rows=False)
    return _ended(record, plan.out, console)


def nets(plan: networks.Plan, *, show: bool = False) -> bool:
    """The same for whole networks; what the record has already is not measured again."""
    from rich.console import Console

    if show:
        for row in plan.rows():
            print(f"{row}: {'x'.join(map(str, net_grid.of(row.network).shape))}")
        return True
    console = Console(highlight=False)
    record = net_benchmark.run(plan, each=net_tables.printer(console).row)
    net_tables.print_record(record, console, rows=False)
    return _ended(record, plan.out, console)


def model(target: str, sizes: Sequence[str], **options: Any) -> None:
    """Measure a model of one's own before and after ``cenote.accelerate``, and print both."""
    from rich.console import Console

    own.print_compared(own.compare(target, sizes, **options), Console(highlight=False))


def _ended(record: AnyRecord, out: Path | None, console: Any) -> bool:
    if out:
        console.print(f"the record: {out}", soft_wrap=True)
    return record["complete"]


def _show(rows: Sequence[Any], blocks: Sequence[Rows[Any]], named: Callable[[str], Any]) -> None:
    wanted = {row.key for row in rows}
    for block in blocks:
        mine = [row for row in block.rows() if row.key in wanted]
        if mine:
            print(f"# {block.reason}")
        for row in mine:
            wanted.discard(row.key)
            case = named(row.case)
            print(f"{row}: {'x'.join(map(str, case.shape))}, {case.reason}")
    for row in rows:
        if row.key in wanted:
            print(row)


def table(path: Path) -> None:
    """Print a record that was stored."""
    from rich.console import Console

    record, console = read(path), Console(highlight=False)
    if record["benchmark"] == "convolution":
        conv_tables.print_record(record, console)
    elif record["benchmark"] == "networks":
        net_tables.print_record(record, console)
    else:
        tables.print_record(record, console)


def pages(paths: list[Path], targets: list[Path]) -> None:
    """Fill the places for tables in pages."""
    records = [read(path) for path in paths]
    for page in targets:
        text = page.read_text("utf-8")
        page.write_text(update(text, records), "utf-8")
        print(page)
