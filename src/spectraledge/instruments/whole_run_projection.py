"""How much of the commutator lies in the published basis, which knows how the run goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spectraledge.instruments.base import Differentiable, Output, Window
from spectraledge.instruments.hindsight import KNOWN_UNTIL, Hindsight
from spectraledge.instruments.subspace_projection import (
    SubspaceProjection,
    whole_run_projections,
)
from spectraledge.snapshots import Snapshot

__all__ = ["WholeRunProjection"]

PUBLISHED = SubspaceProjection(basis="trajectory", components=2)


@dataclass(frozen=True)
class WholeRunProjection(Hindsight):
    """Share of the brackets of batch pairs inside the principal directions of the whole run.

    Definition: that of `SubspaceProjection`, with one basis for all steps: the leading principal
    directions of every snapshot of the run, those that come after the step included. At the last
    snapshot this is the basis of the trajectory so far; before, the future is part of it.

    Args:
        projection: What to measure on this basis; of its ``components`` the published number is
            2, which is K = 16 directions of eight attention matrices.

    Raises:
        ValueError: If the projection has another basis than ``trajectory``, which a future does
            not change.

    Cost: that of `SubspaceProjection` at every step, and all parameters of the run in memory.

    Source: arXiv:2602.16746, the residual and its random control as described (what was run for
    the control is a basis of singular directions). Differs from the published code as
    `SubspaceProjection` does; the basis is the published one.
    """

    projection: SubspaceProjection = PUBLISHED

    name: ClassVar[str] = "whole_run_projection"
    needs_problem: ClassVar[bool] = True
    outputs: ClassVar[Mapping[str, Output]] = {
        **SubspaceProjection.outputs,
        KNOWN_UNTIL: Output("last step of the trajectory that the basis knows", "steps"),
    }

    def __post_init__(self) -> None:
        if self.projection.basis != "trajectory":
            raise ValueError(
                'WholeRunProjection: expected SubspaceProjection(basis="trajectory"), got '
                f"basis={self.projection.basis!r}, which does not depend on other snapshots; put "
                "it among the instruments as it is"
            )

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Directions per matrix along the sweep."""
        return self.projection.labels(window)

    def measure_whole(
        self,
        snapshots: Sequence[Snapshot],
        steps: Sequence[int],
        problem: Differentiable | None = None,
    ) -> list[dict[str, Tensor]]:
        """Shares and ratios at the steps, on the basis of all snapshots."""
        if problem is None:
            raise ValueError(f"{self.name} evaluates the model; pass measure_whole(..., problem)")
        last = snapshots[-1]
        end = torch.full((last.runs,), float(last.step), dtype=torch.float64)
        found = whole_run_projections(self.projection, snapshots, problem, steps)
        return [reading | {KNOWN_UNTIL: end} for reading in found]
