"""Claims of `flat_yet_critical`, and what the rows say of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import nan
from statistics import median

from spectraledge.experiments.row_values import mean_of, share_words, short, value_at
from spectraledge.experiments.seed_intervals import geometric_interval
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, DYCK, NO_DECAY, SCAN
from spectraledge.experiments.spectral_edge.edge_runs import (
    ABLATION,
    CURVES,
    PUBLISHED_CURVES,
    EdgeGroup,
    curve_name,
    finite_curve,
)
from spectraledge.experiments.spectral_edge.edge_study import Groups, over_seeds
from spectraledge.lab.rows import Row
from spectraledge.report import Verdict
from spectraledge.series import Interval

__all__ = [
    "LATE",
    "RANDOM",
    "curvature_ratio",
    "excess_at",
    "flat_claims",
    "late_removal_claims",
    "removal",
]

EARLY, LATE = ("pre", "at"), "late"
# Single snapshots scatter, and fewer than three have no median of their own.
ENOUGH = 3
RANDOM = ("random1", "random2", "random3")
PAPER: Mapping[str, str] = {
    DYCK: "−0.58 ± 0.09 late (3 seeds), −0.26 ± 0.05 at grokking",
    SCAN: "−0.49 (one seed)",
}
FLAT = {DYCK: "0.078 late, “flat”; 1.8 for v₄ without decay", SCAN: "0.001 against 1.83"}


def flat_claims(groups: Groups) -> list[Verdict]:
    """All verdicts, one a claim and task."""
    found = []
    for group in groups.values():
        found += [
            _critical(group), _matched(group), _added(group), _shrunk(group),
            *(_special(group, phase) for phase in (*EARLY, LATE)), _special_over_snapshots(group),
            _needs_decay(group), *(_special(group, phase, NO_DECAY) for phase in EARLY),
            _flat(group), _divergence(group), _bulk(group),
        ]  # fmt: skip
    return found


def late_removal_claims(group: EdgeGroup) -> list[Verdict]:
    """Those of the late phase that need no run without decay."""
    return [
        _critical(group), _matched(group), _added(group), _shrunk(group), _special(group, LATE),
        _flat(group), _divergence(group),
    ]  # fmt: skip


def removal(output: str, what: str) -> str:
    """Curve of an output of one removal."""
    return curve_name(ABLATION, output, what)


def excess_at(group: EdgeGroup, step: int, condition: str = DECAY) -> Interval | None:
    """Accuracy lost without the edge minus that lost by the matched control, mean over seeds."""
    return mean_of(_excess(row, step) for row in group.rows[condition].values())


def _lost(row: Row, step: float) -> tuple[float, float]:
    """Accuracy lost without the edge, and by the matched control."""
    edge, matched = (
        -value_at(row, removal("accuracy_change", what), step) for what in ("edge", "matched")
    )
    return edge, matched


def _excess(row: Row, step: float) -> float:
    edge, matched = _lost(row, step)
    return edge - matched


def _ratio(row: Row, step: float) -> float:
    edge, matched = _lost(row, step)
    return edge / (matched or nan)


def _snapshots(row: Row, start: int) -> list[int]:
    """Steps of the removals from a step on."""
    steps, _ = finite_curve(row, removal("accuracy_change", "edge"))
    return [int(step) for step in steps if step >= start]


def _median_from(row: Row, start: int, number: Callable[[Row, float], float]) -> float:
    found = [number(row, step) for step in _snapshots(row, start)]
    return median(found) if len(found) >= ENOUGH else nan


def _times(edge: Interval | None, matched: Interval | None) -> str:
    """How many times as much the edge costs, on average; nothing where one may cost nothing."""
    if edge is None or matched is None or max(edge.upper, matched.upper) >= 0:
        return ""
    return f": {edge.centre / matched.centre:.2g} times"


def curvature_ratio(
    group: EdgeGroup, direction: str, step: int, condition: str = DECAY
) -> Interval | None:
    """Curvature along a direction over that of random ones, in size; geometric mean over seeds."""
    found = []
    for seed, row in group.rows[condition].items():
        own, *random = (
            abs(value_at(row, curve_name(CURVES, "curvature", name), step))
            for name in (direction, *RANDOM)
        )
        found.append((seed, own * len(random) / sum(random)))
    return geometric_interval(found)


def _removal_claim(
    group: EdgeGroup,
    claim: str,
    paper: str,
    what: str,
    *,
    condition: str = DECAY,
    above: float | None = None,
    below: float | None = None,
) -> Verdict:
    """What removing the edge or the bulk costs late, with the share of the norm that it takes."""
    step = group.regime.functional_steps[LATE]
    if condition != DECAY:
        step = min(step, group.regime.control_steps)
    mean = group.at(removal("accuracy_change", what), step, condition)
    share = group.at(removal("removed", what), step, condition)
    words = f"{short(mean)}; this removes {share_words(share)} of the norm"
    if condition == DECAY:
        own = group.published(removal("accuracy_change", what), step)
        words += f"; seed {group.regime.published_seed}: {own:.3f}"
    return over_seeds(
        f"{group.name}: {claim}",
        paper,
        mean,
        f"Change of accuracy without the {what}, step {step} or the last one measured before.",
        words=words,
        above=above,
        below=below,
    )


def _critical(group: EdgeGroup) -> Verdict:
    paper = PAPER.get(group.name, "not measured")
    return _removal_claim(
        group, "Removing the late edge ruins the network", paper, "edge", below=-0.1
    )


def _matched(group: EdgeGroup) -> Verdict:
    step = group.regime.functional_steps[LATE]
    random, taken = (
        group.at(removal(output, "random"), step) for output in ("accuracy_change", "removed")
    )
    matched = group.at(removal("accuracy_change", "matched"), step)
    return over_seeds(
        f"{group.name}: Removing a random direction that holds the same share of the weights does "
        "nothing",
        "not tested; two random directions below 1e-4, “4000 times” (SCAN: 10⁷)",
        matched,
        f"Change of accuracy at step {step}, mean over draws.",
        words=f"{short(matched)}; the published control {short(random)}, which removes "
        f"{short(taken)} of the norm",
        above=-0.1,
    )


def _added(group: EdgeGroup) -> Verdict:
    return _removal_claim(
        group,
        "Moving the weights at random as far as the removal moves them does nothing",
        "not tested",
        "additive",
        above=-0.1,
    )


def _shrunk(group: EdgeGroup) -> Verdict:
    step, rows = group.regime.functional_steps[LATE], group.rows[DECAY].values()
    edge, shrunk = (removal("accuracy_change", what) for what in ("edge", "shrink"))
    more = mean_of(value_at(row, shrunk, step) - value_at(row, edge, step) for row in rows)
    return over_seeds(
        f"{group.name}: Removing the late edge costs more than shrinking all the weights as much",
        "not tested",
        more,
        "Accuracy lost without the edge minus that lost with attention weights of that length.",
        words=f"{short(group.at(edge, step))} against {short(group.at(shrunk, step))}; "
        f"{short(more)} more",
        above=0.0,
    )


def _special(group: EdgeGroup, phase: str, condition: str = DECAY) -> Verdict:
    step = group.regime.functional_steps[phase]
    edge, matched = (
        group.at(removal("accuracy_change", what), step, condition) for what in ("edge", "matched")
    )
    more = excess_at(group, step, condition)
    return over_seeds(
        f"{group.name}: {'At' if condition == DECAY else 'Without decay, at'} step {step} "
        f"({phase}) the edge matters more than an equal share of the weights",
        "not tested",
        more,
        "Accuracy lost without the edge minus that lost by the matched control, by seed.",
        words=f"{short(edge)} against {short(matched)}{_times(edge, matched)}; {short(more)} more",
        above=0.0,
    )


def _special_over_snapshots(group: EdgeGroup) -> Verdict:
    start, rows = group.regime.functional_steps[LATE], group.rows[DECAY]
    more = mean_of(_median_from(row, start, _excess) for row in rows.values())
    times = geometric_interval((s, _median_from(row, start, _ratio)) for s, row in rows.items())
    steps = sorted({step for row in rows.values() for step in _snapshots(row, start)})
    return over_seeds(
        f"{group.name}: Over late snapshots the edge matters more than an equal share of the "
        "weights",
        "not tested",
        more,
        "Accuracy lost without the edge minus that lost by the matched control, median of each "
        f"seed over its snapshots from step {start} on; none of fewer than {ENOUGH}.",
        words=f"median over steps {', '.join(map(str, steps))}: {short(times)} times; "
        f"{short(more)} more",
        above=0.0,
    )


def _needs_decay(group: EdgeGroup) -> Verdict:
    return _removal_claim(
        group,
        "Without decay the late edge is not critical",
        "−0.03 (SCAN)",
        "edge",
        condition=NO_DECAY,
        above=-0.1,
    )


def _flat(group: EdgeGroup) -> Verdict:
    step = group.regime.functional_steps[LATE]
    ratio = curvature_ratio(group, "v1", step)
    own = group.at(curve_name(CURVES, "curvature", "v1"), step)
    published = group.at(curve_name(PUBLISHED_CURVES, "curvature", "v1"), step)
    return over_seeds(
        f"{group.name}: The late edge is a flat direction",
        FLAT.get(group.name, "not measured"),
        ratio,
        "Size of the exact curvature along v₁ over the mean size along random directions, "
        "geometric mean.",
        words=f"{short(ratio)} times that of random directions; exact {short(own)}, by differences "
        f"{short(published)}",
        below=1.0,
    )


def _divergence(group: EdgeGroup) -> Verdict:
    step = group.regime.functional_steps[LATE]
    edge, random = (
        curve_name(PUBLISHED_CURVES, "largest_divergence", name) for name in ("v1", "random1")
    )
    ratio = geometric_interval(
        (seed, value_at(row, edge, step) / (value_at(row, random, step) or nan))
        for seed, row in group.rows[DECAY].items()
    )
    return over_seeds(
        f"{group.name}: Perturbing along the late edge changes the output less than at random",
        "largest KL ≈ 5e-5 for |ε| ≤ 0.03, “flat”",
        ratio,
        "Largest divergence for |ε| ≤ 0.03 along v₁ over that along a random direction.",
        words=f"{short(group.at(edge, step))} against {short(group.at(random, step))}: "
        f"{short(ratio)} times",
        below=1.0,
    )


def _bulk(group: EdgeGroup) -> Verdict:
    return _removal_claim(
        group,
        "Removing the late bulk (v₃, v₄) does little",
        "−0.13 late, −0.34 at grokking (Dyck-1)",
        "bulk",
        above=-0.2,
    )
