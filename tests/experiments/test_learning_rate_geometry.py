"""Components and alignment over learning rates: planted turnovers and cosines are found."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.planted_defects import Truth, planted_defect_row
from spectraledge.experiments.execution_subspace.defect_records import defect_runs
from spectraledge.experiments.execution_subspace.lead_time_power_law import STUDY
from spectraledge.experiments.execution_subspace.learning_rate_geometry import (
    COSINE,
    LEARNED,
    SHARE,
    alignment_at,
    geometry_verdicts,
    turnover,
)
from spectraledge.experiments.execution_subspace.learning_rate_geometry_section import (
    geometry_section,
)
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.report import Page, write

NOTHING = Known(Ledger(), STUDY.until)
SPECS = list(STUDY.wanted(NOTHING, "demo"))


def row(spec, turns: float, cosine):
    """PC1 rises to a share of the run and falls from there; alignment as given."""
    found = planted_defect_row(spec, Truth(grok=2.0 / spec.lr, last=10_000))
    steps, curves = found.curves["step"], dict(found.curves)
    where = turns * 2.0 / spec.lr
    curves["trajectory_pca/step"] = curves["curvature_alignment/step"] = steps
    curves[SHARE] = 1 - np.abs(steps - where) / steps[-1]
    curves[COSINE] = curves[LEARNED] = np.full(steps.size, cosine(spec) * (1 + 0.01 * spec.seed))
    return replace(found, curves=curves)


def runs(turns=0.5, cosine=lambda spec: 1.0):
    rows = Ledger(row(spec, turns, cosine) for spec in SPECS)
    return defect_runs(Known(rows, STUDY.until), SPECS)


def as_published(spec):
    return {3e-4: 0.5, 1e-2: 1.6}.get(spec.lr, 1.0)


@pytest.mark.parametrize(
    ("planted", "words", "expected"),
    [
        (runs(0.5), "turns over before", "holds"),
        (runs(1.5), "turns over before", "fails"),
        (runs(0.5), "an event of training", "holds"),
        (runs(0.0), "an event of training", "fails"),
        (runs(cosine=as_published), "avoids commutators", "holds"),
        (runs(cosine=lambda spec: 1.5), "avoids commutators", "fails"),
    ],
)
def test_what_is_planted_is_found(planted, words, expected):
    (found,) = [v for v in geometry_verdicts(planted) if words in v.claim]
    assert found.status == expected, found.observed


def test_turnover_and_alignment_are_read_at_their_steps():
    run = next(r for r in runs(0.5, as_published) if r.spec.lr == 1e-3)
    assert turnover(run) == 1000
    assert alignment_at(run, "0.85 grok_90") == pytest.approx(1 + 0.01 * run.seed)
    bare = defect_runs(
        Known(Ledger([planted_defect_row(run.spec, Truth(grok=None))]), STUDY.until), [run.spec]
    )[0]
    assert turnover(bare) is None
    assert np.isnan(alignment_at(bare, "after"))


def test_figures_and_tables_with_and_without_rows(tmp_path):
    for planted, items in ((runs(), 5), ([], 3)):
        section = geometry_section(planted)
        assert len(section.items) == items
        write(Page("t", "s", geometry_verdicts(planted), [section]), tmp_path / "page.html")
    assert {v.status for v in geometry_verdicts([])} == {"undecided"}
