"""Which windows of updates are driven by decay, by a rule that can be run while a model trains."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

__all__ = ["decay_driven_alarm", "decay_driven_windows", "gradient_reentry"]

# Unequal lengths are refused below, by number.
Curve = Float[np.ndarray, " _"]


def decay_driven_windows(
    gradient_share: Curve,
    overlap: Curve,
    interval_share: Curve,
    rotation: Curve,
    least_null_rotation: Curve,
    *,
    gradient_below: float = 0.2,
    overlap_above: float = 0.6,
    interval_above: float = 0.5,
) -> Bool[np.ndarray, " T"]:
    """Windows whose edge decay drives: it points along the weights and turns less than noise.

    All of: the gradient's share of the energy along v₁ below `gradient_below`, |cos(v₁, θ)| above
    `overlap_above`, decay's share ⟨w, δ⟩/‖δ‖² of the last displacement above `interval_above`, and
    v₁ turning less than 95 % of overlapping windows of drift and white noise would.

    Args:
        gradient_share: Of `UpdateDecomposition`, along v₁.
        overlap: Of v₁ with the weights.
        interval_share: Of decay in the last displacement.
        rotation: Of v₁ since the last window, degrees.
        least_null_rotation: 5 % quantile of the same for drift and noise, degrees.
        gradient_below: In (0, 1).
        overlap_above: In (0, 1).
        interval_above: In (0, 1).

    Returns:
        True where all four hold; False where one is NaN, as before the window is full.

    Raises:
        ValueError: For curves of unequal lengths.

    Source: derived here, from decay-driven windows of overlaps 0.70 to 0.95; nothing is published.
    """
    curves = (gradient_share, overlap, interval_share, rotation, least_null_rotation)
    shapes = [np.shape(curve) for curve in curves]
    if len(set(shapes)) != 1 or len(shapes[0]) != 1:
        raise ValueError(
            f"decay_driven_windows: expected curves (T,) of one length, got shapes {shapes}; of a "
            "Probe, edge_alarm_of takes the right ones"
        )
    gradient_share, overlap, interval_share, rotation, least_null_rotation = map(np.asarray, curves)
    return (
        (gradient_share < gradient_below)
        & (overlap > overlap_above)
        & (interval_share > interval_above)
        & (rotation < least_null_rotation)
    )


def decay_driven_alarm(windows: Bool[np.ndarray, " T"], width: int) -> Bool[np.ndarray, " T"]:
    """Where two windows in a row that share no displacement are driven by decay.

    Overlapping windows hold mostly the same displacements, so a run of them is one observation.

    Args:
        windows: Of `decay_driven_windows`, one a displacement.
        width: Displacements W in a window, >= 1.

    Returns:
        True at the second of the two.

    Raises:
        ValueError: If the width is below 1.

    Example:
        >>> windows = np.array([False, True, True, True, True, False])
        >>> decay_driven_alarm(windows, 2).tolist()
        [False, False, False, True, True, False]
    """
    if width < 1:
        raise ValueError(f"decay_driven_alarm: expected width >= 1, got {width}")
    earlier = np.zeros_like(windows)
    earlier[width:] = windows[:-width]
    return windows & earlier


def gradient_reentry(
    gradient_share: Curve, driven: Bool[np.ndarray, " _"], *, above: float = 0.5
) -> Bool[np.ndarray, " T"]:
    """Where the gradient drives the edge again after decay has.

    The bar is higher than that of `decay_driven_windows`, so a share that scatters about one bar
    does not end a phase of decay and begin the next at every record.

    Args:
        gradient_share: Of `UpdateDecomposition`, along v₁.
        driven: Of `decay_driven_windows`, or of `decay_driven_alarm` for lasting phases only.
        above: Share of the gradient that ends a phase of decay, in (0, 1).

    Returns:
        True at the first record above the bar after each phase; NaN is not above it.

    Raises:
        ValueError: For curves of unequal lengths.

    Example:
        >>> share = np.array([0.9, 0.1, 0.3, 0.6, 0.9, 0.1])
        >>> gradient_reentry(share, share < 0.2).tolist()
        [False, False, False, True, False, False]
    """
    if len(gradient_share) != len(driven):
        lengths = [len(gradient_share), len(driven)]
        raise ValueError(f"gradient_reentry: expected curves of one length, got {lengths}")
    found, in_phase = np.zeros(len(driven), dtype=bool), False
    for record, share in enumerate(gradient_share):
        found[record] = in_phase and share > above
        in_phase = bool(driven[record]) or (in_phase and not found[record])
    return found
