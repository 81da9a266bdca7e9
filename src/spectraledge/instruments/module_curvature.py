"""Curvature of the loss of a module that the laboratory did not train."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from spectraledge.instruments.curvature import check_numbers, curvature_along, ends_of
from spectraledge.instruments.loss_closure import LossClosure
from spectraledge.instruments.loss_forms import loss_of_output
from spectraledge.instruments.plain_module import plain_module, under_own_names
from spectraledge.instruments.trained_parameters import trained_parameters
from spectraledge.linalg.lanczos import lanczos
from spectraledge.snapshots import Layout

__all__ = ["curvature_of", "flat_directions"]


def flat_directions(
    owner: str, layout: Layout, directions: Sequence[Mapping[str, Tensor]]
) -> Tensor:
    """Directions given by parameter as rows ``(K, P)`` float64; what is left out is zero.

    Args:
        owner: Who asks, for messages.
        layout: Of the parameters.
        directions: Tensors by parameter name, of the parameters' shapes.

    Returns:
        The rows.

    Raises:
        ValueError: For names or shapes that the model does not have.
    """
    rows = torch.zeros(len(directions), layout.size, dtype=torch.float64)
    shapes = dict(zip(layout.names, layout.shapes))
    for row, direction in zip(rows, directions):
        for name, values in direction.items():
            if name not in shapes or tuple(values.shape) != shapes[name]:
                known = ", ".join(f"{n} {s}" for n, s in shapes.items())
                raise ValueError(
                    f"{owner}: expected directions by parameter, one of {known}; got {name} "
                    f"{tuple(values.shape)}"
                )
            row[layout.span(name)] = values.detach().double().flatten().cpu()
    return rows


def curvature_of(
    model: nn.Module,
    loss: Callable[..., Tensor],
    batch: tuple[Any, Any],
    *,
    eigenvalues: int = 3,
    iterations: int = 30,
    directions: Sequence[Mapping[str, Tensor]] = (),
    seed: int = 0,
) -> dict[str, list[float]]:
    """Extreme Hessian eigenvalues of any module, and the curvature along directions.

    Args:
        model: The module, in the mode to measure it in; its parameters are not changed. Frozen ones
            (``requires_grad`` False) are constants.
        loss: Maps the model's output and the targets to a scalar.
        batch: Inputs and targets.
        eigenvalues: How many at each end, >= 1.
        iterations: Hessian-vector products for them, >= eigenvalues.
        directions: Directions d of any length, tensors by parameter name; parameters that are left
            out do not move. E.g. the difference of two state dicts, whose buffers do not count.
        seed: Of the random start.

    Returns:
        ``largest`` and ``smallest`` eigenvalues, outermost first, with ``largest_residual`` and
        ``smallest_residual``, the distance within which some eigenvalue lies, rounding in the
        type of the parameters included; ``gradient``, the one curvature ``gᵀHg/gᵀg``; and
        ``directions``, one ``dᵀHd/dᵀd`` for each.

    Raises:
        ValueError: If fewer iterations than eigenvalues are asked for, for a loss that is not a
            finite scalar, directions of no parameter that trains, or a model without such
            parameters, without second derivatives, or with a part in it that no gradient passes,
            naming the module at fault.
        TypeError: For a loss of the module and the batch.

    Example:
        >>> model = nn.Linear(2, 1, bias=False)
        >>> x, y = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.zeros(2, 1)
        >>> along = [{"weight": torch.tensor([[0.0, 3.0]])}]
        >>> found = curvature_of(
        ...     model, nn.functional.mse_loss, (x, y), eigenvalues=1, directions=along
        ... )
        >>> [round(value, 5) for value in found["largest"] + found["smallest"]]
        [4.0, 1.0]
        >>> round(found["directions"][0], 5)
        1.0
    """
    owner = "curvature_of"
    check_numbers(owner, eigenvalues, iterations)
    model = plain_module(model)
    layout, theta = trained_parameters(owner, model)
    closure = LossClosure(model, loss_of_output(owner, loss), owner, layout)
    rows = flat_directions(owner, layout, [_movable(model, d) for d in directions]).to(theta.device)

    def product(vectors: Tensor) -> Tensor:
        several = vectors.to(theta.dtype).view(1, -1, theta.shape[1])
        return closure.hessian_vector(theta, batch, None, several).double().view_as(vectors)

    gradient = closure.gradient(theta, batch, None)[0].double()
    ritz = lanczos(
        product, layout.size, seeds=(seed,), iterations=iterations, precision=theta.dtype
    )
    along = curvature_along(product, torch.cat([gradient, rows])[None])
    arrays = ends_of(ritz, eigenvalues) | {"gradient": along[:, :1], "directions": along[:, 1:]}
    return {name: array[0].tolist() for name, array in arrays.items()}


def _movable(model: nn.Module, direction: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A direction without buffers, and zeros of frozen parameters, that state dicts have."""
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    named = under_own_names(model, direction).items()
    return {n: d for n, d in named if n not in frozen or bool(d.any())}
