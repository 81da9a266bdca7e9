"""The page on forcing tells equal from late, and long pushes from short ones."""

from functools import cache

import numpy as np
import pytest
import torch

from experiments.planted_interventions import planted_interventions, planted_row, scatter
from spectraledge.experiments.execution_subspace.forcing_arms import ARMS, CHAINS
from spectraledge.experiments.execution_subspace.forcing_is_insufficient import STUDY
from spectraledge.experiments.execution_subspace.forcing_lengths import adam_step, pushes_of
from spectraledge.experiments.execution_subspace.interventions import baselines, protocol_of
from spectraledge.experiments.execution_subspace.regimes import PUBLISHED, REDUCED
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.report import write
from spectraledge.snapshots import Layout
from spectraledge.updates import Adam, chain
from spectraledge.updates.base import Clock


def equal(arm, seed):
    return 4000 + 100 * (seed % 5) + scatter(arm, seed, 100), 1.0


def late(arm, seed):
    """Sustained kicks along the commutator delay by 900, and so do all large pushes."""
    step, train = equal(arm, seed)
    pushed = arm.startswith("sustained ×") or (arm in ARMS and ARMS[arm].family == "large")
    return step + (900 if pushed else 0), train


@cache
def known(rule, scale="demo"):
    return planted_interventions(protocol_of(scale, ("add",)), CHAINS, rule)


def statuses(page):
    return [v.status for v in page.verdicts]


def test_nothing_known_is_a_page(tmp_path):
    page = STUDY.page(Known(Ledger(), STUDY.until), "demo")
    assert set(statuses(page)) == {"undecided"}
    write(page, tmp_path / "page.html")


# Kick, sustained kicks, noise, penalty, direction, strong, large.
def test_equal_times_are_found_equal():
    page = STUDY.page(known(equal), "demo")
    assert statuses(page) == ["holds"] * 5 + ["fails", "fails"]


def test_late_arms_are_found_where_they_were_planted():
    page = STUDY.page(known(late), "demo")
    assert statuses(page) == [
        "holds", "fails", "holds", "holds", "fails", "fails", "holds"
    ]  # fmt: skip
    # Four of nine kinds of sustained kicks are 900 late.
    observed = page.verdicts[1].observed
    assert abs(float(observed.split()[0]) - 400) < 100
    late_ones = ", ".join(f"sustained × {n}" for n in (50, 100, 200, 500))
    assert observed.endswith(late_ones)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_any_part_of_the_rows_is_a_page(share, tmp_path):
    rows = list(known(late).ledger)
    kept = [row for row in rows if np.random.default_rng(len(row.spec_json)).random() < share]
    write(STUDY.page(Known(Ledger(kept), STUDY.until), "demo"), tmp_path / "page.html")


def test_smoke_decides_nothing_and_the_published_size_is_a_page():
    assert set(statuses(STUDY.page(known(late, "smoke"), "smoke"))) == {"undecided"}
    assert "holds" in statuses(STUDY.page(known(equal, "full"), "full"))


def test_lengths_are_multiples_of_gradient_steps():
    protocol = protocol_of("demo", ("add",))
    specs = baselines(protocol)["add"]
    # Any spec will do: lengths come from the arm's name and the row's gradient norms.
    rows = {0: planted_row(specs[0], 4000, 1.0, 1.0), 1: planted_row(specs[1], 4000, 1.0, 4.0)}
    found = pushes_of({arm: rows for arm in ARMS}, protocol)
    # The geometric mean of 1 and 4 is 2.
    assert found["kick × 20"].length == pytest.approx(20 * 1e-3 * 2)
    assert found["sustained random × 500"].length == pytest.approx(500 * 1e-3 * 2)
    assert found["sustained random, 0.75"].length == pytest.approx(0.75)
    assert found["noise 0.1"].length == 0.1
    assert not [arm for arm in found if arm.startswith("penalty")]
    push = found["noise 0.5"]
    assert push.rate == pytest.approx(0.5 / adam_step(REDUCED) / 50)


def test_the_unit_is_the_length_of_adam_steps_under_noise():
    # P parameters of the published regime, whose number is published too.
    assert adam_step(PUBLISHED) == pytest.approx(1e-3 * np.sqrt(290_401 * 0.1 / 1.9))
    # The same by running Adam on noise, with a long memory for squares as the formula assumes.
    size, lr = 20_000, 1e-3
    theta = torch.zeros(1, size)
    layout = Layout(("weight",), ((size,),))
    adam, states = chain([(Adam(beta2=0.999),)], theta, layout, {})
    noise = torch.Generator().manual_seed(0)
    one = torch.ones(1, 1, dtype=torch.float64)
    lengths = []
    for index in range(1, 401):
        before = theta.clone()
        gradient = torch.randn(1, size, generator=noise)
        clock = Clock(index, torch.tensor(float(index), dtype=torch.float64), lr * one, one)
        adam.apply_(theta, gradient, states, clock, {})
        lengths.append(float((theta - before).norm()))
    expected = lr * np.sqrt(size * 0.1 / 1.9)
    # Squares over some 300 steps scatter by √(2/300) = 8 %, which adds 3/4 of its square or 0.5 %;
    # lengths themselves scatter by 1/√(2·20000·0.1/1.9) < 3 % a step and less on average.
    assert np.mean(lengths[300:]) == pytest.approx(expected, rel=0.02)
