"""Flags for task, model and optimizer of an ad-hoc run, and the specs that they describe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

from spectraledge.cli.command import default_is, one_of

if TYPE_CHECKING:
    from spectraledge.models import ModelSpec
    from spectraledge.tasks import Task
    from spectraledge.training import Schedule
    from spectraledge.updates import Update

__all__ = ["ModelFlags", "OptimizerFlags", "TaskFlags", "refuse"]

# The names are written out, because the packages that own them take seconds to import.
OPERATIONS = ("add", "sub", "mul", "div", "x2_y2", "x2_xy_y2", "x3_xy")
QK_NORMS = ("full", "per_head", "none")


@dataclass(frozen=True)
class TaskFlags:
    """What to learn.

    Args:
        group: Compose elements of a group, such as S5, A5, D12 or C113, in place of arithmetic.
        operation: Binary operation, modulo the modulus.
        operations: Two or more operations in place of one, all on the same pairs; the encoder gets
            a head for each.
        modulus: A prime for div.
        train_fraction: Share of all pairs to train on.
        split: unordered keeps a pair and its mirror in one part; ordered is the published split,
            which leaks mirrored pairs on commutative operations.
        form: Input (a, b, "=") or (a, b).
    """

    group: Annotated[str | None, default_is("modular arithmetic", "NAME")] = None
    operation: Annotated[str | None, one_of(*OPERATIONS), default_is("add")] = None
    # Not `one_of`: the parser drops the message of an element, the task has the same.
    operations: Annotated[tuple[str, ...], default_is("a single one", "NAME NAME ...")] = ()
    modulus: Annotated[int | None, default_is("113", "INT")] = None
    train_fraction: float = 0.5
    split: Annotated[str, one_of("unordered", "ordered")] = "unordered"
    form: Annotated[
        str | None,
        one_of("three_token", "two_token"),
        default_is("three_token, two_token for the encoder"),
    ] = None

    @property
    def outputs(self) -> int:
        """Answers to a row: the number of operations."""
        return len(self.operations) or 1

    def task(self, model: str) -> Task:
        """The task.

        Args:
            model: Name of the network; the form it was published with is taken if none is given.

        Returns:
            Composition in the group if there is one, otherwise modular arithmetic.

        Raises:
            ValueError: For flags of modular arithmetic beside a group; for one operation beside
                several.
        """
        from spectraledge.tasks import GroupComposition, ModularArithmetic, SeveralOperations

        form = self.form or ("two_token" if model == "encoder" else "three_token")
        shared = (form, self.train_fraction, self.split)
        if self.group is not None:
            names = ("--operation", "--operations", "--modulus")
            given = [self.operation is not None, bool(self.operations), self.modulus is not None]
            why = "belongs to modular arithmetic; leave out either it or --group"
            refuse(names, given, why)
            return GroupComposition(self.group, *shared)
        modulus = 113 if self.modulus is None else self.modulus
        if self.operations:
            given = [self.operation is not None]
            refuse(["--operation"], given, "is a single one; leave out either it or --operations")
            return SeveralOperations(modulus, self.operations, *shared)
        return ModularArithmetic(modulus, self.operation or "add", *shared)


@dataclass(frozen=True)
class ModelFlags:
    """The network.

    Args:
        model: scale-invariant is the RMSNorm decoder with normalised queries and keys; encoder
            the pre-LayerNorm encoder.
        width: Residual width.
        layers: Number of blocks.
        heads: Attention heads; divides the width.
        mlp_width: Hidden width of the MLP.
        mlp: Kind of MLP of the scale-invariant model.
        qk_norm: Normalise whole queries and keys, or each head (low-rank decay then acts on each
            head as well), or neither. Scale-invariant model only.
        qk_gain: Whether the QK-norm has a learned gain. Scale-invariant model only.
    """

    model: Annotated[str, one_of("scale-invariant", "encoder")] = "scale-invariant"
    width: int = 128
    layers: int = 2
    heads: int = 4
    mlp_width: Annotated[int | None, default_is("4 x width, 2 x width for the encoder", "INT")] = (
        None
    )
    mlp: Annotated[str | None, one_of("silu", "swiglu"), default_is("silu")] = None
    qk_norm: Annotated[str | None, one_of(*QK_NORMS), default_is("full")] = None
    qk_gain: bool = True

    def spec(self, outputs: int = 1) -> ModelSpec:
        """The recipe of the network.

        Args:
            outputs: Answers to a row; of more than one each gets a head of its own.

        Returns:
            A spec with the published sizes where no flag says otherwise.

        Raises:
            ValueError: For flags that the model does not have, or more outputs than it can have.
        """
        from spectraledge.models import (
            MultiTaskEncoderSpec,
            PreNormEncoderSpec,
            ScaleInvariantDecoderSpec,
        )

        if self.model == "encoder":
            given = [self.mlp is not None, self.qk_norm is not None, not self.qk_gain]
            names = ("--mlp", "--qk-norm", "--no-qk-gain")
            refuse(names, given, "belongs to --model scale-invariant; the encoder has none")
            hidden = self.mlp_width or 2 * self.width
            sizes = self.width, self.layers, self.heads, hidden
            several = outputs > 1
            return MultiTaskEncoderSpec(*sizes, outputs) if several else PreNormEncoderSpec(*sizes)
        refuse(["--operations"], [outputs > 1], "needs a head for each; choose --model encoder")
        return ScaleInvariantDecoderSpec(
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            mlp=cast(Any, self.mlp or "silu"),
            mlp_width=self.mlp_width or 4 * self.width,
            qk_norm=cast(Any, self.qk_norm or "full"),
            qk_gain=self.qk_gain,
        )


@dataclass(frozen=True)
class OptimizerFlags:
    """Adam and its schedule.

    Args:
        lr: Learning rate.
        steps: Number of optimizer steps.
        batch_size: Examples a step.
        warmup: Steps of linear warm-up.
        schedule: Learning rate after the warm-up; cosine falls to 0 at the last step.
        clip: Clip the gradient to this norm.
    """

    lr: float = 1e-3
    steps: int = 4000
    batch_size: int = 512
    warmup: int = 0
    schedule: Annotated[str, one_of("constant", "cosine")] = "constant"
    clip: Annotated[float | None, default_is("no clipping", "FLOAT")] = None

    def learning_rates(self) -> Schedule:
        """The schedule."""
        from spectraledge.training import Schedule

        total = self.steps if self.schedule == "cosine" else 0
        return Schedule(cast(Any, self.schedule), self.warmup, total)

    def clipping(self) -> tuple[Update, ...]:
        """The first link of the chain, if there is one."""
        from spectraledge.updates import ClipGradient

        return () if self.clip is None else (ClipGradient(self.clip),)


def refuse(flags: Sequence[str], given: Sequence[bool], why: str) -> None:
    """Raise for flags that do not apply.

    Args:
        flags: Names of flags.
        given: Which of them were given.
        why: Why they do not apply.

    Raises:
        ValueError: For the first flag given.
    """
    for flag, present in zip(flags, given):
        if present:
            raise ValueError(f"{flag} {why}")
