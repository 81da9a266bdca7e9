"""How far loss and logits move when the weights take a small step along a direction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.functional_site import FunctionalSite, check_counts
from spectraledge.instruments.parameter_subset import ATTENTION_WEIGHTS, check_subset

__all__ = ["LogitResponse", "component_effects"]

DIRECTION = ("direction",)
# Published lengths of the displacements, relative to θ: for the loss, and for the response.
LOSS_STEP, RESPONSE_STEP = 1e-3, 5e-3


def component_effects(
    site: FunctionalSite,
    directions: Sequence[Float64[Tensor, "R D"]],
    parts: Float64[Tensor, "R J D"],
    relative: float = RESPONSE_STEP,
) -> dict[str, Tensor]:
    """What a small step along directions does, taken as each part of an update points.

    Definition: outcomes at ``θ + ε sign(⟨c_j, v_k⟩) v_k`` less those at θ, with ε a fraction of
    ``‖θ‖``. Parts of equal sign along v_k have equal effects by construction.

    Args:
        site: θ and where to evaluate.
        directions: K unit vectors v_k.
        parts: c_j, e.g. the gradient and the weight-decay part of the last update, in the chosen
            columns.
        relative: ``ε/‖θ‖`` > 0; 0.005 is published.

    Returns:
        ``loss_change`` and ``accuracy_change`` ``(R, K, J)``; 0 for parts orthogonal to v_k.

    Raises:
        ValueError: Unless the step is positive.

    Cost: 2K + 1 forward passes over the distinct rows, whatever J is.

    Source: arXiv:2604.07380, functional effect per component.
    """
    if not relative > 0:
        raise ValueError(f"component_effects: expected relative > 0, got {relative}; try 0.005")
    size = relative * site.norm[:, None]
    moves = (site.vector + side * size * v for v in directions for side in (-1, 1))
    found = site.outcomes(moves)
    along = torch.stack(list(directions), 1) @ parts.mT
    return {
        f"{name}_change": _by_sign(values[:, 1:] - values[:, :1], along)
        for name, values in (("loss", found.loss), ("accuracy", found.accuracy))
    }


def _by_sign(changes: Tensor, along: Tensor) -> Tensor:
    """Changes ``(R, 2K)`` at −v_k and +v_k, chosen by the signs of numbers ``(R, K, J)``."""
    backward, forward = changes.unflatten(1, (-1, 2)).unsqueeze(2).unbind(-1)
    chosen = torch.where(along > 0, forward, backward)
    # torch's sign of NaN is 0, which would say that there is no effect.
    return torch.where(along == 0, 0.0, torch.where(along.isnan(), torch.nan, chosen))


@dataclass(frozen=True)
class LogitResponse(Instrument):
    """Change of loss and of logits for small steps along v_k, ``θ/‖θ‖`` and random directions.

    θ is the vector of the chosen weights. The loss at ``θ + 0.001 ‖θ‖ d`` gives the published
    scatter of function change against σ_k, which the paper calls path norm; v_k is turned so that
    the step lengthens θ. The response ``√(mean ‖Δlogits‖²)`` at ``0.005 ‖θ‖`` over that of random
    directions is γ: 1 for directions that do no more than chance.

    Args:
        directions: K >= 1 leading directions of the window; missing ones are NaN.
        random: Random directions, >= 2; at least 10 for γ to be steady.
        window: Updates W >= directions; shorter at the start.
        rows: Held-out rows, >= 1, from the first on.
        seed: Of the random directions.
        kinds: Kinds of matrices that make up θ; empty for every weight matrix.

    Raises:
        ValueError: For unknown kinds or numbers out of range; at the first snapshot if the model
            has no such matrix.

    Cost: 2 (K + 1 + random) + 1 forward passes over the distinct rows.

    Source: arXiv:2604.07380. Differs: γ is ours, and looks at logits where the paper's functional
    response looks at the residual stream behind the last norm.
    """

    directions: int = 4
    random: int = 10
    window: int = 5
    rows: int = 300
    seed: int = 0
    kinds: tuple[str, ...] = ATTENTION_WEIGHTS

    name: ClassVar[str] = "logit_response"
    needs_problem: ClassVar[bool] = True
    outputs: ClassVar[Mapping[str, Output]] = {
        "singular_value": Output("σ_k, NaN off the window", "weight", DIRECTION, each=True),
        "loss_change": Output("|L(θ + 0.001‖θ‖d) − L(θ)|, mean of random", "loss", DIRECTION, True),
        "response": Output("√(mean ‖Δlogits‖²) at 0.005‖θ‖", "logit", DIRECTION, each=True),
        "gamma": Output("response over that of random directions", "1", DIRECTION, each=True),
    }

    def __post_init__(self) -> None:
        check_subset("LogitResponse", self.kinds)
        check_counts(self, "directions", "rows")
        if self.random < 2:
            raise ValueError(
                f"LogitResponse: expected random >= 2, got {self.random}; γ needs a mean"
            )

    @property
    def history(self) -> int:  # type: ignore[override]
        """Snapshots of one window."""
        return self.window + 1

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Names of the directions, random ones together."""
        leading = tuple(f"v{k + 1}" for k in range(self.directions))
        return {"direction": (*leading, "theta", "random")}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Changes at the newest snapshot."""
        site = FunctionalSite.of(self, window)
        units = site.compared(self.random, seed=self.seed, step=window.now.step)
        steps = [size * site.norm[:, None] for size in (LOSS_STEP, RESPONSE_STEP)]
        moves = (site.vector + step * unit for step in steps for unit in units)
        found = site.outcomes(moves)
        count, fixed = len(units), self.directions + 1
        loss = (found.loss[:, 1 : count + 1] - found.loss[:, :1]).abs()
        response = found.response[:, count + 1 :]
        chance = response[:, fixed:].square().mean(1, keepdim=True).sqrt()
        missing = site.singular_values.new_full((len(loss), 2), torch.nan)
        arrays = {
            "singular_value": torch.cat([site.singular_values, missing], 1),
            "loss_change": torch.cat([loss[:, :fixed], loss[:, fixed:].mean(1, keepdim=True)], 1),
            "response": torch.cat([response[:, :fixed], chance], 1),
        }
        arrays["gamma"] = arrays["response"] / chance
        return {name: array.cpu() for name, array in arrays.items()}
