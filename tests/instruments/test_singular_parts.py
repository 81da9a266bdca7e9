"""What the leading singular directions of matrices make of a vector of weights."""

import pytest
import torch
from functional_problems import QUADRATIC_LAYOUT, RUNS, D, P, gaussian, quadratic_run

from spectraledge.instruments.parameter_subset import chosen_columns
from spectraledge.instruments.singular_parts import chosen_blocks, leading_singular_part
from spectraledge.snapshots import Layout

CLOSE = {"rtol": 1e-12, "atol": 1e-13}
LAYOUT = Layout(
    ("a.query.weight", "a.key.weight", "a.output.weight", "norm.weight"),
    ((4, 3), (4, 3), (2, 5), (3,)),
)


def blocks_of(kinds=(), layout=LAYOUT):
    columns = chosen_columns(layout, kinds)
    return columns, chosen_blocks(layout, columns)


def reference(vector, shapes, length):
    """Matrix by matrix and level by level, until the length is reached."""
    matrices = [m.reshape(s) for m, s in zip(vector.split([a * b for a, b in shapes]), shapes)]
    found = [torch.linalg.svd(m, full_matrices=False) for m in matrices]
    parts, left = [torch.zeros_like(m) for m in matrices], length**2
    for level in range(max(min(s) for s in shapes)):
        pieces = [
            u[:, level : level + 1] * s[level] @ v[level : level + 1] if level < len(s) else 0 * m
            for (u, s, v), m in zip(found, matrices)
        ]
        energy = sum(float(p.square().sum()) for p in pieces)
        factor = min(1.0, max(left, 0.0) / energy) ** 0.5
        parts = [p + factor * piece for p, piece in zip(parts, pieces)]
        left -= energy
    return torch.cat([p.flatten() for p in parts])


@pytest.mark.parametrize("length", [0.0, 0.3, 2.0, 5.0, 1e3])
def test_equals_the_obvious_loop(length):
    columns, blocks = blocks_of(("query", "key", "attention_output"))
    vector = gaussian(RUNS, len(columns))
    found = leading_singular_part(
        vector, blocks, torch.full((RUNS, 1), length, dtype=torch.float64)
    )
    for own, row in zip(vector, found):
        torch.testing.assert_close(row, reference(own, [(4, 3), (4, 3), (2, 5)], length), **CLOSE)


def test_the_part_is_as_long_as_asked_and_orthogonal_to_what_is_left():
    columns, blocks = blocks_of()
    vector = gaussian(RUNS, len(columns))
    length = 0.6 * vector.norm(dim=1, keepdim=True)
    part = leading_singular_part(vector, blocks, length)
    torch.testing.assert_close(part.norm(dim=1, keepdim=True), length, **CLOSE)
    whole = leading_singular_part(vector, blocks)
    torch.testing.assert_close((whole * (vector - whole)).sum(1), torch.zeros(RUNS).double(),
                               rtol=0, atol=1e-12)  # fmt: skip


def test_without_a_length_the_first_direction_of_every_matrix_is_taken():
    columns, blocks = blocks_of(("query", "key"))
    vector = gaussian(RUNS, len(columns))
    part = leading_singular_part(vector, blocks)
    for run in range(RUNS):
        for own, whole in zip(part[run].reshape(2, 4, 3), vector[run].reshape(2, 4, 3)):
            values = torch.linalg.svdvals(own)
            torch.testing.assert_close(values[0], torch.linalg.svdvals(whole)[0], **CLOSE)
            assert float(values[1]) < 1e-13


def test_matrices_that_are_not_wholly_chosen_are_no_blocks():
    columns, blocks = blocks_of(("query", "parameters:norm.*"))
    assert {shape: len(found) for shape, found in blocks.items()} == {(4, 3): 1}
    vector = gaussian(RUNS, len(columns))
    part = leading_singular_part(vector, blocks)
    # The norms stand last in the flat vector and are left alone.
    assert float(part[:, -3:].abs().max()) == 0
    assert float(part[:, :-3].abs().max()) > 0


def test_a_run_that_is_not_finite_leaves_the_others_alone():
    columns, blocks = blocks_of()
    vector = gaussian(RUNS, len(columns))
    lost = vector.clone()
    lost[0, 3] = torch.nan
    length = vector.norm(dim=1, keepdim=True) / 2
    for own in (None, length):
        found = leading_singular_part(lost, blocks, own)
        assert found[0].isnan().all()
        assert torch.equal(found[1], leading_singular_part(vector, blocks, own)[1])
    unknown = torch.tensor([[torch.nan], [1.0]]).double()
    found = leading_singular_part(vector, blocks, unknown)
    assert found[0].isnan().all()
    assert found[1].isfinite().all()


def test_without_matrices_nothing_is_known():
    _, blocks = blocks_of(("parameters:norm.*",))
    assert blocks == {}
    assert leading_singular_part(gaussian(RUNS, 3), blocks).isnan().all()


def test_blocks_point_at_the_entries_of_the_matrices():
    columns, blocks = blocks_of(("query",), QUADRATIC_LAYOUT)
    theta = quadratic_run()[-1].parameters
    assert (len(columns), theta.shape[1]) == (D, P)
    ((places,),) = blocks.values()
    expected = QUADRATIC_LAYOUT.view(theta, "blocks.0.attention.query.weight")
    assert torch.equal(theta[:, columns][:, places], expected)
