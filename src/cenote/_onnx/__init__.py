"""Pooling as standard ONNX nodes: what ``torch.onnx.export`` traces in place of our operators.

While an export runs (:func:`exporting`), each function here stands in for an operator and leaves
``MaxPool``, ``AveragePool``, ``LpPool``, ``GlobalMaxPool``, ... in the graph, by
``torch.onnx.ops.symbolic``. That is public, needs nothing but torch until the export itself, and
nothing that the user passes. The exporter's own table of translations is no alternative: it is
built before a model is traced, so that filling it would mean to import onnxscript with cenote. The
price: such a node is a placeholder in torch's graph, and ``verify=True`` compares with zeros.

Five rules make ONNX Runtime's numbers ours:

- No node rounds sizes up. ``ceil`` with the padding ``after`` is no ``ceil`` with the padding
  ``min(after + stride - 1, extent - 1)``, whatever the length.
- Runtimes refuse padding of the kernel or more, which dilation allows: a ``Pad`` takes the excess.
- Dilated and weighted sums are a ``Conv``: ``AveragePool`` has dilations from opset 19 on only.
- Windows of several lengths, windows that may be empty and element types for which ONNX Runtime has
  no node are products with constant matrices and maxima of gathered elements, axis by axis; and
  where sizes are dynamic, reductions of all windows side by side.
- A ``Pad`` with zeros in front of a ``MaxPool`` names its axes, or ONNX Runtime would fuse the two.

What never comes here (median, unpooling, fractional pooling) is traced by the formulas of
:mod:`cenote.reference`. Programs that ``torch.export`` made hold our operators, which the exporter
does not know: :func:`decompositions` rewrites them.
"""

from cenote._onnx.frame import exporting
from cenote._onnx.nodes import linear, linear_transpose, logsumexp, power, select, zeros_around
from cenote._onnx.programs import decompositions

__all__ = [
    "decompositions",
    "exporting",
    "linear",
    "linear_transpose",
    "logsumexp",
    "power",
    "select",
    "zeros_around",
]
