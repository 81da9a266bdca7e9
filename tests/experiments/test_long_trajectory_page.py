"""The page on long trajectories finds planted shares, and what length alone does."""

from dataclasses import dataclass

import numpy as np
import pytest

from spectraledge.experiments.execution_subspace.long_trajectory import STUDY
from spectraledge.experiments.execution_subspace.long_trajectory_page import long_trajectory_page
from spectraledge.experiments.execution_subspace.long_trajectory_runs import (
    GENERALISING,
    HORIZON,
    STEPS,
    UNTIL,
    long_cells,
    long_runs,
    not_learned,
)
from spectraledge.experiments.execution_subspace.released_shares import LAYER_MEANS, MATRIX_KINDS
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.report import write
from spectraledge.store import canonical_json, signature

WALK, SCATTER = 0.5, 0.002
MATRICES = tuple(f"layer{n}.attention.{kind}" for n in (0, 1) for kind in MATRIX_KINDS)
NOTHING = Known(Ledger(), STUDY.until)


@dataclass(frozen=True)
class Truth:
    """First shares at the start and at the end of hard runs, and of those that generalise."""

    start: float
    end: float
    generalising: float
    part: float = 1.0
    hard_generalise: bool = False
    released: bool = False


def planted(scale, truth):
    return Ledger(
        row(spec, truth, operation) for operation, runs in long_runs(scale).items() for spec in runs
    )


def row(spec, truth, operation):
    steps = np.arange(0, int(truth.part * spec_steps(spec)) + 1, spec.record_every)
    learned = operation == GENERALISING or truth.hard_generalise
    end = truth.generalising if operation == GENERALISING else truth.end
    curves = {
        "step": steps,
        "train_accuracy": np.ones(steps.size),
        "validation_accuracy": np.where(steps >= (3000 if learned else np.inf), 1.0, 0.1),
        "lost_at": np.full(steps.size, -1),
        "trajectory_pca/step": steps,
    }
    for scope in (*MATRICES, "layer0 mean", "layer1 mean"):
        level = end
        if truth.released and "mean" in scope:
            level = LAYER_MEANS[operation, int(scope[5])][0] / 100
        # The share is that of the start until a little after the beginning is read, at 0.05.
        first = np.where(steps <= 0.06 * spec_steps(spec), truth.start, level)
        outputs = {
            "first_share": first + SCATTER * (spec.seed % 4),
            "random_walk_share": np.full(steps.size, WALK),
            "z_score": (first - WALK) / 0.006,
            "ornstein_uhlenbeck_share": np.full(steps.size, 0.4),
            "first_share_without_decayed_start": first,
        }
        for output, values in outputs.items():
            curves[f"trajectory_pca/{output}:{scope}"] = values
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def spec_steps(spec):
    return {43: STEPS["demo"], 97: STEPS["full"]}[spec.task.modulus]


@pytest.mark.parametrize(
    ("words", "published", "suspected"),
    [
        ("below that of a random walk", "holds", "fails"),
        ("falls with the length", "holds", "fails"),
        ("Over runs of equal length", "holds", "fails"),
    ],
)
def test_what_is_planted_is_found(words, published, suspected):
    for truth, expected in (
        (Truth(start=0.76, end=0.43, generalising=0.70), published),
        (Truth(start=0.70, end=0.75, generalising=0.70), suspected),
    ):
        page = long_trajectory_page(Known(planted("demo", truth), UNTIL), "demo")
        (found,) = [v for v in page.verdicts if words in v.claim]
        assert found.status == expected, found.observed


def test_released_numbers_are_compared_and_one_seed_decides_nothing():
    ledger = planted("full", Truth(0.76, 0.43, 0.43, released=True))
    page = STUDY.page(Known(ledger, UNTIL), "full")
    assert "largest difference 0.00" in page.verdicts[0].observed
    assert "x2_xy_y2, after 200,000 steps 0.42" in page.verdicts[0].observed
    assert "missing" not in page.verdicts[0].observed
    assert {v.status for v in page.verdicts} == {"undecided"}


def test_runs_that_were_stopped_early_decide_nothing_and_are_shown():
    ledger = planted("demo", Truth(0.76, 0.43, 0.70, part=0.5))
    page = STUDY.page(Known(ledger, UNTIL), "demo")
    assert {v.status for v in page.verdicts} == {"undecided"}
    assert all("some runs are missing" in v.observed for v in page.verdicts)
    assert page.sections[0].items[0].rows[0][2] == f"{STEPS['demo'] // 2:,}"


def test_a_published_run_counts_from_the_horizon_on_and_is_read_where_it_ended():
    ledger = planted("full", Truth(0.76, 0.43, 0.70, part=0.5))
    page = STUDY.page(Known(ledger, UNTIL), "full")
    released, *others = page.verdicts
    assert "after 100,000 steps" in released.observed
    assert "some runs are missing" in released.observed
    assert not any("missing" in v.observed for v in others)


def test_a_hard_operation_that_generalises_is_no_example_of_one():
    known = Known(planted("demo", Truth(0.76, 0.43, 0.70, hard_generalise=True)), UNTIL)
    assert not_learned(long_cells(known, "demo")) == []
    assert {v.status for v in STUDY.page(known, "demo").verdicts} == {"undecided"}


@pytest.mark.parametrize("scale", ["demo", "full"])
def test_every_part_of_the_page_is_there(scale, tmp_path):
    page = STUDY.page(Known(planted(scale, Truth(0.76, 0.43, 0.70)), UNTIL), scale)
    write(page, tmp_path / "page.html")
    assert [len(section.items) for section in page.sections] == [1, 2 + len(long_runs(scale)), 1, 1]


def test_published_runs_are_the_published_length():
    runs = [spec for own in long_runs("full").values() for spec in own]
    assert {spec.steps for spec in runs} == {200_000}
    # A later horizon is another decision on the same run, not another run.
    assert UNTIL.horizon == HORIZON < 200_000
    assert {spec.task.operation for spec in runs} == {"x2_xy_y2", "x3_xy", GENERALISING}
