"""Does low-rank decay leave a flatter loss, or gradient steps that commute better, than L2?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log10, nan
from typing import ClassVar

from spectraledge.experiments.beyond.arm_study import ArmStudy, between_arms, figure
from spectraledge.experiments.beyond.scale_invariant_runs import (
    BRACKET,
    CURVATURE,
    L2,
    LOW_RANK,
    NONE,
    Arms,
    curve_name,
)
from spectraledge.experiments.row_values import last_value, mean_of, short
from spectraledge.experiments.spectral_edge.edge_study import over_seeds
from spectraledge.lab.rows import Row
from spectraledge.report import Figure, Verdict

__all__ = ["STUDY", "CurvatureUnderLowRankDecay"]

LARGEST = curve_name(CURVATURE, "largest", "1")
GRADIENT = curve_name(CURVATURE, "along_gradient")
DEFECT = curve_name(BRACKET, "defect")


@dataclass(frozen=True)
class CurvatureUnderLowRankDecay(ArmStudy):
    """See the module."""

    name: ClassVar[str] = "beyond/curvature_under_low_rank_decay"
    title: ClassVar[str] = "Is the loss flatter under low-rank decay?"
    explained: ClassVar[str] = (
        "Largest Hessian eigenvalue of the training loss, curvature along its gradient, and the "
        "commutator defect of gradient steps, at the end of each run. With QK-norm the curvature "
        "in Q and K scales as 1/‖W‖², so that a decay that shrinks them more makes the loss look "
        "sharper."
    )

    def claims(self, rows: Arms) -> list[Verdict]:
        """Low-rank decay against L2 and none."""
        return [
            _fewer(rows, f"The largest eigenvalue is smaller under {LOW_RANK} than {other}",
                   LARGEST, other)
            for other in (L2, NONE)
        ] + [
            _fewer(rows, f"Gradient steps commute better under {LOW_RANK} than {other}", DEFECT,
                   other)
            for other in (L2, NONE)
        ]  # fmt: skip

    def numbers(self) -> Mapping[str, Callable[[Row], float]]:
        """What is read off the end of every run, as logarithms."""
        return {
            "log10 largest eigenvalue": _log(LARGEST),
            "log10 curvature along the gradient": _log(GRADIENT),
            "log10 commutator defect": _log(DEFECT),
        }

    def figures(self, rows: Arms) -> list[Figure]:
        """Eigenvalue, curvature and defect over training."""
        return [
            *figure(rows, "validation_accuracy", "Held-out accuracy", "accuracy"),
            *figure(rows, LARGEST, "Largest Hessian eigenvalue", "loss/weight²", log=True),
            *figure(rows, GRADIENT, "Curvature along the gradient", "loss/weight²", log=True),
            *figure(rows, DEFECT, "Commutator defect, exact", "", log=True),
        ]


def _log(name: str) -> Callable[[Row], float]:
    def number(row: Row) -> float:
        value = last_value(row, name)
        return log10(value) if value > 0 else nan

    return number


def _fewer(rows: Arms, claim: str, name: str, other: str) -> Verdict:
    number = _log(name)
    mean = between_arms(rows, LOW_RANK, other, number)
    own, base = (
        short(mean_of(number(row) for row in rows[arm].values())) for arm in (LOW_RANK, other)
    )
    return over_seeds(
        claim, "not asked", mean, f"log10, {LOW_RANK} minus {other}, by seed.",
        words=f"log10 {own} against {base}; difference {short(mean)}", below=0.0,
    )  # fmt: skip


STUDY = CurvatureUnderLowRankDecay()
