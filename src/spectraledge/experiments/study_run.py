"""Run a study, and write its report from the rows of a ledger."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from spectraledge.experiments.base import Experiment, Scale, all_experiments, check_scale
from spectraledge.experiments.study import Known, Study, all_studies, stages, study_plan
from spectraledge.lab import Plan
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.lab.sweep import Board, Executor, Inline, Sweep
from spectraledge.report import Page, write
from spectraledge.training import Execution, RunSpec

__all__ = [
    "find_experiment_or_study",
    "has_groundwork",
    "ledger_file",
    "rows_of",
    "run_study",
    "write_study_report",
]

SEEDS = ("seed", "data_seed")


def ledger_file(root: Path) -> Path:
    """Where the ledger of all runs under `root` lies unless said otherwise."""
    return Path(root) / "ledger.parquet"


def run_study(
    study: Study,
    scale: Scale,
    root: Path,
    *,
    executor: Callable[[Plan], Executor] = Inline,
    ledger_path: Path | None = None,
    execution: Execution | None = None,
    attempts: int = 3,
    board: Board | None = None,
) -> Ledger:
    """Train what a study wants and the ledger lacks: the groundwork, then the main part.

    Args:
        study: Which.
        scale: Its size.
        root: Folder that holds all runs.
        executor: Makes an executor, such as ``lambda plan: Processes(plan, workers=4)``.
        ledger_path: The ledger's file; `ledger_file` if None.
        execution: Device, threads, compilation.
        attempts: How often a run may fail before it is marked and left.
        board: Where progress is noted.

    Returns:
        The ledger, which was saved as well.

    Raises:
        ValueError: For an unknown scale.
    """
    check_scale(scale)
    path = ledger_path or ledger_file(root)
    ledger = Ledger.read(path)
    for stage in stages(study, scale):
        if any(ledger.get(spec, stage.until) is None for spec in stage.wanted(ledger)):
            plan = study_plan(study, root, until=stage.until, execution=execution)
            Sweep(
                stage.wanted,
                executor(plan),
                ledger=ledger,
                path=path,
                attempts=attempts,
                board=board,
            ).run()
    return ledger


def rows_of(study: Study, ledger: Ledger, scale: Scale) -> dict[RunSpec, Row | None]:
    """What a study wants, given the ledger, with the rows that are there.

    Args:
        study: Which.
        ledger: What is known.
        scale: Its size.

    Returns:
        Rows by spec, None for a run that has none; those of the groundwork alone as long as one
        of them has none.

    Raises:
        ValueError: For an unknown scale.
    """
    check_scale(scale)
    rows: dict[RunSpec, Row | None] = {}
    for stage in stages(study, scale):
        # A run of both parts counts as known once it is known to the main one.
        rows |= {spec: ledger.get(spec, stage.until) for spec in stage.wanted(ledger)}
        if None in rows.values():
            break
    return rows


def has_groundwork(study: Study, ledger: Ledger, scale: Scale) -> bool:
    """Whether every run that must be known first is known; the page needs them."""
    groundwork, _ = stages(study, scale)
    return all(ledger.get(spec, groundwork.until) for spec in groundwork.wanted(ledger))


def write_study_report(study: Study, ledger: Ledger, scale: Scale, path: Path) -> Page:
    """Make the page of a study and write it as one HTML file; needs no run folder.

    Args:
        study: Which.
        ledger: Rows of its runs; those of other studies are left alone.
        scale: Its size.
        path: The file to write.

    Returns:
        What was written: the study's page with the circumstances of its runs and their specs.

    Raises:
        ValueError: For an unknown scale.
    """
    found = rows_of(study, ledger, scale)
    rows = [row for row in found.values() if row is not None]
    page = study.page(Known(ledger, study.until), scale)
    environment = dict(page.environment) | _environment(rows, wanted=len(found))
    page = replace(page, environment=environment, specs=[*page.specs, *_settings(rows)])
    write(page, path)
    return page


def find_experiment_or_study(name: str) -> Experiment | Study:
    """An experiment or a study by its name, or by the last part of it.

    Args:
        name: e.g. ``low_rank_decay/rank_collapse`` or ``rank_collapse``.

    Returns:
        What has the name.

    Raises:
        ValueError: If nothing has, or several have; lists the known names and the closest.
    """
    known: dict[str, Experiment | Study] = {**all_experiments(), **all_studies()}
    matches = [full for full in known if name in (full, full.rpartition("/")[2])]
    if name in known or len(matches) == 1:
        return known[name if name in known else matches[0]]
    if matches:
        raise ValueError(f"expected one name, got {name!r} for {', '.join(matches)}; write it out")
    endings = [full.rpartition("/")[2] for full in known]
    near = get_close_matches(name, [*endings, *known], 1, cutoff=0.3)
    hint = f"; closest: {near[0]!r}" if near else ""
    raise ValueError(f"no experiment or study {name!r}; known: {', '.join(known)}{hint}")


def _environment(rows: Sequence[Row], wanted: int) -> dict[str, str]:
    """Circumstances of the runs; where they differ, how many runs had which."""
    states = Counter(row.state for row in rows)
    trained = [row for row in rows if row.state != "failed"]
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    facts = {
        "runs": f"{len(rows)} of {wanted} wanted" + (f" ({told})" if told else ""),
        "seconds": f"{sum(row.seconds for row in rows):.0f} over {len(rows)} runs",
    }
    for name in ("device", "machine", "threads"):
        facts[name] = _counted(str(getattr(row, name)) for row in trained)
    packages = dict.fromkeys(package for row in trained for package in row.versions or {})
    facts |= {p: _counted((row.versions or {}).get(p, "–") for row in trained) for p in packages}
    if trained:
        finished = sorted(row.finished for row in trained)
        facts["finished"] = f"{finished[0]} to {finished[-1]}"
    return {name: fact for name, fact in facts.items() if fact}


def _counted(facts: Iterable[str]) -> str:
    counts = Counter(facts).most_common()
    if len(counts) == 1:
        return counts[0][0]
    total = sum(count for _, count in counts)
    return ", ".join(f"{fact} ({count} of {total})" for fact, count in counts)


def _settings(rows: Iterable[Row]) -> list[Mapping[str, Any]]:
    """Specs of the rows; runs that differ in seeds only are one, with the list of their seeds."""
    seeds: dict[str, list[tuple[int, ...]]] = defaultdict(list)
    for row in rows:
        spec = json.loads(row.spec_json)
        seeds_of_run = tuple(spec.pop(name) for name in SEEDS)
        seeds[json.dumps(spec)].append(seeds_of_run)
    return [
        json.loads(text)
        | {"runs": len(pairs)}
        | {name: _ranges(values) for name, values in zip(SEEDS, zip(*pairs))}
        for text, pairs in seeds.items()
    ]


def _ranges(numbers: Iterable[int]) -> str:
    """Distinct integers in words, such as ``0-2, 7``."""
    stretches: list[list[int]] = []
    for number in sorted(set(numbers)):
        if stretches and number == stretches[-1][1] + 1:
            stretches[-1][1] = number
        else:
            stretches.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in stretches)
