"""The page of what is computed along the edge, from planted rows."""

import numpy as np
import pytest

from spectraledge.experiments.spectral_edge.along_claims import (
    IMPORTANCE,
    LEVELS,
    PREDICTIONS,
    RESPONSE,
    STRUCTURE,
    along_curve,
    along_runs,
    concordance,
    moved,
)
from spectraledge.experiments.spectral_edge.along_the_edge import STUDY
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, NO_DECAY
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.report import write
from spectraledge.store import canonical_json, signature

STEPS = np.array([200, 500, 1400, 3900])
RECORDS = np.arange(0, 4400, 100)
DIRECTIONS = [f"v{k}" for k in range(1, 6)]
SIZES = [abs(float(level)) for level in LEVELS]


def importance(right, held_right):
    """Costs that rise with k, and predictions that order as many pairs rightly as asked for."""
    cost = np.arange(1.0, 6.0)
    order = {True: cost, False: -cost + 6}
    # There is no window at first.
    nothing = np.where(RECORDS == 0, np.nan, 0.0)
    values = dict.fromkeys(PREDICTIONS.values(), order[right])
    values |= {"loss_change": -cost, "held": order[held_right]}
    found = {
        along_curve(IMPORTANCE, output, name): value[k] + nothing
        for output, value in values.items()
        for k, name in enumerate(DIRECTIONS)
    }
    for name in DIRECTIONS[2:]:
        found[along_curve(IMPORTANCE, "importance", name)] = np.full(RECORDS.size, np.nan)
    return found | {along_curve(IMPORTANCE, "step"): RECORDS}


def structure(slope, random_slope, commutator, scatter):
    found = {along_curve(STRUCTURE, "step"): STEPS}
    for direction in ("v1", "v2", "theta", "random1"):
        rate = random_slope if direction == "random1" else slope * (1 + scatter)
        for level, size in zip(LEVELS, SIZES):
            entropy = along_curve(STRUCTURE, "entropy", direction, level)
            found[entropy] = np.full(STEPS.size, 2.0 - rate * size)
            name = along_curve(STRUCTURE, "relative_commutator", direction, level)
            found[name] = np.full(STEPS.size, commutator + scatter)
    return found


def response(wave, random_wave, scatter):
    found = {along_curve(RESPONSE, "step"): STEPS}
    for direction in ("v1", "v2", "random", "weights"):
        value = random_wave if direction == "random" else wave + scatter
        for output, own in (("position_mean_share", 0.9), ("position_concentration", value),
                            ("position_peak", 1.0)):  # fmt: skip
            found[along_curve(RESPONSE, output, direction)] = np.full(STEPS.size, own)
    return found


def row(spec, *, right=True, held_right=False, slope=0.5, random_slope=0.1, commutator=0.02,
        wave=0.8, random_wave=0.5, known=True):  # fmt: skip
    scatter = 0.002 * (spec.seed % 3)
    curves = {"step": RECORDS, "lost_at": np.full(RECORDS.size, -1)}
    if known:
        curves |= importance(right, held_right)
    curves |= structure(slope, random_slope, commutator, scatter)
    curves |= response(wave, random_wave, scatter)
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def page(**how):
    rows = [row(spec, **how) for runs in along_runs("demo").values() for spec in runs]
    return STUDY.page(Known(Ledger(rows), STUDY.until), "demo")


def statuses(found, words):
    return [v.status for v in found.verdicts if words in v.claim]


@pytest.mark.parametrize(("how", "words", "count", "status"), [
    ({}, "“published importance” orders", 2, "holds"),
    ({"right": False}, "“published importance” orders", 2, "fails"),
    ({"right": False}, "“Taylor, second order” orders", 2, "fails"),
    ({"held_right": True}, "“share of the weights” orders", 2, "holds"),
    ({}, "“share of the weights” orders", 2, "fails"),
    ({}, "better than the share", 2, "holds"),
    ({"right": False, "held_right": True}, "better than the share", 2, "fails"),
    ({"slope": 0.1}, "attention does not move", 2, "holds"),
    ({"slope": 9.0}, "attention does not move", 2, "fails"),
    ({}, "more than as far at random", 2, "holds"),
    ({"random_slope": 2.0}, "more than as far at random", 2, "fails"),
    ({}, "commute more than random", 2, "holds"),
    ({"commutator": 0.3}, "commute more than random", 2, "fails"),
    ({}, "one wave over positions", 2, "holds"),
    ({"random_wave": 0.95}, "one wave over positions", 2, "fails"),
    ({"random_wave": 0.8015}, "one wave over positions", 2, "undecided"),
])  # fmt: skip
def test_claims_follow_what_is_planted(how, words, count, status):
    assert statuses(page(**how), words) == [status] * count


def test_pairs_without_a_number_do_not_count():
    (spec, *_) = along_runs("demo")[DECAY]
    planted = row(spec)
    # Importance knows one pair of ten; one wrong order of v1 and v2 in half of the records shows.
    name = along_curve(IMPORTANCE, "importance", "v1")
    half = np.where(RECORDS > 2100, 9.0, planted.curves[name])
    mixed = row(spec)
    mixed.curves[name] = half
    assert concordance(planted, "importance") == 1
    assert concordance(mixed, "importance") == pytest.approx(21 / 43)
    assert concordance(mixed, "agreement") == 1
    planted.curves[along_curve(IMPORTANCE, "agreement", "v1")] = np.full(RECORDS.size, np.nan)
    assert concordance(planted, "agreement") == 1


def test_moves_are_means_of_both_signs():
    (spec, *_) = along_runs("demo")[DECAY]
    planted = row(spec, slope=0.5)
    level = LEVELS[-1]
    planted.curves[along_curve(STRUCTURE, "entropy", "random1", f"-{level}")][:] = 2.5
    assert moved(planted, "entropy", "random1", level, 500) == pytest.approx((0.1 + 0.5) / 2)
    assert moved(planted, "relative_commutator", "v1", level, 500) == 0


def test_rows_of_before_say_nothing():
    found = page(known=False)
    assert {v.observed for v in found.verdicts} == {"not run yet"}
    assert [section.title for section in found.sections] == ["What was run"]


def test_every_part_of_the_page_is_there(tmp_path):
    found = page()
    assert [len(section.items) for section in found.sections] == [3, 2, 1, 1]
    table = found.sections[0].items[0]
    assert table.columns == ("prediction", DECAY, NO_DECAY)
    assert [line[0] for line in table.rows] == list(PREDICTIONS)
    assert table.rows[0][1] == "1.000 [1.000, 1.000]"
    write(found, tmp_path / "page.html")


def test_runs_have_a_length_of_their_own():
    assert {spec.steps for runs in along_runs("demo").values() for spec in runs} == {4300}


def test_predictions_are_compared_on_the_pairs_that_both_know():
    (spec, *_) = along_runs("demo")[DECAY]
    planted = row(spec, held_right=True)
    # The share is wrong about v3 to v5 alone, of which the published importance knows nothing.
    for k, name in enumerate(DIRECTIONS[2:]):
        planted.curves[along_curve(IMPORTANCE, "held", name)] = np.full(RECORDS.size, 9.0 - k)
    assert concordance(planted, "held") == pytest.approx(7 / 10)
    assert concordance(planted, "held", "importance") == 1
