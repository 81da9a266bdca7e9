"""Numbers of many batch pairs in a few: medians, quartiles, an interval without a distribution."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import comb

import torch
from torch import Tensor

from spectraledge.instruments.base import Output
from spectraledge.instruments.commutators import Commutator
from spectraledge.matrices import parameter_roles
from spectraledge.snapshots import Layout

__all__ = ["OUTPUTS", "attention_columns", "median_interval", "median_ranks", "summary"]

PAIR = ("pair",)
OUTPUTS: dict[str, Output] = {
    "defect": Output("‖L‖ / (‖g_A‖ ‖g_B‖), L = H_B g_A − H_A g_B; median", "1/loss"),
    "defect_lower": Output("lower end of the interval of the median", "1/loss"),
    "defect_upper": Output("upper end of the interval of the median", "1/loss"),
    "coverage": Output("coverage of that interval for independent pairs"),
    "defect_quartile_1": Output("first quartile over pairs", "1/loss"),
    "defect_quartile_3": Output("third quartile over pairs", "1/loss"),
    "defect_floor": Output("what rounding alone gives the defect; median", "1/loss"),
    "relative_defect": Output("‖L‖ / (½ (‖H_B g_A‖ + ‖H_A g_B‖)), in [0, 2]; median"),
    "bracket_norm": Output("‖L‖; median", "loss²/weight³"),
    "rounding_floor": Output("what rounding alone gives ‖L‖; median", "loss²/weight³"),
    "gradient_norm": Output("(‖g_A‖ ‖g_B‖)^½; median", "loss/weight"),
    "gradient_cosine": Output("cosine of g_A and g_B; median"),
    "bracket_cosine": Output("cosine of L and g_A; median"),
    "attention_fraction": Output("share of ‖L‖ in attention weights and biases; median"),
    "pair_defect": Output("the defect of every pair", "1/loss", PAIR),
    "pair_bracket_norm": Output("‖L‖ of every pair", "loss²/weight³", PAIR),
    "pair_rounding_floor": Output("what rounding alone gives each ‖L‖", "loss²/weight³", PAIR),
    "pair_first_norm": Output("‖g_A‖ of every pair", "loss/weight", PAIR),
    "pair_second_norm": Output("‖g_B‖ of every pair", "loss/weight", PAIR),
}
ATTENTION = frozenset({"query", "key", "value", "attention_output", "fused_qkv"})


def attention_columns(layout: Layout) -> Tensor:
    """Which entries of a flat vector belong to attention weights or their biases, ``(P,)`` bool."""
    tensors = {n: torch.empty(s, device="meta") for n, s in zip(layout.names, layout.shapes)}
    roles = parameter_roles(tensors)
    weights = {name for name, role in roles.items() if role.kind in ATTENTION}
    # A bias is named after its weight: ``output.bias``, or ``in_proj_bias`` in torch's own module.
    biases = {
        name
        for name, role in roles.items()
        if role.kind == "bias" and name.removesuffix("bias") + "weight" in weights
    }
    return layout.mask(sorted(weights | biases))


def median_ranks(count: int, confidence: float = 0.95) -> tuple[int, float]:
    """Order statistics that enclose the median of any continuous distribution.

    Args:
        count: Number n of independent values, >= 1.
        confidence: Coverage to reach, in (0, 1).

    Returns:
        k, for the interval from the k-th smallest to the k-th largest value, and its coverage
        ``1 − 2 P(Bin(n, ½) < k)``; the largest k that reaches the confidence, or 1 if none does.

    Example:
        >>> median_ranks(9)
        (2, 0.9609375)
        >>> median_ranks(5)
        (1, 0.9375)
    """
    outside, rank, coverage = 0.0, 1, 1 - 2 * 0.5**count
    for k in range(1, (count + 1) // 2 + 1):
        outside += 2 * comb(count, k - 1) * 0.5**count
        if 1 - outside < confidence:
            break
        rank, coverage = k, 1 - outside
    return rank, coverage


def median_interval(values: Tensor, confidence: float = 0.95) -> tuple[Tensor, Tensor, float]:
    """Lower and upper end of `median_ranks` of ``(R, n)`` values, each ``(R,)``, and coverage."""
    rank, coverage = median_ranks(values.shape[1], confidence)
    broken = values.isnan().any(1)
    ordered = values.sort(1).values.masked_fill(broken.unsqueeze(1), torch.nan)
    return ordered[:, rank - 1], ordered[:, -rank], coverage


def summary(pairs: Iterable[Commutator], attention: Tensor) -> dict[str, Tensor]:
    """All of `OUTPUTS` for the brackets of some pairs of R runs.

    Args:
        pairs: Consumed one at a time, so that one bracket is in memory.
        attention: ``(P,)`` from `attention_columns`.

    Returns:
        Arrays ``(R,)`` and ``(R, pairs)`` float64 on the CPU. NaN where a gradient is zero in some
        pair; the fraction also where there is no attention.
    """
    rows = [pair.numbers() | _fraction(pair.bracket, attention) for pair in pairs]
    every = {name: torch.stack([row[name] for row in rows], 1) for name in rows[0]}
    defect = every["defect"]
    lower, upper, coverage = median_interval(defect)
    quartiles = defect.quantile(defect.new_tensor([0.25, 0.75]), dim=1)
    medians = {
        name: every[name].quantile(0.5, dim=1)
        for name in (
            "defect", "relative_defect", "bracket_norm", "rounding_floor", "defect_floor",
            "gradient_cosine", "bracket_cosine", "attention_fraction",
        )
    }  # fmt: skip
    lengths = (every["first_norm"] * every["second_norm"]).sqrt()
    pairwise = ("defect", "bracket_norm", "rounding_floor", "first_norm", "second_norm")
    arrays: Mapping[str, Tensor] = {
        **medians,
        "defect_lower": lower,
        "defect_upper": upper,
        "coverage": torch.full_like(lower, coverage),
        "defect_quartile_1": quartiles[0],
        "defect_quartile_3": quartiles[1],
        "gradient_norm": lengths.quantile(0.5, dim=1),
        **{f"pair_{name}": every[name] for name in pairwise},
    }
    return {name: arrays[name].cpu() for name in OUTPUTS}


def _fraction(bracket: Tensor, attention: Tensor) -> dict[str, Tensor]:
    if not bool(attention.any()):
        return {"attention_fraction": bracket.new_full((len(bracket),), torch.nan)}
    # Masked by a product: gathering the columns takes ten times as long.
    inside = (bracket * attention.to(bracket)).norm(dim=1)
    return {"attention_fraction": inside / bracket.norm(dim=1)}
