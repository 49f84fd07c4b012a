"""Figures in the papers are those of the stored records, to the letter."""

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).parent.parent
RECORD = json.loads((ROOT / "benchmarks/results/pool2d.json").read_text())


def generated():
    spec = importlib.util.spec_from_file_location("pool2d", ROOT / "benchmarks/pool2d.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.table(RECORD).splitlines()


def test_the_table_is_the_record():
    assert "\n".join(generated()) in (ROOT / "docs/performance.md").read_text()


def test_the_readme_shows_rows_of_that_table():
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line[:1] == "|"]
    assert len(rows) > 4
    assert set(rows) <= set(generated())


def test_every_row_was_measured_more_than_once_and_says_where():
    assert {"processor", "torch", "cenote", "threads", "isa"} <= RECORD["machine"].keys()
    assert all(row["n"] >= 5 and row["ratio"] > 0 for row in RECORD["rows"])
