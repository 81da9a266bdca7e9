"""Token embedding and attention circuits of a model, with tokens along their first axis."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

from spectraledge.linalg import query_key_token_circuit, value_output_token_circuit
from spectraledge.snapshots import Layout
from spectraledge.weight_matrices import WeightMatrix, weight_matrices

__all__ = ["token_axes", "token_embedding"]


def token_embedding(layout: Layout, name: str | None = None) -> WeightMatrix:
    """Where the token embedding of a model lives.

    Args:
        layout: Names and shapes of its parameters.
        name: As `weight_matrices` gives it; None for the only matrix of that kind.

    Returns:
        The matrix, tokens by width.

    Raises:
        ValueError: If there is none, or several to choose from; lists the known parameters.
    """
    known = weight_matrices(layout)
    fitting = [m for n, m in known.items() if (n == name if name else m.kind == "embedding")]
    if len(fitting) != 1:
        found = "none" if not fitting else " and ".join(m.name for m in fitting)
        kinds = {n: m.kind for n, m in known.items()}
        raise ValueError(
            f"expected one token embedding, got {found} for embedding={name!r}; name one of the "
            f"known parameters: {kinds}"
        )
    return fitting[0]


def token_axes(
    flat: Tensor, layout: Layout, embedding: WeightMatrix, tokens: Tensor
) -> dict[str, Tensor]:
    """Weights of one run with tokens along their first axis.

    Args:
        flat: Parameters ``(P,)``; meta tensors give the names and shapes alone.
        layout: Their layout.
        embedding: Of `token_embedding`.
        tokens: Which rows of it, ``(p,)`` int64.

    Returns:
        ``embedding`` ``(p, d)``, and for every layer whose matrices fit together
        ``layer.query_key.query_tokens`` and ``.key_tokens`` ``(p, p)``, either axis of one circuit
        first, and ``layer.value_output`` ``(p, d)``; float64 on the CPU.
    """
    W_E = _copied(embedding.view(flat, layout))[tokens]
    axes = {"embedding": W_E}
    for layer, matrices in _attention_layers(layout).items():
        weights = {kind: _copied(m.view(flat, layout)) for kind, m in matrices.items()}
        axes |= {f"{layer}.{name}": W for name, W in _circuits(W_E, weights).items()}
    return axes


def _copied(view: Tensor) -> Tensor:
    # In memory of its own, since products at another alignment may round differently.
    return view if view.is_meta else view.contiguous().to("cpu", torch.float64, copy=True)


def _attention_layers(layout: Layout) -> dict[str, dict[str, WeightMatrix]]:
    """Attention matrices by layer and kind."""
    layers: dict[str, dict[str, WeightMatrix]] = defaultdict(dict)
    for name, matrix in weight_matrices(layout).items():
        if matrix.kind in ("query", "key", "value", "attention_output"):
            layers[name.rpartition(".")[0]][matrix.kind] = matrix
    return layers


def _circuits(W_E: Tensor, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    if {"query", "key"} <= weights.keys():
        W_Q, W_K = weights["query"], weights["key"]
        if W_Q.shape == W_K.shape and W_Q.shape[1] == W_E.shape[1]:
            scores = query_key_token_circuit(W_E, W_Q, W_K)
            found |= {"query_key.query_tokens": scores, "query_key.key_tokens": scores.mT}
    if {"value", "attention_output"} <= weights.keys():
        W_V, W_O = weights["value"], weights["attention_output"]
        if W_V.shape[1] == W_E.shape[1] and W_O.shape[1] == W_V.shape[0]:
            found["value_output"] = value_output_token_circuit(W_E, W_V, W_O)
    return found
