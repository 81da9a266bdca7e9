"""Regimes in which the studies of the execution subspace run.

The published fast and slow regimes, a reduced one that carries many seeds, and a smoke test. All
train the two-token task on the published split, in which the pair and its mirror may be apart, with
gradients clipped at 1, Adam, and decay of every parameter.

The reduced regime keeps delayed generalisation, the shape of the trajectory and the growth of the
defect; it does not keep the absolute threshold of the published onset rule, which it crosses when
it memorises.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from spectraledge.experiments.base import Scale
from spectraledge.lab.decision import Decision
from spectraledge.models import PreNormEncoderSpec
from spectraledge.tasks import ModularArithmetic
from spectraledge.training import RunSpec
from spectraledge.updates import SGD, Adam, ClipGradient, Update, WeightDecay

__all__ = [
    "GROKKING",
    "HARD",
    "HELD_OUT",
    "OPERATIONS",
    "PUBLISHED",
    "REDUCED",
    "SLOW",
    "SMOKE",
    "UNTIL",
    "Regime",
    "regime_of",
]

# Operations that generalise in the published fast regime, and two that do not within 200,000 steps.
GROKKING = ("add", "sub", "mul", "x2_y2")
HARD = ("x2_xy_y2", "x3_xy")
OPERATIONS = GROKKING + HARD
# Half of the held-out pairs; the other half is never looked at while rules are chosen.
HELD_OUT = "validation_accuracy"
# As published, runs go on for 1000 steps after `grok_stop`; those that do not generalise are
# compared with the others over the same horizon, and not after 50,000 or 200,000 steps.
UNTIL = Decision(HELD_OUT, threshold=0.98, patience=3, further=1000, horizon=5000)


@dataclass(frozen=True)
class Regime:
    """Everything that a study needs to know about a regime.

    Args:
        name: ``smoke``, ``reduced``, ``published`` or ``slow``.
        modulus: Of the task.
        model: The network.
        train_fraction: Share of the pairs to train on.
        batch_size: Examples per step, drawn with replacement.
        lr: Learning rate.
        weight_decay: Strength of the decay of every parameter.
        beta2: Of Adam.
        steps: Cap of a run.
        record_every: Steps between two records, measurements and snapshots.
        seeds: Seeds; a seed gives initial weights, batches and the split.
        operations: Operations of the task.
        momentum: Of SGD in place of Adam; None for Adam.
    """

    name: str
    modulus: int
    model: PreNormEncoderSpec
    train_fraction: float
    batch_size: int
    lr: float
    weight_decay: float
    beta2: float
    steps: int
    record_every: int
    seeds: tuple[int, ...]
    operations: tuple[str, ...] = OPERATIONS
    momentum: float | None = None

    def task(self, operation: str) -> ModularArithmetic:
        """An operation on two tokens, with the published split."""
        return ModularArithmetic(
            self.modulus,
            operation=operation,
            form="two_token",
            train_fraction=self.train_fraction,
            split="ordered",
        )

    def chain(
        self,
        *before: Update,
        weight_decay: float | None = None,
        after: tuple[Update, ...] = (),
    ) -> tuple[Update, ...]:
        """Clipping, what comes before the optimizer, decay, optimizer, and what comes after.

        Args:
            *before: Updates before the optimizer, where the published interventions act.
            weight_decay: Strength; the regime's own if None.
            after: Updates after the optimizer.

        Returns:
            The update chain.
        """
        decay = self.weight_decay if weight_decay is None else weight_decay
        optimizer = Adam(beta2=self.beta2) if self.momentum is None else SGD(self.momentum)
        return (ClipGradient(1.0), *before, WeightDecay(decay, on="all"), optimizer, *after)

    def runs(
        self,
        operation: str,
        *,
        updates: tuple[Update, ...] | None = None,
        seeds: Iterable[int] | None = None,
        lr: float | None = None,
    ) -> list[RunSpec]:
        """One run a seed.

        Args:
            operation: Of the task.
            updates: The update chain; the regime's own if None.
            seeds: The regime's seeds if None.
            lr: The regime's learning rate if None.

        Returns:
            The runs, in the order of the seeds.
        """
        first = RunSpec(
            task=self.task(operation),
            model=self.model,
            updates=self.chain() if updates is None else updates,
            lr=self.lr if lr is None else lr,
            steps=self.steps,
            batch_size=self.batch_size,
            sampling="replacement",
            record_every=self.record_every,
        )
        chosen = self.seeds if seeds is None else seeds
        return [replace(first, seed=seed, data_seed=seed) for seed in chosen]


PUBLISHED = Regime(
    name="published",
    modulus=97,
    model=PreNormEncoderSpec(),
    train_fraction=0.5,
    batch_size=512,
    lr=1e-3,
    weight_decay=1.0,
    beta2=0.98,
    steps=200_000,
    record_every=100,
    seeds=(42, 137, 2024),
)

SLOW = replace(
    PUBLISHED,
    name="slow",
    model=PreNormEncoderSpec(layers=3),
    lr=5e-5,
    weight_decay=0.1,
    beta2=0.999,
    steps=800_000,
    record_every=1000,
    seeds=(42, 137),
    operations=("add",),
)

REDUCED = replace(
    PUBLISHED,
    name="reduced",
    modulus=43,
    model=PreNormEncoderSpec(width=64, mlp_width=128),
    train_fraction=0.6,
    batch_size=256,
    seeds=tuple(range(8)),
    operations=("add", "x2_xy_y2"),
)

SMOKE = replace(
    PUBLISHED,
    name="smoke",
    modulus=7,
    model=PreNormEncoderSpec(width=8, heads=2, mlp_width=16),
    batch_size=16,
    lr=1e-2,
    steps=100,
    record_every=50,
    seeds=(0, 1),
    operations=("add", "x2_xy_y2"),
)


def regime_of(scale: Scale) -> Regime:
    """The regime of a scale: ``demo`` is the reduced one."""
    return {"smoke": SMOKE, "demo": REDUCED, "full": PUBLISHED}[scale]
