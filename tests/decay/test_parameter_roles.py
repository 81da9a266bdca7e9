"""Roles by module structure, on the names of well-known code bases."""

import pytest
import torch
from decay_models import FakeGPT2, Mixture, TinyLlama
from torch import nn

from spectraledge.matrices import parameter_roles
from spectraledge.models import ModelSpec, PreNormEncoderSpec, ScaleInvariantDecoderSpec


def kinds(model: nn.Module) -> dict[str, str]:
    return {name: role.kind for name, role in parameter_roles(model).items()}


def canonical(model: nn.Module) -> dict[str, str]:
    return {name: role.canonical for name, role in parameter_roles(model).items()}


def test_llama_names() -> None:
    names = canonical(TinyLlama())
    assert names["layers.1.self_attn.q_proj.weight"] == "layer1.attention.query"
    assert names["layers.1.self_attn.o_proj.weight"] == "layer1.attention.output"
    assert names["layers.0.mlp.down_proj.weight"] == "layer0.mlp.down"
    found = kinds(TinyLlama())
    assert found["layers.0.self_attn.q_norm.weight"] == "norm"
    assert found["norm.weight"] == "norm"
    assert found["embed_tokens.weight"] == "embedding"
    assert found["lm_head.weight"] == "head"


@pytest.mark.parametrize(
    "spec",
    [
        ScaleInvariantDecoderSpec(width=8, heads=2, mlp_width=12, mlp="swiglu"),
        PreNormEncoderSpec(width=8, heads=2, mlp_width=12),
    ],
)
def test_no_matrix_of_our_models_is_without_a_role(spec: ModelSpec) -> None:
    model = spec.build(vocabulary=9, length=3, classes=7, seed=0)
    roles = parameter_roles(model)
    unknown = [n for n, p in model.named_parameters() if p.ndim > 1 and roles[n].kind == "other"]
    assert unknown == []


def test_scale_invariant_decoder() -> None:
    spec = ScaleInvariantDecoderSpec(width=8, heads=2, mlp_width=12, mlp="swiglu")
    model = spec.build(vocabulary=9, length=3, classes=7, seed=0)
    found = kinds(model)
    assert found["position_embedding"] == "position"
    assert found["token_embedding.weight"] == "embedding"
    assert found["head.weight"] == "head"
    assert found["blocks.1.attention.query_norm.gain"] == "norm"
    assert canonical(model)["blocks.1.attention.query.weight"] == "layer1.attention.query"
    assert canonical(model)["blocks.1.attention.output.weight"] == "layer1.attention.output"
    assert canonical(model)["blocks.0.mlp.gate.weight"] == "layer0.mlp.gate"


def test_gpt2_layout_and_tied_head() -> None:
    roles = parameter_roles(FakeGPT2())
    fused = roles["transformer.h.0.attn.c_attn.weight"]
    assert (fused.kind, fused.parts, fused.transposed) == (
        "fused_qkv",
        ("query", "key", "value"),
        True,
    )
    assert roles["transformer.h.0.attn.c_proj.weight"].kind == "attention_output"
    assert roles["transformer.h.0.mlp.c_proj.weight"].canonical == "layer0.mlp.down"
    assert roles["transformer.wpe.weight"].kind == "position"
    assert roles["transformer.wte.weight"].aliases == ("lm_head.weight",)
    assert "tied with lm_head.weight" in roles["transformer.wte.weight"].reason
    assert "lm_head.weight" not in roles


def test_a_weight_tied_to_an_embedding_under_a_later_name_is_an_embedding() -> None:
    model = nn.Module()
    model.projection = nn.Linear(4, 6, bias=False)
    model.wte = nn.Embedding(6, 4)
    model.wte.weight = model.projection.weight
    assert parameter_roles(model)["projection.weight"].kind == "embedding"


def test_torch_encoder_layer_and_decoder_layer() -> None:
    found = kinds(nn.TransformerEncoderLayer(8, 2, 16))
    assert found["self_attn.in_proj_weight"] == "fused_qkv"
    assert found["self_attn.in_proj_bias"] == "bias"
    assert found["self_attn.out_proj.weight"] == "attention_output"
    assert found["linear1.weight"] == found["linear2.weight"] == "mlp"
    assert found["norm1.weight"] == found["norm1.bias"] == "norm"
    names = canonical(nn.TransformerDecoderLayer(8, 2, 16))
    # Self- and cross-attention would share a canonical name, so both keep their own.
    assert names["multihead_attn.in_proj_weight"] == "multihead_attn.in_proj_weight"
    assert len(set(names.values())) == len(names)


def test_separate_projections_of_multihead_attention() -> None:
    found = kinds(nn.MultiheadAttention(8, 2, kdim=6, vdim=4))
    assert found["q_proj_weight"] == "query"
    assert found["k_proj_weight"] == "key"
    assert found["v_proj_weight"] == "value"


def test_experts_and_router() -> None:
    roles = parameter_roles(Mixture())
    assert roles["layers.0.mlp.gate.weight"].kind == "router"
    assert roles["layers.0.mlp.experts.gate_up_proj"].parts == ("gate", "up")
    assert roles["layers.0.mlp.experts.down_proj"].kind == "mlp"


def test_list_of_experts_is_numbered() -> None:
    names = [
        f"layers.3.block_sparse_moe.experts.{e}.{w}.weight" for e in (0, 1) for w in ("w1", "w2")
    ]
    roles = parameter_roles([(name, torch.zeros(4, 4)) for name in names])
    assert [role.canonical for role in roles.values()] == [
        "layer3.mlp.expert0.gate",
        "layer3.mlp.expert0.down",
        "layer3.mlp.expert1.gate",
        "layer3.mlp.expert1.down",
    ]


@pytest.mark.parametrize(
    ("name", "kind", "layer"),
    [
        ("encoder.layer.2.attention.self.query.weight", "query", 2),  # BERT
        ("encoder.layer.2.attention.output.dense.weight", "attention_output", 2),
        ("encoder.layer.2.intermediate.dense.weight", "mlp", 2),
        ("encoder.layer.2.output.dense.weight", "mlp", 2),
        ("encoder.block.1.layer.0.SelfAttention.q.weight", "query", 1),  # T5
        ("encoder.block.1.layer.1.DenseReluDense.wo.weight", "mlp", 1),
        ("layers.0.attention.wo.weight", "attention_output", 0),  # Llama's own release
        ("layers.0.feed_forward.w2.weight", "mlp", 0),
        ("output.weight", "head", None),
        ("blocks.4.attn.qkv.weight", "fused_qkv", 4),  # timm
        ("blocks.4.attn.proj.weight", "attention_output", 4),
        ("decoder.blocks.0.mlp.2.weight", "mlp", 0),  # Whisper
        ("net.blocks.0.attn.to_out.0.weight", "attention_output", 0),
        ("model.layers.0.mixer.out_proj.weight", "other", 0),  # a state-space layer
        ("h.0.attn.lora_A.weight", "adapter", 0),
        ("0.weight", "other", None),
        ("_orig_mod.module.layers.0.attn.wq.weight", "query", 0),
    ],
)
def test_roles_by_name_alone(name: str, kind: str, layer: int | None) -> None:
    role = parameter_roles([(name, torch.zeros(4, 4))])[name]
    assert (role.kind, role.layer) == (kind, layer)


@pytest.mark.parametrize(
    "name", ["keyboard", "prequery", "q_projection_extra", "heading", "embedder"]
)
def test_substrings_decide_nothing(name: str) -> None:
    assert (
        parameter_roles([(f"{name}.weight", torch.zeros(4, 4))])[f"{name}.weight"].kind == "other"
    )


def test_vectors_are_norms_or_biases() -> None:
    named = [("layers.0.ln_1.weight", torch.zeros(4)), ("fc.bias", torch.zeros(4))]
    named += [("layers.0.normal.scale", torch.zeros(4))]
    assert [r.kind for r in parameter_roles(named).values()] == ["norm", "bias", "other"]


def test_interleaved_heads_are_not_taken_for_three_parts() -> None:
    name = "layers.0.attention.query_key_value.weight"
    assert parameter_roles([(name, torch.zeros(12, 4))])[name].parts == ()


def test_parametrised_and_grouped_weights_are_other() -> None:
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    roles = parameter_roles(normed)
    assert roles["parametrizations.weight.original1"].kind == "other"
    grouped = nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, 3))
    assert kinds(grouped)["0.weight"] == "other"
    assert kinds(grouped)["1.weight"] == "conv"


def test_a_state_dict_is_accepted_and_parameters_without_names_are_not() -> None:
    model = TinyLlama()
    assert kinds(model) == {n: r.kind for n, r in parameter_roles(model.state_dict()).items()}
    with pytest.raises(TypeError, match=r"Parameter; pass the model itself or model.named_para"):
        parameter_roles(model.parameters())
