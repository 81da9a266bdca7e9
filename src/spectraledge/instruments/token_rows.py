"""Rows of tokens with their labels, pooled from somebody's batches and checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from spectraledge.tasks import UNLABELLED
from spectraledge.updates.random_streams import generator

__all__ = ["Batches", "TokenRows"]

# Tokens and labels of all rows, or batches of them.
Batches = tuple[Tensor, Tensor] | Iterable[Any]
# What pools of rows are asked in their errors for; the owner stands before it.
OTHER_INPUTS = (
    "for other inputs pass numbers of rows (N, 1) that are unique and look them up, as in "
    "forward=lambda model, rows: model(images[rows[:, 0]])"
)


@dataclass(frozen=True, eq=False)
class TokenRows:
    """N rows on the CPU, each with a label at least.

    Args:
        tokens: ``(N, T)``.
        labels: ``(N,)``, or ``(N, L)`` with one for each of L outputs and `UNLABELLED` where there
            is none.
    """

    tokens: Int64[Tensor, "N T"]
    labels: Int64[Tensor, " N *L"]

    @classmethod
    def of(cls, owner: str, given: Batches) -> TokenRows:
        """The rows of all batches; reading them leaves torch's random numbers as they are.

        Args:
            owner: Who asks and for what, for messages.
            given: ``(tokens, labels)``, or a finite iterable of such pairs.

        Returns:
            The rows, batch by batch.

        Raises:
            ValueError: If there are none, shapes or types are wrong, or a row has no label.

        Example:
            >>> batch = torch.zeros(4, 3, dtype=torch.int64), torch.arange(4)
            >>> len(TokenRows.of("rows", [batch, batch]).labels)
            8
        """
        # A loader seeds its workers from the global generator when it is asked for batches.
        with torch.random.fork_rng(devices=[]):
            batches = [given] if _is_pair(given) else list(given)
        pairs = [_checked(owner, batch) for batch in batches]
        if not sum(len(labels) for _, labels in pairs):
            raise ValueError(
                f"{owner}: expected at least one row, got none in {len(pairs)} batches"
            )
        for pieces in zip(*pairs):
            shapes = sorted({tuple(piece.shape[1:]) for piece in pieces})
            if len(shapes) > 1:
                raise ValueError(
                    f"{owner}: expected rows of one shape in all batches, got {shapes}; pad tokens "
                    f"to one length, and labels with {UNLABELLED}"
                )
        tokens, labels = (torch.cat(pieces) for pieces in zip(*pairs))
        bare = (labels == UNLABELLED).unsqueeze(-1).flatten(1).all(1).nonzero().flatten()
        if len(bare):
            raise ValueError(
                f"{owner}: expected a label in every row, got none in rows {bare[:5].tolist()}; "
                "leave such rows out"
            )
        return cls(tokens, labels)

    def __len__(self) -> int:
        """Number of rows N."""
        return len(self.tokens)

    def drawn(self, size: int, step: int, salt: str) -> TokenRows:
        """Random rows, a function of the arguments alone; consecutive steps share none.

        Args:
            size: How many, 1 to N.
            step: Which batch, >= 0; those of one epoch of ``N // size`` steps share no row.
            salt: Orders of other salts are independent.

        Returns:
            The rows.
        """
        epoch, number = divmod(step, len(self) // size)
        order = torch.randperm(len(self), generator=generator(0, salt, epoch))
        chosen = order[number * size : (number + 1) * size]
        return TokenRows(self.tokens[chosen], self.labels[chosen])

    def contains(self, tokens: Int64[Tensor, "*rows T"]) -> Bool[Tensor, "*rows"]:
        """Which rows of tokens are among these."""
        flat = tokens.flatten(0, -2).cpu()
        found = [row.numpy().tobytes() in self._known for row in flat.contiguous()]
        return torch.tensor(found, dtype=torch.bool).view(tokens.shape[:-1])

    @cached_property
    def _known(self) -> frozenset[bytes]:
        return frozenset(row.numpy().tobytes() for row in self.tokens)


def _is_pair(given: Any) -> bool:
    """Whether it is one batch; a loader gives lists."""
    return (
        isinstance(given, (tuple, list))
        and len(given) == 2
        and all(isinstance(x, Tensor) for x in given)
    )


def _checked(owner: str, batch: Any) -> tuple[Tensor, Tensor]:
    """Tokens and labels of one batch as int64 on the CPU."""
    if not _is_pair(batch):
        raise ValueError(
            f"{owner}: expected batches (tokens, labels) of two tensors, got "
            f"{type(batch).__name__}; of mappings, as Hugging Face has them, take "
            "[(b['input_ids'], b['labels']) for b in batches]"
        )
    tokens, labels = (x.detach().cpu() for x in batch)
    if not _whole(tokens) or tokens.ndim != 2:
        raise ValueError(
            f"{owner}: expected integer tokens (N, T), got {tokens.dtype} "
            f"{tuple(tokens.shape)}; {OTHER_INPUTS}"
        )
    if not _whole(labels) or labels.ndim not in (1, 2) or len(labels) != len(tokens):
        raise ValueError(
            f"{owner}: expected integer labels ({len(tokens)},) or ({len(tokens)}, L), one a row "
            f"or one for each of L outputs and {UNLABELLED} where there is none, got "
            f"{labels.dtype} {tuple(labels.shape)}"
        )
    return tokens.long(), labels.long()


def _whole(values: Tensor) -> bool:
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)
