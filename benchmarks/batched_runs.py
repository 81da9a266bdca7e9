"""What a run costs in a batch of four beside a run alone."""

from __future__ import annotations

from benchmarks.harness import Goal, in_turns, report
from benchmarks.training_step import ours
from spectraledge.training import Execution


def main() -> None:
    """Run and report."""
    Execution().apply()
    kinds = {"fp32": "float32", "bf16": "bfloat16"}
    timings = in_turns(
        {f"R = {r}, {name}": ours(r, kind) for name, kind in kinds.items() for r in (1, 4)},
        rounds=40,
    )
    goals = [
        Goal(
            f"cost per run, R = 4 over R = 1, {name}",
            timings[f"R = 4, {name}"].p50 / 4 / timings[f"R = 1, {name}"].p50,
            1.1,
            at_most=True,
        )
        for name in kinds
    ]
    report("batched runs", timings, goals)


if __name__ == "__main__":
    main()
