"""Error, time and memory of a sketched edge on weights too large to keep a window of."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.harness import Goal, in_turns, report
from spectraledge.instruments import Observer, SpectralEdge
from spectraledge.linalg import CountSketch
from spectraledge.snapshots import Layout, Snapshot

SIDE = 4096  # of one fused projection: 50 million weights, 200 MB
SINGULAR_VALUES = (5.0, 3.0, 2.0, 1.5, 1.0)
SKETCH, SEEDS = 4096, 4
LAYOUT = Layout(("blocks.0.attention.qkv.weight",), ((3 * SIDE, SIDE),))


def trajectory(seed: int) -> Iterator[Tensor]:
    """Six points whose five displacements have the planted singular values, up to 1e-3."""
    chance = torch.Generator().manual_seed(seed)
    count = len(SINGULAR_VALUES)
    mixing = torch.linalg.qr(torch.randn(count, count, generator=chance)).Q
    scaled = mixing * torch.tensor(SINGULAR_VALUES)
    point = 0.02 * torch.randn(1, LAYOUT.size, generator=chance)
    yield point
    for row in scaled:
        # The same directions every time, drawn anew: five of them would be a gigabyte.
        again = torch.Generator().manual_seed(seed + 1000)
        for weight in row:
            point = point + weight * torch.randn(1, LAYOUT.size, generator=again) / LAYOUT.size**0.5
        yield point


def errors(seed: int) -> tuple[float, float, float]:
    """Largest relative error of a singular value, seconds a snapshot, and bytes kept."""
    observer = Observer([SpectralEdge(window=5, sketch=SKETCH)])
    seconds = 0.0
    for step, point in enumerate(trajectory(seed)):
        start = time.perf_counter()
        found = observer.observe(Snapshot(step, LAYOUT, point))
        seconds += time.perf_counter() - start
    (reading,) = found.values()
    measured = reading["singular_values"][0]
    planted = torch.tensor(SINGULAR_VALUES, dtype=torch.float64)
    worst = (measured / planted - 1).abs().max().item()
    return worst, seconds / (1 + len(SINGULAR_VALUES)), float(observer.kept_bytes)


def main() -> None:
    """Run and report."""
    found = [errors(seed) for seed in range(SEEDS)]
    vector = torch.zeros(1, LAYOUT.size)
    timings = in_turns({"sketch of one snapshot": lambda: CountSketch(SKETCH)(vector)}, rounds=3)
    stated = CountSketch(SKETCH).relative_error
    print(f"stated standard deviation of a singular value: {stated:.4f}")
    goals = [
        # The largest of twenty independent errors exceeds three deviations once in twenty times.
        Goal("largest error of 20 singular values, in stated deviations",
             max(worst for worst, _, _ in found) / stated, 3.0, at_most=True),
        # The newest snapshot is the model itself; whole vectors of a window would be six.
        Goal("bytes kept over those of a snapshot",
             max(kept for _, _, kept in found) / (4 * LAYOUT.size), 1.01, at_most=True),
        Goal("seconds a snapshot", max(seconds for _, seconds, _ in found), 5.0, at_most=True),
    ]  # fmt: skip
    report("sketched edge of 50 million weights", timings, goals)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
