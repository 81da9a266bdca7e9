"""The page of curves over displacements, from planted rows."""

import numpy as np
import pytest

from spectraledge.experiments.spectral_edge.displacement_curves import (
    FOURTH_NUMBERS,
    STUDY,
    displacement_groups,
    displacement_runs,
)
from spectraledge.experiments.spectral_edge.displacement_reach import (
    CURVES,
    LEVELS,
    LOST,
    at_random,
    displacement_curve,
    exponent,
    reach,
    rising,
)
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, DYCK, NO_DECAY
from spectraledge.experiments.spectral_edge.published_numbers import number_rows
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.store import canonical_json, signature

SMALLEST = LEVELS[LEVELS > 0].min()
DIRECTIONS = ("v1", "v2", "v3", "v4", "theta", "random1", "random2", "random3")


def fall(level, lost_at):
    """What is lost at a displacement: linear in its logarithm, `LOST` at `lost_at`."""
    if level == 0:
        return 0.0
    return LOST * np.log(2 * level / SMALLEST) / np.log(2 * lost_at / SMALLEST)


def row(spec, reaches, steps=(200, 500, 1400, 3000, 3900), backwards=1.0, accuracy=0.9):
    """A run whose accuracy is lost at a given displacement along every direction."""
    curves = {"step": np.array(steps), "lost_at": np.full(len(steps), -1)}
    for direction in DIRECTIONS:
        lost_at = reaches[direction.rstrip("123") if "random" in direction else direction]
        for level in LEVELS:
            far = lost_at * (backwards if level < 0 else 1.0)
            lost = fall(abs(level), far)
            for output, value in (("accuracy", accuracy - lost), ("loss", 0.3 + lost),
                                  ("divergence", lost)):  # fmt: skip
                name = displacement_curve(CURVES, output, direction, f"{level:.4g}")
                curves[name] = np.full(len(steps), value)
    curves[displacement_curve(CURVES, "step")] = np.array(steps)
    curves["update_decomposition/step"] = np.array(steps)
    curves["update_decomposition/alignment:v4"] = np.full(len(steps), -0.3)
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def reaches(edge, random=0.2, others=0.1):
    return {"v1": edge, "v2": others, "v3": others, "v4": others, "theta": others,
            "random": random}  # fmt: skip


def known(with_decay, without, scatter=(0.96, 0.98, 1.0, 1.02, 1.04)):
    rows = [
        row(spec, {d: r * (s if d == "v1" else 1) for d, r in reaches(edge).items()})
        for conditions in displacement_runs("demo").values()
        for condition, edge in ((DECAY, with_decay), (NO_DECAY, without))
        for spec, s in zip(conditions[condition], scatter)
    ]
    return Known(Ledger(rows), None)


@pytest.mark.parametrize(("forwards", "ratio"), [(0.05, 1.0), (0.3, 0.25), (0.01, 4.0)])
def test_reach_is_where_the_accuracy_is_lost_on_both_sides(forwards, ratio):
    own = row(displacement_runs("demo")[DYCK][DECAY][0], reaches(forwards), backwards=ratio)
    # The fall is linear in the logarithm, as it is interpolated: exact up to rounding.
    assert reach(own, 3900, "v1") == pytest.approx(forwards * np.sqrt(ratio), rel=1e-9)
    assert at_random(own, 3900) == pytest.approx(0.2 * np.sqrt(ratio), rel=1e-9)


def test_reach_ends_with_the_displacements_and_is_unknown_without_any():
    spec = displacement_runs("demo")[DYCK][DECAY][0]
    assert reach(row(spec, reaches(50.0)), 3900, "v1") == 1.0
    assert reach(row(spec, reaches(SMALLEST / 1.5)), 3900, "v1") == SMALLEST
    assert np.isnan(reach(row(spec, reaches(0.1)), 100, "v1"))
    assert np.isnan(reach(row(spec, reaches(0.1), accuracy=0.4), 3900, "v1"))


@pytest.mark.parametrize(("power", "share"), [(2.0, 1.0), (-0.5, 1 / 12)])
def test_a_curve_rises_with_its_power(power, share):
    own = row(displacement_runs("demo")[DYCK][DECAY][0], reaches(0.1))
    for level in LEVELS:
        name = displacement_curve(CURVES, "divergence", "v1", f"{level:.4g}")
        own.curves[name] = np.full(5, abs(level) ** power if level else 0.0)
    assert exponent(own, 3900, "v1") == pytest.approx(power)
    # From nothing to the smallest displacement all change more, one of the twelve on each side.
    assert len(LEVELS) == 25
    assert rising(own, 3900, "v1") == pytest.approx(share)
    assert np.isnan(rising(own, 100, "v1"))
    assert np.isnan(exponent(own, 100, "v1"))


def test_runs_that_have_learned_nothing_or_lose_nothing_are_not_compared():
    runs = displacement_runs("demo")[DYCK]
    low = [row(spec, reaches(0.1), accuracy=0.2) for spec in (*runs[DECAY], *runs[NO_DECAY])]
    verdicts = STUDY.page(Known(Ledger(low), None), "demo").verdicts[:4]
    assert {verdict.status for verdict in verdicts} == {"undecided"}
    assert all("to lose" in verdict.observed for verdict in verdicts)
    flat = [row(spec, reaches(50.0, random=50.0)) for spec in runs[DECAY]]
    assert STUDY.page(Known(Ledger(flat), None), "demo").verdicts[0].status == "undecided"


@pytest.mark.parametrize(
    ("with_decay", "without", "expected"),
    [
        (0.4, 0.3, ["holds", "holds", "holds", "holds", "holds"]),
        (0.05, 0.1, ["fails", "fails", "fails", "fails", "holds"]),
        (0.4, 0.1, ["holds", "holds", "fails", "holds", "holds"]),
        (0.2, 0.2, ["undecided"] * 3),
    ],
)
def test_claims_follow_the_planted_reaches(with_decay, without, expected):
    verdicts = STUDY.page(known(with_decay, without), "demo").verdicts
    found = [verdict.status for verdict in verdicts]
    # Two tasks, told the same.
    assert found[:5] == found[5:]
    assert found[: len(expected)] == expected


def test_page_draws_every_condition_and_says_how_far():
    page = STUDY.page(known(0.4, 0.1), "demo")
    sections = {section.title: section for section in page.sections}
    dyck = sections[DYCK]
    table, *figures = dyck.items
    # Three measures at two steps of two conditions.
    assert len(figures) == 12
    lines = {line[0]: line for line in table.rows}
    assert lines[f"{DECAY}, step 3900"][1].startswith("0.4")
    assert set(lines) == {
        f"{c}, step {s}" for c in (DECAY, NO_DECAY) for s in (200, 500, 1400, 3900)
    }


def test_fourth_direction_is_read_at_step_600():
    group = displacement_groups(known(0.4, 0.1), "demo")[DYCK]
    (line,) = number_rows(FOURTH_NUMBERS, group.rows, 42)
    assert line[1:3] == ("-1", "-1")
    assert line[-1] == "within"


def test_nothing_known_decides_nothing():
    page = STUDY.page(Known(Ledger(), None), "demo")
    assert {verdict.status for verdict in page.verdicts} == {"undecided"}
