"""Random numbers of a run that depend on the run alone, not on its batch-mates."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

__all__ = ["generator", "run_keys"]


def run_keys(theta: Tensor) -> Tensor:
    """One integer per run, from a digest of its parameters.

    Runs that start alike get equal keys: arms of one seed see the same random numbers.

    Args:
        theta: Parameters ``(R, P)``, the initial ones for a key that lasts.

    Returns:
        ``(R,)`` int64 >= 0.
    """
    keys = [_digest(run.contiguous().numpy().tobytes()) for run in theta.detach().cpu()]
    return torch.tensor(keys, dtype=torch.int64, device=theta.device)


def generator(key: int, purpose: str, step: int) -> torch.Generator:
    """A generator for one run, purpose and step; always on the CPU, so equal on every device.

    Args:
        key: One of `run_keys`.
        purpose: Keeps the streams of different updates apart.
        step: Number of the step.

    Returns:
        A freshly seeded generator.
    """
    return torch.Generator().manual_seed(_digest(f"{key}/{purpose}/{step}".encode()))


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big") >> 1
