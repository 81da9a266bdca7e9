"""The page on the power law tells planted laws from the arithmetic of clusters."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from experiments.planted_defects import Truth, planted_defects
from spectraledge.experiments.execution_subspace.base_runs import DECAY, base_runs
from spectraledge.experiments.execution_subspace.defect_records import defect_runs
from spectraledge.experiments.execution_subspace.lead_law_claims import law_verdicts
from spectraledge.experiments.execution_subspace.lead_time_power_law import STUDY
from spectraledge.experiments.execution_subspace.learning_rate_leads import (
    RateLeads,
    laws_of,
    rate_leads,
)
from spectraledge.experiments.execution_subspace.learning_rate_runs import (
    learning_rate_runs,
    rates_of,
)
from spectraledge.experiments.execution_subspace.regimes import PUBLISHED, REDUCED, SLOW
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.report import write

NOTHING = Known(Ledger(), STUDY.until)


def scatter(spec, which):
    return float(np.random.default_rng([spec.seed, len(spec.task.operation), which]).normal())


def clusters(spec):
    """Onsets of early training, whenever a run generalises: only learning rates differ."""
    grok = 2.5 / spec.lr * np.exp(0.2 * scatter(spec, 0))
    onset = 0.5 / spec.lr**0.9 * np.exp(0.03 * scatter(spec, 1))
    return Truth(grok, memorised=0.15 / spec.lr, onset=onset, last=10**6)


def late(spec):
    """At the highest learning rate the onset follows generalisation."""
    truth = clusters(spec)
    return replace(truth, onset=1.1 * truth.grok) if spec.lr > 5e-3 else truth


@cache
def page(rule, scale="demo"):
    rows = planted_defects(STUDY.wanted(NOTHING, scale), rule)
    return STUDY.page(Known(rows, STUDY.until), scale)


def verdict(rule, words):
    (found,) = [v for v in page(rule).verdicts if words in v.claim]
    return found


@pytest.mark.parametrize(
    ("rule", "words", "expected"),
    [
        (clusters, "more than lead = grok − onset", "fails"),
        # Five seeds cannot confirm a share, nor do runs of one seed count as several.
        (clusters, "at every learning rate", "undecided"),
        (clusters, "follows memorisation", "holds"),
        (clusters, "earliest one", "undecided"),
        (clusters, "grows more slowly", "holds"),
        (late, "at every learning rate", "fails"),
    ],
)
def test_what_is_planted_is_found(rule, words, expected):
    found = verdict(rule, words)
    assert found.status == expected, found.observed


def many(onset_over_grok, seeds=20):
    """Two learning rates, and as many seeds as it takes to decide a share."""
    lr, seed = np.repeat([1e-3, 1e-2], seeds), np.tile(np.arange(seeds), 2)
    groks = 3.0 / lr * (1 + seed / 100)
    onsets = groks * onset_over_grok
    limited = np.zeros(lr.size, dtype=bool)
    return RateLeads(lr, seed, onsets, groks, np.full(lr.size, 100.0), limited)


def status(found, words):
    (verdict,) = [v for v in law_verdicts(found, laws_of(found)) if words in v.claim]
    return verdict.status


def test_every_rate_can_be_confirmed_and_refuted():
    assert status(many(0.5), "at every learning rate") == "holds"
    assert status(many(1.5), "at every learning rate") == "fails"
    # Three seeds, all against it at one rate.
    few = many(np.repeat([0.5, 1.5], 3), seeds=3)
    assert status(few, "at every learning rate") == "fails"
    assert status(many(0.5, seeds=3), "at every learning rate") == "undecided"


def test_onsets_on_the_earliest_record_can_be_confirmed_and_refuted():
    free = many(0.5)
    assert status(free, "earliest one") == "holds"
    assert status(replace(free, limited=~free.limited), "earliest one") == "fails"


def arrays(rates, groks, onsets, seeds):
    size = len(groks)
    return RateLeads(rates, seeds, onsets, groks, np.full(size, 100.0), np.zeros(size, dtype=bool))


def test_a_law_within_rates_is_told_from_one_between_them():
    chance = np.random.default_rng(0)
    rates, seeds = np.repeat([1e-4, 1e-3, 1e-2], 10), np.tile(np.arange(5), 6)
    groks = 0.3 / rates * np.exp(0.4 * chance.normal(size=30)) + 50
    lawful = arrays(rates, groks, groks - 0.3 * groks**1.05, seeds)
    assert status(lawful, "more than lead = grok − onset") == "holds"
    true = laws_of(lawful)
    # Exact leads: both exponents are the planted one, to rounding.
    assert true.leads.pooled.exponent == pytest.approx(1.05, abs=1e-9)
    assert true.within.centre == pytest.approx(1.05, abs=1e-9)
    assert true.within.centre == pytest.approx(true.leads.within.exponent, abs=1e-9)
    fixed = laws_of(arrays(rates, groks, 0.5 * groks.mean() * np.ones(30), seeds))
    assert fixed.leads.pooled.dropped > 0
    constant = arrays(rates, groks, np.full(30, 20.0), seeds)
    assert laws_of(constant).onsets.pooled.exponent == pytest.approx(0, abs=1e-12)
    assert laws_of(arrays(rates[:2], groks[:2], groks[:2] / 2, seeds[:2])) is None
    one = laws_of(arrays(rates, np.repeat([3000.0, 300.0, 40.0], 10), np.full(30, 20.0), seeds))
    assert np.isnan(one.within.centre)


def test_runs_without_onset_are_counted_and_not_fitted():
    groks = np.array([1000.0, 2000.0, 3000.0, np.nan, 500.0])
    onsets = np.array([400.0, np.nan, 3500.0, 100.0, 500.0])
    found = arrays(np.full(5, 1e-3), groks, onsets, np.arange(5))
    assert found.dropped == 3
    assert laws_of(found) is None


def test_every_part_of_the_page_is_there(tmp_path):
    found = page(clusters)
    write(found, tmp_path / "page.html")
    assert [len(s.items) for s in found.sections] == [4, 6, 2, 3, 1]


def test_nothing_and_any_part_of_the_rows_are_pages(tmp_path):
    nothing = STUDY.page(NOTHING, "demo")
    assert {v.status for v in nothing.verdicts} == {"undecided"}
    write(nothing, tmp_path / "page.html")
    specs = list(STUDY.wanted(NOTHING, "demo"))
    for seed in range(2):
        chosen = np.random.default_rng(seed).random(len(specs)) < (seed + 1) / 6
        kept = [spec for spec, there in zip(specs, chosen) if there]
        write(
            STUDY.page(Known(planted_defects(kept, late), STUDY.until), "demo"),
            tmp_path / "page.html",
        )


def test_smoke_decides_nothing_and_the_published_size_is_a_page(tmp_path):
    assert {v.status for v in page(clusters, "smoke").verdicts} == {"undecided"}
    write(page(clusters, "full"), tmp_path / "page.html")


def test_runs_without_an_onset_or_generalisation_are_a_page(tmp_path):
    write(page(lambda spec: Truth(grok=None, onset=None)), tmp_path / "page.html")
    write(page(lambda spec: Truth(grok=100, onset=None)), tmp_path / "page.html")


@pytest.mark.parametrize("regime", [REDUCED, PUBLISHED])
def test_cadence_is_fixed_in_units_of_the_learning_rate(regime):
    for (lr, _), runs in learning_rate_runs(regime).items():
        for spec in runs:
            assert spec.lr == lr
            # Whole steps, so to half of one.
            expected = 0.2 if regime is PUBLISHED and lr == 1e-2 else 0.1
            assert spec.record_every * lr == pytest.approx(expected, abs=lr / 2)
            assert spec.record_every >= 10
            known = (3000, 25_000, regime.steps)
            assert spec.steps * lr == pytest.approx(6.0) or spec.steps in known
            if lr == regime.lr and spec.task.operation in regime.operations:
                assert spec in base_runs(regime)[spec.task.operation, DECAY]


def test_the_sweep_has_all_seeds_and_no_slow_regime():
    runs = learning_rate_runs(REDUCED)
    assert {len(own) for own in runs.values()} == {5}
    assert [lr for lr, _ in runs] == [lr for lr in rates_of(REDUCED) for _ in range(2)]
    with pytest.raises(ValueError, match="no learning-rate sweep at 'slow'; known: smoke"):
        rates_of(SLOW)


def test_the_lowest_published_rate_has_one_seed():
    seeds = {lr: len(own) for (lr, _), own in learning_rate_runs(PUBLISHED).items()}
    assert seeds == {1e-4: 1, 3e-4: 3, 1e-3: 3, 3e-3: 3, 1e-2: 3}


def test_bracket_onset_reads_the_planted_rise():
    truth = Truth(grok=3000, onset=1500)
    rows = planted_defects(STUDY.wanted(NOTHING, "demo"), lambda spec: truth)
    runs = defect_runs(Known(rows, STUDY.until), STUDY.wanted(NOTHING, "demo"))
    found = rate_leads(runs, onset="bracket", grok="grok_90")
    at = found.lr == 1e-3
    assert set(found.onsets[at]) == {1500}
    assert set(found.leads[at]) == {1500}
