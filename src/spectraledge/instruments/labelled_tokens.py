"""Labelled tokens of held-out rows, beside the representation at each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor, nn

from spectraledge.instruments.base import Differentiable, Window
from spectraledge.instruments.representations import representations_of
from spectraledge.snapshots import Layout
from spectraledge.tasks import UNLABELLED

__all__ = [
    "Inspectable",
    "LabelledTokens",
    "Rows",
    "held_out_runs",
    "inspected",
    "numbers_by_module",
    "run_representations",
]


@runtime_checkable
class Inspectable(Differentiable, Protocol):
    """What instruments that look inside a model ask of a problem."""

    @property
    def skeleton(self) -> nn.Module:
        """The model of one run; may be without values."""
        ...

    @property
    def answers(self) -> Sequence[str]:
        """Names of the outputs where they are answers about the row; empty if of positions."""
        ...

    def occurs_in_training(self, tokens: Tensor) -> Tensor:
        """Which rows ``(R, B, T)`` equal a training row, ``(R, B)``."""
        ...


def inspected(owner: str, window: Window) -> Inspectable:
    """The window's problem.

    Args:
        owner: Name of the instrument that asks, for the message.
        window: With a problem.

    Returns:
        The same problem, which shows its model.

    Raises:
        ValueError: If there is none, if it does not show its model, or if the outputs are several
            answers about a row, whose labels are not those of positions.
    """
    problem = window.problem
    if problem is None:
        raise ValueError(f"{owner} evaluates the model; pass Window(..., problem)")
    if not isinstance(problem, Inspectable):
        raise ValueError(
            f"{owner} looks inside the model: expected a problem with skeleton, answers, "
            f"held_out and occurs_in_training, got {type(problem).__name__}; of any module take "
            "ModuleProblem(model, train=..., held_out=...)"
        )
    if problem.answers:
        raise ValueError(
            f"{owner} takes several labels of a row for those of its positions: expected one label "
            f"a row, or one a position, got the answers {', '.join(problem.answers)}; measure a "
            "model of one answer, or what looks at no position, such as SpectralEdge and Ablation"
        )
    return problem


@dataclass(frozen=True, eq=False)
class Rows:
    """Held-out rows of one run.

    Args:
        tokens: ``(N, T)``.
        labels: ``(N,)`` of rows with one output, else ``(N, L)``; `UNLABELLED` where there is none.
        trained: ``(N,)``, whether the row occurs in training as well.
        read_out: Position that the model reads where a row has one label.
        padding: Token that marks positions to leave out where labels do not.
    """

    tokens: Int64[Tensor, "N T"]
    labels: Int64[Tensor, " N *L"]
    trained: Bool[Tensor, " N"]
    read_out: int = -1
    padding: int | None = None

    def labelled(self, representation: Tensor) -> LabelledTokens:
        """The representation at each label, as rows.

        Outputs at other positions than the labels', as of an encoder beside a decoder, stand for
        the first tokens of the row, and its first label is theirs.

        Args:
            representation: ``(N, D)`` or ``(N, positions, D)``.

        Returns:
            The labelled tokens, row by row.

        Raises:
            ValueError: For another number of rows or axes.
        """
        rows = len(self.tokens)
        if representation.shape[:1] != (rows,) or representation.ndim not in (2, 3):
            raise ValueError(
                f"expected representations ({rows}, D) or ({rows}, positions, D), got "
                f"{tuple(representation.shape)}; name a module that returns one vector a token"
            )
        whole = self.labels if self.labels.ndim == 2 else self.labels[:, None]
        features = representation if representation.ndim == 3 else representation[:, None]
        positions = features.shape[1]
        if self.labels.ndim == 1 and positions > 1:
            features, positions = features[:, self.read_out][:, None], 1
        aligned = positions == whole.shape[1]
        labels = whole if aligned else self._broadcast(whole, positions)
        # With one output a row, its position is the one that is read.
        tokens = self.tokens[:, -positions:] if aligned else self.tokens[:, :positions]
        if self.labels.ndim == 1:
            tokens = self.tokens[:, [self.read_out]]
        kept = labels != UNLABELLED
        row, position = kept.nonzero(as_tuple=True)
        same = self.tokens.unique(dim=0, return_inverse=True)[1]
        return LabelledTokens(
            features[kept].double(),
            labels[kept],
            tokens[kept],
            same[row],
            position,
            self.trained[row],
        )

    def _broadcast(self, labels: Tensor, positions: int) -> Tensor:
        first = (labels != UNLABELLED).double().argmax(1, keepdim=True)
        every = labels.gather(1, first).repeat(1, positions)
        if self.padding is not None:
            every[self.tokens[:, :positions] == self.padding] = UNLABELLED
        return every


@dataclass(frozen=True, eq=False)
class LabelledTokens:
    """n tokens that have a label.

    Args:
        features: Representation at each.
        labels: Class ids.
        tokens: Token ids.
        sequence: Which row each belongs to; equal rows have equal numbers.
        position: Position in its row.
        trained: Whether its row occurs in training.
    """

    features: Float64[Tensor, "n D"]
    labels: Int64[Tensor, " n"]
    tokens: Int64[Tensor, " n"]
    sequence: Int64[Tensor, " n"]
    position: Int64[Tensor, " n"]
    trained: Bool[Tensor, " n"]

    def novel(self) -> LabelledTokens:
        """Those of rows that do not occur in training; all if every row does."""
        kept = ~self.trained
        if not bool(kept.any()):
            return self
        return LabelledTokens(*(getattr(self, name)[kept] for name in self.__dataclass_fields__))


def held_out_runs(problem: Inspectable, rows: int, padding: int | None = None) -> Iterator[Rows]:
    """The first held-out rows of each run, run by run, on the CPU.

    Args:
        problem: Of R runs.
        rows: How many, >= 1.
        padding: See `Rows`.

    Yields:
        The rows of one run.
    """
    tokens, labels = (x.cpu() for x in problem.held_out(rows))
    trained = problem.occurs_in_training(tokens).cpu()
    read_out = int(getattr(problem.skeleton, "read_out_position", -1))
    for own in zip(tokens, labels, trained):
        yield Rows(*own, read_out, padding)


def run_representations(
    problem: Inspectable, layout: Layout, theta: Tensor, tokens: Tensor, modules: Sequence[str]
) -> Mapping[str, Tensor]:
    """`representations_of` one run, ``(P,)`` parameters in any precision, on the CPU."""
    # Run by run: products of stacks of other sizes may round differently.
    parameters = layout.views(theta)
    found = representations_of(
        problem.skeleton, tokens.to(theta.device), modules, parameters=parameters
    )
    return {name: value.cpu() for name, value in found.items()}


def numbers_by_module(
    owner: str,
    window: Window,
    modules: Sequence[str],
    count: int,
    padding: int | None,
    read: Callable[[Tensor, Rows], Mapping[str, float]],
) -> dict[str, Tensor]:
    """Numbers read off the representations of each module at the newest snapshot.

    Args:
        owner: Name of the instrument that asks, for the message.
        window: A window with a problem.
        modules: Names, see `representations_of`.
        count: Held-out rows, >= 1.
        padding: See `held_out_runs`.
        read: Named numbers of the representation of a module on the rows of one run.

    Returns:
        Arrays ``(R, modules)`` float64 by name.

    Raises:
        ValueError: If the window has no problem that can be inspected; for unknown modules.
    """
    problem, now = inspected(owner, window), window.now
    runs = []
    for theta, rows in zip(now.parameters, held_out_runs(problem, count, padding)):
        found = run_representations(problem, now.layout, theta, rows.tokens, modules)
        runs.append([read(found[name], rows) for name in modules])
    names = runs[0][0] if modules else ()
    return {
        name: torch.tensor([[own[name] for own in run] for run in runs], dtype=torch.float64)
        for name in names
    }
