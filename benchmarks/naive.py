"""The reference configuration as a first script would write it: the baseline of the benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from spectraledge.training import RunSpec

WIDTH, HEADS, HIDDEN = 128, 4, 512


class RMSNorm(nn.Module):
    """Normalise, scale, apply the gain."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """Apply to the last axis."""
        return F.normalize(x, dim=-1) * WIDTH**0.5 * self.gain


class Block(nn.Module):
    """Attention and MLP at every position."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.q_norm, self.k_norm, self.norm1, self.norm2 = (RMSNorm() for _ in range(4))
        self.up = nn.Linear(WIDTH, HIDDEN, bias=False)
        self.down = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Residual stream after the block."""
        h = self.norm1(x)

        def heads(y: Tensor) -> Tensor:
            return y.view(*y.shape[:-1], HEADS, -1).transpose(1, 2)

        q, k, v = heads(self.q_norm(self.q(h))), heads(self.k_norm(self.k(h))), heads(self.v(h))
        weight = torch.softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5, dim=-1)
        x = x + self.o((weight @ v).transpose(1, 2).reshape(x.shape))
        return x + self.down(F.silu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """Two blocks, logits of every position, the last one used."""

    def __init__(self, tokens: int, length: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, WIDTH)
        self.position = nn.Parameter(0.02 * torch.randn(1, length, WIDTH))
        self.blocks = nn.Sequential(Block(), Block())
        self.norm, self.head = RMSNorm(), nn.Linear(WIDTH, tokens, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits at the last position."""
        x = self.blocks(self.embedding(tokens) + self.position)
        return self.head(self.norm(x))[:, -1]


class LibraryEncoder(nn.Module):
    """The encoder of arXiv:2602.16746 out of torch's own layers, every position of every layer.

    Args:
        tokens: Size of the vocabulary.
        length: Number of positions.
    """

    def __init__(self, tokens: int, length: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, WIDTH)
        self.position = nn.Parameter(torch.randn(length, WIDTH) * WIDTH**-0.5)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 2 * WIDTH, dropout=0.0, activation="gelu", batch_first=True,
            norm_first=True,
        )  # fmt: skip
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, tokens)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits at position 0."""
        x = self.encoder(self.embedding(tokens) + self.position)
        return self.head(self.norm(x[:, 0]))


class Pairs(Dataset):
    """Examples as Python tuples."""

    def __init__(self, spec: RunSpec) -> None:
        data = spec.task.dataset(spec.data_seed)
        rows = data.train.tolist()
        self.examples = [(tuple(data.tokens[r].tolist()), int(data.labels[r])) for r in rows]

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """One example as two small tensors."""
        tokens, label = self.examples[index]
        return torch.tensor(tokens), torch.tensor(label)


def naive_loop(spec: RunSpec) -> Callable[[], None]:
    """One step of an eager loop: DataLoader over tuples, every layer whole, torch.optim.AdamW.

    Args:
        spec: The reference run.

    Returns:
        A function that takes one step.
    """
    model = Transformer(spec.task.vocabulary, spec.task.length)
    optimizer = torch.optim.AdamW(model.parameters(), lr=spec.lr, weight_decay=0.1)
    # Equal batches, so that every timed step does the same work.
    loader = DataLoader(Pairs(spec), batch_size=spec.batch_size, shuffle=True, drop_last=True)

    def endless() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from loader

    batches = endless()

    def step() -> None:
        tokens, labels = next(batches)
        optimizer.zero_grad()
        F.cross_entropy(model(tokens), labels).backward()
        optimizer.step()

    return step
