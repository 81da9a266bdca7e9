"""The page on singular directions, from planted rows."""

import numpy as np
import pytest

from spectraledge.experiments.spectral_edge.edge_regimes import DYCK, MODULAR
from spectraledge.experiments.spectral_edge.singular_directions import (
    STUDY,
    removal_curve,
    singular_groups,
    singular_runs,
)
from spectraledge.experiments.study import Known
from spectraledge.instruments import Ablation
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.report import write
from spectraledge.store import canonical_json, signature

ABLATION = Ablation()
STEPS = np.array([200, 500, 1400, 3000, 3900])


def row(spec, edge, singular, known=True):
    """A run that loses an accuracy without the edge and another without singular directions."""
    scatter = 0.004 * (spec.seed % 3)
    curves = {"step": STEPS, "lost_at": np.full(STEPS.size, -1)}
    levels = {"edge": -edge - scatter, "singular_matched": -singular, "matched": -0.3,
              "additive": -0.05, "singular": -0.1}  # fmt: skip
    for what, level in levels.items():
        for output, value in (("accuracy_change", level), ("loss_change", -level),
                              ("removed", 0.6)):  # fmt: skip
            curves[removal_curve(ABLATION, output, what)] = np.full(STEPS.size, value)
    curves[removal_curve(ABLATION, "accuracy")] = np.full(STEPS.size, 0.95)
    curves["ablation/step"] = STEPS
    if not known:
        curves = {n: c for n, c in curves.items() if "singular" not in n}
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def page(edge, singular, **how):
    rows = [row(s, edge, singular, **how) for runs in singular_runs("demo").values() for s in runs]
    return STUDY.page(Known(Ledger(rows), STUDY.until), "demo")


@pytest.mark.parametrize(("edge", "singular", "status"), [
    (0.5, 0.3, "holds"), (0.3, 0.5, "fails"), (0.3, 0.304, "undecided"),
])  # fmt: skip
def test_what_is_planted_is_found(edge, singular, status):
    found = page(edge, singular)
    assert {v.status for v in found.verdicts} == {status}
    assert {v.claim.partition(":")[0] for v in found.verdicts} == {DYCK, MODULAR}
    assert f"against -{singular:g}" in found.verdicts[0].observed
    assert "0.600 [0.600, 0.600] of the weights" in found.verdicts[0].observed


def test_rows_of_before_say_nothing():
    found = page(0.5, 0.3, known=False)
    assert {v.observed for v in found.verdicts} == {"not run yet"}
    assert len(found.sections) == 1


def test_every_part_of_the_page_is_there(tmp_path):
    found = page(0.5, 0.3)
    assert [section.title for section in found.sections] == [DYCK, MODULAR, "What was run"]
    assert [len(section.items) for section in found.sections] == [2, 2, 1]
    (line, *_) = found.sections[0].items[0].rows
    # Scatters of 0, 2, 2, 1 and 2 times 0.004, so 0.0056 ± 2.776 · 0.0016.
    assert line[:3] == ("pre, 200", "0.95 [0.95, 0.95]", "-0.506 [-0.51, -0.501]")
    write(found, tmp_path / "page.html")


def test_the_runs_are_those_of_no_other_study():
    mine = {spec.steps for runs in singular_runs("demo").values() for spec in runs}
    assert mine == {4200}
    assert set(singular_groups(Known(Ledger(), None), "full")) == {DYCK, MODULAR}
