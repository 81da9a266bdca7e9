"""The claim on lasting edges of decay: what fires where decides it."""

from math import inf

import numpy as np
import pytest

from spectraledge.experiments.spectral_edge.edge_alarms import (
    CURVES,
    alarm_claim,
    first_alarm,
    first_reentry,
)
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DYCK,
    SHUFFLED,
    edge_regimes,
)
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup
from spectraledge.lab.rows import Row
from spectraledge.store import canonical_json, signature

REGIME = edge_regimes("demo")[DYCK]
STEPS = np.arange(0, 5001, 100)
DRIVEN, QUIET = (0.1, 0.8, 0.7, 1.0, 5.0), (0.9, 0.1, 0.1, 50.0, 5.0)


def row(driven=(), grokked=None):
    """A run whose windows between two steps are driven by decay."""
    spec = REGIME.runs()[0]
    accuracy = np.where((inf if grokked is None else grokked) <= STEPS, 0.97, 0.8)
    curves = {"step": STEPS, "lost_at": np.full(STEPS.size, -1), "validation_accuracy": accuracy}
    inside = np.zeros(STEPS.size, dtype=bool)
    for start, end in driven:
        inside |= (start <= STEPS) & (end >= STEPS)
    for name, yes, no in zip(CURVES, DRIVEN, QUIET):
        curves[name] = np.where(inside, yes, no)
        curves[name.rpartition("/")[0] + "/step"] = STEPS
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def claim(own, shuffled):
    rows = {DECAY: dict(enumerate(own)), SHUFFLED: dict(enumerate(shuffled))}
    return alarm_claim(EdgeGroup(DYCK, REGIME, rows)).status


def test_the_second_of_two_windows_fires():
    assert first_alarm(row([(1500, 2000)])) == 2000
    assert first_alarm(row([(1500, 1900)])) == inf
    assert first_alarm(row([(1500, 1500), (2000, 2000)])) == 2000


def test_the_gradient_returns_after_any_window_of_decay():
    assert first_reentry(row([(1500, 1900)])) == 2000
    assert first_reentry(row([(1500, 5000)])) == inf
    assert first_reentry(row()) == inf


LATER, EARLY = row([(1500, 2500)], grokked=1200), row([(900, 2500)], grokked=1200)
NEVER, SILENT = row(grokked=1200), row()


@pytest.mark.parametrize(
    ("own", "shuffled", "status"),
    [
        ([LATER, LATER], [SILENT], "holds"),
        ([LATER, SILENT], [SILENT], "holds"),  # a run that never generalises may be silent
        ([LATER, NEVER], [SILENT], "undecided"),
        ([LATER, LATER], [], "undecided"),
        ([LATER, EARLY], [SILENT], "fails"),
        ([LATER, LATER], [row([(1500, 2500)])], "fails"),
        ([NEVER], [SILENT], "undecided"),
    ],
)
def test_what_fires_decides(own, shuffled, status):
    assert claim(own, shuffled) == status


def test_controls_that_were_not_measured_are_not_silent():
    bare = row()
    for name in CURVES:
        del bare.curves[name]
    assert np.isnan(first_alarm(bare))
    assert np.isnan(first_reentry(bare))
    assert claim([LATER], [bare]) == "undecided"
