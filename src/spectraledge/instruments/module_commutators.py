"""The commutator defect of a module that the laboratory did not train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from spectraledge.instruments.batch_pairs import batch_pairs
from spectraledge.instruments.commutator_summary import attention_columns, summary
from spectraledge.instruments.commutators import commutators
from spectraledge.instruments.loss_closure import LossClosure
from spectraledge.instruments.loss_forms import loss_of_module
from spectraledge.instruments.plain_module import plain_module
from spectraledge.instruments.trained_parameters import trained_parameters
from spectraledge.snapshots import Layout

__all__ = ["DefectReading", "commutator_defect_of"]


@dataclass(frozen=True)
class DefectReading:
    """The commutator defect at one point; medians over batch pairs unless said otherwise.

    Args:
        defect: ``‖L‖ / (‖g_A‖ ‖g_B‖)``; NaN if a gradient is zero.
        interval: Interval of its median, by order statistics.
        coverage: Coverage of the interval for independent pairs.
        quartiles: First and third quartile of the defect.
        percentile_90: What the defect of nine pairs in ten does not exceed.
        defect_floor: What rounding alone gives the defect; compare the defect with this.
        bracket_norm: ``‖L‖``.
        rounding_floor: What rounding alone gives ``‖L‖``.
        relative_defect: ``‖L‖ / (½ (‖H_B g_A‖ + ‖H_A g_B‖))``, in [0, 2].
        gradient_norm: ``(‖g_A‖ ‖g_B‖)^½``.
        gradient_cosine: Cosine of g_A and g_B.
        bracket_cosine: Cosine of L and g_A.
        attention_fraction: Share of ‖L‖ in attention parameters; NaN without attention.
        pair_defects: The defect of every pair.
        pair_bracket_norms: ``‖L‖`` of every pair.
        pair_gradient_norms: ``‖g_A‖`` and ``‖g_B‖`` of every pair.
    """

    defect: float
    interval: tuple[float, float]
    coverage: float
    quartiles: tuple[float, float]
    percentile_90: float
    defect_floor: float
    bracket_norm: float
    rounding_floor: float
    relative_defect: float
    gradient_norm: float
    gradient_cosine: float
    bracket_cosine: float
    attention_fraction: float
    pair_defects: tuple[float, ...]
    pair_bracket_norms: tuple[float, ...]
    pair_gradient_norms: tuple[tuple[float, float], ...]


def commutator_defect_of(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor],
    batches: Sequence[Any],
    *,
    pairs: int | None = None,
    method: str = "exact",
    eta: float = 1e-3,
) -> DefectReading:
    """Commutator defect of any module, by Hessian-vector products.

    Definition: see `commutators`. Attention runs with a kernel that has second derivatives and
    the choice of kernels is put back afterwards; parameters, buffers and gradients stay.

    Args:
        model: The module, in the mode to measure it in; dropout must be off. Frozen parameters
            (``requires_grad`` False) are constants.
        loss: Maps the module and one batch to a scalar, e.g.
            ``lambda model, batch: cross_entropy(model(batch[0]), batch[1])``.
        batches: At least two batches of anything.
        pairs: How many pairs of them; all if None.
        method: ``exact`` or one of the differences.
        eta: Step of the differences.

    Returns:
        The defect with what must be read beside it.

    Raises:
        ValueError: For too few batches, a loss that is not a finite scalar, a model without
            parameters that train, without second derivatives, or with a part in it that no gradient
            passes, naming the module at fault.
        TypeError: For a loss of the output and the targets.

    Cost: with M batches and all pairs, M gradients and M(M − 1) Hessian-vector products, each
    about three gradients.

    Source: arXiv:2602.16746; the exact form is derived here.

    Example:
        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Linear(3, 1)
        >>> batches = [(torch.randn(8, 3), torch.randn(8, 1)) for _ in range(3)]
        >>> loss = lambda model, batch: (model(batch[0]) - batch[1]).square().mean()
        >>> reading = commutator_defect_of(model, loss, batches)
        >>> reading.defect > reading.defect_floor, len(reading.pair_defects)
        (True, 3)
    """
    if len(batches) < 2:
        raise ValueError(
            f"commutator_defect_of: expected two batches at least, got {len(batches)}; the bracket "
            "is of the gradients of two"
        )
    most = len(batches) * (len(batches) - 1) // 2
    count = most if pairs is None else pairs
    if not 1 <= count <= most:
        raise ValueError(
            f"commutator_defect_of: expected 1 <= pairs <= {most}, all that {len(batches)} batches "
            f"make, got {count}; two batches make one pair"
        )
    model = plain_module(model)
    layout, theta = trained_parameters("commutator_defect_of", model)
    problem = LossClosure(
        model, loss_of_module("commutator_defect_of", loss), "commutator_defect_of", layout
    )
    found = commutators(
        problem,
        theta,
        [(batch, None) for batch in batches],
        batch_pairs(count),
        method=method,
        eta=eta,
    )
    whole = Layout.of(model)
    # By the names of all, since a bias is known by its weight, which may be frozen.
    attention = attention_columns(whole)[whole.mask(layout.names)]
    return _reading(summary(found, attention))


def _reading(arrays: dict[str, Tensor]) -> DefectReading:
    """What `summary` found of one run."""
    numbers = {name: array[0] for name, array in arrays.items() if array.ndim == 1}
    shared = {n: numbers[n].item() for n in DefectReading.__dataclass_fields__ if n in numbers}
    pairs = {name: array[0].tolist() for name, array in arrays.items() if array.ndim == 2}
    return DefectReading(
        interval=(numbers["defect_lower"].item(), numbers["defect_upper"].item()),
        quartiles=(numbers["defect_quartile_1"].item(), numbers["defect_quartile_3"].item()),
        percentile_90=arrays["pair_defect"][0].quantile(0.9).item(),
        pair_defects=tuple(pairs["pair_defect"]),
        pair_bracket_norms=tuple(pairs["pair_bracket_norm"]),
        pair_gradient_norms=tuple(zip(pairs["pair_first_norm"], pairs["pair_second_norm"])),
        **shared,
    )
