"""Cells of the phase diagram as numbers: accuracies, step lengths, mirror shares."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import nan
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float

from spectraledge.experiments.low_rank_decay.outcomes import best_accuracy
from spectraledge.experiments.low_rank_decay.sizes import Size
from spectraledge.experiments.row_values import last_value
from spectraledge.experiments.study import GENERALISED, Known
from spectraledge.experiments.study_sections import by_seed
from spectraledge.training import RunSpec

if TYPE_CHECKING:
    # The study imports its page, and that this module.
    from spectraledge.experiments.low_rank_decay.published_phase_diagram import Cell

__all__ = ["DECAYS", "SUCCESS", "Diagram", "diagram", "mirror_share", "step_length"]

DECAYS = ("L2", "LRD")
SUCCESS = GENERALISED.threshold
# Two steps are of equal length if neither is longer than the other by more than this factor.
EQUAL = 1.5
# Released: L2 takes ten times the label, at learning rate 1e-3.
L2_STEP = 10 * 1e-3


@dataclass(frozen=True)
class Diagram:
    """Scores of all known runs, and where their cells are.

    Args:
        scores: Score by seed, by protocol, decay, train fraction and label; empty where nothing is
            known. Protocols: ``published``, best validation accuracy on the ordered split;
            ``fair``, test accuracy at the end on the mirror-safe split; ``fair, best``, best
            validation accuracy of the same runs.
        shares: Share of validation pairs with a trained mirror on the published split, by train
            fraction.
        lengths: Relative step length of every decay and label at initialisation.
    """

    scores: Mapping[tuple[str, str, float, float], Mapping[int, float]]
    shares: Mapping[float, float]
    lengths: Mapping[tuple[str, float], float]

    @property
    def fractions(self) -> tuple[float, ...]:
        """Train fractions, largest first."""
        return tuple(sorted({fraction for _, _, fraction, _ in self.scores}, reverse=True))

    @property
    def labels(self) -> tuple[float, ...]:
        """Labels, ascending."""
        return tuple(sorted({label for *_, label in self.scores}))

    @property
    def ratio(self) -> float:
        """How much longer the step of low-rank decay is than that of L2 of the same label."""
        label = self.labels[0]
        return self.lengths["LRD", label] / self.lengths["L2", label]

    def of(self, protocol: str, decay: str, fraction: float, label: float) -> Mapping[int, float]:
        """Scores of a cell by seed."""
        return self.scores[protocol, decay, fraction, label]

    def means(self, protocol: str, decay: str) -> Float[np.ndarray, "F L"]:
        """Mean over seeds of every cell, NaN where nothing is known."""
        return np.array([
            [_mean(self.of(protocol, decay, fraction, label)) for label in self.labels]
            for fraction in self.fractions
        ])  # fmt: skip

    def matched(self) -> list[tuple[float, float]]:
        """Labels of L2 and of low-rank decay at which their steps are equally long."""
        return [
            (weak, strong)
            for weak in self.labels
            for strong in self.labels
            if 1 / EQUAL < self.lengths["LRD", strong] / self.lengths["L2", weak] < EQUAL
        ]

    def gaps(
        self, protocol: str, pairs: Sequence[tuple[float, float]]
    ) -> dict[float, dict[int, float]]:
        """Mean score of low-rank decay minus that of L2, by train fraction and seed.

        Args:
            protocol: Which scores.
            pairs: Labels of L2 and of low-rank decay that are compared.

        Returns:
            Means over the pairs of which the seed has both; fractions without any are left out.
        """
        found: dict[float, dict[int, list[float]]] = {}
        for fraction in self.fractions:
            for weak, strong in pairs:
                l2 = self.of(protocol, "L2", fraction, weak)
                lrd = self.of(protocol, "LRD", fraction, strong)
                for seed in sorted(l2.keys() & lrd.keys()):
                    of_fraction = found.setdefault(fraction, {})
                    of_fraction.setdefault(seed, []).append(lrd[seed] - l2[seed])
        return {
            fraction: {seed: float(np.mean(values)) for seed, values in of_fraction.items()}
            for fraction, of_fraction in found.items()
        }

    def successes(
        self, protocol: str, pairs: Sequence[tuple[float, float]]
    ) -> Iterator[tuple[bool, bool]]:
        """Whether L2 and low-rank decay succeed on average over seeds, for every pair of cells."""
        for fraction in self.fractions:
            for weak, strong in pairs:
                l2 = _mean(self.of(protocol, "L2", fraction, weak))
                lrd = _mean(self.of(protocol, "LRD", fraction, strong))
                if l2 == l2 and lrd == lrd:  # neither is NaN
                    yield l2 >= SUCCESS, lrd >= SUCCESS


def diagram(known: Known, runs: Mapping[Cell, Sequence[RunSpec]], size: Size) -> Diagram:
    """Scores of the known runs.

    Args:
        known: What is known.
        runs: Runs of every cell.
        size: Their size.

    Returns:
        The diagram.
    """
    scores: dict[tuple[str, str, float, float], dict[int, float]] = {}
    for cell, of_cell in runs.items():
        rows = by_seed(known, of_cell)
        place = (cell.decay, cell.fraction, cell.label)
        best = {seed: best_accuracy(row) for seed, row in rows.items()}
        if cell.protocol == "published":
            scores["published", *place] = best
        else:
            ends = {seed: last_value(row, "test_accuracy") for seed, row in rows.items()}
            scores["fair, best", *place] = best
            scores["fair", *place] = {s: end for s, end in ends.items() if np.isfinite(end)}
    shares = {
        cell.fraction: mirror_share(of_cell[0])
        for cell, of_cell in runs.items()
        if cell.protocol == "published"
    }
    labels = {cell.label for cell in runs}
    lengths = {(d, label): step_length(d, label, size) for d in DECAYS for label in labels}
    return Diagram(scores, shares, lengths)


def step_length(decay: str, label: float, size: Size) -> float:
    """Length of one decay step at initialisation, over ‖W‖_F.

    Args:
        decay: ``L2`` or ``LRD``.
        label: Label of the column.
        size: Decides how long the released direction is.

    Returns:
        The relative length.
    """
    return L2_STEP * label if decay == "L2" else label / size.published_factor


def mirror_share(spec: RunSpec) -> float:
    """Share of validation pairs whose mirror is trained on.

    Args:
        spec: A run on a task over operand pairs.

    Returns:
        The share, in [0, 1].
    """
    return _mirror_share(cast("Hashable", spec.task), spec.data_seed)


@cache
def _mirror_share(task: Any, data_seed: int) -> float:
    data = task.dataset(data_seed)
    return float(data.subsets["mirror"][data.validation].double().mean())


def _mean(scores: Mapping[int, float]) -> float:
    return float(np.mean(list(scores.values()))) if scores else nan
