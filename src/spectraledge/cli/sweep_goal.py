"""What a sweep is asked to reach: a study by name, or what a Python file defines."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spectraledge.experiments.study import Stage, Study
    from spectraledge.lab.decision import Decision
    from spectraledge.lab.ledger import Ledger
    from spectraledge.lab.plan import Measured
    from spectraledge.training import RunSpec

__all__ = ["Goal", "find_goal", "goal_of_study", "with_horizon"]


@dataclass(frozen=True)
class Goal:
    """What to train.

    Args:
        title: One line for people.
        stages: Parts that are trained one after the other; each says what is wanted, given what
            is known, and when the outcome of a run is known.
        instruments: What to measure.
        module: Module of the file that defines it, None for a study.
        keep_snapshots: Whether to save all parameters at every recorded step.
    """

    title: str
    stages: tuple[Stage, ...]
    instruments: tuple[Measured, ...]
    module: ModuleType | None = None
    keep_snapshots: bool = False


def find_goal(what: str, scale: str) -> Goal:
    """The goal that a word on the command line means.

    Args:
        what: Path of a Python file, which must end in ``.py``, or name of a study.
        scale: Size of the study; a file has none.

    Returns:
        The goal.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If nothing has this name, or the file is not what is expected.
    """
    from spectraledge.experiments.study import Study
    from spectraledge.experiments.study_run import find_experiment_or_study

    if what.endswith(".py"):
        return _goal_of_file(Path(what))
    try:
        found = find_experiment_or_study(what)
    except ValueError as error:
        raise ValueError(f"{error}; or give a file that ends in .py") from None
    if not isinstance(found, Study):
        raise ValueError(
            f"{found.name} is an experiment, not a study; train it with: "
            f"spectraledge run {found.name} --scale {scale}"
        )
    return goal_of_study(found, scale)


def goal_of_study(study: Study, scale: Any) -> Goal:
    """A study at a scale as a goal; its groundwork is left out if there is none."""
    from spectraledge.experiments.study import stages
    from spectraledge.lab.ledger import Ledger

    groundwork, main = stages(study, scale)
    parts = (groundwork, main) if groundwork.wanted(Ledger()) else (main,)
    title = f"{study.name} ({scale}): {study.title}"
    return Goal(title, parts, study.instruments, keep_snapshots=study.keep_snapshots)


def with_horizon(goal: Goal, horizon: int) -> Goal:
    """The same goal with another step at which undecided runs are left; groundwork keeps its own.

    Args:
        goal: What to train.
        horizon: The step, >= 1.

    Returns:
        The goal.

    Raises:
        ValueError: If runs take all their steps anyway, or the step is below 1.
    """
    *groundwork, last = goal.stages
    if last.until is None or last.until.horizon is None:
        raise ValueError(
            f"--horizon {horizon}: {goal.title} has none; its runs are trained until they are "
            "decided or end"
        )
    until = replace(last.until, horizon=horizon)
    return replace(goal, stages=(*groundwork, replace(last, until=until)))


def _goal_of_file(path: Path) -> Goal:
    if not path.is_file():
        near = get_close_matches(path.name, [p.name for p in path.parent.glob("*.py")], 1)
        hint = f"; closest: {path.with_name(near[0])}" if near else ""
        raise FileNotFoundError(f"no file {path}{hint}")
    from spectraledge.experiments.study import Stage

    module = _imported(path)
    stage = Stage(_until(path, getattr(module, "UNTIL", None)), _wanted(path, module))
    instruments = _instruments(path, getattr(module, "INSTRUMENTS", ()))
    keep = bool(getattr(module, "KEEP_SNAPSHOTS", False))
    return Goal(str(path), (stage,), instruments, module, keep)


def _imported(path: Path) -> ModuleType:
    # Specs travel to workers by the names of their classes, so a class that the file defines must
    # be found there under the same name: the file is imported as any module is.
    folder, name = str(path.resolve().parent), path.stem
    # At the end, so that the files of a folder hide no installed package.
    if folder not in sys.path:
        sys.path.append(folder)
    found = None if "." in name else find_spec(name)
    origin = found.origin if found else None
    if origin is None or not Path(origin).exists() or not path.samefile(origin):
        reason = f"{name!r} is {origin or 'another module'}" if found else "a dot is in its name"
        raise ValueError(
            f"expected a file that can be imported by its name, got {path}: {reason}; rename it"
        )
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise ValueError(f"{path}{_line(error, path)}: {type(error).__name__}: {error}") from error


def _line(error: Exception, path: Path) -> str:
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path.resolve()]
    return f", line {lines[-1]}" if lines else ""


def _wanted(path: Path, module: ModuleType) -> Callable[[Ledger], list[RunSpec]]:
    function, specs = getattr(module, "wanted", None), getattr(module, "SPECS", None)
    if function is None and specs is None:
        raise ValueError(
            f"expected {path} to define SPECS, a list of RunSpec, or wanted(ledger), a function "
            "that returns one, got neither"
        )
    if function is None:
        checked = _checked(specs, f"SPECS of {path}")
        if not checked:
            raise ValueError(f"expected SPECS of {path} to hold at least one RunSpec, got none")
        return lambda _: checked
    if not callable(function):
        raise ValueError(f"expected wanted of {path} to be a function, got {function!r}")
    return lambda ledger: _checked(function(ledger), f"what wanted(ledger) of {path} returns")


def _checked(specs: Any, what: str) -> list[RunSpec]:
    from spectraledge.training import RunSpec

    if not isinstance(specs, Iterable) or isinstance(specs, str):
        raise ValueError(f"expected {what} to be a list of RunSpec, got {specs!r}")
    found = list(specs)
    for index, spec in enumerate(found):
        if not isinstance(spec, RunSpec):
            raise ValueError(f"expected {what} to be a list of RunSpec, got {spec!r} at [{index}]")
    return found


def _until(path: Path, until: Any) -> Decision | None:
    from spectraledge.lab.decision import Decision

    if until is not None and not isinstance(until, Decision):
        raise ValueError(f"expected UNTIL of {path} to be a Decision or None, got {until!r}")
    return until


def _instruments(path: Path, instruments: Any) -> tuple[Measured, ...]:
    from spectraledge.instruments import Measurement
    from spectraledge.training import Cadence

    def is_one(item: Any) -> bool:
        pair = isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], Cadence)
        return isinstance(item[0] if pair else item, Measurement)

    several = isinstance(instruments, list | tuple)
    wrong = [item for item in instruments if not is_one(item)] if several else [instruments]
    if wrong:
        raise ValueError(
            f"expected INSTRUMENTS of {path} to be a list of instruments or of pairs "
            f"(instrument, cadence), got {wrong[0]!r}"
        )
    return tuple(instruments)
