"""The tables behind :mod:`cenote.cases`, by what the windows slide on. Imports no torch."""
