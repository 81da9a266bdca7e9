"""Problems for functional instruments: a loss that is a known quadratic, and a real model."""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, jvp, vmap

from spectraledge.models import CausalDecoderSpec
from spectraledge.models.second_derivatives import twice_differentiable
from spectraledge.snapshots import Layout, Snapshot, flatten_parameters
from spectraledge.tasks import UNLABELLED, DyckDepth

QUADRATIC_LAYOUT = Layout(("blocks.0.attention.query.weight", "mlp.fc1.weight"), ((5, 4), (3, 2)))
RUNS, P, D = 2, QUADRATIC_LAYOUT.size, 20


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


class QuadraticLoss:
    """Cross-entropy ``q(θ) = 1 + ½ θᵀHθ`` on every row: two classes, ``p(label) = e^−q``."""

    def __init__(self) -> None:
        root = gaussian(RUNS, P, P) / P**0.5
        self.H = root @ root.mT
        self.stacked: list[int] = []

    def loss(self, theta: Tensor, run: Tensor | int) -> Tensor:
        return 1 + torch.einsum("...i,...ij,...j->...", theta, self.H[run], theta) / 2

    def held_out(self, rows: int) -> tuple[Tensor, Tensor]:
        # The run stands in the tokens, and two rows are equal.
        tokens = torch.arange(RUNS)[:, None, None].repeat(1, rows, 3)
        tokens[..., 1] = torch.arange(rows) // 2
        return tokens, torch.zeros(RUNS, rows, dtype=torch.int64)

    def batch(self, step: int, salt: str = "train") -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def gradient(self, theta, tokens, labels):
        raise NotImplementedError

    def logits(self, theta: Tensor, tokens: Tensor) -> Tensor:
        self.stacked.append(tokens.numel())
        q = self.loss(theta, tokens[:, 0, 0])
        margin = -torch.expm1(q).log()
        both = torch.stack([margin, torch.zeros_like(margin)], -1)
        return both.unsqueeze(1).expand(-1, tokens.shape[1], -1)

    def hessian_vector(self, theta, tokens, labels, vectors):
        return torch.einsum("rij,rkj->rki", self.H, vectors)


def quadratic_run(steps: int = 8) -> list[Snapshot]:
    """A random walk in float64 that never comes near zero."""
    walk = 0.3 * gaussian(steps, RUNS, P, seed=3).cumsum(0) + gaussian(RUNS, P, seed=4)
    return [Snapshot(10 * t, QUADRATIC_LAYOUT, theta) for t, theta in enumerate(walk)]


@dataclass
class ModelProblem:
    """Two runs of a tiny causal decoder on bracket depths, in float64 all the way.

    Args:
        rows: How many repeats of a held-out row are wanted: small words repeat a lot.
    """

    task: DyckDepth = field(default_factory=lambda: DyckDepth(4, 10, 60, "published"))

    def __post_init__(self) -> None:
        spec = CausalDecoderSpec(width=8, heads=2, mlp_width=12, positions=8)
        sizes = {"vocabulary": 3, "length": self.task.length, "classes": self.task.classes}
        models = [spec.build(**sizes, seed=seed) for seed in range(2)]
        self.model = models[0].double()
        self.layout = Layout.of(self.model)
        self.start = torch.stack([flatten_parameters(m).double() for m in models])
        self.data = [self.task.dataset(seed) for seed in range(2)]

    def run(self, steps: int = 6) -> list[Snapshot]:
        moves = 0.02 * gaussian(steps, *self.start.shape, seed=5)
        return [Snapshot(t, self.layout, self.start + m) for t, m in enumerate(moves.cumsum(0))]

    def held_out(self, rows: int) -> tuple[Tensor, Tensor]:
        index = [torch.cat([d.validation, d.test])[:rows] for d in self.data]
        return (
            torch.stack([d.tokens[i] for d, i in zip(self.data, index)]),
            torch.stack([d.labels[i] for d, i in zip(self.data, index)]),
        )

    def batch(self, step: int, salt: str = "train") -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def gradient(self, theta, tokens, labels):
        raise NotImplementedError

    def one(self, theta: Tensor, tokens: Tensor) -> Tensor:
        return functional_call(self.model, self.layout.views(theta), (tokens,))

    def logits(self, theta: Tensor, tokens: Tensor) -> Tensor:
        return vmap(self.one)(theta, tokens)

    def loss(self, theta: Tensor, tokens: Tensor, labels: Tensor) -> Tensor:
        logits = self.one(theta, tokens).flatten(0, -2)
        return F.cross_entropy(logits, labels.flatten(), ignore_index=UNLABELLED)

    def hessian_vector(self, theta, tokens, labels, vectors):
        with twice_differentiable():
            return torch.stack([
                torch.stack([self.product(*run[:3], v) for v in run[3]])
                for run in zip(theta, tokens, labels, vectors)
            ])  # fmt: skip

    def product(self, theta, tokens, labels, vector):
        def gradient(at):
            return grad(self.loss)(at, tokens, labels)

        return jvp(gradient, (theta,), (vector,))[1]
