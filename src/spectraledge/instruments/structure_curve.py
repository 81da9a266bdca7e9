"""How attention and its matrices change along directions of the last updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from spectraledge.instruments.attention_structure import labelled_queries
from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.functional_site import (
    FunctionalSite,
    check_counts,
    direction_names,
)
from spectraledge.instruments.labelled_tokens import Inspectable, Rows, held_out_runs, inspected
from spectraledge.instruments.parameter_subset import ATTENTION_WEIGHTS, check_subset
from spectraledge.instruments.perturbation_curve import (
    displacement_levels,
    displacement_sizes,
    level_names,
)
from spectraledge.instruments.representations import attention_of
from spectraledge.snapshots import Layout
from spectraledge.weight_matrices import weight_matrices

__all__ = ["StructureCurve", "attention_entropy", "query_key_commutator"]

CURVE = ("direction", "displacement")


def query_key_commutator(
    theta: Float64[Tensor, "*batch P"], layout: Layout
) -> dict[str, Float64[Tensor, "*batch"]]:
    """``‖W_Q W_K − W_K W_Q‖_F`` of each layer, mean over layers.

    Args:
        theta: Parameters.
        layout: Their layout.

    Returns:
        ``commutator``, in weight²; and ``relative_commutator``, each layer's over
        ``√2 ‖W_Q‖_F ‖W_K‖_F``, which no two matrices exceed (Böttcher and Wenzel, 2008): in [0, 1].

    Raises:
        ValueError: If the model has no layer with a square query and a square key matrix.

    Source: arXiv:2604.07380, restated; the relative one is ours. Rows of W_Q and W_K are
    coordinates of heads and columns those of the residual stream, so that this product has no
    meaning in the model: it depends on bases that could be changed at no effect.

    Example:
        >>> layout = Layout(("a.query.weight", "a.key.weight"), ((2, 2), (2, 2)))
        >>> found = query_key_commutator(torch.tensor([0.0, 1, 0, 0, 0, 0, 1, 0]).double(), layout)
        >>> [round(value.item(), 6) for value in found.values()]
        [1.414214, 1.0]
    """
    matrices = weight_matrices(layout, ("query", "key"))
    layers: dict[str, dict[str, Tensor]] = {}
    for name, matrix in matrices.items():
        own = layers.setdefault(name.rpartition(".")[0], {})
        own[matrix.kind] = matrix.view(theta, layout)
    pairs = [(own["query"], own["key"]) for own in layers.values() if len(own) == 2]
    fitting = [(Q, K) for Q, K in pairs if Q.shape == K.shape and Q.shape[-1] == Q.shape[-2]]
    if not fitting:
        shapes = {name: tuple(m.view(theta, layout).shape[-2:]) for name, m in matrices.items()}
        raise ValueError(
            "query_key_commutator: expected a layer with a square query and a square key matrix, "
            f"got {shapes}"
        )
    norms = [torch.linalg.matrix_norm(Q @ K - K @ Q) for Q, K in fitting]
    bounds = [
        2**0.5 * torch.linalg.matrix_norm(Q) * torch.linalg.matrix_norm(K) for Q, K in fitting
    ]
    relative = [norm / torch.where(bound > 0, bound, nan) for norm, bound in zip(norms, bounds)]
    return {
        "commutator": torch.stack(norms).mean(0),
        "relative_commutator": torch.stack(relative).mean(0),
    }


def attention_entropy(
    problem: Inspectable, layout: Layout, theta: Float64[Tensor, " P"], rows: Rows
) -> dict[str, float]:
    """Entropy of attention in nat, mean over queries, heads and layers.

    Args:
        problem: Shows its model.
        layout: Of the parameters.
        theta: Parameters of one run.
        rows: Where to look.

    Returns:
        ``entropy`` over labelled queries, and ``published_entropy`` over all, padding included.
    """
    parameters = layout.views(theta)
    patterns = attention_of(problem.skeleton, rows.tokens.to(theta.device), parameters=parameters)
    found: dict[str, list[float]] = {"entropy": [], "published_entropy": []}
    for pattern in patterns:
        entropy = torch.special.entr(pattern.weights).sum(-1).mean(1).cpu()
        found["entropy"].append(entropy[labelled_queries(pattern, rows)].mean().item())
        found["published_entropy"].append(entropy.mean().item())
    return {name: sum(values) / len(values) for name, values in found.items()}


@dataclass(frozen=True)
class StructureCurve(Instrument):
    """Entropy of attention and commutators of W_Q and W_K at ``θ + ε d``.

    d are the v_k, ``θ/‖θ‖`` and random units, and ε those of `PerturbationCurve`: v_k is turned so
    that a positive displacement lengthens θ.

    Args:
        steps: ``relative`` or ``published``; see `displacement_levels`.
        points: Displacements E, odd and >= 3; 0 is one of them.
        directions: K >= 1 leading directions of the window; missing ones are NaN.
        random: Random directions, >= 1, new ones at every snapshot, the same for all runs.
        window: Updates W >= directions; shorter at the start.
        rows: Held-out rows, >= 1, from the first on; 200 are published.
        seed: Of the random directions.
        kinds: Kinds of matrices that make up θ; empty for every weight matrix.

    Raises:
        ValueError: For unknown names or numbers out of range; at the first snapshot if the model
            has no such matrix, or no square W_Q and W_K.

    Cost: (E − 1) (K + 1 + random) + 1 forward passes in float64 that keep all attention weights,
    run by run; 6 s a run for 200 rows of Dyck-1 with the defaults.

    Source: arXiv:2604.07380, perturbation curves. Differs by the relative displacements, the
    random and θ directions, queries without padding, and float64.
    """

    steps: str = "relative"
    points: int = 13
    directions: int = 2
    random: int = 1
    window: int = 5
    rows: int = 200
    seed: int = 0
    kinds: tuple[str, ...] = ATTENTION_WEIGHTS

    name: ClassVar[str] = "structure_curve"
    needs_problem: ClassVar[bool] = True
    outputs: ClassVar[Mapping[str, Output]] = {
        "displacement": Output("ε", "weight", ("displacement",)),
        "entropy": Output("entropy of attention at θ + ε d, labelled queries", "nat", CURVE, True),
        "published_entropy": Output("the same, padding counts", "nat", CURVE, True),
        "commutator": Output("‖W_Q W_K − W_K W_Q‖_F at θ + ε d", "weight²", CURVE, True),
        "relative_commutator": Output("the same over √2 ‖W_Q‖ ‖W_K‖", "1", CURVE, True),
    }

    def __post_init__(self) -> None:
        check_subset("StructureCurve", self.kinds)
        displacement_levels(self.steps, self.points)
        check_counts(self, "directions", "random", "rows")

    @property
    def history(self) -> int:  # type: ignore[override]
        """Snapshots of one window."""
        return self.window + 1

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Names of the directions, and displacements as they were asked for."""
        return {
            "direction": direction_names(self.directions, self.random),
            "displacement": level_names(self.steps, self.points),
        }

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Curves at the newest snapshot."""
        site, problem = FunctionalSite.of(self, window), inspected(self.name, window)
        directions = site.compared(self.random, seed=self.seed, step=window.now.step)
        size = displacement_sizes(site, self.steps, self.points)
        runs = [
            self._run(site, problem, window.now.layout, rows, run, size[run], directions)
            for run, rows in enumerate(held_out_runs(problem, self.rows))
        ]
        found = {name: torch.stack([curves[name] for curves in runs]).cpu() for name in runs[0]}
        return found | {"displacement": size.cpu()}

    def _run(
        self,
        site: FunctionalSite,
        problem: Inspectable,
        layout: Layout,
        rows: Rows,
        run: int,
        size: Float64[Tensor, " E"],
        directions: list[Tensor],
    ) -> dict[str, Tensor]:
        """Curves ``(K, E)`` of one run, NaN along directions that are NaN."""
        names = [name for name in self.outputs if name != "displacement"]
        curves = size.new_full((len(names), len(directions), len(size)), nan)
        theta = site.theta[run].double()

        def at(direction: Tensor, level: Tensor) -> Tensor:
            point = theta.clone()
            point[site.columns] += level * direction
            own = attention_entropy(problem, layout, point, rows)
            own |= {n: v.item() for n, v in query_key_commutator(point, layout).items()}
            return curves.new_tensor([own[name] for name in names])

        start = at(torch.zeros_like(directions[0][run]), size[0])
        for k, direction in enumerate(directions):
            if bool(direction[run].isfinite().all()) and bool(size.isfinite().all()):
                for e, level in enumerate(size):
                    curves[:, k, e] = at(direction[run], level) if level else start
        return dict(zip(names, curves))
