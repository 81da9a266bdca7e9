"""The page of stricter controls of the edge, from planted rows."""

import numpy as np
import pytest

from spectraledge.experiments.spectral_edge.edge_control_claims import (
    NOISE,
    control_curve,
    control_groups,
    control_runs,
)
from spectraledge.experiments.spectral_edge.edge_controls import STUDY
from spectraledge.experiments.spectral_edge.edge_regimes import DYCK, MODULAR
from spectraledge.experiments.study import Known
from spectraledge.instruments import Ablation
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.report import write
from spectraledge.store import canonical_json, signature

ABLATION = Ablation()
REMOVED = np.array([200, 500, 1400, 3000, 3900])
RECORDS = np.arange(0, 4300, 100)
# Windows are full from the fifth displacement on.
FULL = RECORDS >= 500


def row(spec, edge=0.5, singular=0.3, above=2.0, known=True):
    """A run that loses an accuracy without the edge and another without singular directions."""
    scatter = 0.004 * (spec.seed % 3)
    curves = {"step": RECORDS, "lost_at": np.full(RECORDS.size, -1)}
    levels = {"edge": -edge - scatter, "singular_matched": -singular, "matched": -0.3,
              "additive": -0.05, "singular": -0.1}  # fmt: skip
    for what, level in levels.items():
        for output, value in (("accuracy_change", level), ("loss_change", -level),
                              ("removed", 0.6)):  # fmt: skip
            curves[control_curve(ABLATION, output, what)] = np.full(REMOVED.size, value)
    curves[control_curve(ABLATION, "accuracy")] = np.full(REMOVED.size, 0.95)
    curves["ablation/step"] = REMOVED
    if known:
        curves |= noise(above + scatter)
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def noise(above):
    # Short windows would say something else, and do not count.
    found = {control_curve(NOISE, "above"): np.where(FULL, above, 0.0), "edge_noise/step": RECORDS}
    for k in range(NOISE.window):
        excess = np.where(FULL, 1.2 if k < above else 0.9, np.nan)
        found[control_curve(NOISE, "excess", f"v{k + 1}")] = excess
    return found


def page(**how):
    rows = [row(spec, **how) for runs in control_runs("demo").values() for spec in runs]
    return STUDY.page(Known(Ledger(rows), STUDY.until), "demo")


def verdicts(found, words):
    return [v for v in found.verdicts if words in v.claim]


@pytest.mark.parametrize(("edge", "singular", "status"), [
    (0.5, 0.3, "holds"), (0.3, 0.5, "fails"), (0.3, 0.304, "undecided"),
])  # fmt: skip
def test_removals_are_compared(edge, singular, status):
    found = verdicts(page(edge=edge, singular=singular), "leading singular directions")
    assert [v.status for v in found] == [status] * 8
    assert f"against -{singular:g}" in found[0].observed
    assert "0.600 [0.600, 0.600] of the weights" in found[0].observed


@pytest.mark.parametrize(("above", "every", "first"), [
    (4.99, "holds", "holds"), (1.0, "fails", "holds"), (0.0, "fails", "fails"),
])  # fmt: skip
def test_what_stands_out_is_counted_in_full_windows(above, every, first):
    found = page(above=above)
    assert {v.status for v in verdicts(found, "Every singular value")} == {every}
    assert {v.status for v in verdicts(found, "The first singular")} == {first}


def test_rows_of_before_say_nothing():
    found = page(known=False)
    assert {v.observed for v in found.verdicts} == {"not run yet"}
    assert len(found.sections) == 1


def test_every_part_of_the_page_is_there(tmp_path):
    found = page()
    assert [section.title for section in found.sections] == [DYCK, MODULAR, "What was run"]
    assert [len(section.items) for section in found.sections] == [5, 5, 1]
    (line, *_) = found.sections[0].items[3].rows
    # Scatters of 0, 2, 2, 1 and 2 times 0.004, so 0.0056 ± 2.776 · 0.0016.
    assert line[:3] == ("pre, 200", "0.95 [0.95, 0.95]", "-0.506 [-0.51, -0.501]")
    write(found, tmp_path / "page.html")


def test_the_runs_are_those_of_no_other_study():
    mine = {spec.steps for runs in control_runs("demo").values() for spec in runs}
    assert mine == {4200}
    assert set(control_groups(Known(Ledger(), None), "full")) == {DYCK, MODULAR}
