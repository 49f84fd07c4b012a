"""Figures in the papers are those of the stored records, to the letter."""

import re
from pathlib import Path

import pytest

from cenote.benchmarking.grid import rows
from cenote.benchmarking.networks import pages as networks
from cenote.benchmarking.pages import TABLES, update
from cenote.benchmarking.record import read

ROOT = Path(__file__).parent.parent
RECORDS = {path.stem: read(path) for path in sorted(ROOT.glob("benchmarks/results/pooling-*.json"))}
PAGES = [ROOT / "README.md", ROOT / "docs/performance.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_are_those_of_the_records(page):
    text = page.read_text("utf-8")
    places = re.findall(r"<!-- bench: (\S+) (\S+) -->", text)
    assert places
    assert text.count("<!-- end of bench -->") == len(places)
    assert {name for name, _ in places} <= TABLES.keys() | networks.TABLES.keys()
    assert {setting for _, setting in places} <= {"default", "raised"}
    assert update(text, list(RECORDS.values())) == text


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_is_whole_and_says_where_it_was_taken(name):
    record = RECORDS[name]
    assert record["complete"]
    assert name == f"pooling-{record['allocator']['setting']}"
    assert {"processor", "torch", "cenote", "threads", "isa"} <= record["machine"].keys()
    found = {(r["case"], r["reduce"], r["dtype"], r["layout"], r["pass"]) for r in record["rows"]}
    # What did not fit into memory beside what the allocator keeps is named.
    named = {
        row.key[:-1] for row in rows({}) if "of memory" in record["left_out"].get(str(row), "")
    }
    assert found | named == {row.key[:-1] for row in rows({})}
    assert len(named) <= 1


@pytest.mark.parametrize("name", RECORDS)
def test_every_figure_was_measured_more_than_once(name):
    for row in RECORDS[name]["rows"]:
        assert {"roof", "cenote"} <= row["contenders"].keys()
        assert all(figures["n"] >= 5 for figures in row["contenders"].values())
