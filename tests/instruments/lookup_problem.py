"""A problem whose representation of a token is a column of one attention matrix."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spectraledge.instruments.labelled_tokens import LabelledTokens
from spectraledge.snapshots import Layout, Snapshot
from spectraledge.tasks import UNLABELLED

PAD = 11


class Block(nn.Module):
    def __init__(self, symbols: int, width: int) -> None:
        super().__init__()
        self.attention = nn.Module()
        self.attention.query = nn.Linear(symbols, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention.query(x)


class Lookup(nn.Module):
    """Tokens ``(N, T)`` to columns of the query matrix ``(N, T, width)``, which are the logits."""

    def __init__(self, symbols: int = PAD + 1, width: int = PAD + 1) -> None:
        super().__init__()
        self.symbols = symbols
        self.blocks = nn.ModuleList([Block(symbols, width)])

    def forward(self, tokens: Tensor) -> Tensor:
        dtype = self.blocks[0].attention.query.weight.dtype
        return self.blocks[0](F.one_hot(tokens, self.symbols).to(dtype))


@dataclass
class LookupProblem:
    """R runs of `Lookup`; the label of a token is the token, padding has none."""

    tokens: Tensor
    trained: Tensor | None = None
    answers: tuple[str, ...] = ()

    @property
    def skeleton(self) -> nn.Module:
        return Lookup().to("meta")

    def held_out(self, rows: int) -> tuple[Tensor, Tensor]:
        tokens = self.tokens[:, :rows]
        return tokens, tokens.where(tokens != PAD, UNLABELLED)

    def occurs_in_training(self, tokens: Tensor) -> Tensor:
        none = torch.zeros(tokens.shape[:2], dtype=torch.bool)
        return none if self.trained is None else self.trained[:, : tokens.shape[1]]

    def batch(self, step: int, salt: str = "train") -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def logits(self, theta: Tensor, tokens: Tensor) -> Tensor:
        raise NotImplementedError

    def gradient(self, theta: Tensor, tokens: Tensor, labels: Tensor):
        raise NotImplementedError

    def hessian_vector(self, theta: Tensor, tokens: Tensor, labels: Tensor, vectors: Tensor):
        raise NotImplementedError


def snapshots(*matrices: Tensor) -> list[Snapshot]:
    """Snapshots whose query matrices ``(R, width, symbols)`` are given."""
    layout = Layout.of(Lookup())
    return [Snapshot(step, layout, matrix.flatten(1)) for step, matrix in enumerate(matrices)]


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def depths(rows: int, length: int, seed: int = 0, below: int = PAD) -> Tensor:
    """Rows of a reflected walk that starts at 1, as depths of brackets are."""
    chance = torch.Generator().manual_seed(seed)
    steps = 2 * torch.randint(2, (rows, length), generator=chance) - 1
    at, walk = torch.ones(rows, dtype=torch.int64), []
    for step in steps.unbind(1):
        walk.append(at)
        at = (at + step).abs().clamp(max=below - 1)
    return torch.stack(walk, 1)


def labelled(features: Tensor, labels: Tensor, trained: Tensor | None = None) -> LabelledTokens:
    """Tokens of rows ``(N, T)`` with features ``(N, T, D)``."""
    rows, length = labels.shape
    row = torch.arange(rows).repeat_interleave(length)
    none = torch.zeros(rows, dtype=torch.bool)
    return LabelledTokens(
        features.flatten(0, 1),
        labels.flatten(),
        labels.flatten(),
        row,
        torch.arange(length).repeat(rows),
        (none if trained is None else trained)[row],
    )
