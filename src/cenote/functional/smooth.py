"""Windows that slide, between maximum and mean: norms, smooth maxima, learnt and drawn ones.

All of them take floating point alone; half types are computed in float32 and rounded once.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cenote import _args
from cenote.functional import _reductions
from cenote.functional._families import ANY, Family, Op

__all__ = [
    "gem_pool1d",
    "gem_pool2d",
    "gem_pool3d",
    "logsumexp_pool1d",
    "logsumexp_pool2d",
    "logsumexp_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "mixed_pool1d",
    "mixed_pool2d",
    "mixed_pool3d",
    "stochastic_pool1d",
    "stochastic_pool2d",
    "stochastic_pool3d",
]


@Family
def _lp_pool(
    input: Tensor,
    norm_type: Any,
    kernel_size: Any,
    stride: Any = None,
    ceil_mode: bool = False,
    *,
    padding: Any = 0,
    dilation: Any = 1,
    padding_mode: str = "identity",
    _op: Op = ANY,
) -> Tensor:
    """The ``p``-norm of every window, ``(sum |x|^p)^(1/p)``.

    ``$in -> $out``. ``norm_type`` is ``p``, any number above 0; infinity gives the greatest
    absolute value. The other arguments are those of :func:`avg_pool2d`.

    Raises:
        TypeError: no tensor of floats, or arguments that are no numbers.
        ValueError: arguments out of bounds, or a window that does not fit.

    >>> x = torch.tensor([3.0, -4.0, 2.0, 0.0]).expand($plane)
    >>> $name(x, 2, $row).flatten()[:2]
    tensor([5., 2.])
    """
    window = _args.pool_window(
        _op.name, _op.rank, kernel_size, stride, padding, dilation, ceil_mode
    )
    return _reductions.norm(_op.name, input, window, norm_type=norm_type, padding_mode=padding_mode)


lp_pool1d, lp_pool2d, lp_pool3d = _lp_pool("lp_pool")


@Family
def _logsumexp_pool(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    *,
    sharpness: Any = 1.0,
    mean: bool = False,
    dilation: Any = 1,
    padding_mode: str = "identity",
    _op: Op = ANY,
) -> Tensor:
    """A smooth maximum of every window, ``log(sum exp(s*x)) / s`` with sharpness ``s``.

    ``$in -> $out``. With ``mean`` the mean over the elements takes the place of the sum, so that
    equal elements give themselves (Pinheiro & Collobert, From Image-level to Pixel-level Labeling,
    2015). A negative sharpness gives a smooth minimum; a window without an element gives -inf, with
    negative sharpness inf. The other arguments are those of :func:`avg_pool2d`.

    Raises:
        TypeError: no tensor of floats, or arguments that are no numbers.
        ValueError: arguments out of bounds, or a window that does not fit.

    >>> x = torch.tensor([1.0, 4.0, 2.0, 2.0]).expand($plane)
    >>> $name(x, $row, mean=True).flatten()[:2]
    tensor([3.3554, 2.0000])
    """
    window = _args.pool_window(
        _op.name, _op.rank, kernel_size, stride, padding, dilation, ceil_mode
    )
    return _reductions.smooth_maximum(
        _op.name, input, window, sharpness=sharpness, mean=mean, padding_mode=padding_mode
    )


logsumexp_pool1d, logsumexp_pool2d, logsumexp_pool3d = _logsumexp_pool("logsumexp_pool")


@Family
def _gem_pool(
    input: Tensor,
    p: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    *,
    eps: Any = 1e-6,
    dilation: Any = 1,
    padding_mode: str = "identity",
    _op: Op = ANY,
) -> Tensor:
    """The generalised mean of every window, ``mean(max(x, eps)^p)^(1/p)``.

    ``$in -> $out``; the mean is that of the elements, without padding (Radenovic et al.,
    Fine-tuning CNN Image Retrieval with No Human Annotation, 2018). ``p`` is a number above 0, or a
    tensor that is differentiated too: one number, or one for every plane. A window without an
    element gives 0. The other arguments are those of :func:`avg_pool2d`.

    Raises:
        TypeError: no tensor of floats, or arguments that are no numbers.
        ValueError: arguments out of bounds, or a window that does not fit.

    >>> x = torch.tensor([1.0, 7.0, 2.0, 2.0]).expand($plane)
    >>> $name(x, 2, $row).flatten()[:2]
    tensor([5., 2.])
    """
    window = _args.pool_window(
        _op.name, _op.rank, kernel_size, stride, padding, dilation, ceil_mode
    )
    return _reductions.generalized_mean(
        _op.name, input, window, p=p, eps=eps, padding_mode=padding_mode
    )


gem_pool1d, gem_pool2d, gem_pool3d = _gem_pool("gem_pool")


@Family
def _stochastic_pool(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    *,
    training: bool = True,
    generator: torch.Generator | None = None,
    dilation: Any = 1,
    padding_mode: str = "identity",
    _op: Op = ANY,
) -> Tensor:
    """One element of every window, drawn with a probability in proportion to ``max(x, 0)``.

    ``$in -> $out``. Without ``training``, the mean that such draws have (Zeiler & Fergus,
    Stochastic Pooling for Regularization of Deep Convolutional Neural Networks, 2013). A window
    without a positive element gives 0. The other arguments are those of :func:`avg_pool2d`;
    ``generator`` draws the numbers, torch's own where it is None.

    Raises:
        TypeError: no tensor of floats, or arguments that are not integers.
        ValueError: arguments out of bounds, or a window that does not fit.

    >>> x = torch.tensor([0.0, 4.0, 3.0, 1.0]).expand($plane)
    >>> $name(x, $row, training=False).flatten()[:2]
    tensor([4.0000, 2.5000])
    """
    window = _args.pool_window(
        _op.name, _op.rank, kernel_size, stride, padding, dilation, ceil_mode
    )
    return _reductions.stochastic(
        _op.name, input, window, training=training, generator=generator, padding_mode=padding_mode
    )


stochastic_pool1d, stochastic_pool2d, stochastic_pool3d = _stochastic_pool("stochastic_pool")


@Family
def _mixed_pool(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    alpha: Any = 0.5,
    dilation: Any = 1,
    padding_mode: str = "identity",
    _op: Op = ANY,
) -> Tensor:
    """Maximum and mean of every window, mixed: ``alpha*max + (1 - alpha)*avg``.

    ``$in -> $out`` (Lee, Gallagher & Tu, Generalizing Pooling Functions in CNNs, 2016). ``alpha``
    is a number from 0 to 1, or a tensor that is differentiated too: one number, or one for every
    plane. The other arguments are those of :func:`avg_pool2d`.

    Raises:
        TypeError: no tensor of floats, or arguments that are no numbers.
        ValueError: arguments out of bounds, or a window that does not fit.

    >>> x = torch.tensor([1.0, 4.0, 2.0, 0.0]).expand($plane)
    >>> $name(x, 2, alpha=0.25).flatten()[:2]
    tensor([2.8750, 1.2500])
    """
    window = _args.pool_window(
        _op.name, _op.rank, kernel_size, stride, padding, dilation, ceil_mode
    )
    return _reductions.mixture(
        _op.name,
        input,
        window,
        count_include_pad=count_include_pad,
        alpha=alpha,
        padding_mode=padding_mode,
    )


mixed_pool1d, mixed_pool2d, mixed_pool3d = _mixed_pool("mixed_pool")
