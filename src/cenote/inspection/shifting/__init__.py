"""How much a network's layers and answers change when its input is moved, turned or scaled."""

from cenote.inspection.shifting.blurring import with_blur
from cenote.inspection.shifting.changes import Comparison, Sensitivity
from cenote.inspection.shifting.measure import compare, sensitivity

__all__ = ["Comparison", "Sensitivity", "compare", "sensitivity", "with_blur"]
