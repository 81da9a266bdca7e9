"""Links that act on singular values, each against a decomposition written out."""

import pytest
import torch
from link_cases import LAYOUT, MATRICES, applied, matrix, parameters

from spectraledge.linalg import entropy_rank, frobenius_norm, singular_values
from spectraledge.updates import AntiLowRank, InjectTail, RandomDirection, TruncateRank
from spectraledge.updates.random_direction import random_orthogonal
from spectraledge.updates.random_streams import generator, run_keys


def svd(flat: torch.Tensor, name: str, run: int = 0):
    return torch.linalg.svd(matrix(flat, name, run).double(), full_matrices=False)


# --- the opposite of decay -------------------------------------------------------------------


@pytest.mark.parametrize("coupled", [True, False])
def test_anti_low_rank_adds_to_every_singular_value_alike(coupled):
    start = parameters(2)
    updates = [AntiLowRank(s, on="matrices", coupled=coupled) for s in (0.5, 0.2)]
    moved, _ = applied(updates, start, lr=0.1 if coupled else 1e-9)
    for run, update in enumerate(updates):
        for name in MATRICES:
            U, S, Vh = svd(start, name, run)
            rate = update.strength * (0.1 if coupled else 1.0)
            length = rate * S.norm()
            step = matrix(moved, name, run).double() - matrix(start, name, run).double()
            # As long as weight decay's, up to the float32 rounding of a difference.
            assert step.norm().item() == pytest.approx(length.item(), rel=1e-4)
            # The polynomial is within 1 % of 1 on all but the smallest singular values.
            expected = length / len(S) ** 0.5 * U @ Vh
            assert (step - expected).norm() < 0.02 * length
    assert torch.equal(LAYOUT.view(moved, "gain"), LAYOUT.view(start, "gain"))


def test_anti_low_rank_raises_the_entropy_rank():
    start = parameters(1)
    moved, _ = applied([AntiLowRank(0.5)], start, indices=range(1, 41))
    ranks = [entropy_rank(matrix(flat, "a.query")).item() for flat in (start, moved)]
    assert ranks[0] < ranks[1]
    # Added 2.25 of all values' root mean square to each: nearly flat.
    assert ranks[1] > 7.8


# --- random directions -----------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "columns"), [(6, 6), (7, 3), (3, 7)])
def test_random_orthogonal_is_orthonormal_and_uniform(rows, columns):
    Q = random_orthogonal(rows, columns, 4000, torch.Generator().manual_seed(0)).double()
    small = Q.mT @ Q if rows >= columns else Q @ Q.mT
    # float32 Householder factorisation of a matrix of this size.
    assert (small - torch.eye(min(rows, columns)).double()).abs().max() < 1e-5
    # Uniform: mean 0, variance 1/max(rows, columns) and independent signs. Entries are bounded by
    # 1 with that variance v, so a mean of 4000 has standard error sqrt(v/4000); 5 of them.
    error = 5 * (1 / max(rows, columns) / 4000) ** 0.5
    assert Q.mean(0).abs().max() < error
    assert (Q.square().mean(0) - 1 / max(rows, columns)).abs().max() < error


def test_random_direction_is_as_long_as_weight_decay_and_orthogonal():
    start = parameters(2)
    updates = [RandomDirection(s, on="matrices") for s in (0.5, 0.1)]
    moved, _ = applied(updates, start, indices=[3])
    for run, update in enumerate(updates):
        for name in MATRICES:
            W = matrix(start, name, run).double()
            step = matrix(moved, name, run).double() - W
            length = 0.1 * update.strength * W.norm()
            # float32 rounding of W - Q, in units of a step of 1 to 5 % of W.
            assert step.norm().item() == pytest.approx(length.item(), rel=1e-4)
            values = singular_values(step)
            torch.testing.assert_close(
                values, length / len(values) ** 0.5 * torch.ones_like(values), rtol=1e-4, atol=0
            )


def steps_of(updates, start, indices):
    return applied(updates, start, indices)[0] - start


def test_random_directions_depend_on_run_and_step_alone():
    start = parameters(3)
    updates = [RandomDirection(0.5)] * 3
    together = steps_of(updates, start, [4])
    assert torch.equal(steps_of(updates[:1], start[2:], [4]), together[2:])
    assert not torch.allclose(steps_of(updates[:1], start[2:], [5]), together[2:])
    # Runs that start alike see the same directions, others do not.
    twins = steps_of(updates[:2], start[[1, 1]], [4])
    assert torch.equal(twins[0], twins[1])
    cosine = torch.nn.functional.cosine_similarity(together[0], together[1], dim=0)
    assert cosine.abs() < 0.4  # in 128 dimensions 0.09 is typical


def test_a_kept_direction_is_kept():
    start = parameters(1)
    updates = [RandomDirection(0.05, fresh=False)]
    first, last = (steps_of(updates, start, steps) for steps in ([1], [9]))
    assert torch.equal(first, last)
    # The length follows the norm, which a step changes, so two steps are not exactly twice one.
    both = steps_of(updates, start, [1, 2])
    assert torch.nn.functional.cosine_similarity(both, first).item() == pytest.approx(1, abs=1e-5)


def test_streams():
    theta = parameters(3)
    keys = run_keys(theta)
    assert keys.dtype == torch.int64
    assert torch.equal(run_keys(theta[[2, 0]]), keys[[2, 0]])
    assert len(set(keys.tolist())) == 3
    first, again, other, later = (
        torch.randn(4, generator=generator(key, purpose, step))
        for key, purpose, step in ((1, "a", 1), (1, "a", 1), (1, "b", 1), (1, "a", 2))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, later)


# --- interventions ---------------------------------------------------------------------------


@pytest.mark.parametrize("keep_norm", [False, True])
def test_truncation_is_the_best_approximation(keep_norm):
    start = parameters(1)
    moved, _ = applied([TruncateRank(3, 2, on="matrices", keep_norm=keep_norm)], start, [2])
    for name in MATRICES:
        U, S, Vh = svd(start, name)
        low = (U[:, :3] * S[:3]) @ Vh[:3]
        after = matrix(moved, name).double()
        if keep_norm:
            low *= S.norm() / S[:3].norm()
        # float32 decomposition of matrices with singular values up to 6.
        torch.testing.assert_close(after, low, rtol=0, atol=1e-5)
        assert singular_values(after)[3] < 1e-5
        if not keep_norm:
            # Eckart and Young: the error is the norm of what was cut.
            error = frobenius_norm(matrix(start, name) - matrix(moved, name)).item()
            assert error == pytest.approx(S[3:].norm().item(), rel=1e-5)


def test_truncation_acts_in_its_window_alone():
    start = parameters(1)
    for update, acts in (
        (TruncateRank(2, 3), {3}),
        (TruncateRank(2, 3, 5), {3, 4}),
        (TruncateRank(8, 3, 5), set()),  # full rank: nothing to cut, not a bit changed
    ):
        for index in range(1, 7):
            changed = not torch.equal(applied([update], start, [index])[0], start)
            assert changed == (index in acts), (update, index)


@pytest.mark.parametrize("source", ["initial", "random"])
def test_injected_tail_leaves_the_leading_part_alone(source):
    """On a matrix cut to rank 3 and given a tail of 10 %, leading triplets stay what they were."""
    start = parameters(2)
    low = start.clone()
    for name in MATRICES:
        for run in (0, 1):
            U, S, Vh = svd(start, name, run)
            matrix(low, name, run).copy_((U[:, :3] * S[:3]) @ Vh[:3])

    updates = [InjectTail(3, 5, s, source, on="matrices") for s in (0.1, 0.05)]
    moved, _ = applied(updates, start, [5], between=lambda theta: theta.copy_(low))
    for index in (4, 6):
        assert torch.equal(applied(updates, start, [index])[0], start)
    for name in MATRICES:
        for run, update in enumerate(updates):
            before, after = (matrix(flat, name, run).double() for flat in (low, moved))
            U, S, Vh = torch.linalg.svd(before, full_matrices=False)
            tail = after - before
            # float32 rounding of a sum with entries of about 1.
            assert tail.norm().item() == pytest.approx((update.scale * S.norm()).item(), rel=1e-4)
            assert (U[:, :3].mT @ tail).abs().max() < 1e-6
            assert (tail @ Vh[:3].mT).abs().max() < 1e-6
            U2, S2, V2h = torch.linalg.svd(after, full_matrices=False)
            torch.testing.assert_close(S2[:3], S[:3], rtol=1e-6, atol=0)
            overlap = (U2[:, :3].mT @ U[:, :3]).diagonal() * (V2h[:3] @ Vh[:3].mT).diagonal()
            # An angle of rounding over the gap between two leading values, squared.
            torch.testing.assert_close(overlap, torch.ones(3).double(), rtol=0, atol=1e-8)
            assert S2[3] < S[2]
    if source == "initial":  # the cut tail itself comes back, scaled
        U, S, Vh = svd(start, "a.query")
        lost = (U[:, 3:] * S[3:]) @ Vh[3:]
        tail = (matrix(moved, "a.query") - matrix(low, "a.query")).double()
        cosine = (tail * lost).sum() / tail.norm() / lost.norm()
        assert cosine.item() == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AntiLowRank(-1.0), "AntiLowRank: expected 0.0 <= strength < inf, got -1.0"),
        (lambda: RandomDirection(float("nan")), "RandomDirection: .* got nan"),
        (lambda: TruncateRank(0, 1), "1 <= rank < inf, got 0"),
        (lambda: TruncateRank(1, 0), "1 <= start < inf, got 0"),
        (lambda: TruncateRank(1, 5, 5), "6 <= stop < inf, got 5"),
        (lambda: InjectTail(0, 1, 0.1), "1 <= rank < inf, got 0"),
        (lambda: InjectTail(1, 0, 0.1), "1 <= at < inf, got 0"),
        (lambda: InjectTail(1, 1, -0.1), "scale < inf, got -0.1"),
        (lambda: InjectTail(1, 1, 0.1, "begin"), "unknown source 'begin'"),
        (lambda: applied([InjectTail(8, 1, 0.1)], parameters(1)),
         r"expected rank < 8 for matrices of shape \(8, 8\) in group 'qk', got 8"),
        (lambda: applied([TruncateRank(1, 1, on="all")], parameters(1)),
         "TruncateRank: expected matrices, got gain"),
    ],
)  # fmt: skip
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
