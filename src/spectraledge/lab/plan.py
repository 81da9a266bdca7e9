"""How to run, apart from what."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from spectraledge.instruments import Hindsight, Instrument, Measurement
from spectraledge.lab.decision import Decision
from spectraledge.lab.names import run_name
from spectraledge.snapshots import Snapshot
from spectraledge.store import RunFolder
from spectraledge.training import Cadence, Execution, RunSpec

__all__ = [
    "Display",
    "Live",
    "Measured",
    "Plan",
    "Progress",
    "bare",
    "in_hindsight",
    "live",
    "with_cadence",
]

Live = Instrument | tuple[Instrument, Cadence]
Measured = Live | Hindsight | tuple[Hindsight, Cadence]


@dataclass(frozen=True)
class Plan:
    """How to run, apart from what.

    Args:
        root: Folder that holds all runs.
        instruments: What to measure at the recorded steps; a pair adds a cadence. A `Hindsight`
            among them is measured once a run is complete, from its snapshots.
        keep_snapshots: Whether to save all parameters at every recorded step.
        execution: Device, threads and compilation.
        largest_batch: Most runs to train as one batch, >= 1.
        until: When a run need not be trained further; None trains every run to its last step.
            A batch ends once all of its runs are decided.
        save_every: Seconds between two saves, >= 0; 0 saves at every record. A killed process
            loses at most this much. Small runs need it: a save costs as much as many steps.

    Raises:
        ValueError: For a batch below 1 or a negative time; for a `Hindsight` without snapshots.
    """

    root: Path
    instruments: tuple[Measured, ...] = ()
    keep_snapshots: bool = False
    execution: Execution = field(default_factory=Execution)
    largest_batch: int = 6
    until: Decision | None = None
    save_every: float = 0.0

    def __post_init__(self) -> None:
        if self.largest_batch < 1:
            raise ValueError(f"Plan: expected largest_batch >= 1, got {self.largest_batch}")
        if not self.save_every >= 0:
            raise ValueError(f"Plan: expected save_every >= 0 seconds, got {self.save_every}")
        late = [hindsight.name for hindsight, _ in in_hindsight(self.instruments)]
        if late and not self.keep_snapshots:
            raise ValueError(
                f"Plan: {', '.join(late)} can only be measured once a run is complete, from its "
                "saved snapshots, got keep_snapshots=False; set it to True (of a study: its class "
                "variable, in a sweep file: KEEP_SNAPSHOTS)"
            )

    def folder(self, spec: RunSpec) -> RunFolder:
        """The folder of a run."""
        return RunFolder.of(self.root, run_name(spec), spec)


@dataclass(frozen=True)
class Progress:
    """Where a batch stands; given to a display.

    Args:
        specs: The runs of the batch.
        step: Steps taken.
        started_at: Step at which this process took up the batch.
        seconds: Time since then.
        snapshot: The newest snapshot, None between two of them.
    """

    specs: tuple[RunSpec, ...]
    step: int
    started_at: int
    seconds: float
    snapshot: Snapshot | None = None


Display = Callable[[Progress], None]


def bare(measured: Measured) -> Measurement:
    """The instrument without its cadence."""
    return measured[0] if isinstance(measured, tuple) else measured


def with_cadence(measured: Measured) -> tuple[Measurement, Cadence]:
    """The instrument and when it measures: at every recorded step, unless it was said."""
    return measured if isinstance(measured, tuple) else (measured, _always)


def live(instruments: Iterable[Measured]) -> list[tuple[Instrument, Cadence]]:
    """Those that measure while a run is trained."""
    return [(i, due) for i, due in map(with_cadence, instruments) if isinstance(i, Instrument)]


def in_hindsight(instruments: Iterable[Measured]) -> list[tuple[Hindsight, Cadence]]:
    """Those that measure a run once it is complete."""
    return [(i, due) for i, due in map(with_cadence, instruments) if isinstance(i, Hindsight)]


def _always(step: int) -> bool:
    return True
