"""What the interventions of `is_collapse_causal` did: accuracy around an injection, delays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from spectraledge.experiments.low_rank_decay.outcomes import generalised_at
from spectraledge.experiments.low_rank_decay.paired_comparisons import Comparison, compare
from spectraledge.experiments.row_values import mean_of, value_at
from spectraledge.experiments.study import GENERALISED, Known
from spectraledge.experiments.study_sections import Rows, by_seed
from spectraledge.lab.rows import Row
from spectraledge.series import Interval, first_held, proportion_interval
from spectraledge.training import RunSpec
from spectraledge.updates import InjectTail

__all__ = [
    "ACCURACY",
    "AFTER",
    "L2",
    "PLAIN",
    "RANDOM",
    "RANK",
    "RELEASED",
    "TAIL",
    "Findings",
    "Injection",
    "findings",
    "injected",
    "injection_moments",
    "lags_after_collapse",
    "prompt_share",
    "settled",
]

ACCURACY, RANK = "validation_accuracy", "weight_spectrum/stable_rank"
# Steps after an injection at which accuracy is read once more.
AFTER = 500


# Conditions of the study.
PLAIN, TAIL, RANDOM = "LRD", "LRD, tail put back", "LRD, random tail"
RELEASED, L2 = "LRD, released early", "L2"


@dataclass(frozen=True)
class Injection:
    """Accuracy around an injection, over the seeds that had a solution to lose.

    Args:
        moments: Step of the injection of those seeds.
        known: Number of seeds that are known with and without the injection.
        generalised: How many of these had generalised before it.
        before: Validation accuracy at the last record before the injection.
        after: At the first record after it.
        later: `AFTER` steps later.
        fall: Accuracy after the injection minus that of the same seed without one, then.
        fall_later: The same, `AFTER` steps later.
        rank_before: Mean stable rank before.
        rank_after: Mean stable rank at the first measurement after.
    """

    moments: Mapping[int, int]
    known: int
    generalised: int
    before: Interval | None
    after: Interval | None
    later: Interval | None
    fall: Interval | None
    fall_later: Interval | None
    rank_before: Interval | None
    rank_after: Interval | None


@dataclass(frozen=True)
class Findings:
    """All that the page shows.

    Args:
        conditions: Rows by seed of every condition; empty where nothing is known.
        injections: What the tail and the random tail did.
        projected: Conditions of projection, by kind: ``once`` or ``kept``.
        families: These against L2.
        release: Low-rank decay released early against low-rank decay throughout.
        early: Step of projection and release.
        budget: Steps of a run.
        kept: Leading directions that an injection leaves alone.
    """

    conditions: Mapping[str, Rows]
    injections: Mapping[str, Injection]
    projected: Mapping[str, Mapping[str, Rows]]
    families: Mapping[str, Sequence[Comparison]]
    release: Sequence[Comparison]
    early: int
    budget: int
    kept: int


def findings(
    known: Known, runs: Mapping[str, Sequence[RunSpec]], *, early: int, budget: int, kept: int
) -> Findings:
    """What the interventions did.

    Args:
        known: What is known.
        runs: Runs by condition.
        early: Step of projection and release.
        budget: Steps of a run.
        kept: Leading directions that an injection leaves alone.

    Returns:
        The findings.
    """
    names = dict.fromkeys((PLAIN, TAIL, RANDOM, RELEASED, L2, *runs))
    conditions = {arm: by_seed(known, runs.get(arm, ())) for arm in names}
    plain = conditions[PLAIN]
    projected = {
        kind: {a: r for a, r in conditions.items() if a.startswith(L2) and a.endswith(kind)}
        for kind in ("once", "kept")
    }
    return Findings(
        conditions,
        {
            arm: injected(conditions[arm], plain, injection_moments(runs.get(arm, ())))
            for arm in (TAIL, RANDOM)
        },
        projected,
        {kind: compare(arms, conditions[L2], budget) for kind, arms in projected.items()},
        compare({RELEASED: conditions[RELEASED]}, plain, budget),
        early,
        budget,
        kept,
    )


def injection_moments(runs: Iterable[RunSpec]) -> dict[int, int]:
    """Step at which each run has its tail put in, by seed; runs without an injection are left out.

    Args:
        runs: Runs of one condition.

    Returns:
        Steps by seed.
    """
    return {
        spec.seed: update.at
        for spec in runs
        for update in spec.updates
        if isinstance(update, InjectTail)
    }


def settled(row: Row, step: int) -> bool:
    """Whether a run had generalised before a step."""
    return generalised_at(row, step - 1) is not None


def injected(rows: Rows, plain: Rows, moments: Mapping[int, int]) -> Injection:
    """What an injection did to the runs that had a solution to lose.

    Args:
        rows: Runs with the injection, by seed.
        plain: The same runs without it.
        moments: Step of the injection by seed; the record of this step is made after it.

    Returns:
        The effect on the seeds that had generalised before the injection and were still right at
        the last record ahead of it: many lose and find their solution again by themselves.
    """
    both = [seed for seed in rows if seed in plain and seed in moments]
    late = {seed: moments[seed] for seed in both if settled(rows[seed], moments[seed])}
    kept = {
        seed: at
        for seed, at in late.items()
        if value_at(rows[seed], ACCURACY, at - 1) >= GENERALISED.threshold
    }

    def mean(name: str, offset: int, low: float = 0.0, high: float = 1.0) -> Interval | None:
        return mean_of((value_at(rows[s], name, at + offset) for s, at in kept.items()), low, high)

    def fall(offset: int) -> Interval | None:
        gaps = (value_at(rows[s], ACCURACY, at + offset)
                - value_at(plain[s], ACCURACY, at + offset)
                for s, at in kept.items())  # fmt: skip
        return mean_of(gaps, -1.0, 1.0)

    measured = [value_at(rows[s], RANK, _next_measured(rows[s], at)) for s, at in kept.items()]
    return Injection(
        kept,
        len(both),
        len(late),
        mean(ACCURACY, -1),
        mean(ACCURACY, 0),
        mean(ACCURACY, AFTER),
        fall(0),
        fall(AFTER),
        mean(RANK, -1, high=inf),
        mean_of(measured, 0.0),
    )


def _next_measured(row: Row, at: int) -> int:
    """First step from `at` on at which the spectrum was measured."""
    steps = row.curve(RANK)[0] if RANK in row.curves else ()
    return min((int(step) for step in steps if step >= at), default=at)


def prompt_share(rows: Rows, at: int, within: int) -> Interval | None:
    """Share of runs that generalise within some steps after `at`, of those that had not before."""
    open_runs = [row for row in rows.values() if not settled(row, at)]
    if not open_runs:
        return None
    prompt = sum(
        step is not None and step <= at + within for step in map(generalised_at, open_runs)
    )
    return proportion_interval(prompt, len(open_runs))


def lags_after_collapse(rows: Rows, rank: float) -> Mapping[int, int]:
    """How long after its collapse a run generalises.

    Args:
        rows: Runs by seed.
        rank: Stable rank that counts as collapsed.

    Returns:
        Steps from the first stable rank of at most `rank` to generalisation, by seed; runs that
        do not come to both are left out.
    """
    lags = {}
    for seed, row in rows.items():
        if RANK not in row.curves:
            continue
        collapsed = first_held(*row.curve(RANK), threshold=float(rank), patience=1, below=True)
        step = generalised_at(row)
        if collapsed is not None and step is not None:
            lags[seed] = step - collapsed
    return lags
