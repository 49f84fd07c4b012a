"""What to look at: a network out of a file, a run, an archive or the list of ours, and an input."""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from PIL import Image

    from cenote.models import Preprocessing
    from cenote.training import Run

__all__ = ["Preparation", "Subject", "load_subject", "parse_sizes", "read_picture"]

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # none runs other programs
_MOST_PIXELS = 64_000_000  # of a picture: larger ones are refused, not decoded


@dataclass(frozen=True)
class Preparation:
    """How a picture becomes an input (1, C, H, W): its size, then ``(value - mean) / std``.

    Values are in [0, 1]; ``mean`` and ``std`` are one for each channel. A run, or what belongs to
    a network's weights, say themselves which part of the picture is shown.
    """

    channels: int
    size: tuple[int, int]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    run: Run | None = None
    cut: Preprocessing | None = None

    def __call__(self, picture: Image.Image) -> tuple[Tensor, np.ndarray]:
        """The input that ``picture`` becomes, and the pixels (H, W[, 3]) as people see them."""
        if self.run is not None:
            return self._as_the_run(picture)
        if self.cut is not None:
            return self.cut(picture), np.asarray(self.cut.cut(picture))
        grey = self.channels == 1
        height, width = self.size
        fitted = _filled(picture.convert("L" if grey else "RGB"), width, height)
        pixels = np.asarray(fitted)
        values = torch.from_numpy(pixels.astype(np.float32) / 255)
        planes = values.unsqueeze(0) if grey else values.permute(2, 0, 1)
        if not grey and self.channels != 3:
            planes = planes.mean(0, keepdim=True).expand(self.channels, -1, -1)
        return self.normalised(planes), pixels

    def _as_the_run(self, picture: Image.Image) -> tuple[Tensor, np.ndarray]:
        from cenote.training.prediction import prepared

        assert self.run is not None
        planes = prepared(self.run.facts, picture)
        pixels = (planes * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        return self.normalised(planes), pixels if len(planes) == 3 else pixels[:, :, 0]

    def normalised(self, planes: Tensor) -> Tensor:
        """The planes (C, H, W) in [0, 1] as a batch of one."""
        if self.mean:
            mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (self.mean, self.std))
            planes = (planes - mean) / std
        return planes.unsqueeze(0).contiguous()


@dataclass(frozen=True)
class Subject:
    """A network, what it is called with, and how a picture becomes such an input."""

    title: str
    model: nn.Module
    inputs: tuple[Any, ...]
    image: np.ndarray | None = None
    """The first input as people see it: uint8 (H, W) or (H, W, 3)."""
    classes: tuple[str, ...] = ()
    prepare: Preparation | None = None

    def shown(self, picture: Image.Image) -> Subject:
        """The same network looking at a picture.

        Raises:
            ValueError: its first input is no image.
        """
        if self.prepare is None:
            raise ValueError("image: the network's first input is no image (N, C, H, W)")
        tensor, pixels = self.prepare(picture)
        return replace(self, inputs=(tensor, *self.inputs[1:]), image=pixels)


def parse_sizes(text: str) -> tuple[int, ...]:
    """Sizes as people write them: ``1,3,224,224``.

    Raises:
        ValueError: something else than numbers of at least 1.
    """
    try:
        sizes = tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        sizes = ()
    if not sizes or any(n < 1 for n in sizes):
        raise ValueError(f"input = {text!r}: must be sizes such as 1,3,224,224")
    return sizes


def _parsed(text: str) -> tuple[tuple[int, ...], torch.dtype | None]:
    """Sizes, and the element type where one stands behind a colon: ``1,16:int64``."""
    sizes, _, name = text.partition(":")
    kind = getattr(torch, name, None) if name else None
    if name and not isinstance(kind, torch.dtype):
        raise ValueError(f"input = {text!r}: {name} is no element type; int64 and float16 are")
    return parse_sizes(sizes), kind


def _drawn(sizes: tuple[int, ...], kind: torch.dtype) -> Tensor:
    """Values that a network can take: normal ones, or small whole numbers for tokens."""
    if kind.is_floating_point or kind.is_complex:
        return torch.randn(sizes).to(kind)
    return torch.randint(0, 2, sizes).to(kind)


def read_picture(source: Path | bytes | Any, name: str = "image") -> Image.Image:
    """A picture out of a file or of bytes, decoded, upright.

    Raises:
        ValueError: it is no picture, damaged, or larger than 64 million pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if isinstance(source, bytes):
        import io

        source = io.BytesIO(source)
    try:
        with Image.open(source, formats=_FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise ValueError(
                    f"{name}: {image.width}x{image.height} pixels; at most {_MOST_PIXELS:,}"
                )
            image.load()
            return ImageOps.exif_transpose(image)
    except FileNotFoundError:
        raise ValueError(f"{name}: no such file") from None
    except UnidentifiedImageError:
        raise ValueError(f"{name}: not a picture in a format that can be read") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name}: a damaged picture ({error})") from None


def load_subject(
    target: str,
    sizes: Sequence[str] = (),
    image: Path | None = None,
    *,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    seed: int = 0,
) -> Subject:
    """The network that ``target`` names, with an input.

    Args:
        target: ``FILE.py:name`` or ``package.module:name``, a module or a function that makes one
            when called without arguments; the folder of a run; a ``.pt2`` archive of
            ``torch.export``; or one of our networks by name. Files and archives are code: load
            only those that you trust.
        sizes: of each input, ``1,3,224,224``, or with an element type, ``1,16:int64``; by default
            it is that of the network's parameters. The values are drawn from ``seed``.
        image: a picture for the first input.
        mean: of each channel, subtracted from the picture's values in [0, 1].
        std: of each channel, divided by then.
        seed: of the network's weights, where it draws some, and of the inputs' values.

    Raises:
        ValueError: nothing of that name, no sizes where none are known, or a wrong picture.
    """
    if bool(mean) != bool(std) or len(mean) != len(std):
        raise ValueError(f"mean = {tuple(mean)}, std = {tuple(std)}: give as many of each")
    torch.manual_seed(seed)
    wanted = [_parsed(text) for text in sizes]
    path = Path(target)
    if path.is_dir():
        subject = _of_run(path)
    elif path.suffix == ".pt2":
        subject = _of_archive(path)
    elif ":" in target:
        subject = _of_code(target)
    else:
        subject = _of_ours(target)
    if wanted:
        floats = next((p.dtype for p in subject.model.parameters() if p.is_floating_point()), None)
        drawn = tuple(_drawn(n, kind or floats or torch.float32) for n, kind in wanted)
        subject = replace(subject, inputs=drawn, image=None)
    if not subject.inputs:
        raise ValueError(f"input: say the sizes of what {target} is called with: 1,3,224,224")
    if subject.prepare is None or wanted:
        subject = replace(subject, prepare=_preparation(subject, tuple(mean), tuple(std)))
    if image is not None:
        subject = subject.shown(read_picture(image, str(image)))
    return subject


def _preparation(
    subject: Subject, mean: tuple[float, ...], std: tuple[float, ...]
) -> Preparation | None:
    from cenote.models import Preprocessing

    first = subject.inputs[0]
    if not isinstance(first, Tensor) or first.dim() != 4:
        return None
    _, channels, height, width = first.shape
    if mean and len(mean) != channels:
        raise ValueError(f"mean = {mean}: the input has {channels} channels")
    run = subject.prepare.run if subject.prepare is not None else None
    own = getattr(subject.model, "preprocessing", None)
    if not isinstance(own, Preprocessing) or mean or own.channels != channels:
        return Preparation(channels, (height, width), mean, std, run)
    cut = own if (height, width) == (own.crop, own.crop) else None
    return Preparation(channels, (height, width), own.mean, own.std, run, cut)


def _of_ours(target: str) -> Subject:
    from cenote import models

    if target.endswith(".py"):
        raise ValueError(without_name("model", target))
    if target not in models.names():
        raise ValueError(
            f"model = {target!r}: no file, folder or .pt2 archive of that name, and none of ours "
            f"({', '.join(models.names())}); FILE.py:name loads a network of your own"
        )
    model = models.get(target)
    shape = getattr(model, "input_shape", ())
    inputs = (torch.randn(1, *shape),) if shape else ()
    return Subject(target, model, inputs)


def _of_run(folder: Path) -> Subject:
    from cenote.inspection.page import NAMES
    from cenote.training import Run

    run = Run.open(folder)
    test = run.data("test")
    facts = run.facts
    channels, height, width = facts.shape
    prepare = Preparation(channels, (height, width), tuple(facts.mean), tuple(facts.std), run)
    planes = test.images[0].float() / 255
    pixels = test.images[0].permute(1, 2, 0).numpy()
    network, data = (NAMES.get(name, name) for name in (run.config.network, facts.name))
    return Subject(
        f"{network} on {data}", run.model("last"),
        (prepare.normalised(planes),), pixels[:, :, 0] if channels == 1 else pixels,
        tuple(facts.classes), prepare,
    )  # fmt: skip


def _of_archive(path: Path) -> Subject:
    if not path.exists():
        raise ValueError(f"model = {path}: no such file")
    try:
        program = torch.export.load(path)
    except Exception as error:
        raise ValueError(f"model = {path}: not an archive of torch.export ({error})") from None
    inputs: tuple[Any, ...] = ()
    if program.example_inputs is not None:
        inputs = tuple(program.example_inputs[0])
    return Subject(path.name, program.module(), inputs)


def _of_code(target: str) -> Subject:
    where, _, name = target.rpartition(":")
    module = _module(where)
    made: Any = module
    for part in name.split("."):
        if not hasattr(made, part):
            public = [n for n in vars(module) if not n.startswith("_")]
            raise ValueError(f"model = {target!r}: {where} has no {name}; it has {_few(public)}")
        made = getattr(made, part)
    if not isinstance(made, nn.Module):
        if not callable(made):
            raise ValueError(f"model = {target!r}: is {kind_of(made)}, no module")
        made = made()
    if not isinstance(made, nn.Module):
        raise ValueError(f"model = {target!r}: gave {kind_of(made)}, not a torch.nn.Module")
    return Subject(target, made, ())


def _module(where: str) -> ModuleType:
    path = Path(where)
    if path.suffix == ".py":
        if not path.exists():
            raise ValueError(f"model = {where}: no such file")
        # By a name that no other module has: a file may be called random.py.
        digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()
        name = f"{path.stem.replace('.', '_')}@{digest[:16]}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Beside it may lie what it imports.
        sys.path.insert(0, str(path.resolve().parent))
        sys.modules[name] = module  # where pickle and inspect look for its classes
        try:
            spec.loader.exec_module(module)
        finally:
            sys.path.pop(0)
        return module
    try:
        return importlib.import_module(where)
    except ImportError as error:
        raise ValueError(f"model = {where!r}: cannot be imported ({error})") from None


def without_name(argument: str, where: str) -> str:
    """What to say of a file of Python that is named without what makes the network in it."""
    if not Path(where).is_file():
        return f"{argument} = {where!r}: no such file"
    tree = ast.parse(Path(where).read_bytes(), filename=where)  # without running it
    kinds = (ast.FunctionDef, ast.ClassDef)
    names = [node.name for node in tree.body if isinstance(node, kinds)]
    offered = [name for name in names if not name.startswith("_")]
    example = offered[0] if offered else "make_model"
    return (
        f"{argument} = {where!r}: say what makes the network in it, such as {where}:{example}; "
        f"it has {_few(offered)}"
    )


def kind_of(value: object) -> str:
    """The type of ``value`` with its article: an int, a str."""
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "nothing"


def _filled(picture: Image.Image, width: int, height: int) -> Image.Image:
    """The picture scaled until it fills a size, and cut to its middle."""
    from PIL import Image, ImageOps

    return ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
