"""Per-head blocks and the query-key circuit against the d x d matrix it avoids."""

import pytest
import torch
from planted import gaussian

from spectraledge.linalg import merge_heads, qk_circuit_singular_values, split_heads


@pytest.mark.parametrize("axis", [-2, -1])
def test_splitting_and_merging_is_the_identity_and_a_view(axis):
    W = gaussian(2, 12, 12)
    blocks = split_heads(W, 3, axis=axis)
    assert blocks.shape == ((2, 3, 4, 12) if axis == -2 else (2, 3, 12, 4))
    assert blocks.untyped_storage().data_ptr() == W.untyped_storage().data_ptr()
    torch.testing.assert_close(merge_heads(blocks, axis=axis), W, atol=0, rtol=0)
    second = W[:, 4:8] if axis == -2 else W[:, :, 4:8]
    torch.testing.assert_close(blocks[:, 1], second, atol=0, rtol=0)


def naive(query, key, heads, query_gain, key_gain, key_heads):
    """Singular values of the full d x d bilinear form of each head."""
    size = query.shape[0] // heads
    result = []
    for head in range(heads):
        other = head * key_heads // heads
        left = query[head * size : (head + 1) * size] * query_gain[head * size :][:size, None]
        right = key[other * size : (other + 1) * size] * key_gain[other * size :][:size, None]
        result.append(torch.linalg.svdvals(left.mT @ right)[: min(left.shape)])
    return torch.stack(result)


@pytest.mark.parametrize(("heads", "key_heads"), [(4, 4), (4, 2), (4, 1), (1, 1)])
@pytest.mark.parametrize("d", [24, 3])
def test_circuit_values_equal_those_of_the_full_matrix(heads, key_heads, d):
    size = 5
    query, key = gaussian(heads * size, d, seed=1), gaussian(key_heads * size, d, seed=2)
    gains = gaussian(heads * size, seed=3), gaussian(key_heads * size, seed=4)
    ours = qk_circuit_singular_values(query, key, heads, *gains)
    expected = naive(query, key, heads, *gains, key_heads)
    torch.testing.assert_close(ours, expected, atol=1e-12, rtol=0)


def test_gains_default_to_one_and_may_be_shared_by_heads():
    query, key = gaussian(12, 7, seed=1), gaussian(12, 7, seed=2)
    shared = gaussian(4, seed=3)
    torch.testing.assert_close(
        qk_circuit_singular_values(query, key, 3),
        qk_circuit_singular_values(query, key, 3, torch.ones(12), torch.ones(4)),
    )
    torch.testing.assert_close(
        qk_circuit_singular_values(query, key, 3, key_gain=shared),
        qk_circuit_singular_values(query, key, 3, query_gain=shared.repeat(3)),
    )


def test_batches_and_non_finite_inputs():
    query, key = gaussian(3, 12, 7, seed=1), gaussian(3, 12, 7, seed=2)
    gain = gaussian(3, 12, seed=3)
    clean = qk_circuit_singular_values(query, key, 2, gain, gain)
    torch.testing.assert_close(
        clean[1], qk_circuit_singular_values(query[1], key[1], 2, gain[1], gain[1])
    )
    query[1, 0, 0] = torch.nan
    dirty = qk_circuit_singular_values(query, key, 2, gain, gain)
    assert dirty[1, 0].isnan().all()
    torch.testing.assert_close(dirty[1, 1], clean[1, 1])
    torch.testing.assert_close(dirty[[0, 2]], clean[[0, 2]])


def test_small_values_of_the_circuit_are_not_lost():
    # The core of the QR factors keeps a value of 1e-9 to nine digits.
    query = torch.diag(torch.tensor([1.0, 1e-9], dtype=torch.float64)) @ gaussian(2, 6, seed=1)
    key = gaussian(2, 6, seed=2)
    values = qk_circuit_singular_values(query, key, 1)[0]
    left, right = query @ query.mT, key @ key.mT
    determinant = (torch.linalg.det(left) * torch.linalg.det(right)).sqrt()
    assert (values.prod() / determinant).item() == pytest.approx(1, rel=1e-6)


def test_wrong_shapes_are_refused():
    W = torch.zeros(12, 8)
    with pytest.raises(ValueError, match="divides axis -2 of size 12, got heads=5"):
        split_heads(W, 5)
    with pytest.raises(ValueError, match="divides axis -1 of size 8, got heads=0"):
        split_heads(W, 0, axis=-1)
    with pytest.raises(ValueError, match=r"axis -2 \(rows\) or -1 \(columns\), got axis=0"):
        split_heads(W, 2, axis=0)
    with pytest.raises(ValueError, match="d_h=3 times a divisor of heads=4, got 8 rows"):
        qk_circuit_singular_values(W, torch.zeros(8, 8), 4)
    with pytest.raises(ValueError, match=r"gain of size d_h=3 or H\*d_h=12, got 5"):
        qk_circuit_singular_values(W, W, 4, torch.ones(5))
