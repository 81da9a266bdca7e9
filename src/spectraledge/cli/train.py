"""`spectraledge train`: one ad-hoc run, or the same run under several seeds, from flags."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from tyro.conf import FlagCreatePairsOff

from spectraledge.cli.command import Command, Interrupted, Root, one_of
from spectraledge.cli.decay_flags import DecayFlags
from spectraledge.cli.flags import ModelFlags, OptimizerFlags, TaskFlags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from spectraledge.lab import Plan
    from spectraledge.training import RunSpec

__all__ = ["Train"]


@dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Train a run from flags, or go on with it; the defaults are the published mechanism run.

    The same flags are the same run: an interrupted one is resumed, a finished one is not trained
    again. Ctrl-C is safe at any moment.

    Args:
        task: What to learn.
        model: The network.
        decay: What decays the query and key matrices, and the rest.
        optimizer: Adam and its schedule.
        seeds: Seeds of weights and batches; several train as one batch.
        data_seed: Seed of the split of the data.
        record_every: Steps between two records; what Ctrl-C can lose.
        compute: bfloat16 computes the network in bfloat16 on float32 weights.
        root: Folder that holds all runs.
        keep_snapshots: Save all parameters at every record, to measure them later.
        compile: Compile the training step.
        threads: Threads of this process.
        device: Torch device.
    """

    task: TaskFlags = field(default_factory=TaskFlags)
    model: ModelFlags = field(default_factory=ModelFlags)
    decay: DecayFlags = field(default_factory=DecayFlags)
    optimizer: OptimizerFlags = field(default_factory=OptimizerFlags)
    seeds: tuple[int, ...] = (0,)
    data_seed: int = 42
    record_every: int = 100
    compute: Annotated[str, one_of("float32", "bfloat16")] = "float32"
    root: Root = Path("runs")
    keep_snapshots: FlagCreatePairsOff[bool] = False
    compile: bool = True
    threads: int = 1
    device: str = "cpu"

    def execute(self) -> int:
        """Train what is missing; 1 if a run failed."""
        from spectraledge.cli.console import make_console
        from spectraledge.cli.training_display import training_display
        from spectraledge.lab import run
        from spectraledge.training.execution import check_device

        check_device(self.device)
        specs, plan, console = self.specs(), self.plan(), make_console()
        pending = [spec for spec in specs if not plan.folder(spec).is_done()]
        _announce(console, specs, pending, plan)
        if pending:
            try:
                with training_display(console, specs, plan) as display:
                    run(pending, plan, display)
            except KeyboardInterrupt:
                raise Interrupted(_left_behind(pending, plan)) from None
        return _conclude(console, specs, plan)

    def specs(self) -> list[RunSpec]:
        """The runs.

        Returns:
            One spec a seed.

        Raises:
            ValueError: Without a seed, or with a repeated or negative one.
        """
        from spectraledge.training import RunSpec

        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError(f"expected distinct --seeds >= 0, got {list(self.seeds)}")
        optimizer = self.optimizer
        task, model = self.task.task(self.model.model), self.model.spec(self.task.outputs)
        updates = (*optimizer.clipping(), *self.decay.updates(self.model))
        task.dataset(self.data_seed)  # an impossible split should fail here, not while training
        return [
            RunSpec(
                task=task,
                model=model,
                updates=updates,
                lr=optimizer.lr,
                schedule=optimizer.learning_rates(),
                steps=optimizer.steps,
                batch_size=optimizer.batch_size,
                seed=seed,
                data_seed=self.data_seed,
                record_every=self.record_every,
                compute=cast(Any, self.compute),
            )
            for seed in self.seeds
        ]

    def plan(self) -> Plan:
        """Where and how; the spectra of queries and keys are measured at every record."""
        from spectraledge.instruments import WeightSpectrum
        from spectraledge.lab import Plan
        from spectraledge.training import Execution

        return Plan(
            self.root,
            instruments=(WeightSpectrum(),),
            keep_snapshots=self.keep_snapshots,
            execution=Execution(self.device, self.compile, self.threads),
        )


def _announce(
    console: Console, specs: Sequence[RunSpec], pending: Sequence[RunSpec], plan: Plan
) -> None:
    from spectraledge.cli.standing import checkpoint_step

    console.print(describe(specs[0]), style="bold")
    for spec in pending:
        folder = plan.folder(spec)
        step = checkpoint_step(folder)
        if step:
            console.print(f"seed {spec.seed} goes on from step {step}: {folder.path}")
        _tell_if_claimed(console, spec, plan)


def _tell_if_claimed(console: Console, spec: RunSpec, plan: Plan) -> None:
    from spectraledge.store import ClaimedError

    try:
        with plan.folder(spec).claim(wait=False):
            pass
    except ClaimedError:
        console.print(f"seed {spec.seed} is being trained by another process; waiting for it")


def _left_behind(pending: Sequence[RunSpec], plan: Plan) -> str:
    from spectraledge.cli.standing import checkpoint_step

    steps = {
        spec.seed: checkpoint_step(plan.folder(spec))
        for spec in pending
        if not plan.folder(spec).is_done()
    }
    if not any(steps.values()):
        return "No record was complete; training will start from step 0."
    if len(set(steps.values())) == 1:
        where = f"step {min(steps.values())}"
    else:
        where = ", ".join(f"step {step} (seed {seed})" for seed, step in steps.items())
    return f"Training will go on exactly from {where} of {pending[0].steps}."


def _conclude(console: Console, specs: Sequence[RunSpec], plan: Plan) -> int:
    from spectraledge.cli.console import share
    from spectraledge.cli.standing import read_standing

    failed = 0
    for spec in specs:
        folder = plan.folder(spec)
        standing = read_standing(folder)
        accuracies = ", ".join(
            f"{part} {share(standing.last.get(f'{part}_accuracy'))}"
            for part in ("train", "validation", "test")
        )
        failed += standing.state != "done"
        state = (
            "done" if standing.state == "done" else f"{standing.state.upper()} ({standing.note})"
        )
        console.print(f"seed {spec.seed} is {state} at step {standing.step}: accuracy {accuracies}")
        console.print(f"  {folder.path}")
    return 1 if failed else 0


def describe(spec: RunSpec) -> str:
    """A run in one line: task, model, updates, steps."""
    from dataclasses import asdict

    from spectraledge.lab.names import run_name

    size = {k: v for k, v in asdict(spec.model).items() if k in ("layers", "width", "heads")}  # type: ignore[call-overload]
    shape = ", ".join(f"{name} {value}" for name, value in size.items())
    title = run_name(spec).rpartition("-seed")[0]
    return (
        f"{title}: {type(spec.model).__name__.removesuffix('Spec')} ({shape}), {spec.steps} steps"
    )
