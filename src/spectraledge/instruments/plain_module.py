"""The module inside of wrappers, and states under the names that its parameters have."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

__all__ = ["plain_module", "under_own_names"]

COMPILED = "_orig_mod"


def plain_module(model: nn.Module) -> nn.Module:
    """The module that somebody wrote, out of `torch.compile` and data-parallel wrappers.

    Compiled forward passes have no second derivatives, and wrappers put their names before those
    of the parameters.

    Args:
        model: Any module.

    Returns:
        The module inside, with the same parameters; the module itself if nothing wraps it.
    """
    while True:
        if isinstance(model, DataParallel | DistributedDataParallel):
            model = model.module
        elif COMPILED in model._modules:
            model = model.get_submodule(COMPILED)
        else:
            return model


def under_own_names(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of a module with each parameter once, under its first name.

    State dicts name tied parameters several times, or under a later name alone, as files of
    safetensors do; they hold buffers, and wrappers of `torch.compile` show in their names.

    Args:
        model: The plain module.
        state: Tensors by name, all of the model's or some.

    Returns:
        The entries without buffers and aliases. Names that the model does not have stay, for those
        who refuse them.
    """
    first: dict[int, str] = {}
    own = {
        name: first.setdefault(id(parameter), name)
        for name, parameter in model.named_parameters(remove_duplicate=False)
    }
    buffers = {name for name, _ in model.named_buffers(remove_duplicate=False)}
    bare = {name.replace(f"{COMPILED}.", ""): values for name, values in state.items()}
    found: dict[str, Tensor] = {}
    for name, values in bare.items():
        if name not in buffers:
            found.setdefault(own.get(name, name), values)
    return found
