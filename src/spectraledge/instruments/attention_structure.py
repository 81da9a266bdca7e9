"""How evenly attention is spread: entropy, distance from counting, and mass on recent tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.labelled_tokens import Inspectable, Rows, held_out_runs, inspected
from spectraledge.instruments.representations import AttentionPattern, attention_of
from spectraledge.snapshots import Layout
from spectraledge.tasks import UNLABELLED
from spectraledge.weight_matrices import weight_matrices

__all__ = ["AttentionStructure", "attention_measures", "labelled_queries"]

AXES = ("attention", "head")
RECENT = 3
EVEN = 1e-12
Heads = Float64[Tensor, " H"]
MEASURES = {
    "entropy": ("entropy of a query's attention, mean over queries", "nat"),
    "counting": ("KL of the mean row of a position to even attention, mean over t >= 1", "nat"),
    "local": ("attention of a query to its own position", "1"),
    "recent": ("attention of a query to its own and the two positions before", "1"),
    "wave_share": ("share of one frequency over keys in what the mean row adds to even", "1"),
    "wave": ("that frequency, in periods over the keys", "1"),
}


def attention_measures(
    pattern: AttentionPattern, counted: Bool[Tensor, "B Q"]
) -> dict[str, Heads | Tensor]:
    """Structure of one attention layer on the queries that count.

    Definition: ``entropy`` is the mean of ``−Σ a ln a``. With ``m_t`` the mean over sequences of
    the attention of position t, and ``u_t`` that of even attention to what the query sees,
    ``counting`` is the mean over positions t >= 1 of ``Σ m_t ln(m_t / u_t)``: 0 if a head weighs
    all that it sees alike, as counting needs.

    Args:
        pattern: Weights and masks of B sequences.
        counted: Which queries to look at.

    Returns:
        ``(H,)`` for each measure: ``entropy`` in [0, ln K] nat, ``counting`` in [0, ln K] nat,
        ``local`` and ``recent`` in [0, 1] (NaN where queries and keys are of different rows),
        ``wave_share`` in (0, 1] and ``wave`` in 1 … K/2, the largest of ``|rfft|²`` over keys of
        the mean row minus that of even attention (NaN for attention that is even to 1e-12), and
        ``uniform_entropy`` (), the entropy of even attention on the same queries, which is as large
        as any can be. NaN if no query counts.

    Source: arXiv:2604.07380. The published script counts every query, padding included; with 24
    causal rows even attention has the entropy ``ln(24!) / 24 = 2.2827`` there.

    Example:
        >>> seen = torch.ones(1, 24, 24, dtype=torch.bool).tril()
        >>> even = AttentionPattern((seen / seen.sum(-1, keepdim=True)).double()[:, None], seen)
        >>> found = attention_measures(even, torch.ones(1, 24, dtype=torch.bool))
        >>> round(found["entropy"].item(), 4), round(found["counting"].item(), 6)
        (2.2827, 0.0)
    """
    weights, seen = pattern.weights, pattern.seen.double()
    visible = seen.sum(-1)
    even = seen / visible[..., None]
    share = counted.double() / counted.sum()
    mean = torch.einsum("bhq,bq->h", torch.special.entr(weights).sum(-1), share)
    return {
        "entropy": mean,
        "uniform_entropy": (visible.log() * share).sum(),
        **_waves(weights, even, share),
        "counting": _counting(weights, even, counted.double()),
        "local": torch.einsum("bhq,bq->h", _recent(weights, 1), share),
        "recent": torch.einsum("bhq,bq->h", _recent(weights, RECENT), share),
    }


def _counting(weights: Tensor, even: Tensor, counted: Tensor) -> Heads:
    times = counted.sum(0)
    row = torch.einsum("bhqk,bq->hqk", weights, counted) / times[:, None]
    flat = torch.einsum("bqk,bq->qk", even, counted) / times[:, None]
    # Keys that no counted query sees have no mass either.
    divergence = torch.special.xlogy(row, (row / flat).where(flat > 0, 1.0)).sum(-1)
    later = torch.arange(len(times)) >= 1
    return divergence[:, later & (times > 0)].mean(-1)


def _waves(weights: Tensor, even: Tensor, share: Tensor) -> dict[str, Heads]:
    """The frequency over keys that the mean row has beside even attention."""
    row = torch.einsum("bhqk,bq->hk", weights, share) - torch.einsum("bqk,bq->k", even, share)
    if row.shape[-1] < 2:
        return dict.fromkeys(("wave_share", "wave"), torch.full_like(row[:, 0], torch.nan))
    power = torch.fft.rfft(row).abs().square()[:, 1:]
    total = power.sum(-1, keepdim=True)
    # Weights sum to 1 to 1e-16 each; below this the row is even but for rounding.
    shares = power / torch.where(total.sqrt() > EVEN, total, torch.nan)
    largest = shares.amax(-1)
    place = shares.nan_to_num(nan=0.0).argmax(-1).double() + 1
    return {"wave_share": largest, "wave": place.where(largest.isfinite(), torch.nan)}


def _recent(weights: Tensor, count: int) -> Tensor:
    """Mass on the last few positions up to the query's own, ``(B, H, Q)``."""
    queries, keys = weights.shape[-2:]
    if queries != keys:
        return torch.full_like(weights[..., 0], torch.nan)
    near = torch.ones(keys, keys, dtype=torch.bool).tril().triu(1 - count)
    return (weights * near).sum(-1)


def labelled_queries(pattern: AttentionPattern, rows: Rows) -> Bool[Tensor, "B Q"]:
    """Queries whose output is asked for.

    Args:
        pattern: Of the rows.
        rows: Labels of the same rows.

    Returns:
        Where queries stand at the labels, those with a label; with one label a row, the position
        that is read; elsewhere, as in an encoder, positions that some query sees, so no padding.
    """
    batch, queries, keys = pattern.seen.shape
    labelled = rows.labels != UNLABELLED
    if rows.labels.ndim == 1:
        counted = torch.zeros(batch, queries, dtype=torch.bool)
        counted[:, rows.read_out if queries > 1 else 0] = labelled
        return counted
    if queries == labelled.shape[1]:
        return labelled
    return pattern.seen.any(1) if queries == keys else torch.ones(batch, queries, dtype=torch.bool)


@dataclass(frozen=True)
class AttentionStructure(Instrument):
    """Entropy, counting and recent mass of each head, on labelled queries and on all.

    Weights are those that the model uses, as it computes them, of self- and cross-attention.
    ``published_*`` are over every query, padding included; ``uniform_entropy`` is what even
    attention would have on the same queries: entropy of a head counts against it.

    Args:
        rows: Held-out rows, >= 1; 200 are published for Dyck-1, 100 for SCAN.

    Raises:
        ValueError: If `rows` is below 1; if the model takes another number of softmaxes than it has
            attention layers, or layers have different numbers of heads.

    Cost: one forward pass in float64; 0.2 s for 200 rows of Dyck-1.

    Source: arXiv:2604.07380, restated. Differs from the published code for cross-attention, whose
    queries and keys there are not those of the model; see `attention_of`.
    """

    rows: int = 200

    name: ClassVar[str] = "attention_structure"
    needs_problem: ClassVar[bool] = True
    outputs: ClassVar[Mapping[str, Output]] = {
        **{name: Output(text, unit, AXES, each=True) for name, (text, unit) in MEASURES.items()},
        "uniform_entropy": Output("entropy of even attention", "nat", AXES[:1], each=True),
        **{
            f"published_{name}": Output(f"{text}; padding counts", unit, AXES, each=True)
            for name, (text, unit) in MEASURES.items()
        },
        "published_uniform_entropy": Output(
            "entropy of even attention; padding counts", "nat", AXES[:1], each=True
        ),
    }

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError(f"AttentionStructure: expected rows >= 1, got {self.rows}")

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Names of the attention layers, in the order of the model."""
        return {"attention": attention_names(window.now.layout)}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Attention of the newest snapshot."""
        problem, now = inspected(self.name, window), window.now
        rows = held_out_runs(problem, self.rows)
        runs = [_run(problem, now.layout, theta, own) for theta, own in zip(now.parameters, rows)]
        return {name: torch.stack([run[name] for run in runs]) for name in self.outputs}


def attention_names(layout: Layout) -> tuple[str, ...]:
    """Modules that hold query matrices, such as ``decoder.0.cross_attention``."""
    holders = (m.parameter for m in weight_matrices(layout, ("query",)).values())
    return tuple(dict.fromkeys(name.rsplit(".", 2)[0] for name in holders))


def _run(problem: Inspectable, layout: Layout, theta: Tensor, rows: Rows) -> dict[str, Tensor]:
    names, parameters = attention_names(layout), layout.views(theta.double())
    patterns = attention_of(problem.skeleton, rows.tokens.to(theta.device), parameters=parameters)
    heads = {pattern.weights.shape[1] for pattern in patterns}
    if len(patterns) != len(names) or len(heads) != 1:
        raise ValueError(
            f"attention_structure: expected one softmax of equally many heads for each of {names}, "
            f"got {len(patterns)} of {sorted(heads)} heads; use attention_of and "
            "attention_measures layer by layer"
        )
    layers = []
    for pattern in patterns:
        own = AttentionPattern(pattern.weights.cpu(), pattern.seen.cpu())
        every = torch.ones(own.seen.shape[:2], dtype=torch.bool)
        found = attention_measures(own, labelled_queries(own, rows))
        published = attention_measures(own, every)
        layers.append(found | {f"published_{name}": x for name, x in published.items()})
    return {name: torch.stack([layer[name] for layer in layers]) for name in layers[0]}
