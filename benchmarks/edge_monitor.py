"""Cost of the spectral edge and its exact decomposition: live, and over a whole saved run."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.harness import Goal, extra, in_turns, report
from spectraledge.instruments import Instrument, Observer, SpectralEdge, UpdateDecomposition
from spectraledge.models import CausalDecoderSpec
from spectraledge.snapshots import Snapshot
from spectraledge.tasks import DyckDepth
from spectraledge.training import Execution, Problem, RunSpec, Trainer
from spectraledge.updates import Adam, ClipGradient, WeightDecay

CADENCE = 100  # steps between two snapshots of the published lifecycle runs
SNAPSHOTS = 101  # of a whole published run
SKETCH = 4096


def kept_bytes(instruments: Sequence[Instrument], snapshots: Sequence[Snapshot]) -> tuple[int, int]:
    """Bytes of one snapshot with its parts, and of what is kept after a whole run."""
    observer = Observer(instruments)
    for snapshot in snapshots:
        observer.observe(snapshot)
    tensors = (snapshots[-1].parameters, *snapshots[-1].parts.values())
    return sum(t.numel() * t.element_size() for t in tensors), observer.kept_bytes


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
    exact, kept = kept_bytes((SpectralEdge(), UpdateDecomposition()), snapshots)
    short, sketched = kept_bytes(
        (SpectralEdge(sketch=SKETCH), UpdateDecomposition(sketch=SKETCH)), snapshots
    )
    goals = [
        # W + 2 snapshots of everything in float32, and their three parts in float64.
        Goal("kept over the snapshots' bytes, whole vectors", kept / exact, 7.1, at_most=True),
        Goal(f"the same, sketches of {SKETCH}", sketched / short, 2.0, at_most=True),
        Goal(f"edge every {CADENCE} steps over training", share, 0.03, at_most=True),
        Goal("seconds for a whole run", whole / 1000, 5.0, at_most=True),
    ]
    report("spectral edge, Dyck model", timings, goals)


if __name__ == "__main__":
    main()
