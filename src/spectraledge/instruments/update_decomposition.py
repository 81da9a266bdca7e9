"""What moves the weights along the spectral edge: gradient, weight decay, low-rank decay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.interval_products import IntervalProducts
from spectraledge.instruments.parameter_subset import (
    ATTENTION_WEIGHTS,
    check_subset,
    chosen_parameters,
)
from spectraledge.instruments.recent_intervals import recent_intervals
from spectraledge.instruments.sketched_snapshots import check_sketch
from spectraledge.linalg.update_energy import (
    alignment_cosines,
    direction_projections,
    energy_shares,
    signed_shares,
)
from spectraledge.linalg.update_spectrum import update_spectrum
from spectraledge.snapshots import Layout

__all__ = ["PARTS", "UpdateDecomposition"]

GRADIENT, DECAYS = "gradient", ("weight_decay", "low_rank")
PARTS = (GRADIENT, *DECAYS)
TRAPEZOID = "trapezoid"


@dataclass(frozen=True)
class UpdateDecomposition(Instrument):
    """Exact shares of gradient and decays in the last W displacements and along their directions.

    The recorded decay parts of an interval are what the decays did, summed over its steps; the
    ``gradient`` part is the rest of the displacement, which under Adam is the preconditioned and
    smoothed update. Along a direction ``v_k`` of the window (see `SpectralEdge`):

    - ``energy_share``: ``E_p / Σ E`` with ``E_p`` the mean of ``⟨p_i, v_k⟩²`` over the window; of
      the gradient it is the published grad%. ``last_energy_share`` takes the last interval alone,
      as the published multi-seed table does under the same name.
    - ``signed_share``: ``Σ ⟨p_i, v_k⟩⟨δ_i, v_k⟩ / σ_k²``, which sums to 1 with the cross term.
    - ``alignment``: cosine of gradient and decays along ``v_k``; published is its sign only.
    - ``overlap``: ``|cos(v_k, θ)|``. Where only decay acts, ``v_1 = ±θ/‖θ‖``.

    Without any window, ``interval_share`` is ``⟨p, δ⟩ / ‖δ‖²`` of the last interval and
    ``interval_cosine`` that of gradient and decays in all chosen weights. The share along ``v_1``
    changes when an early interval leaves the window, (W + 1) intervals after the start, whatever
    the run does: compare it with the shares of intervals, other W and other strides.

    ``trapezoid_share`` is the published estimate of the gradient's energy share from snapshots
    alone, with ``w_i = −ωN(η_{i−1} θ_{i−1} + η_i θ_i)/2``, and ``trapezoid_error`` that estimate's
    distance from the recorded decay over the latter's norm. It takes ω as given below, whatever
    the optimizer has, and rates from the ends of the interval.

    Args:
        window: W >= 2 displacements.
        stride: Snapshots per displacement, >= 1; the parts of longer intervals are summed.
        components: Leading directions that are reported, 1 to W.
        kinds: Kinds of matrices that are looked at, or ``parameters:`` and a pattern of names;
            empty for every weight matrix.
        weight_decay: ω of the trapezoid, in all chosen weights; runs in which recorded decay is
            zero have none.
        sketch: Buckets m of a count sketch that stands for weights and parts, see `SpectralEdge`;
            shares and cosines are then off by about ``1/√m``. None keeps whole vectors.

    Raises:
        ValueError: For numbers out of range or unknown kinds; at the first snapshot if the model
            has no such matrix.

    Cost: about 6 W inner products of the chosen weights a snapshot, and one addition of them a
    training step; memory W · stride + 1 snapshots with their parts, or sketches of them. Without
    recorded parts, as on saved checkpoints, only the overlaps and the trapezoid are known.

    Source: arXiv:2604.07380, gradient and weight-decay split. Differs from the published code in
    exact parts, in signed shares, cosines and shares of intervals, in low-rank decay, and in a
    trapezoid that follows schedules.
    """

    window: int = 5
    stride: int = 1
    components: int = 3
    kinds: tuple[str, ...] = ATTENTION_WEIGHTS
    weight_decay: float = 1.0
    sketch: int | None = None

    name: ClassVar[str] = "update_decomposition"
    parts: ClassVar[frozenset[str]] = frozenset(DECAYS)
    outputs: ClassVar[Mapping[str, Output]] = {
        "energy_share": Output("share of a part in the energy", "1", ("part", "component"), True),
        "last_energy_share": Output(
            "the same, last interval alone", "1", ("part", "component"), True
        ),
        "signed_share": Output("share in the movement", "1", ("part", "component"), True),
        "alignment": Output("cosine of gradient and decays", "1", ("component",), True),
        "overlap": Output("|cos(v_k, θ)|", "1", ("component",), True),
        "trapezoid_share": Output(
            "share of the gradient by the trapezoid", "1", ("component",), True
        ),
        "trapezoid_error": Output("relative error of the decay by the trapezoid"),
        "interval_share": Output("⟨p, δ⟩/‖δ‖², last interval", "1", ("part",), True),
        "interval_cosine": Output("cosine of gradient and decays, last interval"),
        "part_norm": Output("norm of a part, last interval", "weight", ("part",), True),
        "displacement": Output("norm of the last displacement", "weight"),
        "weight_norm": Output("norm of the chosen weights", "weight"),
    }

    def __post_init__(self) -> None:
        check_subset("UpdateDecomposition", self.kinds)
        check_sketch("UpdateDecomposition", self.sketch)
        if not 1 <= self.components <= self.window:
            raise ValueError(
                f"UpdateDecomposition: expected components in 1..window={self.window}, got "
                f"{self.components}"
            )
        for name, least in (("window", 2), ("stride", 1), ("weight_decay", 0)):
            if not getattr(self, name) >= least:
                raise ValueError(
                    f"UpdateDecomposition: expected {name} >= {least}, got {getattr(self, name)}"
                )

    @property
    def history(self) -> int:  # type: ignore[override]
        """Snapshots at both ends of every displacement and between them; one if sketched."""
        return self._span if self.sketch is None else 1

    @property
    def _span(self) -> int:
        return self.window * self.stride + 1

    def parts_of(self, layout: Layout) -> set[str]:
        """The parameters that hold the chosen matrices."""
        return chosen_parameters(layout, self.kinds)

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Numbers of the components and names of the parts."""
        return {"component": tuple(f"v{k + 1}" for k in range(self.components)), "part": PARTS}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Everything about the window that ends at the newest snapshot."""
        runs = window.now.runs
        sizes = {"part": len(PARTS), "component": self.components}
        arrays = {
            name: torch.full((runs, *(sizes[a] for a in o.axes)), torch.nan, dtype=torch.float64)
            for name, o in self.outputs.items()
        }
        intervals = recent_intervals(
            window,
            self._span,
            self.kinds,
            self.stride,
            sketch=self.sketch,
            parts=True,
            weight_decay=self.weight_decay,
        )
        arrays["weight_norm"] = intervals.now.norm(dim=1)
        if intervals.count:
            products = IntervalProducts(intervals, window.memory.setdefault("products", {}))
            arrays |= _of_interval(products) | self._of_window(products)
        return {name: array.cpu() for name, array in arrays.items()}

    def _of_window(self, products: IntervalProducts) -> dict[str, Tensor]:
        deltas = products.gram()
        spectrum = update_spectrum(deltas)
        decays = [products.between(part, "displacement") for part in DECAYS]
        parts = torch.stack([deltas - sum(decays), *decays])
        projected = direction_projections(parts, spectrum)
        trapezoid = direction_projections(products.between(TRAPEZOID, "displacement"), spectrum)
        direct = direction_projections(deltas, spectrum)
        weights = direction_projections(products.with_weights().unsqueeze(-2), spectrum)
        norm = products.intervals.now.norm(dim=1, keepdim=True)
        found = {
            "energy_share": energy_shares(projected).movedim(0, 1),
            "last_energy_share": energy_shares(projected[..., -1:, :]).movedim(0, 1),
            "signed_share": signed_shares(projected, spectrum).movedim(0, 1),
            "alignment": alignment_cosines(projected[0], projected[1:].sum(0)),
            "overlap": weights.squeeze(-2).abs() / norm,
            "trapezoid_share": energy_shares(torch.stack([direct - trapezoid, trapezoid]))[0],
        }
        # Negative padding cuts off the directions that are not reported.
        missing = self.components - deltas.shape[-1]
        return {name: pad(array, (0, missing), value=torch.nan) for name, array in found.items()}


def _of_interval(products: IntervalProducts) -> dict[str, Tensor]:
    last = products.intervals.count - 1

    def dot(first: str, second: str) -> Tensor:
        return products.one(first, last, second, last)

    square = dot("displacement", "displacement")
    with_update = [dot(part, "displacement") for part in DECAYS]
    among = {(p, q): dot(p, q) for p in DECAYS for q in DECAYS}
    decay = sum(among.values())
    moved = sum(with_update)
    # ‖δ − d‖² and ⟨δ − d, d⟩ of the sum d of all decays.
    gradient = (square - 2 * moved + decay).clamp(min=0)
    norms = [gradient, *(among[part, part] for part in DECAYS)]
    distance = dot(TRAPEZOID, TRAPEZOID) - 2 * dot(TRAPEZOID, DECAYS[0]) + norms[1]
    return {
        "interval_share": torch.stack([square - moved, *with_update], 1)
        / _positive(square)[:, None],
        "interval_cosine": (moved - decay) / _positive(gradient * decay).sqrt(),
        "part_norm": torch.stack(norms, 1).clamp(min=0).sqrt(),
        "displacement": square.sqrt(),
        "trapezoid_error": (distance.clamp(min=0) / _positive(norms[1])).sqrt(),
    }


def _positive(values: Tensor) -> Tensor:
    return torch.where(values > 0, values, torch.nan)
