"""What a plan carries out in place of a network's own layers."""

from __future__ import annotations
