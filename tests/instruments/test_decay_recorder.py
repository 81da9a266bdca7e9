"""Decay of PyTorch optimizers, recorded while they train, against what it is by hand."""

import pytest
import torch
from torch import nn

from spectraledge.instruments import Probe, SpectralEdge, UpdateDecomposition
from spectraledge.instruments.decay_recorder import DecayRecorder
from spectraledge.snapshots import flatten_parameters


def encoder():
    torch.manual_seed(0)
    return nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)


def loop(model, optimizer, steps, each=lambda step: None, scheduler=None):
    chance = torch.Generator().manual_seed(1)
    for step in range(steps):
        each(step)
        optimizer.zero_grad()
        model(
            torch.randn(5, 3, 8, generator=chance).to(next(model.parameters()))
        ).square().mean().backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
    each(steps)


def groups(model):
    decays = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [{"params": decays, "weight_decay": 0.5}, {"params": others, "weight_decay": 0.0}]


def test_schedules_and_groups_are_what_they_are():
    model = encoder().double()
    optimizer = torch.optim.AdamW(groups(model), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    names = [name for name, _ in model.named_parameters()]
    recorder = DecayRecorder(model, optimizer, names)
    expected = torch.zeros_like(flatten_parameters(model))
    weights = torch.cat([
        torch.full((p.numel(),), 0.5 if p.ndim > 1 else 0.0).double() for p in model.parameters()
    ])  # fmt: skip

    def before(step):
        if step < 6:
            expected.sub_(scheduler.get_last_lr()[0] * weights * flatten_parameters(model))

    loop(model, optimizer, 6, before, scheduler)
    # Six sums of float64 numbers.
    torch.testing.assert_close(recorder.take()["weight_decay"][0], expected, rtol=1e-13, atol=1e-16)
    assert (recorder.take()["weight_decay"] == 0).all()


@pytest.mark.parametrize("name", ["AdamW", "Muon", "Adafactor"])
def test_without_a_gradient_everything_is_decay(name):
    model = nn.Linear(6, 4, bias=False).double()
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=1e-2, weight_decay=0.3)
    recorder = DecayRecorder(model, optimizer, ["weight"])
    start = flatten_parameters(model)
    for _ in range(5):
        model.weight.grad = torch.zeros_like(model.weight)
        optimizer.step()
    moved = flatten_parameters(model) - start
    assert moved.norm() > 0
    # AdamW multiplies by 1 - lr ω where this adds -lr ω θ: roundings of float64.
    torch.testing.assert_close(recorder.take()["weight_decay"][0], moved, rtol=1e-12, atol=1e-15)


def test_a_step_that_is_left_out_decays_nothing():
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    recorder = DecayRecorder(model, optimizer, ["weight"])
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(model(torch.full((1, 3), torch.inf)).sum()).backward()
    scaler.step(optimizer)
    assert (recorder.take()["weight_decay"][0, :6] == 0).all()
    # Parameters without a gradient stand still, and the optimizer leaves out their decay.
    optimizer.zero_grad()
    optimizer.step()
    assert (recorder.take()["weight_decay"][0, :6] == 0).all()


def test_a_probe_with_the_optimizer_splits_the_edge():
    model = encoder()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1.0)
    split = UpdateDecomposition(window=3, components=2)
    probe = Probe(model, [split, SpectralEdge(window=3)], every=4, optimizer=optimizer)
    loop(model, optimizer, 24, probe.step)
    reading = probe.readings["update_decomposition(window=3, components=2)"]
    assert len(reading["step"]) == 7
    shares = torch.from_numpy(reading["interval_share"][1:])
    torch.testing.assert_close(shares.sum(1), torch.ones(6).double())
    assert (shares[:, 1] != 0).all()
    assert (shares[:, 2] == 0).all()
    # lr ω N = 0.04: the trapezoid is off by its square over 12 and by what the gradient bends.
    assert (reading["trapezoid_error"][1:] < 0.05).all()
    energy = torch.from_numpy(reading["energy_share"][3:])
    torch.testing.assert_close(energy.sum(1), torch.ones(4, 2).double())


def test_a_probe_with_the_optimizer_disturbs_nothing():
    def trained(watched):
        model = encoder()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1.0)
        each = lambda step: None  # noqa: E731
        if watched:
            each = Probe(model, [UpdateDecomposition()], every=3, optimizer=optimizer).step
        loop(model, optimizer, 9, each)
        return flatten_parameters(model)

    assert torch.equal(trained(False), trained(True))


def test_decay_inside_the_gradient_has_no_part():
    model = nn.Linear(3, 2)
    for make in (torch.optim.Adam, torch.optim.SGD):
        optimizer = make(model.parameters(), lr=0.1, weight_decay=0.1)
        with pytest.raises(ValueError, match=r"got \w+ with weight_decay=0.1 inside the gradient"):
            DecayRecorder(model, optimizer, ["weight"])
        DecayRecorder(model, make(model.parameters(), lr=0.1), ["weight"])
    flagged = torch.optim.Adam(
        model.parameters(), lr=0.1, weight_decay=0.1, decoupled_weight_decay=True
    )
    DecayRecorder(model, flagged, ["weight"]).remove()
    assert not flagged._optimizer_step_pre_hooks
    assert not flagged._optimizer_step_post_hooks


def test_a_closure_makes_the_gradient_inside_of_the_step():
    model = nn.Linear(3, 2, bias=False).double()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    recorder = DecayRecorder(model, optimizer, ["weight"])
    start = flatten_parameters(model)

    def closure():
        loss = (0 * model(torch.ones(1, 3).double())).sum()
        loss.backward()
        return loss

    optimizer.zero_grad()
    optimizer.step(closure)
    moved = flatten_parameters(model) - start
    assert moved.norm() > 0
    torch.testing.assert_close(recorder.take()["weight_decay"][0], moved, rtol=1e-12, atol=1e-15)


def test_a_fused_optimizer_that_its_scaler_holds_back_decays_nothing():
    model = nn.Linear(3, 2, bias=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5, fused=True)
    recorder = DecayRecorder(model, optimizer, ["weight"])
    scaler = torch.amp.GradScaler("cpu")
    start = flatten_parameters(model)
    scaler.scale(model(torch.full((1, 3), torch.inf)).sum()).backward()
    scaler.step(optimizer)
    assert torch.equal(flatten_parameters(model), start)
    assert (recorder.take()["weight_decay"] == 0).all()


def test_only_the_optimizers_of_torch_are_known_by_their_class():
    class Adafactor(torch.optim.SGD):
        """Another library's, whose decay is something else."""

    model = nn.Linear(3, 2)
    with pytest.raises(ValueError, match="got Adafactor"):
        DecayRecorder(model, Adafactor(model.parameters(), lr=0.1, weight_decay=0.1), ["weight"])


def test_bfloat16_rounds_a_small_decay_away_and_so_does_the_record():
    model = encoder().bfloat16()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1.0, foreach=False)
    probe = Probe(
        model, [UpdateDecomposition(window=2, components=2)], every=1, optimizer=optimizer
    )
    recorder = DecayRecorder(model, optimizer, [name for name, _ in model.named_parameters()])
    before = flatten_parameters(model).double()
    for step in range(3):
        probe.step(step)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    moved = flatten_parameters(model).double() - before
    assert torch.equal(recorder.take()["weight_decay"][0], moved)
    # A decay of 1e-4 is below half a unit of bfloat16, 2e-3: nothing moves, by any part.
    assert not moved.any()
    (found,) = probe.readings.values()
    assert (found["part_norm"][1:, :2] == 0).all()


def test_checkpoints_that_are_loaded_have_parts_that_nobody_saw():
    model = encoder()
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1.0)
    split = UpdateDecomposition(window=2, components=2, weight_decay=1.0)
    probe = Probe(model, [split], every=1, optimizer=optimizer)
    for step in range(4):
        model.load_state_dict({name: x * 0.999**step for name, x in start.items()})
        probe.step(step)
    (found,) = probe.readings.values()
    assert torch.from_numpy(found["energy_share"]).isnan().all()
    assert torch.from_numpy(found["interval_share"]).isnan().all()
    # Decay alone: the share of the gradient by the trapezoid is the rounding of the weights, 6e-8
    # of them, over steps of 1e-3 of them, squared.
    assert found["trapezoid_share"][3, 0] < 1e-6
