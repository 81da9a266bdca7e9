"""Whether a module moved along its commutators, outside of the laboratory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite, nan
from typing import Any

import torch
from torch import Tensor, nn

from spectraledge.instruments.curvature_alignment import VARIANTS, CurvatureAlignment
from spectraledge.instruments.loss_closure import LossClosure
from spectraledge.instruments.loss_forms import loss_of_module
from spectraledge.instruments.module_brackets import flat_checkpoint, module_brackets
from spectraledge.instruments.plain_module import plain_module, under_own_names
from spectraledge.instruments.trained_parameters import trained_parameters

__all__ = ["curvature_alignment_of"]

OWNER = "curvature_alignment_of"


def curvature_alignment_of(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor],
    batches: Sequence[Any],
    before: Mapping[str, Tensor],
    instrument: CurvatureAlignment | None = None,
    *,
    decayed: float | None = None,
) -> dict[str, dict[str, float]]:
    """Alignment of what a module moved since a checkpoint with the commutators where it is now.

    Definition: see `CurvatureAlignment`. Where the checkpoint is one of several steps ago, what
    weight decay did is taken as ``(r - 1) theta_before``, r the fraction that decay alone would
    leave; exact for one step, and up to the movement within the interval for more.

    Args:
        model: The module, in the mode to measure it in; it is not changed. Frozen parameters
            (``requires_grad`` False) are constants and do not count among the P dimensions.
        loss: Maps the module and one batch to a scalar, as of `commutator_defect_of`.
        batches: At least two batches of anything; pairs that they cannot make are left out.
        before: State dictionary of an earlier step.
        instrument: Pairs, and which matrices count as attention.
        decayed: r, e.g. ``(1 - lr * weight_decay) ** steps``, between 0 and 1; 1 without decay.
            None leaves the variants without decay NaN.

    Returns:
        The outputs of `CurvatureAlignment`, each by variant: ``all``, ``without_decay``,
        ``attention`` and ``attention_without_decay``.

    Raises:
        ValueError: For too few batches, a checkpoint of another model, `decayed` out of range, a
            model without the matrices asked for, a loss that is not a finite scalar, a model
            without parameters that train, without second derivatives, or with a part in it that no
            gradient passes, naming the module at fault.
        TypeError: For a loss of the output and the targets.

    Source: arXiv:2602.16746, converse analysis, with exact brackets.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        >>> batches = [(torch.randn(8, 3), torch.randn(8, 1)) for _ in range(4)]
        >>> loss = lambda model, batch: (model(batch[0]) - batch[1]).square().mean()
        >>> before = {name: 1.01 * values for name, values in model.state_dict().items()}
        >>> matrices = CurvatureAlignment(kinds=())
        >>> found = curvature_alignment_of(model, loss, batches, before, matrices, decayed=1.0)
        >>> found["mean_cosine"]["all"] == found["mean_cosine"]["without_decay"]
        True
    """
    if decayed is not None and not (isfinite(decayed) and 0 <= decayed <= 1):
        raise ValueError(
            f"{OWNER}: expected decayed, the fraction that decay leaves, between 0 and 1 or None, "
            f"got {decayed}"
        )
    instrument = instrument or CurvatureAlignment()
    model = plain_module(model)
    layout, theta = trained_parameters(OWNER, model)
    closure = LossClosure(model, loss_of_module(OWNER, loss), OWNER, layout)
    start = flat_checkpoint(OWNER, "before", layout, theta, under_own_names(model, before)).double()
    moved = theta.double() - start
    learned = moved + (1 - (nan if decayed is None else decayed)) * start
    pairs = module_brackets(OWNER, closure, theta, batches, instrument.pairs)
    brackets = torch.stack([pair.bracket for pair in pairs], 1)
    found = instrument.readings(moved, learned, brackets, layout)
    return {name: dict(zip(VARIANTS, array[0].tolist())) for name, array in found.items()}
