"""The page on curvature finds planted growth, leads and false alarms, and their opposites."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from experiments.planted_defects import Truth, planted_defect_row, planted_defects
from spectraledge.experiments.execution_subspace.curvature_effects import (
    after_ratio,
    baseline_growth,
    bracket_after,
    bracket_before,
    gradient_after,
    group_ratio,
    initial_ratio,
)
from spectraledge.experiments.execution_subspace.curvature_precedes_generalisation import STUDY
from spectraledge.experiments.execution_subspace.curvature_specificity import (
    areas_at,
    corrected_rule,
    horizon_of,
    outcomes,
)
from spectraledge.experiments.execution_subspace.defect_records import (
    DefectRun,
    bracket_onset,
    published_onset,
)
from spectraledge.experiments.execution_subspace.regimes import GROKKING
from spectraledge.experiments.seed_intervals import geometric_interval
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.report import write
from spectraledge.training import RunSpec
from spectraledge.updates import WeightDecay

PLANTED = Truth(grok=3000)


def decays(spec):
    return any(isinstance(u, WeightDecay) and u.strength > 0 for u in spec.updates)


def groks(spec):
    return decays(spec) and spec.task.operation in GROKKING


def unspecific(spec):
    """As suspected: the bracket rises everywhere, and collapses where runs generalise."""
    return replace(PLANTED, grok=3000 + 50 * spec.seed if groks(spec) else None)


def specific(spec):
    """As published: only runs that generalise have an onset, and their bracket goes on growing."""
    if groks(spec):
        return replace(PLANTED, grok=3000 + 50 * spec.seed, after=50.0, vanished=1.5, rounding=1e-3)
    return Truth(grok=None, onset=None, rounding=1e-3)


def late(spec):
    """The rise comes after generalisation."""
    return replace(unspecific(spec), onset=3600)


@cache
def page(rule, scale="demo"):
    known = Known(Ledger(), STUDY.until)
    return STUDY.page(Known(planted_defects(STUDY.wanted(known, scale), rule), STUDY.until), scale)


def status(rule, words):
    (found,) = [v for v in page(rule).verdicts if words in v.claim]
    return found.status


@pytest.mark.parametrize(
    ("words", "under_unspecific", "under_specific"),
    [
        ("from which growth is counted", "fails", "holds"),
        ("still measures the exact", "fails", "holds"),
        ("by 500 to 2000 times", "fails", "holds"),
        ("between memorisation and generalisation", "holds", "holds"),
        ("(grok_90)", "holds", "holds"),
        ("(grok_50)", "holds", "holds"),
        ("as published", "holds", "holds"),
        ("those without decay among them", "holds", "holds"),
        ("ten times that of the others, at the end", "holds", "holds"),
        ("before any does", "fails", "holds"),
        ("silent: operations that do not generalise", "fails", "holds"),
        ("silent: runs without decay", "fails", "holds"),
        ("earlier in runs that generalise: operations", "fails", "holds"),
        ("earlier in runs that generalise: runs without", "fails", "holds"),
        ("with a threshold chosen on other seeds", "fails", "holds"),
        ("tells runs that will generalise", "fails", "holds"),
        ("unnormalised bracket, chosen on other seeds", "fails", "holds"),
    ],
)
def test_what_is_planted_is_found(words, under_unspecific, under_specific):
    assert (status(unspecific, words), status(specific, words)) == (
        under_unspecific, under_specific
    )  # fmt: skip


def test_a_late_rise_has_no_lead_and_a_high_threshold_none_either():
    assert status(late, "(grok_90)") == "fails"
    assert status(unspecific, "whatever the threshold") == "fails"


def test_the_page_is_written_with_every_figure(tmp_path):
    found = page(unspecific)
    write(found, tmp_path / "page.html")
    assert [len(s.items) for s in found.sections] == [3, 4, 4, 5, 1]


def test_nothing_known_and_any_part_of_the_rows_are_pages(tmp_path):
    nothing = STUDY.page(Known(Ledger(), STUDY.until), "demo")
    assert {v.status for v in nothing.verdicts} == {"undecided"}
    write(nothing, tmp_path / "page.html")
    specs = list(STUDY.wanted(Known(Ledger(), STUDY.until), "demo"))
    for seed in range(2):
        chosen = np.random.default_rng(seed).random(len(specs)) < (seed + 1) / 5
        kept = [spec for spec, there in zip(specs, chosen) if there]
        known = Known(planted_defects(kept, unspecific), STUDY.until)
        write(STUDY.page(known, "demo"), tmp_path / "page.html")


def test_published_scale_and_smoke(tmp_path):
    assert {v.status for v in page(unspecific, "smoke").verdicts} == {"undecided"}
    write(page(unspecific, "full"), tmp_path / "page.html")


def test_rows_without_the_instruments_are_left_out():
    spec = next(iter(STUDY.wanted(Known(Ledger(), STUDY.until), "demo")))
    row = planted_defect_row(spec, PLANTED)
    bare = replace(row, curves={n: v for n, v in row.curves.items() if "/" not in n})
    found = STUDY.page(Known(Ledger([bare]), STUDY.until), "demo")
    assert {v.status for v in found.verdicts} == {"undecided"}


def run(truth, seed=0):
    spec = RunSpec(steps=6000, record_every=100, seed=seed)
    return DefectRun(spec, planted_defect_row(spec, truth))


def test_effects_read_what_was_planted():
    found = run(PLANTED)
    # Rounding 1 beside a bracket of 0.1; records scatter by 3 %.
    assert initial_ratio(found) == pytest.approx(np.hypot(1, 10), rel=0.1)
    # 2500 g² beside 4 · 30 · 0.001 with g = 0.01.
    assert after_ratio(found) == pytest.approx(np.hypot(0.12, 0.25) / 0.12, rel=0.02)
    assert bracket_before(found) == pytest.approx(30, rel=0.2)
    assert bracket_after(found) == pytest.approx(1e-3, rel=0.2)
    assert gradient_after(found) == pytest.approx(0.01 / 1.5, rel=1e-9)
    # Baseline: hypot(0.1, 1) / 0.65².
    assert baseline_growth(found) == pytest.approx(
        np.hypot(0.12, 0.25) / 1e-4 / (np.hypot(0.1, 1) / 0.4225), rel=0.1
    )
    assert published_onset(found).step == 1800
    assert (bracket_onset(found).step, bracket_onset(found).alarm) == (1800, 1900)
    never = run(Truth(grok=None))
    assert np.isnan([after_ratio(never), bracket_before(never), bracket_after(never)]).all()


def test_ratios_of_groups_are_paired_by_seed():
    high = [run(Truth(grok=None), seed) for seed in (0, 1, 2)]
    low = [run(Truth(grok=None), seed) for seed in (1, 2, 3)]
    sizes = {id(r): 8.0 * 2**r.seed for r in high} | {id(r): 2.0 * 2**r.seed for r in low}
    ratio = group_ratio(high, low, lambda r: sizes[id(r)])
    assert (ratio.count, ratio.centre) == (2, pytest.approx(4))
    assert geometric_interval([(0, 0.0)]) is None
    assert group_ratio(high, [], lambda r: 1.0) is None


def test_runs_that_were_not_watched_long_enough_are_no_silent_ones():
    runs = [run(PLANTED), run(Truth(grok=None, onset=None, last=1000), 1)]
    assert horizon_of(runs) == 3000
    assert outcomes(runs, [1800, None], 3000) is None
    runs[1] = run(Truth(grok=None, onset=None), 1)
    found = outcomes(runs, [1800, None], 3000)
    assert (found.hits, found.false_alarm.centre) == (1, 0.0)
    assert corrected_rule(runs, 3000) is None  # without a seed, one kind is gone
    assert corrected_rule(runs, None) is None


def test_a_run_that_has_generalised_is_no_longer_asked():
    runs = [run(replace(PLANTED, grok=1200 + 1000 * s), s) for s in range(2)]
    runs += [run(Truth(grok=None), 2)]
    areas = areas_at(runs)
    assert {step: a.positives for (name, step), a in areas.items() if name == "exact bracket"} == {
        500: 2, 1000: 2, 1500: 1, 2000: 1
    }  # fmt: skip


def test_runs_that_generalise_too_late_to_hold_it_are_of_neither_kind():
    """Their accuracy passes 0.9 and not 0.98; as silent ones they would be false alarms."""
    runs = [spec for spec in STUDY.wanted(Known(Ledger(), STUDY.until), "demo") if decays(spec)]
    add = [spec for spec in runs if groks(spec)]
    rows = list(planted_defects(add, specific))
    steps = rows[0].curves["step"]
    near = np.where(steps >= steps[-1] - 200, 0.93, 0.3)
    late = replace(rows[0], curves=rows[0].curves | {"validation_accuracy": near})
    found = DefectRun(add[0], late)
    assert not found.generalises
    assert not found.silent
    quiet = [DefectRun(s, planted_defect_row(s, specific(s))) for s in runs if not groks(s)]
    grown = [DefectRun(s, planted_defect_row(s, specific(s))) for s in add[1:]]
    horizon = horizon_of(grown)
    alarms = [3] * (len(grown) + len(quiet))
    plain = outcomes([*grown, *quiet], alarms, horizon)
    assert outcomes([found, *grown, *quiet], [3, *alarms], horizon) == plain
