"""Everything a batch of runs needs to go on, as tensors that un-stack by run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

__all__ = ["TrainState", "merge_states"]


@dataclass
class TrainState:
    """State of R runs between two steps.

    Args:
        step: Number of steps taken.
        theta: Parameters ``(R, P)``.
        updates: State of each link of the update chain.
        lost_at: ``(R,)`` int64, the step at which loss or gradient was not finite; -1 if alive.
        parts: Parts of the displacement since the last snapshot, ``(R, P)`` float64.
    """

    step: int
    theta: Tensor
    updates: list[dict[str, Tensor]]
    lost_at: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)

    @property
    def alive(self) -> Tensor:
        """``(R,)`` bool, False for diverged runs."""
        return self.lost_at < 0

    def tensors(self, run: int) -> dict[str, Tensor]:
        """One run's state as named tensors, to be saved.

        Args:
            run: Which run of the batch.

        Returns:
            A flat dictionary; `merge_states` is its inverse.
        """
        named = {"step": torch.tensor(self.step), "theta": self.theta[run]}
        named["lost_at"] = self.lost_at[run]
        for index, state in enumerate(self.updates):
            named |= {f"updates/{index}/{key}": value[run] for key, value in state.items()}
        named |= {f"parts/{key}": value[run] for key, value in self.parts.items()}
        return {key: value.detach().clone().contiguous() for key, value in named.items()}


def merge_states(saved: Sequence[dict[str, Tensor]], links: int) -> TrainState:
    """Stack saved states of separate runs into one batch.

    Args:
        saved: One dictionary of `TrainState.tensors` per run, all taken at the same step.
        links: Number of links of the update chain.

    Returns:
        The state of the batch.

    Raises:
        ValueError: If the steps or the names of the tensors differ.
    """
    steps = {int(s["step"]) for s in saved}
    if len(steps) != 1:
        raise ValueError(f"expected states of one step, got steps {sorted(steps)}")
    for run, tensors in enumerate(saved):
        if set(tensors) != set(saved[0]):
            different = sorted(set(tensors) ^ set(saved[0]))
            raise ValueError(f"expected the same tensors in run {run} and run 0, got {different}")
    stacked = {name: torch.stack([s[name] for s in saved]) for name in saved[0]}

    def below(prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): v for k, v in stacked.items() if k.startswith(prefix)}

    return TrainState(
        step=steps.pop(),
        theta=stacked["theta"],
        updates=[below(f"updates/{index}/") for index in range(links)],
        lost_at=stacked["lost_at"],
        parts=below("parts/"),
    )
