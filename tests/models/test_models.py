"""The exact savings, the published sizes, and which weights are scale invariant."""

import pytest
import torch
from torch import nn

from spectraledge.models import (
    ModelSpec,
    PreNormEncoder,
    PreNormEncoderSpec,
    ScaleInvariantDecoder,
    ScaleInvariantDecoderSpec,
)

SMALL = {"width": 16, "heads": 4, "mlp_width": 24}
VARIANTS = [
    ScaleInvariantDecoderSpec(**SMALL),
    ScaleInvariantDecoderSpec(**SMALL, layers=1),
    ScaleInvariantDecoderSpec(**SMALL, layers=3, mlp="swiglu", qk_norm="per_head"),
    ScaleInvariantDecoderSpec(**SMALL, qk_norm="none"),
    ScaleInvariantDecoderSpec(**SMALL, qk_gain=False),
    PreNormEncoderSpec(**SMALL),
    PreNormEncoderSpec(**SMALL, layers=1),
    PreNormEncoderSpec(**SMALL, layers=3),
]


def build(spec: ModelSpec, length: int = 3) -> nn.Module:
    return spec.build(vocabulary=7, length=length, classes=5, seed=3).double()


@pytest.mark.parametrize("spec", VARIANTS, ids=str)
@pytest.mark.parametrize(("batch", "length"), [(4, 3), (40, 3), (40, 12)])
def test_savings_leave_logits_and_gradients_alone(spec, batch, length):
    model = build(spec, length)
    tokens = torch.randint(7, (batch, length), generator=torch.Generator().manual_seed(0))
    target = torch.randn(batch, 5, generator=torch.Generator().manual_seed(1)).double()
    gradients = []
    for forward in (model.forward, model.naive_forward):
        logits = forward(tokens)
        gradients.append(torch.autograd.grad((logits * target).sum(), list(model.parameters())))
    # Same sums in another order: a few float64 roundings of numbers of order 1 to 100.
    torch.testing.assert_close(model(tokens), model.naive_forward(tokens), rtol=0, atol=1e-12)
    for fast, naive in zip(*gradients):
        torch.testing.assert_close(fast, naive, rtol=1e-10, atol=1e-10)


def test_published_sizes():
    decoder = ScaleInvariantDecoderSpec().build(vocabulary=114, length=3, classes=114, seed=0)
    encoder = PreNormEncoderSpec().build(vocabulary=97, length=2, classes=97, seed=0)
    assert sum(p.numel() for p in decoder.parameters()) == 423_936
    assert sum(p.numel() for p in encoder.parameters()) == 290_401
    # U(-1/sqrt(128), 1/sqrt(128)) has mean square 1/(3*128); the norm of 128 x 128 such entries
    # is sqrt(128/3) = 6.53 with relative spread about 1/(2*128) * 0.9.
    assert decoder.blocks[0].attention.query.weight.norm().item() == pytest.approx(6.53, rel=0.02)


def test_encoder_equals_torch_encoder():
    spec = PreNormEncoderSpec(**SMALL)
    model = build(spec)
    layer = nn.TransformerEncoderLayer(
        16, 4, 24, dropout=0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    block = model.blocks[0]
    pairs = {
        "self_attn.in_proj_": block.attention.qkv,
        "self_attn.out_proj.": block.attention.output,
        "linear1.": block.mlp.up,
        "linear2.": block.mlp.down,
        "norm1.": block.attention_norm,
        "norm2.": block.mlp_norm,
    }
    layer.load_state_dict(
        {
            name + leaf: getattr(module, leaf)
            for name, module in pairs.items()
            for leaf in ("weight", "bias")
        }
    )
    x = torch.randn(6, 3, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(block(x), layer(x), rtol=0, atol=1e-12)  # float64 rounding


def test_encoder_blocks_start_as_copies():
    model = PreNormEncoderSpec(**SMALL, layers=3).build(vocabulary=7, length=2, classes=7, seed=1)
    first, *others = [torch.cat([p.flatten() for p in b.parameters()]) for b in model.blocks]
    for other in others:
        assert torch.equal(first, other)


@pytest.mark.parametrize("norm", ["full", "per_head", "none"])
def test_which_query_weights_are_scale_invariant(norm):
    model = build(ScaleInvariantDecoderSpec(**SMALL, qk_norm=norm))
    tokens = torch.randint(7, (20, 3), generator=torch.Generator().manual_seed(0))
    before = model(tokens)

    def change(rows: slice) -> float:
        query = model.blocks[0].attention.query.weight
        with torch.no_grad():
            query[rows] *= 2
            difference = (model(tokens) - before).abs().max().item()
            query[rows] /= 2
        return difference

    # Powers of two scale floating point numbers exactly, so invariance has no rounding at all.
    assert (change(slice(None)) == 0) == (norm in ("full", "per_head"))
    assert (change(slice(0, 4)) == 0) == (norm == "per_head")


@pytest.mark.parametrize("spec", [ScaleInvariantDecoderSpec(**SMALL), PreNormEncoderSpec(**SMALL)])
def test_seed_fixes_weights_and_spares_the_global_generator(spec):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two, other = (
        spec.build(vocabulary=7, length=2, classes=7, seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(one.head.weight, two.head.weight)
    assert not torch.equal(one.head.weight, other.head.weight)
    assert isinstance(spec, ModelSpec)
    assert isinstance(one, ScaleInvariantDecoder | PreNormEncoder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 10, "heads": 4}, "width=10 and heads=4"),
        ({"layers": 0}, "layers >= 1, got 0"),
        ({"mlp_width": -1}, "mlp_width >= 1, got -1"),
        ({"mlp": "relu"}, "'silu' or 'swiglu', got 'relu'"),
        ({"qk_norm": "layer"}, "got 'layer'"),
    ],
)
def test_impossible_sizes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ScaleInvariantDecoderSpec(**arguments)
