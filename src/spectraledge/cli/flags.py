"""Flags of an ad-hoc run, and the spec that they describe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

from spectraledge.cli.command import default_is, one_of

if TYPE_CHECKING:
    from spectraledge.models import ModelSpec
    from spectraledge.tasks import ModularArithmetic
    from spectraledge.training import Schedule
    from spectraledge.updates import Update

__all__ = ["DecayFlags", "ModelFlags", "OptimizerFlags", "TaskFlags"]

# The names are written out, because the packages that own them take seconds to import.
OPERATIONS = ("add", "sub", "mul", "div", "x2_y2", "x2_xy_y2", "x3_xy")
SCALES = ("adaptive", "absolute", "spectral")
METHODS = ("auto", "floored", "svd", "huber", "two_sign", "published")
QK_NORMS = ("full", "per_head", "none")

# Rates of a step that are as long, at the initialisation of the published model, as the published
# ones: lambda 0.005 along the published direction.
PUBLISHED_RATE, EXACT_RATE, ADAPTIVE_RATE = 0.005, 0.00274, 0.0054
PUBLISHED_LR = 1e-3
WEIGHT_DECAY = 0.1


@dataclass(frozen=True)
class TaskFlags:
    """What to learn.

    Args:
        operation: Binary operation, modulo the modulus.
        modulus: A prime for div.
        train_fraction: Share of all pairs to train on.
        split: unordered keeps a pair and its mirror in one part; ordered is the published split,
            which leaks mirrored pairs on commutative operations.
        form: Input (a, b, "=") or (a, b).
    """

    operation: Annotated[str, one_of(*OPERATIONS)] = "add"
    modulus: int = 113
    train_fraction: float = 0.5
    split: Annotated[str, one_of("unordered", "ordered")] = "unordered"
    form: Annotated[
        str | None,
        one_of("three_token", "two_token"),
        default_is("three_token, two_token for the encoder"),
    ] = None

    def task(self, model: str) -> ModularArithmetic:
        """The task, in the form that `model` was published with if none is given."""
        from spectraledge.tasks import ModularArithmetic

        form = self.form or ("two_token" if model == "encoder" else "three_token")
        return ModularArithmetic(
            self.modulus, self.operation, form, self.train_fraction, self.split
        )


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

    def spec(self) -> ModelSpec:
        """The recipe of the network.

        Returns:
            A spec with the published sizes where no flag says otherwise.

        Raises:
            ValueError: For flags that the model does not have.
        """
        from spectraledge.models import PreNormEncoderSpec, ScaleInvariantDecoderSpec

        if self.model == "encoder":
            given = [self.mlp is not None, self.qk_norm is not None, not self.qk_gain]
            names = ("--mlp", "--qk-norm", "--no-qk-gain")
            _refuse(names, given, "belongs to --model scale-invariant; the encoder has none")
            hidden = self.mlp_width or 2 * self.width
            return PreNormEncoderSpec(self.width, self.layers, self.heads, hidden)
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
class DecayFlags:
    """What decays the query and key matrices, and the rest.

    Args:
        decay: none, decoupled weight decay (l2) or low-rank decay (lrd).
        strength: Decay per unit learning rate for l2 and with --coupled, else per step.
        scale: What the strength of lrd is relative to: the norm of the matrix, nothing, or the
            largest singular value.
        method: How lrd lowers singular values.
        coupled: Whether the learning rate multiplies the strength of lrd.
        every: Apply lrd every so many steps, with the sum of the amounts.
        weight_decay_elsewhere: Weight decay of all other parameters.
    """

    decay: Annotated[str, one_of("lrd", "l2", "none")] = "lrd"
    strength: Annotated[
        float | None, default_is("0.1 for l2; for lrd as strong as published", "FLOAT")
    ] = None
    scale: Annotated[str | None, one_of(*SCALES), default_is("absolute")] = None
    method: Annotated[str | None, one_of(*METHODS), default_is("published")] = None
    coupled: bool = False
    every: int = 1
    weight_decay_elsewhere: Annotated[
        float | None, default_is("0.1, with --decay none 0", "FLOAT")
    ] = None

    def updates(self, model: ModelFlags) -> tuple[Update, ...]:
        """Weight decays, Adam and low-rank decay, in this order.

        Args:
            model: The network; says whether heads are decayed one by one.

        Returns:
            Links of the update chain.

        Raises:
            ValueError: For flags that do not go together.
        """
        from spectraledge.updates import Adam

        self._check(model)
        rest = self.weight_decay_elsewhere
        if self.decay == "none":
            return (*_weight_decays(0.0, rest or 0.0, model), Adam())
        if self.decay == "l2":
            strength = WEIGHT_DECAY if self.strength is None else self.strength
            alike = strength if model.model == "encoder" else WEIGHT_DECAY
            return (*_weight_decays(strength, alike if rest is None else rest, model), Adam())
        rest = WEIGHT_DECAY if rest is None else rest
        return (*_weight_decays(0.0, rest, model), Adam(), self._low_rank(model))

    def _low_rank(self, model: ModelFlags) -> Update:
        from spectraledge.updates import LowRank

        scale, method = self.scale or "absolute", self.method or "published"
        return LowRank(
            self._usual_strength(scale, method) if self.strength is None else self.strength,
            scale=cast(Any, scale),
            coupled=self.coupled,
            method=cast(Any, method),
            every=self.every,
            heads=model.heads if model.qk_norm == "per_head" else 1,
        )

    def _usual_strength(self, scale: str, method: str) -> float:
        if scale == "spectral":
            raise ValueError("--scale spectral has no published strength; give one by --strength")
        absolute = PUBLISHED_RATE if method == "published" else EXACT_RATE
        rate = ADAPTIVE_RATE if scale == "adaptive" else absolute
        return rate / PUBLISHED_LR if self.coupled else rate

    def _check(self, model: ModelFlags) -> None:
        given = [self.scale is not None, self.method is not None, self.coupled, self.every != 1]
        if self.decay != "lrd":
            names = ("--scale", "--method", "--coupled", "--every")
            _refuse(names, given, f"belongs to --decay lrd, got --decay {self.decay}")
        if self.decay == "none":
            _refuse(["--strength"], [self.strength is not None], "needs --decay l2 or lrd")
        if self.decay == "lrd" and model.model == "encoder":
            raise ValueError(
                "--decay lrd needs separate query and key matrices, which --model encoder fuses; "
                "choose --model scale-invariant, or --decay l2"
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


def _weight_decays(attention: float, rest: float, model: ModelFlags) -> tuple[Update, ...]:
    """Weight decay of Q and K and of everything else, as few links as it takes."""
    from spectraledge.updates import WeightDecay

    if attention == rest:
        return (WeightDecay(rest, on="all"),) if rest else ()
    if model.model == "encoder":
        raise ValueError(
            "--model encoder fuses query, key and value, so that all parameters decay alike: "
            f"give --weight-decay-elsewhere {attention:g} or another --strength"
        )
    decays = {"qk": attention, "not_qk": rest}
    return tuple(WeightDecay(strength, on=on) for on, strength in decays.items() if strength)


def _refuse(flags: tuple[str, ...] | list[str], given: list[bool], why: str) -> None:
    for flag, present in zip(flags, given):
        if present:
            raise ValueError(f"{flag} {why}")
