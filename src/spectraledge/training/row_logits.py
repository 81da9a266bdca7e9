"""Logits of the same rows at many parameters, for instruments that perturb weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from spectraledge.models.lines import Answers, PackedModel, Packing
from spectraledge.snapshots import Layout
from spectraledge.training.execution import Execution, compiled
from spectraledge.training.packer import best_room, pack_rows, rows_of_runs
from spectraledge.training.packing import Room, Rows, lines_of
from spectraledge.training.partial_evaluation import partial_evaluation

__all__ = ["RowLogits"]

# Positions of one forward pass: beyond these, activations leave the caches. A model with more
# than ALONE goes by itself: its products add their biases on the way, those of stacked models do
# not. Smaller ones would mostly wait for the dispatcher.
TOGETHER, ALONE = 4096, 512
# Numbers in a vector register.
VECTOR = 16

Logits = Callable[..., Tensor]


class RowLogits:
    """Logits of fixed rows of R runs as a function of K parameter vectors of each run.

    What depends on the rows alone is worked out once, masks for instance. Where the model can be
    packed, positions without influence on a label are left out, and beginnings that rows share
    are computed once.

    Args:
        skeleton: The model of one run.
        layout: Of its parameters.
        tokens: ``(R, B, T)``.
        labels: ``(R, B, *outputs)``; logits are meaningless where there is no label.
        compute: Precision of the model.
        execution: Whether to compile models that go by themselves.

    ``equal`` numbers the outputs, as `labels`: those with equal numbers always have equal logits.
    """

    def __init__(
        self,
        skeleton: nn.Module,
        layout: Layout,
        tokens: Tensor,
        labels: Tensor,
        compute: torch.dtype,
        execution: Execution,
    ) -> None:
        model, rows, self.positions = _packed(skeleton, tokens, labels) or (
            skeleton, tokens, tokens[0].numel()
        )  # fmt: skip
        self.rows, structure = tree_flatten(rows)
        self.equal = _equal(rows, labels)
        shapes = tuple((x.shape[1:], x.dtype) for x in self.rows)
        asked = (model, layout, structure, compute)
        if self.positions > ALONE:
            prepare, self.logits = _alone(*asked, shapes, tokens.device, execution)
            self.known = [prepare(*(x[run] for x in self.rows)) for run in range(len(tokens))]
        else:
            self.logits = vmap(_function(*asked), (0, *(None for _ in self.rows)))

    @torch.no_grad()
    def __call__(self, thetas: Tensor) -> Tensor:
        """Logits at parameters.

        Args:
            thetas: ``(R, K, P)``.

        Returns:
            ``(R, K, B, *outputs, classes)`` float32.

        Cost: memory of one forward pass over 4096 positions, or over one model's rows if more.
        """
        # Run by run, so that no run's numbers depend on how many others there are.
        return torch.stack([self._run(run, own) for run, own in enumerate(thetas)])

    def _run(self, run: int, thetas: Tensor) -> Tensor:
        """Logits of K models ``(K, P)`` of one run."""
        if self.positions > ALONE:
            return torch.stack([self.logits(theta, *self.known[run]) for theta in thetas])
        rows = [x[run] for x in self.rows]
        pieces = thetas.split(max(1, TOGETHER // self.positions))
        return torch.cat([self.logits(piece, *rows) for piece in pieces])


def _packed(
    skeleton: nn.Module, tokens: Tensor, labels: Tensor
) -> tuple[nn.Module, Packing, int] | None:
    """The model on packed rows, the rows, and the positions of a run; None if it cannot."""
    if not isinstance(skeleton, PackedModel):
        return None
    runs = rows_of_runs(skeleton, tokens, labels)
    packing = pack_rows(runs, _room(runs))
    if packing is None:
        return None
    return _answers(skeleton), packing, sum(x.tokens[0].numel() for x in packing.streams)


def _room(runs: Sequence[Rows]) -> Room:
    """The best room, with lines that fill whole vectors: what is left over costs as much."""
    slots = tuple(VECTOR * ceil(n / VECTOR) for n in best_room([[rows] for rows in runs]).slots)
    return Room(max(1 + max(lines_of(rows, slots) or [0]) for rows in runs), slots)


def _equal(rows: Tensor | Packing, labels: Tensor) -> Tensor:
    if isinstance(rows, Packing):
        return rows.answers
    each = torch.arange(labels[0].numel(), device=labels.device)
    return each.view(labels[0].shape).expand_as(labels)


@lru_cache(maxsize=16)
def _answers(skeleton: nn.Module) -> Answers:
    # One object for each model, so that functions of it are found again.
    return Answers(skeleton)


def _function(
    model: nn.Module, layout: Layout, structure: TreeSpec, compute: torch.dtype
) -> Logits:
    """Logits of one model ``(P,)`` on rows that are given as single tensors."""
    prefix = "model." if isinstance(model, Answers) else ""

    def logits(theta: Tensor, *rows: Tensor) -> Tensor:
        views = layout.views(theta.to(compute))
        named = {prefix + name: view for name, view in views.items()}
        return functional_call(model, named, (tree_unflatten(list(rows), structure),)).float()

    return logits


@lru_cache(maxsize=32)
def _alone(
    model: nn.Module,
    layout: Layout,
    structure: TreeSpec,
    compute: torch.dtype,
    shapes: tuple[tuple[torch.Size, torch.dtype], ...],
    device: torch.device,
    execution: Execution,
) -> tuple[Callable[..., Any], Logits]:
    """What is worked out from rows alone, and logits from a model and that."""
    theta = torch.zeros(layout.size, device=device)
    rows = [torch.zeros(shape, dtype=dtype, device=device) for shape, dtype in shapes]
    prepare, finish = partial_evaluation(_function(model, layout, structure, compute), theta, rows)
    return prepare, compiled(finish, execution)
