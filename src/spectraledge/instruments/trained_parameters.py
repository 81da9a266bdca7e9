"""The parameters of a module that training changes, as one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spectraledge.snapshots import Layout

__all__ = ["trained_parameters"]


def trained_parameters(owner: str, model: nn.Module) -> tuple[Layout, Tensor]:
    """Layout and values of the parameters that require a gradient; frozen ones are left out.

    Args:
        owner: Who asks, for messages.
        model: The module.

    Returns:
        Names and shapes, and a copy of the values ``(1, P)``. Tied parameters appear once, under
        their first name.

    Raises:
        ValueError: For a module without parameters, or with frozen ones only; for parameters that
            are not of one real floating type on one device, or not initialised; inside
            ``torch.inference_mode()``.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
        >>> _ = model[0].requires_grad_(False)
        >>> layout, theta = trained_parameters("example", model)
        >>> layout.names, tuple(theta.shape)
        (('1.weight', '1.bias'), (1, 4))
    """
    if torch.is_inference_mode_enabled():
        raise ValueError(
            f"{owner}: expected to be called outside of torch.inference_mode(), which allows no "
            "derivatives; leave the block first"
        )
    every = dict(model.named_parameters())
    if not every:
        raise ValueError(
            f"{owner}: expected a model with parameters, got {type(model).__name__} without any"
        )
    trained = {name: p for name, p in every.items() if p.requires_grad}
    if not trained:
        raise ValueError(
            f"{owner}: expected a model with parameters that train, got {len(every)} frozen ones; "
            "call requires_grad_(True) on what is to be measured"
        )
    _check_alike(owner, trained)
    layout = Layout(tuple(trained), tuple(tuple(p.shape) for p in trained.values()))
    return layout, torch.cat([p.detach().reshape(-1) for p in trained.values()])[None]


def _check_alike(owner: str, trained: dict[str, nn.Parameter]) -> None:
    lazy = [n for n, p in trained.items() if isinstance(p, nn.parameter.UninitializedParameter)]
    if lazy:
        raise ValueError(
            f"{owner}: expected parameters with values, but {lazy[0]} has none yet; call the model "
            "on a batch first"
        )
    # One example of each type on each device.
    kinds = {f"{p.dtype} on {p.device}": name for name, p in trained.items()}
    if len(kinds) > 1 or not all(p.is_floating_point() for p in trained.values()):
        got = ", ".join(f"{kind} ({name})" for kind, name in kinds.items())
        raise ValueError(
            f"{owner}: expected parameters of one real floating type on one device, got {got}; "
            "convert the model, as by model.float(), or freeze what is not to be measured"
        )
