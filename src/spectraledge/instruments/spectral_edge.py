"""The spectral edge: leading directions of the last few parameter updates, and how they turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.interval_products import IntervalProducts
from spectraledge.instruments.parameter_subset import (
    ATTENTION_WEIGHTS,
    check_subset,
    chosen_stretches,
)
from spectraledge.instruments.recent_intervals import recent_intervals
from spectraledge.instruments.sketched_snapshots import check_sketch
from spectraledge.linalg.rotation_nulls import drift_ratio, rotation_null
from spectraledge.linalg.sketch import CountSketch
from spectraledge.linalg.update_spectrum import (
    UpdateSpectrum,
    direction_cosines,
    half_window_stability,
    update_spectrum,
)
from spectraledge.linalg.window_change import eigenvalue_stability, gram_change

__all__ = ["SpectralEdge"]

DEGREES = 180 / torch.pi


@dataclass(frozen=True)
class SpectralEdge(Instrument):
    """Spectrum of the last W displacements between snapshots, and the turning of its directions.

    ``v_1``, the leading right singular direction, is the spectral edge. The window is right-aligned
    and shorter at the start; displacements are neither centred nor weighted. Directions turn
    between two windows of W, the second one displacement later; those share W − 1 of them, so
    that even random ones turn little: ``null_rotation`` is what a constant drift and white noise
    of the same ratio would show.

    Gaps and ratios depend on W and on the distance of the snapshots: compare runs at equal ones.

    Args:
        window: W >= 2 displacements; 5 is published for Dyck-1 and SCAN, 10 for modular arithmetic.
        stride: Snapshots per displacement, >= 1.
        kinds: Kinds of matrices that are looked at, or ``parameters:`` and a pattern of names;
            empty for every weight matrix.
        sketch: Buckets m of a count sketch that stands for the weights, for models of which W + 1
            snapshots are too many; None keeps whole snapshots. A snapshot is then one that was
            measured. The relative standard deviation of a singular value is ``1/√(2m)``
            (`sketch_error`): 1.1 % for 4096 buckets.

    Raises:
        ValueError: For a window below 2, a stride below 1, unknown kinds or fewer than 64 buckets;
            at the first snapshot if the model has no such matrix.

    Cost: W + 1 differences and inner products of the chosen weights a snapshot; memory of
    (W + 1) · stride + 1 snapshots, or as many times m numbers with a sketch, which takes one pass
    over the weights and random numbers of their count.

    Source: arXiv:2604.07380, definitions of the edge; 2603.28964. Differs from the published code
    in float64 and in `gap23`, which is NaN for windows of two.
    """

    window: int = 5
    stride: int = 1
    kinds: tuple[str, ...] = ATTENTION_WEIGHTS
    sketch: int | None = None

    name: ClassVar[str] = "spectral_edge"
    outputs: ClassVar[Mapping[str, Output]] = {
        "displacements": Output("displacements in the window"),
        "singular_values": Output("σ, largest first", "weight", ("component",), each=True),
        "gap23": Output("σ₂² − σ₃²", "weight²"),
        "sketch_error": Output("relative standard deviation of σ by the sketch"),
        "gap23_sketch_error": Output("standard deviation of the gap by the sketch", "weight²"),
        "first_share": Output("σ₁² / Σσ²"),
        "rank_95": Output("directions that hold 95 % of Σσ²"),
        "rank_at_gap": Output("directions before the largest weighted gap"),
        "rank_at_plain_gap": Output("directions before the largest ratio of neighbours"),
        "gap_ratio": Output("σ_k / σ_{k+1} at the weighted gap"),
        "drift": Output("norm of the mean displacement", "weight"),
        "excess_over_orthogonal": Output("σ₁ over that of orthogonal displacements"),
        "published_threshold_ratio": Output("σ_w over the published noise level, vacuous"),
        "marchenko_pastur_ratio": Output("σ₁ over the largest of noise of the smaller σ's level"),
        "rotation": Output("angle of a direction to the last one", "°", ("component",), each=True),
        "stability": Output(
            "|cos| of a direction in both halves of the window", "1", ("component",), each=True
        ),
        "edge_rotation": Output("largest angle between spans of v₁ and v₂", "°"),
        "span_rotation": Output("largest angle between spans of v₁, v₂ and v₃", "°"),
        "gram_change": Output("‖ΔG‖_F over the squared gap, adiabatic parameter but for 1/η"),
        "eigenvalue_stability": Output(
            "1 − ‖Δλ‖² over the squared distance of neighbours", "1", ("component",), each=True
        ),
        "drift_ratio": Output("common part of the displacements over the rest"),
        "null_rotation": Output(
            "mean angle of drift and white noise", "°", ("component",), each=True
        ),
        "least_null_rotation": Output("its 5 % quantile", "°", ("component",), each=True),
    }

    def __post_init__(self) -> None:
        check_subset("SpectralEdge", self.kinds)
        check_sketch("SpectralEdge", self.sketch)
        for name, least in (("window", 2), ("stride", 1)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"SpectralEdge: expected {name} >= {least}, got {getattr(self, name)}"
                )

    @property
    def history(self) -> int:  # type: ignore[override]
        """Snapshots of two windows, the second one displacement later; one if sketched."""
        return self._span if self.sketch is None else 1

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Numbers of the components."""
        return {"component": tuple(f"v{k + 1}" for k in range(self.window))}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Everything about the window that ends at the newest snapshot."""
        intervals = recent_intervals(
            window, self._span, self.kinds, self.stride, sketch=self.sketch
        )
        products = IntervalProducts(intervals, window.memory.setdefault("products", {}))
        gram, layout = products.gram().cpu(), window.now.layout
        count = min(self.window, intervals.count)
        arrays = {name: torch.full((len(gram),), nan).double() for name in self.outputs}
        for name in (n for n, output in self.outputs.items() if output.axes):
            arrays[name] = torch.full((len(gram), self.window), nan).double()
        arrays["displacements"] = torch.full((len(gram),), float(count)).double()
        if count:
            parameters = sum(s.stop - s.start for s in chosen_stretches(layout, self.kinds))
            newest = gram[:, -count:, -count:]
            arrays |= self._spectrum(update_spectrum(newest), parameters)
            if count == self.window:
                stable = half_window_stability(newest)
                missing = self.window - stable.shape[-1]
                arrays["stability"] = pad(stable, (0, missing), value=nan)
        if gram.shape[-1] == self.window + 1:
            arrays |= _rotations(direction_cosines(gram, self.window))
            arrays["gram_change"] = gram_change(gram, self.window)
            arrays["eigenvalue_stability"] = eigenvalue_stability(gram, self.window)
            ratio = drift_ratio(gram)
            null = rotation_null(self.window, ratio)
            arrays |= {"drift_ratio": ratio, "null_rotation": null.mean}
            arrays["least_null_rotation"] = null.low
        return arrays

    @property
    def _span(self) -> int:
        return (self.window + 1) * self.stride + 1

    def _spectrum(self, found: UpdateSpectrum, parameters: int) -> dict[str, Tensor]:
        missing = self.window - found.values.shape[-1]
        error = 0.0 if self.sketch is None else CountSketch(self.sketch).relative_error
        # Errors of different σ are independent to first order, and those of σ² twice as large.
        squares = found.values[..., 1:3].square()
        known = found.gap23.isfinite()
        return {
            "singular_values": pad(found.values, (0, missing), value=nan),
            "gap23": found.gap23,
            "sketch_error": torch.full_like(found.drift, error),
            "gap23_sketch_error": torch.where(known, 2 * error * squares.norm(dim=-1), nan),
            "first_share": found.first_share,
            "rank_95": found.rank_of_share(0.95),
            "rank_at_gap": found.rank_at_gap(),
            "rank_at_plain_gap": found.rank_at_gap(weighted=False),
            "gap_ratio": found.gap_ratio(),
            "drift": found.drift,
            "excess_over_orthogonal": found.excess_over_orthogonal,
            "published_threshold_ratio": found.published_threshold_ratio(parameters),
            "marchenko_pastur_ratio": found.marchenko_pastur_ratio(parameters),
        }


def _rotations(cosines: Tensor) -> dict[str, Tensor]:
    own = cosines.diagonal(dim1=-2, dim2=-1).abs().clamp(max=1)
    return {
        "rotation": own.arccos() * DEGREES,
        "edge_rotation": _largest_angle(cosines, 2),
        "span_rotation": _largest_angle(cosines, 3),
    }


def _largest_angle(cosines: Tensor, count: int) -> Tensor:
    """Between the spans of the first few directions of two windows, in degrees."""
    smallest = torch.full_like(cosines[:, 0, 0], nan)
    if cosines.shape[-1] >= count:
        span = cosines[:, :count, :count]
        # Singular values of a matrix with NaN are an error; such a span has no angle.
        known = ~span.isnan().flatten(1).any(1)
        smallest[known] = torch.linalg.svdvals(span[known])[:, -1].clamp(max=1)
    return smallest.arccos() * DEGREES
