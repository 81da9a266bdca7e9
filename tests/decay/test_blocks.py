"""Cutting parameters into blocks and back."""

import pytest
import torch
from decay_models import FakeGPT2, Mixture, matrix
from torch import nn

from spectraledge.decay import BlockSpec, Strip, low_rank_decay_, low_rank_decayed, per_head
from spectraledge.decay.blocks import automatic_blocks
from spectraledge.matrices import ParameterRole, parameter_roles

SPECS = {
    "whole": (BlockSpec(), (8, 6)),
    "heads in rows": (BlockSpec((Strip(blocks=4),)), (8, 6)),
    "heads in columns": (BlockSpec((Strip(blocks=3),), "columns"), (8, 6)),
    "fused rows": (BlockSpec((Strip(0, 4, 2, "query"), Strip(4, 2, 1, "key"))), (8, 6)),
    "fused columns": (BlockSpec((Strip(3, 3), Strip(0, 3)), "columns"), (8, 6)),
    "experts": (BlockSpec(), (5, 8, 6)),
    "heads of experts": (BlockSpec((Strip(blocks=2),)), (5, 8, 6)),
    "convolution": (BlockSpec(flatten=True), (8, 6, 3, 3)),
    "groups": (BlockSpec((Strip(blocks=4),), flatten=True), (8, 2, 3, 3)),
}


def role(kind: str = "query", **fields: object) -> ParameterRole:
    return ParameterRole("w", kind, 0, "layer0.attention.query", "", **fields)


@pytest.mark.parametrize("name", SPECS)
def test_split_then_merge_is_the_identity_and_blocks_are_views(name: str) -> None:
    spec, shape = SPECS[name]
    tensor = matrix(*shape)
    before = tensor.clone()
    blocks = spec.split(tensor)
    assert spec.merge_(tensor, [b.clone() for b in blocks]) is tensor
    assert torch.equal(tensor, before)
    for block in blocks:
        block.zero_()
    covered = sum(block.numel() for block in blocks)
    # Each block entry is one parameter entry: zeroing the views zeroes as many.
    assert (tensor == 0).sum() == covered
    assert spec.shapes(shape) == tuple(tuple(block.shape) for block in blocks)


def test_heads_of_rows_and_columns_are_slices() -> None:
    weight = matrix(8, 6)
    (rows,) = BlockSpec((Strip(blocks=4),)).split(weight)
    (columns,) = BlockSpec((Strip(blocks=3),), "columns").split(weight)
    assert torch.equal(rows[1], weight[2:4])
    assert torch.equal(columns[2], weight[:, 4:6])


def test_channels_last_convolution_has_the_same_singular_values() -> None:
    weight = matrix(8, 6, 3, 3)
    last = weight.to(memory_format=torch.channels_last)
    (plain,) = BlockSpec(flatten=True).split(weight)
    (moved,) = BlockSpec(flatten=True).split(last)
    # The order of the columns differs, which singular values do not see; fp64 rounding.
    expected = torch.linalg.svdvals(plain)
    torch.testing.assert_close(torch.linalg.svdvals(moved), expected, rtol=1e-12, atol=1e-12)
    moved.zero_()
    assert last.abs().sum() == 0


@pytest.mark.parametrize("name", SPECS)
def test_a_block_is_decayed_as_if_it_stood_alone(name: str) -> None:
    spec, shape = SPECS[name]
    tensor = matrix(*shape)
    expected = [low_rank_decayed(b.clone(), 0.3, method="svd") for b in spec.split(tensor)]
    low_rank_decay_(tensor, 0.3, method="svd", blocks=spec)
    for block, want in zip(spec.split(tensor), expected):
        # Same LAPACK routine on the same numbers, possibly with another memory order.
        torch.testing.assert_close(block, want, rtol=1e-12, atol=1e-12)


def test_per_head_follows_roles_and_orientation() -> None:
    blocks = per_head(4, 2)
    square = torch.zeros(16, 16)
    assert blocks("w", square, role("query")).shapes((16, 16)) == ((4, 4, 16),)
    assert blocks("w", torch.zeros(8, 16), role("key")).shapes((8, 16)) == ((2, 4, 16),)
    assert blocks("w", square, role("attention_output")).shapes((16, 16)) == ((4, 16, 4),)
    transposed = role("attention_output", transposed=True)
    assert blocks("w", square, transposed).shapes((16, 16)) == ((4, 4, 16),)
    assert blocks("w", square, role("mlp")) is None
    fused = role("fused_qkv", parts=("query", "key", "value"))
    grouped = blocks("w", torch.zeros(32, 16), fused)
    assert grouped.describe((32, 16)) == "query 4 x 4x16, key 2 x 4x16, value 2 x 4x16"


def test_automatic_blocks_of_fused_weights() -> None:
    gpt2 = FakeGPT2(6)
    name = "transformer.h.0.attn.c_attn.weight"
    weight = gpt2.transformer.h[0].attn.c_attn.weight
    spec = automatic_blocks(weight, parameter_roles(gpt2)[name])
    assert spec.axis == "columns"
    assert torch.equal(spec.split(weight)[1], weight[:, 6:12])
    by_name = parameter_roles([(name, weight)])[name]  # no module types: the shape tells
    assert automatic_blocks(weight, by_name) == spec
    attention = nn.MultiheadAttention(6, 2)
    spec = automatic_blocks(attention.in_proj_weight, parameter_roles(attention)["in_proj_weight"])
    assert torch.equal(spec.split(attention.in_proj_weight)[2], attention.in_proj_weight[12:])


def test_automatic_blocks_of_gated_and_stacked_weights() -> None:
    gated = role("mlp", parts=("gate", "up"))
    assert automatic_blocks(torch.zeros(8, 3), gated).describe((8, 3)) == "gate 4x3, up 4x3"
    experts = parameter_roles(Mixture())["layers.0.mlp.experts.gate_up_proj"]
    assert automatic_blocks(torch.zeros(4, 12, 6), experts) == BlockSpec()
    assert automatic_blocks(torch.zeros(4, 2, 2, 2), role("other")) is None


@pytest.mark.parametrize("shape", [(20, 12), (31, 12)])
def test_ambiguous_fused_weight_is_refused(shape: tuple[int, int]) -> None:
    fused = role("fused_qkv", parts=("query", "key", "value"))
    with pytest.raises(ValueError, match=r"cannot tell how 'w' of shape .*pass blocks=\{'w'"):
        automatic_blocks(torch.zeros(shape), fused)
    with pytest.raises(ValueError, match="heads interleaved"):
        automatic_blocks(torch.zeros(36, 12), role("fused_qkv"))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Strip(-1), r"expected start >= 0, length >= 1 and blocks >= 1, got Strip"),
        (lambda: Strip(0, 10, 4), "10 rows in 4 blocks; choose a number of blocks that divides"),
        (lambda: BlockSpec(axis="row"), "expected axis 'rows' or 'columns', got 'row'"),
        (lambda: BlockSpec((Strip(0, 4), Strip(3, 4))), "expected disjoint strips"),
        (lambda: BlockSpec((Strip(), Strip(3, 4))), "expected disjoint strips"),
        (lambda: BlockSpec((Strip(0, 9),)).split(torch.zeros(8, 8)), "fits into 8 rows"),
        (lambda: BlockSpec((Strip(blocks=3),)).split(torch.zeros(8, 8)), "in equal blocks"),
        (lambda: per_head(0), "expected at least one head, got heads=0"),
    ],
)
def test_errors(build: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("heads", "key_value_heads", "shape"),
    [
        (5, None, (96, 32)),  # 96 rows are no 15 heads
        (6, None, (80, 48)),  # grouped heads, and nobody said so
        (4, 4, (96, 24)),  # twelve heads of 8, of which four are 32 and not 24
    ],
)
def test_a_fused_weight_is_cut_into_heads_that_it_holds(heads, key_value_heads, shape) -> None:
    parts = ("query", "key", "value")
    role = ParameterRole("qkv", "fused_qkv", 0, "layer0.attention", "", parts=parts)
    with pytest.raises(ValueError, match=f"per_head: cannot cut 'qkv' .* {heads} query and"):
        per_head(heads, key_value_heads)("qkv", torch.zeros(shape), role)


def test_interleaved_heads_are_not_cut_by_guess() -> None:
    role = ParameterRole("qkv", "fused_qkv", 0, "layer0.attention", "")
    with pytest.raises(ValueError, match="for heads interleaved"):
        per_head(2)("qkv", torch.zeros(24, 8), role)


def test_grouped_heads_of_a_fused_weight() -> None:
    role = ParameterRole("qkv", "fused_qkv", 0, "a", "", parts=("query", "key", "value"))
    blocks = per_head(6, 2)("qkv", torch.zeros(80, 48), role)
    assert blocks is not None
    assert blocks.describe((80, 48)) == "query 6 x 8x48, key 2 x 8x48, value 2 x 8x48"
