"""Projections of gradients and steps: algebra, and the controls that tell what Adam does."""

from dataclasses import replace

import pytest
import torch
from intervention_cases import BASES, KINDS, dense, directions, follow, slopes, walk
from link_cases import GROUPS, LAYOUT, clock, parameters

from cases import EAGER, tiny
from spectraledge.training import Problem, Trainer
from spectraledge.updates import (
    SGD,
    Adam,
    BoostParallel,
    During,
    InitialBasis,
    Kick,
    OrthogonalNoise,
    PastBasis,
    ProjectGradient,
    ProjectUpdate,
    RandomBasis,
    ScaleGradient,
    WeightDecay,
    chain,
    trajectories_from,
)

each = pytest.mark.parametrize("name", BASES)
EPSILON = torch.finfo(torch.float32).eps


@pytest.fixture(autouse=True)
def _reference():
    with trajectories_from(walk):
        yield


def projected(update, theta=None):
    theta = parameters(1) if theta is None else theta
    return follow((update,), theta, range(1, 2))[1][0]


@each
@pytest.mark.parametrize("keep", ["parallel", "orthogonal"])
def test_projection_is_the_dense_one(name, keep):
    theta = parameters(1)
    B = directions(BASES[name], theta)
    g = slopes(theta, 1).double()
    inside = g @ B @ B.mT
    kept, other = (inside, g - inside) if keep == "parallel" else (g - inside, inside)
    for strength in (0.25, 0.75, 1.0):
        ours = projected(ProjectGradient(BASES[name], strength, keep))
        # Parts, product and sum are rounded once each, at most at the size of the gradient.
        expected = (kept + (1 - strength) * other).float()
        torch.testing.assert_close(ours, expected, rtol=0, atol=4 * EPSILON * float(g.abs().max()))


@each
@pytest.mark.parametrize("keep", ["parallel", "orthogonal"])
def test_full_projection_is_idempotent(name, keep):
    update = ProjectGradient(BASES[name], 1.0, keep)
    once = follow((update,), parameters(1), range(1, 2))[1][0]
    twice = follow((update, update), parameters(1), range(1, 2))[1][0]
    torch.testing.assert_close(twice, once, rtol=0, atol=4 * EPSILON * float(once.abs().max()))
    if keep == "parallel" and name != "random":
        assert once[:, LAYOUT.span("gain")].count_nonzero() == 0


@pytest.mark.parametrize(
    "link",
    [
        ProjectGradient(RandomBasis(4), 0.0),
        BoostParallel(InitialBasis(), 1.0),
        ScaleGradient(1.0),
        Kick(InitialBasis(), 0.0, 2, samples=1),
        OrthogonalNoise(InitialBasis(), 0.0, 2),
    ],
    ids=lambda link: type(link).__name__,
)
def test_strength_zero_trains_as_without(link):
    def final(*updates):
        *_, last = Trainer(Problem([tiny(updates=updates, steps=4)], EAGER)).snapshots()
        return last.parameters

    after = isinstance(link, Kick | OrthogonalNoise)
    updates = (Adam(), link) if after else (link, Adam())
    assert torch.equal(final(*updates), final(Adam()))
    assert torch.equal(final(ProjectUpdate(Adam(), RandomBasis(4), 0.0)), final(Adam()))


def test_every_and_the_norm_that_is_given_back():
    theta = parameters(2)
    update = ProjectGradient(RandomBasis(5), 1.0, "parallel", every=3, match_norm=True)
    _, gradients = follow((update,), theta, range(1, 7))
    for index, gradient in enumerate(gradients, 1):
        raw = slopes(theta, index)
        assert torch.equal(gradient, raw) == (index % 3 != 0)
        # The norm of float32 numbers that were rounded once more.
        torch.testing.assert_close(
            gradient.double().norm(dim=1), raw.double().norm(dim=1), rtol=2 * EPSILON, atol=0
        )


def test_nothing_but_rounding_is_not_blown_up_to_the_old_norm():
    theta = parameters(1)
    update = ProjectGradient(InitialBasis(KINDS), 1.0, "orthogonal", match_norm=True)
    links, states = chain([(update,)], theta, LAYOUT, GROUPS)
    gradient = torch.zeros_like(theta)
    span = LAYOUT.span("a.query")
    gradient[:, span] = 0.3 * theta[:, span]
    links.apply_(theta, gradient, states, clock(1), {})
    assert gradient.count_nonzero() == 0


# --- What an optimizer makes of it ---------------------------------------------------------------


def test_sgd_takes_a_scaled_gradient_for_another_learning_rate():
    """To the last bit for a power of two, where every product is exact."""
    scaled, _ = follow((ScaleGradient(0.5), SGD(0.9)), parameters(2), range(1, 9), lr=0.1)
    slower, _ = follow((SGD(0.9),), parameters(2), range(1, 9), lr=0.05)
    assert torch.equal(scaled[-1], slower[-1])


def test_adam_does_not_notice_uniform_scaling():
    """To the last bit without ε; with it, up to ε / |g| of a step."""
    for epsilon in (0.0, 1e-8):
        adam = Adam(0.9, 0.98, epsilon)
        scaled, _ = follow((ScaleGradient(0.25), adam), parameters(2), range(1, 9))
        plain, _ = follow((adam,), parameters(2), range(1, 9))
        if epsilon == 0:
            assert torch.equal(scaled[-1], plain[-1])
        assert not torch.equal(scaled[-1], follow((adam,), parameters(2), range(1, 8))[0][-1])
        # Eight steps of 0.1; the smallest root of v̂ among 350 Gaussian slopes is above 1e-3.
        torch.testing.assert_close(scaled[-1], plain[-1], rtol=0, atol=8 * 0.1 * 4e-8 / 1e-3)


def test_adam_takes_suppression_for_amplification():
    """Boosting the inside by 1 / (1 − s), suppressing nothing, is the projection of strength s."""
    basis, adam, start = BASES["random per matrix"], Adam(0.9, 0.98, 0.0), parameters(2)
    suppressed, _ = follow((ProjectGradient(basis, 0.75), adam), start, range(1, 9))
    boosted, _ = follow((BoostParallel(basis, 4.0), adam), start, range(1, 9))
    plain, _ = follow((adam,), start, range(1, 9))
    # Gradients agree to a few roundings, which a coordinate's first step -sign(g) can magnify
    # where its parts nearly cancel; the smallest of 350 relative differences is above 1e-3.
    torch.testing.assert_close(suppressed[-1], boosted[-1], rtol=0, atol=0.8 * 8 * EPSILON / 1e-3)
    assert (suppressed[-1] - plain[-1]).abs().max() > 0.05
    # And outside the blocks, where all of the gradient was to be suppressed by 75 %, nothing is.
    gain = LAYOUT.span("gain")
    torch.testing.assert_close(suppressed[-1][:, gain], plain[-1][:, gain], rtol=1e-5, atol=1e-6)


@each
def test_the_projected_step_of_adam_is_suppressed(name):
    theta = parameters(1)
    B = directions(BASES[name], theta)
    plain = follow((Adam(),), theta, range(1, 2))[0][0].double() - theta.double()
    (moved,), _ = follow((ProjectUpdate(Adam(), BASES[name], 0.75),), theta, range(1, 2))
    step = moved.double() - theta.double()
    inside = plain @ B @ B.mT
    # Parameters of about 3 are rounded twice.
    torch.testing.assert_close(step, inside + 0.25 * (plain - inside), rtol=0, atol=8 * EPSILON)


def test_decay_inside_a_span_only():
    theta, basis = parameters(1), RandomBasis(2, KINDS)
    B = directions(basis, theta)
    (moved,), _ = follow((ProjectUpdate(WeightDecay(2.0), basis, 1.0),), theta, range(1, 2))
    expected = theta.double() - 0.1 * 2.0 * theta.double() @ B @ B.mT
    torch.testing.assert_close(moved.double(), expected, rtol=0, atol=8 * EPSILON)
    assert torch.equal(moved[:, LAYOUT.span("gain")], theta[:, LAYOUT.span("gain")])


def test_the_inner_update_keeps_its_state():
    """The moments see the whole gradient: two projected steps are not two first steps."""
    update = ProjectUpdate(Adam(), InitialBasis(KINDS), 1.0, "orthogonal")
    theta = parameters(1)
    (_, second), _ = follow((update,), theta, range(1, 3))
    (first, plain), _ = follow((Adam(),), theta, range(1, 3))
    gain = LAYOUT.span("gain")  # outside the span, so not projected at all
    assert torch.equal(second[:, gain], plain[:, gain])
    B = dense(InitialBasis(KINDS).directions(theta, LAYOUT))
    # What is left along B is the rounding of parameters of about 3 and of their projection.
    assert ((second - theta).double() @ B).abs().max() < 1e-5
    assert ((plain - theta).double() @ B).abs().max() > 1e-2
    assert not torch.equal(first, plain)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ProjectGradient(InitialBasis(), 1.5), ValueError, "0 <= strength <= 1, got 1.5"),
        (lambda: ProjectGradient(InitialBasis(), 0.5, "inside"), ValueError, "known: parallel, or"),
        (lambda: ProjectGradient(InitialBasis(), 0.5, every=0), ValueError, "every < inf, got 0"),
        (
            lambda: ProjectGradient(InitialBasis(), 0.5, every=2.5),
            ValueError,
            "every to be a whole number, got 2.5",
        ),
        (lambda: ProjectGradient("initial", 0.5), TypeError, "expected a basis .* got 'initial'"),
        (lambda: BoostParallel(InitialBasis(), -1.0), ValueError, "factor < inf, got -1.0"),
        (lambda: BoostParallel(0.5, 2.0), TypeError, "BoostParallel: expected a basis"),
        (lambda: ScaleGradient(float("nan")), ValueError, "ScaleGradient: .* got nan"),
        (lambda: ProjectUpdate(0.5, InitialBasis(), 0.5), TypeError, "an update, got 0.5; write"),
        (lambda: ProjectUpdate(Adam(), None, 0.5), TypeError, "expected a basis .* got None"),
        (
            lambda: ProjectUpdate(ScaleGradient(0.5), InitialBasis(), 0.5),
            ValueError,
            "use ProjectGradient for gradients",
        ),
        (lambda: ProjectUpdate(Adam(), InitialBasis(), 2.0), ValueError, "strength <= 1, got 2.0"),
        (lambda: projected(ProjectGradient(InitialBasis(("conv",)), 1.0)), ValueError, "no weight"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_basis_that_is_not_there_yet_changes_nothing():
    update = During(ProjectGradient(PastBasis(2, every=2, kinds=KINDS), 1.0), 1)
    theta = parameters(1)
    _, gradients = follow((update, SGD()), theta, range(1, 7))
    # Snapshots before steps 1, 3 and 5; the third makes a basis of two.
    for index, gradient in enumerate(gradients, 1):
        assert torch.equal(gradient, slopes(theta, index)) == (index < 5)
    assert replace(update, start=9).part is None
