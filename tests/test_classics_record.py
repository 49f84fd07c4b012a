"""The record of the classics' trainings, and the page that shows it."""

import importlib.util
import json
from pathlib import Path

from cenote import models
from cenote.training import Config

ROOT = Path(__file__).parent.parent
RECORD = json.loads((ROOT / "benchmarks/results/classics.json").read_text())


def script():
    spec = importlib.util.spec_from_file_location("classics", ROOT / "benchmarks/classics.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_the_record():
    classics = script()
    text = (ROOT / "docs/networks.md").read_text()
    shown = text.split(classics.MARKS[0])[1].split(classics.MARKS[1])[0]
    assert shown.strip().splitlines() == list(classics.table(RECORD))


def test_the_record_is_of_the_plans():
    classics = script()
    assert RECORD["plans"] == {" on ".join(key): plan for key, plan in classics.PLANS.items()}
    for (network, data), plan in classics.PLANS.items():
        assert network in models.names()
        Config(network=network, data=data, **plan)  # or it would raise
    runs = [(r["network"], r["data"], r["layers"], r["seed"]) for r in RECORD["runs"]]
    assert len(set(runs)) == len(runs)
    assert all(run[:2] in classics.PLANS for run in runs)
