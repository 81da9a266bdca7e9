"""What a sweep costs beyond its training loops, one worker, and where that goes.

The loops are timed inside the sweep, so that a busy machine slows both sides of the ratio alike;
bare loops of the same batch are timed beside, to see that the sweep does not slow the loop itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.harness import Goal, Timing, in_turns, report
from benchmarks.sweeps import bare_loops, fresh_sweep, on_disk, runs
from benchmarks.time_split import REST, TimeSplit
from spectraledge.instruments import Observer, WeightSpectrum
from spectraledge.lab import Plan, training_session
from spectraledge.lab.decision import Decision
from spectraledge.lab.recorder import Recorder
from spectraledge.lab.sweep import Inline, Sweep, inline
from spectraledge.training import Every, RunSpec, Trainer

RUNS, STEPS, ROUNDS = 24, 1000, 3
# Asked at every record, as in a study, and never reached, so that every run takes all steps.
NEVER = Decision("validation_accuracy", threshold=1.01, patience=3)
LOOP, MEASURING = "training loop", "measuring"
TIMED = (
    (training_session, "_start", LOOP),
    (Trainer, "snapshots", LOOP),
    (Observer, "observe", MEASURING),
    (Recorder, "add", "recording"),
    (Recorder, "is_decided", "deciding"),
    (Recorder, "save", "saving"),
    (training_session, "_end", "sealing"),
    (inline, "run_batch", "claiming and looking for checkpoints"),
    (Sweep, "_collect", "rows"),
    (Sweep, "_save", "ledger"),
    (Sweep, "_missing", "planning"),
    (Inline, "_show", "display"),
)


def split_sweep(specs: list[RunSpec], plan: Plan) -> tuple[Callable[[], None], list[TimeSplit]]:
    """A sweep on one worker, and where the time of each call went."""
    splits: list[TimeSplit] = []
    sweep = fresh_sweep(specs, Inline(plan))

    def call() -> None:
        splits.append(TimeSplit(TIMED))
        with splits[-1].watching():
            sweep()

    return call, splits


def main() -> None:
    """Run and report."""
    specs = runs(RUNS, STEPS)
    spectra = ((WeightSpectrum(), Every(100)),)
    with on_disk() as folder:
        plan = Plan(
            folder / "runs", instruments=spectra, until=NEVER, largest_batch=RUNS, save_every=20
        )
        sweep, splits = split_sweep(specs, plan)
        timings = in_turns(
            {"sweep": sweep, "bare loop": lambda: bare_loops([specs])}, rounds=ROUNDS, warm_up=1
        )
    splits = splits[-ROUNDS:]
    parts = dict.fromkeys(name for *_, name in TIMED) | {REST: None}
    timings |= {f"of the sweep: {part}": _timing(splits, part) for part in parts}
    report(
        f"engine overhead, {RUNS} runs x {STEPS} steps in one batch, one worker",
        timings,
        [
            Goal("sweep beyond its training loop, over the loop",
                 float(np.median([_overhead(split) for split in splits])), 0.02, at_most=True),
            Goal("instruments of a study, over the loop",
                 timings[f"of the sweep: {MEASURING}"].p50 / timings[f"of the sweep: {LOOP}"].p50,
                 0.05, at_most=True),
        ],
    )  # fmt: skip
    beyond = np.median([_beyond(split) for split in splits])
    print(f"  beyond the loop: {1e3 * beyond / RUNS:.1f} ms a run, however long it is trained")


def _beyond(split: TimeSplit) -> float:
    own = {LOOP, MEASURING}
    return sum(seconds for part, seconds in split.seconds.items() if part not in own)


def _overhead(split: TimeSplit) -> float:
    return _beyond(split) / split.seconds[LOOP]


def _timing(splits: list[TimeSplit], part: str) -> Timing:
    rounds = [1e3 * split.seconds[part] for split in splits]
    return Timing(*(float(np.percentile(rounds, q)) for q in (20, 50, 80)), tuple(rounds))


if __name__ == "__main__":
    main()
