"""Where a gradient ends on its way from a loss to parameters, without a word from torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["cutting_module", "without_path"]

# What torch calls functions that are constant between jumps: their derivatives are zeros.
STEPS = ("Round", "Floor", "Ceil", "Trunc", "Sign", "Sgn")


def without_path(loss: Tensor, tensors: Mapping[str, Tensor]) -> list[str]:
    """Tensors that no derivative of a loss leads to, other than through rounding.

    Args:
        loss: A scalar; may have no graph.
        tensors: Views of a tensor that is differentiated by, by name.

    Returns:
        Names, in their order.
    """
    reached = _reached(loss)
    return [name for name, tensor in tensors.items() if tensor.grad_fn not in reached]


def cutting_module(model: nn.Module, run: Callable[[], Tensor], lost: list[str]) -> str:
    """Name what stands between a loss and parameters that it depends on.

    Args:
        model: The model.
        run: Runs it once, with parameters to differentiate by, and returns the loss.
        lost: Names of parameters that no derivative leads to.

    Returns:
        A clause for a message: the module, its class, and what to do.
    """
    calls, loss = _recorded(model, run)
    reached = _reached(loss)
    for call in calls:
        if call.holds_parameters and not call.enabled:
            return f"{call.label} is called under no_grad"
        blocked = call.entering - reached
        ends = call.has_output and not call.leaving and (blocked or call.holds_parameters)
        if ends or (blocked and call.leaving & reached):
            return f"{call.label} cuts the gradient; leave out argmax, rounding, detach and no_grad"
    for call in calls:
        inside = any(name.startswith(f"{call.name}.") or not call.name for name in lost)
        if inside and call.leaving & reached:
            return (
                f"{call.label} cuts the gradient between the modules that it calls; leave out "
                "detach, numpy and no_grad in its forward"
            )
    return "the loss function cuts the gradient; leave out detach, numpy and no_grad in it"


@dataclass(frozen=True)
class _Call:
    """One call of a module, and the nodes of the graph on both sides of it.

    Args:
        name: Of the module; empty for the model itself.
        kind: Its class.
        entering: Nodes that made its inputs.
        leaving: Nodes that made its outputs.
        has_output: Whether tensors came out.
        holds_parameters: Whether something in it is differentiated by.
        enabled: Whether torch was to keep a graph.
    """

    name: str
    kind: str
    entering: frozenset[Any]
    leaving: frozenset[Any]
    has_output: bool
    holds_parameters: bool
    enabled: bool

    @property
    def label(self) -> str:
        """Name and class, for messages."""
        return f"module {self.name or 'the model itself'!r} ({self.kind})"


def _recorded(model: nn.Module, run: Callable[[], Tensor]) -> tuple[list[_Call], Tensor]:
    """Calls in the order in which they end, so inner ones first, and what `run` returns."""
    calls: list[_Call] = []

    def after(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, named: Any, output: Any) -> None:
            held = any(p.requires_grad for p in module.parameters())
            sides = _nodes((inputs, named)), _nodes(output)
            some = any(True for _ in _tensors(output))
            enabled = torch.is_grad_enabled()
            calls.append(_Call(name, type(module).__name__, *sides, some, held, enabled))

        return hook

    hooks = [
        m.register_forward_hook(after(name), with_kwargs=True) for name, m in model.named_modules()
    ]
    try:
        loss = run()
    finally:
        for hook in hooks:
            hook.remove()
    return calls, loss


def _tensors(value: Any) -> Iterator[Tensor]:
    """Tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _tensors(each)


def _nodes(value: Any) -> frozenset[Any]:
    return frozenset(t.grad_fn for t in _tensors(value) if t.grad_fn is not None)


def _reached(loss: Tensor) -> set[Any]:
    """Nodes of the graph of a loss, but not what lies behind rounding only."""
    seen: set[Any] = set()
    waiting = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name().rstrip("0123456789").removesuffix("Backward") not in STEPS:
            waiting += [following for following, _ in node.next_functions]
    return seen
