"""Low-rank decay and several optimizers in somebody else's loop: parts against what moved."""

import pytest
import torch
from torch import nn

from spectraledge.decay import LowRankDecay
from spectraledge.instruments import DecayGeometry, Probe, SpectralEdge, UpdateDecomposition
from spectraledge.instruments.decay_recorder import DecayRecorder
from spectraledge.instruments.probe import _several
from spectraledge.snapshots import flatten_parameters

SPLIT = UpdateDecomposition(window=2, components=2, kinds=("query", "key"))
KEY = "update_decomposition(window=2, components=2, kinds=('query', 'key'))"
GRADIENT, WEIGHT_DECAY, LOW_RANK = range(3)


class Attention(nn.Module):
    """Queries and keys, and something else."""

    def __init__(self, width=8):
        super().__init__()
        torch.manual_seed(0)
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)


def no_gradient(model):
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)


def adamw(parameters, weight_decay=0.0):
    return torch.optim.AdamW(parameters, lr=0.01, weight_decay=weight_decay)


@pytest.mark.parametrize("attached", ["before the probe", "after the probe", "not, but by hand"])
def test_low_rank_decay_alone_is_low_rank_decay(attached):
    model = Attention()
    optimizer, decay = adamw(model.parameters()), LowRankDecay(model, 5.0)
    by_hand = attached == "not, but by hand"
    if attached == "before the probe":
        decay.attach(optimizer)
    probe = Probe(
        model, [SPLIT], every=2, optimizer=optimizer, low_rank_decay=decay if by_hand else ()
    )
    if attached == "after the probe":
        decay.attach(optimizer)
    for step in range(9):
        probe.step(step)
        no_gradient(model)
        optimizer.step()
        if by_hand:
            decay.step(0.01)
    shares = torch.from_numpy(probe.readings[KEY]["interval_share"])[1:]
    # Float32 weights, of which a displacement of 5 % is a difference.
    expected = torch.tensor([0.0, 0.0, 1.0]).double().expand_as(shares)
    torch.testing.assert_close(shares, expected, rtol=0, atol=1e-6)


def test_all_parts_sum_to_the_displacement_and_each_is_what_it_is():
    model = Attention().double()
    optimizer = adamw(model.parameters(), weight_decay=0.5)
    with pytest.warns(UserWarning, match="so both act"):
        decay = LowRankDecay(model, 2.0).attach(optimizer)
    recorder = DecayRecorder(model, optimizer, [name for name, _ in model.named_parameters()])
    expected = {"weight_decay": 0.0, "low_rank": 0.0}

    class Between:
        """Sees the weights between the optimizer's step and the decay."""

        def before(self, parameters):
            self.kept = flatten_parameters(model)

        def after(self, parameters):
            expected["low_rank"] = expected["low_rank"] + flatten_parameters(model) - self.kept

    decay.watch(Between())
    for _ in range(5):
        expected["weight_decay"] = expected["weight_decay"] - 0.005 * flatten_parameters(model)
        no_gradient(model)
        optimizer.step()
    taken = recorder.take()
    for part, sums in expected.items():
        torch.testing.assert_close(taken[part][0], sums, rtol=1e-12, atol=1e-15)
    assert taken["low_rank"].norm() > 0


def test_low_rank_decay_shows_in_its_geometry():
    model = Attention()
    optimizer = adamw(model.parameters())
    LowRankDecay(model, 5.0, scale="absolute", method="svd").attach(optimizer)
    probe = Probe(model, [DecayGeometry()], every=1, optimizer=optimizer)
    for step in range(3):
        probe.step(step)
        no_gradient(model)
        optimizer.step()
    amount = probe.readings["decay_geometry"]["amount"][1:]
    # Every singular value loses lr · strength in a step; float32 weights of size 0.5.
    assert amount == pytest.approx(0.05, rel=1e-4)


def test_a_probe_stops_looking_when_the_recorder_is_removed():
    model = Attention()
    optimizer = adamw(model.parameters())
    decay = LowRankDecay(model, 5.0).attach(optimizer)
    recorder = DecayRecorder(model, optimizer, ["q_proj.weight"])
    recorder.remove()
    no_gradient(model)
    optimizer.step()
    assert (recorder.take()["low_rank"][0, :64] == 0).all()
    decay.detach()
    fresh = DecayRecorder(model, optimizer, ["q_proj.weight"])
    assert set(fresh.take()) == {"weight_decay"}


def two_optimizers(model):
    return (
        adamw(model.q_proj.parameters(), weight_decay=0.5),
        adamw([*model.k_proj.parameters(), *model.o_proj.parameters()], weight_decay=2.0),
    )


def watched(optimizers, given, steps=5):
    model = Attention()
    first, second = optimizers(model)
    probe = Probe(model, [SPLIT], every=1, optimizer=given(first, second))
    for step in range(steps):
        probe.step(step)
        no_gradient(model)
        first.step()
        second.step()
    return torch.from_numpy(probe.readings[KEY]["interval_share"])[1:]


def test_several_optimizers_are_recorded_together():
    shares = watched(two_optimizers, lambda first, second: [first, second])
    torch.testing.assert_close(shares[:, WEIGHT_DECAY], torch.ones(4).double(), atol=1e-6, rtol=0)


def test_what_another_optimizer_moves_has_parts_that_nobody_saw():
    assert watched(two_optimizers, lambda first, second: first).isnan().all()


def test_what_no_optimizer_has_and_stands_still_is_known():
    model = Attention()
    optimizer = adamw(model.q_proj.parameters(), weight_decay=0.5)
    probe = Probe(model, [SPLIT], every=1, optimizer=optimizer)
    for step in range(3):
        probe.step(step)
        no_gradient(model)
        optimizer.step()
    shares = torch.from_numpy(probe.readings[KEY]["interval_share"])[1:]
    torch.testing.assert_close(shares[:, WEIGHT_DECAY], torch.ones(2).double(), atol=1e-6, rtol=0)


def test_a_decay_by_hand_needs_the_optimizer_beside_it():
    model = Attention()
    with pytest.raises(ValueError, match="expected optimizer= beside low_rank_decay=, got none"):
        Probe(model, [SPLIT], low_rank_decay=LowRankDecay(model, 1.0))


def test_the_optimizer_of_another_model_is_refused():
    other = adamw(Attention().parameters(), weight_decay=0.1)
    with pytest.raises(ValueError, match=r"got \['AdamW'\] without any of its parameters"):
        Probe(Attention(), [SPLIT], optimizer=other)
    with pytest.raises(TypeError, match="expected Optimizer, got dict"):
        _several([other.state_dict()], torch.optim.Optimizer)


def test_a_model_that_gets_other_parameters_needs_a_new_probe():
    model = Attention()
    probe = Probe(model, [SpectralEdge(window=2)], every=1)
    probe.step(0)
    model.o_proj = nn.Linear(8, 9, bias=False)
    with pytest.raises(ValueError, match=r"the same names in other shapes.*make a new probe"):
        probe.step(1)
    model.added = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"added.bias, added.weight"):
        probe.step(1)


def test_the_trapezoid_follows_a_schedule():
    model = Attention()
    optimizer = adamw(model.parameters(), weight_decay=1.0)
    # Linear, so that the mean of both ends is the mean of all rates between.
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 100)
    probe = Probe(model, [SPLIT], every=5, optimizer=optimizer)
    for step in range(41):
        probe.step(step)
        no_gradient(model)
        optimizer.step()
        schedule.step()
    error = probe.readings[KEY]["trapezoid_error"]
    # Rates 1 to 0.96 of the first steps are 0.98 in the mean; known is that of the end, 0.95. Later
    # ends have (0.95 + 0.90)/2 where the steps between have 0.93 in the mean.
    assert error[1] == pytest.approx(0.03 / 0.98, abs=0.01)
    # Half a step of the schedule is 0.8 % of the smallest rate.
    assert (error[2:] < 0.012).all()


def test_saved_checkpoints_are_measured_one_by_one():
    model = Attention()
    probe = Probe(model, [SpectralEdge(window=2)], every=1)
    for step in (1, 6, 11):
        probe.step(step)
    assert probe.readings["spectral_edge(window=2)"]["step"].tolist() == [1, 6, 11]
    with pytest.raises(ValueError, match="expected a whole every >= 1, got 0"):
        Probe(model, [SpectralEdge()], every=0)
