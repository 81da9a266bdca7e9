"""A problem whose loss is a quadratic per batch, so that every Hessian is known."""

import hashlib

import torch
from torch import Tensor

from spectraledge.snapshots import Layout, Snapshot

# Two attention matrices, one MLP matrix and a bias.
LAYOUT = Layout(
    ("blocks.0.attention.query.weight", "blocks.0.attention.key.weight", "mlp.fc1.weight", "b"),
    ((4, 3), (3, 3), (3, 2), (3,)),
)
RUNS, P = 2, LAYOUT.size


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


class Quadratic:
    """Loss ``½ (θ − c)ᵀ H (θ − c)`` with H and c of each batch drawn from its step and salt.

    Args:
        spectrum: Eigenvalues ``(R, P)`` of every Hessian; None for Gaussian ones.
    """

    def __init__(self, spectrum: Tensor | None = None) -> None:
        self.spectrum = spectrum

    def batch(self, step: int, salt: str = "train") -> tuple[Tensor, Tensor]:
        key = int.from_bytes(hashlib.sha256(f"{step}/{salt}".encode()).digest()[:4], "big")
        tokens = torch.full((RUNS, 1, 1), key)
        return tokens, tokens[..., 0]

    def held_out(self, rows: int) -> tuple[Tensor, Tensor]:
        return self.batch(rows, "held_out")

    def hessian(self, tokens: Tensor) -> Tensor:
        seed = int(tokens[0, 0, 0])
        drawn = gaussian(RUNS, P, P, seed=seed)
        if self.spectrum is None:
            return drawn + drawn.mT
        Q = torch.linalg.qr(drawn)[0]
        return Q @ torch.diag_embed(self.spectrum) @ Q.mT

    def gradient(self, theta: Tensor, tokens: Tensor, labels: Tensor):
        offset = theta - gaussian(RUNS, P, seed=int(tokens[0, 0, 0]) + 1)
        gradient = torch.einsum("rij,rj->ri", self.hessian(tokens), offset.double())
        loss = (gradient * offset).sum(1) / 2
        return gradient, loss, torch.zeros(RUNS)

    def hessian_vector(self, theta: Tensor, tokens: Tensor, labels: Tensor, vectors: Tensor):
        return torch.einsum("rij,rkj->rki", self.hessian(tokens), vectors)

    def logits(self, theta: Tensor, tokens: Tensor) -> Tensor:
        raise NotImplementedError


def run(steps: int, *, seed: int = 0) -> list[Snapshot]:
    """A random walk in float64."""
    walk = gaussian(steps, RUNS, P, seed=seed).cumsum(0)
    return [Snapshot(10 * t, LAYOUT, theta) for t, theta in enumerate(walk)]
