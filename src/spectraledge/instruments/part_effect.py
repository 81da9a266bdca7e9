"""What a small step along the edge does, in the sense of the gradient's part and of decay's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.functional_site import FunctionalSite, check_counts
from spectraledge.instruments.interval_parts import IntervalParts
from spectraledge.instruments.logit_response import RESPONSE_STEP, component_effects
from spectraledge.instruments.parameter_subset import (
    ATTENTION_WEIGHTS,
    check_subset,
    chosen_parameters,
)
from spectraledge.instruments.update_decomposition import DECAYS, PARTS
from spectraledge.snapshots import Layout

__all__ = ["PartEffect"]

AXES = ("direction", "part")


@dataclass(frozen=True)
class PartEffect(Instrument):
    """Change of loss and accuracy for a step along v_k in the sense of each part of an update.

    See `component_effects`: the step is ``0.005 ‖θ‖`` along ``sign(⟨c, v_k⟩) v_k``, with c the part
    of the gradient or of a decay in the last displacement. Two parts of one sign have the same
    effect whatever they are, so ``projection`` says which sign and how far.

    Args:
        directions: K >= 1 leading directions of the window; missing ones are NaN.
        window: Updates W >= directions; shorter at the start.
        rows: Held-out rows, >= 1; 200 are published.
        kinds: Kinds of matrices that make up θ; empty for every weight matrix.

    Raises:
        ValueError: For unknown kinds or numbers out of range; at the first snapshot if the model
            has no such matrix.

    Cost: 2 K + 1 forward passes over the distinct rows, and one addition of the parts a training
    step. Without recorded parts, as on saved checkpoints, it is NaN.

    Source: arXiv:2604.07380, functional effect per component. Differs: parts are exact, where the
    paper has the trapezoid.
    """

    directions: int = 3
    window: int = 5
    rows: int = 200
    kinds: tuple[str, ...] = ATTENTION_WEIGHTS

    name: ClassVar[str] = "part_effect"
    needs_problem: ClassVar[bool] = True
    parts: ClassVar[frozenset[str]] = frozenset(DECAYS)
    outputs: ClassVar[Mapping[str, Output]] = {
        "loss_change": Output("loss with the step minus loss without", "loss", AXES, True),
        "accuracy_change": Output("the same of accuracy", "1", AXES, True),
        "projection": Output("⟨part, v_k⟩", "weight", AXES, True),
    }

    def __post_init__(self) -> None:
        check_subset("PartEffect", self.kinds)
        check_counts(self, "directions", "rows")

    @property
    def history(self) -> int:  # type: ignore[override]
        """Snapshots of one window."""
        return self.window + 1

    def parts_of(self, layout: Layout) -> set[str]:
        """The parameters that hold the chosen matrices."""
        return chosen_parameters(layout, self.kinds)

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Numbers of the directions and names of the parts."""
        return {"direction": tuple(f"v{k + 1}" for k in range(self.directions)), "part": PARTS}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Effects at the newest snapshot."""
        site = FunctionalSite.of(self, window)
        parts = self._parts(window, site.vector)
        directions = site.directions.unbind(1)
        found = component_effects(site, directions, parts, RESPONSE_STEP)
        along = site.directions @ parts.mT
        return {name: array.cpu() for name, array in (found | {"projection": along}).items()}

    def _parts(self, window: Window, vector: Tensor) -> Tensor:
        """The gradient's and the decays' part of the last displacement ``(R, J, D)``."""
        intervals = IntervalParts.of(window.snapshots[-2:], self.kinds, 1)
        if not intervals.count:
            return torch.full_like(vector, torch.nan).unsqueeze(1).repeat(1, len(PARTS), 1)
        decays = [intervals.vector(part, 0) for part in DECAYS]
        moved = intervals.vector("displacement", 0)
        return torch.stack([moved - sum(decays), *decays], 1)
