"""The page of norm or rank finds planted differences, and its verdicts flip with them."""

from dataclasses import replace
from functools import cache
from math import sin

import pytest

from experiments.planted import planted_ledger, planted_rounds
from spectraledge.experiments.low_rank_decay.decay_arms import chain_of
from spectraledge.experiments.low_rank_decay.norm_or_rank import (
    ARMS,
    CLAMP,
    HELD_LRD,
    STUDY,
    TUNED,
    paired_runs,
)
from spectraledge.experiments.low_rank_decay.norm_or_rank_contrasts import (
    CONTRASTS,
    FREE,
    measured,
    square_of,
)
from spectraledge.experiments.low_rank_decay.norm_or_rank_page import (
    norm_or_rank_page,
    norm_or_rank_page_of,
)
from spectraledge.experiments.low_rank_decay.sizes import REDUCED, size_of
from spectraledge.experiments.low_rank_decay.tuning import grid, strengths_of
from spectraledge.experiments.study import GENERALISED, Known
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import failed_row
from spectraledge.report import render
from spectraledge.updates import NormClamp

SMALL = replace(
    REDUCED,
    rates=(1e-2,),
    strengths=(3.0,),
    tuning_seeds=(100,),
    more_seeds=tuple(range(12)),
    record_every=50,
)
LATE = 9000
# As if everything came from the norm.
NORM = {arm: 1000 for arm in ARMS} | {FREE: LATE, "LRD on sphere": LATE}
# As if everything came from the rank.
RANK = {arm: LATE for arm in ARMS} | {"LRD": 1000, "LRD on sphere": 1000, HELD_LRD: 1000}


def arm_of(spec):
    for arm in TUNED:
        if spec.updates == chain_of(arm, strengths_of(arm, SMALL)[0], SMALL):
            return arm
    clamp = next(update for update in spec.updates if isinstance(update, NormClamp))
    return CLAMP if len(clamp.steps) > 1 else HELD_LRD


def planted(times):
    """Runs that generalise around the step of their arm, or not within the budget."""

    def rule(spec):
        arm = arm_of(spec)
        return times[arm] * (1 + 0.1 * sin(5 * spec.seed + ARMS.index(arm)))

    def ends(spec):
        # Every low-rank-decay run has a norm path of its own, as they have in truth.
        arm = arm_of(spec)
        return {"frobenius_norm": 1 + 0.1 * spec.seed, "stable_rank": 2.0} if arm == "LRD" else {}

    ledger = planted_rounds(
        grid(SMALL, TUNED),
        lambda known: [run for runs in paired_runs(known, SMALL).values() for run in runs],
        rule,
        ends,
    )
    return Known(ledger, GENERALISED)


@cache
def from_norm():
    return planted(NORM)


@cache
def from_rank():
    return planted(RANK)


def statuses(known, scale="demo"):
    page = norm_or_rank_page_of(known, SMALL, scale)
    assert len(page.verdicts) == len(CONTRASTS)
    return {(c.name, c.relation): v.status for c, v in zip(CONTRASTS, page.verdicts)}, page


def test_where_all_comes_from_the_norm_rank_pressure_fails():
    found, page = statuses(from_norm())
    assert found["LRD on sphere − LRD", "as well"] == "fails"
    assert found["norm clamp − LRD", "as well"] == "holds"
    assert found["norm clamp − LRD", "later"] == "undecided"
    assert found["LRD, norm held − norm held", "sooner"] == "undecided"
    assert found["norm held − LRD", "as well"] == "holds"
    assert found["anti-LRD − no decay", "later"] == "fails"
    assert found["LRD − no decay", "sooner"] == "holds"
    assert found["random direction − LRD", "as well"] == "holds"
    assert "12 of 12 under low-rank decay" in page.summary
    assert "at constant norm (later)" in page.summary
    assert "but no rank pressure (as well)" in page.summary


def test_where_all_comes_from_the_rank_the_norm_fails():
    found, _ = statuses(from_rank())
    assert found["LRD on sphere − LRD", "as well"] == "holds"
    assert found["LRD on sphere − no decay", "sooner"] == "holds"
    assert found["LRD on sphere − anti-LRD", "sooner"] == "holds"
    assert found["norm clamp − LRD", "as well"] == "fails"
    assert found["norm clamp − LRD", "later"] == "holds"
    assert found["LRD, norm held − norm held", "sooner"] == "holds"
    assert found["random direction − LRD", "as well"] == "fails"
    assert found["Q and K frozen − LRD", "as well"] == "fails"


def test_the_square_finds_the_planted_effects():
    found = measured(from_norm(), paired_runs(from_norm(), SMALL), 4000)
    effects = square_of(found).effects
    # Jitter of 10 % around 1000 steps, records every 50; no decay stays at the budget.
    assert effects["norm free"].centre == pytest.approx(-3000, abs=100)
    assert effects["norm held"].centre == pytest.approx(0, abs=100)
    assert effects["held minus free"].lower > 2500


def test_missing_runs_decide_nothing():
    known = from_norm()
    ledger = Ledger(known.ledger)
    ledger.forget(known.row(paired_runs(known, SMALL)["LRD on sphere"][0]))
    found, page = statuses(Known(ledger, GENERALISED))
    assert found["LRD on sphere − LRD", "as well"] == "undecided"
    assert found["norm held − LRD", "as well"] == "holds"
    assert "runs are missing yet" in page.verdicts[0].observed
    assert "LRD on sphere (1)" in page.sections[0].text


def test_a_run_that_failed_is_left_out():
    known = from_norm()
    ledger, lost = Ledger(known.ledger), paired_runs(known, SMALL)["L2"][0]
    ledger.forget(known.row(lost))
    ledger.add(failed_row(lost, "out of memory"))
    found, page = statuses(Known(ledger, GENERALISED))
    assert "of 11 generalise" in page.verdicts[-1].observed
    assert found["LRD on sphere − LRD", "as well"] == "fails"


def test_any_part_of_the_ledger_makes_a_page():
    rows = list(from_norm().ledger)
    for count in (0, 5, 30, 90):
        statuses(Known(Ledger(rows[::-1][:count]), GENERALISED))
    empty = norm_or_rank_page(Known(Ledger(), GENERALISED), "demo")
    assert {v.status for v in empty.verdicts} == {"undecided"}
    assert {v.observed for v in empty.verdicts} == {"not run yet"}
    assert "not known yet" in render(empty)


def test_smoke_decides_nothing():
    ledger = planted_ledger(STUDY, "smoke", lambda spec: 5 if spec.seed else None)
    page = norm_or_rank_page_of(Known(ledger, GENERALISED), size_of("smoke"), "smoke")
    assert {v.status for v in page.verdicts} == {"undecided"}
    assert "smoke" in page.summary
