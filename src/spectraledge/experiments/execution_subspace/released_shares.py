"""Shares of the first component in the released results, to put beside ours.

Copied as facts from the released tensors: means over three seeds and, for layer means, the
population deviation over seeds. Runs that generalise end at `grok_stop`; the hard operations were
trained for 200,000 steps, those without decay for 50,000.

Source: arXiv:2602.16746, released results.
"""

from __future__ import annotations

from math import sqrt

from spectraledge.series import Interval

__all__ = ["LAYER_MEANS", "MATRIX_KINDS", "MATRIX_MEANS", "released_interval"]

MATRIX_KINDS = ("query", "key", "value", "output")
# (operation, layer): per cent and population deviation, with decay.
LAYER_MEANS = {
    ("add", 0): (73.0, 0.4), ("add", 1): (68.9, 0.6),
    ("sub", 0): (72.0, 0.4), ("sub", 1): (69.9, 0.3),
    ("mul", 0): (73.0, 0.8), ("mul", 1): (69.0, 0.8),
    ("x2_y2", 0): (75.8, 0.7), ("x2_y2", 1): (72.0, 0.5),
    ("x2_xy_y2", 0): (42.4, 0.2), ("x2_xy_y2", 1): (45.2, 0.3),
    ("x3_xy", 0): (48.8, 0.3), ("x3_xy", 1): (48.3, 0.1),
}  # fmt: skip
# (operation, layer): per cent in the order of MATRIX_KINDS, with decay.
MATRIX_MEANS = {
    ("add", 0): (69.0, 68.7, 81.5, 73.0), ("add", 1): (66.5, 67.4, 78.0, 63.8),
    ("sub", 0): (68.4, 68.4, 79.8, 71.4), ("sub", 1): (66.3, 67.4, 78.7, 67.1),
    ("mul", 0): (69.4, 69.3, 80.8, 72.3), ("mul", 1): (66.9, 68.1, 77.7, 63.5),
    ("x2_y2", 0): (73.0, 73.0, 82.4, 74.7), ("x2_y2", 1): (70.5, 71.9, 78.8, 66.7),
    ("x2_xy_y2", 0): (46.7, 46.8, 37.8, 38.3), ("x2_xy_y2", 1): (45.9, 48.5, 42.5, 44.1),
    ("x3_xy", 0): (53.2, 53.0, 44.5, 44.4), ("x3_xy", 1): (51.4, 53.2, 43.9, 44.7),
}  # fmt: skip
# 97.5 % point of Student's t with two degrees of freedom.
REACH = 4.303


def released_interval(operation: str, layer: int) -> Interval | None:
    """A released layer mean as a share with the 95 % t interval of its three seeds.

    Args:
        operation: Of the task.
        layer: Its number.

    Returns:
        The interval; None for what was not released.

    Example:
        >>> str(released_interval("add", 0))
        '0.73 [0.718, 0.742] (n = 3)'
    """
    if (operation, layer) not in LAYER_MEANS:
        return None
    mean, deviation = (number / 100 for number in LAYER_MEANS[operation, layer])
    # The released deviation divides by n; its standard error divides by n - 1.
    reach = REACH * deviation / sqrt(2)
    return Interval(mean, mean - reach, mean + reach, 3)
