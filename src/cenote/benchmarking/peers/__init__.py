"""Who takes part, by name, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from cenote.benchmarking.peers.contender import Contender, LeftOutError, Peer, reason
from cenote.benchmarking.peers.dnnl import OneDnn
from cenote.benchmarking.peers.eager import Compiled, Eager
from cenote.benchmarking.peers.ort import OnnxRuntime
from cenote.benchmarking.peers.ours import Fresh, Given, Roof
from cenote.benchmarking.peers.vino import OpenVino
from cenote.benchmarking.work import Work

__all__ = [
    "OURS",
    "PEERS",
    "ROOFS",
    "Contender",
    "LeftOutError",
    "Peer",
    "load",
    "made",
    "reason",
    "wanted",
]

W = TypeVar("W")

ROOFS: dict[str, Callable[[], Peer[Work]]] = {
    f"roof {kind}": partial(Roof, kind) for kind in ("cached", "streamed", "copy")
}
"""Ways to move bytes: the fastest one is a row's roof."""

OURS: dict[str, Callable[[], Peer[Work]]] = {"cenote": Fresh, "cenote out=": Given}
"""What cenote brings itself: always asked for."""

PEERS: dict[str, Callable[[], Peer[Work]]] = {
    "torch": Eager,
    "torch.compile": Compiled,
    "onednn": OneDnn,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
}
"""What it is compared with, where it is installed."""


def load(names: list[str]) -> tuple[dict[str, Peer[Work]], dict[str, str]]:
    """The peers of those names and our own contenders that are there, and why others are not.

    Raises:
        ValueError: a name that is not known.
    """
    makers = wanted(PEERS, names)
    if "torch.compile" in names:
        makers["torch.compile"] = partial(Compiled, everywhere=True)
    there, missing = made(ROOFS | OURS | makers)
    return there, {name: why for name, why in missing.items() if name not in ROOFS}


def wanted(known: Mapping[str, W], names: Sequence[str]) -> dict[str, W]:
    """Those of the names; all without a name.

    Raises:
        ValueError: a name that is not known.
    """
    for name in names:
        if name not in known:
            raise ValueError(f"peer = {name!r}: must be one of {', '.join(known)}")
    return {name: peer for name, peer in known.items() if not names or name in names}


def made(makers: Mapping[str, Callable[[], Peer[W]]]) -> tuple[dict[str, Peer[W]], dict[str, str]]:
    """The peers that can be made here, and why the others cannot."""
    there: dict[str, Peer[W]] = {}
    missing: dict[str, str] = {}
    for name, make in makers.items():
        try:
            there[name] = make()
        except Exception as error:  # whatever a peer stumbles over: the others go on without it
            missing[name] = reason(error)
    return there, missing
