"""Cost of the spectral edge and its exact decomposition: live, and over a whole saved run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.harness import Goal, Timing, extra, in_turns, report
from spectraledge.instruments import (
    EdgeNoise,
    Instrument,
    Observer,
    SpectralEdge,
    UpdateDecomposition,
)
from spectraledge.models import CausalDecoderSpec, EncoderDecoderSpec, ModelSpec
from spectraledge.snapshots import Snapshot
from spectraledge.tasks import DyckDepth, Scan, Task
from spectraledge.training import Execution, Problem, RunSpec, Trainer
from spectraledge.updates import Adam, ClipGradient, WeightDecay

SKETCH = 4096
PAIR = (SpectralEdge(), UpdateDecomposition())
# What the studies look at in every snapshot of a run: other windows and cadences, and noise.
EVERY_WINDOW = (
    *(SpectralEdge(window=w) for w in (3, 5, 10)),
    SpectralEdge(window=3, stride=2),
    *(UpdateDecomposition(window=w) for w in (3, 5, 10)),
    *(UpdateDecomposition(window=w, stride=2) for w in (3, 5)),
    EdgeNoise(),
)


@dataclass(frozen=True)
class Lifecycle:
    """A published run: what is trained, steps between snapshots, how many there are, and turns."""

    name: str
    spec: RunSpec
    cadence: int
    snapshots: int
    rounds: int
    # Steps timed together: what recording costs is less than one step scatters by.
    together: int
    # Instruments of a second timing over the whole run; empty for none.
    every: tuple[Instrument, ...] = ()


def _spec(task: Task, model: ModelSpec, batch_size: int, lr: float) -> RunSpec:
    return RunSpec(
        task=task,
        model=model,
        updates=(ClipGradient(1.0), WeightDecay(1.0, on="all"), Adam(beta2=0.98)),
        batch_size=batch_size,
        lr=lr,
        sampling="replacement",
    )


def dyck() -> Lifecycle:
    """The published run of Dyck-1."""
    spec = _spec(DyckDepth(sampling="published"), CausalDecoderSpec(), 50, 1e-3)
    return Lifecycle("Dyck model", spec, 100, 101, 8, 50, EVERY_WINDOW)


def scan() -> Lifecycle:
    """The published run of SCAN."""
    spec = _spec(Scan(), EncoderDecoderSpec(masks_memory=False), 256, 1e-4)
    return Lifecycle("SCAN model", spec, 500, 31, 5, 1)


def kept_bytes(instruments: Sequence[Instrument], snapshots: Sequence[Snapshot]) -> tuple[int, int]:
    """Bytes of one snapshot with its parts, and of what is kept after a whole run."""
    observer = Observer(instruments)
    for snapshot in snapshots:
        observer.observe(snapshot)
    tensors = (snapshots[-1].parameters, *snapshots[-1].parts.values())
    return sum(t.numel() * t.element_size() for t in tensors), observer.kept_bytes


def whole_run(
    instruments: Sequence[Instrument], snapshots: Sequence[Snapshot]
) -> Callable[[], None]:
    """Measures all snapshots of a run from the first on."""
    observer = Observer(instruments)

    def call() -> None:
        observer.restore(())
        for snapshot in snapshots:
            observer.observe(snapshot)

    return call


def several(trainer: Trainer, count: int) -> Callable[[], None]:
    """So many training steps."""

    def call() -> None:
        for _ in range(count):
            trainer.step_()

    return call


def measure(run: Lifecycle) -> None:
    """Time a run and report."""
    problem = Problem([run.spec], Execution())
    parts = Observer(PAIR).parts_wanted(problem.layout)
    plain, recording = Trainer(problem), Trainer(problem, record_parts=parts)
    # Snapshots a step apart: what measuring costs does not depend on their distance.
    source = Trainer(problem, record_parts=parts).snapshots(lambda step: True)
    snapshots = [s for s, _ in zip(source, range(run.snapshots))]
    timings = in_turns(
        {
            f"{run.together} training steps": several(plain, run.together),
            "the same, recording parts of attention": several(recording, run.together),
            "edge and decomposition of a whole run": whole_run(PAIR, snapshots),
        }
        | (
            {"every window and cadence, and noise": whole_run(run.every, snapshots)}
            if run.every
            else {}
        ),
        rounds=run.rounds,
        warm_up=1,
    )
    report(f"spectral edge, {run.name}", timings, _goals(run, timings, snapshots))


def _goals(
    run: Lifecycle, timings: Mapping[str, Timing], snapshots: Sequence[Snapshot]
) -> list[Goal]:
    steps, recorded, whole, *every = timings.values()
    step = steps.p50 / run.together
    share = extra(recorded, steps) + whole.p50 / run.snapshots / run.cadence / step
    exact, kept = kept_bytes(PAIR, snapshots)
    short, sketched = kept_bytes(
        (SpectralEdge(sketch=SKETCH), UpdateDecomposition(sketch=SKETCH)), snapshots
    )
    return [
        # W + 2 snapshots of everything in float32, and their three parts in float64.
        Goal("kept over the snapshots' bytes, whole vectors", kept / exact, 7.1, at_most=True),
        Goal(f"the same, sketches of {SKETCH}", sketched / short, 2.0, at_most=True),
        Goal(f"edge every {run.cadence} steps over training", share, 0.03, at_most=True),
        Goal("seconds for a whole run", whole.p50 / 1000, 5.0, at_most=True),
        *(
            Goal("seconds for every window and cadence", e.p50 / 1000, 5.0, at_most=True)
            for e in every
        ),
    ]


def main() -> None:
    """Run and report."""
    Execution().apply()
    for run in (dyck(), scan()):
        measure(run)


if __name__ == "__main__":
    main()
