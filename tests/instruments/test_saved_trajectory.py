"""What counts among the tensors of saved checkpoints, and what cannot be a trajectory."""

import numpy as np
import pytest
import torch
from torch import nn

from spectraledge.instruments import TrajectoryPCA, trajectory_of

QUERY = TrajectoryPCA(kinds=("query",), components=2)


class Normalised(nn.Module):
    """A projection behind a normalisation layer with running statistics, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.BatchNorm1d(4)
        self.query = nn.Linear(4, 4)
        self.register_buffer("memory", torch.zeros(6))

    def forward(self, x):
        self.memory.add_(1.0)
        return self.query(self.norm(x))


def trained(steps=6):
    """A model, and copies of its state along a few steps of gradient descent."""
    model = Normalised()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    states = []
    for step in range(steps):
        states.append({name: w.clone() for name, w in model.state_dict().items()})
        inputs = 5 + torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()
    return model, states


def shares(states, **options):
    return trajectory_of(states, QUERY, **options).last("first_share")


@pytest.mark.parametrize("options", [{}, {"sketch": 64}, {"held": 2}], ids=str)
def test_running_statistics_do_not_count_and_named_parameters_alone_may(options):
    model, states = trained()
    weights = dict(model.named_parameters())
    alone = [{name: w for name, w in state.items() if name in weights} for state in states]
    kept = [state | {"norm.running_mean": torch.zeros(4)} for state in states]
    assert shares(states, **options) == shares(kept, **options)
    # Of buffers that move, only the caller can tell.
    assert shares(states, **options)["model"] != shares(alone, **options)["model"]
    assert shares(states, parameters=weights, **options) == shares(alone, **options)


def test_parameters_that_a_checkpoint_lacks_are_named():
    _, states = trained(3)
    with pytest.raises(
        ValueError, match=r"unknown parameter of a checkpoint 'querry\.weight'.*did"
    ):
        shares(states, parameters=["querry.weight"])


@pytest.mark.parametrize("options", [{}, {"sketch": 64}, {"held": 2}], ids=str)
@pytest.mark.parametrize("kind", [list, tuple])
def test_checkpoints_in_one_memory_are_refused(kind, options):
    model, states = trained(3)
    live = kind(model.state_dict() for _ in range(3))
    message = r"number 1 lies in the memory of number 0, .* clone them .*w\.clone\(\) for name"
    with pytest.raises(ValueError, match=message):
        shares(live, **options)
    # Frozen tensors may be shared, and an iterator may hand out the live weights one by one.
    fixed = [state | {"norm.weight": states[0]["norm.weight"]} for state in states]
    assert shares(kind(fixed), **options)["model"] > 0

    def one_by_one():
        for state in states:
            model.load_state_dict(state)
            yield model.state_dict()

    if "held" not in options:
        assert shares(one_by_one(), **options) == pytest.approx(shares(states, **options))


@pytest.mark.parametrize("lr", [-0.1, 1.0, 2.0, float("nan"), [0.1, 0.1, -0.1]])
def test_rates_out_of_range_are_refused(lr):
    _, states = trained(3)
    with pytest.raises(ValueError, match=r"lr \* weight_decay < 1, got"):
        trajectory_of(states, QUERY, lr=lr)


def test_without_decay_any_rate_will_do():
    _, states = trained(3)
    found = trajectory_of(states, TrajectoryPCA(kinds=("query",), weight_decay=0.0), lr=2.0)
    assert found.last("first_share")["model"] > 0


@pytest.mark.parametrize("lr", [np.float32(0.25), np.array(0.25), torch.tensor(0.25)])
def test_rates_may_be_scalars_of_numpy_and_torch(lr):
    _, states = trained(4)
    expected = trajectory_of(states, QUERY, lr=0.25).last("ornstein_uhlenbeck_share")
    assert trajectory_of(states, QUERY, lr=lr).last("ornstein_uhlenbeck_share") == expected
    assert trajectory_of(states, QUERY, lr=[lr] * 4).last("ornstein_uhlenbeck_share") == expected


def test_an_output_that_there_is_not_is_named():
    _, states = trained(4)
    reading = trajectory_of(states, QUERY)
    with pytest.raises(ValueError, match=r"unknown output .* 'frist_share'.* mean 'first_share'"):
        reading.last("frist_share")
    with pytest.raises(
        ValueError, match=r"got 'share' of shape \(\d, \d, 2\); read it in reading.ar"
    ):
        reading.last("share")
