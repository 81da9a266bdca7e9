"""The page of the boundary study finds planted boundaries, and says what is missing."""

from dataclasses import replace
from functools import cache

import pytest

from experiments.planted import planted_ledger, planted_rounds
from spectraledge.experiments.forest import Estimate, forest_figure
from spectraledge.experiments.low_rank_decay.boundary import STUDY
from spectraledge.experiments.low_rank_decay.boundary_claims import (
    boundary_words,
    difference_words,
)
from spectraledge.experiments.low_rank_decay.boundary_details import edges_of
from spectraledge.experiments.low_rank_decay.boundary_estimates import ladders, shifts
from spectraledge.experiments.low_rank_decay.boundary_page import boundary_page, boundary_page_of
from spectraledge.experiments.low_rank_decay.contenders import contenders, ladder_runs
from spectraledge.experiments.low_rank_decay.decay_arms import chain_of
from spectraledge.experiments.low_rank_decay.sizes import REDUCED, size_of
from spectraledge.experiments.low_rank_decay.tuning import Setting, grid
from spectraledge.experiments.study import GENERALISED, Known
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import failed_row
from spectraledge.report import render
from spectraledge.series import Bisection, Boundary, Interval

INF = float("inf")
SMALL = replace(
    REDUCED,
    rates=(1e-2,),
    strengths=(3.0,),
    tuning_seeds=(100,),
    seeds=tuple(range(6)),
    more_seeds=tuple(range(6)),
    record_every=100,
    bisection=Bisection(0.35, 0.85, trials=3, resolution=0.13, ladder=4, spacing=0.05),
)
DRAWS = 100
# In the order of the verdicts.
CLAIMS = ("less data", "less when matched", "a third less", "never without", "more without",
          "published step", "norm held")  # fmt: skip


@cache
def planted(boundaries: tuple[tuple[str, float], ...]) -> Known:
    """Runs that generalise above the boundary of their arm, a little earlier or later by seed."""
    strengths = {"norm held": 0.3, "no decay": 0.0}
    chains = {chain_of(arm, strengths.get(arm, 3.0), SMALL): place for arm, place in boundaries}

    def rule(spec):
        shift = 0.02 * ((spec.seed * 7) % 6 - 2.5) / 2.5
        return 1000 if spec.task.train_fraction > chains[spec.updates] + shift else None

    ledger = planted_rounds(
        grid(SMALL, [arm for arm, _ in boundaries]),
        lambda known: [
            run
            for one in contenders(known, SMALL)
            if one.arm in dict(boundaries)
            for run in ladder_runs(known, one, SMALL)
        ],
        rule,
    )
    return Known(ledger, GENERALISED)


def statuses(known, scale="demo"):
    page = boundary_page_of(known, SMALL, scale, DRAWS)
    assert len(page.verdicts) == len(CLAIMS)
    return dict(zip(CLAIMS, (v.status for v in page.verdicts))), page


BETTER = (("no decay", 0.78), ("L2", 0.7), ("LRD", 0.42), ("LRD published step", 0.42))
WORSE = (("no decay", 0.48), ("L2", 0.5), ("LRD", 0.68), ("norm held", 0.5))


def test_ladders_find_planted_boundaries():
    found = {one.label: one for one in ladders(planted(BETTER), SMALL, DRAWS)}
    for arm, place in BETTER:
        # A rung is 0.05 apart and seeds spread by 0.02 around the place.
        for boundary in (found[arm].logistic[4000], found[arm].isotonic[4000]):
            assert boundary.interval.centre == pytest.approx(place, abs=0.025)
        assert found[arm].missing == 0
    moved = {(s.label, s.baseline): s for s in shifts(list(found.values()), SMALL, DRAWS)
             if s.budget == 4000}  # fmt: skip
    shift = moved["LRD", "L2"]
    assert shift.family.centre == pytest.approx(-0.28, abs=0.03)
    assert shift.family.lower <= shift.single.lower <= shift.single.upper <= shift.family.upper


def test_verdicts_follow_the_planted_difference():
    found, page = statuses(planted(BETTER))
    assert found["less data"] == found["less when matched"] == found["a third less"] == "holds"
    assert found["never without"] == "fails"
    assert found["published step"] == "holds"
    assert found["norm held"] == "undecided"  # was not run
    assert "needs less data" in page.summary
    assert "norm held" in page.sections[0].text


def test_verdicts_flip():
    found, page = statuses(planted(WORSE))
    assert found["less data"] == found["a third less"] == "fails"
    assert found["more without"] in ("fails", "undecided")
    assert found["norm held"] == "holds"
    assert "needs more data" in page.summary


def test_a_boundary_beyond_the_fractions_is_said_to_be_there():
    known = planted((("no decay", 2.0), ("L2", 0.5), ("LRD", 0.0)))
    found, page = statuses(known)
    assert found["never without"] == "holds"
    # Six of six seeds at one fraction are too few for so many comparisons, and nothing is
    # extrapolated from what the curve does outside.
    assert found["less data"] == "undecided"
    assert "not bounded" in page.verdicts[0].observed
    assert "below 0.35" in page.summary
    assert "above 0.85" in page.summary


def test_half_a_ladder_decides_nothing():
    whole = planted(BETTER)
    lost = next(one for one in ladders(whole, SMALL, DRAWS) if one.label == "LRD").runs[-1]
    ledger = Ledger(whole.ledger)
    ledger.forget(whole.row(lost))
    found, page = statuses(Known(ledger, GENERALISED))
    assert found["less data"] == "undecided"
    assert "runs are missing yet" in page.verdicts[0].observed
    assert "LRD (1)" in page.sections[0].text


def test_a_run_that_failed_is_left_out():
    known = planted(BETTER)
    ledger = Ledger(known.ledger)
    lost = next(one for one in ladders(known, SMALL, DRAWS) if one.label == "LRD").runs[-1]
    ledger.forget(known.row(lost))
    ledger.add(failed_row(lost, "out of memory"))
    found, _ = statuses(Known(ledger, GENERALISED))
    assert found["less data"] == "holds"


def test_any_part_of_the_ledger_makes_a_page():
    rows = list(planted(BETTER).ledger)
    for count in (0, 3, 40, 120):
        page = boundary_page_of(Known(Ledger(rows[:count]), GENERALISED), SMALL, "demo", DRAWS)
        assert len(page.verdicts) == len(CLAIMS)
        assert {v.status for v in page.verdicts} <= {"holds", "fails", "undecided"}
    empty = boundary_page(Known(Ledger(), GENERALISED), "demo")
    assert {v.status for v in empty.verdicts} == {"undecided"}
    assert {v.observed for v in empty.verdicts} == {"not run yet"}
    assert "not known yet" in render(empty)


def test_smoke_decides_nothing():
    size = size_of("smoke")
    ledger = planted_ledger(STUDY, "smoke", lambda s: 5 if s.task.train_fraction > 0.6 else None)
    page = boundary_page_of(Known(ledger, GENERALISED), size, "smoke", DRAWS)
    assert {v.status for v in page.verdicts} == {"undecided"}
    assert "smoke" in page.summary


def test_edges_of_the_grid():
    assert edges_of("L2", Setting(30.0, 4e-2), REDUCED) == ["strongest", "highest lr"]
    assert edges_of("L2", Setting(3.0, 2e-2), REDUCED) == []
    # There is nothing beyond the only value.
    assert edges_of("no decay", Setting(0.0, 2e-2), REDUCED) == []


def test_words():
    assert difference_words(Interval(-0.05, -0.1, 0.0, 8)) == "−0.050 [−0.100, +0.000]"
    assert difference_words(Interval(-INF, -INF, 0.1, 8)) == "below +0.100"
    assert "not bounded" in difference_words(Interval(INF, -INF, INF, 8))
    above = Boundary(Interval(INF, 0.8, INF, 8), "above", 9.0, INF, 0.4, 0.85, False)
    assert boundary_words(above) == "above 0.85 (surely above 0.8)"
    inside = Boundary(Interval(0.5, -INF, 0.6, 8), "inside", 9.0, 0.1, 0.4, 0.85, False)
    assert boundary_words(inside) == "0.500 [below 0.4, 0.600]"


def test_forest_draws_arrows_for_ends_that_are_open():
    lines = [
        Estimate("a", "early", Interval(0.5, -INF, 0.6, 8)),
        Estimate("a", "late", Interval(0.4, 0.3, 0.5, 8)),
        Estimate("b", "early", Interval(INF, 0.7, INF, 8)),
    ]
    figure = forest_figure(lines, title="t", caption="c", label="x")
    early = [trace for trace in figure.plot["data"] if trace["legendgroup"] == "early"]
    assert early[1]["marker"]["symbol"] == ["triangle-left", "triangle-right"]
    assert early[2]["x"] == [0.5]  # no dot where the estimate is infinite
    assert figure.plot["layout"]["yaxis"]["ticktext"] == ["a", "b"]
    with pytest.raises(ValueError, match="at least one estimate"):
        forest_figure([], title="t", caption="c", label="x")
