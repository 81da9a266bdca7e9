"""Kicks and noise: exact lengths, orthogonal, and the commutator of quadratic losses."""

import pytest
import torch
from intervention_cases import KINDS, Quadratics, directions, follow
from link_cases import LAYOUT, parameters

from cases import EAGER, tiny
from spectraledge.training import Problem, Trainer
from spectraledge.updates import (
    Adam,
    During,
    InitialBasis,
    Kick,
    OrthogonalNoise,
    RandomBasis,
)

ETA = 1e-3
BASIS = RandomBasis(2, KINDS)
PROBLEM = Quadratics(LAYOUT.size)


def start(runs: int = 1) -> torch.Tensor:
    return parameters(runs).double()


def jumps(link, theta, steps):
    """Displacement of each step of a link that stands alone."""
    moved, _ = follow((link,), theta, range(1, steps + 1), problem=PROBLEM)
    return [after - before for before, after in zip([theta, *moved], moved)]


def check(jump, length, theta, basis=BASIS):
    """Of that length, and with no component along the basis."""
    # Sums of 200 products in float64, of kicks on parameters of about 3.
    for run, size in enumerate(torch.as_tensor(length, dtype=torch.float64).expand(len(theta))):
        assert jump[run].norm().item() == pytest.approx(float(size), rel=1e-9)
        B = directions(basis, theta, run)
        assert (jump[run] @ B).abs().max() < 1e-12


def test_a_single_kick_and_sustained_ones_act_at_their_steps():
    theta = start(2)
    single = jumps(Kick(BASIS, 50.0, 3, None, "random", "constant"), theta, 8)
    assert [bool(j.any()) for j in single] == [i == 3 for i in range(1, 9)]
    check(single[2], 50 * 1.5e-3, theta)
    sustained = jumps(Kick(BASIS, 50.0, 3, 2, "random", "constant"), theta, 8)
    assert [bool(j.any()) for j in sustained] == [i in (3, 5, 7) for i in range(1, 9)]
    for index in (3, 5, 7):
        check(sustained[index - 1], 0.075, theta)
    # Runs have streams of their own, and every kick is a new one.
    assert not torch.equal(sustained[2][0], sustained[2][1])
    assert not torch.equal(sustained[2], sustained[4])


def bracket(theta, step, sample):
    """η² (H_B g_A − H_A g_B), exact for quadratic losses; and the gradients."""
    (h_a, b_a), (h_b, b_b) = (PROBLEM.batch(step, f"kick/{sample}/{x}") for x in "AB")
    g_a, g_b = theta @ h_a - b_a, theta @ h_b - b_b
    return ETA**2 * (g_a @ h_b - g_b @ h_a), g_a, g_b


def test_the_commutator_of_quadratic_losses():
    theta = start(2)
    (jump,) = jumps(Kick(BASIS, 10.0, 1, samples=1), theta, 1)
    for run in (0, 1):
        delta, g_a, _ = bracket(theta[run], 1, 0)
        B = directions(BASIS, theta, run)
        outside = delta - delta @ B @ B.mT
        expected = 10 * ETA * g_a.norm() * outside / outside.norm()
        # δ is a difference of gradients of about 30 of size 1e-3 of them, times 1e-3.
        torch.testing.assert_close(jump[run], expected, rtol=0, atol=1e-9)
    check(jump, [10 * ETA * bracket(theta[run], 1, 0)[1].norm() for run in (0, 1)], theta)


def test_the_median_sample_is_taken_run_by_run():
    theta, samples = start(3), 5
    (jump,) = jumps(Kick(BASIS, 1.0, 1, samples=samples), theta, 1)
    chosen = set()
    for run in range(3):
        found = [bracket(theta[run], 1, sample) for sample in range(samples)]
        defects = [float(d.norm() / (a.norm() * b.norm())) for d, a, b in found]
        middle = sorted(range(samples), key=lambda s: defects[s])[samples // 2]
        chosen.add(middle)
        assert jump[run].norm().item() == pytest.approx(
            float(ETA * found[middle][1].norm()), rel=1e-9
        )
    assert len(chosen) > 1


def test_random_and_commutator_kicks_of_matched_length():
    theta = start(2)
    (along,) = jumps(Kick(BASIS, 7.0, 1, samples=1), theta, 1)
    (random,) = jumps(Kick(BASIS, 7.0, 1, direction="random", samples=1), theta, 1)
    torch.testing.assert_close(along.norm(dim=1), random.norm(dim=1), rtol=1e-9, atol=0)
    check(random, random.norm(dim=1), theta)
    cosine = (along * random).sum(1) / (along.norm(dim=1) * random.norm(dim=1))
    assert cosine.abs().max() < 0.5  # 165 dimensions: standard deviation 0.08


def test_a_kick_leaves_gradients_and_training_batches_alone(monkeypatch):
    theta = start()
    _, kicked = follow((Kick(BASIS, 5.0, 1, 1, samples=1),), theta, range(1, 4), problem=PROBLEM)
    _, still = follow((Kick(BASIS, 0.0, 9, samples=1),), theta, range(1, 4), problem=PROBLEM)
    assert all(torch.equal(a, b) for a, b in zip(kicked, still))
    salts = []
    batch = Problem.batch

    def spy(self, step, salt="train"):
        salts.append((step, salt))
        return batch(self, step, salt)

    monkeypatch.setattr(Problem, "batch", spy)
    spec = tiny(updates=(Adam(), Kick(InitialBasis(), 1.0, 2, samples=2)), steps=2)
    *_, last = Trainer(Problem([spec], EAGER)).snapshots()
    assert bool(last.parameters.isfinite().all())
    assert [s for s in salts if s[1] == "train"] == [(0, "train"), (1, "train")]
    assert {s[1] for s in salts} == {"train", *(f"kick/{i}/{x}" for i in (0, 1) for x in "AB")}


@pytest.mark.parametrize("basis", [BASIS, RandomBasis(3)], ids=["per matrix", "whole space"])
def test_noise_is_orthogonal_of_its_norm_at_its_steps(basis):
    theta = start(2)
    steps = jumps(OrthogonalNoise(basis, 0.1, every=3), theta, 7)
    assert [bool(j.any()) for j in steps] == [i % 3 == 0 for i in range(1, 8)]
    for index in (3, 6):
        check(steps[index - 1], 0.1, theta, basis)
    # Beyond the basis it is Gaussian over all parameters: no direction is left out.
    assert bool((steps[2] != 0).all())
    late = jumps(During(OrthogonalNoise(basis, 0.1, every=3), 5), theta, 7)
    assert [bool(j.any()) for j in late] == [i == 6 for i in range(1, 8)]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Kick(BASIS, -1.0, 1), ValueError, "Kick: expected 0.0 <= size"),
        (lambda: Kick(BASIS, 1.0, 0), ValueError, "at < inf, got 0"),
        (lambda: Kick(BASIS, 1.0, 1, 0), ValueError, "every < inf, got 0"),
        (lambda: Kick(BASIS, 1.0, 2.5), ValueError, "at to be a whole number, got 2.5"),
        (lambda: Kick(BASIS, 1.0, 1, 2.5), ValueError, "every to be a whole number, got 2.5"),
        (lambda: Kick(BASIS, 1.0, 1, samples=0), ValueError, "samples < inf, got 0"),
        (lambda: Kick(BASIS, 1.0, 1, direction="bracket"), ValueError, "known: commutator, random"),
        (lambda: Kick(BASIS, 1.0, 1, length="matched"), ValueError, "known: gradient, constant"),
        (lambda: Kick(None, 1.0, 1), TypeError, "Kick: expected a basis"),
        (lambda: OrthogonalNoise(BASIS, -0.1), ValueError, "OrthogonalNoise: expected 0.0 <= size"),
        (lambda: OrthogonalNoise(BASIS, 0.1, 0), ValueError, "every < inf, got 0"),
        (lambda: OrthogonalNoise(BASIS, 0.1, 1.5), ValueError, "every to be a whole number"),
        (lambda: OrthogonalNoise(0.1, 0.1), TypeError, "OrthogonalNoise: expected a basis"),
        (
            lambda: follow((Kick(BASIS, 1.0, 1),), start(), range(1, 2)),
            ValueError,
            "needs gradients of batches of its own, got no problem",
        ),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
