"""Claims of `reencoded_not_lost` on responses, and on what the last block keeps of the input."""

from __future__ import annotations

from collections.abc import Callable

from spectraledge.experiments.row_values import mean_of, share_words, short, value_at
from spectraledge.experiments.seed_intervals import geometric_interval
from spectraledge.experiments.spectral_edge.dyck_probes import (
    COMPOSITION,
    RESPONSE,
    probe_curve,
)
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, NO_DECAY
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup
from spectraledge.experiments.spectral_edge.edge_study import over_seeds
from spectraledge.report import Verdict
from spectraledge.series import Interval

__all__ = ["by_condition", "content_claims"]

# Those of the functional R² are one snapshot later than those of the ablations.
RESPONSE_STEPS = {"pre": 300, "at": 600, "late": 4000}


def content_claims(group: EdgeGroup) -> list[Verdict]:
    """Verdicts on responses along directions, on parts of the input, and on classes of depth."""
    at, late = (group.regime.functional_steps[phase] for phase in ("at", "late"))
    return [
        _functional(group, RESPONSE_STEPS["late"]), _random_functional(group, late),
        _depth_waves(group, at), _composed(group, late), _compact(group, late),
        _relatively_compact(group, late),
    ]  # fmt: skip


def by_condition(group: EdgeGroup, name: str, late: int) -> Interval | None:
    """A curve with decay minus without, by seed."""
    rows, others = group.rows[DECAY], group.rows[NO_DECAY]
    return mean_of(
        value_at(rows[seed], name, late) - value_at(others[seed], name, late)
        for seed in rows
        if seed in others
    )


def _response(group: EdgeGroup, step: int, output: str, direction: str) -> Interval | None:
    return group.at(probe_curve(RESPONSE, output, direction), step)


def _functional(group: EdgeGroup, late: int) -> Verdict:
    mean = _response(group, late, "published_score", "v1")
    phases = ", ".join(
        f"{phase} {share_words(_response(group, step, 'published_score', 'v1'))}"
        for phase, step in RESPONSE_STEPS.items()
    )
    return over_seeds(
        "Moving along v₁ changes what is said about depth", "R² pre 0.61, at 0.46, late 0.80", mean,
        "Test R² of published ridge from the response of the representation to depth.",
        words=phases, above=0.5,
    )  # fmt: skip


def _random_functional(group: EdgeGroup, late: int) -> Verdict:
    apart = mean_of(
        value_at(row, probe_curve(RESPONSE, "score", "v1"), late)
        - value_at(row, probe_curve(RESPONSE, "score", "random"), late)
        for row in group.rows[DECAY].values()
    )
    own, random = (_response(group, late, "score", name) for name in ("v1", "random"))
    return over_seeds(
        "The response along v₁ says more of depth than that along a random direction",
        "not tested", apart, "Scale-free R² along v₁ minus along a random direction.",
        words=f"v₁ {share_words(own)}, random {share_words(random)}", above=0.05,
    )  # fmt: skip


def _depth_waves(group: EdgeGroup, at: int) -> Verdict:
    names: Callable[[str], str] = lambda d: probe_curve(RESPONSE, "elevation", d)  # noqa: E731
    ratio = geometric_interval([
        (seed, value_at(row, names("v1"), at) / value_at(row, names("random"), at))
        for seed, row in group.rows[DECAY].items()
    ])  # fmt: skip
    own, random, weights = (group.at(names(d), at) for d in ("v1", "random", "weights"))
    return over_seeds(
        "The response along v₁ is one wave over depth", "4.1 ± 0.7 times (5.2 for seed 42)", ratio,
        f"Elevation of the largest frequency at step {at}, v₁ over a random direction.",
        words=f"v₁ {short(own)}, random {short(random)}, weights {short(weights)}", above=1.5,
    )  # fmt: skip


def _composed(group: EdgeGroup, late: int) -> Verdict:
    def score(reading: str, condition: str = DECAY) -> str:
        name = probe_curve(COMPOSITION, "published_score", reading)
        return share_words(group.at(name, late, condition))

    sign = "representation to token"
    apart = by_condition(group, probe_curve(COMPOSITION, "score", sign), late)
    return over_seeds(
        "With decay the last layer forgets which bracket was read",
        "R² 0.295 with decay, 0.992 without (published probe); inputs alone 0.09 (token), 0.03 "
        "(position), 0.17 (both), 1.000 with crossed features, which contain the depth",
        apart,
        "Scale-free R² of the sign of the token with decay minus without, by seed.",
        words=f"published probe {score(sign)} with decay, {score(sign, NO_DECAY)} without; inputs "
        f"alone {score('token')}, {score('position')}, {score('token and position')}, "
        f"{score('with crosses')}; scale-free difference {share_words(apart)}",
        below=-0.05,
    )


def _compact(group: EdgeGroup, late: int) -> Verdict:
    return _distances(
        group, late, "class_distance", "With decay classes of depth lie closer together",
        "0.21 against 30.95: 150 times", "Distance between means of neighbouring depths",
    )  # fmt: skip


def _relatively_compact(group: EdgeGroup, late: int) -> Verdict:
    return _distances(
        group, late, "relative_distance", "… also relative to the spread of the representation",
        "not measured", "The same distance over the spread of the representation",
    )  # fmt: skip


def _distances(
    group: EdgeGroup, late: int, output: str, claim: str, paper: str, what: str
) -> Verdict:
    name = probe_curve(COMPOSITION, output)
    rows, others = group.rows[DECAY], group.rows[NO_DECAY]
    ratio = geometric_interval([
        (seed, value_at(others[seed], name, late) / value_at(rows[seed], name, late))
        for seed in rows
        if seed in others
    ])  # fmt: skip
    own, other = group.at(name, late), group.at(name, late, NO_DECAY)
    return over_seeds(
        claim, paper, ratio,
        f"{what} without decay over that with, geometric mean over seeds.",
        words=f"{short(own)} with, {short(other)} without: {short(ratio)} times", above=1.5,
    )  # fmt: skip
