"""Which parameters the function of a model does not notice being rescaled.

The finite change of scale decides; a gradient orthogonal to the parameter does not, since in high
dimensions every gradient nearly is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from spectraledge.decay.blocks import BlockSpec, automatic_blocks
from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.plain_module import plain_module
from spectraledge.matrices import parameter_roles
from spectraledge.names import check_name
from spectraledge.snapshots import Layout

__all__ = ["ScaleInvariance", "ScaleTest", "scale_deviation", "scale_invariance_of"]

SALT = "scale_invariance"


def scale_deviation(
    logits: Callable[[Sequence[str], float], Tensor],
    groups: Mapping[str, Sequence[str]],
    scales: Sequence[float] = (0.5, 2.0),
) -> Tensor:
    """Largest relative change of the logits when a group of parameters is rescaled.

    Definition: ``max_a max|f(a W) - f(W)| / (max|f(W)| + 1e-12)``. With powers of two it is exactly
    zero for an exactly invariant group, since they change no mantissa.

    Args:
        logits: Maps names of parameters and a factor on them to logits ``(R, ...)``.
        groups: Names of the parameters to rescale together, by name of the group.
        scales: Factors a.

    Returns:
        ``(R, groups)`` float64, >= 0; NaN where logits are.
    """
    reference = logits((), 1.0).double().flatten(1)
    size = reference.abs().amax(1) + 1e-12

    def deviation(names: Sequence[str], scale: float) -> Tensor:
        changed = logits(names, scale).double().flatten(1)
        return (changed - reference).abs().amax(1) / size

    rows = [torch.stack([deviation(g, a) for a in scales]).amax(0) for g in groups.values()]
    return torch.stack(rows, dim=1)


@dataclass(frozen=True)
class ScaleTest:
    """Verdict on one parameter or group.

    Args:
        deviation: Largest relative change of the outputs, >= 0.
        invariant: Whether it is below the tolerance; None if all entries are zero, which no
            factor changes.
    """

    deviation: float
    invariant: bool | None


def scale_invariance_of(
    model: nn.Module,
    inputs: Tensor | tuple[Any, ...] | Mapping[str, Any],
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    scales: Sequence[float] = (0.5, 2.0),
    tolerance: float = 1e-5,
) -> dict[str, ScaleTest]:
    """Which parameters of any module can be rescaled without changing its outputs.

    Definition: see `scale_deviation`. Low-rank decay's scale-equivariant mode is made for these.

    Args:
        model: Returns a tensor, or an object with ``logits``; deterministic (call ``eval()``).
        inputs: One batch: a tensor, a tuple of arguments, or named arguments.
        groups: Parameters to rescale together, by name, e.g. everything that writes to the
            residual stream; by default each parameter by itself, and of a fused projection also
            ``name[query]``, ``name[key]`` and ``name[value]``.
        scales: Positive factors.
        tolerance: Largest deviation that counts as none; 1e-5 suits float32.

    Returns:
        A `ScaleTest` for every group.

    Raises:
        ValueError: If two forward passes differ, a group names an unknown parameter, or scales
            or tolerance are out of range.

    Cost: ``2 + len(groups) len(scales)`` forward passes.

    Source: arXiv:2606.04405 assumes invariance; the test is derived here.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3, bias=False), nn.LayerNorm(3, eps=0.0))
        >>> tests = scale_invariance_of(model, torch.randn(5, 4))
        >>> {name: test.invariant for name, test in tests.items()}
        {'0.weight': True, '1.weight': False, '1.bias': None}
    """
    _check_numbers("scale_invariance_of", scales, tolerance)
    model = plain_module(model)
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    pieces = _pieces(model, parameters)
    chosen = {name: (name,) for name in pieces} if groups is None else dict(groups)
    for name in (name for group in chosen.values() for name in group):
        check_name("parameter", name, tuple(pieces))

    def logits(names: Sequence[str], scale: float) -> Tensor:
        scaled = dict(parameters)
        for name in names:
            parameter, piece = pieces[name]
            scaled[parameter] = scaled[parameter].clone()
            piece(scaled[parameter]).mul_(scale)
        return _output(model, scaled, inputs).unsqueeze(0)

    with torch.no_grad():
        if not torch.equal(logits((), 1.0), logits((), 1.0)):
            raise ValueError(
                "expected a deterministic model, but two forward passes on the same inputs differ "
                "or are not finite; call model.eval() to switch dropout off"
            )
        deviations = scale_deviation(logits, chosen, scales)[0].tolist()
    own = {name: piece(parameters[parameter]) for name, (parameter, piece) in pieces.items()}
    zero = [not any(bool(own[n].any()) for n in group) for group in chosen.values()]
    return {
        name: ScaleTest(deviation, None if nothing else deviation < tolerance)
        for name, deviation, nothing in zip(chosen, deviations, zero)
    }


def _pieces(
    model: nn.Module, parameters: Mapping[str, Tensor]
) -> dict[str, tuple[str, Callable[[Tensor], Tensor]]]:
    """Every parameter, and what is fused in one, as views of it: its name, and how to get there."""
    found: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {}
    for name, role in parameter_roles(model).items():
        found[name] = name, _whole
        if role.kind != "fused_qkv":
            continue
        try:
            blocks = automatic_blocks(parameters[name], role)
        except ValueError:  # nobody can tell how it is divided
            continue
        if blocks is not None:
            for number, strip in enumerate(blocks.strips):
                found[f"{name}[{strip.name}]"] = name, partial(_strip, blocks, number)
    return found


def _whole(parameter: Tensor) -> Tensor:
    return parameter


def _strip(blocks: BlockSpec, number: int, parameter: Tensor) -> Tensor:
    return blocks.split(parameter)[number]


def _output(model: nn.Module, parameters: Mapping[str, Tensor], inputs: Any) -> Tensor:
    named = dict(inputs) if isinstance(inputs, Mapping) else {}
    ordered = () if named else inputs if isinstance(inputs, tuple) else (inputs,)
    output = functional_call(model, dict(parameters), ordered, named)
    return output if isinstance(output, Tensor) else output.logits


@dataclass(frozen=True)
class ScaleInvariance(Instrument):
    """Finite-scale test of every parameter tensor, and the cheap statistic beside it.

    Args:
        scales: Positive factors; powers of two are exact.
        tolerance: Largest relative change of the logits that counts as none.
        examples: How many examples of a training batch to compare logits on, >= 1.

    Raises:
        ValueError: If scales, tolerance or examples are out of range.

    Cost: ``1 + len(scales)`` times the number of parameters in forward passes on `examples`, and
    one gradient: 0.5 s for the 24 tensors of the two-layer reference model. Measure rarely.

    Source: arXiv:2606.04405 assumes invariance; the test is derived here.
    """

    scales: tuple[float, ...] = (0.5, 2.0)
    tolerance: float = 1e-5
    examples: int = 64

    name: ClassVar[str] = "scale_invariance"
    needs_problem: ClassVar[bool] = True
    outputs: ClassVar[Mapping[str, Output]] = {
        "deviation": Output("max|f(aW) − f(W)| / max|f(W)|, largest over a", axes=("parameter",)),
        "invariant": Output("1 if below the tolerance, NaN for zero tensors", axes=("parameter",)),
        "radial_cosine": Output("<∇L, W> / (‖∇L‖ ‖W‖), 0 if invariant", axes=("parameter",)),
    }

    def __post_init__(self) -> None:
        _check_numbers("ScaleInvariance", self.scales, self.tolerance)
        if self.examples < 1:
            raise ValueError(f"ScaleInvariance: expected examples >= 1, got {self.examples}")

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Names of the parameters."""
        return {"parameter": window.now.layout.names}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Test the newest snapshot on a batch of its own."""
        problem, theta, layout = window.problem, window.now.parameters, window.now.layout
        if problem is None:
            raise ValueError("scale_invariance evaluates the model; pass Window(..., problem)")
        tokens, labels = problem.batch(window.now.step, SALT)
        few = tokens[:, : self.examples]

        def logits(names: Sequence[str], scale: float) -> Tensor:
            scaled = theta.clone()
            for name in names:
                scaled[:, layout.span(name)] *= scale
            return problem.logits(scaled, few)

        deviation = scale_deviation(logits, {n: (n,) for n in layout.names}, self.scales)
        # The whole batch, whose shape training has compiled the gradient for already.
        gradient, _, _ = problem.gradient(theta, tokens, labels)
        size, cosine = _norms_and_cosines(gradient, theta, layout)
        invariant = torch.where(size > 0, (deviation < self.tolerance).double(), torch.nan)
        arrays = {"deviation": deviation, "invariant": invariant, "radial_cosine": cosine}
        return {name: array.cpu() for name, array in arrays.items()}


def _norms_and_cosines(gradient: Tensor, theta: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Norm of every tensor and its cosine with the gradient, ``(R, parameters)`` float64."""
    pieces = zip(gradient.double().split(layout.sizes, 1), theta.double().split(layout.sizes, 1))
    size, cosine = [], []
    for g, w in pieces:
        size.append(w.norm(dim=1))
        cosine.append((g * w).sum(1) / (g.norm(dim=1) * size[-1]))
    return torch.stack(size, 1), torch.stack(cosine, 1)


def _check_numbers(owner: str, scales: Sequence[float], tolerance: float) -> None:
    if not scales or not all(isfinite(a) and a > 0 and a != 1 for a in scales):
        raise ValueError(f"{owner}: expected positive finite scales other than 1, got {scales}")
    if not 0 < tolerance < 1:
        raise ValueError(f"{owner}: expected tolerance in (0, 1), got {tolerance}")
