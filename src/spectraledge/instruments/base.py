"""What an instrument is: a pure function of a window of snapshots, with a thin adapter.

An `Instrument` never knows the trainer: it sees snapshots (and, if it says so, a `Differentiable`
problem), so the same instrument measures a live run, a saved one, or somebody else's model. The
`Observer` keeps the only state there is: snapshots, and what can be computed from them again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, fields
from functools import wraps
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from spectraledge.instruments.field_types import check_field_types
from spectraledge.snapshots import Layout, Snapshot

__all__ = [
    "SKETCHES",
    "Differentiable",
    "Instrument",
    "Measurement",
    "Output",
    "Window",
    "instrument_key",
]


# Where a window's memory has sketches of snapshots, which nothing can compute again.
SKETCHES = "sketches"


@runtime_checkable
class Differentiable(Protocol):
    """What gradient-based instruments may ask of a training problem of R runs."""

    def batch(self, step: int, salt: str = "train") -> tuple[Tensor, Tensor]:
        """Tokens ``(R, B, T)`` and labels ``(R, B)``, a function of (run seed, step, salt)."""
        ...

    def held_out(self, rows: int) -> tuple[Tensor, Tensor]:
        """The first `rows` held-out rows of every run, always the same, as `batch` gives them."""
        ...

    def logits(self, theta: Tensor, tokens: Tensor) -> Tensor:
        """Logits ``(R, B, classes)`` at parameters ``(R, P)``."""
        ...

    def gradient(
        self, theta: Tensor, tokens: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients ``(R, P)``, losses ``(R,)``, accuracies ``(R,)``."""
        ...

    def hessian_vector(
        self, theta: Tensor, tokens: Tensor, labels: Tensor, vectors: Tensor
    ) -> Tensor:
        """Hessian of each run's loss times K vectors ``(R, K, P)``, as ``(R, K, P)``."""
        ...


@dataclass(frozen=True)
class Output:
    """One named number or array of a reading.

    Args:
        meaning: What it is, in words.
        unit: Unit, or ``1`` for ratios and counts.
        axes: Names of the axes after the run axis, e.g. ``("matrix", "index")``.
        each: Whether tables of many runs keep every entry as a curve of its own, called
            ``instrument/output:label``, and not only the mean over matrices.
    """

    meaning: str
    unit: str = "1"
    axes: tuple[str, ...] = ()
    each: bool = False


@dataclass(frozen=True)
class Window:
    """The last few snapshots, oldest first, and the problem if there is one.

    Args:
        snapshots: Oldest first.
        problem: For instruments that evaluate the model.
        memory: Kept by the observer from one window of an instrument to its next: for what follows
            from the snapshots but takes long. After training resumes it is empty again but for
            sketches of snapshots, a list under ``SKETCHES``.
        shared: The same for all instruments at one snapshot, and empty at the next: for what
            several of them need.
    """

    snapshots: tuple[Snapshot, ...]
    problem: Differentiable | None = None
    memory: MutableMapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    shared: MutableMapping[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def now(self) -> Snapshot:
        """The newest snapshot."""
        return self.snapshots[-1]

    @property
    def before(self) -> Snapshot | None:
        """The snapshot before the newest; None at the start."""
        return self.snapshots[-2] if len(self.snapshots) > 1 else None


class Measurement(ABC):
    """What is measured, whenever it can be: by an `Instrument`, or a `Hindsight`.

    ``name`` identifies it; ``needs_problem`` says whether it evaluates the model; ``outputs``
    documents every array of a reading.
    """

    name: ClassVar[str]
    needs_problem: ClassVar[bool] = False
    outputs: ClassVar[Mapping[str, Output]]

    def __init_subclass__(cls) -> None:
        check = cls.__dict__.get("__post_init__")
        if check is not None:

            @wraps(check)
            def checked(self: Measurement) -> None:
                check_field_types(self)
                check(self)

            cls.__post_init__ = checked  # type: ignore[method-assign]

    def __post_init__(self) -> None:
        """Check the types of the arguments; what an instrument checks itself comes after."""
        check_field_types(self)

    def labels(self, window: Window) -> Mapping[str, Sequence[str]]:
        """Names of the entries along each labelled axis, e.g. matrix names; none by default."""
        return {}


class Instrument(Measurement):
    """A measurement of a run so far. Concrete ones are frozen dataclasses that nobody subclasses.

    ``history`` is how many snapshots it looks at, None for all since the first, of which those
    before the newest come without parts and metrics; ``parts`` are the parts of the displacement
    to record if some update makes them, and what depends on parts that nobody recorded is NaN.
    Shapes never change: an instrument that has too little history yet returns NaN.
    """

    history: ClassVar[int | None] = 1
    parts: ClassVar[frozenset[str]] = frozenset()

    @property
    def from_start(self) -> bool:
        """Whether it must have seen the run from its first snapshot on."""
        return self.history is None

    def parts_of(self, layout: Layout) -> Iterable[str]:
        """Parameters whose parts it needs; all, unless an instrument says otherwise."""
        return layout.names

    @abstractmethod
    def measure(self, window: Window) -> dict[str, Tensor]:
        """Arrays ``(R, *axes)`` float64 on the CPU, one per entry of ``outputs``."""


def instrument_key(instrument: Measurement) -> str:
    """Name of an instrument with its own fields, the key of its readings.

    Args:
        instrument: An instrument, or what is measured in hindsight.

    Returns:
        ``name`` or ``name(field=value, ...)`` with the fields that differ from their default.
    """
    changed = [
        f"{f.name}={getattr(instrument, f.name)!r}"
        for f in fields(instrument)  # type: ignore[arg-type]
        if getattr(instrument, f.name) != f.default
    ]
    return instrument.name + (f"({', '.join(changed)})" if changed else "")


def stacked(readings: Sequence[Mapping[str, Tensor]]) -> dict[str, Any]:
    """Readings at T steps as arrays ``(R, T, *axes)``."""
    return {name: torch.stack([r[name] for r in readings], dim=1) for name in readings[0]}
