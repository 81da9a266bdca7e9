"""The training loop: R runs, one step at a time, as a generator of snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from spectraledge.snapshots import Layout, Snapshot
from spectraledge.training.cadence import Cadence, Every
from spectraledge.training.execution import compiled
from spectraledge.training.problem import Problem
from spectraledge.training.state import TrainState
from spectraledge.updates import Clock, chain

__all__ = ["Trainer", "train"]


class Trainer:
    """Trains a `Problem` and yields snapshots; it knows nothing of instruments, files or plots.

    A run whose loss or gradient stops being finite is masked: its parameters stay as they were
    when that happened, `TrainState.lost_at` says at which step, and its batch-mates go on
    unchanged, since nothing mixes runs.

    Args:
        problem: The runs.
        record_parts: Names of the parameters whose displacement between snapshots is split into
            exact gradient, weight-decay and low-rank parts; True means all (2 ms a step per run at
            424k parameters), False none. A resumed state goes on with what it recorded.
        state: Where to go on; the initialisation if None.

    Example:
        >>> from spectraledge.models import ScaleInvariantDecoderSpec
        >>> from spectraledge.tasks import ModularArithmetic
        >>> from spectraledge.training import Execution, Problem, RunSpec
        >>> model = ScaleInvariantDecoderSpec(width=8, heads=2, mlp_width=8)
        >>> spec = RunSpec(task=ModularArithmetic(7), model=model, steps=4, record_every=2)
        >>> problem = Problem([spec], Execution(compile=False))
        >>> [snapshot.step for snapshot in Trainer(problem).snapshots()]
        [0, 2, 4]
    """

    def __init__(
        self,
        problem: Problem,
        *,
        record_parts: bool | Iterable[str] = False,
        state: TrainState | None = None,
    ) -> None:
        self.problem = problem
        self._fresh = state is None
        theta = problem.initial_parameters() if state is None else state.theta
        self._recorded = _recorded_mask(problem.layout, record_parts, state).to(theta.device)
        self.chain, states = chain(
            [spec.updates for spec in problem.specs],
            theta,
            problem.layout,
            problem.groups,
            compile=lambda stage: compiled(stage, problem.execution),
            recorded=_runs_of_true(self._recorded),
            problem=problem,
            states=None if state is None else state.updates,
        )
        self.state = state or TrainState(
            step=0,
            theta=theta,
            updates=states,
            lost_at=torch.full((problem.runs,), -1, device=theta.device),
            parts=self._zero_parts(theta) if self._recorded.any() else {},
        )
        self._lr = torch.tensor([[s.lr] for s in problem.specs], dtype=torch.float64)
        self._lr = self._lr.to(theta.device)
        self._loss = torch.full((problem.runs,), torch.nan, device=theta.device)

    def snapshots(
        self, record: Cadence | None = None, on_step: Callable[[int], None] | None = None
    ) -> Iterator[Snapshot]:
        """Train to the end and yield a snapshot at the recorded steps.

        Args:
            record: At which steps; the spec's ``record_every`` if None. The last step always is
                recorded; step 0 is, unless training resumes.
            on_step: Called with the number of steps taken after each step, e.g. for a display.

        Yields:
            Snapshots in order. `state` is consistent with the last one yielded, so it can be
            saved between two of them and training resumed from there exactly.
        """
        first = self.problem.specs[0]
        cadence = record or Every(first.record_every)
        if self._fresh:
            self._fresh = False
            yield self._snapshot()
        while self.state.step < first.steps:
            self.step_()
            if on_step is not None:
                on_step(self.state.step)
            if cadence(self.state.step) or self.state.step == first.steps:
                snapshot = self._snapshot()
                for part in self.state.parts.values():
                    part.masked_fill_(self._recorded, 0.0)
                yield snapshot

    def step_(self) -> None:
        """One optimizer step of every live run."""
        state = self.state
        tokens, labels = self.problem.batch(state.step)
        gradient, loss, accuracy = self.problem.gradient(state.theta, tokens, labels)
        self._mask_(gradient, loss)
        clock = self._clock(state.step + 1, loss, accuracy)
        self.chain.apply_(state.theta, gradient, state.updates, clock, state.parts)
        self._loss = loss
        state.step += 1

    def _mask_(self, gradient: Tensor, loss: Tensor) -> None:
        # One reduction per step instead of a flag per entry: a sum is finite iff no entry is
        # infinite or NaN, up to overflow, which is divergence as well.
        finite = torch.isfinite(loss) & torch.isfinite(gradient.sum(1))
        if bool((finite & self.state.alive).all()):
            return
        lost = self.state.alive & ~finite
        self.state.lost_at[lost] = self.state.step + 1
        gradient[~self.state.alive] = 0.0

    def _clock(self, index: int, loss: Tensor, accuracy: Tensor) -> Clock:
        active = self.state.alive.double().unsqueeze(1)
        factor = self.problem.specs[0].schedule.factor(index)
        step = torch.tensor(float(index), dtype=torch.float64, device=active.device)
        lr = self._lr * factor * active
        return Clock(index, step, lr, active, *(x.double().unsqueeze(1) for x in (loss, accuracy)))

    def _zero_parts(self, theta: Tensor) -> dict[str, Tensor]:
        # NaN where nothing is recorded, so that nobody mistakes it for "did not move".
        start = torch.where(self._recorded, 0.0, torch.nan).double().expand(theta.shape)
        return {name: start.clone() for name in self.chain.part_names}

    def _snapshot(self) -> Snapshot:
        state = self.state
        metrics = self.problem.evaluate(state.theta) | {"batch_loss": self._loss.double()}
        factor = self.problem.specs[0].schedule.factor(state.step) if state.step else 0.0
        return Snapshot(
            step=state.step,
            layout=self.problem.layout,
            parameters=state.theta.clone(),
            parts={name: part.clone() for name, part in state.parts.items()} if state.step else {},
            metrics=metrics,
            alive=state.alive.clone(),
            lr=(self._lr * factor).squeeze(1),
        )


def _recorded_mask(layout: Layout, names: bool | Iterable[str], state: TrainState | None) -> Tensor:
    if state is not None and state.parts:
        return ~next(iter(state.parts.values()))[0].isnan()
    if isinstance(names, bool):
        return torch.full((layout.size,), names)
    return layout.mask(names)


def _runs_of_true(mask: Tensor) -> tuple[slice, ...]:
    """Stretches of True in a mask, as slices."""
    padded = torch.nn.functional.pad(mask.int().cpu(), (1, 1))
    edges = padded.diff().nonzero().flatten().tolist()
    return tuple(slice(a, b) for a, b in zip(edges[::2], edges[1::2]))


def train(
    problem: Problem,
    *,
    record: Cadence | None = None,
    record_parts: bool | Iterable[str] = False,
) -> Iterator[Snapshot]:
    """Train from the initialisation and yield snapshots; see `Trainer`."""
    return Trainer(problem, record_parts=record_parts).snapshots(record)
