"""Trajectory PCA of the published run against full singular value decompositions, and live."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.commutator import published_run
from benchmarks.harness import Goal, in_turns, report
from spectraledge.instruments import Observer, ParameterNorm, TrajectoryPCA, trajectory_of
from spectraledge.instruments.trajectory_scopes import TrajectoryScopes
from spectraledge.linalg.trajectory_components import expanding_window_sizes
from spectraledge.models import PreNormEncoderSpec
from spectraledge.snapshots import Layout, Snapshot, flatten_parameters
from spectraledge.training import Execution, Problem, Trainer

PEAK = Path("/proc/self/clear_refs")
POINTS, EVERY = 75, 100  # a run of 7,500 steps with a snapshot every 100


def trajectory() -> tuple[Layout, Tensor]:
    """A random walk that decays towards zero, in the published model ``(T, P)``."""
    model = PreNormEncoderSpec().build(vocabulary=97, length=2, classes=97, seed=0)
    chance = torch.Generator().manual_seed(0)
    flat, points = flatten_parameters(model), []
    for _ in range(POINTS):
        points.append(flat)
        flat = 0.9 * flat + 0.01 * torch.randn(len(flat), generator=chance)
    return Layout.of(model), torch.stack(points)


def naive(layout: Layout, points: Tensor) -> Tensor:
    """First shares of every matrix and of the model at the end, by decomposing the trajectories.

    A part of the work only: no expanding windows and no null models.
    """
    scopes = TrajectoryScopes.of(layout, TrajectoryPCA().kinds)
    pieces = [parts[0] for parts in scopes.pieces(points)[:-1]]
    shares = []
    for piece in [*pieces, points]:
        rows = piece.double()
        _, values, _ = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
        shares.append(values[0].square() / values.square().sum())
    return torch.stack(shares)


def live(layout: Layout, points: Tensor) -> float:
    """Milliseconds a snapshot takes to observe, mean over a run."""
    observer = Observer([TrajectoryPCA(), ParameterNorm()])
    rate = torch.full((1,), 1e-3, dtype=torch.float64)
    start = time.perf_counter()
    for t, point in enumerate(points):
        observer.observe(Snapshot(t * EVERY, layout, point.unsqueeze(0), lr=rate))
    return 1e3 * (time.perf_counter() - start) / len(points)


def memory() -> float:
    """Peak memory of snapshots and one analysis over that of the snapshots, in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        return fresh.submit(_memory).result()


def _memory() -> float:
    """The same in this process; NaN where the system does not tell (Linux does)."""
    if not PEAK.exists():
        return math.nan
    torch.set_num_threads(1)
    layout, points = trajectory()
    states = [{n: t.clone() for n, t in layout.views(point).items()} for point in points]
    size = points.numel() * points.element_size()
    del points
    # What the libraries need once is not the analysis'.
    trajectory_of(states[:3], lr=1e-3)
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    PEAK.write_text("5")  # forgets the peak so far
    before = _status("VmRSS")
    trajectory_of(states, lr=1e-3)
    return 1 + (_status("VmHWM") - before) / size


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def main() -> None:
    """Run and report."""
    layout, points = trajectory()
    states = [{n: t for n, t in layout.views(point).items()} for point in points]
    held = memory()
    trainer = Trainer(Problem([published_run()], Execution()))
    steps = range(0, POINTS * EVERY, EVERY)
    every_prefix = range(2, POINTS + 1)
    timings = in_turns(
        {
            "everything, published windows": lambda: trajectory_of(states, steps=steps, lr=1e-3),
            "everything, every prefix": lambda: trajectory_of(
                states, steps=steps, lr=1e-3, sizes=every_prefix
            ),
            "naive: one SVD a matrix, no windows or nulls": lambda: naive(layout, points),
            "live, all 75 snapshots one by one": lambda: live(layout, points),
            "ten training steps": lambda: [trainer.step_() for _ in range(10)],
        },
        rounds=3,
        warm_up=1,
    )
    whole = timings["everything, published windows"].p50
    slow = timings["naive: one SVD a matrix, no windows or nulls"].p50
    step = timings["ten training steps"].p50 / 10
    live_share = timings["live, all 75 snapshots one by one"].p50 / (POINTS * EVERY * step)
    goals = [
        Goal("seconds of a whole analysis", whole / 1e3, 2.0, at_most=True),
        Goal("seconds of a whole analysis, every prefix",
             timings["everything, every prefix"].p50 / 1e3, 2.0, at_most=True),
        Goal("naive over whole analysis", slow / whole, 2.0, at_most=False),
        Goal(f"live components and norms every {EVERY} steps over training", live_share, 0.02,
             at_most=True),
        Goal("peak memory over that of the snapshots", held, 2.0, at_most=True),
    ]  # fmt: skip
    print(f"windows of {len(expanding_window_sizes(POINTS))} sizes")
    report("trajectory_analysis", timings, goals)


if __name__ == "__main__":
    main()
