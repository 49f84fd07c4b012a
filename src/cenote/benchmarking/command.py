"""What the commands below ``cenote bench`` print and write."""

from __future__ import annotations

from pathlib import Path

from cenote.benchmarking import grid
from cenote.benchmarking import pooling as benchmark
from cenote.benchmarking.pages import update
from cenote.benchmarking.pooling import Plan
from cenote.benchmarking.record import read
from cenote.benchmarking.table import Printer, print_record

__all__ = ["pages", "pooling", "table"]


def pooling(plan: Plan, *, show: bool = False) -> bool:
    """Measure and print row by row; False where it was stopped. ``show`` prints the rows alone."""
    from rich.console import Console

    console = Console(highlight=False)
    if show:
        _show(plan, console)
        return True
    record = benchmark.run(plan, each=Printer(console).row)
    print_record(record, console, rows=False)
    if plan.out:
        console.print(f"the record: {plan.out}", soft_wrap=True)
    return record["complete"]


def _show(plan: Plan, console: object) -> None:
    rows = plan.rows()
    wanted = {row.key for row in rows}
    for block in grid.QUICK if plan.quick else grid.GRID:
        mine = [row for row in block.rows() if row.key in wanted]
        if mine:
            print(f"# {block.reason}")
        for row in mine:
            wanted.discard(row.key)
            case = grid.named(row.case)
            print(f"{row}: {'x'.join(map(str, case.shape))}, {case.reason}")
    for row in rows:
        if row.key in wanted:
            print(row)


def table(path: Path) -> None:
    """Print a record that was stored."""
    from rich.console import Console

    print_record(read(path), Console(highlight=False))


def pages(paths: list[Path], targets: list[Path]) -> None:
    """Fill the places for tables in pages."""
    records = [read(path) for path in paths]
    for page in targets:
        text = page.read_text("utf-8")
        page.write_text(update(text, records), "utf-8")
        print(page)
