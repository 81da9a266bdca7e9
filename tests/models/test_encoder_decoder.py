"""The encoder-decoder: torch's own, its published size, and what padding may not change."""

import pytest
import torch
from torch import nn

from spectraledge.models import EncoderDecoderSpec
from spectraledge.tasks import Scan

SMALL = EncoderDecoderSpec(width=16, layers=2, heads=4, mlp_width=24, source_length=5)
NAMES = {
    "self_attn.in_proj_": "attention.qkv.", "self_attn.out_proj.": "attention.output.",
    "multihead_attn.in_proj_": "cross_attention.qkv.",
    "multihead_attn.out_proj.": "cross_attention.output.",
    "linear1.": "mlp.up.", "linear2.": "mlp.down.",
}  # fmt: skip
NORMS = {
    "encoder": {"norm1.": "attention_norm.", "norm2.": "mlp_norm."},
    "decoder": {"norm1.": "attention_norm.", "norm2.": "cross_norm.", "norm3.": "mlp_norm."},
}


def build(**changes):
    spec = EncoderDecoderSpec(**{**SMALL.__dict__, **changes})
    return spec.build(vocabulary=7, length=11, classes=6, seed=3).double()


def rows(count=8):
    """Sources and decoder inputs of several lengths, padded with 0."""
    chance = torch.Generator().manual_seed(0)
    found = torch.randint(1, 6, (count, 11), generator=chance)
    for row in range(count):
        found[row, 1 + row % 5 : 5] = 0
        found[row, 6 + row % 6 :] = 0
    return found


def torch_model(model):
    theirs = nn.Transformer(
        16, 4, 2, 2, 24, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    state = {}
    for stack in ("encoder", "decoder"):
        ours = getattr(model, stack).state_dict()
        names = NAMES | NORMS[stack]
        for layer in range(2):
            for there, here in names.items():
                for kind in ("weight", "bias"):
                    if f"{layer}.{here}{kind}" in ours:
                        state[f"{stack}.layers.{layer}.{there}{kind}"] = ours[
                            f"{layer}.{here}{kind}"
                        ]
        for kind in ("weight", "bias"):
            state[f"{stack}.norm.{kind}"] = getattr(model, f"{stack}_norm").state_dict()[kind]
    theirs.load_state_dict(state)
    return theirs


@pytest.mark.parametrize("masks_memory", [True, False])
def test_equals_torch_transformer(masks_memory):
    model, data = build(masks_memory=masks_memory), rows()
    source, target = data[:, :5], data[:, 5:]
    memory_mask = (source == 0) if masks_memory else None
    out = torch_model(model)(
        model.token_embedding(source) + model.position_embedding.weight,
        model.target_token_embedding(target) + model.target_position_embedding.weight,
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(6).double(),
        src_key_padding_mask=source == 0,
        tgt_key_padding_mask=target == 0,
        memory_key_padding_mask=memory_mask,
    )
    expected = model.head(model.final_norm(out))
    labelled = target != 0
    # A few float64 roundings of numbers of order 1 to 100.
    torch.testing.assert_close(model(data)[labelled], expected[labelled], rtol=0, atol=1e-12)


def test_published_sizes():
    task = Scan()
    model = EncoderDecoderSpec(source_length=task.source_length).build(
        vocabulary=task.vocabulary, length=task.length, classes=task.classes, seed=0
    )
    assert sum(p.numel() for p in model.parameters()) == 3_979_529
    matrices = [
        p for name, p in model.named_parameters()
        if "attention" in name and name.endswith("weight") and p.ndim == 2
    ]  # fmt: skip
    assert sum(p.numel() for p in matrices) == 2_359_296
    first, second = (list(layer.parameters()) for layer in model.encoder[:2])
    assert not torch.equal(first[0], second[0])  # unlike the smaller models, no copies


def test_source_padding_is_seen_only_as_published():
    data = rows()
    padded = data[:, :5] == 0
    for masks, same in ((True, True), (False, False)):
        model = build(masks_memory=masks)
        before = model(data)
        with torch.no_grad():
            model.token_embedding.weight[0, 0] += 1.0  # a norm takes out what all entries share
        after = model(data)[padded.any(1)]
        assert torch.allclose(after, before[padded.any(1)], rtol=0, atol=1e-12) == same


def test_logits_depend_on_what_was_given_before_alone():
    model, data = build(), rows()
    changed = data.clone()
    changed[:, 8:] = 5
    torch.testing.assert_close(model(changed)[:, :3], model(data)[:, :3], rtol=0, atol=1e-13)


def test_rows_without_room_for_a_target_are_refused():
    with pytest.raises(ValueError, match="longer than source_length=5, got length 5"):
        SMALL.build(vocabulary=7, length=5, classes=6, seed=0)
    with pytest.raises(ValueError, match="source_length >= 1, got 0"):
        EncoderDecoderSpec(source_length=0)
