"""Times alternatives in turns, so that a busy machine slows all of them alike."""

from __future__ import annotations

import json
import os
import platform
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks.jsonl"


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one alternative: percentiles, and every round."""

    p20: float
    p50: float
    p80: float
    rounds: tuple[float, ...] = ()


def extra(slower: Timing, faster: Timing) -> float:
    """Median over rounds of the difference, relative to the median of the faster one.

    Pairing by round takes out what a shared machine does to both.
    """
    return float(np.median(np.subtract(slower.rounds, faster.rounds))) / faster.p50


@dataclass(frozen=True)
class Goal:
    """A ratio of timings and what it must be.

    Args:
        what: What the ratio says.
        value: The ratio.
        limit: What it is compared with.
        at_most: Whether it must be at most the limit; otherwise at least.
    """

    what: str
    value: float
    limit: float
    at_most: bool

    @property
    def met(self) -> bool:
        """Whether the goal is met."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def __str__(self) -> str:
        sign = "<=" if self.at_most else ">="
        word = "met   " if self.met else "MISSED"
        return f"{word}  {self.what}: {self.value:.3g} {sign} {self.limit:g}"


def in_turns(
    alternatives: Mapping[str, Callable[[], object]], *, rounds: int, warm_up: int = 3
) -> dict[str, Timing]:
    """Time each alternative once per round.

    Args:
        alternatives: What to time, by name.
        rounds: Number of rounds.
        warm_up: Calls before, not timed.

    Returns:
        Percentiles by name.
    """
    for call in alternatives.values():
        for _ in range(warm_up):
            call()
    seconds: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(rounds):
        for name, call in alternatives.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {
        name: Timing(
            *(1e3 * float(np.percentile(s, q)) for q in (20, 50, 80)), tuple(1e3 * x for x in s)
        )
        for name, s in seconds.items()
    }


def environment() -> dict[str, object]:
    """What the numbers depend on besides the code."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def report(name: str, timings: Mapping[str, Timing], goals: list[Goal]) -> None:
    """Print and append to ``results/benchmarks.jsonl``.

    Args:
        name: Name of the benchmark.
        timings: Percentiles by alternative.
        goals: Ratios and their limits.
    """
    print(f"\n{name}")
    for alternative, t in timings.items():
        print(f"  {alternative:44s} {t.p20:9.3f} {t.p50:9.3f} {t.p80:9.3f} ms (20/50/80 %)")
    for goal in goals:
        print(f"  {goal}")
    row = {
        "benchmark": name,
        "environment": environment(),
        "timings_ms": {k: {"p20": t.p20, "p50": t.p50, "p80": t.p80} for k, t in timings.items()},
        "goals": [asdict(goal) | {"met": goal.met} for goal in goals],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(row) + "\n")
