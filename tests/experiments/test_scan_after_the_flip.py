"""SCAN after the flip: each run as far as it has come, each number at its own step or none."""

import numpy as np
import pytest

from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, SCAN, edge_regimes
from spectraledge.experiments.spectral_edge.edge_runs import (
    ABLATION,
    CURVES,
    EDGE,
    PUBLISHED_CURVES,
    RESPONSE,
    SPLITS,
    curve_name,
    wanted_runs,
)
from spectraledge.experiments.spectral_edge.late_claims import LATE_NUMBERS
from spectraledge.experiments.spectral_edge.late_scan import (
    FOUR,
    HORIZON,
    late_curve,
    late_group,
    late_regime,
    late_runs,
)
from spectraledge.experiments.spectral_edge.published_numbers import number_rows
from spectraledge.experiments.spectral_edge.scan_after_the_flip import STUDY
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.report import write
from spectraledge.store import canonical_json, signature

ENDS = {2024: 10_000, 42: 5000, 137: 5000}


def row(spec, end, back=None):
    """The gradient's share falls at 3000, and rises again at `back`; the gap halves a record."""
    steps = np.arange(0, end + 1, 500)
    share = np.where(steps < 3000, 0.9, 0.002 if back is None else np.where(steps < back, 0.1, 0.8))
    share[:2] = np.nan
    removals, responses = (
        np.array([s for s in at if s <= end]) for at in ([4500, 9500], [2500, 5000, 10_000])
    )
    curves = {
        "step": steps,
        "lost_at": np.full(steps.size, -1),
        HORIZON.metric: np.full(steps.size, 0.96),
        curve_name(EDGE, "gap23"): 64.0 / 2.0 ** (steps / 500),
        curve_name(EDGE, "step"): steps,
        late_curve(FOUR, "alignment", "v4"): np.where(steps < 5000, 0.5, -0.5),
        late_curve(FOUR, "step"): steps,
        curve_name(RESPONSE, "published_score", "v1"): responses / 1e5,
        curve_name(RESPONSE, "step"): responses,
        curve_name(ABLATION, "accuracy_change", "edge"): -0.1 - removals / 1e5 - spec.seed / 1e6,
        curve_name(ABLATION, "accuracy_change", "matched"): np.full(removals.size, -0.7),
        curve_name(ABLATION, "step"): removals,
    }
    for split in SPLITS:
        curves[curve_name(split, "energy_share", "gradient", "v1")] = share
        curves[curve_name(split, "step")] = steps
    state = "done" if end == spec.steps else "decided"
    return Row(signature(spec), "planted", canonical_json(spec), state, curves, seconds=1.0)


def known(ends=ENDS, back=None):
    runs = {spec.seed: spec for spec in late_runs("full")[DECAY]}
    rows = [row(runs[seed], end, back) for seed, end in ends.items()]
    return Known(Ledger(rows), STUDY.until)


def verdicts(found):
    return {v.claim.partition(": ")[2]: v for v in STUDY.page(found, "full").verdicts}


def lines(found):
    group = late_group(found, "full")
    return {
        line[0].partition(", decay")[0]: line
        for line in number_rows(LATE_NUMBERS, group.rows, 2024)
    }


def test_curves_have_the_names_that_the_shared_rules_read():
    for instrument in (EDGE, *SPLITS, ABLATION, CURVES, PUBLISHED_CURVES, RESPONSE):
        assert late_curve(instrument, "step") == curve_name(instrument, "step")


def test_a_run_counts_as_far_as_it_has_come():
    rows = late_group(known(), "full").rows[DECAY]
    assert {seed: r.steps_taken for seed, r in rows.items()} == ENDS


def test_a_run_that_did_not_come_to_the_horizon_does_not_count():
    assert list(late_group(known({2024: 5000, 42: 4500}), "full").rows[DECAY]) == [2024]


@pytest.mark.parametrize(("ends", "late"), [
    ({2024: 10_000, 42: 5000}, 4500), ({2024: 10_000, 42: 9500}, 9500), ({2024: 15_000}, 14_500),
])  # fmt: skip
def test_removals_are_read_where_every_run_has_them(ends, late):
    assert late_group(known(ends), "full").regime.functional_steps["late"] == late


def test_numbers_are_read_at_their_own_step_or_not_at_all():
    found = lines(known())
    assert found["Functional R² of v₁, decoder, step 5000"][2:] == (
        "0.05",
        "0.05 [0.05, 0.05]",
        "–",
    )
    # One seed of three has come so far.
    assert found["Functional R² of v₁, decoder, step 10000"][2:4] == (
        "0.1",
        "0.1 (one seed) (1 of 3)",
    )
    assert found["Sign of the alignment of gradient and decay along v4, step 5000"][2] == "-1"
    early = lines(known({2024: 5000, 42: 5000, 137: 5000}))
    assert early["Functional R² of v₁, decoder, step 10000"][2:] == ("–", "–", "not run")
    assert early["Gradient along v₁, step 10000"][4] == "not run"
    assert early["Gradient along v₁, step 5000"][4] == "within"


@pytest.mark.parametrize(("back", "status"), [(None, "holds"), (3500, "fails")])
def test_an_edge_that_turns_back_does_not_stay(back, status):
    assert verdicts(known(back=back))["Once turned, the edge stays with decay"].status == status


def test_the_gap_is_compared_with_that_at_the_flip():
    found = verdicts(known())["After the flip the gap goes on closing"]
    # Four records of halving in two seeds, fourteen in the third: 2^−(22/3).
    assert found.status == "undecided"
    assert found.observed.startswith(f"{2 ** (-22 / 3):.3g} [")
    assert "up to step 5000, 10000" in found.observed


def test_removal_is_that_of_the_last_step_that_all_have():
    found = verdicts(known())
    assert found["Removing the late edge ruins the network"].status == "holds"
    claim = "At step 4500 (late) the edge matters more than an equal share of the weights"
    assert found[claim].status == "fails"


def test_every_part_of_the_page_is_there(tmp_path):
    page = STUDY.page(known(), "full")
    assert [section.title for section in page.sections] == [
        f"Published numbers, {SCAN}", "Where the edge stands", "Windows and cadences",
        "What was run",
    ]  # fmt: skip
    write(page, tmp_path / "page.html")


def test_runs_are_those_of_the_lifecycle_but_for_their_length():
    for scale in ("demo", "full"):
        own, shared = late_regime(scale), edge_regimes(scale)[SCAN]
        assert own.steps > shared.steps
        for field in ("task", "model", "lr", "batch_size", "record_every", "seeds"):
            assert getattr(own, field) == getattr(shared, field)
        found = {spec for runs in late_runs(scale).values() for spec in runs}
        assert not found & set(wanted_runs(scale))
