"""What a study is: an experiment with many runs, planned in rounds, kept as ledger rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from spectraledge.experiments.base import Scale
from spectraledge.instruments import WeightSpectrum
from spectraledge.lab import Plan
from spectraledge.lab.decision import Decision
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.plan import Measured
from spectraledge.lab.rows import Row
from spectraledge.report import Page
from spectraledge.training import Every, Execution, RunSpec

__all__ = [
    "GENERALISED",
    "Known",
    "Stage",
    "Study",
    "all_studies",
    "find_study",
    "stages",
    "study_plan",
]

# Held for three records at 0.9: the reduced task holds out 48 to 400 pairs for validation, and
# single records there scatter by a few per cent.
GENERALISED = Decision("validation_accuracy", threshold=0.9, patience=3)


@dataclass(frozen=True)
class Known:
    """What a study may know: the ledger, with every row cut at the study's decision.

    Args:
        ledger: All rows.
        until: The study's decision.
        beyond: Whether rows of runs that were trained beyond its horizon are given as far as that.
    """

    ledger: Ledger
    until: Decision | None
    beyond: bool = False

    def row(self, spec: RunSpec) -> Row | None:
        """The row of a run, None if it is not known; a failed run has a row without curves."""
        if self.beyond and self.until is not None:
            return self.ledger.furthest(spec, self.until)
        return self.ledger.get(spec, self.until)

    def groundwork(self, spec: RunSpec) -> Row | None:
        """The row of a run of the groundwork, cut where it generalised."""
        return self.ledger.get(spec, GENERALISED)

    def rows(self, specs: Iterable[RunSpec]) -> list[tuple[RunSpec, Row]]:
        """The runs that are known and did not fail, with their rows."""
        pairs = ((spec, self.row(spec)) for spec in specs)
        return [(spec, row) for spec, row in pairs if row is not None and row.state != "failed"]


class Study(ABC):
    """A question answered by many runs. A concrete study is one file that defines ``STUDY``.

    ``smoke`` runs in seconds; ``demo`` is the reduced model with many seeds; ``full`` the published
    size. ``until`` says when a run's outcome is known, so that it need not be trained further;
    ``keep_snapshots`` whether later measurements need the weights.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    until: ClassVar[Decision | None] = GENERALISED
    instruments: ClassVar[tuple[Measured, ...]] = ((WeightSpectrum(), Every(100)),)
    keep_snapshots: ClassVar[bool] = False

    def groundwork(self, scale: Scale) -> Iterable[RunSpec]:
        """Runs that must be known first, e.g. tuning; stopped once they have generalised."""
        return ()

    @abstractmethod
    def wanted(self, known: Known, scale: Scale) -> Iterable[RunSpec]:
        """Runs that are wanted, given what is known; depends on nothing else.

        Asked again after every round until nothing new is wanted. It must go on naming the runs
        of earlier rounds; the groundwork is known when it is first asked.
        """

    @abstractmethod
    def page(self, known: Known, scale: Scale) -> Page:
        """Figures, tables and verdicts from the rows; says what was run at which size."""


@dataclass(frozen=True)
class Stage:
    """Part of a study that is trained under one decision.

    Args:
        until: When a run need not be trained further.
        wanted: Runs that are wanted, given the ledger.
    """

    until: Decision | None
    wanted: Callable[[Ledger], list[RunSpec]]


def stages(study: Study, scale: Scale) -> list[Stage]:
    """Groundwork and main part of a study, in the order in which they are run."""
    return [
        Stage(GENERALISED, lambda ledger: list(study.groundwork(scale))),
        Stage(study.until, lambda ledger: list(study.wanted(Known(ledger, study.until), scale))),
    ]


def study_plan(
    study: Study,
    root: Path,
    *,
    until: Decision | None = GENERALISED,
    execution: Execution | None = None,
    largest_batch: int = 24,
    save_every: float = 20.0,
) -> Plan:
    """Where and how the runs of a study are trained.

    Args:
        study: Which.
        root: Folder that holds all runs.
        until: Decision of the stage.
        execution: Device, threads and compilation.
        largest_batch: Most runs in a batch.
        save_every: Seconds between two saves of a run under way.

    Returns:
        The plan.
    """
    return Plan(
        Path(root),
        instruments=study.instruments,
        keep_snapshots=study.keep_snapshots,
        execution=execution or Execution(),
        largest_batch=largest_batch,
        until=until,
        save_every=save_every,
    )


def all_studies() -> dict[str, Study]:
    """Every study below this package, by name: modules that define ``STUDY``."""
    import importlib
    import pkgutil

    import spectraledge.experiments as package

    found = {}
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        study = getattr(importlib.import_module(module.name), "STUDY", None)
        if isinstance(study, Study):
            found[study.name] = study
    return found


def find_study(name: str) -> Study | None:
    """A study by its name or the last part of it; None if there is none of this name."""
    known = all_studies()
    matches = [full for full in known if name in (full, full.rpartition("/")[2])]
    return known[matches[0]] if len(matches) == 1 else None
