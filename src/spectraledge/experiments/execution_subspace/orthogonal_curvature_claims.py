"""Claims of the page `orthogonal_curvature`, each with the control that explains it."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan

import numpy as np

from spectraledge.experiments.execution_subspace.projection_curves import (
    ALIGNMENT,
    BASES,
    SWEPT,
    VARIANTS,
)
from spectraledge.experiments.execution_subspace.training_phases import (
    PHASES,
    Cells,
    Number,
    lowest,
    median_of,
    pooled,
)
from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import last_value, mean_of, short
from spectraledge.lab.rows import Row
from spectraledge.report import Verdict
from spectraledge.series import Interval, simultaneous_confidence

__all__ = ["RANGE", "STABLE", "band_of", "by_phase", "claims", "orthogonal_answer"]

# The published range of the ratio, medians of one phase.
RANGE = (1.8, 2.9)
# A ratio is that of a random move if its interval lies within this factor of 1, either way, and
# the sweep is flat if its end is at least one over this factor of its start.
STABLE = 1.25
NOT_RUN = "not run yet"
AGAINST = "A ratio above 1 is evidence against orthogonality, not for it."


def claims(cells: Cells) -> list[Verdict]:
    """All verdicts, from the runs of operations that generalise, with decay.

    Args:
        cells: Their rows by seed of every operation, as far as known.

    Returns:
        The verdicts, undecided where nothing is known.
    """
    return [
        _residual(cells),
        _avoids(cells),
        _described_basis(cells),
        _singular_basis(cells),
        _throughout(cells),
        _flat_sweep(cells),
        _converse(cells),
    ]


def by_phase(cells: Cells, name: str) -> dict[str, Interval]:
    """Pooled ratios of the phases that have any; their intervals hold at once with 95 %."""
    known = {p: found for p in PHASES if (found := pooled(cells, median_of(name, p))) is not None}
    confidence = simultaneous_confidence(max(len(known), 1))
    wide = {p: pooled(cells, median_of(name, p), confidence) for p in known}
    return {phase: interval for phase, interval in wide.items() if interval is not None}


def band_of(cells: Cells, basis: str, name: str = "ratio") -> tuple[float, float]:
    """Where the ratio of one random subspace lies, at the last record; (0, inf) if unknown."""
    rows = [row for by_seed in cells.values() for row in by_seed.values()]
    ends = [
        mean_of(last_value(row, f"{BASES[basis]}/{name}_{end}") for row in rows)
        for end in ("lower", "upper")
    ]
    lower, upper = ends
    return (lower.centre if lower else 0.0, upper.centre if upper else np.inf)


def orthogonal_answer(cells: Cells) -> str:
    """The answer of the page in a few sentences."""
    found = {basis: by_phase(cells, f"{BASES[basis]}/ratio") for basis in BASES}
    told = [f"{_ANSWERS[basis]}: {_phase_words(known)}." for basis, known in found.items() if known]
    if not told:
        return "Nothing is known yet."
    return " ".join(["Curvature in the subspace over that in a random one.", *told, AGAINST])


_ANSWERS = {
    "trajectory": "Directions of the trajectory, the subspace that was described",
    "singular": "Singular directions of the current weights, the one that was measured",
}


AT_ONCE = "95 % for all phases at once"


def _residual(cells: Cells) -> Verdict:
    seeds = _seeds(cells)
    smallest = mean_of([_smallest(cells, seed) for seed in seeds], high=1.0)
    random = pooled(cells, median_of(f"{BASES['trajectory']}/residual_random"))
    rule = (
        "Basis of the trajectory. Holds if the interval over seeds of the smallest residual of all "
        "records lies above 0.999 (in smaller models K/P is larger). It says nothing about "
        "curvature: a random subspace of as many directions leaves √(1 − K/P), also ≈ 1.000."
    )
    told = NOT_RUN if smallest is None else f"smallest of a seed {_fine(smallest)}"
    if random is not None:
        told += f"; random subspace {random.centre:.5f}"
    status = "undecided" if smallest is None else decide(smallest, above=0.999)
    claim = "The residual of commutators outside the subspace is 1.000"
    return Verdict(claim, "0.9996 to 1.0000, 36 conditions", told, status, rule)


def _avoids(cells: Cells) -> Verdict:
    found = by_phase(cells, f"{BASES['trajectory']}/ratio")
    matched = by_phase(cells, f"{BASES['trajectory']}/ratio_matched")
    lower, _ = band_of(cells, "trajectory")
    rule = (
        f"Holds if the interval of every phase lies below {lower:.2f}, the lower end of the band "
        "of random subspaces; fails if that of some phase lies wholly above it, as a random "
        "subspace does. Intervals hold for all phases at once. A low ratio may only say that the "
        "curvature has left the attention matrices: against random directions inside the same "
        f"matrices it is {_phase_words(matched)}."
    )
    statuses = {p: decide(i, below=lower) for p, i in found.items()} if lower else {}
    status = _universal(statuses)
    claim = "Curvature avoids the directions of the trajectory"
    paper = "orthogonal: residual ≈ 1.000 (the released runs have a ratio of 1.03)"
    return Verdict(claim, paper, _phase_words(found), status, rule)


def _described_basis(cells: Cells) -> Verdict:
    found = by_phase(cells, f"{BASES['trajectory']}/ratio").get("memorization")
    rule = (
        f"Holds if the interval of the memorization phase lies above {RANGE[0]}, fails if it lies "
        "below. The published range was measured on singular directions of the current weights."
    )
    status = "undecided" if found is None else decide(found, above=RANGE[0])
    claim = "The basis of the trajectory holds 1.8 to 2.9 times as much curvature as a random one"
    return Verdict(claim, "1.8 to 2.9, as described", _of_phase(found), status, rule)


def _singular_basis(cells: Cells) -> Verdict:
    found = by_phase(cells, f"{BASES['singular']}/ratio").get("memorization")
    matched = pooled(cells, median_of(f"{BASES['singular']}/ratio_matched", "memorization"))
    _, upper = band_of(cells, "singular")
    rule = (
        f"Holds if the interval of the memorization phase lies above {upper:.2f}, the upper end of "
        f"the band of random subspaces, fails if below. {AGAINST} Against random directions inside "
        f"the same matrices it is {_one(matched)}."
    )
    known = found is not None and np.isfinite(upper)
    status = decide(found, above=upper) if found is not None and known else "undecided"
    claim = "Singular directions of the weights hold more curvature than random ones"
    return Verdict(claim, "1.8 to 2.9, one seed", _of_phase(found), status, rule)


def _throughout(cells: Cells) -> Verdict:
    found = by_phase(cells, f"{BASES['singular']}/ratio")
    rule = (
        "Singular directions. Holds if the interval of every phase lies above 1, fails if that of "
        "some phase lies below; intervals hold for all phases at once."
    )
    status = _universal({phase: decide(i, above=1.0) for phase, i in found.items()})
    claim = "The excess is there throughout training"
    paper = "above 1 consistently (its data: 0.8 to 1.3 before, 0.6 to 0.8 after generalising)"
    return Verdict(claim, paper, _phase_words(found), status, rule)


def _flat_sweep(cells: Cells) -> Verdict:
    first, last = min(SWEPT), max(SWEPT)

    def number(row: Row) -> float:
        ends = [
            median_of(f"{BASES['singular']}/sweep_ratio:{count}", "memorization")(row)
            for count in (last, first)
        ]
        return ends[0] / ends[1] if ends[1] else nan

    found = pooled(cells, number)
    rule = (
        f"Memorization phase, singular directions: the ratio with {last} directions a matrix over "
        f"that with {first}. Holds if its interval lies above {1 / STABLE:g}, fails if below: the "
        "excess sits in the leading directions."
    )
    status = "undecided" if found is None else decide(found, above=1 / STABLE)
    claim = "The excess is the same for any number of directions"
    paper = "K = 16 and 32 in the same range (its data: 2.6 at K = 8, 1.6 at 256)"
    return Verdict(claim, paper, _one(found), status, rule)


def _converse(cells: Cells) -> Verdict:
    cosine = pooled(cells, _aligned("cosine_ratio", "as it is"))
    shares = {words: pooled(cells, _aligned("subspace_ratio", words)) for words in VARIANTS}
    learned = shares["decay part removed"]
    told = f"mean |cos| over random {_one(cosine)}; share over √(C/P): " + "; ".join(
        f"{words} {short(interval)}" for words, interval in shares.items() if interval
    )
    rule = (
        "All records. Holds if the interval of the share with the decay part removed lies within "
        f"{1 / STABLE:g} and {STABLE:g}, fails if it lies outside. The published figure compares "
        "the share with C/P, which is the mean of its square; the baseline is √(C/P)."
    )
    claim = "The trajectory moves along the commutators no more and no less than at random"
    paper = "mean |cos| over random 0.96 to 1.18 (add, sub, mul), 1.7 to 1.9 (x2_y2)"
    status = "undecided" if learned is None else _near_one(learned)
    return Verdict(claim, paper, told if learned or cosine else NOT_RUN, status, rule)


def _aligned(output: str, words: str) -> Number:
    return median_of(f"{ALIGNMENT}/{output}:{VARIANTS[words]}")


def _near_one(interval: Interval) -> str:
    if interval.lower > 1 / STABLE and interval.upper < STABLE:
        return "holds"
    return "fails" if interval.lower >= STABLE or interval.upper <= 1 / STABLE else "undecided"


def _universal(statuses: Mapping[str, str]) -> str:
    """Status of a claim about every phase: one refutes it, and the long ones must be known."""
    if "fails" in statuses.values():
        return "fails"
    complete = {"memorization", "post-grok"} <= set(statuses)
    return "holds" if complete and set(statuses.values()) == {"holds"} else "undecided"


def _seeds(cells: Cells) -> list[int]:
    return sorted({seed for rows in cells.values() for seed in rows})


def _smallest(cells: Cells, seed: int) -> float:
    rows = [by_seed[seed] for by_seed in cells.values() if seed in by_seed]
    return lowest(rows, f"{BASES['trajectory']}/residual")


def _phase_words(found: Mapping[str, Interval]) -> str:
    told = "; ".join(f"{phase} {short(i)}" for phase, i in found.items())
    return f"{told} ({AT_ONCE})" if told else NOT_RUN


def _one(interval: Interval | None) -> str:
    return NOT_RUN if interval is None else str(interval)


def _of_phase(interval: Interval | None) -> str:
    return NOT_RUN if interval is None else f"{interval} ({AT_ONCE})"


def _fine(interval: Interval) -> str:
    if interval.count == 1:
        return f"{interval.centre:.5f} (one seed)"
    return f"{interval.centre:.5f} [{interval.lower:.5f}, {interval.upper:.5f}]"
