"""The page of the controls of the gap, from planted rows."""

import numpy as np
import pytest

from spectraledge.experiments.spectral_edge.edge_regimes import NO_DECAY
from spectraledge.experiments.spectral_edge.gap_without_decay import (
    EDGE,
    GAP_CONTROL_NUMBERS,
    STUDY,
    control_curve,
    control_group,
    control_runs,
)
from spectraledge.experiments.spectral_edge.published_numbers import number_rows
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.store import canonical_json, signature

RUNS = control_runs("demo")


def row(spec, shrink, apart):
    """All displacements shrink by `shrink` a record, the second against the third by `apart`."""
    steps = np.arange(0, spec.steps + 1, spec.record_every)
    count = np.arange(steps.size)
    first = shrink**count
    second = first * np.sqrt(0.01 + 0.8 * apart**count)
    third = np.where(count >= 3, 0.1 * first, np.nan)
    curves = {
        "step": steps, "lost_at": np.full(steps.size, -1),
        "validation_accuracy": np.full(steps.size, 0.87),
    }  # fmt: skip
    values = {
        ("displacements",): np.minimum(count, 3.0), ("gap23",): second**2 - third**2,
        ("singular_values", "v1"): first, ("singular_values", "v2"): second,
        ("singular_values", "v3"): third, ("gap_ratio",): 1.0 + count, ("rank_at_gap",): 1.0,
    }  # fmt: skip
    for output, own in values.items():
        curves[control_curve(EDGE, *output)] = np.broadcast_to(own, steps.shape).astype(float)
    curves[control_curve(EDGE, "step")] = steps
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def known(shrink, apart):
    # Seeds differ a little, so that intervals have a width.
    scatter = (0.98, 0.99, 1.0, 1.01, 1.02)
    rows = [row(spec, shrink, apart * s) for spec, s in zip(RUNS, scatter)]
    return Known(Ledger(rows), None)


def statuses(found):
    return [verdict.status for verdict in STUDY.page(found, "demo").verdicts]


def test_runs_are_as_long_and_as_seldom_recorded_as_published():
    assert {(spec.steps, spec.record_every) for spec in RUNS} == {(10_000, 500)}
    assert len(RUNS) >= 5


@pytest.mark.parametrize(
    ("shrink", "apart", "expected"),
    [
        # Everything becomes short: the gap falls, but not beside σ₁².
        (0.9, 0.97, ["holds", "undecided", "holds"]),
        (0.9, 0.8, ["holds", "holds", "holds"]),
        (1.0, 1.0, ["fails", "fails", "holds"]),
    ],
)
def test_a_gap_that_only_shrinks_with_everything_is_told_apart(shrink, apart, expected):
    found = statuses(known(shrink, apart))
    assert found[0] == expected[0]
    assert found[2] == expected[2]
    if expected[1] != "undecided":
        assert found[1] == expected[1]


def test_the_fall_is_that_of_the_whole_run():
    group = control_group(known(0.9, 1.0), "demo")
    lines = {line[0]: line for line in number_rows(GAP_CONTROL_NUMBERS, group.rows, 42)}
    found = float(lines[f"Fall of the gap, times, seed 42, {NO_DECAY}"][2])
    # The first window of two displacements ends at 1000, the last one at 10,000: σ₂² there is
    # larger than the later gaps by what the published script leaves out, σ₃².
    series = 0.9 ** (2 * np.arange(21)) * 0.8 * 0.98 ** np.arange(21)
    series[2] += 0.01 * 0.9**4
    assert found == pytest.approx(series[2] / series[-1], rel=5e-3)
    assert len(lines) == len(GAP_CONTROL_NUMBERS)


def test_nothing_known_decides_nothing():
    assert set(statuses(Known(Ledger(), None))) == {"undecided"}
