"""Cautions: warnings for settings that work, but rarely as meant."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from spectraledge.decay.selection import DecayTable

__all__ = ["warn_of_lost_updates", "warn_of_second_decay", "warn_of_weight_decay"]


def warn_of_weight_decay(table: DecayTable, groups: Mapping[int, Mapping[str, Any]]) -> None:
    """Warn when the optimizer's own weight decay acts on low-rank-decayed parameters too.

    Args:
        table: The selection.
        groups: Parameter group of every parameter, by the id of the parameter.
    """
    twice = {
        row.role.name: float(groups[id(row.parameter)].get("weight_decay", 0.0))
        for row in table.selected
        if groups[id(row.parameter)].get("weight_decay", 0.0)
    }
    if twice:
        name, value = next(iter(twice.items()))
        warnings.warn(
            f"the optimizer also decays {len(twice)} of the low-rank-decayed parameters "
            f"(weight_decay={value} on {name!r}), so both act; unless this is meant, put them in "
            f"a parameter group with weight_decay=0",
            stacklevel=3,
        )


def warn_of_second_decay(table: DecayTable, attached: Iterable[DecayTable]) -> None:
    """Warn when another low-rank decay of the same optimizer has some of the same parameters.

    Args:
        table: The selection.
        attached: The selections of decays that are attached already.
    """
    others = {id(row.parameter) for other in attached for row in other.selected}
    twice = [row.role.name for row in table.selected if id(row.parameter) in others]
    if twice:
        warnings.warn(
            f"another low-rank decay is attached to this optimizer and decays {len(twice)} of the "
            f"same parameters ({twice[0]!r}), so both act; unless this is meant, detach() it",
            stacklevel=3,
        )


def warn_of_lost_updates(dtype: torch.dtype, before: Tensor, after: Tensor, every: int) -> None:
    """Warn when a step is too small to change 16-bit weights.

    Args:
        dtype: Number type of the weights.
        before: The weights in float32.
        after: The weights after the step in float32.
        every: Steps per decay, for the advice.
    """
    change = float((after - before).norm() / before.norm())
    # Half the distance of neighbouring numbers, relative to a number just below a power of two.
    smallest = torch.finfo(dtype).eps / 4
    if 0.0 < change < smallest:
        enough = every * math.ceil(smallest / change)
        warnings.warn(
            f"a relative change of {change:.1e} a step is lost in {dtype} weights, which keep "
            f"changes above {smallest:.1e}; train float32 master weights, or decay by larger "
            f"steps (every={enough})",
            stacklevel=2,
        )
