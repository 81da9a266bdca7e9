"""Selection: which parameters are decayed, and a table that says why or why not."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches

import torch
from torch import Tensor, nn

from spectraledge.decay.blocks import BlockSpec, automatic_blocks
from spectraledge.matrices import ParameterRole, named_tensors, parameter_roles
from spectraledge.names import check_name

__all__ = ["SELECTIONS", "Blocks", "DecayTable", "Row", "Select", "select_parameters"]

Select = str | Sequence[str] | Callable[[str, Tensor, ParameterRole], bool]
Blocks = Mapping[str, BlockSpec] | Callable[[str, Tensor, ParameterRole], BlockSpec | None] | None

_ATTENTION = frozenset({"query", "key", "value", "attention_output", "fused_qkv"})
SELECTIONS: dict[str, frozenset[str]] = {
    "qk": frozenset({"query", "key", "fused_qkv"}),
    "attention": _ATTENTION,
    "mlp": frozenset({"mlp"}),
    "all": _ATTENTION | {"mlp", "conv", "other"},
}
# Parts of names that are of wrappers, not of the model.
WRAPPERS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
_NEVER = {
    "embedding": "an embedding: rows are looked up, not multiplied",
    "position": "a position embedding",
    "head": "a head: sets the scale of the logits",
    "norm": "parameter of a norm",
    "bias": "a bias",
    "router": "routes tokens to experts",
    "adapter": "low-rank adapter: L2 on both factors already is nuclear decay of their product",
}


@dataclass(frozen=True)
class Row:
    """One parameter in the table: its role, and its blocks when it is decayed."""

    role: ParameterRole
    parameter: Tensor
    blocks: BlockSpec | None
    reason: str

    @property
    def selected(self) -> bool:
        """True when the parameter is decayed."""
        return self.blocks is not None

    @property
    def key(self) -> str:
        """Name of the parameter without what wrappers such as `torch.compile` put into it."""
        return ".".join(part for part in self.role.name.split(".") if part not in WRAPPERS)

    def views(self) -> tuple[Tensor, ...]:
        """The blocks that are decayed, as views of the parameter that record no gradients."""
        return self.blocks.split(self.parameter.detach()) if self.blocks else ()


@dataclass(frozen=True)
class DecayTable:
    """Every parameter with two dimensions or more: decayed or not, why, and in which blocks."""

    rows: tuple[Row, ...]

    @property
    def selected(self) -> tuple[Row, ...]:
        """The rows that are decayed."""
        return tuple(row for row in self.rows if row.selected)

    def __str__(self) -> str:
        header = ("decayed", "name", "kind", "shape", "blocks", "why")
        lines = [header, *(self._cells(row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
            for line in lines
        )

    def digest(self) -> str:
        """Hash of the names, shapes and blocks that are decayed."""
        described = [
            (row.key, tuple(row.parameter.shape), row.blocks and asdict(row.blocks))
            for row in self.selected
        ]
        return hashlib.sha256(json.dumps(described).encode()).hexdigest()

    @staticmethod
    def _cells(row: Row) -> tuple[str, ...]:
        shape = tuple(row.parameter.shape)
        return (
            "yes" if row.selected else "no",
            row.role.name,
            row.role.kind,
            "x".join(map(str, shape)),
            row.blocks.describe(shape) if row.blocks else "-",
            row.reason,
        )


def select_parameters(
    source: nn.Module | Iterable[tuple[str, Tensor]], select: Select = "qk", blocks: Blocks = None
) -> DecayTable:
    """Decide for every parameter whether it is decayed, and in which blocks.

    Args:
        source: A module, or (name, tensor) pairs, whose roles then rest on names alone.
        select: "qk" (queries and keys), "attention" (also values and outputs), "mlp", "all"
            (every matrix but embeddings, heads, norms, routers and adapters), regular expressions
            that must match a whole name, or a callable ``(name, parameter, role) -> bool``.
            Only a callable may choose an embedding, a head or a norm.
        blocks: Blocks by parameter name, or a callable ``(name, parameter, role)`` that returns
            blocks or None for the automatic ones.

    Returns:
        The table. Tied parameters have one row and are decayed once.

    Raises:
        ValueError: If `select` is unknown, an expression or a name in `blocks` matches no
            parameter, or nothing is selected.

    Example:
        >>> table = select_parameters(nn.TransformerEncoderLayer(8, 2, 16))
        >>> print(*(row.blocks.describe(row.parameter.shape) for row in table.selected))
        query 8x8, key 8x8
    """
    _check_blocks(blocks)
    pairs = named_tensors(source)
    tensors = dict(pairs)
    roles = parameter_roles(source if isinstance(source, nn.Module) else pairs)
    known = [name for role in roles.values() for name in (role.name, *role.aliases)]
    _check_select(select, known)
    if isinstance(blocks, Mapping):
        for name in blocks:
            if name not in roles:
                raise ValueError(f"blocks names no parameter {name!r}{_closest(name, known)}")
    table = DecayTable(
        tuple(
            _row(tensors[name], role, select, blocks)
            for name, role in roles.items()
            if tensors[name].ndim >= 2
        )
    )
    if not table.selected:
        raise ValueError(
            f"nothing to decay under select={select!r}; pass another of "
            f"{', '.join(map(repr, SELECTIONS))}, a list of regular expressions such as "
            f"[r'.*\\.attn\\.q\\.weight'], or a callable (name, parameter, role) -> bool:\n{table}"
        )
    return table


def _row(parameter: Tensor, role: ParameterRole, select: Select, blocks: Blocks) -> Row:
    chosen, reason = _is_selected(parameter, role, select)
    if not chosen:
        return Row(role, parameter, None, reason)
    spec = _blocks(parameter, role, blocks)
    if spec is None:
        return Row(role, parameter, None, f"{reason}; pass blocks to say which matrices it holds")
    if select == "qk":
        spec = spec.without("value")
    if spec is None:
        return Row(role, parameter, None, "its blocks hold values only")
    if any(min(shape[-2:]) < 2 for shape in spec.shapes(parameter.shape)):
        # The nuclear norm of a vector is its length: the decay would be purely radial.
        return Row(role, parameter, None, "its blocks are vectors")
    if role.aliases:
        reason += f"; tied with {', '.join(role.aliases)}, decayed once"
    return Row(role, parameter, spec, reason)


def _is_selected(parameter: Tensor, role: ParameterRole, select: Select) -> tuple[bool, str]:
    obstacle = _obstacle(parameter)
    if obstacle:
        return False, obstacle
    if callable(select):
        chosen = bool(select(role.name, parameter, role))
        return chosen, "chosen by the callable" if chosen else "not chosen by the callable"
    if role.kind in _NEVER:
        return False, _NEVER[role.kind] + (f" ({role.reason})" if role.aliases else "")
    if isinstance(select, str):
        chosen = role.kind in SELECTIONS[select]
        return chosen, role.reason if chosen else f"not in {select!r}: {role.reason}"
    for expression in select:
        if any(re.fullmatch(expression, name) for name in (role.name, *role.aliases)):
            return True, f"matches {expression!r}"
    return False, "matches no expression"


def _obstacle(parameter: Tensor) -> str:
    """Why this tensor cannot be decayed whatever the selection; empty when it can."""
    if isinstance(parameter, nn.Parameter) and not parameter.requires_grad:
        return "frozen (requires_grad is False)"
    if hasattr(parameter, "device_mesh"):
        return "sharded (DTensor): a local shard is not the matrix"
    if parameter.layout != torch.strided:
        return "sparse"
    if not parameter.is_floating_point() or parameter.dtype.itemsize < 2:
        return f"{parameter.dtype} (integer, quantised or complex)"
    return ""


def _blocks(parameter: Tensor, role: ParameterRole, blocks: Blocks) -> BlockSpec | None:
    spec = None
    if callable(blocks):
        spec = blocks(role.name, parameter, role)
    elif blocks is not None:
        spec = blocks.get(role.name)
    return automatic_blocks(parameter, role) if spec is None else spec


def _check_blocks(blocks: Blocks) -> None:
    if blocks is None or callable(blocks) or isinstance(blocks, Mapping):
        return
    raise TypeError(
        f"expected blocks as a mapping of names, a callable such as per_head(heads), or None, got "
        f"{blocks!r}; per_head is in spectraledge.decay"
    )


def _check_select(select: Select, names: Sequence[str]) -> None:
    if callable(select):
        return
    if isinstance(select, str):
        check_name("select", select, (*SELECTIONS, "a list of regular expressions", "a callable"))
        return
    for expression in select:
        if not any(re.fullmatch(expression, name) for name in names):
            raise ValueError(
                f"select={expression!r} matches no whole parameter name"
                f"{_closest(expression, names)}"
            )


def _closest(name: str, known: Sequence[str]) -> str:
    # A model has hundreds of names: the closest are worth more than the list.
    return f"; closest: {', '.join(get_close_matches(name, known, n=3, cutoff=0.3)) or 'none'}"
