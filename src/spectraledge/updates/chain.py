"""Updates of R runs stacked into one chain, with exact parts of the displacement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any, TypeGuard

import torch
from torch import Tensor

from spectraledge.snapshots import Layout
from spectraledge.updates.base import (
    Clock,
    Groups,
    ResolvedPerRun,
    Sampled,
    State,
    Update,
    resolved_per_run,
)

__all__ = ["Chain", "Link", "chain", "check_gradient_links", "structure"]

Compile = Callable[[Callable[..., None]], Callable[..., None]]


@dataclass(frozen=True)
class Link:
    """One update with its stacked numbers, ``(R, 1)`` or ``(R, K)``, and constant tensors.

    `recorded` are the columns whose displacement is worth recording.
    """

    update: Update
    hyper: dict[str, Any]
    recorded: tuple[slice, ...]

    def apply_(
        self, theta: Tensor, gradient: Tensor, state: State, clock: Clock, parts: State
    ) -> None:
        """Apply the update and add what it did to its part, if parts are recorded."""
        if self.update.part is None or not parts:
            self.update.apply_(theta, gradient, state, self.hyper, clock)
            return
        before = [theta[:, columns].clone() for columns in self.recorded]
        self.update.apply_(theta, gradient, state, self.hyper, clock)
        for columns, old in zip(self.recorded, before):
            # In float64 the difference of two neighbouring float32 numbers is exact, so the
            # parts sum to the displacement to float64 rounding.
            parts[self.update.part][:, columns].add_(theta[:, columns].double() - old.double())


class Chain:
    """Updates applied one after the other to R runs.

    Args:
        links: The updates with their stacked numbers, in order.
        compile: Wraps a run of traceable links; the identity gives eager execution.
    """

    def __init__(self, links: Sequence[Link], compile: Compile) -> None:
        self.links = tuple(links)
        self._stages: list[tuple[slice, Callable[..., None]]] = []
        start = 0
        for traceable, group in groupby(self.links, key=lambda link: link.update.compiled):
            members = tuple(group)
            stage = compile(_stage(members)) if traceable else _stage(members)
            self._stages.append((slice(start, start + len(members)), stage))
            start += len(members)

    @property
    def part_names(self) -> tuple[str, ...]:
        """Names of the parts that this chain makes, in order of first appearance."""
        names = [link.update.part for link in self.links if link.update.part is not None]
        return tuple(dict.fromkeys(names))

    def apply_(
        self, theta: Tensor, gradient: Tensor, states: list[State], clock: Clock, parts: State
    ) -> None:
        """One step of every run, in place.

        Args:
            theta: Parameters ``(R, P)``.
            gradient: Gradients ``(R, P)``, finite, 0 for diverged runs; overwritten.
            states: State of each link.
            clock: When, at which learning rate, and who is alive.
            parts: Accumulators ``(R, P)`` float64 by name; empty to record nothing.
        """
        for span, stage in self._stages:
            stage(theta, gradient, states[span], clock, parts)


def _stage(links: tuple[Link, ...]) -> Callable[..., None]:
    def apply_links_(
        theta: Tensor, gradient: Tensor, states: list[State], clock: Clock, parts: State
    ) -> None:
        for link, state in zip(links, states):
            link.apply_(theta, gradient, state, clock, parts)

    return apply_links_


def chain(
    recipes: Sequence[Sequence[Update]],
    theta: Tensor,
    layout: Layout,
    groups: Groups,
    compile: Compile = lambda function: function,
    recorded: tuple[slice, ...] = (slice(None),),
    problem: Sampled | None = None,
    states: list[State] | None = None,
) -> tuple[Chain, list[State]]:
    """Stack the recipes of R runs into one chain, and make its initial states.

    Args:
        recipes: One sequence of updates per run. Types, order and all fields that are not floats,
            tuples of floats or resolved per run must agree between runs.
        theta: Initial parameters ``(R, P)``.
        layout: Their names and shapes.
        groups: Named groups of parameters that updates may refer to.
        compile: Wraps traceable stages, e.g. ``torch.compile``.
        recorded: Columns of the parts that are accumulated; all by default.
        problem: What updates that need gradients of other batches may ask.
        states: States to go on with, one per link; none are made then.

    Returns:
        The chain and one state per link.

    Raises:
        ValueError: If the recipes cannot be stacked, or an update needs a problem and there is
            none; the message names run and update.
    """
    if len(recipes) != theta.shape[0]:
        raise ValueError(f"expected one recipe per run, got {len(recipes)} for {theta.shape[0]}")
    structures = [tuple(map(structure, recipe)) for recipe in recipes]
    for run, other in enumerate(structures):
        if other != structures[0]:
            raise ValueError(
                "expected the same updates in every run of a batch (only float fields may "
                f"differ), got {recipes[0]} in run 0 and {recipes[run]} in run {run}"
            )
    links = [
        Link(same[0], _stacked(same, theta, layout, groups, problem), recorded)
        for same in zip(*recipes)
    ]
    if states is None:
        states = [_initial(same, theta, layout, groups) for same in zip(*recipes)]
    return Chain(links, compile), states


def check_gradient_links(updates: Sequence[Update]) -> None:
    """Raise unless every link that changes the gradient has a link after it that reads it.

    Behind the optimizer such a link does nothing, since the next step has a gradient of its own.

    Args:
        updates: The links of one run.

    Raises:
        ValueError: Naming the first link whose work is lost, and where to put it.
    """
    for place, link in enumerate(updates):
        if link.part is None and not any(later.reads_gradient for later in updates[place + 1 :]):
            raise ValueError(
                f"updates: expected a link after link {place} that reads the gradient which that "
                f"one changes, got none; put it before the optimizer, as in ({type(link).__name__}"
                f"(...), Adam()): {link}"
            )


def structure(update: Update) -> tuple[Any, ...]:
    """What must agree between the runs of a batch.

    Args:
        update: One run's recipe.

    Returns:
        The type and every field but floats; of a tuple of floats its length, of a wrapped update
        and of what is resolved per run its structure.
    """
    values = {f.name: getattr(update, f.name) for f in fields(update)}  # type: ignore[arg-type]
    fixed = {name: _fixed(v) for name, v in values.items() if not isinstance(v, float)}
    return (type(update).__name__, *fixed.items())


def _fixed(value: object) -> object:
    if isinstance(value, Update):
        return structure(value)
    if isinstance(value, ResolvedPerRun):
        return (type(value).__name__, *value.structure)
    return ("floats", len(value)) if _is_table(value) else value


def _is_table(value: object) -> TypeGuard[tuple[float, ...]]:
    return isinstance(value, tuple) and bool(value) and all(isinstance(v, float) for v in value)


def _initial(same: tuple[Update, ...], theta: Tensor, layout: Layout, groups: Groups) -> State:
    """The state of one link, made run by run where the recipes of the runs decide it."""
    if not resolved_per_run(same[0]):
        return same[0].init(theta, layout, groups)
    each = [u.init(theta[run : run + 1], layout, groups) for run, u in enumerate(same)]
    return {name: torch.cat([state[name] for state in each]) for name in each[0]}


def _stacked(
    same: tuple[Update, ...],
    theta: Tensor,
    layout: Layout,
    groups: Groups,
    problem: Sampled | None,
) -> dict[str, Any]:
    """Constants of one link, its float fields as columns, and the same of an update it wraps."""
    hyper = dict(same[0].constants(theta, layout, groups))
    if same[0].needs_problem:
        hyper["problem"] = _required(problem, same[0])
    for field in fields(same[0]):  # type: ignore[arg-type]
        values = [getattr(update, field.name) for update in same]
        if isinstance(values[0], Update):
            hyper[field.name] = _stacked(tuple(values), theta, layout, groups, problem)
        elif isinstance(values[0], float) or _is_table(values[0]):
            numbers = torch.tensor(values, dtype=torch.float64, device=theta.device)
            hyper[field.name] = numbers.reshape(len(same), -1)
    return hyper


def _required(problem: Sampled | None, update: Update) -> Sampled:
    if problem is None:
        raise ValueError(
            f"{update} needs gradients of batches of its own, got no problem; train it with a "
            "Trainer, or pass chain(..., problem=...)"
        )
    return problem
