"""oneDNN through its C interface, without a wrapper: the library that torch's convolutions use.

It is looked for as ``libdnnl.so.3``, as the wheel ``onednn-cpu-gomp`` brings it: built for the same
OpenMP as torch, so that one pool of threads serves both and one call sets their number. Builds for
other runtimes bring threads of their own, which spin in the way of the others: they are left out.
"""

from __future__ import annotations

import ctypes
import re
import sys
import sysconfig
import weakref
from collections.abc import Sequence
from ctypes import POINTER, Structure, byref, c_int, c_int64, c_void_p
from pathlib import Path
from typing import Any

from torch import Tensor

from cenote.benchmarking.peers.contender import Contender, LeftOutError
from cenote.benchmarking.work import Work
from cenote.window import Axis

__all__ = ["OneDnn"]

# The numbers are those of dnnl_types.h, which all versions 3 share.
_CPU, _IN_ORDER, _INFERENCE, _OPENMP = 1, 1, 96, 2
_SOURCE, _TARGET = 1, 17
_ALGORITHMS = {"max": 0x1FF, "avg": 0x2FF}
_TYPES = {"f32": 3, "bf16": 2, "u8": 6}
_STATUS = {1: "out of memory", 2: "invalid arguments", 3: "unimplemented"}
_Dims = c_int64 * 12


class _Argument(Structure):
    _fields_ = (("arg", c_int), ("memory", c_void_p))


class _Version(Structure):
    _fields_ = (
        ("major", c_int), ("minor", c_int), ("patch", c_int), ("hash", ctypes.c_char_p),
        ("cpu_runtime", ctypes.c_uint), ("gpu_runtime", ctypes.c_uint),
    )  # fmt: skip


def _library() -> ctypes.CDLL:
    name = "libdnnl.so.3"
    for place in {Path(sys.prefix) / "lib" / name, Path(sysconfig.get_path("data")) / "lib" / name}:
        if place.is_file():
            # RTLD_LOCAL: torch holds another version of the same library under the same names.
            library = ctypes.CDLL(str(place), mode=ctypes.RTLD_LOCAL)
            if len(_openmps()) > 1:
                raise LeftOutError("brings a second OpenMP into the process")
            return library
    raise LeftOutError(f"not installed ({name})")


def _openmps() -> set[str]:
    """The OpenMP libraries of this process, where the system tells."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.is_file() else []
    return {line.split()[-1] for line in lines if re.search(r"/lib(g|i)?omp[-.\w]*\.so", line)}


def _dims(values: Sequence[int]) -> Any:
    return _Dims(*values)


class OneDnn:
    """Forward inference of max and avg over plain NCHW and NHWC, from and to memory of the row."""

    def __init__(self) -> None:
        self.library = _library()
        self.library.dnnl_version.restype = POINTER(_Version)
        found = self.library.dnnl_version().contents
        self.version = f"{found.major}.{found.minor}.{found.patch}"
        if found.cpu_runtime != _OPENMP:
            raise LeftOutError("this build has threads of its own, not OpenMP's")
        self.engine, self.stream = c_void_p(), c_void_p()
        self._do("engine_create", byref(self.engine), c_int(_CPU), ctypes.c_size_t(0))
        self._do("stream_create", byref(self.stream), self.engine, c_int(_IN_ORDER))

    def _do(self, name: str, *arguments: Any) -> None:
        status = getattr(self.library, f"dnnl_{name}")(*arguments)
        if status:
            raise LeftOutError(f"{name}: {_STATUS.get(status, f'status {status}')}")

    def enter(self, work: Work) -> Contender:
        """Make the primitive under the row's number of threads."""
        if work.row.pass_ != "forward":
            raise LeftOutError("forward without indices only")
        if work.row.reduce not in _ALGORITHMS:
            raise LeftOutError(f"has no {work.row.reduce} pooling")
        axes = work.window.at(work.case.n)
        if not all(isinstance(axis, Axis) for axis in axes):
            raise LeftOutError("has no windows that share unevenly")
        out = work.empty_output()
        made: list[tuple[str, c_void_p]] = []
        source, target = (self._described(t, work, made) for t in (work.x, out))
        primitive = self._primitive(work, axes, source, target, made)
        arguments = (_Argument * 2)(
            _Argument(_SOURCE, self._memory(source, work.x, made)),
            _Argument(_TARGET, self._memory(target, out, made)),
        )
        execute, stream = self.library.dnnl_primitive_execute, self.stream

        def call() -> None:
            if execute(primitive, stream, c_int(2), arguments):
                raise RuntimeError("dnnl_primitive_execute failed")

        def results() -> tuple[Tensor, ...]:
            call()
            return (out,)

        weakref.finalize(call, self._destroy, made)
        return Contender(call, results, fresh=False)

    def _described(self, tensor: Tensor, work: Work, made: list[tuple[str, c_void_p]]) -> c_void_p:
        return self._made(
            "memory_desc", "create_with_strides", made, c_int(tensor.dim()),
            _dims(tensor.shape), c_int(_TYPES[work.row.dtype]), _dims(tensor.stride()),
        )  # fmt: skip

    def _memory(
        self, described: c_void_p, tensor: Tensor, made: list[tuple[str, c_void_p]]
    ) -> c_void_p:
        address = c_void_p(tensor.data_ptr())
        return self._made("memory", "create", made, described, self.engine, address)

    def _primitive(
        self, work: Work, axes: Any, source: c_void_p, target: c_void_p,
        made: list[tuple[str, c_void_p]],
    ) -> c_void_p:  # fmt: skip
        # The padding behind says how many outputs there are, in ceil mode too.
        sizes = zip(axes, work.case.n, work.window.out(work.case.n), strict=True)
        after = [(out - 1) * a.stride + a.extent - n - a.before for a, n, out in sizes]
        algorithm = _ALGORITHMS[work.row.reduce]
        if work.row.reduce == "avg" and any(
            hangs > a.after for hangs, a in zip(after, axes, strict=True)
        ):
            raise LeftOutError("would count what hangs over the end in ceil mode")
        described = c_void_p()
        self._do(
            "pooling_forward_primitive_desc_create", byref(described), self.engine,
            c_int(_INFERENCE), c_int(algorithm), source, target,
            _dims([a.stride for a in axes]), _dims([a.kernel for a in axes]),
            _dims([a.dilation - 1 for a in axes]), _dims([a.before for a in axes]), _dims(after),
            c_void_p(),
        )  # fmt: skip
        made.append(("primitive_desc", described))
        return self._made("primitive", "create", made, described)

    def _made(
        self, kind: str, how: str, made: list[tuple[str, c_void_p]], *arguments: Any
    ) -> c_void_p:
        """Make one of its objects, to be destroyed with the row."""
        handle = c_void_p()
        self._do(f"{kind}_{how}", byref(handle), *arguments)
        made.append((kind, handle))
        return handle

    def _destroy(self, made: list[tuple[str, c_void_p]]) -> None:
        for kind, handle in reversed(made):
            getattr(self.library, f"dnnl_{kind}_destroy")(handle)
