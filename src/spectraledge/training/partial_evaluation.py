"""Functions of two arguments with everything that depends on the second alone computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

__all__ = ["partial_evaluation"]

Function = Callable[..., Any]
MASKED = torch.ops.aten.masked_fill.Scalar


def partial_evaluation(
    function: Callable[..., Tensor], first: Tensor, others: Sequence[Tensor]
) -> tuple[Function, Function]:
    """Split ``function(first, *others)`` into what needs only the others, and the rest.

    Args:
        function: Of tensors alone; what it performs may depend on their shapes, not their values.
        first: An example of the first argument.
        others: An example of the others.

    Returns:
        ``prepare`` and ``finish`` with ``function(x, *y) == finish(x, *prepare(*y))``, for
        arguments of these shapes. Minus infinity is added where the function puts it under a
        mask, which is the same for finite numbers.

    Example:
        >>> prepare, finish = partial_evaluation(lambda x, y: x * y.exp(), torch.ones(2),
        ...                                      [torch.ones(2)])
        >>> known = prepare(torch.zeros(2))
        >>> finish(torch.tensor([3.0, 4.0]), *known).tolist()
        [3.0, 4.0]
    """
    record = make_fx(lambda x, *y: function(x, *y), {MASKED: _masked})(first, *others)
    nodes = list(record.graph.nodes)
    free, *fixed = (node for node in nodes if node.op == "placeholder")
    needs = _descendants(nodes, free)
    known = [n for n in nodes if n not in needs and _used_by(n, needs)]
    prepare = _part(record, fixed, [n for n in nodes if n not in needs], known)
    (result,) = (node.args[0] for node in nodes if node.op == "output")
    finish = _part(record, [free, *known], [n for n in nodes if n in needs], result)
    return prepare, finish


def _masked(x: Tensor, mask: Tensor, value: float) -> Tensor:
    if value != -inf:
        return torch.where(mask, value, x)
    # Compiled, a sum takes half as long as a choice, and what is added does not depend on x.
    return x + torch.where(mask, -inf, torch.zeros((), dtype=x.dtype, device=x.device))


def _descendants(nodes: Sequence[Node], of: Node) -> set[Node]:
    found = {of}
    for node in nodes:
        if not found.isdisjoint(node.all_input_nodes):
            found.add(node)
    return found


def _used_by(node: Node, others: set[Node]) -> bool:
    return not others.isdisjoint(node.users)


def _part(
    record: GraphModule, inputs: Sequence[Node], nodes: Sequence[Node], result: Any
) -> GraphModule:
    """The part of a record that computes the result from inputs by the nodes."""
    graph = Graph()
    copies = {node: graph.placeholder(f"input_{i}") for i, node in enumerate(inputs)}
    for node in nodes:
        if node.op not in ("placeholder", "output") and node not in copies:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(torch.fx.map_arg(result, copies.__getitem__))
    return GraphModule(record, graph)
