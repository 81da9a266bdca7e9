"""The page on the mirror leak finds a planted leak, and its absence."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from experiments.planted import planted_ledger
from spectraledge.experiments.low_rank_decay.mirror_leak import STUDY, leak_runs
from spectraledge.experiments.low_rank_decay.mirror_plateaus import excesses, plateaus
from spectraledge.experiments.low_rank_decay.phase_cells import mirror_share
from spectraledge.experiments.low_rank_decay.sizes import REDUCED, size_of
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.report import write
from spectraledge.tasks import ModularArithmetic
from spectraledge.training import RunSpec


@cache
def bare(scale):
    return tuple(planted_ledger(STUDY, scale, lambda spec: None))


def rows(mirror, other, safe=0.0, scale="demo", subtraction=0.0):
    """Runs that get these shares of the pairs right, up to scatter over seeds."""
    known = Known(Ledger(bare(scale)), STUDY.until)
    found = []
    for (_, operation, split, _), of_cell in leak_runs(size_of(scale)).items():
        for spec in of_cell:
            row = known.row(spec)
            noise = np.random.default_rng(spec.seed).normal(0, 0.002)
            leaks = operation == "add" and split == "ordered"
            rest = subtraction if operation == "sub" else safe
            seen, unseen = (mirror, other) if leaks else (rest, rest)
            share = mirror_share(spec)
            ends = {
                "validation_accuracy_mirror": np.nan if split == "unordered" else seen + noise,
                "validation_accuracy_non_mirror": unseen + noise,
                "validation_accuracy_diagonal": unseen + noise,
                "validation_accuracy": share * seen + (1 - share) * unseen + noise,
            }
            ones = np.ones(row.curves["step"].size)
            curves = {**row.curves, **{name: value * ones for name, value in ends.items()}}
            found.append(replace(row, curves=curves))
    return found


def page_of(found, scale="demo"):
    return STUDY.page(Known(Ledger(found), STUDY.until), scale)


def statuses(page):
    return [v.status for v in page.verdicts]


def test_a_planted_leak_is_found():
    page = page_of(rows(mirror=0.99, other=0.01))
    assert statuses(page) == ["holds"] * 5
    assert "stops at the share" in page.summary
    assert "nothing is left: 0.00" in page.summary


def test_runs_that_generalise_are_no_plateau():
    page = page_of(rows(mirror=0.99, other=0.9, safe=0.9, subtraction=0.9))
    assert statuses(page) == ["fails", "undecided", "fails", "fails", "fails"]
    assert page.verdicts[1].observed == "no run on the plateau"
    assert "does not stop at the share" in page.summary


def test_a_plateau_elsewhere_is_not_the_leak():
    page = page_of(rows(mirror=0.5, other=0.01))
    assert statuses(page)[:3] == ["fails", "fails", "fails"]


def test_a_plateau_is_measured_against_the_mirrors_of_its_own_split():
    known = Known(Ledger(rows(mirror=1.0, other=0.0)), STUDY.until)
    found = plateaus(known, leak_runs(REDUCED))
    first = next(p for p in found if p.condition == "L2" and p.fraction == 0.5)
    assert len(set(first.shares.values())) > 1  # the luck of the split
    # Mirrored pairs are right: what is left is the scatter of 0.002 over seeds.
    assert np.abs(first.excess).max() < 0.01
    above = excesses(found, "L2")
    assert set(above) == {0.3, 0.4, 0.5, 0.6, 0.7, 0.8}
    assert all(i.lower < 0.01 and i.upper > -0.01 for i in above.values())


def test_mirror_shares_by_brute_force():
    spec = RunSpec(task=ModularArithmetic(11, split="ordered", train_fraction=0.6), data_seed=3)
    data = spec.task.dataset(3)
    trained = {tuple(data.tokens[i, :2].tolist()) for i in data.train}
    held = [tuple(data.tokens[i, :2].tolist()) for i in data.validation]
    share = np.mean([(b, a) in trained and a != b for a, b in held])
    assert mirror_share(spec) == pytest.approx(share)


def test_nothing_known_is_a_page(tmp_path):
    page = page_of([])
    assert set(statuses(page)) == {"undecided"}
    write(page, tmp_path / "page.html")


def test_a_smoke_run_decides_nothing(tmp_path):
    page = page_of(rows(0.99, 0.01, scale="smoke"), "smoke")
    assert set(statuses(page)) == {"undecided"}
    write(page, tmp_path / "page.html")


def test_any_part_of_the_rows_is_a_page():
    found = rows(0.99, 0.01)
    for seed in range(4):
        kept = np.random.default_rng(seed).random(len(found)) < (seed + 1) / 20
        page_of(row for row, there in zip(found, kept) if there)
