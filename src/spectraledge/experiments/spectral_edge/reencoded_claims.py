"""Claims of `reencoded_not_lost`, and what the rows say of each."""

from __future__ import annotations

from collections.abc import Callable
from math import nan

from spectraledge.experiments.row_values import mean_of, share_words, short, value_at
from spectraledge.experiments.seed_intervals import geometric_interval
from spectraledge.experiments.spectral_edge.dyck_probes import (
    ATTENTION,
    COMPOSITION,
    PROBE,
    RESPONSE,
    probe_curve,
)
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, NO_DECAY
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup
from spectraledge.experiments.spectral_edge.edge_study import over_seeds
from spectraledge.lab.rows import Row
from spectraledge.report import Verdict
from spectraledge.series import Interval

__all__ = ["last_block", "probed", "reencoded_claims", "relative_entropy"]

HEADS = ("0", "1", "2", "3")
# Those of the functional R² are one snapshot later than those of the ablations.
RESPONSE_STEPS = {"pre": 300, "at": 600, "late": 4000}


def last_block(group: EdgeGroup) -> str:
    """Name of the last block of the network."""
    return f"blocks.{getattr(group.regime.model, 'layers', 1) - 1}"


def probed(group: EdgeGroup, output: str, reader: str) -> str:
    """Curve of a probe of the last block."""
    return probe_curve(PROBE, output, last_block(group), reader)


def relative_entropy(row: Row, step: float, layers: int) -> float:
    """Mean entropy of attention over that of even attention, over layers and heads."""
    found = []
    for layer in range(layers):
        name = f"blocks.{layer}.attention"
        even = value_at(row, probe_curve(ATTENTION, "uniform_entropy", name), step)
        heads = [
            value_at(row, probe_curve(ATTENTION, "entropy", name, head), step) for head in HEADS
        ]
        there = [value for value in heads if value == value]
        found.append(sum(there) / len(there) / even if there else nan)
    return sum(found) / len(found)


def reencoded_claims(group: EdgeGroup) -> list[Verdict]:
    """All verdicts."""
    at, late = (group.regime.functional_steps[phase] for phase in ("at", "late"))
    return [
        _linear_falls(group, at, late), _nonlinear_stays(group, late), _scale_free(group, late),
        _smaller(group, at, late), _memorised(group, late), _quadratic(group, late),
        _even_attention(group, late), _not_attention_without(group, late),
        _functional(group, RESPONSE_STEPS["late"]), _random_functional(group, late),
        _depth_waves(group, at),
        _selective(group, late), _composed(group, late), _compact(group, late),
        _relatively_compact(group, late),
    ]  # fmt: skip


def _difference(group: EdgeGroup, name: str, late: int, at: int) -> Interval | None:
    return mean_of(
        value_at(row, name, late) - value_at(row, name, at) for row in group.rows[DECAY].values()
    )


def _linear_falls(group: EdgeGroup, at: int, late: int) -> Verdict:
    name = probed(group, "published_score", "linear")
    own = group.at(name, late)
    return over_seeds(
        f"The published linear probe reads depth worse at step {late} than at {at}",
        "0.862 ± 0.011 late, 0.982 ± 0.003 at grokking; seed 42: 0.667",
        _difference(group, name, late, at),
        "Difference of test R², last block.",
        words=f"{share_words(own)} late, {share_words(group.at(name, at))} at grokking",
        below=0.0,
    )


def _nonlinear_stays(group: EdgeGroup, late: int) -> Verdict:
    mean = group.at(probed(group, "published_score", "mlp"), late)
    return over_seeds(
        "A nonlinear probe reads it as before", "0.990 ± 0.002", mean,
        "Test R² of the published mlp, last block.", words=share_words(mean), above=0.97,
    )  # fmt: skip


def _scale_free(group: EdgeGroup, late: int) -> Verdict:
    mean = group.at(probed(group, "score", "linear"), late)
    return over_seeds(
        "What is lost to the linear probe is linear no more", "nonlinear re-encoding", mean,
        "Test R² of the scale-free linear probe, last block.",
        words=f"scale-free linear probe {share_words(mean)}", below=0.97,
    )  # fmt: skip


def _smaller(group: EdgeGroup, at: int, late: int) -> Verdict:
    name = probe_curve(PROBE, "spread", last_block(group))
    ratio = geometric_interval([
        (seed, value_at(row, name, at) / value_at(row, name, late))
        for seed, row in group.rows[DECAY].items()
    ])  # fmt: skip
    return over_seeds(
        "Features shrink under decay", "not measured", ratio,
        f"Spread of the features at step {at} over that at {late}, geometric mean.",
        words=f"{short(ratio)} times smaller", above=2.0,
    )  # fmt: skip


def _memorised(group: EdgeGroup, late: int) -> Verdict:
    free = probed(group, "score", "linear")
    mean = _by_condition(group, free, late)
    words = (
        f"with decay {share_words(group.at(free, late))}, without "
        f"{share_words(group.at(free, late, NO_DECAY))}"
    )
    return over_seeds(
        "Networks without decay keep depth more linear", "0.94 against 0.86", mean,
        "Scale-free linear R² with decay minus without, by seed.", words=words, below=0.0,
    )  # fmt: skip


def _quadratic(group: EdgeGroup, late: int) -> Verdict:
    mean = group.at(probed(group, "score", "quadratic"), late)
    published = group.at(probed(group, "published_score", "quadratic"), late)
    return over_seeds(
        "A quadratic probe fails too", "0.591 (seed 42)", mean,
        "Test R² of the scale-free quadratic probe, last block.",
        words=f"published {share_words(published)}, scale-free {share_words(mean)}", below=0.97,
    )  # fmt: skip


def _entropies(group: EdgeGroup, step: int, condition: str) -> Interval | None:
    layers = getattr(group.regime.model, "layers", 1)
    return mean_of(
        (relative_entropy(row, step, layers) for row in group.rows[condition].values()), 0.0, 1.0
    )


def _even_attention(group: EdgeGroup, late: int) -> Verdict:
    mean = _entropies(group, late, DECAY)
    return over_seeds(
        "Decay makes attention even", "2.27 to 2.28 of 2.2826 nats, padding counted", mean,
        "Entropy over that of even attention, labelled queries, mean over layers and heads.",
        words=share_words(mean), above=0.97,
    )  # fmt: skip


def _not_attention_without(group: EdgeGroup, late: int) -> Verdict:
    mean = _entropies(group, late, NO_DECAY)
    return over_seeds(
        "Without decay attention stays sharp", "heads down to 1.02 nats", mean,
        "The same without decay.", words=share_words(mean), below=0.97,
    )  # fmt: skip


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


def _selective(group: EdgeGroup, late: int) -> Verdict:
    gain = mean_of(
        value_at(row, probed(group, "score", "linear"), late)
        - value_at(row, probed(group, "untrained", "linear"), late)
        for row in group.rows[DECAY].values()
    )
    own, before, shuffled, one = (
        group.at(probed(group, output, "linear"), late)
        for output in ("score", "untrained", "shuffled", "random_direction")
    )
    return over_seeds(
        "Training makes depth readable", "no control", gain,
        "Scale-free linear R² late minus that of the untrained network.",
        words=f"{share_words(own)}; untrained {share_words(before)}, shuffled labels "
        f"{share_words(shuffled)}, one random direction {share_words(one)}",
        above=0.02,
    )  # fmt: skip


def _composed(group: EdgeGroup, late: int) -> Verdict:
    def score(reading: str, condition: str = DECAY) -> str:
        name = probe_curve(COMPOSITION, "published_score", reading)
        return share_words(group.at(name, late, condition))

    sign = "representation to token"
    apart = _by_condition(group, probe_curve(COMPOSITION, "score", sign), late)
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


def _by_condition(group: EdgeGroup, name: str, late: int) -> Interval | None:
    """A curve with decay minus without, by seed."""
    rows, others = group.rows[DECAY], group.rows[NO_DECAY]
    return mean_of(
        value_at(rows[seed], name, late) - value_at(others[seed], name, late)
        for seed in rows
        if seed in others
    )
