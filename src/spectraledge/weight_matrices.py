"""Weight matrices of any model or checkpoint under one set of names, as views.

``layer0.attention.query`` means the same whether a model stores it as ``blocks.0.attention.query``
or as the first third of a fused projection. Matrices are stored outputs by inputs; transposed
storage is turned round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from spectraledge.matrices import ParameterKind, ParameterRole, parameter_roles
from spectraledge.names import check_name
from spectraledge.snapshots import Layout

__all__ = ["WeightMatrix", "check_kinds", "weight_matrices"]


@dataclass(frozen=True)
class WeightMatrix:
    """Where one matrix lives.

    Args:
        name: Canonical name, e.g. ``layer0.attention.query``.
        parameter: Name of the parameter that holds it.
        kind: ``query``, ``key``, ``value``, ``attention_output``, ``mlp``, ``embedding``, ...
        layer: Index of its block, None outside the blocks.
        start: First output row inside the parameter.
        rows: Number of output rows.
        transposed: Whether the parameter is stored inputs by outputs.
    """

    name: str
    parameter: str
    kind: str
    layer: int | None
    start: int
    rows: int
    transposed: bool

    def view(self, flat: Tensor, layout: Layout) -> Tensor:
        """The matrix of every run.

        Args:
            flat: Flat parameters or displacements ``(*runs, P)``.
            layout: Their layout.

        Returns:
            A view ``(*runs, outputs, inputs)``.
        """
        return self.part_of(layout.view(flat, self.parameter))

    def part_of(self, parameter: Tensor) -> Tensor:
        """The matrix in the parameter that holds it, a view ``(*runs, outputs, inputs)``."""
        oriented = parameter.mT if self.transposed else parameter
        return oriented[..., self.start : self.start + self.rows, :]


def weight_matrices(layout: Layout, kinds: tuple[str, ...] = ()) -> dict[str, WeightMatrix]:
    """All two-dimensional weights of a layout, fused projections split.

    Args:
        layout: Names and shapes of a model's parameters.
        kinds: Keep only these kinds, e.g. ``("query", "key")``; empty keeps all.

    Returns:
        Matrices by canonical name, in parameter order.

    Raises:
        ValueError: If nothing is left; the message lists what there is.
    """
    # Meta tensors carry shapes without memory, so a huge checkpoint costs nothing to name.
    tensors = {n: torch.empty(s, device="meta") for n, s in zip(layout.names, layout.shapes)}
    found = {
        matrix.name: matrix
        for name, role in parameter_roles(tensors).items()
        if len(tensors[name].shape) == 2
        for matrix in _pieces(name, role, tensors)
    }
    kept = {n: m for n, m in found.items() if not kinds or m.kind in kinds}
    if not kept:
        known = {n: m.kind for n, m in found.items()}
        raise ValueError(f"no weight matrix of kind {kinds}; this model has {known}")
    return kept


def check_kinds(owner: str, kinds: Sequence[str]) -> None:
    """Raise unless every kind is a known kind of parameter.

    Args:
        owner: Who asks, for the message.
        kinds: Kinds of matrices, e.g. ``("query", "key")``.

    Raises:
        ValueError: For an unknown kind; the message lists the known ones and the closest.
        TypeError: For a single string, which would be read letter by letter.
    """
    if isinstance(kinds, str):
        raise TypeError(f"{owner}: expected a tuple of kinds, got {kinds!r}; write ({kinds!r},)")
    for kind in kinds:
        check_name(f"kind of matrix for {owner}", kind, get_args(ParameterKind))


def _pieces(name: str, role: ParameterRole, tensors: Mapping[str, Tensor]) -> list[WeightMatrix]:
    shape = tensors[name].shape
    outputs = shape[1] if role.transposed else shape[0]
    if not role.parts:
        return [
            WeightMatrix(role.canonical, name, role.kind, role.layer, 0, outputs, role.transposed)
        ]
    rows = outputs // len(role.parts)
    stem = role.canonical.rpartition(".")[0]
    fused_qkv = role.kind == "fused_qkv"
    return [
        WeightMatrix(
            f"{stem}.{part}",
            name,
            part if fused_qkv else role.kind,
            role.layer,
            i * rows,
            rows,
            role.transposed,
        )
        for i, part in enumerate(role.parts)
    ]
