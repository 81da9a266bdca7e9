"""The page on the slow regime finds planted leads, gaps of the published form, and shares."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.planted_defects import Truth, planted_defect_row
from spectraledge.experiments.execution_subspace.base_runs import DECAY
from spectraledge.experiments.execution_subspace.slow_regime import STUDY
from spectraledge.experiments.execution_subspace.slow_regime_runs import (
    HORIZON,
    OPERATION,
    SLOW_PCA,
    UNTIL,
    fast_runs,
    slow_runs,
    slow_scale,
)
from spectraledge.experiments.execution_subspace.trajectory_shares import curve_name
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.report import write
from spectraledge.store import canonical_json, signature
from spectraledge.updates import WeightDecay

NOTHING = Known(Ledger(), STUDY.until)
SLOW, FAST = slow_scale("demo").slow, slow_scale("demo").fast


def row(spec, truth, share):
    found = planted_defect_row(spec, truth)
    steps, curves = found.curves["step"], dict(found.curves)
    curves["trajectory_pca/step"] = steps
    level = share + 0.001 * spec.seed
    for layer in range(spec.model.layers):
        for kind in ("query", "value", "output"):
            for output in ("first_share", "random_walk_share", "first_share_without_decayed_start"):
                name = curve_name(output, f"layer{layer}.attention.{kind}")
                curves[name] = np.full(steps.size, level)
    return replace(found, curves=curves)


def ledger(slow: Truth, plain: Truth, slow_share: float, fast_share: float) -> Ledger:
    with_decay, without = slow_runs(SLOW).values()
    rows = [row(spec, slow, slow_share) for spec in with_decay]
    rows += [row(spec, plain, slow_share) for spec in without]
    rows += [row(spec, Truth(grok=3000, memorised=1000), fast_share) for spec in fast_runs(FAST)]
    return Ledger(rows)


AS_PUBLISHED = ledger(
    Truth(grok=20_000, memorised=1000, onset=4000, rounding=1e-3, last=HORIZON),
    Truth(grok=None, memorised=1000, onset=None, rounding=1e-3, last=HORIZON),
    0.6,
    0.7,
)
AS_SUSPECTED = ledger(
    # The published form is rounding until the run generalises, which alone moves it.
    Truth(grok=20_000, memorised=1000, onset=1000, rounding=500.0, last=HORIZON),
    Truth(grok=None, memorised=1000, onset=2000, rounding=1e-3, last=HORIZON),
    0.9,
    0.7,
)


@pytest.mark.parametrize(
    ("words", "published", "suspected"),
    [
        ("larger share of the time", "holds", "fails"),
        ("well after memorisation", "holds", "holds"),
        ("measures the defect throughout", "holds", "fails"),
        ("Without decay", "undecided", "fails"),
        ("explains less", "holds", "fails"),
    ],
)
def test_what_is_planted_is_found(words, published, suspected):
    for rows, expected in ((AS_PUBLISHED, published), (AS_SUSPECTED, suspected)):
        page = STUDY.page(Known(rows, STUDY.until), "demo")
        (found,) = [v for v in page.verdicts if words in v.claim]
        assert found.status == expected, found.observed


def test_the_lead_is_read_off():
    (found,) = [
        v
        for v in STUDY.page(Known(AS_PUBLISHED, STUDY.until), "demo").verdicts
        if "precedes generalisation" in v.claim
    ]
    # The planted rise takes effect at its first record, so all four leads are the same.
    assert found.observed.startswith("16000 [16000, 16000] steps; 4 of 4 first")
    assert found.status == "undecided"  # four seeds cannot tell


def test_an_onset_that_comes_with_memorisation_is_told():
    early = Truth(grok=20_000, memorised=1000, onset=1000, rounding=1e-3, last=HORIZON)
    page = STUDY.page(Known(ledger(early, early, 0.6, 0.7), STUDY.until), "demo")
    (found,) = [v for v in page.verdicts if "well after memorisation" in v.claim]
    assert found.status == "fails", found.observed


def test_what_was_not_reached_is_said(tmp_path):
    early = ledger(
        Truth(grok=None, memorised=1000, onset=2000, last=5000), Truth(grok=None), 0.9, 0.7
    )
    page = STUDY.page(Known(early, None), "demo")
    assert "none generalises within the 5,000 steps" in page.verdicts[0].observed
    write(page, tmp_path / "page.html")


def test_nothing_is_a_page_and_smoke_decides_nothing(tmp_path):
    for scale in ("smoke", "demo", "full"):
        page = STUDY.page(NOTHING, scale)
        assert {v.status for v in page.verdicts} == {"undecided"}
        write(page, tmp_path / "page.html")


def test_every_part_of_the_page_is_there(tmp_path):
    page = STUDY.page(Known(AS_PUBLISHED, STUDY.until), "demo")
    write(page, tmp_path / "page.html")
    assert [len(s.items) for s in page.sections] == [2, 1, 3, 4, 3, 1]


@pytest.mark.parametrize("scale", ["smoke", "demo", "full"])
def test_the_instruments_know_the_decay_of_the_runs(scale):
    runs = slow_runs(slow_scale(scale).slow)["with decay"]
    for spec in runs:
        assert spec.task.operation == OPERATION
        (decay,) = [u for u in spec.updates if isinstance(u, WeightDecay)]
        assert decay.strength == SLOW_PCA.weight_decay
        assert spec.model.layers == 3


def test_the_published_regime_is_the_published_one_and_can_go_to_its_end():
    (spec, other) = slow_runs(slow_scale("full").slow)["with decay"]
    assert (spec.lr, spec.updates[2].beta2, spec.steps) == (5e-5, 0.999, 800_000)
    assert {spec.seed, other.seed} == {42, 137}
    # A later horizon is another decision on the same run, not another run.
    assert UNTIL.horizon == HORIZON < spec.steps


def test_a_page_shows_runs_as_far_as_they_were_trained():
    late = Truth(grok=40_000, memorised=1000, onset=4000, rounding=1e-3, last=60_000)
    longer = [replace(spec, steps=60_000) for spec in slow_runs(SLOW)[DECAY]]
    planted = [row(spec, late, 0.6) for spec in longer]
    # The same runs under the identity of the shorter ones, as if trained on.
    own = [
        replace(r, signature=signature(s), spec_json=canonical_json(s), state="decided")
        for r, s in zip(planted, slow_runs(SLOW)[DECAY])
    ]
    page = STUDY.page(Known(Ledger(own), STUDY.until), "demo")
    (found,) = [v for v in page.verdicts if "published onset precedes" in v.claim]
    assert "generalises within" not in found.observed
