"""Cost of the spectral edge and its exact decomposition: live, and over a whole saved run."""

from __future__ import annotations

from benchmarks.harness import Goal, extra, in_turns, report
from spectraledge.instruments import Observer, SpectralEdge, UpdateDecomposition
from spectraledge.models import CausalDecoderSpec
from spectraledge.tasks import DyckDepth
from spectraledge.training import Execution, Problem, RunSpec, Trainer
from spectraledge.updates import Adam, ClipGradient, WeightDecay

CADENCE = 100  # steps between two snapshots of the published lifecycle runs
SNAPSHOTS = 101  # of a whole published run


def main() -> None:
    """Run and report."""
    Execution().apply()
    spec = RunSpec(
        task=DyckDepth(sampling="published"),
        model=CausalDecoderSpec(),
        updates=(ClipGradient(1.0), WeightDecay(1.0, on="all"), Adam(beta2=0.98)),
        batch_size=50,
        sampling="replacement",
    )
    problem = Problem([spec], Execution())
    observer = Observer((SpectralEdge(), UpdateDecomposition()))
    parts = observer.parts_wanted(problem.layout)
    plain, recording = Trainer(problem), Trainer(problem, record_parts=parts)
    # Snapshots a step apart: what measuring costs does not depend on their distance.
    source = Trainer(problem, record_parts=parts).snapshots(lambda step: True)
    snapshots = [s for s, _ in zip(source, range(SNAPSHOTS))]

    def whole_run() -> None:
        observer.restore(())
        for snapshot in snapshots:
            observer.observe(snapshot)

    timings = in_turns(
        {
            "training step": plain.step_,
            "training step, recording parts of attention": recording.step_,
            "edge and decomposition of a whole run": whole_run,
        },
        rounds=8,
    )
    step = timings["training step"].p50
    whole = timings["edge and decomposition of a whole run"].p50
    recorded = extra(
        timings["training step, recording parts of attention"], timings["training step"]
    )
    share = recorded + whole / SNAPSHOTS / CADENCE / step
    goals = [
        Goal(f"edge every {CADENCE} steps over training", share, 0.03, at_most=True),
        Goal("seconds for a whole run", whole / 1000, 5.0, at_most=True),
    ]
    report("spectral edge, Dyck model", timings, goals)


if __name__ == "__main__":
    main()
