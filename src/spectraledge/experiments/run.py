"""Run an experiment and write its report."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from spectraledge.experiments.base import Experiment, Results, Scale, check_scale
from spectraledge.lab import Plan, RunResult
from spectraledge.lab.processes import run_in_processes
from spectraledge.lab.run import Display, result_of
from spectraledge.report import Page, write
from spectraledge.training import Execution

__all__ = ["read_results", "run_experiment", "stored_results", "write_report"]


def run_experiment(
    experiment: Experiment,
    scale: Scale,
    root: Path,
    *,
    workers: int = 1,
    execution: Execution | None = None,
    display: Display | None = None,
) -> Results:
    """Train and measure what is missing.

    Args:
        experiment: Which.
        scale: Its size.
        root: Folder that holds all runs.
        workers: Processes to spread the batches over.
        execution: Device, threads, compilation.
        display: Called as the work proceeds.

    Returns:
        Results by arm.
    """
    check_scale(scale)
    plan = _plan(experiment, scale, root, execution)
    arms = experiment.arms(scale)
    specs = [spec for arm in arms.values() for spec in arm]
    found = dict(zip(specs, run_in_processes(specs, plan, workers, display)))
    return {arm: [found[spec] for spec in specs_of] for arm, specs_of in arms.items()}


def read_results(experiment: Experiment, scale: Scale, root: Path) -> Results:
    """Stored results of an experiment, without training.

    Args:
        experiment: Which.
        scale: Its size.
        root: Folder that holds all runs.

    Returns:
        Results by arm.

    Raises:
        FileNotFoundError: If a run is missing; says how many are there and what to do.
    """
    results = stored_results(experiment, scale, root)
    flat = [result for of_arm in results.values() for result in of_arm]
    missing = [r for r in flat if r.failure is not None]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(flat)} runs of {experiment.name} ({scale}) are not finished "
            f"under {root}, e.g. {missing[0].folder.path.name}: {missing[0].failure}; "
            f"train them with: spectraledge run {experiment.name} --scale {scale} --root {root}"
        )
    return results


def stored_results(experiment: Experiment, scale: Scale, root: Path) -> Results:
    """What is stored of an experiment, unfinished runs included (with their `failure`)."""
    check_scale(scale)
    plan = _plan(experiment, scale, root, None)
    return {
        arm: [result_of(spec, plan) for spec in specs]
        for arm, specs in experiment.arms(scale).items()
    }


def write_report(experiment: Experiment, results: Results, scale: Scale, path: Path) -> Page:
    """Make the page of an experiment and write it as one HTML file.

    Args:
        experiment: Which.
        results: Its results.
        scale: Its size.
        path: The file to write.

    Returns:
        What was written.
    """
    page = _with_origin(experiment.page(results, scale), results, path)
    write(page, path)
    return page


def _plan(experiment: Experiment, scale: Scale, root: Path, execution: Execution | None) -> Plan:
    return Plan(
        Path(root),
        instruments=experiment.instruments(scale),
        keep_snapshots=False,
        execution=execution or Execution(),
    )


def _with_origin(page: Page, results: Results, path: Path) -> Page:
    finished = [(arm, r) for arm, of_arm in results.items() for r in of_arm if r.failure is None]
    origins = [r.folder.read_origin() for _, r in finished]
    environment = {k: str(v) for k, v in asdict(origins[0]).items()} if origins else {}
    environment["seconds"] = f"{sum(o.seconds for o in origins):.0f} over {len(origins)} runs"
    here = path.resolve().parent
    links = {
        f"{arm}: {r.folder.path.name}": os.path.relpath(r.folder.path.resolve(), here)
        for arm, r in finished
    }
    specs = [{"arm": arm} | _plain(r) for arm, r in finished]
    return replace(page, environment=environment, links=links, specs=specs)


def _plain(result: RunResult) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(result.folder.read_spec())
    return spec
