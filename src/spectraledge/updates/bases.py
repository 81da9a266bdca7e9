"""Bases that an update may hold: of a reference run, of the own past, of the weights, of chance."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from spectraledge.block_basis import (
    BasisBlock,
    BlockBasis,
    random_basis,
    singular_basis,
    trajectory_basis,
)
from spectraledge.snapshots import Layout
from spectraledge.updates.base import State, Update, check_count
from spectraledge.updates.basis import ATTENTION, Basis, Span, block_columns, is_due
from spectraledge.updates.reference_trajectories import reference_trajectory
from spectraledge.weight_matrices import check_kinds

__all__ = [
    "InitialBasis",
    "PastBasis",
    "RandomBasis",
    "SingularBasis",
    "TrajectoryBasis",
    "reference_runs_of",
]

PAST, COUNT = "past", "past_count"


@dataclass(frozen=True)
class TrajectoryBasis(Basis):
    """Leading principal directions of each matrix's trajectory in another run.

    Read when a run starts, through the loader of `trajectories_from`; the laboratory enters one,
    and trains the reference run first where it is missing. With the same seed in `run` the basis
    holds the future of the very run that it steers, as published; see `PastBasis`.

    Source: arXiv:2602.16746, section on interventions: top-2 directions of the eight attention
    matrices over the whole run, 16 in all.

    Args:
        run: The `RunSpec` of the reference run; may differ between the runs of a batch.
        components: Directions per matrix, >= 1.
        kinds: Kinds of matrices.
        until: Last step of the reference run to look at; None looks at all of it.

    Raises:
        ValueError: For numbers out of range, an unknown kind, or a reference run that needs a
            reference run itself; at ``init`` for a reference run of another model or with one
            snapshot only.
    """

    run: Any
    components: int = 2
    kinds: tuple[str, ...] = ATTENTION
    until: int | None = None

    def __post_init__(self) -> None:
        check_count("TrajectoryBasis", components=self.components)
        check_kinds("TrajectoryBasis", self.kinds)
        if self.until is not None:
            check_count("TrajectoryBasis", until=self.until)
        if reference_runs_of(getattr(self.run, "updates", ())):
            raise ValueError(
                "TrajectoryBasis: expected a reference run that needs no reference run itself, "
                f"got {self.run}"
            )

    @property
    def structure(self) -> tuple[Any, ...]:
        """All but the run and how far to look, which only decide the numbers."""
        return (self.components, self.kinds)

    def directions(self, theta: Tensor, layout: Layout) -> BlockBasis:
        """The basis of the reference run, for every run of the batch."""
        kept = [
            s for s in reference_trajectory(self.run) if self.until is None or s.step <= self.until
        ]
        if len(kept) < 2 or kept[0].layout != layout:
            raise ValueError(
                f"TrajectoryBasis: expected at least two snapshots of a run of the same model up "
                f"to step {self.until}, got those of steps {[s.step for s in kept]} with "
                f"{kept[0].layout.size if kept else 0} parameters for {layout.size}; the "
                f"reference run is {self.run}"
            )
        found = trajectory_basis([s.parameters for s in kept], layout, self.kinds, self.components)
        return found.of_runs([0] * len(theta)).to(theta.device)


@dataclass(frozen=True)
class PastBasis(Basis):
    """Leading principal directions of each matrix's trajectory so far, in the run itself.

    Snapshots of the matrices are kept in the update's state, the newest `window` of them. Before
    there are ``components + 1``, and while nothing has moved, there is no basis, and what is
    projected onto it stays as it is.

    Args:
        components: Directions per matrix, >= 1.
        every: Steps between two snapshots, each of which renews the basis, >= 1.
        window: Snapshots to keep, > components.
        kinds: Kinds of matrices.

    Raises:
        ValueError: For numbers out of range or an unknown kind.
    """

    components: int = 2
    every: int = 100
    window: int = 32
    kinds: tuple[str, ...] = ATTENTION

    def __post_init__(self) -> None:
        check_count("PastBasis", components=self.components, every=self.every)
        check_count("PastBasis", self.components + 1, window=self.window)
        check_kinds("PastBasis", self.kinds)

    @property
    def structure(self) -> tuple[Any, ...]:
        """Every field."""
        return (self.components, self.every, self.window, self.kinds)

    def directions(self, theta: Tensor, layout: Layout) -> BlockBasis:
        """No directions yet."""
        still = [theta.detach()] * 2
        return trajectory_basis(still, layout, self.kinds, self.components)

    def memory(self, theta: Tensor, layout: Layout) -> State:
        """Room for the snapshots, and how many were taken."""
        size = sum(map(len, block_columns(layout, self.kinds).values()))
        count = torch.zeros(len(theta), 1, dtype=torch.int64, device=theta.device)
        return {PAST: theta.new_zeros(len(theta), self.window, size), COUNT: count}

    def renewed(self, theta: Tensor, span: Span, state: State, step: int) -> BlockBasis | None:
        """Take a snapshot, and the principal directions of those that are kept."""
        if not is_due(step, self.every):
            return None
        columns = torch.cat(list(span.columns.values()))
        # One number for all: runs of a batch stand at the same step.
        count = int(state[COUNT][0])
        state[PAST][:, count % self.window] = theta[:, columns]
        state[COUNT].add_(1)
        if count < self.components:
            return None
        flats = []
        for index in range(min(count + 1, self.window)):
            flats.append(torch.zeros_like(theta))
            flats[-1][:, columns] = state[PAST][:, index]
        return trajectory_basis(flats, span.layout, self.kinds, self.components)


@dataclass(frozen=True)
class SingularBasis(Basis):
    """Leading singular directions ``u_i v_iᵀ`` of each matrix, of the weights as they are.

    Args:
        components: Directions per matrix, >= 1.
        every: Steps after which they are decomposed again, >= 1; None keeps those of the start.
        kinds: Kinds of matrices.

    Raises:
        ValueError: For numbers out of range or an unknown kind.
    """

    components: int = 3
    every: int | None = 100
    kinds: tuple[str, ...] = ATTENTION

    def __post_init__(self) -> None:
        check_count("SingularBasis", components=self.components)
        check_kinds("SingularBasis", self.kinds)
        if self.every is not None:
            check_count("SingularBasis", every=self.every)

    @property
    def structure(self) -> tuple[Any, ...]:
        """Every field."""
        return (self.components, self.every, self.kinds)

    def directions(self, theta: Tensor, layout: Layout) -> BlockBasis:
        """Those of the initial weights."""
        return singular_basis(theta, layout, self.kinds, self.components)

    def renewed(self, theta: Tensor, span: Span, state: State, step: int) -> BlockBasis | None:
        """Those of the weights before this step, if it is time."""
        if self.every is None or step == 0 or not is_due(step, self.every):
            return None
        return singular_basis(theta, span.layout, self.kinds, self.components)


@dataclass(frozen=True)
class InitialBasis(Basis):
    """The direction of each matrix's initial weights, W₀ / ‖W₀‖_F: where decay alone leads.

    Args:
        kinds: Kinds of matrices.

    Raises:
        ValueError: For an unknown kind.
    """

    kinds: tuple[str, ...] = ATTENTION

    def __post_init__(self) -> None:
        check_kinds("InitialBasis", self.kinds)

    @property
    def structure(self) -> tuple[Any, ...]:
        """The kinds."""
        return self.kinds

    def directions(self, theta: Tensor, layout: Layout) -> BlockBasis:
        """One direction per matrix; none for a matrix of zeros."""
        tiny = torch.finfo(torch.float64).tiny
        blocks = []
        for name, columns in block_columns(layout, self.kinds).items():
            rows = theta[:, columns.to(theta.device)].double()
            unit = rows / rows.norm(dim=1, keepdim=True).clamp_min(tiny)
            blocks.append(BasisBlock(name, columns.to(theta.device), unit.unsqueeze(-1)))
        return BlockBasis(layout.size, tuple(blocks))


@dataclass(frozen=True)
class RandomBasis(Basis):
    """Uniformly random directions, per matrix or in the whole space.

    Source: the control of arXiv:2602.16746 is 16 directions over all parameters
    (``RandomBasis(16)``). A basis inside the attention matrices meets far more of the gradient
    there, so the fair control is block-matched: ``RandomBasis(2, ATTENTION)``.

    Args:
        components: Directions in all, or per matrix if there are kinds; >= 1.
        kinds: Kinds of matrices to draw inside of; None draws over all parameters at once, which
            keeps ``components`` float64 numbers per parameter in the state.
        seed: Of the random numbers; may differ between the runs of a batch.

    Raises:
        ValueError: For less than one component or an unknown kind.
    """

    components: int = 16
    kinds: tuple[str, ...] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("RandomBasis", components=self.components)
        check_kinds("RandomBasis", self.kinds or ())

    @property
    def structure(self) -> tuple[Any, ...]:
        """All but the seed, which only decides the numbers."""
        return (self.components, self.kinds)

    def directions(self, theta: Tensor, layout: Layout) -> BlockBasis:
        """The same directions for every run of the batch that has this seed."""
        found = random_basis(layout, self.kinds, self.components, [self.seed])
        return found.of_runs([0] * len(theta)).to(theta.device)


def reference_runs_of(updates: tuple[Update, ...]) -> dict[Any, int | None]:
    """The runs that a recipe needs the trajectories of.

    Args:
        updates: The links of one run.

    Returns:
        Last step that is looked at, None for the whole run, by spec in order of first appearance.
    """
    found: dict[Any, int | None] = {}

    def need(run: Any, until: int | None) -> None:
        before = found.get(run, until)
        found[run] = None if before is None or until is None else max(before, until)

    for update in updates:
        for field in fields(update):  # type: ignore[arg-type]
            value = getattr(update, field.name)
            if isinstance(value, TrajectoryBasis):
                need(value.run, value.until)
            elif isinstance(value, Update):
                for run, until in reference_runs_of((value,)).items():
                    need(run, until)
    return found
