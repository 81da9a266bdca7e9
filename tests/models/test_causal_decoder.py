"""The causal decoder: torch's own encoder with a mask, and nothing seen of what comes after."""

import pytest
import torch
from torch import nn

from spectraledge.models import CausalDecoderSpec
from spectraledge.snapshots import flatten_parameters

SMALL = CausalDecoderSpec(width=16, heads=4, mlp_width=24, positions=12)


def build(spec=SMALL, length=10):
    return spec.build(vocabulary=3, length=length, classes=5, seed=3).double()


def tokens(rows=6, length=10):
    return torch.randint(3, (rows, length), generator=torch.Generator().manual_seed(0))


def test_published_sizes():
    model = CausalDecoderSpec().build(vocabulary=3, length=24, classes=13, seed=42)
    assert sum(p.numel() for p in model.parameters()) == 273_421
    first, second = (dict(block.named_parameters()) for block in model.blocks)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_equals_torch_encoder_with_a_mask():
    model = build()
    layer = nn.TransformerEncoderLayer(
        16, 4, 24, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    names = {
        "self_attn.in_proj_": "attention.qkv.", "self_attn.out_proj.": "attention.output.",
        "linear1.": "mlp.up.", "linear2.": "mlp.down.", "norm1.": "attention_norm.",
        "norm2.": "mlp_norm.",
    }  # fmt: skip
    state = {}
    for theirs, ours in names.items():
        for kind in ("weight", "bias"):
            state[theirs + kind] = model.blocks[0].state_dict()[ours + kind]
    layer.load_state_dict(state)
    rows = tokens()
    x = model.token_embedding(rows) + model.position_embedding[:10]
    for _ in model.blocks:
        x = layer(x, src_mask=nn.Transformer.generate_square_subsequent_mask(10).double())
    expected = model.head(model.final_norm(x))
    # A few float64 roundings of numbers of order 1 to 100.
    torch.testing.assert_close(model(rows), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("until", [1, 4, 9])
def test_logits_depend_on_the_prefix_alone(until):
    model, rows = build(), tokens()
    changed = rows.clone()
    changed[:, until:] = 2
    before, after = model(rows)[:, :until], model(changed)[:, :until]
    torch.testing.assert_close(after, before, rtol=0, atol=1e-13)
    # And a shorter row is the beginning of a longer one.
    torch.testing.assert_close(model(rows[:, :until]), before, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"heads": 3}, "divisible by heads"), ({"positions": 0}, "positions >= 1, got 0")],
)
def test_bad_sizes_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        CausalDecoderSpec(**wrong)


@pytest.mark.parametrize("seed", [42, 137])
def test_initial_weights_are_as_long_as_the_published_ones(seed):
    model = CausalDecoderSpec().build(vocabulary=3, length=24, classes=13, seed=seed)
    whole = flatten_parameters(model)
    attention = [p for name, p in model.named_parameters() if "attention" in name and p.ndim == 2]
    # 89.06 and 21.67 in the published initialisation with its seed 42; norms of 6144 normal and
    # 131,072 uniform numbers scatter by 0.7 and 0.05.
    assert whole.norm().item() == pytest.approx(89.06, abs=2.5)
    assert sum(p.square().sum() for p in attention).sqrt().item() == pytest.approx(21.67, abs=0.2)
