"""Removing the edge from the weights, beside removing as much along random directions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import torch
from torch import Tensor

from spectraledge.instruments.ablation_controls import (
    along,
    matched_direction,
    orthonormal_pair,
)
from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.functional_site import FunctionalSite, check_counts
from spectraledge.instruments.parameter_subset import ATTENTION_WEIGHTS, check_subset
from spectraledge.instruments.singular_parts import chosen_blocks, leading_singular_part

__all__ = ["Ablation"]

REMOVED = ("removal",)
SINGULAR = ("singular", "singular_matched")
DRAWN = ("random", "matched", "additive")
# Keeps the published ratio from being a division by zero.
PUBLISHED_GUARD = 1e-8


@dataclass(frozen=True)
class Ablation(Instrument):
    """Accuracy and loss without the components of θ along leading directions, with controls.

    θ is the vector of the chosen weights, everything else stays as it is. Removals:

    - ``edge``: ``θ − Σ_k ⟨θ, v_k⟩ v_k`` over v_1 and v_2; ``bulk``: over v_3 and v_4; ``v1`` to
      ``v4``: of one. They remove the share ``f = ‖θ' − θ‖/‖θ‖`` of the norm.
    - ``displacement``, ``window``: of the edge, but only what θ moved along it since the first
      snapshot, or in the window: ``θ − Σ_k ⟨θ − θ_0, v_k⟩ v_k``.
    - ``shrink``: ``θ √(1 − f²)``, as long as without the edge.
    - ``singular``: ``θ`` without the first singular direction ``σ u vᵀ`` of every matrix;
      ``singular_matched``: without as many of them, level by level, as are as long as what the
      edge takes away (`leading_singular_part`).
    - ``matched``, over draws: one direction ``q = f θ/‖θ‖ + √(1 − f²) r`` with r random and
      orthogonal to θ, which holds exactly the share f, as the edge does. The fair control.
    - ``additive``, over draws: ``θ + f‖θ‖ r`` with r random, as far away as without the edge.
    - ``random``, over draws: two random orthonormal directions. The published control, which
      removes ``√(2/D)`` of the norm, 0.4 % for D = 131072, hence nothing by construction.

    All draws come from one stream and share their vectors among the three controls.

    Args:
        draws: Random draws of each control, >= 2; 20 is published.
        from_start: Whether to keep the first snapshot for ``displacement``, which is NaN if not.
            Needs every snapshot since the first to be observed.
        window: Updates W >= 4 of the window of directions; shorter at the start, and what needs
            more directions than there are is NaN.
        rows: Held-out rows, >= 1, from the first on.
        seed: Of the random directions.
        kinds: Kinds of matrices that make up θ; empty for every weight matrix.

    Raises:
        ValueError: For unknown kinds or numbers out of range; at the first snapshot if the model
            has no such matrix.

    Cost: 12 + 3 · draws forward passes over the distinct rows, and two singular value
    decompositions of every matrix.

    Source: arXiv:2604.07380, ablation and random control. Differs by the matched controls and
    singular directions, in reporting what was removed, and where the window holds fewer than four
    directions: the bulk is NaN there and not 0.
    """

    draws: int = 20
    from_start: bool = True
    window: int = 5
    rows: int = 300
    seed: int = 0
    kinds: tuple[str, ...] = ATTENTION_WEIGHTS

    name: ClassVar[str] = "ablation"
    needs_problem: ClassVar[bool] = True
    directions: ClassVar[int] = 4
    outputs: ClassVar[Mapping[str, Output]] = {
        "loss": Output("held-out loss at θ", "loss"),
        "accuracy": Output("held-out accuracy at θ"),
        "loss_change": Output("change of the loss, mean over draws", "loss", REMOVED, each=True),
        "accuracy_change": Output("change of the accuracy, mean over draws", "1", REMOVED, True),
        "loss_spread": Output("standard deviation of the loss over draws", "loss", REMOVED, True),
        "accuracy_spread": Output("standard deviation of the accuracy over draws", "1", REMOVED),
        "removed": Output("f, ‖θ' − θ‖ / ‖θ‖", "1", REMOVED, True),
        "left": Output("‖θ'‖ / ‖θ‖", "1", REMOVED),
        "edge_over_matched": Output("accuracy change, edge over matched"),
        "edge_over_matched_loss": Output("loss change, edge over matched"),
        "published_ratio": Output("|accuracy change|, edge over random, vacuous"),
    }

    def __post_init__(self) -> None:
        check_subset("Ablation", self.kinds)
        check_counts(self, "rows")
        if self.draws < 2:
            raise ValueError(f"Ablation: expected draws >= 2, got {self.draws}; a spread needs two")

    @property
    def history(self) -> int | None:  # type: ignore[override]
        """All snapshots if the first is needed, else those of one window."""
        return None if self.from_start else self.window + 1

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Names of the removals."""
        singles = tuple(f"v{k + 1}" for k in range(self.directions))
        fixed = ("edge", "bulk", *singles, "displacement", "window", "shrink", *SINGULAR)
        return {"removal": (*fixed, *DRAWN)}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Changes at the newest snapshot."""
        site = FunctionalSite.of(self, window)
        lengths: list[Tensor] = []
        found = site.outcomes(_recorded(self._points(site, window), site.vector, lengths))
        moved, norms = (torch.stack(x, 1) / site.norm[:, None] for x in zip(*lengths))
        arrays = {"removed": self._means(moved)[0], "left": self._means(norms)[0]}
        for name, values in (("loss", found.loss), ("accuracy", found.accuracy)):
            changes, spreads = self._means(values[:, 1:] - values[:, :1])
            arrays |= {name: values[:, 0], f"{name}_change": changes, f"{name}_spread": spreads}
        arrays |= _ratios(arrays, self.labels(window)["removal"])
        return {name: array.cpu() for name, array in arrays.items()}

    def _points(self, site: FunctionalSite, window: Window) -> Iterator[Tensor]:
        """The fixed removals, then the draws one after the other."""
        theta, v = site.vector, site.directions
        yield theta - along(theta, v[:, :2])
        yield theta - along(theta, v[:, 2:])
        for k in range(self.directions):
            yield theta - along(theta, v[:, k : k + 1])
        yield theta - along(theta - self._start(site, window), v[:, :2])
        yield theta - along(theta - site.oldest, v[:, :2])
        edge = along(theta, v[:, :2]).norm(dim=-1, keepdim=True)
        share = edge / site.norm[:, None]
        yield theta * (1 - share.square()).clamp(min=0).sqrt()
        blocks = chosen_blocks(window.now.layout, site.columns)
        for length in (None, edge):
            yield theta - leading_singular_part(theta, blocks, length)
        random = site.random(seed=self.seed, step=window.now.step)
        for first, second in islice(zip(random, random), self.draws):
            yield theta - along(theta, orthonormal_pair(first, second))
            q = matched_direction(site.unit, share, first)
            yield theta - along(theta, q.unsqueeze(1))
            yield theta + edge * second

    def _start(self, site: FunctionalSite, window: Window) -> Tensor:
        if not self.from_start:
            return torch.full_like(site.vector, torch.nan)
        return window.snapshots[0].parameters[:, site.columns].double()

    def _means(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Means and spreads over draws ``(R, removals)`` of values in the order of `_points`."""
        fixed, drawn = values.tensor_split([values.shape[1] - len(DRAWN) * self.draws], 1)
        drawn = drawn.unflatten(1, (self.draws, len(DRAWN)))
        none = torch.full_like(fixed, torch.nan)
        return torch.cat([fixed, drawn.mean(1)], 1), torch.cat([none, drawn.std(1)], 1)


def _recorded(points: Iterator[Tensor], theta: Tensor, lengths: list[Tensor]) -> Iterator[Tensor]:
    """The same points, and on the way how far each is from θ and how long."""
    for point in points:
        lengths.append(torch.stack([(point - theta).norm(dim=-1), point.norm(dim=-1)]))
        yield point


def _ratios(arrays: Mapping[str, Tensor], names: tuple[str, ...]) -> dict[str, Tensor]:
    accuracy, loss = arrays["accuracy_change"], arrays["loss_change"]
    edge, matched, random = (names.index(name) for name in ("edge", "matched", "random"))
    return {
        "edge_over_matched": accuracy[:, edge] / accuracy[:, matched],
        "edge_over_matched_loss": loss[:, edge] / loss[:, matched],
        "published_ratio": accuracy[:, edge].abs() / (accuracy[:, random].abs() + PUBLISHED_GUARD),
    }
