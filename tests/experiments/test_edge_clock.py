"""The page of the clock, from planted rows that follow the clock, the step or neither."""

import numpy as np
import pytest

from spectraledge.experiments.spectral_edge.clock_claims import CLOCKED, QUANTITIES, distances
from spectraledge.experiments.spectral_edge.clock_runs import (
    BASE,
    DENSE_BASE,
    SETTINGS,
    check_steps,
    clock_curve,
    clock_runs,
)
from spectraledge.experiments.spectral_edge.edge_clock import STUDY
from spectraledge.experiments.spectral_edge.edge_runs import (
    ABLATION,
    EDGE,
    RESPONSE,
    SPLIT,
    SPLITS,
    curve_name,
)
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.report import write
from spectraledge.store import canonical_json, signature

DRIVEN = clock_curve(SPLIT, "energy_share", "gradient", "v1")


def course(x):
    """From 1 to 0 while x goes from 0 to 2."""
    return np.clip(1 - x / 2, 0, 1)


def row(name, spec, *, by="clock", shift=0.0, late="mixed", flip=None):
    """Quantities that fall by clock or by step, a flip with the window, and a class over time."""
    setting = SETTINGS[name]
    steps = np.arange(0, spec.steps + 1, spec.record_every)
    clock = steps * setting.rate / 1000
    moved = 0.01 * (spec.seed % 3) + (0 if name == BASE else shift)
    value = course(clock if by == "clock" else steps / 1000) + moved
    curves = {
        "step": steps,
        "lost_at": np.full(steps.size, -1),
        clock_curve(EDGE, "gap23"): np.exp(-clock),
        **{curve: value for curve in QUANTITIES.values() if curve != DRIVEN},
        **classes(steps, clock, late),
    }
    for split in SPLITS:
        # The wide window only at first, the narrow ones from then on.
        at = (split.window + 1) * split.stride * spec.record_every if flip is None else flip
        share = np.where(steps < at, 0.9, 0.1)
        curves[clock_curve(split, "energy_share", "gradient", "v1")] = share
    for instrument in (EDGE, *SPLITS, ABLATION, RESPONSE):
        curves[clock_curve(instrument, "step")] = steps
    curves[DRIVEN] = np.where(steps < (300 if flip is None else flip), 0.9, value / 2)
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def classes(steps, clock, late):
    """Compression until s = 1, then what is asked for."""
    early = clock <= 1.0
    special = np.where(early, 0.5, {"mixed": 1.0, "compression": 0.5}[late])
    return {
        clock_curve(SPLIT, "interval_share", "weight_decay"): np.full(steps.size, 0.8),
        clock_curve(ABLATION, "accuracy"): np.full(steps.size, 0.9),
        clock_curve(ABLATION, "accuracy_change", "matched"): np.full(steps.size, -0.3),
        clock_curve(ABLATION, "edge_over_matched"): special,
        **{
            clock_curve(RESPONSE, "concentration", d): np.full(steps.size, 0.5)
            for d in ("v1", "random", "weights")
        },
    }


def page(**how):
    rows = [row(name, spec, **how) for name, runs in clock_runs("demo").items() for spec in runs]
    return STUDY.page(Known(Ledger(rows), STUDY.until), "demo")


def statuses(found, words):
    return [v.status for v in found.verdicts if words in v.claim]


def test_curves_have_the_names_that_the_shared_rules_read():
    for instrument in (EDGE, *SPLITS, ABLATION, RESPONSE):
        assert clock_curve(instrument, "step") == curve_name(instrument, "step")


def test_settings_have_as_many_snapshots_and_one_length_by_the_clock():
    for scale in ("smoke", "demo"):
        for name, runs in clock_runs(scale).items():
            setting = SETTINGS[name]
            assert runs[0].steps * setting.rate == 21 * clock_runs(scale)[BASE][0].record_every
            assert runs[0].steps / runs[0].record_every == 21 * setting.often
            assert runs[0].updates[1].strength == setting.weight_decay
            assert all(step % runs[0].record_every == 0 for step in check_steps(scale, setting))
    widths = {name: runs[0].model.width for name, runs in clock_runs("demo").items()}
    assert widths == dict.fromkeys(SETTINGS, 128) | {"half the width": 64}


@pytest.mark.parametrize(("by", "status"), [("clock", "holds"), ("step", "fails")])
def test_what_follows_the_clock_is_told_from_what_follows_the_step(by, status):
    found = page(by=by)
    for quantity in list(QUANTITIES)[1:]:
        words = f"{quantity} follows the clock"
        expected = [status] * len(CLOCKED)
        if quantity == "decay's share of a displacement":
            # Constant, as the class needs it: no nearer at the same clock.
            expected = ["fails"] * len(CLOCKED)
        assert statuses(found, words) == expected


@pytest.mark.parametrize(("shift", "status"), [(0.0, "holds"), (0.3, "fails"), (0.1, "undecided")])
def test_other_settings_are_alike_or_not(shift, status):
    assert statuses(page(shift=shift), "|cos(v₁, θ)| is as with") == [status] * 3


def test_distances_are_means_over_the_records_of_both():
    specs = {name: runs[0] for name, runs in clock_runs("demo").items()}
    base, other = (row(name, specs[name]) for name in (BASE, "twice the decay"))
    name = QUANTITIES["|cos(v₁, θ)|"]
    step, clock = distances(base, other, name, 2.0, (600, 300))
    # At the same step the other is ahead by as much as it has come: s/2 − s, halved by the course.
    assert step == pytest.approx(np.mean([t / 1000 / 2 for t in range(600, 1001, 100)]))
    assert clock == 0
    assert np.isnan(distances(base, other, name, 2.0, (9000, 300))).all()


def test_a_class_that_changes_on_the_way_is_seen():
    found = page(late="mixed")
    assert statuses(found, "does not change with its length") == ["fails"] * len(SETTINGS)
    assert statuses(found, "at the same clock") == ["holds"] * (len(SETTINGS) - 1)
    (verdict, *_) = [v for v in found.verdicts if "does not change" in v.claim]
    assert "5 compression; 5 compression; 5 mixed; 5 mixed" in verdict.observed
    found = page(late="compression")
    assert statuses(found, "does not change with its length") == ["holds"] * len(SETTINGS)


def test_flips_with_the_window_and_elsewhere():
    words = "when the first displacement leaves"
    assert statuses(page(), words)[list(SETTINGS).index(DENSE_BASE)] == "holds"
    assert set(statuses(page(flip=1000), words)) <= {"fails", "undecided"}


def test_without_runs_nothing_is_said():
    found = STUDY.page(Known(Ledger(), STUDY.until), "demo")
    assert {v.observed for v in found.verdicts} == {"not run yet"}
    assert {v.status for v in found.verdicts} == {"undecided"}
    assert [section.title for section in found.sections] == ["What was run"]


def test_every_part_of_the_page_is_there(tmp_path):
    found = page()
    # Three quantities, and two settings at a time beside the published ones.
    assert [len(section.items) for section in found.sections] == [9, 2, 1]
    table = found.sections[1].items[1]
    assert [line[0] for line in table.rows] == list(SETTINGS)
    assert table.rows[0][1:] == ("5 compression", "5 compression", "5 mixed", "5 mixed")
    write(found, tmp_path / "page.html")
