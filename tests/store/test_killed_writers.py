"""Real processes, killed at random moments: nobody reads half a file, no run trains twice."""

import multiprocessing
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count

import pytest
import torch

from spectraledge.store import ClaimedError, DamagedError, Origin, RunFolder, claim

# Children are forked from a clean process that has imported torch once.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["spectraledge.store", "pyarrow.parquet", "safetensors.torch"])

SIZE = 50_000


@dataclass(frozen=True)
class Spec:
    seed: int = 0


@dataclass(frozen=True)
class Reading:
    name: str = "a"


def run_at(root, name="demo"):
    return RunFolder.of(root, name, Spec())


def start(target, *arguments):
    """A running child, once it says that it is at work."""
    ready = processes.Event()
    child = processes.Process(target=target, args=(ready, *arguments), daemon=True)
    child.start()
    assert ready.wait(60), "the child did not start"
    return child


def kill(child):
    child.kill()
    child.join(60)
    assert child.exitcode == -9


def write_on(ready, root):
    """An endless unfinished run: each round writes every kind of file, all about one number."""
    run = run_at(root)
    run.begin()
    for k in count():
        run.write_snapshot(k % 50, {"w": torch.full((SIZE,), float(k))}, {"k": str(k)})
        run.write_checkpoint({"w": torch.full((SIZE,), float(k))}, {"k": str(k)})
        run.write_curves({"step": range(SIZE // 10), "k": torch.full((SIZE // 10,), k)})
        run.write_reading(Reading(), [0, 1], {"k": torch.full((2, SIZE // 10), k)})
        ready.set()


def live_on(ready, root):
    """Endless lives: begin, write, finish, add a reading, reset."""
    run = run_at(root)
    for k in count():
        run.begin()
        run.write_checkpoint({"w": torch.full((SIZE,), float(k))})
        run.write_snapshot(0, {"w": torch.full((SIZE,), float(k))}, {"k": str(k)})
        run.finish(Origin.now(datetime.now(UTC), seconds=0.0, device="cpu"))
        run.write_reading(Reading(), [0], {"k": torch.full((1,), k)})
        run.write_reading(Reading(), [0], {"k": torch.full((1,), k + 1)})
        ready.set()
        run.reset(keep=False)


def test_a_killed_writer_leaves_only_whole_files(tmp_path):
    draw = random.Random(0)
    for _ in range(5):
        child = start(write_on, tmp_path)
        time.sleep(draw.uniform(0, 0.1))
        kill(child)
        run = run_at(tmp_path)
        assert run.status().state == "partial"
        saved = [run.read_snapshot(step) for step in run.snapshot_steps()]
        for tensors, metadata in [*saved, run.read_checkpoint()]:
            assert torch.equal(tensors["w"], torch.full((SIZE,), float(metadata["k"])))
        assert len(set(run.read_curves()["k"])) == 1
        assert len(set(run.read_reading(Reading())[1]["k"].flat)) == 1


def test_a_run_killed_at_any_point_of_its_life_is_never_damaged(tmp_path):
    draw = random.Random(1)
    for _ in range(8):
        child = start(live_on, tmp_path)
        time.sleep(draw.uniform(0, 0.06))
        kill(child)
        run = run_at(tmp_path)
        state = run.status().state
        assert state in {"missing", "partial", "done"}
        if state == "partial" and run.snapshot_steps():
            assert run.has_checkpoint()
        if state == "done":
            assert all(run.read_reading(name)[0].tolist() == [0] for name in run.readings())
            run.reset()


def hold(ready, path):
    with claim(path):
        ready.set()
        time.sleep(600)


def test_a_claim_dies_with_its_holder(tmp_path):
    path = tmp_path / "run.lock"
    child = start(hold, path)
    with (
        pytest.raises(ClaimedError, match=f"claimed by process {child.pid}"),
        claim(path, wait=False),
    ):
        pass
    kill(child)
    with claim(path, wait=False):
        pass


def train_once(ready, root, name, log):
    run = run_at(root, name)
    ready.set()
    with run.claim():
        if not run.is_done():
            run.begin()
            with log.open("a") as file:
                file.write("trained\n")
            time.sleep(0.2)
            run.finish(Origin.now(datetime.now(UTC), seconds=0.2, device="cpu"))


def test_four_processes_asked_for_one_run_train_it_once(tmp_path):
    log = tmp_path / "log"
    children = [start(train_once, tmp_path, f"name {k % 2}", log) for k in range(4)]
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    assert log.read_text() == "trained\n"
    assert run_at(tmp_path).is_done()


def test_a_second_process_takes_over_from_a_killed_one(tmp_path):
    log = tmp_path / "log"
    run = run_at(tmp_path)
    first = start(hold, run.root / ".locks" / f"{run.signature}.lock")
    second = start(train_once, tmp_path, "demo", log)
    time.sleep(0.1)
    assert not log.exists()
    kill(first)
    second.join(60)
    assert run.is_done()


def read_on(ready, root, damage):
    """Readers beside a writer: whatever they get is whole."""
    run = run_at(root)
    ready.set()
    while True:
        try:
            run.read_checkpoint()
            run.read_curves()
        except FileNotFoundError:
            continue
        except DamagedError:
            damage.set()


def test_readers_beside_a_writer_see_whole_files(tmp_path):
    damage = processes.Event()
    children = [start(write_on, tmp_path), start(read_on, tmp_path, damage)]
    time.sleep(0.5)
    for child in children:
        kill(child)
    assert not damage.is_set()
