"""Names of the curves that tell where curvature lies, and the numbers published for them."""

from __future__ import annotations

from spectraledge.experiments.execution_subspace.base_runs import (
    INSTRUMENTS,
    SINGULAR,
    TRAJECTORY,
)
from spectraledge.instruments import CurvatureAlignment
from spectraledge.lab.plan import bare
from spectraledge.lab.reading_curves import curve_prefixes

__all__ = [
    "ALIGNMENT",
    "BASES",
    "PUBLISHED_COSINES",
    "PUBLISHED_RATIOS",
    "PUBLISHED_TRAJECTORY",
    "SWEPT",
    "VARIANTS",
]

_PREFIXES = curve_prefixes([bare(measured) for measured in INSTRUMENTS])
_ALIGNED = next(i for i in _PREFIXES if isinstance(i, CurvatureAlignment))

# What curves of each basis begin with; the trajectory is the basis that was described.
BASES = {"trajectory": _PREFIXES[TRAJECTORY], "singular": _PREFIXES[SINGULAR]}
ALIGNMENT = _PREFIXES[_ALIGNED]
# Directions per matrix of the dimension sweep.
SWEPT = SINGULAR.sweep
VARIANTS = {
    "as it is": "all",
    "decay part removed": "without_decay",
    "attention": "attention",
    "attention, decay part removed": "attention_without_decay",
}
# Medians by phase of arXiv:2602.16746, one seed, basis of the singular directions; the 2.91 is
# one record.
PUBLISHED_RATIOS = {
    "add": (1.88, 2.04, 1.22, 0.67),
    "sub": (2.12, 1.81, 0.79, 0.63),
    "mul": (2.04, 2.18, 1.14, 0.71),
    "x2_y2": (1.20, 2.91, 1.31, 0.82),
}
# Medians of three seeds over all checkpoints, from the released runs with decay, basis of the
# trajectory; nowhere reported.
PUBLISHED_TRAJECTORY = {
    "add": (0.70, 0.97, 0.86),
    "sub": (0.83, 0.80, 0.62),
    "mul": (0.79, 0.70, 0.86),
    "x2_y2": (0.94, 1.00, 0.98),
    "x2_xy_y2": (0.49, 0.66, 0.65),
    "x3_xy": (0.68, 0.67, 0.70),
}
# Ranges of medians of mean |cos| over its random mean, with decay, in words.
PUBLISHED_COSINES = {
    "add": "0.96 to 1.18",
    "sub": "0.96 to 1.18",
    "mul": "0.96 to 1.18",
    "x2_y2": "1.74 to 1.88",
    "x2_xy_y2": "0.6 to 0.8",
    "x3_xy": "0.6 to 0.8",
}
