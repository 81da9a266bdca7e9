"""What the parts of a sweep cost, measured on this machine: the input of `benchmarks.cluster`.

Seconds are CPU seconds, which a busy machine stretches less than seconds of the clock. Operations
on files are counted, not timed: how long they take is a property of the store of a cluster.
"""

from __future__ import annotations

import json
import pickle
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine_overhead import NEVER, TIMED
from benchmarks.store_operations import Files, Operations
from benchmarks.sweeps import on_disk, runs
from benchmarks.time_split import REST, TimeSplit
from spectraledge.instruments import WeightSpectrum
from spectraledge.lab import Plan
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row
from spectraledge.lab.sweep import Board, Inline, Job, Sweep, pack
from spectraledge.lab.sweep.jobs import CostModel
from spectraledge.lab.sweep.vital_signs import VitalSigns
from spectraledge.training import Every, Execution, Problem, Trainer

__all__ = ["FILE", "Costs", "measure", "read", "write"]

FILE = Path(__file__).parents[1] / "results" / "cluster_costs.json"
RUNS_PER_JOB = 12
# Runs as long as those of a study in records, of which the size of their files depends.
STEPS, RECORD_EVERY, MEASURE_EVERY = 120, 2, 4
# Of Ray 2.60, with 3000 tasks waiting: CPU seconds of `remote`, and of `wait` per task.
RAY_SUBMIT, RAY_WAIT = 1.5e-4, 1e-6
START = "from benchmarks.cluster_costs import first_step; first_step()"


@dataclass(frozen=True)
class Costs:
    """Seconds of the parts of a sweep, and operations on the store.

    Args:
        run_seconds: Quantiles of the training seconds of a run in a batch, from 0 to 1.
        runs_per_job: Runs that train as one batch.
        save_every: Seconds between two saves of a run.
        start: Worker, from its start to its first step: imports and compilation, warm caches.
        plan: Driver, per wanted run: its identity, whether it is known, packing.
        dispatch: Driver, per job: sending it, noting that it runs.
        collect: Driver, per run: reading and checking its files, making its row.
        receive: Driver, per run, if its row came with the message that the job has ended.
        look: Driver, per running job, each time that it looks after its jobs.
        ledger: Driver, per save of the ledger.
        ledger_row: Driver, per row of the ledger at every save.
        listing: Per folder below the root, each time that the root is listed.
        training: Store operations of a worker per run, saves in between left out.
        saving: Store operations of a worker per run and save.
        driving: Store operations of the driver per run.
    """

    run_seconds: tuple[float, ...]
    runs_per_job: int
    save_every: float
    start: float
    plan: float
    dispatch: float
    collect: float
    receive: float
    look: float
    ledger: float
    ledger_row: float
    listing: float
    training: Files
    saving: Files
    driving: Files


def write(costs: Costs, path: Path = FILE) -> None:
    """Save as JSON."""
    path.write_text(json.dumps(asdict(costs), indent=1) + "\n")


def read(path: Path = FILE) -> Costs:
    """What `write` wrote."""
    found = json.loads(path.read_text())
    files = {name: Files(**found[name]) for name in ("training", "saving", "driving")}
    return Costs(**found | files | {"run_seconds": tuple(found["run_seconds"])})


def measure(ledger: Path) -> Costs:
    """Measure everything; about a minute on an idle machine.

    Args:
        ledger: The seconds of its rows, of those with the most frequent model, stand for the runs.

    Returns:
        The costs.
    """
    rows = _alike(Ledger.read(ledger))
    seconds = np.quantile([row.seconds for row in rows], np.linspace(0, 1, 101))
    with on_disk() as folder:
        fixed, each = _line(lambda n: _ledger_seconds(rows, n, folder / "l.parquet"), 1000, 4000)
        listing = _line(lambda n: _listing_seconds(folder / f"{n}", n), 1000, 4000)[1]
        found: dict[str, Any] = {
            "start": _start_seconds(),
            "plan": _plan_seconds(folder / "none"),
            "dispatch": _dispatch_seconds(folder / "none"),
            "receive": _receive_seconds(rows),
            "look": _look_seconds(folder / "none"),
            "ledger": max(fixed, 0.0),
            "ledger_row": each,
            "listing": listing,
        }
        found = {name: float(f"{value:.3g}") for name, value in found.items()}
        found |= _small_sweep(folder / "runs")
    return Costs(tuple(round(float(s), 3) for s in seconds), RUNS_PER_JOB, 20.0, **found)


def _alike(ledger: Ledger) -> list[Row]:
    models: dict[str, list[Row]] = {}
    for row in ledger:
        if row.state != "failed":
            models.setdefault(str(json.loads(row.spec_json)["model"]), []).append(row)
    if not models:
        raise ValueError("expected a ledger with runs, got none; name one with --ledger")
    return max(models.values(), key=len)


def _small_sweep(root: Path) -> dict[str, Any]:
    """Driver seconds and store operations of runs that are short, with files as long as others'."""
    spectra = ((WeightSpectrum(), Every(MEASURE_EVERY)),)
    execution = Execution(compile=False)
    plan = Plan(root, spectra, execution=execution, largest_batch=RUNS_PER_JOB, until=NEVER)
    plan = replace(plan, save_every=1e9)
    specs = [replace(s, record_every=RECORD_EVERY) for s in runs(RUNS_PER_JOB, STEPS)]
    root.mkdir(parents=True)  # as in all sweeps but the first: only what exists can be listed
    split = TimeSplit([*TIMED, (VitalSigns, "__init__", "dispatch")], clock=time.process_time)
    operations = Operations(root, lambda: split.part)
    with split.watching(), operations.counting():
        Sweep(specs, Inline(plan), path=root / ".ledger").run()
    driver = ("rows", "dispatch")
    apart = {*driver, "saving", "ledger", "planning", REST}
    worker = [part for part in split.seconds if part not in apart]
    return {
        "collect": float(f"{split.seconds['rows'] / len(specs):.3g}"),
        "training": operations.per(len(specs), worker),
        "saving": operations.per(len(specs), ["saving"]),
        "driving": operations.per(len(specs), driver),
    }


def _line(seconds: Callable[[int], float], few: int, many: int) -> tuple[float, float]:
    """Fixed seconds, and seconds for each of a number of things."""
    short, long = (min(seconds(n) for _ in range(3)) for n in (few, many))
    each = (long - short) / (many - few)
    return short - few * each, each


def _cpu(call: Callable[[], object], times: int = 1) -> float:
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times


def _many(rows: list[Row], count: int) -> Ledger:
    some = (rows[i % len(rows)] for i in range(count))
    return Ledger(replace(row, signature=f"{i:08x}") for i, row in enumerate(some))


def _ledger_seconds(rows: list[Row], count: int, path: Path) -> float:
    """A save of the ledger: read what others saved, merge, write."""
    known = _many(rows, count)
    known.write(path)

    def save() -> None:
        saved = Ledger.read(path)
        for row in known:
            saved.add(row)
        saved.write(path)

    return _cpu(save)


def _receive_seconds(rows: list[Row]) -> float:
    letter, ledger = pickle.dumps(rows[0]), Ledger()
    return _cpu(lambda: ledger.add(pickle.loads(letter)), times=500)


def _listing_seconds(root: Path, count: int) -> float:
    for i in range(count):
        (root / f"some-run-of-a-sweep-{i:08x}").mkdir(parents=True, exist_ok=True)
    missing = Plan(root).folder(runs(1, STEPS)[0])
    return _cpu(lambda: missing.path, times=10)


def _plan_seconds(root: Path) -> float:
    specs = runs(1000, STEPS)
    sweep = Sweep(specs, Inline(Plan(root)))

    def plan() -> None:
        pack(sweep._missing(), CostModel(), workers=100, largest_batch=RUNS_PER_JOB)

    return _cpu(plan) / len(specs)


def _dispatch_seconds(root: Path) -> float:
    job, plan, board = Job(tuple(runs(RUNS_PER_JOB, STEPS))), Plan(root), Board()

    def dispatch() -> None:
        VitalSigns(job, plan, 900.0)
        board.start(0, job)
        pickle.dumps((job, plan))

    return RAY_SUBMIT + _cpu(dispatch, times=20)


def _look_seconds(root: Path) -> float:
    """The engine's look at its running jobs, and what Ray takes to wait for them, twice."""
    jobs = 1000
    plan, job = Plan(root), Job((runs(1, STEPS)[0],))
    running = {n: VitalSigns(job, plan, 900.0) for n in range(jobs)}
    executor = Inline(plan)
    executor._steps = dict.fromkeys(running, 1)
    sweep = Sweep((), executor)
    return 2 * RAY_WAIT + _cpu(lambda: sweep._watch(running), times=10) / jobs


def _start_seconds() -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(2):  # The first one fills the caches.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", START], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_step() -> None:
    """What a worker does before its second step."""
    execution = Execution()
    execution.apply()
    Trainer(Problem(runs(RUNS_PER_JOB, STEPS), execution)).step_()
