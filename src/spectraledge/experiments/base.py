"""What an experiment is: specs, instruments, and a page of claims made from results."""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, get_args

from spectraledge.instruments import Instrument
from spectraledge.lab import RunResult
from spectraledge.report import Page
from spectraledge.training import Cadence, RunSpec

__all__ = ["Arms", "Experiment", "Results", "Scale", "all_experiments", "find_experiment"]

Scale = Literal["smoke", "demo", "full"]
Arms = Mapping[str, Sequence[RunSpec]]
Results = Mapping[str, Sequence[RunResult]]


class Experiment(ABC):
    """One figure or claim of a paper. A concrete experiment is one file with one such class.

    ``name`` is its path, e.g. ``low_rank_decay/rank_collapse``; ``title`` one line for lists. The
    ``smoke`` scale of every experiment runs in seconds, ``demo`` in minutes, ``full`` is the
    published size.
    """

    name: ClassVar[str]
    title: ClassVar[str]

    @abstractmethod
    def arms(self, scale: Scale) -> Arms:
        """Runs by arm. Experiments that share runs list equal specs."""

    @abstractmethod
    def instruments(self, scale: Scale) -> tuple[Instrument | tuple[Instrument, Cadence], ...]:
        """What to measure."""

    @abstractmethod
    def page(self, results: Results, scale: Scale) -> Page:
        """Figures, tables and verdicts; a pure function of the results."""


def check_scale(scale: str) -> None:
    """Raise unless `scale` is known.

    Args:
        scale: Name of a scale.

    Raises:
        ValueError: Listing the known ones.
    """
    if scale not in get_args(Scale):
        raise ValueError(f"expected scale to be one of {get_args(Scale)}, got {scale!r}")


def all_experiments() -> dict[str, Experiment]:
    """Every experiment below this package, by name: modules that define ``EXPERIMENT``."""
    import spectraledge.experiments as package

    found = {}
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        experiment = getattr(importlib.import_module(module.name), "EXPERIMENT", None)
        if isinstance(experiment, Experiment):
            found[experiment.name] = experiment
    return found


def find_experiment(name: str) -> Experiment:
    """An experiment by its name, or by the last part of it.

    Args:
        name: e.g. ``low_rank_decay/rank_collapse`` or ``rank_collapse``.

    Returns:
        The experiment.

    Raises:
        ValueError: If there is no such experiment; lists the known ones and the closest.
    """
    import difflib

    known = all_experiments()
    matches = [full for full in known if name in (full, full.rpartition("/")[2])]
    if len(matches) == 1:
        return known[matches[0]]
    endings = {full.rpartition("/")[2]: full for full in known}
    near = difflib.get_close_matches(name, [*known, *endings], 1, cutoff=0.3)
    hint = f"; closest: {near[0]!r}" if near else ""
    raise ValueError(f"no experiment {name!r}; known: {', '.join(known)}{hint}")
