"""Who takes part, by name, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cenote.benchmarking.peers.contender import Contender, LeftOutError, Peer, reason
from cenote.benchmarking.peers.dnnl import OneDnn
from cenote.benchmarking.peers.eager import Compiled, Eager
from cenote.benchmarking.peers.ort import OnnxRuntime
from cenote.benchmarking.peers.ours import Fresh, Given, Roof
from cenote.benchmarking.peers.vino import OpenVino

__all__ = ["OURS", "PEERS", "ROOFS", "Contender", "LeftOutError", "Peer", "load", "reason"]

ROOFS: dict[str, Callable[[], Peer]] = {
    f"roof {kind}": partial(Roof, kind) for kind in ("cached", "streamed", "copy")
}
"""Ways to move bytes: the fastest one is a row's roof."""

OURS: dict[str, Callable[[], Peer]] = {"cenote": Fresh, "cenote out=": Given}
"""What cenote brings itself: always asked for."""

PEERS: dict[str, Callable[[], Peer]] = {
    "torch": Eager,
    "torch.compile": Compiled,
    "onednn": OneDnn,
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVino,
}
"""What it is compared with, where it is installed."""


def load(names: list[str]) -> tuple[dict[str, Peer], dict[str, str]]:
    """The peers of those names and our own contenders that are there, and why others are not.

    Raises:
        ValueError: a name that is not known.
    """
    for name in names:
        if name not in PEERS:
            raise ValueError(f"peer = {name!r}: must be one of {', '.join(PEERS)}")
    makers = {n: make for n, make in PEERS.items() if not names or n in names}
    if "torch.compile" in names:
        makers["torch.compile"] = partial(Compiled, everywhere=True)
    there: dict[str, Peer] = {}
    missing: dict[str, str] = {}
    for name, make in (ROOFS | OURS | makers).items():
        try:
            there[name] = make()
        except Exception as error:  # whatever a peer stumbles over: the others go on without it
            if name not in ROOFS:
                missing[name] = reason(error)
    return there, missing
