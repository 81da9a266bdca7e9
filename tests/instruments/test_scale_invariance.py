from dataclasses import replace
from math import isnan
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from cases import EAGER, TINY_MODEL, tiny
from spectraledge.instruments import Observer, ScaleInvariance, Window, scale_invariance_of
from spectraledge.models import PreNormEncoderSpec
from spectraledge.snapshots import Snapshot
from spectraledge.training import Problem

QK = {f"blocks.{layer}.attention.{name}.weight" for layer in range(2) for name in ("query", "key")}


def reading(**changes) -> dict[str, dict[str, float]]:
    """Outputs of one run at initialisation, by parameter."""
    problem = Problem([tiny(**changes)], EAGER)
    now = Snapshot(0, problem.layout, problem.initial_parameters())
    arrays = Observer([ScaleInvariance()], problem).observe(now)["scale_invariance"]
    return {name: dict(zip(problem.layout.names, a[0].tolist())) for name, a in arrays.items()}


def flagged(arrays) -> set[str]:
    return {name for name, verdict in arrays["invariant"].items() if verdict == 1}


@pytest.mark.parametrize("qk_norm", ["full", "per_head"])
@pytest.mark.parametrize("mlp", ["silu", "swiglu"])
def test_exactly_queries_and_keys_are_flagged(qk_norm, mlp):
    arrays = reading(model=replace(TINY_MODEL, qk_norm=qk_norm, mlp=mlp))
    assert flagged(arrays) == QK
    for name, deviation in arrays["deviation"].items():
        if name in QK:
            assert deviation == 0.0, name  # powers of two change no mantissa
        else:
            assert deviation > 1e-3, name  # far from the tolerance


def test_nothing_is_flagged_without_qk_norm():
    arrays = reading(model=replace(TINY_MODEL, qk_norm="none"))
    assert flagged(arrays) == set()


def test_the_radial_cosine_vanishes_for_invariant_tensors_only():
    cosine = reading()["radial_cosine"]
    invariant = [abs(cosine[name]) for name in QK]
    # float32 gradients: eps over the root of the number of entries, with room for the network.
    assert max(invariant) < 1e-6
    assert min(abs(c) for name, c in cosine.items() if name not in QK) > 1e-6


def test_a_radial_cosine_alone_would_mislead():
    """At this size a plain gradient is nearly orthogonal to the weight as well."""
    cosine = reading()["radial_cosine"]
    assert abs(cosine["blocks.1.mlp.down.weight"]) < 0.05
    assert "blocks.1.mlp.down.weight" not in flagged(reading())


def test_zero_tensors_have_no_verdict():
    """Biases start at zero, which no factor changes: not evidence of invariance."""
    arrays = reading(model=PreNormEncoderSpec(width=16, heads=2, mlp_width=24))
    biases = [n for n in arrays["invariant"] if n.endswith("attention.qkv.bias")]
    assert biases
    for name in biases:
        assert arrays["deviation"][name] == 0.0
        assert isnan(arrays["invariant"][name])


def reference_model() -> tuple[nn.Module, torch.Tensor]:
    model = TINY_MODEL.build(vocabulary=8, length=3, classes=7, seed=0)
    tokens = torch.randint(8, (32, 3), generator=torch.Generator().manual_seed(0))
    return model, tokens


def test_the_function_for_any_module_agrees_with_the_instrument():
    model, tokens = reference_model()
    tests = scale_invariance_of(model, tokens)
    assert {name for name, test in tests.items() if test.invariant} == QK
    assert list(tests) == [name for name, _ in model.named_parameters()]


def test_everything_that_writes_to_the_residual_stream_is_jointly_invariant():
    model, tokens = reference_model()
    names = [name for name, _ in model.named_parameters()]
    writers = [
        n
        for n in names
        if n.endswith(("embedding", "embedding.weight", "output.weight", "down.weight"))
    ]
    assert len(writers) == 2 + 2 * 2
    joint = scale_invariance_of(model, tokens, groups={"writers": writers})["writers"]
    assert joint.invariant
    assert joint.deviation == 0.0
    fewer = scale_invariance_of(model, tokens, groups={"fewer": writers[1:]})["fewer"]
    assert not fewer.invariant


def test_scales_that_are_no_powers_of_two_pass_within_rounding():
    model, tokens = reference_model()
    name = "blocks.0.attention.query.weight"
    test = scale_invariance_of(model, tokens, groups={name: [name]}, scales=(0.3, 7.0))[name]
    assert 0 < test.deviation < 1e-5  # float32 rounding, and not exactly nothing
    assert test.invariant


def test_the_model_is_left_as_it_was():
    model, tokens = reference_model()
    before = {name: p.clone() for name, p in model.named_parameters()}
    scale_invariance_of(model, tokens)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


class Wrapped(nn.Module):
    """Named arguments, an object as output, a tied weight: what foreign models look like."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, *, input_ids: torch.Tensor) -> SimpleNamespace:
        x = self.embed(input_ids).mean(1)
        return SimpleNamespace(logits=self.head(x / x.norm(dim=-1, keepdim=True)))


def test_named_arguments_output_objects_and_tied_weights():
    torch.manual_seed(0)
    tests = scale_invariance_of(Wrapped(), {"input_ids": torch.randint(5, (6, 2))})
    # Tied: as an embedding invariant, but the same factor reaches the head.
    assert {name: test.invariant for name, test in tests.items()} == {"embed.weight": False}
    assert tests["embed.weight"].deviation == pytest.approx(1.0, rel=1e-6)  # logits double


def test_errors():
    model, tokens = reference_model()
    with pytest.raises(ValueError, match=r"did you mean 'head.weight'"):
        scale_invariance_of(model, tokens, groups={"g": ["head.weigt"]})
    with pytest.raises(ValueError, match=r"call model.eval\(\)"):
        scale_invariance_of(nn.Sequential(nn.Linear(9, 9), nn.Dropout(0.5)), torch.ones(3, 9))
    for scales in ((), (1.0,), (-2.0,), (float("inf"),)):
        with pytest.raises(ValueError, match="positive finite scales other than 1"):
            ScaleInvariance(scales=scales)
    with pytest.raises(ValueError, match=r"tolerance in \(0, 1\), got 0"):
        ScaleInvariance(tolerance=0.0)
    with pytest.raises(ValueError, match="examples >= 1, got 0"):
        ScaleInvariance(examples=0)
    with pytest.raises(ValueError, match="needs a problem"):
        Observer([ScaleInvariance()])
    now = Snapshot(0, Problem([tiny()], EAGER).layout, torch.zeros(1, 1))
    with pytest.raises(ValueError, match=r"pass Window\(..., problem\)"):
        ScaleInvariance().measure(Window((now,)))


class FusedQKNorm(nn.Module):
    """Attention of one head with queries and keys normalised behind a fused projection."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.qkv = nn.Linear(8, 24, bias=False)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k = (nn.functional.rms_norm(y, (8,), eps=0.0) for y in (q, k))
        return torch.softmax(q @ k.mT, -1) @ v


def test_a_fused_projection_is_tested_by_its_parts():
    found = scale_invariance_of(FusedQKNorm(), torch.randn(3, 5, 8))
    told = {name: test.invariant for name, test in found.items()}
    assert told == {
        "qkv.weight": False,
        "qkv.weight[query]": True,
        "qkv.weight[key]": True,
        "qkv.weight[value]": False,
    }
    both = {"qk": ["qkv.weight[query]", "qkv.weight[key]"]}
    assert scale_invariance_of(FusedQKNorm(), torch.randn(3, 5, 8), groups=both)["qk"].invariant
