"""Decay switched and ramped: factors by hand, events run by run, exact on resume."""

import math
from dataclasses import replace

import pytest
import torch
from link_cases import GROUPS, LAYOUT, applied, clock, parameters

from cases import EAGER, tiny
from spectraledge.training import Problem, Trainer, merge_states
from spectraledge.updates import (
    Adam,
    During,
    LowRank,
    RampStrength,
    RampStrengthAtEvent,
    ScaleGradient,
    WeightDecay,
    chain,
)


def factors(update, steps, drive=lambda index: (1.0,)):
    """What a decay multiplies parameters by at each step, divided into strengths; per run."""
    runs = len(drive(1))
    theta = torch.ones(runs, LAYOUT.size, dtype=torch.float64)
    links, states = chain([(update,)] * runs, theta, LAYOUT, GROUPS)
    found = []
    for index in range(1, steps + 1):
        theta.fill_(1.0)
        gradient = torch.zeros_like(theta)
        gradient[:, 0] = torch.tensor(drive(index), dtype=torch.float64)
        links.apply_(theta, gradient, states, clock(runs, index, lr=0.1), {})
        found.append(((1 - theta[:, 0]) / 0.1).tolist())
    return [list(run) for run in zip(*found)]


@pytest.mark.parametrize(
    ("at", "duration", "before", "after", "expected"),
    [
        (3, 0, 1.0, 0.0, [1, 1, 0, 0, 0, 0, 0]),
        (3, 0, 0.0, 1.0, [0, 0, 1, 1, 1, 1, 1]),
        (2, 4, 1.0, 0.0, [1, 1, 0.75, 0.5, 0.25, 0, 0]),
        (4, 2, 0.5, 3.0, [0.5, 0.5, 0.5, 0.5, 1.75, 3, 3]),
        (1, 1, 0.1, 0.3, [0.1, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]),
    ],
)
def test_the_factor_is_linear_between_two_levels(at, duration, before, after, expected):
    update = RampStrength(WeightDecay(2.0), at, duration, before, after)
    # 1 - (1 - x) in float64.
    assert factors(update, 7)[0] == pytest.approx([2 * f for f in expected], abs=1e-14)


def test_switched_off_and_on_is_as_without_and_with():
    """To the last bit, also for a decay that decomposes matrices."""
    start, drift = parameters(1), lambda theta: theta.mul_(1.01)
    for make in (WeightDecay, LowRank):
        off, _ = applied([RampStrength(make(0.5), 4)], start, range(1, 7), between=drift)
        half, _ = applied([make(0.5)], start, range(1, 4), between=drift)
        for _ in range(3):
            drift(half)
        assert torch.equal(off, half)
        on = RampStrength(make(0.5), 4, before=0.0, after=1.0)
        late, _ = applied([on], start, range(1, 7), between=drift)
        same, _ = applied([During(make(0.5), 4)], start, range(1, 7), between=drift)
        assert torch.equal(late, same)


def test_steps_may_differ_between_the_runs_of_a_batch():
    """An event of another run's ledger is another step for every seed."""
    start = parameters(2)
    updates = [RampStrength(WeightDecay(0.5), at) for at in (2, 5)]
    together, _ = applied(updates, start, range(1, 7))
    for run, update in enumerate(updates):
        alone, _ = applied([update], start[run : run + 1], range(1, 7))
        assert torch.equal(together[run], alone[0])
    assert not torch.equal(together[0] / start[0], together[1] / start[1])


def test_an_event_switches_each_run_for_itself_and_is_never_taken_back():
    update = RampStrengthAtEvent(WeightDecay(1.0), "gradient_norm", 0.5)
    below = [(2.0, 0.4, 2.0), (2.0, 2.0, 0.5), (0.1, 2.0, 0.5), (2.0, 2.0, 0.5)]
    found = factors(update, 4, lambda index: below[index - 1])
    expected = [[0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]]  # 0.5 is not below 0.5
    for ours, theirs in zip(found, expected):
        assert ours == pytest.approx(theirs, abs=1e-14)


def test_patience_and_ramp_after_the_event():
    norms = [1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0]
    update = RampStrengthAtEvent(
        WeightDecay(1.0), "gradient_norm", 0.5, "above", 2, duration=2, before=1.0, after=0.0
    )
    (found,) = factors(update, 7, lambda index: (norms[index - 1],))
    assert found == pytest.approx([1, 1, 1, 1, 0.5, 0, 0], abs=1e-14)


def test_an_event_is_waited_for_while_it_is_left_out():
    update = During(RampStrengthAtEvent(WeightDecay(1.0), "gradient_norm", 0.5), 4)
    norms = [1.0, 0.1, 1.0, 1.0, 1.0]
    (found,) = factors(update, 5, lambda index: (norms[index - 1],))
    assert found == pytest.approx([0, 0, 0, 1, 1], abs=1e-14)


SPECS = [
    tiny(
        seed=seed,
        lr=1e-2,
        steps=40,
        record_every=8,
        updates=(
            RampStrengthAtEvent(WeightDecay(1.0), quantity, threshold, crossing),
            Adam(),
        ),
    )
    for seed, quantity, threshold, crossing in (
        (0, "batch_loss", 1.0, "below"),
        (1, "batch_loss", 1.0, "below"),
        (0, "batch_accuracy", 0.5, "above"),
    )
]


def crossing_step(spec, quantity):
    """First step whose batch loss or accuracy crosses, seen from outside."""
    problem = Problem([replace(spec, record_every=1)], EAGER)
    update = spec.updates[0]
    trainer = Trainer(problem)
    for _ in range(spec.steps):
        tokens, labels = problem.batch(trainer.state.step)
        _, loss, accuracy = problem.gradient(trainer.state.theta, tokens, labels)
        trainer.step_()
        crossed = {
            "batch_loss": float(loss) < update.threshold,
            "batch_accuracy": float(accuracy) > update.threshold,
        }
        if crossed[quantity]:
            return trainer.state.step, trainer
    return math.inf, trainer


@pytest.mark.parametrize("spec", SPECS, ids=["loss", "another seed", "accuracy"])
def test_the_trainer_tells_the_loss_and_accuracy_of_its_batch(spec):
    step, trainer = crossing_step(spec, spec.updates[0].quantity)
    assert 1 < step < spec.steps
    assert float(trainer.state.updates[0]["reached_at"]) == step
    # From there on it is the run with a switch at that step.
    known = replace(spec, updates=(RampStrength(WeightDecay(1.0), step, 0, 0.0, 1.0), Adam()))
    *_, ours = Trainer(Problem([spec], EAGER)).snapshots()
    *_, theirs = Trainer(Problem([known], EAGER)).snapshots()
    assert torch.equal(ours.parameters, theirs.parameters)


def test_events_survive_a_resume_before_and_after_them():
    problem = Problem(SPECS[:2], EAGER)
    whole = Trainer(problem)
    saved = [[whole.state.tensors(run) for run in (0, 1)] for _ in whole.snapshots()]
    flags = [[bool(s["updates/0/reached_at"].isfinite()) for s in pair] for pair in saved]
    assert flags[0] == [False, False]
    assert flags[-1] == [True, True]
    for pair in saved[:-1]:
        resumed = Trainer(problem, state=merge_states(pair, links=2))
        *_, last = resumed.snapshots()
        assert torch.equal(last.parameters, whole.state.theta)


def decay():
    return WeightDecay(1.0)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: RampStrength(Adam(), 5), TypeError, r"with a strength \(a float\), got Adam"),
        (lambda: RampStrength(During(decay(), 2), 5), TypeError, "inside During if it has a span"),
        (lambda: RampStrength(decay(), 0), ValueError, "at < inf, got 0.0"),
        (lambda: RampStrength(decay(), 2.5), ValueError, "at to be a whole number, got 2.5"),
        (lambda: RampStrength(decay(), 5, -1), ValueError, "duration < inf, got -1.0"),
        (lambda: RampStrength(decay(), 5, 0, -1.0), ValueError, "before < inf, got -1.0"),
        (
            lambda: RampStrengthAtEvent(ScaleGradient(0.5), "batch_loss", 1.0),
            TypeError,
            "RampStrengthAtEvent: expected an update with a strength",
        ),
        (
            lambda: RampStrengthAtEvent(decay(), "loss", 1.0),
            ValueError,
            "unknown quantity 'loss'; known: batch_loss, batch_accuracy",
        ),
        (
            lambda: RampStrengthAtEvent(decay(), "batch_loss", 1.0, "under"),
            ValueError,
            "known: below, above",
        ),
        (
            lambda: RampStrengthAtEvent(decay(), "batch_loss", math.nan),
            ValueError,
            "threshold < inf, got nan",
        ),
        (
            lambda: RampStrengthAtEvent(decay(), "batch_loss", 1.0, patience=0),
            ValueError,
            "patience < inf, got 0",
        ),
        (
            lambda: RampStrengthAtEvent(decay(), "batch_loss", 1.0, duration=0.5),
            ValueError,
            "duration to be a whole number, got 0.5",
        ),
        (
            lambda: applied([RampStrengthAtEvent(decay(), "batch_loss", 1.0)], parameters(1)),
            ValueError,
            "a clock that tells the batch_loss, got one without",
        ),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
