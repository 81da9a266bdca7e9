"""Ranks of attention heads: each head's rows of the query and key matrices, and their product."""

from __future__ import annotations

import re
from collections import defaultdict

import torch
from torch import Tensor

from spectraledge.linalg import (
    entropy_rank,
    qk_circuit_singular_values,
    singular_values,
    split_heads,
    stable_rank,
)
from spectraledge.snapshots import Layout, Snapshot
from spectraledge.weight_matrices import WeightMatrix, weight_matrices

__all__ = ["attention_layers", "head_ranks"]


def attention_layers(layout: Layout) -> dict[str, tuple[WeightMatrix, WeightMatrix]]:
    """Query and key matrices of every attention layer.

    Args:
        layout: Names and shapes of a model's parameters.

    Returns:
        Pairs by the canonical name of the layer, e.g. ``layer0.attention``.

    Raises:
        ValueError: If there is no query with a key; the message lists the matrices there are.

    Example:
        >>> layout = Layout(("blocks.0.attn.qkv.weight",), ((6, 2),))
        >>> {name: key.start for name, (query, key) in attention_layers(layout).items()}
        {'layer0.attention': 2}
    """
    found: dict[str, dict[str, WeightMatrix]] = defaultdict(dict)
    for name, matrix in weight_matrices(layout, ("query", "key")).items():
        found[name.rpartition(".")[0]][matrix.kind] = matrix
    pairs = {n: (f["query"], f["key"]) for n, f in found.items() if f.keys() == {"query", "key"}}
    if not pairs:
        raise ValueError(f"expected a query beside a key matrix, got {dict(found)}")
    return pairs


def head_ranks(snapshot: Snapshot, heads: int) -> dict[str, Tensor]:
    """Stable and entropy ranks of every head's query, key and query-key circuit.

    Args:
        snapshot: Parameters of R runs.
        heads: Number of query heads. With fewer key heads (grouped-query attention) a key head's
            rank is repeated for each query head that it serves.

    Returns:
        Arrays ``(R, layers, heads)`` float64, named ``query_head_stable_rank`` and so on.

    Raises:
        ValueError: If the heads do not divide the query rows.
    """
    layers = [
        _layer_spectra(snapshot, query, key, heads)
        for query, key in attention_layers(snapshot.layout).values()
    ]
    measures = {"stable_rank": stable_rank, "entropy_rank": entropy_rank}
    return {
        f"{block}_{rank}": torch.stack(
            [measure(singular_values=spectra[block]) for spectra in layers], dim=1
        ).cpu()
        for block in layers[0]
        for rank, measure in measures.items()
    }


def _layer_spectra(
    snapshot: Snapshot, query: WeightMatrix, key: WeightMatrix, heads: int
) -> dict[str, Tensor]:
    layout, flat = snapshot.layout, snapshot.parameters
    W_Q, W_K = query.view(flat, layout), key.view(flat, layout)
    circuit = qk_circuit_singular_values(
        W_Q, W_K, heads, _norm_gain(snapshot, query), _norm_gain(snapshot, key)
    )
    key_heads = heads * key.rows // query.rows
    key_values = singular_values(split_heads(W_K, key_heads))
    return {
        "query_head": singular_values(split_heads(W_Q, heads)),
        "key_head": key_values.repeat_interleave(heads // key_heads, dim=-2),
        "circuit": circuit,
    }


def _norm_gain(snapshot: Snapshot, matrix: WeightMatrix) -> Tensor | None:
    """Gain ``(R, g)`` of the norm behind a query or key projection, if the model has one."""
    module = matrix.parameter.removesuffix(".weight").rpartition(".")[0]
    side = f"({matrix.kind}|{matrix.kind[0]})"
    norm = re.compile(rf"{re.escape(module)}\.({side}_(layer)?norm|norm_{side})\.(gain|weight)")
    layout = snapshot.layout
    named = [n for n, s in zip(layout.names, layout.shapes) if norm.fullmatch(n) and len(s) == 1]
    return snapshot.matrix(named[0]) if named else None
