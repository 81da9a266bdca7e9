"""The page of flips on other tasks: rules are those of modular addition, on rows of their own."""

import numpy as np
import pytest

from spectraledge.experiments.beyond.second_flip_elsewhere import (
    BOTH,
    POLYGON,
    PRODUCT,
    STUDY,
    delayed_regimes,
    flip_runs,
)
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, MODULAR, edge_regimes
from spectraledge.experiments.spectral_edge.edge_runs import (
    EDGE,
    SPLITS,
    curve_name,
    wanted_runs,
)
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.report import write
from spectraledge.store import canonical_json, signature
from spectraledge.training import Execution, Problem

GROKKED = 3000


def row(spec, second, grokked=GROKKED):
    """Gradient, decay from 900 on, gradient again from 1300, and decay from `second` on."""
    steps = np.arange(0, spec.steps + 1, 100)
    share = np.where((steps >= 900) & (steps < 1300), 0.2, 0.9)
    share[steps >= second] = 0.1
    share[:2] = np.nan
    regime = delayed_regimes("demo")[BOTH if "Several" in type(spec.task).__name__ else PRODUCT]
    curves = {
        "step": steps,
        "lost_at": np.full(steps.size, -1),
        regime.metric: np.where(steps >= grokked + 100 * (spec.seed % 2), 1.0, 0.1),
        curve_name(EDGE, "gap23"): np.ones(steps.size),
        curve_name(EDGE, "step"): steps,
    }
    for split in SPLITS:
        curves[curve_name(split, "energy_share", "gradient", "v1")] = share
        curves[curve_name(split, "step")] = steps
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def page(real, shuffled, grokked=GROKKED):
    rows = [
        row(spec, real if condition == DECAY else shuffled, grokked)
        for conditions in flip_runs("demo").values()
        for condition, runs in conditions.items()
        for spec in runs
    ]
    return STUDY.page(Known(Ledger(rows), STUDY.until), "demo")


@pytest.mark.parametrize(("real", "shuffled", "status"), [
    (3000, 9999, "holds"), (3000, 3000, "fails"), (9999, 9999, "fails"),
])  # fmt: skip
def test_a_second_flip_counts_where_shuffled_labels_have_none(real, shuffled, status):
    found = [v.status for v in page(real, shuffled).verdicts if "second flip" in v.claim]
    assert found == [status] * 3


@pytest.mark.parametrize(("real", "share"), [(3000, "1.000 [1.000, 1.000]"), (9999, "0.000")])
def test_runs_that_never_generalise_decide_nothing(real, share):
    found = [v for v in page(real, 9999, grokked=9999).verdicts if "second flip" in v.claim]
    assert [v.status for v in found] == ["undecided"] * 3
    # As far as the shorter of both conditions goes.
    for verdict, steps in zip(found, (4000, 4000, 5000)):
        words = f"no run generalises within {steps} steps; with real labels {share}"
        assert words in verdict.observed


def test_every_part_of_the_page_is_there(tmp_path):
    found = page(3000, 9999)
    assert [section.title for section in found.sections] == [
        PRODUCT, BOTH, POLYGON, "Windows and cadences", "What was run",
    ]  # fmt: skip
    assert len(found.verdicts) == 12
    write(found, tmp_path / "page.html")


def test_nothing_known_is_said():
    found = STUDY.page(Known(Ledger([]), STUDY.until), "full")
    assert {v.observed for v in found.verdicts} == {"not run yet"}
    assert [section.title for section in found.sections] == ["What was run"]


def test_runs_are_those_of_modular_addition_but_for_the_task():
    first = edge_regimes("demo")[MODULAR]
    for regime in delayed_regimes("demo").values():
        for field in ("lr", "batch_size", "steps", "record_every", "seeds", "grokked"):
            assert getattr(regime, field) == getattr(first, field)
    own = {spec for c in flip_runs("demo").values() for runs in c.values() for spec in runs}
    assert len(own) == 30
    assert not own & set(wanted_runs("demo"))


@pytest.mark.parametrize("name", [PRODUCT, BOTH, POLYGON])
def test_models_fit_their_tasks(name):
    (spec, *_) = flip_runs("smoke")[name][DECAY]
    assert Problem([spec], Execution(compile=False)).runs == 1
