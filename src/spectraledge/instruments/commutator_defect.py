"""How far two gradient steps on different batches are from commuting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import ClassVar

import torch
from torch import Tensor

from spectraledge.instruments.base import Differentiable, Instrument, Output, Window
from spectraledge.instruments.batch_pairs import Pair, batch_pairs
from spectraledge.instruments.commutator_summary import OUTPUTS, attention_columns, summary
from spectraledge.instruments.commutators import METHODS, commutators
from spectraledge.names import check_name

__all__ = ["CommutatorDefect"]

SALT = "commutator_defect"
# Numbers of products kept at once; more runs are measured in turns.
KEPT = 1 << 27


@dataclass(frozen=True)
class CommutatorDefect(Instrument):
    """Bracket of the gradient fields of batch pairs: raw, normalised, scale-free, and its floor.

    Read the defect beside ``bracket_norm`` and ``gradient_norm``: it grows as 1/‖g‖ where nothing
    else happens. Batches come from a stream of its own, so measuring never changes training.

    Args:
        method: ``exact``, or one of the differences of `commutators`.
        pairs: Number of batch pairs, >= 1. Pairs share batches, so they are not independent and
            the interval is somewhat too narrow; the stated coverage is that of independent pairs.
        pieces: 1; or 2, to make each batch of two halves that are shared among pairs, at half the
            cost and with more overlap.
        eta: Step of the differences.

    Raises:
        ValueError: If a number is out of range or the method unknown; at the first snapshot if
            the batch is too small to halve.

    Cost: with 9 pairs of one piece, 5 gradients and 19 Hessian-vector products.

    Source: arXiv:2602.16746, section on the commutator defect (``published``, K = 9); 2602.16967
    (``published_adaptive``). Differs in the method, the shared gradients and the own stream.
    """

    method: str = "exact"
    pairs: int = 9
    pieces: int = 1
    eta: float = 1e-3

    name: ClassVar[str] = "commutator_defect"
    needs_problem: ClassVar[bool] = True
    outputs: ClassVar[Mapping[str, Output]] = OUTPUTS

    def __post_init__(self) -> None:
        check_name("method of CommutatorDefect", self.method, METHODS)
        batch_pairs(self.pairs, self.pieces)
        if not (self.eta > 0 and isfinite(self.eta)):
            raise ValueError(f"CommutatorDefect: expected a finite eta > 0, got {self.eta}")

    @property
    def design(self) -> list[Pair]:
        """Pieces of both batches of every pair."""
        return batch_pairs(self.pairs, self.pieces)

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Pairs, by the numbers of their pieces."""
        return {"pair": tuple("|".join("+".join(map(str, x)) for x in p) for p in self.design)}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Brackets at the newest snapshot, on batches of its own."""
        problem, now = window.problem, window.now
        if problem is None:
            raise ValueError("commutator_defect evaluates the model; pass Window(..., problem)")
        theta, attention = now.parameters, attention_columns(now.layout)
        batches = self._batches(problem, now.step)
        size = max(1, KEPT // (len(batches) ** 2 * theta.shape[1]))
        parts = [
            summary(
                commutators(
                    problem,
                    theta[start : start + size],
                    [(x[start : start + size], y[start : start + size]) for x, y in batches],
                    self.design,
                    method=self.method,
                    eta=self.eta,
                ),
                attention,
            )
            for start in range(0, len(theta), size)
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in self.outputs}

    def _batches(self, problem: Differentiable, step: int) -> list[tuple[Tensor, Tensor]]:
        count = 1 + max(i for a, b in self.design for i in a + b)
        drawn = [problem.batch(step, f"{SALT}/{i}") for i in range(-(-count // self.pieces))]
        rows = drawn[0][1].shape[1] // self.pieces
        if rows < 1:
            raise ValueError(
                f"CommutatorDefect: expected batches of at least {self.pieces} examples to make "
                f"{self.pieces} pieces, got {drawn[0][1].shape[1]}; use pieces=1"
            )
        spans = [slice(p * rows, (p + 1) * rows) for p in range(self.pieces)]
        return [(x[:, s], y[:, s]) for x, y in drawn for s in spans][:count]
