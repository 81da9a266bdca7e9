"""Flags for the decay of an ad-hoc run, and the chain of updates that they describe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

from spectraledge.cli.command import default_is, one_of
from spectraledge.cli.flags import ModelFlags, refuse

if TYPE_CHECKING:
    from spectraledge.updates import Update

__all__ = ["DecayFlags"]

# Written out for the same reason as in `flags`.
SCALES = ("adaptive", "absolute", "spectral")
METHODS = ("auto", "floored", "svd", "huber", "two_sign", "subgradient", "published")

# Rates of a step that are as long, at the initialisation of the published model, as the published
# ones: lambda 0.005 along the published direction.
PUBLISHED_RATE, EXACT_RATE, ADAPTIVE_RATE = 0.005, 0.00274, 0.0054
PUBLISHED_LR = 1e-3
WEIGHT_DECAY = 0.1


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
            refuse(names, given, f"belongs to --decay lrd, got --decay {self.decay}")
        if self.decay == "none":
            refuse(["--strength"], [self.strength is not None], "needs --decay l2 or lrd")
        if self.decay == "lrd" and model.model == "encoder":
            raise ValueError(
                "--decay lrd needs separate query and key matrices, which --model encoder fuses; "
                "choose --model scale-invariant, or --decay l2"
            )


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
