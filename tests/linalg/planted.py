"""Matrices with known singular values, and slow obvious twins of the fast functions."""

import torch
from torch import Tensor

SPECTRA = ("gauss", "power", "geo6", "lowrank")


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def orthogonal(n: int, seed: int) -> Tensor:
    return torch.linalg.qr(gaussian(n, n, seed=seed))[0]


def spectrum(kind: str, n: int) -> Tensor:
    """Singular values of Frobenius norm 1, largest first."""
    index = torch.arange(n, dtype=torch.float64)
    values = {
        "gauss": lambda: torch.linalg.svdvals(gaussian(n, n, seed=n)),
        "power": lambda: 1 / (1 + index),
        "geo6": lambda: 10 ** (-6 * index / (n - 1)),
        "lowrank": lambda: torch.where(index < 8, 1 / (1 + index), 1e-6),
    }[kind]()
    return values / values.norm()


def planted(values: Tensor, rows: int, columns: int, seed: int = 0):
    """U, V and W = U S V^T of the given shape; U and V are square."""
    U, V = orthogonal(rows, seed + 1), orthogonal(columns, seed + 2)
    q = min(rows, columns)
    return U, V, (U[:, :q] * values) @ V[:, :q].mT


def default_linear(n: int = 128, seed: int = 0) -> Tensor:
    """What torch.nn.Linear starts from: entries uniform in +-1/sqrt(n)."""
    uniform = torch.rand(n, n, generator=generator(seed), dtype=torch.float64)
    return (2 * uniform - 1) / n**0.5


def published_loop(weight: Tensor) -> Tensor:
    """Five cubic steps on a square matrix, written out."""
    X = weight / (weight.norm() + 1e-8)
    for _ in range(5):
        X = 0.5 * X @ (3 * torch.eye(weight.shape[0], dtype=weight.dtype) - X.mT @ X)
    return X
