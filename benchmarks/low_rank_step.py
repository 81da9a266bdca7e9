"""Cost of low-rank decay beside a training step, and of one batched call beside single ones."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.harness import Goal, extra, in_turns, report
from spectraledge.decay import LowRankDecay, low_rank_decay_
from spectraledge.models import ScaleInvariantDecoderSpec
from spectraledge.training import Execution, Problem, RunSpec, Trainer
from spectraledge.updates import Adam, LowRank, Update, WeightDecay


def step(updates: tuple[Update, ...], runs: int) -> Callable[[], None]:
    """One training step of a batch of runs."""
    specs = [RunSpec(updates=updates, seed=seed) for seed in range(runs)]
    return Trainer(Problem(specs, Execution())).step_


def main() -> None:
    """Run and report."""
    Execution().apply()
    plain = (WeightDecay(0.1, on="not_qk"), Adam())
    low_rank = (*plain, LowRank(0.5))
    model = ScaleInvariantDecoderSpec().build(vocabulary=114, length=3, classes=114, seed=0)
    decay = LowRankDecay(model, 0.5)
    eight = torch.randn(8, 128, 128, generator=torch.Generator().manual_seed(0)) / 128**0.5

    def one_at_a_time() -> None:
        for matrix in eight:
            low_rank_decay_(matrix, 1e-9)

    timings = in_turns(
        {
            "fast step without decay": step(plain, 1),
            "fast step with LowRank at defaults": step(low_rank, 1),
            "four runs without decay": step(plain, 4),
            "four runs with LowRank at defaults": step(low_rank, 4),
            "LowRankDecay.step at defaults, 4 x 128x128": lambda: decay.step(lr=1e-3),
            "8 x 128x128, one call": lambda: low_rank_decay_(eight, 1e-9),
            "8 x 128x128, one at a time": one_at_a_time,
        },
        rounds=40,
    )
    fast = timings["fast step without decay"].p50
    report(
        "low-rank decay",
        timings,
        [
            Goal("LowRankDecay.step over a fast training step",
                 timings["LowRankDecay.step at defaults, 4 x 128x128"].p50 / fast, 0.08, True),
            Goal("LowRank in the trainer, extra time over a fast step",
                 extra(timings["fast step with LowRank at defaults"],
                       timings["fast step without decay"]), 0.08, True),
            Goal("LowRank in a batch of four runs, extra time over a fast step",
                 extra(timings["four runs with LowRank at defaults"],
                       timings["four runs without decay"]), 0.08, True),
            Goal("8 matrices one at a time over batched",
                 timings["8 x 128x128, one at a time"].p50 / timings["8 x 128x128, one call"].p50,
                 2.0, False),
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
