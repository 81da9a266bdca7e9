"""Sweeps in processes of their own, to be killed."""

import multiprocessing
import os
import re
import signal
import sys
import time
from multiprocessing import forkserver
from pathlib import Path

from sweep_cases import plan_at

from spectraledge.lab.sweep import CostModel, Processes, Sweep, engine
from spectraledge.lab.sweep.processes import PRELOADED

__all__ = ["drive", "gone", "started", "until", "workers_of"]

# Drivers are forked from a process that has imported everything, as workers are.
CONTEXT = multiprocessing.get_context("forkserver")


def started(target, *arguments):
    """A driver in a process of its own."""
    CONTEXT.set_forkserver_preload(PRELOADED)
    return until(lambda: _start(target, *arguments))


def _start(target, *arguments):
    process = CONTEXT.Process(target=_shielded, args=(target, *arguments))
    try:
        process.start()
    except (EOFError, OSError):
        # The server ends if somebody is killed while asking it for a process. While it is ending
        # it refuses; once it has ended, a new one starts.
        return None
    return process


def _shielded(target, *arguments):
    # Workers come from the server that this process came from; before Python 3.12 a child would
    # start another server, which imports everything again.
    forkserver._forkserver.ensure_running = lambda: None
    # The server ignores Ctrl-C for the sake of the workers.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    try:
        target(*arguments)
    except KeyboardInterrupt:
        sys.exit(130)


def drive(root, specs, options=None):
    """A sweep to its end, the same whenever it is started again.

    Options: ``workers``, ``name`` of the ledger, ``attempts``, and those of the plan.
    """
    options = dict(options or {})
    workers, name = options.pop("workers", 2), options.pop("name", "ledger")
    attempts = options.pop("attempts", 3)
    # Measuring what steps cost would take longer than all of them.
    engine.measure_costs = lambda specs, execution: CostModel()
    plan = plan_at(root, **{"save_every": 1.0} | options)
    path = root / f"{name}.parquet"
    Sweep(specs, Processes(plan, workers), path=path, attempts=attempts).run()


def workers_of(root, at_least=1):
    """Process ids of workers that hold a claim; None if there are fewer than asked for."""
    locks = [p for p in (root / ".locks").glob("*.lock") if re.fullmatch(r"[0-9a-f]{8}", p.stem)]
    owners = {int(text.split()[0]) for p in locks if (text := p.read_text().strip("\0 "))}
    found = {pid for pid in owners if _is_ours(pid)}
    return found if len(found) >= at_least else None


def _is_ours(pid):
    """Whether it is a live child of our server: a lock outlives its owner, and numbers return."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return False
    return state != "Z" and int(parent) == forkserver._forkserver._forkserver_pid


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def until(condition, seconds=120.0):
    """What `condition` gives, once it gives something true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)
    return found
