"""The alarm of the edge from a probe, where only decay acts and where only the gradient does."""

import numpy as np
import pytest
import torch
from torch import nn

from spectraledge import Probe, SpectralEdge, UpdateDecomposition, edge_alarm_of

WINDOW = 3


def readings(gradient, steps=16, sketch=None):
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(8, 2, 16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=1.0)
    instruments = [
        SpectralEdge(window=WINDOW, sketch=sketch),
        UpdateDecomposition(window=WINDOW, sketch=sketch),
    ]
    probe = Probe(model, instruments, every=1, optimizer=optimizer)
    for step in range(steps):
        probe.step(step)
        for parameter in model.parameters():
            parameter.grad = gradient(step, parameter)
        optimizer.step()
    return probe.readings


def nothing(step, parameter):
    return torch.zeros_like(parameter)


def noise(step, parameter):
    return torch.randn(parameter.shape, generator=torch.Generator().manual_seed(step))


@pytest.mark.parametrize("sketch", [None, 4096])
def test_decay_alone_fires_once_two_windows_are_full(sketch):
    found = edge_alarm_of(readings(nothing, sketch=sketch))
    # Rotations need W + 1 displacements, and the window W displacements earlier must be driven too.
    first = 2 * WINDOW + 1
    assert found.steps.tolist() == list(range(16))
    assert np.flatnonzero(found.driven).tolist() == list(range(WINDOW + 1, 16))
    assert np.flatnonzero(found.alarms).tolist() == list(range(first, 16))
    assert found.first == first
    assert not found.reentries.any()


def test_the_gradient_takes_the_edge_back():
    found = edge_alarm_of(readings(lambda t, p: noise(t, p) if t >= 10 else nothing(t, p)))
    assert found.driven[5:11].all()
    assert not found.driven[12:].any()
    (step,) = np.flatnonzero(found.reentries)
    assert step in (11, 12)


def test_noise_does_not_fire():
    found = edge_alarm_of(readings(noise))
    assert not found.driven.any()
    assert found.first is None


def test_readings_that_are_missing_are_named():
    with pytest.raises(ValueError, match=r"one reading of update_decomposition, got \[\] of \['sp"):
        edge_alarm_of({k: v for k, v in readings(nothing, 2).items() if k.startswith("spectral")})
