"""The page of the gap flow on few and on many batches, from planted terms and gaps."""

import numpy as np
import pytest

from spectraledge.experiments.spectral_edge.edge_runs import GAP_FLOW
from spectraledge.experiments.spectral_edge.gap_flow_batches import (
    MANY,
    STUDY,
    batch_curve,
    batch_runs,
)
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.report import write
from spectraledge.store import canonical_json, signature


def row(spec, noise):
    """A gap that moves as the driving term says, which each instrument sees with its own noise."""
    chance = np.random.default_rng(spec.seed)
    steps = np.arange(0, spec.steps + 1, spec.record_every)
    driving = chance.normal(size=steps.size)
    gap = 10 + np.concatenate([[0.0], np.cumsum(driving[:-1])])
    curves = {"step": steps, "lost_at": np.full(steps.size, -1)}
    for flow in (GAP_FLOW, MANY):
        seen = driving + noise[flow] * chance.normal(size=steps.size)
        values = {"curvature_term": 1e-3 * chance.normal(size=steps.size), "driving_term": seen}
        values |= {"damping_term": -1e-3 * gap, "gap": gap}
        curves |= {batch_curve(flow, name, "12"): value for name, value in values.items()}
        for output in ("curvature", "slope"):
            curves[batch_curve(flow, output, "v1")] = driving
        curves[batch_curve(flow, "step")] = steps
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def page(few, many):
    rows = [row(spec, {GAP_FLOW: few, MANY: many}) for spec in batch_runs("demo")]
    return STUDY.page(Known(Ledger(rows), STUDY.until), "demo")


@pytest.mark.parametrize(("few", "many", "expected"), [
    # What four batches drown in noise, sixteen show.
    (30.0, 0.1, ["holds", "holds", "holds"]),
    # Both see all of it: nothing more comes out.
    (0.0, 0.0, ["holds", "fails", "holds"]),
])  # fmt: skip
def test_claims_follow_what_is_planted(few, many, expected):
    assert [v.status for v in page(few, many).verdicts] == expected


def test_terms_that_are_all_noise_explain_nothing():
    explained, more, _ = page(1000.0, 1000.0).verdicts
    assert explained.status != "holds"
    assert more.status == "undecided"


def test_the_page_says_how_alike_both_are(tmp_path):
    found = page(0.0, 0.0)
    explained, alike, _ = found.sections[0].items
    assert explained.rows[0][1] == explained.rows[0][2] == "1 [1, 1]"
    assert dict(alike.rows)["slope along v₁"] == "1 [1, 1]"
    assert dict(alike.rows)["driving term"] == "1 [1, 1]"
    write(found, tmp_path / "page.html")


def test_without_runs_nothing_is_said():
    found = STUDY.page(Known(Ledger(), STUDY.until), "demo")
    assert {v.observed for v in found.verdicts} == {"not run yet"}
    assert len(found.sections) == 1
