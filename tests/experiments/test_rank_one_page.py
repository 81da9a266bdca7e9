"""The page on trajectories finds planted shares, what explains them, and the opposite."""

from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import pytest

from spectraledge.experiments.execution_subspace.base_runs import DECAY, NO_DECAY, base_runs
from spectraledge.experiments.execution_subspace.rank_one_horizon_claims import equal_difference
from spectraledge.experiments.execution_subspace.rank_one_page import rank_one_verdicts
from spectraledge.experiments.execution_subspace.rank_one_trajectory import STUDY
from spectraledge.experiments.execution_subspace.regimes import HARD, regime_of
from spectraledge.experiments.execution_subspace.released_shares import (
    LAYER_MEANS,
    MATRIX_KINDS,
    MATRIX_MEANS,
)
from spectraledge.experiments.execution_subspace.trajectory_shares import (
    Cells,
    share_at,
    surviving,
)
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.report import write
from spectraledge.store import canonical_json, signature

WALK, DEVIATION, NOISE, FULL_LENGTH = 0.5, 0.003, 0.002, 5000
MATRICES = tuple(f"layer{n}.attention.{kind}" for n in (0, 1) for kind in MATRIX_KINDS)
SCOPES = (*MATRICES, "layer0", "layer1", "attention", "model", "layer0 mean", "layer1 mean")


@dataclass(frozen=True)
class Planted:
    """What the runs of a planted ledger show, in shares.

    `share` is that at step 0, to which `slope` adds over 5000 steps; `hard` and `free` (without
    decay) are added to it; `left` is what survives of the excess over the walk.
    """

    share: float = 0.72
    slope: float = -0.1
    hard: float = 0.0
    free: float = 0.0
    left: float = 0.0
    second: float = 0.2
    forgetting: float = 0.75
    dip: float = 0.0
    generalises: bool = True


def planted(spec, truth, operation, decay):
    """The row of a run whose trajectory has what is planted, up to the noise of its seed."""
    steps = np.arange(0, FULL_LENGTH + 1, spec.record_every)
    stop = 3000 + 100 * (spec.seed % 5)
    grokked = truth.generalises and operation not in HARD and decay == DECAY
    curves = {
        "step": steps,
        "train_accuracy": np.ones(steps.size),
        # The third record in a row at 0.98 is at `stop`.
        "validation_accuracy": np.where(
            steps >= (stop - 2 * spec.record_every if grokked else np.inf), 1.0, 0.1
        ),
        "lost_at": np.full(steps.size, -1),
    }
    curves |= readings(spec, truth, operation, decay, steps[::2], stop)
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def readings(spec, truth, operation, decay, steps, stop):
    noise = np.random.default_rng([spec.seed, len(operation)]).normal(0, NOISE)
    first = truth.share + noise + truth.slope * steps / FULL_LENGTH
    first = first + truth.hard * (operation in HARD) + truth.free * (decay == NO_DECAY)
    first = first - truth.dip * (abs(steps - 0.4 * stop) < 300)
    left = WALK + truth.left * (first - WALK)
    outputs = {
        "first_share": first,
        "random_walk_share": np.full(steps.size, WALK),
        "z_score": (first - WALK) / DEVIATION,
        "ornstein_uhlenbeck_share": np.full(steps.size, truth.forgetting),
        "first_share_without_decayed_start": left,
        "start_share": np.full(steps.size, 0.7),
        "start_cosine": np.full(steps.size, 0.93),
        "rolling_first_share": np.full(steps.size, 0.6),
    }
    curves = {f"{name}:{scope}": v for name, v in outputs.items() for scope in SCOPES}
    for k, share in enumerate((first, truth.second, 0.05), start=1):
        full = np.broadcast_to(share, steps.shape)
        curves |= {f"share:{scope},PC{k}": full for scope in SCOPES}
    return {"trajectory_pca/step": steps} | {f"trajectory_pca/{n}": v for n, v in curves.items()}


@cache
def known(truth=Planted(), scale="demo"):
    rows = [
        planted(spec, truth, operation, decay)
        for (operation, decay), specs in base_runs(regime_of(scale)).items()
        for spec in specs
    ]
    return Known(Ledger(rows), STUDY.until)


@cache
def verdicts(truth=Planted(), scale="demo"):
    return rank_one_verdicts(Cells.of(known(truth, scale), regime_of(scale)))


def find(words, *key):
    (found,) = [v for v in verdicts(*key) if words in v.claim]
    return found


def status(words, *key):
    return find(words, *key).status


def test_the_study_wants_the_base_runs_and_nothing_else():
    for scale in ("smoke", "demo", "full"):
        wanted = list(STUDY.wanted(Known(Ledger(), STUDY.until), scale))
        assert wanted == [s for specs in base_runs(regime_of(scale)).values() for s in specs]
    assert STUDY.keep_snapshots


def test_nothing_known_is_a_page(tmp_path):
    for scale in ("smoke", "demo", "full"):
        page = STUDY.page(Known(Ledger(), STUDY.until), scale)
        assert {v.status for v in page.verdicts} == {"undecided"}
    assert "nothing can be said" in page.summary
    write(page, tmp_path / "page.html")


def test_a_smoke_run_decides_nothing():
    page = STUDY.page(known(Planted(), "smoke"), "smoke")
    assert {v.status for v in page.verdicts} == {"undecided"}


def test_any_part_of_the_rows_is_a_page(tmp_path):
    rows = list(known().ledger)
    first = {signature(specs[0]) for specs in base_runs(regime_of("demo")).values()}
    for seed in (0, 3):
        kept = np.random.default_rng(seed).random(len(rows)) < (seed + 1) / 5
        # The first run of every cell is missing, so no claim about all of them is decided.
        ledger = Ledger(
            row for row, there in zip(rows, kept) if there and row.signature not in first
        )
        page = STUDY.page(Known(ledger, STUDY.until), "demo")
        assert {v.status for v in page.verdicts} == {"undecided"}
    write(page, tmp_path / "page.html")


def test_rows_without_the_other_components_are_a_page():
    def without(row):
        names = ("share:", "rolling_first_share:")
        kept = {n: v for n, v in row.curves.items() if not n.split("/")[-1].startswith(names)}
        return replace(row, curves=kept)

    ledger = Ledger(without(row) for row in known().ledger)
    page = STUDY.page(Known(ledger, STUDY.until), "demo")
    (one,) = [v for v in page.verdicts if "One component" in v.claim]
    assert (one.status, one.observed) == ("undecided", "not recorded in these rows")
    assert any("No rolling window is recorded" in s.text for s in page.sections)


# At `grok_stop`, 3000 to 3400, the planted share has fallen by 0.06 to 0.068.
@pytest.mark.parametrize(
    ("claim", "holding", "failing"),
    [
        ("Layer means", {"share": 0.80}, {"share": 0.60}),
        ("Single matrices", {"share": 0.85}, {"share": 0.72}),
        ("One component", {"second": 0.05}, {"second": 0.2}),
        # A deviation is 0.003: 5 of them are reached at 0.515, by hard runs after 5000 steps.
        ("5 deviations", {"share": 0.70}, {"share": 0.60}),
        ("isotropic diffusion", {"share": 0.72}, {"share": 0.62}),
        ("W_V and W_O", {"left": 0.8}, {"left": -0.1}),
        ("W_Q and W_K", {"left": 0.8}, {"left": -0.1}),
        ("all attention weights", {"left": 0.8}, {"left": -0.1}),
        ("all parameters", {"left": 0.8}, {"left": -0.1}),
        ("forgets its start", {"forgetting": 0.55}, {"forgetting": 0.75}),
        ("increases over training", {"slope": 0.1}, {"slope": -0.1}),
        ("falls and rises", {"slope": 0.0, "dip": 0.1}, {"slope": -0.1}),
        ("over equal steps", {"hard": -0.2, "free": -0.1}, {"hard": 0.0, "free": 0.1}),
        ("hard operations falls", {"slope": -0.1}, {"slope": 0.1}),
        ("Without decay too", {"free": 0.0}, {"free": -0.2}),
    ],
)
def test_a_planted_truth_holds_and_its_opposite_fails(claim, holding, failing):
    for truth, expected in ((holding, "holds"), (failing, "fails")):
        found = [v.status for v in verdicts(Planted(**truth)) if claim in v.claim]
        assert set(found) == {expected}


def test_a_difference_that_is_only_one_of_length_is_not_one_between_operations():
    """All runs have the same trajectory, which falls: hard ones go on and end lower."""
    verdict = find("generalise have more concentrated", Planted(slope=-0.2))
    assert verdict.status == "fails"
    # 0.2 per 5000 steps, over the 1600 to 2000 steps that hard runs go on.
    uncut = float(verdict.observed.partition("; ")[2].split()[0])
    assert 0.2 * 1600 / 5000 - 3 * NOISE < uncut < 0.2 * 2000 / 5000 + 3 * NOISE


def test_equal_steps_are_equal():
    """A trajectory that does not depend on the operation differs by noise alone, at any slope."""
    cells = Cells.of(known(Planted(slope=-0.2)), regime_of("demo"))
    values = [equal_difference(cells, run) for run in cells.generalised()]
    assert len(values) == len(cells.grokking) * len(cells.regime.seeds)
    # Differences of two draws of the noise.
    assert np.abs(values).max() < 4 * np.sqrt(2) * NOISE


def test_runs_that_never_generalised_have_no_published_end():
    never = Planted(generalises=False)
    assert Cells.of(known(never), regime_of("demo")).generalised() == []
    assert status("Layer means", never) == "undecided"
    # Neither needs a run that generalised.
    assert status("hard operations falls", never) == "holds"
    assert status("Without decay too", never) == "holds"


def test_what_was_measured_with_the_wrong_decay_is_not_read():
    cells = Cells.of(known(), regime_of("demo"))
    run = cells.runs(["add"], NO_DECAY)[0]
    name = "first_share_without_decayed_start"
    assert np.isfinite(run.row.curve(f"trajectory_pca/{name}:model")[1]).all()
    assert np.isnan(share_at(run, name, "model"))
    assert np.isfinite(share_at(run, "first_share", "model"))
    assert surviving([run], ["model"]) == []


def test_shares_are_read_at_the_step_and_not_beyond_the_end():
    cells = Cells.of(known(Planted(slope=-0.5)), regime_of("demo"))
    run = cells.runs(["add"])[0]
    stop = run.stop
    assert stop == 3000
    read = partial(share_at, run, "first_share", "layer1")
    assert read(stop) - read(1000) == pytest.approx(-0.5 * 2000 / 5000)
    # Cut by the study's decision at 1000 steps after it generalised.
    assert run.row.steps_taken == 4000
    assert np.isnan(read(4200))


def test_what_survives_is_the_planted_fraction():
    cells = Cells.of(known(Planted(left=0.3)), regime_of("demo"))
    values = surviving(cells.generalised(), cells.matrices("value"))
    # Planted in every run alike, so that nothing scatters.
    np.testing.assert_allclose(values, [0.3] * 8, rtol=1e-9)


def test_released_shares_are_compared_at_the_published_size_only():
    assert not [v for v in verdicts(Planted()) if "released ones" in v.claim]
    assert status("released ones", Planted(), "full") == "fails"


def test_layer_means_are_the_means_of_the_released_matrices():
    for cell, matrices in MATRIX_MEANS.items():
        assert len(matrices) == len(MATRIX_KINDS)
        # Both are rounded to 0.1: half of that each.
        assert np.mean(matrices) == pytest.approx(LAYER_MEANS[cell][0], abs=0.1)
