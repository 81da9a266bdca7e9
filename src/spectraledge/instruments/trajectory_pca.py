"""Principal components of the trajectory so far, beside what chance and weight decay alone give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import torch
from torch import Tensor

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.shape_batches import check_kinds
from spectraledge.instruments.trajectory_scopes import TrajectoryScopes
from spectraledge.linalg.trajectory_components import (
    explained_variance,
    shares_and_cosine,
    total_variance,
)
from spectraledge.linalg.trajectory_gram import (
    TrajectoryGram,
    displacement_gram,
    gram_without_decayed_start,
    gram_without_start,
)
from spectraledge.linalg.trajectory_nulls import (
    decay_logarithms,
    null_shares,
    ornstein_uhlenbeck_coefficients,
    random_walk_coefficients,
    remaining_fractions,
    step_lengths,
    z_score,
)

__all__ = ["TrajectoryPCA", "trajectory_measures"]

SCOPE = ("scope",)


def trajectory_measures(
    products: Tensor,
    dimensions: Tensor,
    logarithms: Tensor,
    *,
    components: int = 10,
    rolling: int = 10,
) -> dict[str, Tensor]:
    """Everything `TrajectoryPCA` measures, from products of trajectories.

    Args:
        products: ``(..., T, T)`` of `spectraledge.linalg.trajectory_gram`.
        dimensions: Number of parameters of each trajectory ``(...)``.
        logarithms: Logarithm of what decay leaves from each point to the next ``(..., T - 1)``.
        components: How many shares.
        rolling: Points of the rolling window.

    Returns:
        Named arrays ``(...)``, and ``share`` ``(..., components)``, float64.
    """
    gram = displacement_gram(products)
    lengths, size = step_lengths(gram), products[..., 0, 0].sqrt()
    along = torch.nn.functional.pad(products[..., 0, 1:], (1, 0))
    share, cosine = shares_and_cosine(gram, components, along, size)
    walk = null_shares(random_walk_coefficients(lengths), dimensions)
    decaying = ornstein_uhlenbeck_coefficients(lengths, size, logarithms)
    falling = null_shares(decaying, dimensions)
    recent = gram[..., -rolling:, -rolling:]
    first = share[..., :1]
    measured = {
        "first_share": first,
        "random_walk_share": walk.mean,
        "z_score": z_score(first, walk),
        "ornstein_uhlenbeck_share": falling.mean,
        "ornstein_uhlenbeck_z_score": z_score(first, falling),
        "rolling_first_share": explained_variance(recent, 1),
        **_start_removed(products, gram, remaining_fractions(logarithms)),
    }
    return {
        "share": share,
        **{name: values.squeeze(-1) for name, values in measured.items()},
        "start_share": _start_share(gram, along, size),
        "start_cosine": cosine,
    }


def _start_removed(products: Tensor, gram: Tensor, remaining: Tensor) -> dict[str, Tensor]:
    # What is left of a trajectory that only decayed is rounding of the weights, in 2^-24 of them.
    floor = total_variance(gram) * torch.finfo(torch.float64).eps * 64
    decayed = gram_without_decayed_start(products, remaining)
    return {
        "first_share_without_decayed_start": explained_variance(decayed, 1, floor),
        "first_share_without_start": explained_variance(gram_without_start(products), 1, floor),
    }


def _start_share(gram: Tensor, along: Tensor, size: Tensor) -> Tensor:
    moved = along - along.mean(-1, keepdim=True)
    total = total_variance(gram)
    share = moved.square().sum(-1) / (size.square() * total)
    return torch.where((total > 0) & (size > 0), share, torch.nan)


@dataclass(frozen=True)
class TrajectoryPCA(Instrument):
    """Explained variance of the weight trajectory since the first snapshot, with controls.

    Readings over steps are the expanding window. One component explaining 60 % is what pure
    diffusion gives, and decay of the initial weights alone gives 100 %, so each share stands
    beside its random-walk and Ornstein-Uhlenbeck nulls with equal steps and what is left without
    the initial weights. Compare runs at equal steps and cadence only.

    Scopes: see `TrajectoryScopes`. The published number of a run is ``layer1 mean``, the mean over
    four matrices; ``layer1`` is the trajectory of the same matrices as one vector.

    Args:
        kinds: Kinds of matrices; empty for every matrix.
        components: How many components to give the share of, >= 1.
        rolling: Number of snapshots in the rolling window, >= 3.
        weight_decay: Decoupled decay per unit learning rate, >= 0; what survives of W_0 follows
            from it and the learning rates of the snapshots. 1 is published; 0 for runs without.

    Raises:
        ValueError: For unknown kinds or numbers out of range; at the first snapshot if the model
            has no such matrix.

    Cost: 25 ms on average over 75 snapshots of the 290,401 parameters of the published model on
    one quiet CPU core, growing linearly with their number; memory twice that of the snapshots.

    Source: arXiv:2602.16746 for the shares and the random walk; the other nulls are derived here.
    """

    kinds: tuple[str, ...] = ("query", "key", "value", "attention_output")
    components: int = 10
    rolling: int = 10
    weight_decay: float = 1.0

    name: ClassVar[str] = "trajectory_pca"
    history: ClassVar[int | None] = None
    outputs: ClassVar[Mapping[str, Output]] = {
        "snapshots": Output("number of snapshots T so far"),
        "share": Output(
            "share of the variance along each component", axes=("scope", "component"), each=True
        ),
        "first_share": Output("share along the first component", axes=SCOPE, each=True),
        "random_walk_share": Output(
            "expected first share of a random walk of equal steps", axes=SCOPE, each=True
        ),
        "z_score": Output("(first share − random walk) / its deviation", axes=SCOPE, each=True),
        "ornstein_uhlenbeck_share": Output(
            "expected first share of a decaying random walk of equal steps", axes=SCOPE, each=True
        ),
        "ornstein_uhlenbeck_z_score": Output(
            "(first share − decaying random walk) / its deviation", axes=SCOPE, each=True
        ),
        "first_share_without_decayed_start": Output(
            "first share of W_t − W_0 Π(1 − lr·wd)", axes=SCOPE, each=True
        ),
        "first_share_without_start": Output("first share orthogonal to W_0", axes=SCOPE),
        "start_share": Output("share of the variance along W_0", axes=SCOPE, each=True),
        "start_cosine": Output("|cos(first component, W_0)|", axes=SCOPE, each=True),
        "rolling_first_share": Output(
            "first share of the last few snapshots", axes=SCOPE, each=True
        ),
    }

    def __post_init__(self) -> None:
        check_kinds("TrajectoryPCA", self.kinds)
        for name, least in (("components", 1), ("rolling", 3)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"TrajectoryPCA: expected {name} >= {least}, got {getattr(self, name)}"
                )
        if not (isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ValueError(
                f"TrajectoryPCA: expected a finite weight_decay >= 0, got {self.weight_decay}"
            )

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Names of the scopes and components."""
        scopes = TrajectoryScopes.of(window.now.layout, self.kinds)
        components = tuple(f"PC{k + 1}" for k in range(self.components))
        return {"scope": scopes.names, "component": components}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """All measures of the snapshots so far."""
        memory = window.memory
        if "scopes" not in memory:
            scopes = TrajectoryScopes.of(window.now.layout, self.kinds)
            pieces = len(scopes.matrices) + bool(scopes.rest)
            memory["grams"] = [TrajectoryGram() for _ in range(pieces)]
            memory["scopes"] = scopes
        scopes, grams = memory["scopes"], memory["grams"]
        for snapshot in window.snapshots[grams[0].points :]:
            for gram, piece in zip(grams, scopes.pieces(snapshot.parameters)):
                gram.add(*piece)
        steps = [s.step for s in window.snapshots]
        rates = [s.lr for s in window.snapshots]
        return self.measure_products(scopes, [g.products for g in grams], steps, rates)

    def measure_products(
        self,
        scopes: TrajectoryScopes,
        pieces: list[Tensor],
        steps: list[int],
        lr: list[Tensor | None],
    ) -> dict[str, Tensor]:
        """The outputs, from products of the pieces of the scopes.

        Args:
            scopes: What the pieces are.
            pieces: Products ``(R, T, T)`` of each piece.
            steps: Step of each of T points.
            lr: Learning rates ``(R,)`` at each point, None where not known.

        Returns:
            Arrays ``(R, *axes)`` float64, one per entry of ``outputs``.
        """
        products = scopes.products(pieces).cpu()
        runs, _, points, _ = products.shape
        logarithms = decay_logarithms(steps, lr, self.weight_decay).cpu().unsqueeze(1)
        logarithms = logarithms.expand(runs, products.shape[1], points - 1)
        # Run by run and each in memory of its own: sums over stacks of other sizes, or at other
        # offsets, may round differently.
        each = [
            trajectory_measures(
                own, scopes.dimensions, decay, components=self.components, rolling=self.rolling
            )
            for own, decay in ((p.clone(), d.clone()) for p, d in zip(products, logarithms))
        ]
        arrays = {name: torch.stack([run[name] for run in each]) for name in each[0]}
        count = torch.full((runs,), float(points), dtype=torch.float64)
        return {"snapshots": count} | {n: scopes.with_means(a) for n, a in arrays.items()}
