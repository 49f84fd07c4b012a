"""What all tests share: the slow ones on demand, the number of random examples, one thread each."""

import os

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile(
    "cenote",
    max_examples=int(os.environ.get("CENOTE_EXAMPLES", "500")),
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
