"""Layouts and canonical weight matrices."""

import pytest
import torch
from torch import nn

from spectraledge.models import PreNormEncoderSpec, ScaleInvariantDecoderSpec
from spectraledge.snapshots import Layout, Snapshot, flatten_parameters
from spectraledge.weight_matrices import weight_matrices


def test_views_and_flatten_are_inverse():
    model = PreNormEncoderSpec(width=8, heads=2, mlp_width=4).build(
        vocabulary=5, length=2, classes=5, seed=0
    )
    layout, flat = Layout.of(model), flatten_parameters(model)
    assert layout.size == len(flat)
    for name, parameter in model.named_parameters():
        assert torch.equal(layout.views(flat)[name], parameter)
        assert torch.equal(layout.view(flat, name), parameter)
        assert layout.mask([name]).sum() == parameter.numel()


def test_scalars_and_batches():
    layout = Layout(("scale", "matrix"), ((), (2, 3)))
    flat = torch.arange(14.0).view(2, 7)
    assert layout.view(flat, "scale").tolist() == [0.0, 7.0]
    assert layout.views(flat)["scale"].tolist() == [0.0, 7.0]
    assert layout.view(flat, "matrix").shape == (2, 2, 3)


def test_fused_projections_are_split():
    spec = PreNormEncoderSpec(width=8, heads=2, mlp_width=4)
    layout = Layout.of(spec.build(vocabulary=5, length=2, classes=5, seed=0))
    matrices = weight_matrices(layout, ("query", "key"))
    assert list(matrices) == [
        "layer0.attention.query", "layer0.attention.key",
        "layer1.attention.query", "layer1.attention.key",
    ]  # fmt: skip
    flat = torch.arange(float(layout.size)).unsqueeze(0)
    fused = layout.view(flat, "blocks.1.attention.qkv.weight")
    assert torch.equal(matrices["layer1.attention.key"].view(flat, layout), fused[:, 8:16])


def test_gate_and_up_stay_mlp():
    model = nn.ModuleDict({"mlp": nn.ModuleDict({"gate_up_proj": nn.Linear(4, 12, bias=False)})})
    kinds = {m.kind for m in weight_matrices(Layout.of(model)).values()}
    assert kinds == {"mlp"}


def test_our_decoder_has_canonical_names():
    spec = ScaleInvariantDecoderSpec(width=8, heads=2, mlp_width=4)
    layout = Layout.of(spec.build(vocabulary=5, length=3, classes=5, seed=0))
    assert {"layer0.attention.query", "layer1.mlp.down", "head"} <= set(weight_matrices(layout))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Layout(("a", "a"), ((1,), (1,))), ValueError, r"\['a'\] more than once"),
        (lambda: Layout(("a",), ()), ValueError, "1 names and 0 shapes"),
        (lambda: Layout(("a",), ((1,),)).span("b"), KeyError, "known: a"),
        (lambda: weight_matrices(Layout(("bias",), ((3,),))), ValueError, "no weight matrix"),
        (lambda: Snapshot(0, Layout(("a",), ((1,),)), torch.zeros(1, 1)).part("x", "a"),
         KeyError, "'x' was not recorded"),
    ],
)  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
