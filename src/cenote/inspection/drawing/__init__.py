"""Pictures of a record, as PNG or SVG files: feature maps, kernels, fields and costs."""

from cenote.inspection.drawing.costs import draw_costs
from cenote.inspection.drawing.fields import draw_field
from cenote.inspection.drawing.heat import draw_effective
from cenote.inspection.drawing.kernels import draw_kernels
from cenote.inspection.drawing.maps import draw_maps

__all__ = ["draw_costs", "draw_effective", "draw_field", "draw_kernels", "draw_maps"]
