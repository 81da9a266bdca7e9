"""Snapshots: the parameters of R runs at one step, and how a flat vector maps to named tensors.

Everything the laboratory measures is measured on a `Snapshot`; what is not in it, no instrument
sees. Parameters of all runs live in one ``(R, P)`` matrix, and a `Layout` says which columns
belong to which named tensor, so that views cost nothing and saving is one write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from math import prod

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

__all__ = ["Layout", "Snapshot", "flatten_parameters"]


@dataclass(frozen=True)
class Layout:
    """Order, names and shapes of the tensors inside a flat parameter vector.

    Args:
        names: Parameter names, in the order of the flat vector.
        shapes: Their shapes for one run.

    Raises:
        ValueError: If names repeat, or names and shapes differ in number.

    Example:
        >>> layout = Layout(("weight", "bias"), ((2, 3), (2,)))
        >>> layout.size
        8
        >>> layout.views(torch.zeros(5, 8))["weight"].shape
        torch.Size([5, 2, 3])
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.shapes):
            raise ValueError(
                f"expected one shape per name, got {len(self.names)} names and "
                f"{len(self.shapes)} shapes"
            )
        if len(set(self.names)) != len(self.names):
            repeated = sorted({name for name in self.names if self.names.count(name) > 1})
            raise ValueError(f"expected distinct parameter names, got {repeated} more than once")

    @classmethod
    def of(cls, model: nn.Module) -> Layout:
        """Layout of a module's parameters; tied parameters appear once, under their first name."""
        named = list(model.named_parameters())
        return cls(tuple(n for n, _ in named), tuple(tuple(p.shape) for _, p in named))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of entries of each tensor."""
        return tuple(prod(shape) for shape in self.shapes)

    @property
    def size(self) -> int:
        """Total number of entries P."""
        return sum(self.sizes)

    def span(self, name: str) -> slice:
        """Columns of the flat vector that hold `name`.

        Args:
            name: A parameter name.

        Returns:
            The slice of the last axis.

        Raises:
            KeyError: If there is no such parameter; the message lists the known names.
        """
        if name not in self.names:
            raise KeyError(f"no parameter {name!r}; known: {', '.join(self.names)}")
        ends = tuple(accumulate(self.sizes))
        index = self.names.index(name)
        return slice(ends[index] - self.sizes[index], ends[index])

    def views(self, flat: Float[Tensor, "*runs P"]) -> dict[str, Tensor]:
        """Named views ``(*runs, *shape)`` of a flat tensor; no copy, gradients flow."""
        pieces = flat.split(self.sizes, dim=-1)
        return {
            name: piece.unflatten(-1, shape) if shape else piece.squeeze(-1)
            for name, shape, piece in zip(self.names, self.shapes, pieces)
        }

    def view(self, flat: Float[Tensor, "*runs P"], name: str) -> Tensor:
        """One named view ``(*runs, *shape)`` of a flat tensor."""
        piece = flat[..., self.span(name)]
        shape = self.shapes[self.names.index(name)]
        return piece.unflatten(-1, shape) if shape else piece.squeeze(-1)

    def mask(self, names: Iterable[str]) -> Bool[Tensor, " P"]:
        """True on the columns that belong to any of `names`."""
        chosen = torch.zeros(self.size, dtype=torch.bool)
        for name in names:
            chosen[self.span(name)] = True
        return chosen


@dataclass(frozen=True)
class Snapshot:
    """State of R runs after `step` optimizer steps.

    Args:
        step: Number of optimizer steps taken; 0 is the initialisation.
        layout: How `parameters` splits into named tensors.
        parameters: ``(R, P)``, the dtype of the master weights.
        parts: Exact parts of the displacement since the previous snapshot, ``(R, P)`` float64,
            e.g. ``gradient``, ``weight_decay``, ``low_rank``. They sum to the displacement. NaN
            in columns that nobody asked for; empty at the first snapshot, and if nobody asked.
        metrics: Numbers per run ``(R,)``: losses and accuracies evaluated at this step.
        alive: ``(R,)``; False for runs that diverged. A diverged run keeps its last finite state.
        lr: ``(R,)`` learning rate of the step that led here (0 at the first snapshot).
    """

    step: int
    layout: Layout
    parameters: Float[Tensor, "R P"]
    parts: Mapping[str, Float[Tensor, "R P"]] = field(default_factory=dict)
    metrics: Mapping[str, Float[Tensor, " R"]] = field(default_factory=dict)
    alive: Bool[Tensor, " R"] | None = None
    lr: Float[Tensor, " R"] | None = None

    @property
    def runs(self) -> int:
        """Number of runs R."""
        return self.parameters.shape[0]

    def matrix(self, name: str) -> Tensor:
        """The tensor `name` of every run, ``(R, *shape)``, as a view."""
        return self.layout.view(self.parameters, name)

    def part(self, part: str, name: str) -> Tensor:
        """Part of the displacement of one tensor.

        Args:
            part: Which part, e.g. ``weight_decay``.
            name: A parameter name.

        Returns:
            The part since the previous snapshot, ``(R, *shape)`` float64.

        Raises:
            KeyError: If this part was not recorded; the message lists those that were.
        """
        if part not in self.parts:
            raise KeyError(f"part {part!r} was not recorded; recorded: {sorted(self.parts)}")
        return self.layout.view(self.parts[part], name)


def flatten_parameters(model: nn.Module) -> Float[Tensor, " P"]:
    """All parameters of a module as one vector, in `Layout.of` order (a detached copy).

    Args:
        model: The module.

    Returns:
        ``(P,)``.

    Raises:
        ValueError: For a module without parameters.
    """
    if next(model.parameters(), None) is None:
        raise ValueError(
            f"expected a module with parameters, got {type(model).__name__} without any"
        )
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])
