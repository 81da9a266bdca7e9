"""Any module as a function from tokens to logits that leaves the module as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

__all__ = ["EvaluatedModule"]


class EvaluatedModule(nn.Module):
    """A live module under the names that it has, evaluated without dropout and without a trace.

    Parameters and submodules are those of the module, so that `functional_call` puts others in
    their place and hooks of submodules are called. In a call every submodule is in eval mode, and
    buffers are copies. Where parameters are float64, so is everything else, as masks that are made
    on the way. Afterwards all is as it was, attributes that the module sets for itself included.

    Args:
        model: The module; not copied, and free to be trained.
        forward: Makes logits from the module and tokens ``(B, T)``; None calls it on the tokens.
        read_out_position: Position that the model reads where a row has one label.
    """

    def __init__(
        self,
        model: nn.Module,
        forward: Callable[[nn.Module, Tensor], Any] | None = None,
        read_out_position: int = -1,
    ) -> None:
        super().__init__()
        # The same dictionaries: what stands in for a parameter here does so in the module.
        self._parameters, self._buffers = model._parameters, model._buffers
        self._modules = model._modules
        self.read_out_position = read_out_position
        self._logits = partial(_evaluated, model, forward or _called)
        if forward is None and hasattr(model, "naive_forward"):
            # Our own models save work at positions that nobody reads, unless asked not to.
            self.naive_forward = partial(_evaluated, model, _called_naively)

    def forward(self, tokens: Tensor) -> Any:
        """What the module makes of tokens ``(B, T)``."""
        return self._logits(tokens)


def _evaluated(
    model: nn.Module, forward: Callable[[nn.Module, Tensor], Any], tokens: Tensor
) -> Any:
    precise = next(model.parameters()).dtype == torch.float64
    buffers = {f"model.{name}": buffer.clone() for name, buffer in model.named_buffers()}
    if precise:
        buffers = {name: _in_double(buffer) for name, buffer in buffers.items()}
    with _eval_mode(model), _Double() if precise else nullcontext():
        return functional_call(_Call(model, forward), buffers, (tokens,))


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards modules have the attributes of before, and no others."""
    before = [(module.__dict__, dict(module.__dict__)) for module in model.modules()]
    try:
        for attributes, _ in before:
            # Not by eval(), which some modules override, as adapters that then merge their weights.
            attributes["training"] = False
        yield
    finally:
        for attributes, kept in before:
            attributes.clear()
            attributes.update(kept)


class _Double(TorchFunctionMode):
    """Results in a lower precision, of constants and casts in somebody's code, are widened."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        arguments: Sequence[Any] = (),
        named: Mapping[str, Any] | None = None,
    ) -> Any:
        return tree_map(_in_double, function(*arguments, **(named or {})))


def _in_double(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


class _Call(nn.Module):
    """A call of a module as a module, for `functional_call` to take copies of its buffers."""

    def __init__(self, model: nn.Module, forward: Callable[[nn.Module, Tensor], Any]) -> None:
        super().__init__()
        self.model = model
        self.call = forward

    def forward(self, tokens: Tensor) -> Any:
        return self.call(self.model, tokens)


def _called(model: nn.Module, tokens: Tensor) -> Any:
    return model(tokens)


def _called_naively(model: Any, tokens: Tensor) -> Any:
    return model.naive_forward(tokens)
