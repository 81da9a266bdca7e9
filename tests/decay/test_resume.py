"""Saving the state of a decay and going on from it."""

import copy
from pathlib import Path

import pytest
import torch
from decay_models import TinyLlama

from spectraledge.decay import BlockSpec, LowRankDecay, Strip, per_head


def run(
    steps: range, state: dict[str, object] | None = None, lr_tensor: bool = False
) -> dict[str, object]:
    """Train from `state` (or afresh) over `steps`, and return everything needed to go on."""
    torch.manual_seed(0)
    model = TinyLlama(12)
    lr = torch.tensor(2e-2) if lr_tensor else 2e-2
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    decay = LowRankDecay(model, 2.0, every=4).attach(optimizer)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "decay": decay}
    for name, part in parts.items():
        if state is not None:
            part.load_state_dict(state[name])
    for step in steps:
        tokens = torch.randint(11, (4, 5), generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(tokens).square().mean().backward()
        optimizer.step()
        schedule.step()
    return {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}


@pytest.mark.parametrize("lr_tensor", [False, True])
def test_resumed_in_the_middle_of_every_is_bit_identical(tmp_path: Path, lr_tensor: bool) -> None:
    whole = run(range(14), lr_tensor=lr_tensor)
    torch.save(run(range(6), lr_tensor=lr_tensor), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["decay"]["owed"].abs().sum() > 0  # two steps of four are owed
    resumed = run(range(6, 14), state, lr_tensor=lr_tensor)
    for name, weight in whole["model"].items():
        assert torch.equal(weight, resumed["model"][name]), name
    assert whole["decay"]["count"] == resumed["decay"]["count"] == 14


def test_forgetting_the_state_changes_the_run() -> None:
    whole, part = run(range(14)), run(range(6))
    part["decay"] = LowRankDecay(TinyLlama(12), 2.0).state_dict()
    resumed = run(range(6, 14), part)
    name = "layers.0.self_attn.q_proj.weight"
    assert not torch.equal(whole["model"][name], resumed["model"][name])


def test_saved_state_does_not_change_with_later_steps() -> None:
    decay = LowRankDecay(TinyLlama(), 0.5, coupled=False, every=2)
    decay.step()
    state = decay.state_dict()
    before = copy.deepcopy(state)
    decay.step()
    assert state["count"] == before["count"] == 1
    assert torch.equal(state["owed"], before["owed"])


@pytest.mark.parametrize(
    "other",
    [
        lambda: LowRankDecay(TinyLlama(10), 0.5),
        lambda: LowRankDecay(TinyLlama(), 0.5, select="attention"),
        lambda: LowRankDecay(TinyLlama(), 0.5, blocks=per_head(2)),
        lambda: LowRankDecay(
            TinyLlama(),
            0.5,
            blocks={"layers.0.self_attn.q_proj.weight": BlockSpec((Strip(0, 4),))},
        ),
    ],
)
def test_a_state_of_other_blocks_is_refused(other: object) -> None:
    state = other().state_dict()
    with pytest.raises(ValueError, match="expected a state of the parameters and blocks below"):
        LowRankDecay(TinyLlama(), 0.5).load_state_dict(state)


def test_a_state_of_another_version_is_refused() -> None:
    decay = LowRankDecay(TinyLlama(), 0.5)
    with pytest.raises(ValueError, match="expected a state of version 1, got 2; resume with"):
        decay.load_state_dict({**decay.state_dict(), "version": 2})
    with pytest.raises(ValueError, match="got None"):
        decay.load_state_dict({})
