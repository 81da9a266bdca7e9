"""What the model does on held-out rows with other values of some weights, many of them at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from spectraledge.instruments.base import Differentiable
from spectraledge.instruments.held_out_rows import HeldOutRows, LabelledOutputs

__all__ = ["Outcomes", "PreparesRows", "RowFunction", "outcomes"]

# Tokens of one forward pass. Beyond this, activations of the published models leave the caches
# and stacking costs more than it saves; below, small models would pay for dispatch.
TOKENS = 4096
# Parameters of all models that are held at a time.
PARAMETERS = 2**25


@runtime_checkable
class RowFunction(Protocol):
    """Logits of fixed rows as a function of parameters.

    ``equal`` numbers the outputs ``(R, B, *outputs)``; those with equal numbers always have equal
    logits.
    """

    equal: Tensor

    def __call__(self, thetas: Tensor) -> Tensor:
        """Maps parameters ``(R, K, P)`` to logits ``(R, K, B, *outputs, classes)``."""
        ...


@runtime_checkable
class PreparesRows(Protocol):
    """A problem that works out once what depends on rows alone, before many forward passes."""

    def row_logits(self, tokens: Tensor, labels: Tensor) -> RowFunction:
        """Logits of the rows at any parameters; of no account where there is no label."""
        ...


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What the base and K points do, the base first; NaN where a point or the run is broken.

    Args:
        loss: Mean cross-entropy over labelled outputs.
        accuracy: Share of labelled outputs that are right.
        divergence: Mean of ``KL(p_base ‖ p_point) = Σ_c p_base (ln p_base − ln p_point)``, >= 0.
        response: ``√(mean ‖Δlogits‖²)``.
    """

    loss: Float64[Tensor, "R points"]
    accuracy: Float64[Tensor, "R points"]
    divergence: Float64[Tensor, "R points"]
    response: Float64[Tensor, "R points"]


@torch.no_grad()
def outcomes(
    problem: Differentiable,
    theta: Float[Tensor, "R P"],
    columns: Int64[Tensor, " D"],
    points: Iterable[Tensor],
    rows: HeldOutRows,
) -> Outcomes:
    """Evaluate the model with chosen weights replaced, everything else unchanged.

    Args:
        problem: Makes logits of R runs.
        theta: Parameters, the base that the points are compared with.
        columns: Which of them are replaced.
        points: K values ``(R, D)`` of those, one after the other; drawn as they are needed, so that
            a generator of thousands costs no memory.
        rows: Where to evaluate.

    Returns:
        The base, then one entry per point, in order.

    Cost: one forward pass over the distinct rows for the base and each point; memory that of a
    pass over 4096 tokens and of 2²⁵ parameters, or of one point of every run if that is more.

    Source: arXiv:2604.07380. Differs from the published code, which adds 1e-10 to the probabilities
    of the divergence and evaluates one point, and every repeated row, at a time.
    """
    logits_at = _prepared(problem, rows)
    outputs = LabelledOutputs.of(rows, logits_at.equal)
    base = outputs.among(logits_at(theta.unsqueeze(1))).double()
    found = [_compared(base, base, outputs)]
    together = max(1, min(TOKENS // rows.tokens[0].numel(), PARAMETERS // theta.numel()))
    thetas = theta.unsqueeze(1)[:, :0]
    for group in _groups(points, together):
        if thetas.shape[1] < group.shape[1]:
            thetas = theta.unsqueeze(1).repeat(1, group.shape[1], 1)
        moved = thetas[:, : group.shape[1]]
        moved.scatter_(-1, columns.expand_as(group), group.to(theta.dtype))
        logits = outputs.among(logits_at(moved)).double()
        found.append(_compared(logits, base, outputs))
    return Outcomes(*(torch.cat(pieces, 1) for pieces in zip(*found)))


def _groups(points: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Consecutive points stacked ``(R, k, D)``."""
    remaining = iter(points)
    while group := list(islice(remaining, size)):
        yield torch.stack(group, 1)


def _prepared(problem: Differentiable, rows: HeldOutRows) -> RowFunction:
    if isinstance(problem, PreparesRows):
        return problem.row_logits(rows.tokens, rows.labels)
    return _Unprepared(problem, rows)


class _Unprepared:
    """Logits of rows by `Differentiable.logits`, which takes one model for each run."""

    def __init__(self, problem: Differentiable, rows: HeldOutRows) -> None:
        self.problem, self.tokens = problem, rows.tokens
        count = rows.labels[0].numel()
        each = torch.arange(count, device=rows.labels.device)
        self.equal = each.view(rows.labels[0].shape).expand_as(rows.labels)

    def __call__(self, thetas: Tensor) -> Tensor:
        return torch.stack([self._run(*own) for own in zip(thetas, self.tokens)])

    def _run(self, thetas: Tensor, tokens: Tensor) -> Tensor:
        pieces = thetas.split(max(1, TOKENS // tokens.numel()))
        return torch.cat([
            self.problem.logits(piece, tokens.expand(len(piece), -1, -1)) for piece in pieces
        ])  # fmt: skip


def _compared(logits: Tensor, base: Tensor, outputs: LabelledOutputs) -> tuple[Tensor, ...]:
    """Everything that `Outcomes` holds ``(R, k)``, from logits ``(R, k, M, C)`` in float64."""
    # In float64: the first-order terms of a divergence cancel, and it may be 1e-8.
    before, after = base.log_softmax(-1), logits.log_softmax(-1)
    labels = outputs.labels.unsqueeze(1).expand(after.shape[:-1])
    loss = -after.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
    right = torch.where(loss.isnan(), loss, (logits.argmax(-1) == labels).double())
    divergence = (before.exp() * (before - after)).sum(-1)
    change = (logits - base).square().sum(-1)
    means = [outputs.mean(x) for x in (loss, right, divergence, change)]
    return *means[:3], means[3].sqrt()
