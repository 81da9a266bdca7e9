"""Drivers and workers killed at random moments: the sweep ends as if nothing had happened."""

import os
import random
import signal
import time
from collections import Counter
from functools import partial

import pytest
from sweep_cases import plan_at, results, small
from sweep_drivers import drive, started, until, workers_of

from spectraledge.lab.decision import Decision
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.sweep import Inline, Sweep

ENDED = "ended"
# Decided at steps between 16 and 36, or not at all; batches of three, some of whose runs are
# decided long before the others.
UNTIL = Decision("train_accuracy", threshold=0.5, patience=2)


def runs(number):
    sizes = (8, 9, 10, 12)
    return [
        small(seed=s, steps=120, record_every=6, batch_size=sizes[s % 4]) for s in range(number)
    ]


def leftovers(root):
    return [path for path in root.rglob("*") if path.name.endswith(".unfinished")]


def hurt(root, specs, options, kills, chance):
    """Kill so many times, then let the sweep end; counts drivers, workers, half-written files."""
    killed = Counter()
    driver = started(drive, root, specs, options)
    try:
        while killed["driver"] + killed["worker"] < kills:
            pids = until(partial(_at_work, root, driver))
            if pids is ENDED:
                break
            time.sleep(chance.uniform(0, 0.25))
            if chance.random() < 0.35:
                driver.kill()
                driver.join()
                killed["driver"] += 1
                killed["writing"] += bool(leftovers(root))
                # Its workers end by themselves; the next driver does not wait for that.
                driver = started(drive, root, specs, options)
            else:
                killed["worker"] += _kill(chance.choice(sorted(pids)))
                killed["writing"] += bool(leftovers(root))
        driver.join(timeout=200)
        assert driver.exitcode == 0
    finally:
        driver.kill()
    return killed


def _at_work(root, driver):
    assert driver.exitcode in (None, 0), f"the sweep has ended, with {driver.exitcode}"
    return ENDED if driver.exitcode == 0 else workers_of(root)


def _kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:  # it has just ended, with its driver
        return False
    return True


def check(tmp_path, number, kills, seed):
    root, specs = tmp_path / "hurt", runs(number)
    plan = plan_at(root, until=UNTIL, largest_batch=3)
    options = {"until": UNTIL, "largest_batch": 3, "save_every": 0.0, "attempts": 2 * kills}
    killed = hurt(root, specs, options, kills, random.Random(seed))
    print(f"killed: {dict(killed)}")
    # A fast machine may come to the end before the last of them; 20 are what is promised.
    assert killed["driver"] + killed["worker"] >= kills * 5 // 6
    assert killed["driver"] >= kills // 5
    assert killed["worker"] >= kills // 3

    calm = plan_at(tmp_path / "calm", until=UNTIL, save_every=60.0)
    ours, theirs = Ledger.read(root / "ledger.parquet"), Sweep(specs, Inline(calm)).run()
    assert len(ours) == len(specs)
    assert results(ours) == results(theirs)

    folders = sorted(path.name for path in root.iterdir() if path.is_dir())
    assert folders == sorted([".locks", *(plan.folder(spec).path.name for spec in specs)])
    for spec in specs:
        row, state = theirs.get(spec, UNTIL), plan.folder(spec).status().state
        assert state in ("done", "partial" if row.state == "decided" else "done")
    assert not leftovers(root)
    # Started once more, it trains nothing: all that was stored is found again without a ledger.
    again = Sweep(specs, Inline(plan))
    assert again._missing() == []
    assert results(again.ledger) == results(theirs)
    return killed


def test_a_sweep_survives_random_kills(tmp_path):
    check(tmp_path, number=40, kills=24, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_a_sweep_survives_many_random_kills(tmp_path, seed):
    killed = check(tmp_path, number=32, kills=80, seed=seed)
    assert killed["writing"] >= 1
