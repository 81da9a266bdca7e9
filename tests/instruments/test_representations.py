"""Outputs and attention weights of submodules, against what the models compute step by step."""

import pytest
import torch
from torch import nn

from spectraledge.instruments import attention_of, representations_of
from spectraledge.instruments.representations import block_names
from spectraledge.models import (
    CausalDecoderSpec,
    EncoderDecoderSpec,
    PreNormEncoderSpec,
    ScaleInvariantDecoderSpec,
)
from spectraledge.snapshots import Layout

SMALL = {"width": 16, "layers": 2, "heads": 2, "mlp_width": 24}


def decoder(seed=0):
    spec = CausalDecoderSpec(**SMALL, positions=8)
    return spec.build(vocabulary=3, length=6, classes=4, seed=seed)


def tokens(rows=5, length=6, below=3):
    return torch.randint(below, (rows, length), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_outputs_of_blocks_are_those_of_the_forward_pass():
    model, x = decoder(), tokens()
    found = representations_of(
        model, x, ["blocks.0:input", "blocks.0", "blocks.1", "final_norm", ""]
    )
    h = model.token_embedding(x) + model.position_embedding[:6]
    assert torch.equal(found["blocks.0:input"], h)
    for blocks in (2, 1):
        # A model that ends there says what its last block returned.
        model.blocks = model.blocks[:blocks]
        after = model.head(model.final_norm(found[f"blocks.{blocks - 1}"]))
        assert torch.equal(after, model(x))
    assert torch.equal(found["final_norm"], model.final_norm(found["blocks.1"]))
    assert torch.equal(found[""], model.head(found["final_norm"]))


@torch.no_grad()
def test_it_runs_at_given_parameters_in_any_precision_and_changes_nothing():
    model, other, x = decoder(0), decoder(1), tokens()
    before = [p.clone() for p in model.parameters()]
    given = {name: p.double() for name, p in other.named_parameters()}
    found = representations_of(model.to("meta"), x, ["blocks.1", ""], parameters=given)
    assert found["blocks.1"].dtype == torch.float64
    # float32 rounding of the reference, times the depth of the network.
    torch.testing.assert_close(found[""].float(), other(x), rtol=1e-4, atol=1e-5)
    assert all(not module._forward_hooks for module in model.modules())
    assert len(before) == len(list(model.parameters()))


@pytest.mark.parametrize("spec", [ScaleInvariantDecoderSpec, PreNormEncoderSpec])
@torch.no_grad()
def test_models_that_save_work_are_seen_at_every_position(spec):
    model = spec(**SMALL).build(vocabulary=7, length=3, classes=7, seed=0)
    x = tokens(40, 3, 7)
    found = representations_of(model, x, ["blocks.0", "blocks.1", "final_norm", ""])
    assert found["blocks.0"].shape == found["blocks.1"].shape == (40, 3, 16)
    read = found["blocks.1"][:, model.read_out_position]
    torch.testing.assert_close(model.final_norm(read), found["final_norm"])
    # The savings change the order of sums: float32 rounding.
    torch.testing.assert_close(found[""], model(x), rtol=1e-4, atol=1e-5)


def test_tuples_give_their_first_entry_and_other_outputs_are_refused():
    class Named(nn.Module):
        def forward(self, x):
            return {"x": x}

    class Foreign(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
            self.named, self.unused = Named(), nn.Linear(2, 2)

        def forward(self, x):
            return self.named(self.attention(x, x, x)[0])["x"]

    model, x = Foreign(), torch.randn(2, 3, 4)
    assert representations_of(model, x, ["attention"])["attention"].shape == (2, 3, 4)
    assert representations_of(model, (x,), [""])[""].shape == (2, 3, 4)
    with pytest.raises(ValueError, match=r"'named': expected a tensor or a tuple .* got dict"):
        representations_of(model, x, ["named"])
    with pytest.raises(ValueError, match=r"'unused' was not called .* name a module"):
        representations_of(model, x, ["unused"])
    with pytest.raises(ValueError, match=r"unknown module 'attn'; known: .*attention"):
        representations_of(model, x, ["attn"])
    assert all(not module._forward_hooks for module in model.modules())


def test_names_of_blocks():
    assert block_names(Layout.of(decoder())) == ("blocks.0", "blocks.1")
    both = EncoderDecoderSpec(**SMALL).build(vocabulary=16, length=61, classes=9, seed=0)
    assert block_names(Layout.of(both)) == ("encoder.0", "encoder.1", "decoder.0", "decoder.1")
    assert block_names(Layout.of(nn.Linear(2, 2))) == ()


def heads(x, count=2):
    return x.unflatten(-1, (count, -1)).transpose(1, 2)


@torch.no_grad()
def test_causal_attention_is_that_of_queries_and_keys():
    model, x = decoder(), tokens()
    h = representations_of(model, x, ["blocks.0:input", "blocks.1:input"])
    patterns = attention_of(model, x)
    causal = torch.ones(6, 6, dtype=torch.bool).tril()
    for block, residual, pattern in zip(model.blocks, h.values(), patterns, strict=True):
        query, key, _ = block.projections(residual)
        score = heads(query) @ heads(key).mT / 8**0.5
        expected = score.masked_fill(~causal, -torch.inf).softmax(-1)
        # float32 scores against a softmax in float64.
        torch.testing.assert_close(pattern.weights.float(), expected, rtol=1e-5, atol=1e-6)
        assert torch.equal(pattern.seen, causal.expand(5, 6, 6))


@torch.no_grad()
def test_cross_attention_has_queries_after_self_attention_and_keys_of_the_normed_memory():
    spec = EncoderDecoderSpec(**SMALL, source_length=4, masks_memory=False)
    model = spec.build(vocabulary=6, length=9, classes=5, seed=0)
    x = torch.tensor([[3, 4, 5, 0, 1, 2, 3, 4, 0], [5, 0, 0, 0, 1, 3, 0, 0, 0]])
    names = ["encoder_norm", "decoder.0:input"]
    memory, residual = representations_of(model, x, names).values()
    patterns = attention_of(model, x)
    # Two encoder layers, then self- and cross-attention of each decoder layer.
    assert [p.weights.shape[2:] for p in patterns] == [(4, 4)] * 2 + [(5, 5), (5, 4)] * 2
    layer = model.decoder[0]
    before = torch.ones(5, 5, dtype=torch.bool).tril()
    query = layer.cross_norm(residual + layer.attended(residual, before))
    fused = layer.cross_attention.qkv
    query = query @ fused.weight[:16].mT + fused.bias[:16]
    key = memory @ fused.weight[16:32].mT + fused.bias[16:32]
    expected = (heads(query) @ heads(key).mT / 8**0.5).softmax(-1)
    torch.testing.assert_close(patterns[3].weights.float(), expected, rtol=1e-5, atol=1e-6)
    # Training masks padding of the source in the encoder, and not in cross-attention.
    assert bool(patterns[3].seen.all())
    assert patterns[0].seen[1].any(0).tolist() == [True, False, False, False]


@torch.no_grad()
def test_short_sequences_and_other_peoples_layers_are_seen_too():
    model = ScaleInvariantDecoderSpec(**SMALL).build(vocabulary=7, length=3, classes=7, seed=0)
    patterns = attention_of(model, tokens(4, 3, 7))
    assert [tuple(p.weights.shape) for p in patterns] == [(4, 2, 3, 3)] * 2
    torch.testing.assert_close(patterns[0].weights.sum(-1), torch.ones(4, 2, 3).double())
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.randn(2, 5, 8)
    (pattern,) = attention_of(layer, x)
    own = layer.self_attn(x, x, x, need_weights=True, average_attn_weights=False)[1]
    torch.testing.assert_close(pattern.weights.float(), own, rtol=1e-5, atol=1e-6)
    assert torch.backends.mha.get_fastpath_enabled()


def test_causal_flags_and_additive_masks_of_fused_attention():
    class Fused(nn.Module):
        def forward(self, x):
            mask = torch.zeros(3, 3).masked_fill(torch.eye(3).bool(), -torch.inf)
            one = nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)
            return nn.functional.scaled_dot_product_attention(one, x, x, attn_mask=mask)

    first, second = attention_of(Fused(), torch.randn(1, 2, 3, 4))
    assert first.seen[0].int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert second.seen[0].int().tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
