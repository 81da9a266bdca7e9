"""What the leading input directions of query and key matrices say of a label at each token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.class_fourier import positional_power
from spectraledge.instruments.labelled_tokens import (
    LabelledTokens,
    Rows,
    held_out_runs,
    inspected,
    run_representations,
)
from spectraledge.instruments.positional_fourier import counted_positions
from spectraledge.instruments.probe_fits import probe_scores, targets_of
from spectraledge.instruments.representations import block_names
from spectraledge.names import check_name
from spectraledge.snapshots import Layout
from spectraledge.weight_matrices import WeightMatrix, weight_matrices

__all__ = ["SingularProbe", "input_directions", "separation", "span_overlap"]

COUNT = 5
GROUPS = {"v1": slice(0, 1), "v2 and v3": slice(1, 3), "v1 to v5": slice(0, COUNT)}
PLACES = {"output": "", "input": ":input"}
MATRIX, GROUP = ("matrix",), ("matrix", "group")
SCORES, ALONE = ("published_score", "score", "random_score"), ("separation", "largest_frequency")


def input_directions(matrix: Float64[Tensor, "O I"], count: int) -> Float64[Tensor, "K I"]:
    """Leading right singular directions of a matrix, as rows.

    Args:
        matrix: Outputs by inputs.
        count: How many at most.

    Returns:
        ``K = min(count, O, I)`` orthonormal rows; NaN if the matrix is not finite.
    """
    size = min(count, *matrix.shape)
    if not bool(matrix.isfinite().all()):
        return matrix.new_full((size, matrix.shape[1]), nan)
    return torch.linalg.svd(matrix, full_matrices=False).Vh[:size]


def span_overlap(first: Float64[Tensor, "K I"], second: Float64[Tensor, "K I"]) -> float:
    """Mean squared cosine of the principal angles of two spans: 1 for equal ones, K/I by chance.

    Unlike cosines of matched directions it does not hang on the order of singular values.

    Args:
        first: Orthonormal rows.
        second: As many.

    Returns:
        ``‖A Bᵀ‖_F² / K``.
    """
    return ((first @ second.T).square().sum() / len(first)).item()


def separation(values: Float64[Tensor, " n"], second: Tensor) -> float:
    """Cohen's d of two groups: their distance in pooled standard deviations, not signed.

    Args:
        values: One number a token.
        second: ``(n,)`` bool, which tokens are of the second group.

    Returns:
        ``|mean₁ − mean₂| / √((n₁ s₁² + n₂ s₂²) / n)``; NaN with an empty group.
    """
    one, two = values[~second], values[second]
    if not len(one) or not len(two):
        return nan
    spread = (len(one) * one.var(correction=0) + len(two) * two.var(correction=0)) / len(values)
    return ((one.mean() - two.mean()).abs() / spread.sqrt()).item()


@dataclass(frozen=True)
class SingularProbe(Instrument):
    """Test R² of linear probes of the label from singular directions of query and key matrices.

    The representation of a block, at each labelled token, is projected onto the leading right
    singular directions of a query or key matrix of this block: ``v1`` alone, ``v2 and v3``, and
    ``v1 to v5``. As many random orthonormal directions stand beside each (mean over draws), the
    scale-free probe beside the published one, and what query and key have in common beside chance.

    Args:
        kinds: Kinds of matrices.
        place: ``output`` of the block, as published, or its ``input``, which the matrix reads, but
            for the norm before it.
        categorical: See `RepresentationProbe`.
        rows: Held-out rows, >= 1.
        seeds: Splits by row that scale-free scores average, and random draws, >= 1.

    Raises:
        ValueError: For numbers out of range or another place; at the first snapshot if no block has
            such a matrix.

    Cost: 21 linear probes of at most five features a matrix; 0.4 s for the four of Dyck-1.

    Source: arXiv:2604.07380, singular directions of W_Q and W_K, restated; no number is published.
    Random directions, the scale-free probe and the overlap of spans are ours.
    """

    kinds: tuple[str, ...] = ("query", "key")
    place: str = "output"
    categorical: bool = False
    rows: int = 300
    seeds: int = 3

    name: ClassVar[str] = "singular_probe"
    needs_problem: ClassVar[bool] = True
    outputs: ClassVar[Mapping[str, Output]] = {
        name: Output(meaning, axes=axes, each=True)
        for name, meaning, axes in (
            ("published_score", "test R², fixed penalty, features as they are", GROUP),
            ("score", "test R² of the scale-free probe, mean over splits", GROUP),
            ("random_score", "the same of as many random directions", GROUP),
            ("separation", "Cohen's d of the lowest token id and the others along v1", MATRIX),
            ("largest_frequency", "frequency over positions that has most along v1", MATRIX),
            ("alignment", "|cos| of v1 with that of the next kind in the block", MATRIX),
            ("span_overlap", "overlap of v1 to v5 with those, mean squared cosine", MATRIX),
            ("chance_overlap", "the same of random spans, K/I", MATRIX),
        )
    }

    def __post_init__(self) -> None:
        check_name("place for SingularProbe", self.place, tuple(PLACES))
        if self.rows < 1 or self.seeds < 1 or not self.kinds:
            raise ValueError(
                "SingularProbe: expected rows >= 1, seeds >= 1 and a kind of matrix, got "
                f"{self.rows}, {self.seeds} and {self.kinds}"
            )

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Names of the matrices and groups of directions."""
        names = tuple(m.name for m, _ in self._matrices(window.now.layout))
        return {"matrix": names, "group": tuple(GROUPS)}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Probes of the newest snapshot."""
        problem, now = inspected(self.name, window), window.now
        matrices = self._matrices(now.layout)
        modules = [block + PLACES[self.place] for _, block in matrices]
        runs = []
        for theta, rows in zip(now.parameters, held_out_runs(problem, self.rows)):
            found = run_representations(
                problem, now.layout, theta, rows.tokens, tuple(dict.fromkeys(modules))
            )
            own = [
                input_directions(_copied(matrix.view(theta, now.layout)), COUNT)
                for matrix, _ in matrices
            ]
            alike = self._alike([matrix for matrix, _ in matrices], own)
            read = [self._read(found[m], rows, v) for m, v in zip(modules, own)]
            runs.append([one | two for one, two in zip(read, alike)])
        return {
            name: torch.tensor([[of[name] for of in run] for run in runs], dtype=torch.float64)
            for name in self.outputs
        }

    def _matrices(self, layout: Layout) -> list[tuple[WeightMatrix, str]]:
        """Matrices that lie in a block, with its name."""
        blocks = block_names(layout)
        found = [
            (matrix, block)
            for matrix in weight_matrices(layout, self.kinds).values()
            for block in blocks
            if matrix.parameter.startswith(f"{block}.")
        ]
        if not found:
            raise ValueError(
                f"SingularProbe: expected matrices of kind {self.kinds} in numbered blocks, got "
                f"blocks {blocks}"
            )
        return found

    def _read(self, representation: Tensor, rows: Rows, v: Tensor) -> dict[str, object]:
        tokens = rows.labelled(representation)
        novel = tokens.novel()
        if not bool(v.isfinite().all()) or not len(tokens.labels):
            return dict.fromkeys(SCORES, [nan] * len(GROUPS)) | dict.fromkeys(ALONE, nan)
        along = tokens.features @ v[0]
        return {
            "published_score": [self._published(tokens, v[part]) for part in GROUPS.values()],
            "score": [self._score(novel, [v[part]] * self.seeds) for part in GROUPS.values()],
            "random_score": [
                self._score(novel, _random(v.shape[1], len(v[part]), self.seeds))
                for part in GROUPS.values()
            ],
            "separation": separation(along, tokens.tokens != tokens.tokens.min()),
            "largest_frequency": _largest_frequency(representation, rows, v[0]),
        }

    def _published(self, tokens: LabelledTokens, v: Tensor) -> float:
        number = targets_of(tokens.labels, categorical=False)
        (score,) = probe_scores(tokens.features @ v.T, [number], "linear", protocol="published")
        return score.r_squared

    def _score(self, tokens: LabelledTokens, directions: list[Tensor]) -> float:
        target = targets_of(tokens.labels, self.categorical)
        scores = [
            probe_scores(
                tokens.features @ v.T, [target], "linear", sequence=tokens.sequence, seed=s
            )
            for s, v in enumerate(directions)
        ]
        return sum(score[0].r_squared for score in scores) / len(scores)

    def _alike(
        self, matrices: list[WeightMatrix], directions: list[Tensor]
    ) -> list[dict[str, float]]:
        """What each matrix has in common with the one of the next kind beside it."""
        by_place = {(m.name.rpartition(".")[0], m.kind): v for m, v in zip(matrices, directions)}
        found = []
        for matrix, v in zip(matrices, directions):
            following = self.kinds[(self.kinds.index(matrix.kind) + 1) % len(self.kinds)]
            other = by_place.get((matrix.name.rpartition(".")[0], following))
            alone = other is None or other.shape != v.shape or following == matrix.kind
            beside = torch.full_like(v, nan) if alone or other is None else other
            found.append(
                {
                    "alignment": (v[0] @ beside[0]).abs().item(),
                    "span_overlap": span_overlap(v, beside),
                    "chance_overlap": len(v) / v.shape[1],
                }
            )
        return found


def _copied(view: Tensor) -> Tensor:
    # In memory of its own, since products at another alignment may round differently.
    return view.contiguous().to("cpu", torch.float64, copy=True)


def _random(size: int, count: int, draws: int) -> list[Tensor]:
    """Orthonormal rows ``(count, size)``, the same at every step."""
    chance = torch.Generator().manual_seed(0)
    drawn = [torch.randn(size, count, generator=chance, dtype=torch.float64) for _ in range(draws)]
    return [torch.linalg.qr(one).Q.T for one in drawn]


def _largest_frequency(representation: Tensor, rows: Rows, v: Tensor) -> float:
    whole = representation if representation.ndim == 3 else representation[:, None]
    counted = counted_positions(whole.shape[1], rows)
    return float(positional_power((whole.double() @ v)[..., None], counted).argmax())
