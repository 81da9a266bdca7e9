"""Wrapped models, tied and frozen parameters and buffers, as checkpoints have them."""

import pytest
import torch
from torch import nn

from spectraledge import (
    ModuleProblem,
    Probe,
    WeightSpectrum,
    commutator_defect_of,
    curvature_alignment_of,
    curvature_of,
    scale_invariance_of,
    subspace_projection_of,
    trajectory_of,
)
from spectraledge.instruments import (
    Ablation,
    CurvatureAlignment,
    SubspaceProjection,
    TrajectoryPCA,
)
from spectraledge.instruments.checkpoint_states import named_tensors_of
from spectraledge.instruments.plain_module import plain_module, under_own_names


class Tied(nn.Module):
    """An embedding that is the head as well, and a buffer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(5, 4)
        self.middle = nn.Linear(4, 4)
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("mask", torch.ones(4))

    def forward(self, x):
        return self.head(torch.tanh(self.middle(self.embedding(x))) * self.mask)


X = torch.arange(5).repeat(4)
BATCHES = [(X, (X + shift) % 5) for shift in range(3)]
EVERY = SubspaceProjection(kinds=(), components=2)


def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def states(model):
    """A model before and after a step, as a full state dict."""
    start = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.manual_seed(1)))
    return start, {name: value.clone() for name, value in model.state_dict().items()}


def test_wrappers_are_taken_off():
    model = Tied()
    for wrapped in (torch.compile(model), nn.DataParallel(model), model,
                    torch.compile(nn.DataParallel(model))):  # fmt: skip
        assert plain_module(wrapped) is model


def test_states_have_each_parameter_once_under_its_first_name():
    model = Tied()
    names = ["embedding.weight", "middle.weight", "middle.bias"]
    state = model.state_dict()
    assert set(state) == {*names, "head.weight", "mask"}
    assert list(under_own_names(model, state)) == names
    # Files of safetensors may keep the other name of the two.
    late = {name: value for name, value in state.items() if name != "embedding.weight"}
    assert set(under_own_names(model, late)) == set(names)
    compiled = torch.compile(model).state_dict()
    assert all(name.startswith("_orig_mod.") for name in compiled)
    assert list(under_own_names(model, compiled)) == names
    assert list(under_own_names(model, {"strange": torch.ones(1)})) == ["strange"]


def test_functions_take_compiled_models_and_whole_state_dicts():
    model = Tied()
    start, now = states(model)
    late = {name: value for name, value in start.items() if name != "embedding.weight"}
    change = {name: now[name] - start[name] for name in now}
    compiled = torch.compile(model)

    def cross_entropy(output, targets):
        return nn.functional.cross_entropy(output, targets)

    for own in (model, compiled):
        found = [
            commutator_defect_of(own, loss, BATCHES).defect,
            curvature_of(own, cross_entropy, BATCHES[0], directions=[change])["directions"][0],
            curvature_alignment_of(own, loss, BATCHES, late, CurvatureAlignment(kinds=()))[
                "max_cosine"
            ]["all"],
            subspace_projection_of(own, loss, BATCHES, EVERY)["share"],
        ]
        if own is model:
            expected = found
    assert found == expected
    plain = {name: change[name] for name in ("embedding.weight", "middle.weight", "middle.bias")}
    assert (
        curvature_of(model, cross_entropy, BATCHES[0], directions=[plain])["directions"][0]
        == (expected[1])
    )
    assert set(scale_invariance_of(compiled, X)) == set(plain)


def test_a_trajectory_basis_reads_states_that_keep_the_other_name():
    model = Tied()
    start, now = states(model)
    basis = SubspaceProjection(kinds=(), basis="trajectory", components=1)
    late = [{n: v for n, v in s.items() if n != "embedding.weight"} for s in (start, now)]
    found = [
        subspace_projection_of(model, loss, BATCHES, basis, checkpoints=given)
        for given in ((start, now), late)
    ]
    assert found[0] == found[1]
    with pytest.raises(ValueError, match=r"checkpoint 0 has no middle.bias"):
        subspace_projection_of(
            model, loss, BATCHES, basis,
            checkpoints=[{n: v for n, v in start.items() if n != "middle.bias"}, now],
        )  # fmt: skip


def test_one_batch_has_no_bracket():
    with pytest.raises(ValueError, match="expected two batches at least, got 1"):
        commutator_defect_of(Tied(), loss, BATCHES[:1])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ("run/step-100.pt", "got str; load them, as by"),
        ({"model": {"w": torch.ones(2)}, "step": 3}, r"under model; pass .* checkpoint\['model'\]"),
    ],
)
def test_what_is_no_state_dict_is_told(state, message):
    with pytest.raises(TypeError, match=message):
        named_tensors_of.__wrapped__(state, None)  # the check of types would refuse it before


def test_tied_clones_can_be_left_out():
    model = Tied()
    line = states(model)
    own = dict(model.named_parameters())
    weights = TrajectoryPCA(kinds=(), weight_decay=0.0)
    once = [{name: s[name] for name in own} for s in line]
    found = trajectory_of(line, weights, parameters=own).last("first_share")
    assert found == trajectory_of(once, weights).last("first_share")


def test_a_probe_of_a_compiled_model_is_one_of_the_model():
    model = Tied()
    rows = X.reshape(4, 5)
    compiled = torch.compile(model)
    problem = ModuleProblem(compiled, train=(rows, rows), held_out=(rows, rows))
    spectrum = Probe(
        compiled, [WeightSpectrum(kinds=()), Ablation(kinds=())], every=1, problem=problem
    )
    spectrum.step(0)
    assert not any(
        "_orig_mod" in name for name in spectrum.labels["weight_spectrum(kinds=())"]["matrix"]
    )
    assert spectrum.readings["ablation(kinds=())"]["accuracy"].shape == (1,)
