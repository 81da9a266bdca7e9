"""Which parameters are decayed, and the table that explains it."""

import pytest
import torch
from decay_models import FakeGPT2, Mixture, TinyLlama
from torch import nn

from spectraledge.decay import BlockSpec, Strip, select_parameters
from spectraledge.matrices import named_tensors


def selected(model: object, select: object = "qk", **options: object) -> dict[str, str]:
    table = select_parameters(model, select, **options)
    return {row.role.name: row.blocks.describe(row.parameter.shape) for row in table.selected}


def reasons(model: object, select: object = "qk") -> dict[str, str]:
    return {row.role.name: row.reason for row in select_parameters(model, select).rows}


def test_queries_and_keys_are_the_default() -> None:
    assert selected(TinyLlama()) == {
        f"layers.{layer}.self_attn.{name}_proj.weight": "8x8" for layer in (0, 1) for name in "qk"
    }


def test_roles_nest() -> None:
    model = TinyLlama()
    attention, mlp = selected(model, "attention"), selected(model, "mlp")
    assert len(attention) == 8
    assert len(mlp) == 6
    assert selected(model, "all") == {
        name: text
        for name, text in sorted(
            (attention | mlp).items(),
            key=lambda item: list(dict(model.named_parameters())).index(item[0]),
        )
    }


def test_torch_modules() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    assert selected(layer) == {"self_attn.in_proj_weight": "query 8x8, key 8x8"}
    assert selected(layer, "attention") == {
        "self_attn.in_proj_weight": "query 8x8, key 8x8, value 8x8",
        "self_attn.out_proj.weight": "8x8",
    }
    assert selected(nn.MultiheadAttention(8, 2, kdim=6, vdim=4)) == {
        "q_proj_weight": "8x8",
        "k_proj_weight": "8x6",
    }


def test_gpt2() -> None:
    assert selected(FakeGPT2(), "all") == {
        "transformer.h.0.attn.c_attn.weight": "query 6x6, key 6x6, value 6x6",
        "transformer.h.0.attn.c_proj.weight": "6x6",
        "transformer.h.0.mlp.c_fc.weight": "6x24",
        "transformer.h.0.mlp.c_proj.weight": "24x6",
    }
    why = reasons(FakeGPT2(), "all")
    assert "an embedding" in why["transformer.wte.weight"]
    assert "tied with lm_head.weight" in why["transformer.wte.weight"]


def test_experts_are_a_batch_and_the_router_is_left_alone() -> None:
    assert selected(Mixture(), "all") == {
        "layers.0.mlp.experts.gate_up_proj": "4 x 12x6",
        "layers.0.mlp.experts.down_proj": "4 x 6x6",
    }
    assert reasons(Mixture(), "all")["layers.0.mlp.gate.weight"] == "routes tokens to experts"


def test_convolutions() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=4), nn.Conv1d(8, 4, 3))
    assert selected(model, "all") == {"0.weight": "8x27", "2.weight": "4x24"}
    assert "4 groups; pass blocks" in reasons(model, "all")["1.weight"]
    groups = {"1.weight": BlockSpec((Strip(blocks=4),), flatten=True)}
    assert selected(model, "all", blocks=groups)["1.weight"] == "4 x 2x18"


def test_regular_expressions_match_whole_names_and_spare_embeddings() -> None:
    model = TinyLlama()
    assert list(selected(model, [r"layers\.0\.mlp\..*"])) == [
        f"layers.0.mlp.{name}_proj.weight" for name in ("gate", "up", "down")
    ]
    assert "embed_tokens.weight" not in selected(model, [".*"])
    with pytest.raises(ValueError, match=r"'mlp' matches no whole parameter name"):
        select_parameters(model, ["mlp"])


def test_a_callable_may_choose_anything_with_a_spectrum() -> None:
    chosen = selected(TinyLlama(), lambda name, parameter, role: True)
    assert "embed_tokens.weight" in chosen
    assert "lm_head.weight" in chosen
    assert "norm.weight" not in chosen  # a vector


def test_tied_queries_are_one_row() -> None:
    model = TinyLlama()
    first, second = (model.layers[i].self_attn for i in (0, 1))
    second.q_proj.weight = first.q_proj.weight
    assert len(selected(model)) == 3
    reason = reasons(model)["layers.0.self_attn.q_proj.weight"]
    assert "tied with layers.1.self_attn.q_proj.weight, decayed once" in reason


def test_obstacles_are_named() -> None:
    model = TinyLlama()
    first, second = (layer.self_attn for layer in model.layers)
    first.q_proj.weight.requires_grad_(False)
    second.q_proj.weight = nn.Parameter(torch.zeros(8, 8, dtype=torch.int8), requires_grad=False)
    first.k_proj.weight = nn.Parameter(torch.zeros(1, 8))
    why = reasons(model)
    assert why["layers.0.self_attn.q_proj.weight"] == "frozen (requires_grad is False)"
    assert why["layers.0.self_attn.k_proj.weight"] == "its blocks are vectors"
    assert list(selected(model)) == ["layers.1.self_attn.k_proj.weight"]
    named = [
        ("a.q_proj.weight", torch.zeros(4, 4, dtype=torch.int8)),
        ("b.q_proj.weight", torch.zeros(4, 4).to_sparse()),
        ("c.q_proj.weight", torch.zeros(4, 4, dtype=torch.complex64)),
        ("d.q_proj.weight", torch.zeros(4, 4)),
    ]
    assert [row.reason for row in select_parameters(named).rows[:3]] == [
        "torch.int8 (integer, quantised or complex)",
        "sparse",
        "torch.complex64 (integer, quantised or complex)",
    ]
    assert list(selected(named)) == ["d.q_proj.weight"]


def test_values_inside_a_fused_weight_are_spared_by_qk() -> None:
    name = "layers.0.attn.query_key_value.weight"
    per_head = tuple(
        Strip(start, 2, name=part)
        for start, part in zip(range(0, 12, 2), ("query", "key", "value") * 2)
    )
    named = [(name, torch.zeros(12, 4))]
    text = selected(named, blocks={name: BlockSpec(per_head)})[name]
    assert text == "query 2x4, key 2x4, query 2x4, key 2x4"
    with pytest.raises(ValueError, match="its blocks hold values only"):
        select_parameters(named, blocks={name: BlockSpec((Strip(0, 4, name="value"),))})


def test_table_prints_every_matrix_with_its_reason() -> None:
    text = str(select_parameters(TinyLlama()))
    line = next(line for line in text.splitlines() if "layers.0.self_attn.q_proj" in line)
    assert line.split() == [
        "yes",
        "layers.0.self_attn.q_proj.weight",
        "query",
        "8x8",
        "8x8",
        "named",
        "'q_proj'",
        "inside",
        "attention",
    ]
    assert "not in 'qk': named 'down_proj'" in text
    assert len(text.splitlines()) == 1 + 16  # header, 2 x 7 matrices, embedding, head


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"select": "kq"}, "unknown select 'kq'; known: qk, .* regular expressions, a callable"),
        ({"select": "attn"}, r"a callable; did you mean 'attention'\?"),
        ({"select": [r"layers\.9\..*"]}, r"matches no whole parameter name; closest: layers"),
        (
            {"blocks": {"layers.0.q": BlockSpec()}},
            "blocks names no parameter 'layers.0.q'; closest",
        ),
        ({"select": lambda *_: False}, r"(?s)nothing to decay .*decayed +name.*not chosen by the"),
    ],
)
def test_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select_parameters(TinyLlama(), **options)


def test_nothing_to_decay_in_a_plain_network_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"pass another of 'qk', 'attention', 'mlp', 'all'"):
        select_parameters(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)))


def test_blocks_by_a_name_and_a_source_that_is_no_model_are_refused() -> None:
    with pytest.raises(
        TypeError, match=r"expected blocks as a mapping .* got 'per_head'; per_head"
    ):
        select_parameters(torch.nn.TransformerEncoderLayer(8, 2, 16), blocks="per_head")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2, 2))], lr=0.1)
    with pytest.raises(TypeError, match="of type SGD; pass the model itself"):
        named_tensors.__wrapped__(optimizer)  # the check of types would refuse it before
