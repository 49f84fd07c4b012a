"""What all tests share: the slow ones on demand, the number of random examples, one thread each."""

import os

import hypothesis
import pytest
import torch

import examples

hypothesis.settings.register_profile(
    "cenote",
    max_examples=max(1, examples.TOTAL // 10),  # where a test takes no share of its own
    deadline=None,  # first calls compile and load; a slow machine is no failure
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("cenote")

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)  # the workers share the cores already


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes gigabytes or minutes; CENOTE_SLOW=1 runs it")


def pytest_collection_modifyitems(items):
    if os.environ.get("CENOTE_SLOW") == "1":
        return
    skip = pytest.mark.skip(reason="slow: set CENOTE_SLOW=1")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(skip)


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):  # a worker of pytest-xdist reports to its master
        session.config.workeroutput["examples"] = dict(examples.FINISHED)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    examples.FINISHED.update(getattr(node, "workeroutput", {}).get("examples", {}))


def pytest_terminal_summary(terminalreporter):
    finished = examples.FINISHED
    if finished:
        terminalreporter.section("random examples")
        for name, count in sorted(finished.items()):
            terminalreporter.write_line(f"{count:8,} {name}")
        terminalreporter.write_line(f"{finished.total():8,} of {examples.TOTAL:,} asked for")
