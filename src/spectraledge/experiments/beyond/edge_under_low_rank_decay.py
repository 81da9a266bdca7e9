"""What is the edge of Q and K made of where the decay is spectral and the model scale-invariant?

With QK-norm, L2 decay is radial: it moves Q and K along themselves and does not change the
function. Low-rank decay has a tangential part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.beyond.arm_study import (
    ArmStudy,
    between_arms,
    figure,
    mean_over_run,
)
from spectraledge.experiments.beyond.scale_invariant_runs import (
    EDGE,
    L2,
    LOW_RANK,
    NONE,
    SPECTRUM,
    SPLIT,
    Arms,
    curve_name,
)
from spectraledge.experiments.row_values import last_value, mean_of, short
from spectraledge.experiments.spectral_edge.edge_study import over_seeds
from spectraledge.lab.rows import Row
from spectraledge.report import Figure, Verdict

__all__ = ["STUDY", "EdgeUnderLowRankDecay"]

# The decay that each arm has on Q and K.
PART = {L2: "weight_decay", LOW_RANK: "low_rank"}
NOT_ASKED = "not asked"
OVERLAP = curve_name(SPLIT, "overlap", "v1")
SHARE = (-0.03, 1.03)


@dataclass(frozen=True)
class EdgeUnderLowRankDecay(ArmStudy):
    """See the module."""

    name: ClassVar[str] = "beyond/edge_under_low_rank_decay"
    title: ClassVar[str] = "What is the spectral edge made of under low-rank decay?"
    explained: ClassVar[str] = (
        "The edge is that of the last five displacements of Q and K, 50 steps each. Means are over "
        "the second half of a run, when decay and gradient are in balance."
    )

    def claims(self, rows: Arms) -> list[Verdict]:
        """Overlap with the weights, what drives the edge, rotation, rank."""
        return [
            _difference(
                rows, "Under L2 the edge lies closer to the weights than without decay", L2, NONE,
                _late(OVERLAP), "|cos(v₁, θ)|", above=0.0,
            ),
            _difference(
                rows, "Under low-rank decay the edge lies further from the weights than under L2",
                LOW_RANK, L2, _late(OVERLAP), "|cos(v₁, θ)|", below=0.0,
            ),
            _difference(
                rows, "Under low-rank decay the edge turns less than under L2", LOW_RANK, L2,
                _late(curve_name(EDGE, "rotation", "v1")), "Angle of v₁ in degrees", below=0.0,
            ),
            _difference(
                rows, "Low-rank decay makes Q and K of lower rank than L2", LOW_RANK, L2,
                lambda row: last_value(row, curve_name(SPECTRUM, "stable_rank")), "Stable rank",
                below=0.0,
            ),
            *(_driven(rows, arm) for arm in (L2, LOW_RANK)),
        ]  # fmt: skip

    def numbers(self) -> Mapping[str, Callable[[Row], float]]:
        """What is read off the second half of every run."""
        return {
            "|cos(v₁, θ)|": _late(OVERLAP),
            "gradient along v₁": _late(curve_name(SPLIT, "energy_share", "gradient", "v1")),
            "L2, of a displacement": _late(curve_name(SPLIT, "interval_share", "weight_decay")),
            "low-rank, of a displacement": _late(curve_name(SPLIT, "interval_share", "low_rank")),
            "cosine of gradient and decay": _late(curve_name(SPLIT, "interval_cosine")),
            "angle of v₁, °": _late(curve_name(EDGE, "rotation", "v1")),
            "its null, °": _late(curve_name(EDGE, "null_rotation", "v1")),
            "stable rank": lambda row: last_value(row, curve_name(SPECTRUM, "stable_rank")),
        }

    def figures(self, rows: Arms) -> list[Figure]:
        """Accuracy, shares, overlap and rotation."""
        gradient = curve_name(SPLIT, "energy_share", "gradient", "v1")
        cosine = curve_name(SPLIT, "interval_cosine")
        return [
            *figure(rows, "validation_accuracy", "Held-out accuracy", "accuracy", shown=SHARE),
            *figure(rows, gradient, "Share of the gradient along v₁", "share", shown=SHARE),
            *figure(rows, OVERLAP, "Overlap of v₁ with the weights", "|cos|", shown=SHARE),
            *figure(rows, cosine, "Gradient and decay", "cosine"),
            *figure(rows, curve_name(EDGE, "rotation", "v1"), "Angle of v₁", "°"),
            *figure(rows, curve_name(SPECTRUM, "stable_rank"), "Stable rank of Q and K", "",
                    log=True),
        ]  # fmt: skip


def _late(name: str) -> Callable[[Row], float]:
    return lambda row: mean_over_run(row, name, row.steps_taken / 2)


def _difference(
    rows: Arms,
    claim: str,
    first: str,
    second: str,
    number: Callable[[Row], float],
    what: str,
    *,
    above: float | None = None,
    below: float | None = None,
) -> Verdict:
    mean = between_arms(rows, first, second, number)
    own, other = (
        short(mean_of(number(row) for row in rows[arm].values())) for arm in (first, second)
    )
    return over_seeds(
        claim,
        NOT_ASKED,
        mean,
        f"{what}, {first} minus {second}, by seed.",
        words=f"{own} against {other}; difference {short(mean)}",
        above=above,
        below=below,
    )


def _driven(rows: Arms, arm: str) -> Verdict:
    number = _late(curve_name(SPLIT, "energy_share", PART[arm], "v1"))
    mean = mean_of(number(row) for row in rows[arm].values())
    return over_seeds(
        f"Late, {arm} drives the edge of Q and K", NOT_ASKED, mean,
        "Its share in the energy along v₁, second half of the run.", above=0.5,
    )  # fmt: skip


STUDY = EdgeUnderLowRankDecay()
