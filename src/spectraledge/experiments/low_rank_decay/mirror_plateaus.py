"""Where memorised runs end: accuracy by subset of the validation pairs, beside the mirror share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from spectraledge.experiments.low_rank_decay.phase_cells import mirror_share
from spectraledge.experiments.row_values import last_value
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import Rows, by_seed
from spectraledge.series import Interval, mean_interval, simultaneous_confidence
from spectraledge.training import RunSpec

__all__ = ["LEFT", "SUBSETS", "Plateau", "condition", "excesses", "middle", "plateaus"]

# Metric by the words for the subset; the first is the whole validation set.
SUBSETS = {
    "all": "validation_accuracy",
    "mirror trained": "validation_accuracy_mirror",
    "mirror not trained": "validation_accuracy_non_mirror",
    "a = b": "validation_accuracy_diagonal",
}

# A run that gets more of the pairs without a trained mirror right has left the plateau.
LEFT = 0.05


@dataclass(frozen=True)
class Plateau:
    """The runs of one condition at one train fraction.

    Args:
        condition: Arm, and what is unusual about task or split.
        fraction: Train fraction.
        rows: Known runs by seed.
        shares: Share of the validation pairs whose mirror is trained on, by seed.
    """

    condition: str
    fraction: float
    rows: Rows
    shares: Mapping[int, float]

    def ends(self, subset: str = "all") -> Float[np.ndarray, " S"]:
        """Accuracy on a subset at the last record of every seed; NaN where the subset is empty."""
        return self._last(SUBSETS[subset])

    @property
    def trained(self) -> Float[np.ndarray, " S"]:
        """Training accuracy at the last record of every seed."""
        return self._last("train_accuracy")

    @property
    def stays(self) -> Bool[np.ndarray, " S"]:
        """Which seeds are on the plateau at the end: wrong where no mirror was trained."""
        with np.errstate(invalid="ignore"):
            return (self.ends("mirror not trained") <= LEFT) & np.isfinite(self.excess)

    @property
    def excess(self) -> Float[np.ndarray, " S"]:
        """Validation accuracy above the mirror share, by seed."""
        return self.ends() - np.array([self.shares[seed] for seed in self.rows])

    def _last(self, name: str) -> Float[np.ndarray, " S"]:
        return np.array([last_value(row, name) for row in self.rows.values()])


def plateaus(
    known: Known, runs: Mapping[tuple[str, str, str, float], Sequence[RunSpec]]
) -> list[Plateau]:
    """The conditions of which runs are known.

    Args:
        known: What is known.
        runs: Runs by (arm, operation, split, fraction).

    Returns:
        One plateau for each that has rows, in order.
    """
    found = []
    for (arm, operation, split, fraction), of_cell in runs.items():
        rows = by_seed(known, of_cell)
        if not rows:
            continue
        shares = {spec.seed: mirror_share(spec) for spec in of_cell if spec.seed in rows}
        found.append(Plateau(condition(arm, operation, split), fraction, rows, shares))
    return found


def condition(arm: str, operation: str, split: str) -> str:
    """What a condition is called: the arm, and how it differs from addition as published."""
    words = [arm]
    words += ["subtraction"] if operation == "sub" else []
    words += ["mirror-safe"] if split == "unordered" else []
    return ", ".join(words)


def middle(found: Sequence[Plateau]) -> float | None:
    """The train fraction closest to one half, as in the published mechanism run."""
    return min((p.fraction for p in found), key=lambda f: abs(f - 0.5), default=None)


def excesses(found: Sequence[Plateau], name: str) -> dict[float, Interval]:
    """Accuracy above the mirror share of the runs on the plateau, by train fraction.

    On the plateau is a run that gets at most `LEFT` of the pairs without a trained mirror right:
    one that has begun to understand the task tells nothing about those that have not.

    Args:
        found: Plateaus of all conditions.
        name: Which condition.

    Returns:
        Intervals over seeds that hold for all fractions at once.
    """
    chosen = {p.fraction: p.excess[p.stays] for p in found if p.condition == name}
    chosen = {fraction: values for fraction, values in chosen.items() if values.size}
    confidence = simultaneous_confidence(max(len(chosen), 1))
    return {f: mean_interval(v.tolist(), confidence).within(-1.0, 1.0) for f, v in chosen.items()}
