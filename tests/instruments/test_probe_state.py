"""A probe that was saved and loaded goes on as if nothing had been."""

import io

import numpy as np
import pytest
import torch
from torch import nn

from spectraledge.instruments import (
    Probe,
    SpectralEdge,
    TrajectoryPCA,
    UpdateDecomposition,
    WeightSpectrum,
)

INSTRUMENTS = [
    WeightSpectrum(),
    TrajectoryPCA(),
    TrajectoryPCA(sketch=64),
    SpectralEdge(window=2),
    SpectralEdge(window=2, sketch=64),
    UpdateDecomposition(window=2, components=2),
    UpdateDecomposition(window=2, components=2, sketch=64),
]


def training(instruments=INSTRUMENTS, width=8, optimized=True):
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(width, 2, 16, dropout=0.0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.5)
    return model, optimizer, Probe(model, instruments, every=3,
                                   optimizer=optimizer if optimized else None)  # fmt: skip


def steps(state, begin, end):
    model, optimizer, probe = state
    for step in range(begin, end):
        probe.step(step)
        x = torch.randn(5, 3, model.self_attn.embed_dim,
                        generator=torch.Generator().manual_seed(step))  # fmt: skip
        model(x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def saved_and_loaded(state):
    file = io.BytesIO()
    torch.save([part.state_dict() for part in state], file)
    file.seek(0)
    return torch.load(file, weights_only=True)


# In the middle between two measurements, and right before one.
@pytest.mark.parametrize("interrupted", [8, 9])
def test_readings_after_an_interruption_are_those_of_a_whole_run(interrupted):
    whole = training()
    steps(whole, 0, 20)
    first, second = training(), training()
    steps(first, 0, interrupted)
    for part, loaded in zip(second, saved_and_loaded(first)):
        part.load_state_dict(loaded)
    steps(second, interrupted, 20)
    assert second[2].readings.keys() == whole[2].readings.keys()
    for key, arrays in whole[2].readings.items():
        assert arrays["step"].tolist() == [0, 3, 6, 9, 12, 15, 18]
        for name, values in arrays.items():
            np.testing.assert_array_equal(second[2].readings[key][name], values, err_msg=name)
    # Decay is known over the interruption as well.
    assert np.isfinite(second[2].readings[
        "update_decomposition(window=2, components=2)"]["interval_share"][1:]).all()  # fmt: skip


def test_a_state_is_not_changed_by_what_comes_after():
    state = training()
    steps(state, 0, 5)
    kept = state[2].state_dict()
    before = kept["decay"]["sums"]["weight_decay"]["self_attn.in_proj_weight"].clone()
    steps(state, 5, 12)
    assert torch.equal(kept["decay"]["sums"]["weight_decay"]["self_attn.in_proj_weight"], before)
    assert kept["steps"] == [0, 3]
    assert [len(arrays) for arrays in kept["readings"].values()] == [2] * len(INSTRUMENTS)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"instruments": INSTRUMENTS[:2]}, "state of the instruments .*make the probe with the"),
        ({"width": 12}, "parameters of this model, got others: the same names in other shapes"),
        ({"optimized": False}, "state is of a probe with optimizer=; make this one alike"),
    ],
)
def test_the_state_of_another_probe_is_refused(other, message):
    state = training()
    steps(state, 0, 4)
    with pytest.raises(ValueError, match=message):
        training(**other)[2].load_state_dict(state[2].state_dict())
