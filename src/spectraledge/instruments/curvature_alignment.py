"""Whether the trajectory moves along the commutators: the converse of projecting them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.pair_brackets import pair_brackets
from spectraledge.instruments.shape_batches import check_kinds
from spectraledge.linalg import random_subspaces as law
from spectraledge.snapshots import Layout
from spectraledge.weight_matrices import weight_matrices

__all__ = ["VARIANTS", "CurvatureAlignment", "alignment"]

ATTENTION = ("query", "key", "value", "attention_output")
DECAY = "weight_decay"
VARIANTS = ("all", "without_decay", "attention", "attention_without_decay")
# Directions shorter than this, relative to the longest, are dropped from the span, as published.
DEPENDENT = 1e-6


def alignment(
    displacement: Float[Tensor, "R P"], vectors: Float[Tensor, "R J P"]
) -> dict[str, Float[Tensor, " R"]]:
    """Cosines of a displacement with vectors, and its share in their span.

    Definition: ``subspace_share = ‖CᵀΔ‖/‖Δ‖`` with C an orthonormal basis of the span, from the
    Gram matrix of the normalised vectors, which is small.

    Args:
        displacement: Δ ``(R, P)``.
        vectors: ``(R, J, P)``.

    Returns:
        ``mean_cosine``, ``max_cosine`` of ``|cos|``, ``subspace_share`` in [0, 1] and ``rank`` of
        the span, float64; NaN where Δ or a vector is zero or not finite.

    Example:
        >>> axes = torch.eye(3)[None, :2]
        >>> found = alignment(torch.tensor([[3.0, 0.0, 4.0]]), axes)
        >>> [round(found[name].item(), 6) for name in ("mean_cosine", "subspace_share")]
        [0.3, 0.6]
    """
    unit, units = _unit(displacement), _unit(vectors)
    cosines = torch.einsum("rjp,rp->rj", units, unit)
    gram = units @ units.mT
    finite = (cosines.isfinite() & gram.isfinite().all(-1)).all(-1)
    values, frame = torch.linalg.eigh(torch.where(finite[:, None, None], gram, 0.0))
    kept = values > DEPENDENT**2 * values[:, -1:]
    along = torch.einsum("rji,rj->ri", frame, cosines).square() / values
    share = torch.where(kept, along, 0.0).sum(-1).clamp(0, 1).sqrt()
    size = cosines.abs()
    arrays = {
        "mean_cosine": size.mean(-1),
        "max_cosine": size.amax(-1),
        "subspace_share": share,
        "rank": kept.sum(-1).double(),
    }
    return {name: torch.where(finite, array, torch.nan) for name, array in arrays.items()}


@dataclass(frozen=True)
class CurvatureAlignment(Instrument):
    """Alignment of the last displacement with the brackets of batch pairs where it ended.

    Four variants: the displacement as it is (``all``), without what weight decay did
    (``without_decay``), and both on the attention matrices alone. Early displacements are mostly
    the initial weights shrinking, so only the variants without decay speak of learning. NaN at
    the first snapshot, and without decay where its part was not recorded.

    Ratios divide by what a random displacement gives: ``E|cos|`` for the mean cosine and
    ``sqrt(C/P)`` for the share in a span of C dimensions. The published baseline ``C/P`` is the
    mean of the square; `subspace_ratio_published` repeats it.

    Args:
        pairs: Pairs of measuring batches, >= 1; M batches make M(M-1)/2. The brackets are those
            of `CommutatorDefect`.
        kinds: Kinds of matrices that count as attention.

    Raises:
        ValueError: For an unknown kind or too few batches; at the first snapshot if the model
            has no such matrix.

    Cost: with 6 pairs 4 gradients and 13 Hessian-vector products.

    Source: arXiv:2602.16746, converse analysis with 12 independent pairs.
    """

    pairs: int = 6
    kinds: tuple[str, ...] = ATTENTION

    name: ClassVar[str] = "curvature_alignment"
    history: ClassVar[int] = 2
    parts: ClassVar[frozenset[str]] = frozenset({DECAY})
    needs_problem: ClassVar[bool] = True
    outputs: ClassVar[Mapping[str, Output]] = {
        "displacement": Output("‖Δθ‖", "weight", ("variant",), each=True),
        "mean_cosine": Output("mean |cos(Δθ, δ)| over pairs", axes=("variant",), each=True),
        "max_cosine": Output("largest |cos(Δθ, δ)|", axes=("variant",), each=True),
        "cosine_ratio": Output("mean |cos| / its random mean", axes=("variant",), each=True),
        "subspace_share": Output("‖CᵀΔθ‖/‖Δθ‖, C spans the δ", axes=("variant",), each=True),
        "rank": Output("dimensions C of the span", axes=("variant",), each=True),
        "subspace_ratio": Output("the share / √(C/P)", axes=("variant",), each=True),
        "subspace_ratio_published": Output(
            "the share / (C/P), a slip", axes=("variant",), each=True
        ),
    }

    def __post_init__(self) -> None:
        check_kinds("CurvatureAlignment", self.kinds)
        if self.pairs < 1:
            raise ValueError(f"CurvatureAlignment: expected pairs >= 1, got {self.pairs}")

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Names of the variants."""
        return {"variant": VARIANTS}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Alignment of the move to the newest snapshot."""
        now = window.now
        weight_matrices(now.layout, self.kinds)  # at the first snapshot, says what there is not
        if window.before is None:
            empty = torch.full((now.runs, len(VARIANTS)), nan, dtype=torch.float64)
            return {name: empty.clone() for name in self.outputs}
        moved = now.parameters.double() - window.before.parameters
        brackets, _ = pair_brackets(self.name, window, self.pairs)
        return self.readings(moved, moved - _decay_part(window), brackets, now.layout)

    def readings(
        self,
        moved: Float[Tensor, "R P"],
        learned: Float[Tensor, "R P"],
        brackets: Float[Tensor, "R J P"],
        layout: Layout,
    ) -> dict[str, Tensor]:
        """The outputs, from a displacement and brackets.

        Args:
            moved: The displacement.
            learned: The displacement without what weight decay did.
            brackets: One for each pair.
            layout: Of the parameters.

        Returns:
            Arrays ``(R, 4)`` float64, one per entry of ``outputs``.
        """
        columns = _columns(layout, self.kinds, moved.device)
        measured = [
            (moved, brackets),
            (learned, brackets),
            (moved[:, columns], brackets[..., columns]),
            (learned[:, columns], brackets[..., columns]),
        ]
        rows = [_with_ratios(delta, vectors) for delta, vectors in measured]
        return {name: torch.stack([row[name] for row in rows], 1).cpu() for name in self.outputs}


def _with_ratios(displacement: Tensor, vectors: Tensor) -> dict[str, Tensor]:
    arrays, size = alignment(displacement, vectors), displacement.shape[1]
    random = arrays["rank"] / size
    return arrays | {
        "displacement": displacement.norm(dim=1),
        "cosine_ratio": arrays["mean_cosine"] / law.expected_cosine(size),
        "subspace_ratio": arrays["subspace_share"] / random.sqrt(),
        "subspace_ratio_published": arrays["subspace_share"] / random,
    }


def _decay_part(window: Window) -> Tensor:
    """What weight decay did since the snapshot before; NaN if no part was recorded at all."""
    now = window.now
    if DECAY in now.parts:
        return now.parts[DECAY].double()
    # Parts sum to the displacement: recorded parts without decay mean that there was none.
    return torch.full_like(now.parameters, 0.0 if now.parts else nan, dtype=torch.float64)


def _columns(layout: Layout, kinds: tuple[str, ...], device: torch.device) -> Bool[Tensor, " P"]:
    marked = torch.zeros(layout.size, dtype=torch.bool, device=device)
    for matrix in weight_matrices(layout, kinds).values():
        matrix.view(marked, layout).fill_(True)
    return marked


def _unit(vectors: Tensor) -> Tensor:
    length = vectors.double().norm(dim=-1, keepdim=True)
    return vectors.double() / torch.where(length > 0, length, torch.nan)
