"""The page on the role of collapse finds what was planted, on the seeds that say something."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from experiments.planted import planted_ledger, planted_row
from spectraledge.experiments.low_rank_decay.collapse_effects import injected, injection_moments
from spectraledge.experiments.low_rank_decay.is_collapse_causal import (
    STUDY,
    intervention_runs,
    moments,
)
from spectraledge.experiments.low_rank_decay.outcomes import generalised_at
from spectraledge.experiments.low_rank_decay.sizes import REDUCED
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.report import write
from spectraledge.training import RunSpec
from spectraledge.updates import During, InjectTail, LowRank, TruncateRank

EARLY = moments(REDUCED).early


def link(spec, kind):
    return next((u for u in spec.updates if isinstance(u, kind)), None)


def noisy(spec, step):
    # What a seed does to all runs, and some of each run's own; an injection comes later.
    chain = tuple(u for u in spec.updates if not isinstance(u, InjectTail))
    own = np.random.default_rng([spec.seed, len(repr(replace(spec, updates=chain)))]).normal(0, 60)
    return step + np.random.default_rng(spec.seed).normal(0, 30) + own


def helpful(spec):
    """Projection to rank 1 for good brings L2 forward, at once; a release does no harm."""
    truncation = link(spec, TruncateRank)
    if truncation and truncation.rank == 1 and truncation.stop:
        return noisy(spec, EARLY + 200)
    if link(spec, LowRank) or link(spec, During):
        return noisy(spec, 1500)
    return noisy(spec, 2500)


def harmful(spec):
    """Projection delays L2, and a release ends it all."""
    if link(spec, During):
        return None
    return noisy(spec, 3500 if link(spec, TruncateRank) else 1500)


@cache
def rows(rule, scale="demo"):
    return tuple(planted_ledger(STUDY, scale, rule))


def with_injections(ledger, tail, random):
    """Rows with the accuracy lowered for 200 steps from the injection on."""
    known = Known(Ledger(ledger), STUDY.until)
    found = {row.signature: row for row in ledger}
    for spec in dict.fromkeys(STUDY.wanted(known, "demo")):
        injection = link(spec, InjectTail)
        if injection is None:
            continue
        row = known.row(spec)
        accuracy = tail if injection.source == "initial" else random
        steps, values = row.curve("validation_accuracy")
        hurt = (steps >= injection.at) & (steps < injection.at + 200)
        noise = np.random.default_rng(spec.seed).normal(0, 0.02, steps.size)
        curves = {**row.curves, "validation_accuracy": np.where(hurt, accuracy + noise, values)}
        found[row.signature] = replace(row, curves=curves)
    return found.values()


def page_of(ledger, scale="demo"):
    return STUDY.page(Known(Ledger(ledger), STUDY.until), scale)


def statuses(page):
    return [v.status for v in page.verdicts]


def test_what_was_planted_is_found():
    page = page_of(with_injections(rows(helpful), tail=0.1, random=0.95))
    tail, once, kept, enough, release = page.verdicts
    assert statuses(page) == ["holds", "undecided", "holds", "holds", "holds"]
    assert "on 24 of 24 seeds" in tail.observed
    assert "with a random tail → 0.9" in tail.observed
    assert "rank 1: sooner by 1" in kept.observed
    assert "rank 1: 8 of 8; rank 2: 0 of 8" in enough.observed
    assert "8 of 8 generalise" in release.observed
    assert "rank 1: not told apart" in once.observed


def test_the_opposite_is_found_as_well():
    page = page_of(with_injections(rows(harmful), tail=0.95, random=0.1))
    assert statuses(page) == ["fails", "fails", "fails", "fails", "fails"]


def test_runs_without_a_solution_to_lose_are_left_out():
    """They never generalise, or so late that nothing could be seen of what follows."""
    late = page_of(planted_ledger(STUDY, "demo", lambda spec: 3500 if spec.seed % 2 else None))
    assert late.verdicts[0].status == "undecided"
    assert late.verdicts[0].observed == "no run generalised early enough yet"


def test_a_run_has_its_tail_put_in_after_it_generalised():
    known = Known(Ledger(rows(helpful)), STUDY.until)
    runs = intervention_runs(known, REDUCED)
    moments = injection_moments(runs["LRD, tail put back"])
    assert moments == injection_moments(runs["LRD, random tail"])
    assert len(moments) == len(runs["LRD"]) == 24
    for spec, row in known.rows(runs["LRD"]):
        assert 200 <= moments[spec.seed] - generalised_at(row) < 400


def test_an_injection_is_judged_at_the_step_of_each_seed():
    spec = RunSpec(steps=2000, record_every=100, updates=(InjectTail(2, 1000, 1.0),))
    assert injection_moments([spec, replace(spec, seed=1, updates=(LowRank(1.0),))]) == {0: 1000}
    plain = {0: planted_row(spec, 500), 1: planted_row(spec, 1500), 2: planted_row(spec, 500)}
    lost = dict(plain[2].curves)
    lost["validation_accuracy"] = np.where(lost["step"] == 1400, 0.2, lost["validation_accuracy"])
    plain[2] = replace(plain[2], curves=lost)
    hurt = dict(plain[0].curves)
    hurt["validation_accuracy"] = np.where(hurt["step"] == 1000, 0.4, hurt["validation_accuracy"])
    found = injected(
        {**plain, 0: replace(plain[0], curves=hurt)}, plain, {0: 1000, 1: 1000, 2: 1500}
    )
    # Seed 1 generalises too late, seed 2 was wrong at the record before.
    assert (found.known, found.generalised, found.moments) == (3, 2, {0: 1000})
    assert (found.before.centre, found.after.centre, found.later.centre) == (1.0, 0.4, 1.0)
    assert found.fall.centre == pytest.approx(-0.6)


def test_nothing_known_is_a_page(tmp_path):
    page = page_of([])
    assert set(statuses(page)) == {"undecided"}
    write(page, tmp_path / "page.html")


def test_a_smoke_run_decides_nothing(tmp_path):
    page = page_of(rows(lambda spec: 5, "smoke"), "smoke")
    assert set(statuses(page)) == {"undecided"}
    write(page, tmp_path / "page.html")


def test_any_part_of_the_rows_is_a_page():
    for seed in range(4):
        kept = np.random.default_rng(seed).random(len(rows(helpful))) < (seed + 3) / 7
        page_of(row for row, there in zip(rows(helpful), kept) if there)
