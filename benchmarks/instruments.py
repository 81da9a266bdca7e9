"""Cost of the rank-collapse experiment's instruments beside the training between two snapshots."""

from __future__ import annotations

from benchmarks.harness import Goal, extra, in_turns, report
from spectraledge.instruments import DecayGeometry, Observer, WeightSpectrum
from spectraledge.training import Execution, Problem, RunSpec, Trainer
from spectraledge.updates import Adam, LowRank, WeightDecay

CADENCE = 100  # steps between two snapshots of the full experiment


def main() -> None:
    """Run and report."""
    Execution().apply()
    updates = (WeightDecay(0.1, on="not_qk"), Adam(), LowRank(0.5))
    problem = Problem([RunSpec(updates=updates)], Execution())
    plain = Trainer(problem)
    observer = Observer((WeightSpectrum(), DecayGeometry()))
    recording = Trainer(problem, record_parts=observer.parts_wanted(problem.layout))
    # Three snapshots a step apart: what measuring costs does not depend on their distance.
    steps = Trainer(problem, record_parts=observer.parts_wanted(problem.layout))
    snapshots = [s for s, _ in zip(steps.snapshots(lambda step: True), range(3))]

    def measure() -> None:
        observer.restore(snapshots[:2])
        observer.observe(snapshots[2])

    timings = in_turns(
        {
            "training step": plain.step_,
            "training step, recording parts of Q and K": recording.step_,
            "measuring one snapshot": measure,
        },
        rounds=40,
    )
    step = timings["training step"].p50
    recorded = extra(timings["training step, recording parts of Q and K"], timings["training step"])
    share = recorded + timings["measuring one snapshot"].p50 / CADENCE / step
    goals = [Goal(f"instruments every {CADENCE} steps over training", share, 0.05, at_most=True)]
    report("instruments", timings, goals)


if __name__ == "__main__":
    main()
