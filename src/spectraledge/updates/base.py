"""What an update is: a frozen recipe with ``init`` and ``apply_`` over stacked runs.

An update is written for one run, as a frozen dataclass: its float fields may differ between the
runs of a batch, every other field must agree. `chain` stacks the float fields of R recipes into
``(R, 1)`` columns and hands them to ``apply_`` as ``hyper``, so that an update broadcasts over
``(R, P)`` without knowing which of its numbers vary. A field that is a tuple of K floats becomes
``(R, K)``; a field that is itself an update, for wrappers, becomes the ``hyper`` of that update.
A field that is `ResolvedPerRun` may differ too: it is made into tensors run by run at ``init``.
"""

from __future__ import annotations

import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import wraps
from itertools import accumulate
from typing import Any, Protocol

from torch import Tensor

from spectraledge.snapshots import Layout

__all__ = [
    "Clock",
    "Groups",
    "ResolvedPerRun",
    "Sampled",
    "State",
    "Update",
    "check_count",
    "check_range",
    "check_whole",
    "group_names",
    "group_spans",
    "inner_state",
    "resolved_per_run",
    "wrapped_state",
]

State = dict[str, Tensor]
INNER = "update/"
Groups = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Clock:
    """When a step happens and for whom.

    Args:
        index: Number of this step, 1 for the first; a Python integer for eager updates.
        step: The same as a 0-d float64 tensor, so that compiled code is not rebuilt each step.
        lr: ``(R, 1)`` float64 learning rates of this step; 0 for runs that diverged.
        active: ``(R, 1)`` float64, 1 for live runs and 0 for diverged ones. Every rate that is
            not multiplied by `lr` must be multiplied by this.
        batch_loss: ``(R, 1)`` float64 loss of the batch of this step; None if nobody tells.
        batch_accuracy: ``(R, 1)`` float64 accuracy on it, in [0, 1]; None if nobody tells.
    """

    index: int
    step: Tensor
    lr: Tensor
    active: Tensor
    batch_loss: Tensor | None = None
    batch_accuracy: Tensor | None = None


class Sampled(Protocol):
    """A training problem of R runs, as far as an update may ask it for gradients."""

    def batch(self, step: int, salt: str = "train") -> tuple[Tensor, Tensor]:
        """Inputs and labels of every run, a function of (run seed, step, salt)."""
        ...

    def gradient(
        self, theta: Tensor, tokens: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients ``(R, P)``, losses ``(R,)``, accuracies ``(R,)``."""
        ...


class ResolvedPerRun(ABC):
    """A field of an update that is made into state tensors run by run, at ``init``."""

    @property
    @abstractmethod
    def structure(self) -> tuple[Any, ...]:
        """What must agree between the runs of a batch; fixes the shapes of the tensors."""


class Update(ABC):
    """One link of a chain. Concrete updates are frozen dataclasses that nobody subclasses.

    A whole number in a float field is made a float, so that ``WeightDecay(1)`` is the same run as
    ``WeightDecay(1.0)`` and shares a batch with other strengths.

    An update is traceable (``compiled``) if no Python branch depends on data or on the step.
    One with ``needs_problem`` finds a `Sampled` problem under ``problem`` in its ``hyper``; it may
    draw batches with salts of its own, never the batch that the run trains on.
    """

    def __init_subclass__(cls) -> None:
        check = cls.__dict__.get("__post_init__")
        if check is not None:

            @wraps(check)
            def checked(self: Update) -> None:
                _make_floats(self)
                check(self)

            cls.__post_init__ = checked  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        _make_floats(self)

    @property
    @abstractmethod
    def part(self) -> str | None:
        """The part of the displacement that it makes; None if it only changes the gradient.

        A class variable in all updates but wrappers, which have the part of what they wrap.
        """

    @property
    def compiled(self) -> bool:
        """Whether ``apply_`` may be traced."""
        return True

    @property
    def reads_gradient(self) -> bool:
        """Whether what it does to the parameters depends on the gradient of the step.

        True of what makes the part ``gradient``, and of wrappers of what is. An update of your own
        that reads the gradient and calls its part otherwise says so here.
        """
        inner = [getattr(self, f.name) for f in fields(self)]  # type: ignore[arg-type]
        wrapped = (u.reads_gradient for u in inner if isinstance(u, Update))
        return self.part == "gradient" or any(wrapped)

    @property
    def needs_problem(self) -> bool:
        """Whether it asks for gradients of batches of its own."""
        return False

    def constants(self, theta: Tensor, layout: Layout, groups: Groups) -> dict[str, Any]:
        """What never changes and all runs share; merged into ``hyper``."""
        return {}

    def init(self, theta: Tensor, layout: Layout, groups: Groups) -> State:
        """Tensors that change from step to step; each leads with the run axis."""
        return {}

    @abstractmethod
    def apply_(
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Change `theta` or `gradient` ``(R, P)``, and `state`, in place."""

    # Not abstract: most updates remember nothing of the steps that they do not act at.
    def watch_(  # noqa: B027
        self,
        theta: Tensor,
        gradient: Tensor,
        state: State,
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        """Keep `state` up to date at a step at which a wrapper leaves the update out."""


def _make_floats(update: Update) -> None:
    for field in fields(update):  # type: ignore[arg-type]
        value = getattr(update, field.name)
        # Annotations are text, since evaluating them is postponed everywhere.
        if field.type == "float" and isinstance(value, int) and not isinstance(value, bool):
            object.__setattr__(update, field.name, float(value))


def resolved_per_run(update: Update) -> bool:
    """Whether an update, or one that it wraps, has a field that is `ResolvedPerRun`."""
    values = [getattr(update, f.name) for f in fields(update)]  # type: ignore[arg-type]
    return any(
        isinstance(v, ResolvedPerRun) or (isinstance(v, Update) and resolved_per_run(v))
        for v in values
    )


def wrapped_state(state: State) -> State:
    """The state of an inner update as part of that of a wrapper with tensors of its own."""
    return {INNER + name: tensor for name, tensor in state.items()}


def inner_state(state: State) -> State:
    """The state of the inner update: the same tensors, so what changes in place changes here."""
    return {n.removeprefix(INNER): t for n, t in state.items() if n.startswith(INNER)}


def group_names(owner: str, on: str, groups: Groups) -> tuple[str, ...]:
    """Parameter names of a group.

    Args:
        owner: Name of the update that asks, for the message.
        on: Name of the group.
        groups: The groups that the model offers.

    Returns:
        The names.

    Raises:
        ValueError: For an unknown or an empty group.
    """
    if on not in groups:
        near = difflib.get_close_matches(on, groups, 1, cutoff=0.4)
        hint = f"; closest: {near[0]!r}" if near else ""
        raise ValueError(f"{owner}: expected on to be one of {sorted(groups)}, got {on!r}{hint}")
    if not groups[on]:
        raise ValueError(f"{owner}: group {on!r} holds no parameter of this model")
    return groups[on]


def group_spans(
    owner: str, on: str, layout: Layout, groups: Groups
) -> tuple[tuple[slice, slice], ...]:
    """Stretches of the flat vector that hold a group, and where they lie in a packed copy.

    Args:
        owner: Name of the update that asks, for the message.
        on: Name of the group.
        layout: Names and shapes of the parameters.
        groups: The groups that the model offers.

    Returns:
        Pairs of (columns of the flat vector, columns of the copy); neighbours are merged.

    Raises:
        ValueError: For an unknown or an empty group.
    """
    spans = sorted((layout.span(name) for name in group_names(owner, on, groups)), key=_start)
    merged: list[slice] = []
    for span in spans:
        if merged and merged[-1].stop == span.start:
            span = slice(merged.pop().start, span.stop)
        merged.append(span)
    ends = tuple(accumulate(span.stop - span.start for span in merged))
    return tuple((s, slice(end - s.stop + s.start, end)) for s, end in zip(merged, ends))


def _start(span: slice) -> int:
    return span.start


def check_range(owner: str, low: float = 0.0, high: float = math.inf, **values: float) -> None:
    """Raise unless every value is a finite number in ``[low, high)``.

    Args:
        owner: Name of the dataclass that asks, for the message.
        low: Smallest allowed value.
        high: First value that is too large.
        **values: Field names and values.

    Raises:
        ValueError: Naming owner, field, range and value.
    """
    for name, value in values.items():
        if not (math.isfinite(value) and low <= value < high):
            raise ValueError(f"{owner}: expected {low} <= {name} < {high}, got {value}")


def check_whole(owner: str, **values: float) -> None:
    """Raise ValueError, with owner, field and value, unless these are whole numbers."""
    for name, value in values.items():
        if value != int(value):
            raise ValueError(f"{owner}: expected {name} to be a whole number, got {value}")


def check_count(owner: str, low: int = 1, **counts: int) -> None:
    """Raise ValueError unless these are whole numbers >= `low`, as `check_range` does."""
    check_range(owner, low, **counts)
    check_whole(owner, **counts)
