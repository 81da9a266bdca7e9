"""Claims on the coordinates that the output reads, found without knowing what they are."""

from __future__ import annotations

from collections.abc import Callable

from spectraledge.experiments.row_values import mean_of, share_words, short, value_at
from spectraledge.experiments.seed_intervals import geometric_interval
from spectraledge.experiments.spectral_edge import dyck_probes
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, NO_DECAY
from spectraledge.experiments.spectral_edge.edge_runs import COORDINATE, EdgeGroup, curve_name
from spectraledge.experiments.spectral_edge.edge_study import over_seeds
from spectraledge.lab.rows import Row
from spectraledge.report import Verdict
from spectraledge.series import Interval

__all__ = ["depth_claims", "wave_claims"]

FEW_WAVES = 12.0
# More of the variance between depths than within them.
FOLLOWS = 0.5
NOT_SEARCHED = "not searched: the coordinate is given"


def wave_claims(group: EdgeGroup) -> list[Verdict]:
    """Whether the output reads few waves of the label, and fewer than without decay.

    Args:
        group: Runs on a sum modulo p.

    Returns:
        Two verdicts.
    """
    what = (
        "Of 48 frequencies over the sum, how many hold 80 % of the energy of eight coordinates of "
        f"the last block, step {_late(group)}"
    )
    return [_few_waves(group, what), _fewer_waves(group, what)]


def depth_claims(group: EdgeGroup) -> list[Verdict]:
    """Whether the first coordinate that the output reads is a function of depth.

    Args:
        group: Runs on Dyck-1 whose representations were read, see `dyck_probes`.

    Returns:
        Two verdicts.
    """
    what = (
        "Share of the variance of the first coordinate of the last block that lies between "
        f"depths, step {_late(group)}, runs of `reencoded_not_lost`; 0 where its held-out "
        "correlation with the output is not above the 95 % quantile of that with outputs of "
        "other rows"
    )
    return [_follows_depth(group, what), _follows_closer(group, what)]


def _few_waves(group: EdgeGroup, what: str) -> Verdict:
    return over_seeds(
        f"{group.name}: What the output reads is a few waves of the sum, found without knowing",
        NOT_SEARCHED,
        group.at(_waves(group), _late(group)),
        f"{what}.",
        below=FEW_WAVES,
    )


def _fewer_waves(group: EdgeGroup, what: str) -> Verdict:
    late, name = _late(group), _waves(group)
    own, without = (short(group.at(name, late, condition)) for condition in (DECAY, NO_DECAY))
    pairs = _paired(group, lambda row: value_at(row, name, late))
    ratio = geometric_interval((seed, a / b) for seed, a, b in pairs if b)
    return over_seeds(
        f"{group.name}: What the output reads is fewer waves of the sum than without decay",
        NOT_SEARCHED,
        ratio,
        f"{what}, over that of the run of the same seed without decay.",
        words=f"{own} with decay, {without} without: {short(ratio)} times",
        below=1.0,
    )


def _follows_depth(group: EdgeGroup, what: str) -> Verdict:
    found, null = (
        mean_of(_coordinate(group, row, name) for row in group.rows[DECAY].values())
        for name in ("correlation", "null_correlation")
    )
    words = (
        f"{_scores_words(group)}; correlation with the output {share_words(found)}, by chance "
        f"{share_words(null)}"
    )
    return over_seeds(
        f"{group.name}: The coordinate that the output reads, found without knowing, follows depth",
        NOT_SEARCHED,
        _scores(group, DECAY),
        f"{what}.",
        words=words,
        above=FOLLOWS,
    )


def _follows_closer(group: EdgeGroup, what: str) -> Verdict:
    apart = mean_of(a - b for _, a, b in _paired(group, lambda row: _depth_score(group, row)))
    return over_seeds(
        f"{group.name}: That coordinate follows depth more closely than without decay",
        NOT_SEARCHED,
        apart,
        f"{what}, minus that of the run of the same seed without decay.",
        words=f"{_scores_words(group)}: {share_words(apart)} more",
        above=0.0,
    )


def _scores(group: EdgeGroup, condition: str) -> Interval | None:
    rows = group.rows[condition].values()
    return mean_of((_depth_score(group, row) for row in rows), 0.0, 1.0)


def _scores_words(group: EdgeGroup) -> str:
    own, without = (share_words(_scores(group, condition)) for condition in (DECAY, NO_DECAY))
    return f"{own} with decay, {without} without"


def _depth_score(group: EdgeGroup, row: Row) -> float:
    score, found, null = (
        _coordinate(group, row, name) for name in ("class_score", "correlation", "null_correlation")
    )
    # What does not carry over to other rows is no coordinate, whatever it follows.
    return score * (found > null)


def _coordinate(group: EdgeGroup, row: Row, output: str) -> float:
    name = dyck_probes.probe_curve(dyck_probes.COORDINATE, output, _last_block(group), "c1")
    return value_at(row, name, _late(group))


def _waves(group: EdgeGroup) -> str:
    return curve_name(COORDINATE, "frequencies", _last_block(group))


def _paired(group: EdgeGroup, value: Callable[[Row], float]) -> list[tuple[int, float, float]]:
    """Seed and value with decay and without, of the seeds that have both."""
    own, other = group.rows[DECAY], group.rows[NO_DECAY]
    return [(seed, value(own[seed]), value(other[seed])) for seed in own if seed in other]


def _late(group: EdgeGroup) -> int:
    return group.regime.functional_steps["late"]


def _last_block(group: EdgeGroup) -> str:
    return f"blocks.{getattr(group.regime.model, 'layers', 1) - 1}"
