"""Links that prescribe norms: the table of NormClamp, the sphere of Hyperball."""

import itertools
import math

import pytest
import torch
from link_cases import GROUPS, LAYOUT, MATRICES, applied, clock, matrix, parameters

from cases import EAGER, tiny
from spectraledge.linalg import frobenius_norm, stable_rank
from spectraledge.training import Problem, Trainer
from spectraledge.updates import Adam, During, Hyperball, LowRank, NormClamp, chain

# A norm in float32 after one rounding of the ratio and one of each product.
FLOAT32 = 1e-6


def drift(theta):
    theta.mul_(1.3).add_(0.01)


@pytest.mark.parametrize(
    ("step", "factor"),
    [(1, 2.0), (10, 2.0), (20, 2.0 * 0.25**0.25), (30, 1.0), (50, 0.5), (60, 0.5), (999, 0.5)],
)
def test_norm_clamp_follows_its_table(step, factor):
    """Log-linear between steps 10 and 50, where the factor falls from 2 to 1/2."""
    start = parameters(2)
    updates = [NormClamp((10, 50), table, on="matrices") for table in ((2.0, 0.5), (1.0, 1.0))]
    moved, _ = applied(updates, start, indices=[step], between=drift)
    drifted = start.clone()
    drift(drifted)
    for name in MATRICES:
        for run, expected in enumerate((factor, 1.0)):
            target = expected * matrix(start, name, run).double().norm()
            after = matrix(moved, name, run).double()
            assert after.norm().item() == pytest.approx(target.item(), rel=FLOAT32)
            before = matrix(drifted, name, run).double()
            torch.testing.assert_close(after, target / before.norm() * before, rtol=FLOAT32, atol=0)


def test_a_single_entry_holds_the_initial_norm_and_a_matrix_that_has_it():
    start = parameters(1)
    moved, _ = applied([NormClamp((0,), (1.0,))], start, indices=range(1, 4))
    assert torch.equal(moved, start)
    moved, _ = applied([NormClamp((0,), (1.0,))], start, indices=[7], between=drift)
    assert frobenius_norm(matrix(moved, "a.query")).item() == pytest.approx(
        frobenius_norm(matrix(start, "a.query")).item(), rel=FLOAT32
    )


def test_zero_matrices_stay_zero():
    start = parameters(1)
    LAYOUT.view(start, "a.query").zero_()
    moved, _ = applied([NormClamp((0,), (1.0,))], start)
    assert torch.equal(moved, start)

    def erase(theta):
        LAYOUT.view(theta, "b.key").zero_()

    moved, _ = applied([NormClamp((0,), (1.0,))], start, between=erase)
    assert matrix(moved, "b.key").count_nonzero() == 0


def test_low_rank_decay_on_the_sphere_keeps_the_norm_and_lowers_the_rank():
    """Proximal steps on the sphere: the share of the leading singular value can only grow."""
    theta = parameters(1)
    norm = frobenius_norm(matrix(theta, "a.query"))
    pair = (LowRank(0.2, method="svd"), NormClamp((0,), (1.0,)))
    links, states = chain([pair], theta, LAYOUT, GROUPS)
    ranks = [stable_rank(matrix(theta, "a.query")).item()]
    for index in range(1, 61):
        links.apply_(theta, torch.zeros_like(theta), states, clock(1, index), {})
        query = matrix(theta, "a.query")
        assert frobenius_norm(query).item() == pytest.approx(norm.item(), rel=FLOAT32)
        ranks.append(stable_rank(query).item())
    # Two float32 decompositions of matrices with the same spectrum differ by about 1e-6.
    assert all(later <= earlier + 1e-5 for earlier, later in itertools.pairwise(ranks))
    assert ranks[-1] < 0.7 * ranks[0]


def test_the_sphere_in_training_with_parts():
    updates = (Adam(), LowRank(0.5), NormClamp((0,), (1.0,)))
    first, last = Trainer(
        Problem([tiny(updates=updates, record_every=12)], EAGER), record_parts=True
    ).snapshots()
    name = "blocks.0.attention.query.weight"
    assert set(last.parts) == {"gradient", "low_rank", "norm"}
    assert frobenius_norm(last.matrix(name)).item() == pytest.approx(
        frobenius_norm(first.matrix(name)).item(), rel=FLOAT32
    )
    # The clamp undoes the shrinking, so its part points outwards.
    assert (last.part("norm", name) * first.matrix(name)).sum() > 0


# --- Hyperball -------------------------------------------------------------------------------


def noise(runs: int) -> torch.Tensor:
    return torch.randn(runs, LAYOUT.size, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("size", [1e-2, 10.0])
def test_hyperball_takes_steps_of_rate_lr_radius_whatever_the_optimizer_proposes(size):
    start = parameters(2)
    proposed = size * noise(2)
    moved, _ = applied(
        [Hyperball(rate, on="matrices") for rate in (1.0, 0.4)],
        start,
        lr=0.05,
        between=lambda theta: theta.add_(proposed),
    )
    for name in MATRICES:
        for run, angle in enumerate((0.05, 0.02)):
            W, u = (matrix(flat, name, run).double() for flat in (start, proposed))
            landed = W + angle * W.norm() * u / u.norm()
            after = matrix(moved, name, run).double()
            # The step is a difference of float32 numbers: eps |W| / |step| of it is rounding.
            torch.testing.assert_close(
                after, landed / landed.norm() * W.norm(), rtol=0, atol=0.05 * 2e-5
            )
            assert after.norm().item() == pytest.approx(W.norm().item(), rel=FLOAT32)
    assert torch.equal(LAYOUT.view(moved, "gain"), LAYOUT.view(start + proposed, "gain"))


def test_hyperball_turns_by_the_learning_rate():
    """A step across W of length lr R turns it by atan(lr)."""
    start = parameters(1)
    W = matrix(start, "a.query")
    across = torch.randn(8, 8, generator=torch.Generator().manual_seed(3))
    across -= (across * W).sum() / W.square().sum() * W

    def step(theta):
        LAYOUT.view(theta, "a.query").add_(0.3 * across)

    moved, _ = applied([Hyperball()], start, lr=0.2, between=step)
    cosine = torch.nn.functional.cosine_similarity(
        matrix(moved, "a.query").flatten().double(), W.flatten().double(), dim=0
    )
    assert cosine.item() == pytest.approx(math.cos(math.atan(0.2)), rel=FLOAT32)
    assert torch.equal(matrix(moved, "b.key"), matrix(start, "b.key"))  # nothing proposed


def test_hyperball_keeps_norms_in_training():
    problem = Problem([tiny(updates=(Adam(), Hyperball()), lr=0.02)], EAGER)
    first, *rest = Trainer(problem).snapshots()
    for snapshot in rest:
        for name in problem.groups["qk"]:
            assert frobenius_norm(snapshot.matrix(name)).item() == pytest.approx(
                frobenius_norm(first.matrix(name)).item(), rel=FLOAT32
            )


def test_hyperball_inside_a_window_waits_for_a_step_it_has_seen():
    """Its first step there only looks; a jump back to the initial matrix would be a disaster."""
    start, proposed = parameters(1), 1e-2 * noise(1)

    def after(*steps):
        return applied(
            [During(Hyperball(), 3)], start, steps, between=lambda theta: theta.add_(proposed)
        )[0]

    free = start + proposed + proposed + proposed
    assert torch.equal(after(1, 2, 3), free)
    W, u = (matrix(flat, "a.query").double() for flat in (free, proposed))
    radius = matrix(start, "a.query").double().norm()
    landed = W + 0.1 * radius * u / u.norm()
    torch.testing.assert_close(
        matrix(after(1, 2, 3, 4), "a.query").double(),
        landed / landed.norm() * radius,
        rtol=0,
        atol=2e-5,  # rounding of the proposed step, as above
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: NormClamp((), ()), "at least one, got steps"),
        (lambda: NormClamp((0, 1), (1.0,)), "one factor per step"),
        (lambda: NormClamp((5, 5), (1.0, 1.0)), r"increasing steps >= 0, got steps=\(5, 5\)"),
        (lambda: NormClamp((-1,), (1.0,)), "increasing steps >= 0"),
        (lambda: NormClamp((0,), (0.0,)), "positive finite floats, got factors"),
        (lambda: NormClamp((0,), (math.inf,)), "positive finite floats"),
        (lambda: NormClamp((0, 9), (1, 0.5)), "write 1.0 for 1"),
        (lambda: applied([NormClamp((0,), (1.0,), on="all")], parameters(1)),
         r"NormClamp: expected matrices, got gain of shape \(5,\) in group 'all'"),
        (lambda: Hyperball(-1.0), "Hyperball: .* rate < inf, got -1.0"),
        (lambda: applied([Hyperball(on="all")], parameters(1)), "Hyperball: expected matrices"),
    ],
)  # fmt: skip
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
