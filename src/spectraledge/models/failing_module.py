"""Which module of a model stands in the way of second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spectraledge.models.second_derivatives import twice_differentiable

__all__ = ["check_second_derivative", "explained_derivatives", "failing_module"]

# What torch's messages about derivatives say; others, as of wrong shapes, speak for themselves.
DERIVATIVE_WORDS = ("grad", "differentia", "derivative", "inplace", "in-place", "jvp", "vmap")
INFERENCE = "Inference tensors"
# What torch calls the node it puts in place of a derivative that does not exist.
BLOCK = "torch::autograd::Error"
IN_PLACE = "changes in place what its derivative needs; write the new value elsewhere"


@contextmanager
def explained_derivatives(
    owner: str, model: Callable[[], nn.Module], run: Callable[[nn.Module], object]
) -> Iterator[None]:
    """Turn torch's errors about derivatives into one that names the module at fault.

    Args:
        owner: Who asks, for the message.
        model: Gives the model, with values; called when something has failed.
        run: Runs it once.

    Yields:
        Nothing.

    Raises:
        ValueError: In place of a RuntimeError about derivatives in the block, or about tensors that
            were made in inference mode.
        RuntimeError: As it was, if it is about something else.
    """
    try:
        yield
    except RuntimeError as error:
        if INFERENCE in str(error):
            raise ValueError(
                f"{owner}: expected tensors that derivatives may go through, but a batch or a "
                "parameter was made in torch.inference_mode(); clone it outside"
            ) from error
        if not any(word in str(error) for word in DERIVATIVE_WORDS):
            raise
        whole = model()
        fault = failing_module(whole, lambda: run(whole))
        raise ValueError(
            f"{owner}: the loss has no second derivative here: {fault} ({error})"
        ) from error


def check_second_derivative(gradient: Tensor) -> None:
    """Raise if part of a gradient's graph is marked as not differentiable again.

    Asked for the derivative by some tensors, torch leaves such parts out without a word.

    Args:
        gradient: Made with ``create_graph=True``.

    Raises:
        RuntimeError: If a function in the graph is marked ``once_differentiable``.
    """
    seen: set[Any] = set()
    waiting = [gradient.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() == BLOCK:
            raise RuntimeError("a function in it is marked once_differentiable")
        waiting += [following for following, _ in node.next_functions]


@dataclass(frozen=True)
class _Call:
    """One call of a module: copies of its arguments, and whether it changed them."""

    name: str
    module: nn.Module
    inputs: tuple[Any, ...]
    named: dict[str, Any]
    changed: bool


def failing_module(model: nn.Module, run: Callable[[], object]) -> str:
    """Name what cannot be differentiated twice, after it has failed.

    Every call of a module is repeated by itself, inner ones first, and differentiated twice; the
    first to fail is to blame. If none fails alone, those that change their input in place are,
    since they destroy what another module saved for its derivative.

    Args:
        model: The model.
        run: Runs it once; may fail.

    Returns:
        A clause for a message: the module, its class, and what to do.
    """
    calls = _recorded(model, run)
    changed = [f"{c.name!r} ({type(c.module).__name__})" for c in calls if c.changed]
    for call in calls:
        problem = _fault(call)
        # What holds an in-place module fails with it, and is not to blame.
        if problem is not None and not (changed and problem == IN_PLACE):
            return f"module {call.name!r} ({type(call.module).__name__}) {problem}"
    if changed:
        return f"module {', '.join(changed)} changes its input in place; use inplace=False"
    return "no single module fails by itself, so look at the loss, and at what joins the modules"


def _recorded(model: nn.Module, run: Callable[[], object]) -> list[_Call]:
    """Calls in the order in which they end, so inner ones first."""
    names = {module: name or "the model itself" for name, module in model.named_modules()}
    begun: list[tuple[tuple[Any, ...], dict[str, Any], list[int]]] = []
    calls: list[_Call] = []

    def before(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        copies = {key: _copy(x) for key, x in named.items()}
        begun.append((tuple(map(_copy, inputs)), copies, _versions(inputs, named)))

    def after(
        module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: object
    ) -> None:
        copies, copied, versions = begun.pop()
        changed = _versions(inputs, named) != versions
        calls.append(_Call(names[module], module, copies, copied, changed))

    hooks = [m.register_forward_pre_hook(before, with_kwargs=True) for m in names]
    hooks += [m.register_forward_hook(after, with_kwargs=True) for m in names]
    buffers = {name: b.clone() for name, b in model.named_buffers()}
    try:
        with torch.enable_grad():
            run()
    except Exception:  # what ran until then is all there is to look at
        pass
    finally:
        for hook in hooks:
            hook.remove()
        for name, buffer in model.named_buffers():
            buffer.data.copy_(buffers[name])
    return calls


def _fault(call: _Call) -> str | None:
    arguments = [*call.inputs, *call.named.values()]
    inputs = [_copy(x).requires_grad_() if _floating(x) else x for x in arguments]
    leaves = [x for x in inputs if _floating(x)] + list(call.module.parameters())
    # A copy of each input goes in, since in-place changes of a leaf are forbidden.
    entering = [x.clone() if _floating(x) else x for x in inputs]
    positional = entering[: len(call.inputs)]
    named = dict(zip(call.named, entering[len(call.inputs) :]))
    if not leaves:
        return None
    try:
        with torch.enable_grad(), twice_differentiable():
            output = call.module(*positional, **named)
            if not _floating(output):
                return None
            if not output.requires_grad:
                return "cuts the gradient; leave out argmax, rounding, detach and no_grad"
            first = torch.autograd.grad(
                output.square().sum(), leaves, create_graph=True, allow_unused=True
            )
            for gradient in first:
                if gradient is not None:
                    check_second_derivative(gradient)
            total = sum(g.square().sum() for g in first if g is not None and g.requires_grad)
            if isinstance(total, Tensor):
                torch.autograd.grad(total, leaves, allow_unused=True)
    except RuntimeError as error:
        if "inplace" in str(error) or "in-place" in str(error):
            return IN_PLACE
        return f"cannot be differentiated twice: {str(error).splitlines()[0]}"
    return None


def _versions(inputs: tuple[Any, ...], named: dict[str, Any]) -> list[int]:
    return [x._version for x in (*inputs, *named.values()) if isinstance(x, Tensor)]


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value


def _floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
