"""What to train: one run, written down completely."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from spectraledge.models import ModelSpec, ScaleInvariantDecoderSpec
from spectraledge.tasks import ModularArithmetic, Task, answers_of
from spectraledge.training.schedule import Schedule
from spectraledge.updates import Adam, Update, WeightDecay
from spectraledge.updates.chain import check_gradient_links, structure

__all__ = ["RunSpec", "batch_key"]


@dataclass(frozen=True)
class RunSpec:
    """One training run. Two equal specs are the same run; only what changes the result is here.

    Args:
        task: What to learn.
        model: Recipe for the network.
        updates: Links of the update chain, applied in order at every step.
        lr: Learning rate, finite and > 0; the schedule multiplies it.
        schedule: Learning-rate schedule.
        steps: Number of optimizer steps, >= 1.
        batch_size: Examples per step, >= 1.
        sampling: ``epochs`` walks through one random order of the training set after another,
            cut into equal batches (the last batch of an epoch is filled up from the next, where
            a ``DataLoader`` would make a smaller one); ``replacement`` draws independently.
        seed: Initial weights and batches.
        data_seed: Split of the data.
        record_every: Steps between two snapshots, >= 1.
        compute: ``bfloat16`` runs the network in bfloat16 on float32 master weights.

    Raises:
        ValueError: For numbers out of range, unknown variants, or a link that changes the gradient
            behind the last one that reads it.
    """

    task: Task = field(default_factory=ModularArithmetic)
    model: ModelSpec = field(default_factory=ScaleInvariantDecoderSpec)
    updates: tuple[Update, ...] = (WeightDecay(0.1), Adam())
    lr: float = 1e-3
    schedule: Schedule = field(default_factory=Schedule)
    steps: int = 4000
    batch_size: int = 512
    sampling: Literal["epochs", "replacement"] = "epochs"
    seed: int = 0
    data_seed: int = 42
    record_every: int = 200
    compute: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "record_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"RunSpec: expected {name} >= 1, got {getattr(self, name)}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"RunSpec: expected a finite lr > 0, got {self.lr}")
        for name, known in (
            ("sampling", ("epochs", "replacement")),
            ("compute", ("float32", "bfloat16")),
        ):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"RunSpec: expected {name} to be one of {known}, got {getattr(self, name)!r}"
                )
        if not self.updates:
            raise ValueError("RunSpec: expected at least one update, got none; try (Adam(),)")
        check_gradient_links(self.updates)
        # Written with or without a point it is the same number, and the same run.
        object.__setattr__(self, "lr", float(self.lr))


# What may differ between the runs of one batch, besides the float fields of updates.
PER_RUN = frozenset({"task", "updates", "lr", "seed", "data_seed"})


def batch_key(spec: RunSpec) -> tuple[Any, ...]:
    """What must agree between runs that train as one batch.

    Args:
        spec: A run.

    Returns:
        A hashable key; runs with equal keys can share a batch.
    """
    task = spec.task
    # Type and answers as well: tasks of one shape may have different accuracies to report.
    shape = (type(task).__name__, task.vocabulary, task.length, task.classes, answers_of(task))
    shared = tuple(getattr(spec, f.name) for f in fields(spec) if f.name not in PER_RUN)
    return (shape, tuple(map(structure, spec.updates)), *shared)
