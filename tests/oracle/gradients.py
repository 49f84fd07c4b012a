"""What the units of a network truly depend on, found by running it: two ways that know no geometry.

A *support* says, of one unit, on which positions of the input it depends; the batch and the
channels of the input count together. Neither way looks at a kernel, a stride or a padding.

**NaN** (:func:`nan_supports`): one sample for every position of the input, in which that position
is NaN; whatever turns NaN depends on it. Arithmetic spreads NaN, selections and copies carry it
on, and what does not read an element is not touched by it. It is blind in one direction: an
element that is multiplied by a weight of exactly 0 counts as read (linear interpolation on a grid
point, attention behind a mask). It never misses a dependence, as long as nothing hides a NaN
(comparisons, ``where``). The network must treat its samples one by one.

**Gradient** (:func:`gradient_supports`): where the gradient is not 0. Parameters are drawn positive
(:func:`positive_`), so that no two ways cancel, activations are strictly monotone and what selects
adds instead (:func:`smoothen`). It is blind in the other direction: a way whose derivative happens
to be 0 is missed. A weight of exactly 0 is no dependence for it: there it is the one to believe.

Where both agree, there is nothing to argue about; elsewhere a field between the two is right.
"""

from math import prod

import numpy as np
import torch

__all__ = [
    "bounds",
    "gradient_supports",
    "nan_inputs",
    "nan_supports",
    "positive_",
    "samples",
    "smoothen",
]


def positive_(model, seed=0):
    """Draw all parameters positive, in float64, so that sums keep to the size of their elements."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        fan = prod(parameter.shape[1:]) if parameter.dim() > 1 else 1
        with torch.no_grad():
            drawn = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.data = (drawn + 0.5) / fan
    return model.double().eval()


def smoothen(model, smooth=True):
    """Have what selects add up, and what is flat somewhere rise everywhere."""
    for module in model.modules():
        if hasattr(module, "smooth"):
            module.smooth = smooth
    return model


def samples(shape, count, seed=0):
    """``(count, *shape)`` in float64, all values different and away from 0."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((count, *shape), generator=generator, dtype=torch.float64) + 0.5


def nan_inputs(shape):
    """``(positions, C, *n)`` for a ``shape`` of ``(C, *n)``: sample ``p`` is NaN at place ``p``."""
    positions = prod(shape[1:])
    x = samples(shape, 1).expand(positions, *shape).clone()
    every = torch.arange(positions)
    x.reshape(positions, shape[0], positions)[every, :, every] = torch.nan
    return x


def nan_supports(output, lengths):
    """Of the output for :func:`nan_inputs`: bool ``(*units, *lengths)``, without the batch."""
    touched = torch.isnan(output).movedim(0, -1)
    return touched.reshape(*touched.shape[:-1], *lengths).numpy()


def gradient_supports(output, x, units):
    """For each of ``units`` (indices without the batch) of one sample: bool, over ``n``."""
    found = []
    for unit in units:
        chosen = output[(0, *unit)]
        (slope,) = torch.autograd.grad(chosen, x, retain_graph=True, allow_unused=True)
        slope = torch.zeros_like(x) if slope is None else slope
        found.append((slope[0] != 0).any(0).numpy())
    return found


def bounds(support):
    """The smallest box around a support: half-open intervals by axis; None around nothing."""
    if not support.any():
        return None
    places = np.nonzero(support)
    return tuple((int(along.min()), int(along.max()) + 1) for along in places)
