"""What the submodules of any PyTorch model return, and where its attention looks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float64
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from spectraledge.names import check_name
from spectraledge.snapshots import Layout

__all__ = [
    "AttentionPattern",
    "attention_of",
    "block_names",
    "probed_modules",
    "representations_of",
]

INPUT = ":input"
BLOCK = re.compile(r"(?:[^.0-9][^.]*\.)*[0-9]+(?=\.)")
SOFTMAXES = (torch.softmax, Tensor.softmax, F.softmax)


def representations_of(
    model: nn.Module,
    inputs: Tensor | tuple[Any, ...],
    modules: Sequence[str],
    *,
    parameters: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Outputs of named submodules in one forward pass.

    Args:
        model: Any module; it is not changed. If it has a ``naive_forward``, as our models that
            save work at positions nobody reads, that one runs.
        inputs: One batch: a tensor, or a tuple of positional arguments.
        modules: Names as in ``model.named_modules()``; ``""`` for the model itself, and with
            ``:input`` behind it for what goes into a module, e.g. ``blocks.0:input``.
        parameters: Parameters and buffers to run at, by name, in any precision; those that are
            left out are the model's own.

    Returns:
        What each module returned in its last call, detached; of a tuple the first entry.

    Raises:
        ValueError: For unknown names (the message lists the known ones), modules that were not
            called as modules, or outputs that are no tensor.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
        >>> found = representations_of(model, torch.ones(5, 3), ["0", "1:input", ""])
        >>> [tuple(x.shape) for x in found.values()], bool((found[""] >= 0).all())
        ([(5, 2), (5, 2), (5, 2)], True)
    """
    known = dict(model.named_modules())
    found: dict[str, Tensor] = {}
    hooks = []
    try:
        for name in modules:
            own = name.removesuffix(INPUT)
            if own:
                check_name("module", own, tuple(filter(None, known)))
            # The model itself may run by another method, which calls no hook of it.
            if name:
                hooks.append(_hooked(known[own], name, found))
        whole = _run(model, inputs, parameters)
    finally:
        for hook in hooks:
            hook.remove()
    if "" in modules:
        found[""] = _tensor("", whole)
    for name in modules:
        if name not in found:
            raise ValueError(
                f"module {name!r} was not called in the forward pass; name a module that is "
                "called, such as the block that holds it"
            )
    return {name: found[name] for name in modules}


def _hooked(module: nn.Module, name: str, found: dict[str, Tensor]) -> Any:
    if name.endswith(INPUT):

        def before(_: nn.Module, arguments: tuple[Any, ...]) -> None:
            found[name] = _tensor(name, arguments)

        return module.register_forward_pre_hook(before)

    def after(_: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        found[name] = _tensor(name, output)

    return module.register_forward_hook(after)


def _tensor(name: str, value: Any) -> Tensor:
    first = value[0] if isinstance(value, (tuple, list)) and value else value
    if not isinstance(first, Tensor):
        raise ValueError(
            f"module {name!r}: expected a tensor or a tuple that begins with one, got "
            f"{type(first).__name__}; name a module inside it"
        )
    return first.detach()


class _Whole(nn.Module):
    """A model in which every module is called, at every position."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Any) -> Any:
        return getattr(self.model, "naive_forward", self.model)(*inputs)


@torch.no_grad()
def _run(model: nn.Module, inputs: Any, parameters: Mapping[str, Tensor] | None) -> Any:
    given = {f"model.{name}": value for name, value in (parameters or {}).items()}
    return functional_call(_Whole(model), given, inputs if isinstance(inputs, tuple) else (inputs,))


def block_names(layout: Layout) -> tuple[str, ...]:
    """Modules that are one of several in a list, such as ``blocks.0``, in parameter order.

    Args:
        layout: Names of a model's parameters.

    Returns:
        The outermost numbered modules; may be empty.

    Example:
        >>> block_names(Layout(("emb", "h.0.a.weight", "h.0.a.bias", "h.1.0.b"), ((1,),) * 4))
        ('h.0', 'h.1')
    """
    found = (BLOCK.match(name) for name in layout.names)
    return tuple(dict.fromkeys(match[0] for match in found if match))


def probed_modules(owner: str, named: Sequence[str], layout: Layout) -> tuple[str, ...]:
    """The modules that an instrument looks at: those that it names, else every block.

    Args:
        owner: The instrument, for the message.
        named: Names, or none.
        layout: Names of a model's parameters.

    Returns:
        At least one name.

    Raises:
        ValueError: If none is named and the model has no `block_names`.
    """
    found = tuple(named) or block_names(layout)
    if not found:
        holders = dict.fromkeys(name.rpartition(".")[0] for name in layout.names)
        raise ValueError(
            f"{owner}: expected modules by name, since the model has no numbered blocks such as "
            f"'blocks.0'; pass names of model.named_modules(), of which {', '.join(holders)} "
            "hold parameters"
        )
    return found


@dataclass(frozen=True, eq=False)
class AttentionPattern:
    """One softmax over keys of a forward pass.

    Args:
        weights: Of every head, rows sum to one.
        seen: Which keys a query may look at.
    """

    weights: Float64[Tensor, "B H Q K"]
    seen: Bool[Tensor, "B Q K"]


def attention_of(
    model: nn.Module,
    inputs: Tensor | tuple[Any, ...],
    *,
    parameters: Mapping[str, Tensor] | None = None,
) -> list[AttentionPattern]:
    """The attention weights that a model uses in one forward pass, in the order of its layers.

    Read from the scores themselves at the softmax, or from the queries and keys that reach
    ``scaled_dot_product_attention``; so masks, norms of queries and the residual stream are those
    of the model.

    Args:
        model: Any module; see `representations_of`.
        inputs: One batch.
        parameters: Parameters to run at.

    Returns:
        A pattern a call, with softmaxes in float64; a softmax over fewer than four axes, as of a
        head or a router, is none.

    Source: the published script for SCAN recomputes cross-attention from the residual stream before
    self-attention and from memory without its norm, which no query or key of the model is.
    """
    recorder = _Recorder()
    # Fused kernels of torch's own layers would take no softmax that can be seen.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with recorder:
            _run(model, inputs, parameters)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return recorder.patterns


class _Recorder(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.patterns: list[AttentionPattern] = []

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func in SOFTMAXES and args and args[0].ndim == 4:
            self.patterns.append(_of_scores(args[0], named.get("dim", (*args, -1)[1])))
        elif func is F.scaled_dot_product_attention:
            self.patterns.append(_of_scores(_scores(*args, **named), -1))
        elif func is F.multi_head_attention_forward:
            return self._torch_attention(args, named)
        return func(*args, **named)

    def _torch_attention(self, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Torch's own attention, whose inner calls no mode sees; it gives weights if asked."""
        asked = named | {"need_weights": True, "average_attn_weights": False}
        output, weights = F.multi_head_attention_forward(*args, **asked)
        assert weights is not None
        whole = weights.detach().double() if weights.ndim == 4 else weights.detach().double()[None]
        # Its masks are not seen; what they leave out weighs exactly nothing.
        self.patterns.append(AttentionPattern(whole, (whole > 0).any(1)))
        if not named.get("need_weights", True):
            return output, None
        return output, weights.mean(-3) if named.get("average_attn_weights", True) else weights


def _of_scores(scores: Tensor, dim: int) -> AttentionPattern:
    # Short sequences keep heads last: (B, Q, K, H).
    score = scores if dim in (-1, 3) else scores.movedim(-1, 1)
    score = score.detach().double()
    return AttentionPattern(score.softmax(-1), (score > -torch.inf).any(1))


def _scores(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    **other: Any,
) -> Tensor:
    score = query.double() @ key.double().mT * (scale or query.shape[-1] ** -0.5)
    if is_causal:
        attn_mask = torch.ones(score.shape[-2:], dtype=torch.bool, device=score.device).tril()
    if attn_mask is None:
        return score
    if attn_mask.dtype == torch.bool:
        return score.masked_fill(~attn_mask, -torch.inf)
    return score + attn_mask
