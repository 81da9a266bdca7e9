"""Sizes at which the studies run: a smoke test, the reduced model, and the published one.

The reduced model carries the many-seed statistics. It was found by scanning sizes, learning rates
and decays for the phases of the published one: a single block of width 32 (14,592 parameters) on
addition modulo 31, batch 128, memorises within a few hundred steps; with decay 0.1 everywhere but
on Q and K (as published) it does not generalise in 3000 steps unless Q and K are decayed, and then
does so 1000 to 2000 steps later; below some train fraction it never does. A step costs 0.6 ms a run
in a batch on one CPU core, 60 times less than at the published size.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from spectraledge.experiments.base import Scale
from spectraledge.models import ScaleInvariantDecoderSpec
from spectraledge.series import Bisection
from spectraledge.tasks import ModularArithmetic, Task
from spectraledge.training import RunSpec
from spectraledge.updates import Update

__all__ = ["PUBLISHED", "REDUCED", "SMOKE", "Size", "size_of"]

# The strengths that every arm with a strength is tuned over: seven values, three a decade.
STRENGTHS = (0.3, 0.65, 1.4, 3.0, 6.5, 14.0, 30.0)


@dataclass(frozen=True)
class Size:
    """Everything that a study needs to know about a size.

    Args:
        name: ``smoke``, ``reduced`` or ``published``.
        modulus: Of the addition task.
        model: The network.
        batch_size: Examples per step.
        record_every: Steps between two records.
        budgets: Steps after which outcomes are read; runs take the last.
        rates: Learning rates to tune over.
        strengths: Strengths to tune over; None for all of an arm's own.
        tuning_steps: Steps of a tuning run.
        tuning_seeds: Seeds that only tuning looks at; a seed brings its own split.
        seeds: Seeds of everything else.
        more_seeds: Seeds where an answer hangs on few arms; begins with `seeds`.
        fraction: Train fraction of tuning, and of studies at one fraction.
        bisection: How the boundary is looked for.
        published_factor: Strength on the absolute scale that makes the published five-step
            direction as long as an L2 step of strength 1 at initialisation; grows with the width.
        compute: Number type of the network. bfloat16 groks at the same step as float32 (see
            `bfloat16_groks_alike`) and is 1.6 times faster where matrices are large.
    """

    name: str
    modulus: int
    model: ScaleInvariantDecoderSpec
    batch_size: int
    record_every: int
    budgets: tuple[int, ...]
    rates: tuple[float, ...]
    strengths: tuple[float, ...] | None
    tuning_steps: int
    tuning_seeds: tuple[int, ...]
    seeds: tuple[int, ...]
    more_seeds: tuple[int, ...]
    fraction: float
    bisection: Bisection
    published_factor: float
    compute: Literal["float32", "bfloat16"] = "float32"

    def task(self, fraction: float | None = None, split: str = "unordered") -> ModularArithmetic:
        """Addition at a train fraction, the size's own by default."""
        share = self.fraction if fraction is None else fraction
        return ModularArithmetic(self.modulus, train_fraction=share, split=split)

    def runs(
        self,
        updates: tuple[Update, ...],
        *,
        lr: float,
        task: Task | None = None,
        seeds: Iterable[int] | None = None,
        steps: int | None = None,
    ) -> list[RunSpec]:
        """One run a seed; a seed gives initial weights, batches and, by its own number, the split.

        Args:
            updates: The update chain.
            lr: Learning rate.
            task: Addition at the size's fraction if None.
            seeds: The size's seeds if None.
            steps: The longest budget if None.

        Returns:
            The runs, in the order of the seeds.
        """
        first = RunSpec(
            task=task or self.task(),
            model=self.model,
            updates=updates,
            lr=lr,
            steps=steps or self.budgets[-1],
            batch_size=self.batch_size,
            record_every=self.record_every,
            compute=self.compute,
        )
        chosen = self.seeds if seeds is None else seeds
        return [replace(first, seed=seed, data_seed=42 + seed) for seed in chosen]


REDUCED = Size(
    name="reduced",
    modulus=31,
    model=ScaleInvariantDecoderSpec(width=32, layers=1, mlp_width=128),
    batch_size=128,
    record_every=50,
    budgets=(2000, 4000),
    rates=(1e-2, 2e-2, 4e-2),
    strengths=None,
    tuning_steps=3000,
    tuning_seeds=(100, 101, 102),
    seeds=tuple(range(8)),
    more_seeds=tuple(range(48)),
    fraction=0.7,
    bisection=Bisection(0.35, 0.85, trials=5, resolution=0.13, ladder=5, spacing=0.05),
    published_factor=0.75,
)

PUBLISHED = Size(
    name="published",
    modulus=113,
    model=ScaleInvariantDecoderSpec(),
    batch_size=512,
    record_every=100,
    budgets=(2500, 10_000),
    rates=(5e-4, 1e-3, 2e-3),
    strengths=None,
    tuning_steps=5000,
    tuning_seeds=(100, 101, 102),
    seeds=tuple(range(8)),
    more_seeds=tuple(range(24)),
    fraction=0.5,
    bisection=Bisection(0.2, 0.7, trials=5, resolution=0.04, ladder=6, spacing=0.025),
    published_factor=1.05,
    compute="bfloat16",
)

SMOKE = replace(
    REDUCED,
    name="smoke",
    modulus=7,
    model=ScaleInvariantDecoderSpec(width=8, layers=1, heads=2, mlp_width=16),
    batch_size=16,
    record_every=5,
    budgets=(10, 20),
    rates=(1e-2,),
    strengths=(3.0,),
    tuning_steps=10,
    tuning_seeds=(100,),
    seeds=(0, 1),
    more_seeds=(0, 1, 2),
    bisection=Bisection(0.4, 0.8, trials=1, resolution=0.2, ladder=2, spacing=0.1),
)


def size_of(scale: Scale) -> Size:
    """The size of a scale: ``demo`` is the reduced model."""
    return {"smoke": SMOKE, "demo": REDUCED, "full": PUBLISHED}[scale]
