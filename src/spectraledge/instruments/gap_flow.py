"""The flow of the gaps behind the spectral edge, term by term: curvature, damping, gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from spectraledge.instruments.base import Differentiable, Instrument, Output, Window
from spectraledge.instruments.curvature import curvature_along
from spectraledge.instruments.interval_parts import IntervalParts
from spectraledge.instruments.parameter_subset import (
    ATTENTION_WEIGHTS,
    check_subset,
    chosen_columns,
    chosen_parameters,
)
from spectraledge.instruments.update_window import UpdateWindow
from spectraledge.snapshots import Layout

__all__ = ["GapFlow"]

# Measuring has batches of its own, the same ones at every snapshot: changes are those of the run.
SALT, DECAY = "gap flow", "weight_decay"
GAP = ("gap",)


@dataclass(frozen=True)
class GapFlow(Instrument):
    """What should move the gaps ``d_k − d_{k+1}`` between singular values, per snapshot interval.

    With curvatures ``h_k = v_kᵀHv_k`` and slopes ``G_k = ⟨v_k, ∇L⟩`` of the training loss along
    the directions of the last W displacements, N steps of rate η to an interval, the measured
    decay ``ρ = −⟨w, θ̄⟩/‖θ̄‖²`` of the weights per interval, and bars for means of two neighbours,

    - ``curvature_term`` ``= −ηN (h_k − h_{k+1}) d̄``,
    - ``damping_term`` ``= −(ηN h̄ + ρ) (d_k − d_{k+1})``,
    - ``driving_term`` ``= ηN W (G_k²/d_k − G_{k+1}²/d_{k+1})``.

    The square of a slope is the mean product of slopes on two different batches, which sampling
    does not inflate; it may be negative where the slope is noise. Before the window is full there
    is nothing: gaps of windows of other widths cannot be compared.

    Their sum is said to be the change of the gap until the next snapshot. The constants are of a
    mean field and units do not close (d is a displacement over N steps of an optimizer that is
    not gradient descent), so compare signs and correlations and fit one scale a term.

    Args:
        window: W >= 2 displacements.
        gaps: How many, from the first on, 1 to W − 1.
        batches: Measuring batches averaged over, >= 2; the same ones at every snapshot.
        kinds: Kinds of matrices; empty for every weight matrix.

    Raises:
        ValueError: For unknown kinds or numbers out of range; at the first snapshot if the model
            has no such matrix.

    Cost: ``batches`` gradients and ``gaps + 1`` Hessian-vector products of each a snapshot.

    Source: arXiv:2603.28964, gap flow; 2604.07380 names a class by which term is largest. No
    published code computes a term. Decay is measured; in the paper it is ``ηNω``, which it is
    where nothing else moves the weights.
    """

    window: int = 5
    gaps: int = 2
    batches: int = 4
    kinds: tuple[str, ...] = ATTENTION_WEIGHTS

    name: ClassVar[str] = "gap_flow"
    needs_problem: ClassVar[bool] = True
    parts: ClassVar[frozenset[str]] = frozenset({DECAY})
    outputs: ClassVar[Mapping[str, Output]] = {
        "curvature": Output("v_kᵀHv_k", "loss/weight²", ("component",), each=True),
        "slope": Output("|⟨v_k, ∇L⟩|", "loss/weight", ("component",), each=True),
        "decay_rate": Output("decay of the weights, last interval"),
        "gap": Output("d_k − d_{k+1}", "weight", GAP, each=True),
        "curvature_term": Output("change by difference of curvatures", "weight", GAP, each=True),
        "damping_term": Output("change by curvature and decay", "weight", GAP, each=True),
        "driving_term": Output("change by the gradient", "weight", GAP, each=True),
    }

    def __post_init__(self) -> None:
        check_subset("GapFlow", self.kinds)
        if self.window < 2 or not 1 <= self.gaps < self.window or self.batches < 2:
            raise ValueError(
                "GapFlow: expected window >= 2, gaps in 1..window − 1 and batches >= 2, got "
                f"window={self.window}, gaps={self.gaps}, batches={self.batches}"
            )

    @property
    def history(self) -> int:  # type: ignore[override]
        """Snapshots of one window."""
        return self.window + 1

    def parts_of(self, layout: Layout) -> set[str]:
        """The parameters that hold the chosen matrices."""
        return chosen_parameters(layout, self.kinds)

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Numbers of directions and of gaps."""
        return {
            "component": tuple(f"v{k + 1}" for k in range(self.gaps + 1)),
            "gap": tuple(f"{k + 1}{k + 2}" for k in range(self.gaps)),
        }

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Terms at the newest snapshot."""
        if window.problem is None:
            raise ValueError("gap_flow evaluates the model; pass Window(..., problem)")
        runs, sizes = window.now.runs, {"component": self.gaps + 1, "gap": self.gaps}
        arrays = {
            name: torch.full((runs, *(sizes[a] for a in o.axes)), nan, dtype=torch.float64)
            for name, o in self.outputs.items()
        }
        if len(window.snapshots) > self.window:
            arrays |= self._flow(window, window.problem)
        return {name: array.cpu() for name, array in arrays.items()}

    def _flow(self, window: Window, problem: Differentiable) -> dict[str, Tensor]:
        updates = UpdateWindow.of(window.snapshots, self.kinds, self.window)
        count = self.gaps + 1
        curvature, slopes = self._along(window, problem, updates.directions(count))
        values = updates.spectrum.values[:, :count]
        rate, decay = self._rates(window)
        pull = _square(slopes) / torch.where(values > 0, values, nan)
        return {
            "curvature": curvature,
            "slope": slopes.mean(0).abs(),
            "decay_rate": decay,
            "gap": _differences(values),
            "curvature_term": -rate[:, None] * _differences(curvature) * _means(values),
            "damping_term": -(rate[:, None] * _means(curvature) + decay[:, None])
            * _differences(values),
            "driving_term": rate[:, None] * updates.width * _differences(pull),
        }

    def _along(
        self, window: Window, problem: Differentiable, directions: Float64[Tensor, "R K D"]
    ) -> tuple[Tensor, Tensor]:
        """Curvature of the training loss along directions ``(R, K)``, slopes of each batch."""
        theta = window.now.parameters
        columns = chosen_columns(window.now.layout, self.kinds)
        whole = directions.new_zeros(*directions.shape[:2], theta.shape[1])
        whole[..., columns] = directions
        curvatures, slopes = [], []
        for number in range(self.batches):
            tokens, labels = problem.batch(number, SALT)

            def product(
                vectors: Tensor, tokens: Tensor = tokens, labels: Tensor = labels
            ) -> Tensor:
                return problem.hessian_vector(theta, tokens, labels, vectors.to(theta.dtype))

            gradient = problem.gradient(theta, tokens, labels)[0].double()
            curvatures.append(curvature_along(product, whole))
            slopes.append((whole @ gradient.unsqueeze(-1)).squeeze(-1))
        return torch.stack(curvatures).mean(0), torch.stack(slopes)

    def _rates(self, window: Window) -> tuple[Tensor, Tensor]:
        """``ηN`` and the share of the weights that decay took, over the last interval."""
        before, now = window.snapshots[-2:]
        unknown = now.parameters.new_full((now.runs,), nan, dtype=torch.float64)
        lr = unknown if now.lr is None else now.lr.to(unknown)
        rate = lr * (now.step - before.step)
        last = IntervalParts.of((before, now), self.kinds, 1)
        decayed, middle = last.vector(DECAY, 0), last.now - last.vector("displacement", 0) / 2
        return rate, -(decayed * middle).sum(1) / middle.square().sum(1)


def _square(slopes: Tensor) -> Tensor:
    """Mean of the products of slopes ``(M, R, K)`` on two different batches, ``(R, K)``."""
    count = len(slopes)
    return (slopes.sum(0).square() - slopes.square().sum(0)) / (count * (count - 1))


def _differences(values: Tensor) -> Tensor:
    return values[:, :-1] - values[:, 1:]


def _means(values: Tensor) -> Tensor:
    return (values[:, :-1] + values[:, 1:]) / 2
