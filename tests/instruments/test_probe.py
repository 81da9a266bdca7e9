from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from spectraledge.instruments import (
    DecayGeometry,
    Instrument,
    Observer,
    Output,
    Probe,
    ScaleInvariance,
    WeightSpectrum,
)
from spectraledge.snapshots import Layout, Snapshot, flatten_parameters


def foreign_loop(steps, probe_of=None) -> tuple[nn.Module, Probe | None, list[torch.Tensor]]:
    """Somebody's training of somebody's module; returns the weights at every step as well."""
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    probe = probe_of(model) if probe_of else None
    history = []
    for step in range(steps):
        if probe:
            probe.step(step, lr=1e-2)
        history.append(flatten_parameters(model))
        model(torch.randn(5, 3, 8)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, probe, history


def test_a_probe_equals_an_observer_of_the_same_weights_and_disturbs_nothing():
    instruments = [WeightSpectrum(heads=2), DecayGeometry()]
    model, probe, history = foreign_loop(7, lambda m: Probe(m, instruments, every=3))
    untouched, _, _ = foreign_loop(7)
    assert torch.equal(flatten_parameters(model), flatten_parameters(untouched))

    layout, observer = Layout.of(model), Observer(instruments)
    lr = torch.tensor([1e-2], dtype=torch.float64)
    expected = [
        observer.observe(Snapshot(step, layout, history[step][None], lr=lr)) for step in (0, 3, 6)
    ]
    for key, reading in probe.readings.items():
        assert reading.pop("step").tolist() == [0, 3, 6]
        for name, array in reading.items():
            np.testing.assert_array_equal(
                array, np.stack([e[key][name][0].numpy() for e in expected]), err_msg=name
            )


def test_readings_have_names_and_what_needs_parts_is_nan():
    _, probe, _ = foreign_loop(4, lambda m: Probe(m, [WeightSpectrum(), DecayGeometry()], every=2))
    names = ("attention.query", "attention.key")
    assert probe.labels["weight_spectrum"]["matrix"] == names
    assert probe.labels["decay_geometry"]["part"] == ("gradient", "weight_decay", "low_rank")
    geometry = probe.readings["decay_geometry"]
    assert geometry["tangential"].shape == (2, 3, 2)
    assert np.isnan(geometry["tangential"]).all()
    assert np.isfinite(geometry["angular_step"][1]).all()
    assert (geometry["adam_effective_rate"][1] > 0).all()


def test_before_the_first_measurement_there_is_nothing():
    probe = Probe(nn.Linear(2, 2), [WeightSpectrum(kinds=())])
    assert probe.readings == {}
    assert probe.labels == {}


def test_errors():
    model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="every >= 1, got 0"):
        Probe(model, [WeightSpectrum()], every=0)
    with pytest.raises(ValueError, match="needs a problem"):
        Probe(model, [ScaleInvariance()])
    with pytest.raises(ValueError, match="expected distinct instruments"):
        Probe(model, [WeightSpectrum(), WeightSpectrum()])
    probe = Probe(model, [WeightSpectrum(kinds=())], every=1)
    probe.step(5)
    with pytest.raises(ValueError, match="expected a step after 5, got 5"):
        probe.step(5)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            torch.zeros(1),
            r"'size' as float64 \(1 runs, matrix\), got torch.float64 of shape \(1,\)",
        ),
        (torch.zeros(2, 3).double(), r"got torch.float64 of shape \(2, 3\)"),
        (torch.zeros(1, 3), r"got torch.float32 of shape \(1, 3\)"),
    ],
)
def test_what_an_instrument_returns_is_checked(array, message):
    class Odd(Instrument):
        name: ClassVar = "odd"
        outputs: ClassVar = {"size": Output("of something", axes=("matrix",))}

        def measure(self, window):
            return {"size": array.double() if array.ndim == 1 else array}

    probe = Probe(nn.Linear(2, 2), [dataclass(frozen=True)(Odd)()], every=1)
    with pytest.raises(ValueError, match=f"odd: expected .*{message}"):
        probe.step(0)


def test_a_class_is_no_instrument():
    observer = Observer.__new__(Observer)
    # Without the check of types of the tests, which would refuse it before.
    with pytest.raises(TypeError, match=r"got a class; make one: WeightSpectrum\(\)"):
        Observer.__init__.__wrapped__(observer, [WeightSpectrum])
