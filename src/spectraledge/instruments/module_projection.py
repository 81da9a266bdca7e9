"""How much of the commutator of a module lies in a subspace, outside of the laboratory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from spectraledge.block_basis import (
    BlockBasis,
    displacement_basis,
    gradient_basis,
    singular_basis,
    trajectory_basis,
)
from spectraledge.instruments.commutators import Commutator
from spectraledge.instruments.loss_closure import LossClosure
from spectraledge.instruments.loss_forms import loss_of_module
from spectraledge.instruments.module_brackets import flat_checkpoint, module_brackets
from spectraledge.instruments.plain_module import plain_module, under_own_names
from spectraledge.instruments.subspace_projection import SubspaceProjection
from spectraledge.instruments.trained_parameters import trained_parameters
from spectraledge.snapshots import Layout

__all__ = ["subspace_projection_of"]

OWNER = "subspace_projection_of"


def subspace_projection_of(
    model: nn.Module,
    loss: Callable[[Any, Any], Tensor],
    batches: Sequence[Any],
    instrument: SubspaceProjection | None = None,
    *,
    checkpoints: Iterable[Mapping[str, Tensor]] = (),
) -> dict[str, float | list[float]]:
    """Share of the commutators of batch pairs inside a few directions of each weight matrix.

    Definition: see `SubspaceProjection`, whose basis may be that of the current weights, of the
    gradient, or of a displacement or trajectory, here of the checkpoints that are given.

    Args:
        model: The module, in the mode to measure it in; it is not changed. Frozen parameters
            (``requires_grad`` False) are constants, and their matrices are not in the basis.
        loss: Maps the module and one batch to a scalar, as of `commutator_defect_of`.
        batches: At least two batches of anything; pairs that they cannot make are left out.
        instrument: Which basis, directions and matrices.
        checkpoints: State dictionaries, oldest first, for ``basis="trajectory"``; two or more.
            With those of the whole run it is the published basis, which knows the future. For
            ``basis="displacement"`` the first is W_0, and further ones are not read.

    Returns:
        The outputs of `SubspaceProjection`; lists along the dimension sweep.

    Raises:
        ValueError: For too few batches or checkpoints, checkpoints without a parameter of the
            model, a loss that is not a finite scalar, a model without parameters that train,
            without second derivatives, or with a part in it that no gradient passes, naming the
            module at fault.
        TypeError: For a loss of the output and the targets.

    Source: arXiv:2602.16746, with exact brackets.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        >>> batches = [(torch.randn(8, 3), torch.randn(8, 1)) for _ in range(4)]
        >>> loss = lambda model, batch: (model(batch[0]) - batch[1]).square().mean()
        >>> found = subspace_projection_of(model, loss, batches, SubspaceProjection(kinds=()))
        >>> 0 < found["share"] < 1
        True
    """
    instrument = instrument or SubspaceProjection()
    model = plain_module(model)
    layout, theta = trained_parameters(OWNER, model)
    closure = LossClosure(model, loss_of_module(OWNER, loss), OWNER, layout)
    pairs = module_brackets(OWNER, closure, theta, batches, instrument.pairs)
    states = (under_own_names(model, state) for state in checkpoints)
    basis = _basis(instrument, layout, theta, pairs, states)
    found = instrument.readings(torch.stack([pair.bracket for pair in pairs], 1), basis)
    return {name: array[0].tolist() for name, array in found.items()}


def _basis(
    instrument: SubspaceProjection,
    layout: Layout,
    theta: Tensor,
    pairs: Sequence[Commutator],
    checkpoints: Iterable[Mapping[str, Tensor]],
) -> BlockBasis:
    kinds, count = instrument.kinds, instrument.most
    if instrument.basis == "trajectory":
        return trajectory_basis(
            _flats(layout, theta, checkpoints, "a trajectory", 2), layout, kinds, count
        )
    if instrument.basis == "displacement":
        start = _flats(layout, theta, islice(checkpoints, 1), "a displacement", 1)[0]
        return displacement_basis(theta, start, layout, kinds, count)
    if instrument.basis == "gradient":
        gradients = [gradient for pair in pairs for gradient in pair.gradients]
        return gradient_basis(torch.stack(gradients, 1).mean(1), layout, kinds, count)
    return singular_basis(theta, layout, kinds, count)


def _flats(
    layout: Layout,
    theta: Tensor,
    checkpoints: Iterable[Mapping[str, Tensor]],
    what: str,
    least: int,
) -> list[Tensor]:
    found = [
        flat_checkpoint(OWNER, f"checkpoint {number}", layout, theta, state)
        for number, state in enumerate(checkpoints)
    ]
    if len(found) < least:
        few = "two checkpoints" if least == 2 else "one checkpoint"
        raise ValueError(
            f"{OWNER}: {what} needs {few} at least, got {len(found)}; pass checkpoints=, or "
            "another basis"
        )
    return found
