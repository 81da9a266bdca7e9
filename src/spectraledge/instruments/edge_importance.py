"""What gradients predict a direction of the edge to be worth, and what its removal costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn.functional import pad

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.functional_site import FunctionalSite, check_counts
from spectraledge.instruments.parameter_subset import ATTENTION_WEIGHTS, check_subset
from spectraledge.instruments.perturbation_curve import directional_curvature
from spectraledge.instruments.update_window import UpdateWindow
from spectraledge.linalg.update_spectrum import half_window_stability

__all__ = ["EdgeImportance", "published_correlation"]

# Measuring has training batches of its own, the same ones at every snapshot.
SALT = "edge importance"
DIRECTION = ("direction",)
LEAST_POINTS = 3


def published_correlation(
    predicted: Float64[Tensor, "R K"], cost: Float64[Tensor, "R K"]
) -> Float64[Tensor, " R"]:
    """Pearson correlation of ``|predicted|`` and ``|cost|`` over the directions that have both.

    Args:
        predicted: Predicted importance of K directions.
        cost: Change of the loss without each.

    Returns:
        A number in [−1, 1] for each run; 0 for fewer than three directions, as the published
        script has it; NaN where one side does not vary.

    Source: arXiv:2603.28964, "Test 8", as its script does it.

    Example:
        >>> points = torch.tensor([[1.0, 2.0, 4.0]]).double()
        >>> published_correlation(points, 3 * points).tolist()
        [1.0]
        >>> published_correlation(points[:, :2], points[:, :2]).tolist()
        [0.0]
    """
    found = []
    for ours, theirs in zip(predicted.abs(), cost.abs()):
        known = ours.isfinite() & theirs.isfinite()
        pair = torch.stack([ours[known], theirs[known]])
        few = pair.shape[1] < LEAST_POINTS
        found.append(pair.new_zeros(()) if few else torch.corrcoef(pair)[0, 1])
    return torch.stack(found)


@dataclass(frozen=True)
class EdgeImportance(Instrument):
    """Predictions of what v_k is worth, beside the change of the loss without it.

    With ``G_k = ⟨v_k, ∇L⟩`` on training batches and on held-out rows, the published importance is
    ``I_k = α_k G_k^train G_k^held-out``; α_k is `half_window_stability`, so that there are ⌊W/2⌋.
    A step ``−η∇L_train`` changes the held-out loss by ``−η Σ_k G_k^train G_k^held-out`` to first
    order: that is about moving, and the cost it is compared with is that of removing,
    ``L(θ − ⟨θ, v_k⟩ v_k) − L(θ)``. What predicts the latter is Taylor's series, here to first and
    to second order: ``−c G`` and ``−c G + ½ c² v_kᵀHv_k`` with ``c = ⟨θ, v_k⟩``.

    Args:
        directions: K >= 1 leading directions of the window; missing ones are NaN.
        batches: Training batches averaged over, >= 1; the same ones at every snapshot.
        window: Updates W >= directions; shorter at the start.
        rows: Held-out rows, >= 1; 300 are published.
        kinds: Kinds of matrices that make up θ; empty for every weight matrix.

    Raises:
        ValueError: For unknown kinds or numbers out of range; at the first snapshot if the model
            has no such matrix.

    Cost: K + 1 forward passes over the distinct rows, ``batches + 1`` gradients, and K
    Hessian-vector products.

    Source: arXiv:2603.28964, "Test 8", and 2604.07380. Differs from the published code: training
    gradients are of batches and not of all rows; α of windows that are too short to have one is
    NaN and not 1. Taylor's series is ours.
    """

    directions: int = 4
    batches: int = 4
    window: int = 5
    rows: int = 300
    kinds: tuple[str, ...] = ATTENTION_WEIGHTS

    name: ClassVar[str] = "edge_importance"
    needs_problem: ClassVar[bool] = True
    outputs: ClassVar[Mapping[str, Output]] = {
        "train_slope": Output("|⟨v_k, ∇L⟩| in training", "loss/weight", DIRECTION, True),
        "held_out_slope": Output("|⟨v_k, ∇L⟩| on held-out rows", "loss/weight", DIRECTION, True),
        "agreement": Output("product of both slopes", "loss²/weight²", DIRECTION, True),
        "importance": Output("α_k times that, published", "loss²/weight²", DIRECTION, True),
        "held": Output("|⟨θ, v_k⟩| / ‖θ‖", "1", DIRECTION, True),
        "first_order": Output("predicted change without v_k, slope", "loss", DIRECTION, True),
        "second_order": Output("the same with curvature", "loss", DIRECTION, True),
        "loss_change": Output("L(θ − ⟨θ, v_k⟩ v_k) − L(θ)", "loss", DIRECTION, True),
        "accuracy_change": Output("the same of accuracy", "1", DIRECTION, True),
        "published_correlation": Output("of |importance| and |change|, 0 below three points"),
    }

    def __post_init__(self) -> None:
        check_subset("EdgeImportance", self.kinds)
        check_counts(self, "directions", "batches", "rows")

    @property
    def history(self) -> int:  # type: ignore[override]
        """Snapshots of one window."""
        return self.window + 1

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Numbers of the directions."""
        return {"direction": tuple(f"v{k + 1}" for k in range(self.directions))}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Predictions and costs at the newest snapshot."""
        site = FunctionalSite.of(self, window)
        held = (site.directions @ site.vector.unsqueeze(-1)).squeeze(-1)
        train, out = self._slopes(site)
        first = -held * out
        bend = directional_curvature(site, site.directions.unbind(1))
        importance = self._stability(window, site) * train * out
        change = self._changes(site, held)
        arrays = change | {
            "train_slope": train.abs(),
            "held_out_slope": out.abs(),
            "agreement": train * out,
            "importance": importance,
            "held": held.abs() / site.norm[:, None],
            "first_order": first,
            "second_order": first + held.square() * bend / 2,
            "published_correlation": published_correlation(importance, change["loss_change"]),
        }
        return {name: array.cpu() for name, array in arrays.items()}

    def _slopes(self, site: FunctionalSite) -> tuple[Tensor, Tensor]:
        """Slopes of the loss along the directions ``(R, K)``, in training and held out."""

        def along(tokens: Tensor, labels: Tensor) -> Tensor:
            gradient = site.problem.gradient(site.theta, tokens, labels)[0][:, site.columns]
            return (site.directions @ gradient.to(site.directions).unsqueeze(-1)).squeeze(-1)

        batches = [along(*site.problem.batch(number, SALT)) for number in range(self.batches)]
        return torch.stack(batches).mean(0), along(*site.labelled)

    def _stability(self, window: Window, site: FunctionalSite) -> Tensor:
        """α of each direction ``(R, K)``; NaN for those beyond half of the window."""
        found = site.directions.new_full(site.directions.shape[:2], nan)
        if len(window.snapshots) > 2:
            gram = UpdateWindow.of(window.snapshots, self.kinds, self.window).spectrum.gram
            stable = half_window_stability(gram)[:, : self.directions]
            found = pad(stable, (0, self.directions - stable.shape[-1]), value=nan).to(found)
        return found

    def _changes(self, site: FunctionalSite, held: Tensor) -> dict[str, Tensor]:
        points = (
            site.vector - held[:, k, None] * site.directions[:, k] for k in range(self.directions)
        )
        found = site.outcomes(points)
        return {
            f"{name}_change": values[:, 1:] - values[:, :1]
            for name, values in (("loss", found.loss), ("accuracy", found.accuracy))
        }
