"""Compiling by the operations that a function performs."""

import torch
from torch.func import grad, jvp, vmap

from spectraledge.training import Execution
from spectraledge.training.execution import compiled_operations


def cubic_curvature(x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Second derivative of Σ x³ along v: 6 x v."""

    def one(x, v):
        return jvp(grad(lambda y: (y**3).sum()), (x,), (v,))[1]

    return vmap(one)(x, v)


def test_compiles_nested_derivatives_once_for_each_shape():
    traced = []

    def counted(x, v):
        traced.append(x.shape)
        return cubic_curvature(x, v)

    call = compiled_operations(counted, Execution())
    for rows in (2, 2, 3):
        x, v = torch.arange(2.0 * rows).reshape(rows, 2), torch.ones(rows, 2)
        # Small integers: exact in float32.
        assert torch.equal(call(x, v), 6 * x)
    assert traced == [(2, 2), (3, 2)]


def test_values_are_not_recorded():
    call = compiled_operations(cubic_curvature, Execution())
    call(torch.zeros(1, 3), torch.zeros(1, 3))
    x = torch.tensor([[1.0, 2.0, 3.0]])
    assert torch.equal(call(x, x), 6 * x * x)


def test_runs_as_it_is_where_nothing_is_compiled():
    assert compiled_operations(cubic_curvature, Execution(compile=False)) is cubic_curvature
