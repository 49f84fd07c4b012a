"""Seeing: what a network does with an image, as records, pictures and one page."""

from cenote.inspection.advice import Advice, advise
from cenote.inspection.demo import demonstrate
from cenote.inspection.drawing import (
    draw_costs,
    draw_effective,
    draw_field,
    draw_kernels,
    draw_maps,
)
from cenote.inspection.dry.misfit import DataDependentError, ShapeError
from cenote.inspection.dry.shapes import Shapes, shapes
from cenote.inspection.effective import EffectiveField, effective_fields
from cenote.inspection.explorer import write_explorer
from cenote.inspection.layers import Layer, watch, window_of
from cenote.inspection.receptive import AxisField, ReceptiveField
from cenote.inspection.record import Operator, Record
from cenote.inspection.shifting import Comparison, Sensitivity, compare, sensitivity, with_blur
from cenote.inspection.tracing.build import inspect

__all__ = [
    "Advice",
    "AxisField",
    "Comparison",
    "DataDependentError",
    "EffectiveField",
    "Layer",
    "Operator",
    "ReceptiveField",
    "Record",
    "Sensitivity",
    "ShapeError",
    "Shapes",
    "advise",
    "compare",
    "demonstrate",
    "draw_costs",
    "draw_effective",
    "draw_field",
    "draw_kernels",
    "draw_maps",
    "effective_fields",
    "inspect",
    "sensitivity",
    "shapes",
    "watch",
    "window_of",
    "with_blur",
    "write_explorer",
]
