"""Parts of a module that no gradient passes are named; what the loss ignores is let be."""

import pytest
import torch
from torch import nn

from spectraledge.instruments import (
    SubspaceProjection,
    commutator_defect_of,
    curvature_alignment_of,
    curvature_of,
    subspace_projection_of,
)


def mean_square(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def batches(count=2):
    torch.manual_seed(1)
    return [(torch.randn(6, 4), torch.randn(6, 4)) for _ in range(count)]


def defect(model, loss=mean_square):
    return commutator_defect_of(model, loss, batches())


class Function(nn.Module):
    """A module of one function."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def by_numpy(x):
    return torch.from_numpy(2 * x.detach().numpy())


def without_gradient(x):
    with torch.no_grad():
        return 2 * x


def argmax(x):
    return nn.functional.one_hot(x.argmax(-1), x.shape[-1]).float()


@pytest.mark.parametrize(
    "function",
    [argmax, by_numpy, without_gradient, torch.detach, torch.round, torch.floor, torch.sign],
)
def test_a_cut_in_the_middle_is_named_and_so_is_what_lies_before(function):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), Function(function), nn.Linear(4, 4))
    if function is torch.round:
        model[0].weight.data.mul_(4)
    expected = (
        r"commutator_defect_of: .* of module '0' \(Linear\), but no gradient reaches them: "
        r"module '2' \(Function\) cuts the gradient; .*or freeze by requires_grad_\(False\)"
    )
    with pytest.raises(ValueError, match=expected):
        defect(model)
    # Frozen it is a constant, which is what the numbers are of.
    model[0].requires_grad_(False)
    assert defect(model).defect > 0


class Between(nn.Module):
    """Two layers, and something between them."""

    def __init__(self, join) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.join = join

    def forward(self, x):
        return self.second(self.join(self.first(x)))


@pytest.mark.parametrize("join", [torch.detach, by_numpy, argmax, torch.round])
def test_a_cut_between_modules_is_that_of_the_module_that_calls_them(join):
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), Between(join))
    expected = (
        r"of module '0' \(Linear\), '2\.first' \(Linear\), .*: module '2' \(Between\) cuts the"
    )
    with pytest.raises(ValueError, match=expected):
        defect(model)


class Teacher(Between):
    """Calls one of its layers in a no_grad block."""

    def forward(self, x):
        with torch.no_grad():
            hidden = self.first(x)
        return self.second(hidden)


def test_a_module_that_is_called_under_no_grad_is_named_and_may_be_frozen():
    model = Teacher(None)
    expected = (
        r"of module 'first' \(Linear\), .*: module 'first' \(Linear\) is called under no_grad"
    )
    with pytest.raises(ValueError, match=expected):
        defect(model)
    model.first.requires_grad_(False)
    alone = [(model.first(x).detach(), y) for x, y in batches()]
    expected = commutator_defect_of(model.second, mean_square, alone)
    assert defect(model).defect == expected.defect


def test_a_cut_in_the_loss_is_the_loss():
    model = Between(torch.tanh)

    def cutting(model, batch):
        hidden = model.first(batch[0]).detach()
        return (model.second(hidden) - batch[1]).square().mean()

    with pytest.raises(ValueError, match=r"of module 'first' .*: the loss function cuts"):
        defect(model, cutting)


def test_every_function_on_modules_says_so():
    model = Between(argmax)
    state, expected = model.state_dict(), r"module 'the model itself' \(Between\) cuts"
    with pytest.raises(ValueError, match=f"subspace_projection_of: .*{expected}"):
        subspace_projection_of(model, mean_square, batches(), SubspaceProjection(kinds=()))
    with pytest.raises(ValueError, match=f"curvature_alignment_of: .*{expected}"):
        curvature_alignment_of(model, mean_square, batches(), state)
    with pytest.raises(ValueError, match=f"curvature_of: .*{expected}"):
        curvature_of(model, nn.functional.mse_loss, batches()[0])


class Unused(Between):
    """Holds a layer that nobody calls, and calls one whose output nobody uses."""

    def __init__(self, both: bool) -> None:
        super().__init__(torch.tanh)
        if both:
            self.never, self.auxiliary = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x):
        hidden = self.first(x).tanh()
        if hasattr(self, "auxiliary"):
            self.said = self.auxiliary(hidden)
        return self.second(hidden)


def test_what_the_loss_does_not_depend_on_is_no_cut():
    lean, full = defect(Unused(False)), defect(Unused(True))
    assert full.pair_defects == pytest.approx(lean.pair_defects)


class StraightThrough(nn.Module):
    def forward(self, x):
        return x + (x.round() - x).detach()


def test_dead_units_and_straight_through_estimators_are_no_cuts():
    torch.manual_seed(0)
    dead = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    dead[0].bias.data.fill_(-100.0)
    assert defect(dead).defect > 0
    model = nn.Sequential(nn.Linear(4, 4), StraightThrough(), nn.Linear(4, 4))
    assert defect(model).defect > 0


def test_measuring_what_is_cut_changes_nothing():
    model = Between(argmax)
    before = {name: x.clone() for name, x in model.state_dict().items()}
    measured = batches()
    random = torch.get_rng_state()
    with pytest.raises(ValueError, match="cuts"):
        commutator_defect_of(model, mean_square, measured)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())
