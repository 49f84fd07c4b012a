"""What cenote finds on this machine, as a plain record to read or to send with a question."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cenote import _native, options

__all__ = ["doctor"]


def doctor() -> dict[str, Any]:
    """Versions, processor, instruction sets (``isas``, fastest first) and the options in force.

    >>> doctor()["isas"][-1]
    'scalar'
    """
    knobs = options.current()
    isas = _native.targets()
    return {
        "cenote": version("cenote"),
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "isas": isas,
        "isas_of_this_build": _native.all_targets(),
        "isa": knobs.isa or isas[0],
        "threads": knobs.threads or _native.default_threads(),
        "openmp": _native.openmp,
        "verbose": knobs.verbose,
    }


def _processor() -> str:
    """The processor's name where the system tells it, else what Python knows."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"
