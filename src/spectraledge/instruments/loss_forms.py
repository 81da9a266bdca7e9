"""The two forms of a loss that a caller may give, and what to say of the wrong one."""

from __future__ import annotations

from collections.abc import Callable
from traceback import walk_tb
from typing import Any

from torch import Tensor, nn

__all__ = ["loss_of_module", "loss_of_output"]

Loss = Callable[[Any, Any], Tensor]
# What Python says when something else is given than a function expects.
MISTAKEN = (TypeError, AttributeError)


def loss_of_module(owner: str, loss: Loss) -> Loss:
    """A loss ``loss(model, batch)`` that says so where it cannot be called like this.

    Args:
        owner: Who asks, for the message.
        loss: Maps the module and one batch to a scalar.

    Returns:
        The same function. It raises TypeError for a `loss` that fails before the module is called
        or afterwards, as one of the output and the targets does.
    """

    def checked(model: nn.Module, batch: Any) -> Tensor:
        try:
            return loss(model, batch)
        except MISTAKEN as error:
            if _raised_inside(model, error):
                raise
            raise TypeError(
                f"{owner}: expected a loss of the module and one batch, such as lambda model, "
                "batch: cross_entropy(model(batch[0]), batch[1]), but calling it like that failed: "
                f"{error}"
            ) from error

    return checked


def loss_of_output(owner: str, loss: Callable[..., Tensor]) -> Loss:
    """A loss ``loss(output, targets)`` as one of the module and a pair of inputs and targets.

    Args:
        owner: Who asks, for the message.
        loss: Maps the module's output and the targets to a scalar.

    Returns:
        A function of the module and the pair. It raises TypeError for a `loss` that cannot be
        called like that, as one of the module cannot.
    """

    def checked(model: nn.Module, batch: tuple[Any, Any]) -> Tensor:
        inputs, targets = batch
        output = model(inputs)
        try:
            return loss(output, targets)
        except MISTAKEN as error:
            raise TypeError(
                f"{owner}: expected a loss of the module's output and the targets, such as "
                "torch.nn.functional.mse_loss, but calling it like that failed: "
                f"{error}; the module is called before the loss, not by it"
            ) from error

    return checked


def _raised_inside(model: nn.Module, error: BaseException) -> bool:
    """Whether an error comes from a forward pass of the model, not from around it."""
    modules = {id(module) for module in model.modules()}
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    return any(id(frame.f_locals.get("self")) in modules for frame in frames)
