"""The page of diagnostics without published numbers, from planted rows."""

import numpy as np
import pytest
import torch

from spectraledge.experiments.spectral_edge.edge_diagnostic_claims import (
    BLOCKS,
    EFFECT,
    KINDS,
    OUTPUT,
    READ,
    diagnostic_curve,
    diagnostic_group,
    diagnostic_runs,
    matrix_of,
)
from spectraledge.experiments.spectral_edge.edge_diagnostics import STUDY
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, NO_DECAY
from spectraledge.experiments.study import Known
from spectraledge.instruments import SingularProbe, Window
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.report import write
from spectraledge.snapshots import Layout, Snapshot
from spectraledge.store import canonical_json, signature

STEPS = np.array([200, 600, 2000, 5000])
RECORDS = np.arange(0, 5300, 100)
DIRECTIONS = ("v1", "random", "weights")


def row(spec, reads=0.3, overlap=0.2, attention=0.01, against=0.8, helps=0.8, known=True):
    """A run in which every share that a claim is about is given."""
    scatter = 0.002 * (spec.seed % 3)
    curves = {"step": RECORDS, "lost_at": np.full(RECORDS.size, -1)}
    for probe in (OUTPUT, READ):
        for kind in ("query", "key"):
            matrix = f"layer1.attention.{kind}"
            for directions in ("v1", "v2 and v3", "v1 to v5"):
                label = f"{matrix},{directions}"
                for output, value in (("score", 0.4 + reads), ("random_score", 0.4),
                                      ("published_score", 0.1)):  # fmt: skip
                    name = diagnostic_curve(probe, output, label)
                    curves[name] = np.full(STEPS.size, value + scatter * (output == "score"))
            for output, value in (("span_overlap", overlap + scatter), ("chance_overlap", 0.04),
                                  ("alignment", 0.1), ("separation", 2.0),
                                  ("largest_frequency", 12.0)):  # fmt: skip
                curves[diagnostic_curve(probe, output, matrix)] = np.full(STEPS.size, value)
        curves[diagnostic_curve(probe, "step")] = STEPS
    # Squares of which `attention` lies in queries and keys.
    squares = dict(zip(KINDS, (attention / 2, attention / 2, (1 - attention) / 2,
                               (1 - attention) / 2)))  # fmt: skip
    for direction in DIRECTIONS:
        curves[diagnostic_curve(BLOCKS, "size", direction)] = np.ones(STEPS.size)
        for kind, square in squares.items():
            name = diagnostic_curve(BLOCKS, "size", f"{direction} {kind}")
            curves[name] = np.full(STEPS.size, (square * (1 + scatter)) ** 0.5)
    curves[diagnostic_curve(BLOCKS, "step")] = STEPS
    return Row(
        signature(spec), "planted", canonical_json(spec), "done",
        curves | (effects(against, helps) if known else {}), seconds=1.0,
    )  # fmt: skip


def effects(against, helps):
    """Records of which a share has parts that go against each other, and as many that help."""
    place = np.arange(RECORDS.size) / RECORDS.size
    sign = np.where(place < against, -1.0, 1.0)
    # There is no displacement at first.
    nothing = np.where(RECORDS == 0, np.nan, 0.0)
    loss = np.where(place < helps, -0.1, 0.1) + nothing
    found = {
        ("projection", "gradient"): 1.0 + nothing, ("projection", "weight_decay"): sign + nothing,
        ("loss_change", "gradient"): loss, ("loss_change", "weight_decay"): -loss,
    }  # fmt: skip
    curves = {diagnostic_curve(EFFECT, o, f"v1,{p}"): v for (o, p), v in found.items()}
    return curves | {diagnostic_curve(EFFECT, "step"): RECORDS}


def page(**how):
    rows = [row(spec, **how) for runs in diagnostic_runs("demo").values() for spec in runs]
    return STUDY.page(Known(Ledger(rows), STUDY.until), "demo")


def statuses(found, words):
    return [v.status for v in found.verdicts if words in v.claim]


@pytest.mark.parametrize(("how", "words", "count", "status"), [
    ({"reads": 0.3}, "read depth better", 12, "holds"),
    ({"reads": -0.3}, "read depth better", 12, "fails"),
    ({"reads": -0.002}, "read depth better", 12, "undecided"),
    ({"overlap": 0.2}, "same directions", 2, "holds"),
    ({"overlap": 0.01}, "same directions", 2, "fails"),
    ({"attention": 0.01}, "where attention looks", 2, "holds"),
    ({"attention": 0.5}, "where attention looks", 2, "fails"),
    ({"against": 0.8}, "two measurements", 1, "holds"),
    ({"against": 0.2}, "two measurements", 1, "fails"),
    ({"helps": 0.8}, "lowers the held-out loss", 1, "holds"),
    ({"helps": 0.2}, "lowers the held-out loss", 1, "fails"),
])  # fmt: skip
def test_claims_follow_what_is_planted(how, words, count, status):
    assert statuses(page(**how), words) == [status] * count


def test_rows_of_before_say_nothing():
    found = page(known=False)
    assert {v.observed for v in found.verdicts} == {"not run yet"}
    assert [section.title for section in found.sections] == ["What was run"]


def test_every_part_of_the_page_is_there(tmp_path):
    found = page()
    assert [len(section.items) for section in found.sections] == [5, 1, 2, 1]
    (line, *_, last) = found.sections[1].items[0].rows
    # Runs without decay end before the last step.
    assert last[:3] == (NO_DECAY, "2000", "weights")
    assert line[:3] == (DECAY, "200", "v1")
    assert line[-1] == "0.010 [0.010, 0.010]"
    write(found, tmp_path / "page.html")


def test_runs_have_lengths_of_their_own():
    lengths = {c: {s.steps for s in runs} for c, runs in diagnostic_runs("demo").items()}
    assert lengths == {DECAY: {5200}, NO_DECAY: {2200}}


def test_matrices_are_those_of_the_last_layer():
    group = diagnostic_group(Known(Ledger([]), None), "full")
    model = group.regime.model.build(vocabulary=3, length=24, classes=13, seed=0)
    layout = Layout.of(model)
    now = Snapshot(0, layout, torch.zeros(1, layout.size))
    names = SingularProbe().labels(Window((now,)))["matrix"]
    assert {matrix_of(group, kind) for kind in ("query", "key")} == set(names[2:])
