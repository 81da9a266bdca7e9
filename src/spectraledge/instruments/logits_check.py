"""Whether what a model makes of rows is logits for their labels, in words if it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from spectraledge.tasks import UNLABELLED

__all__ = ["check_logits"]

EVERY_POSITION = "forward=lambda model, tokens: model(tokens)[:, -1] for those of the last position"
INSIDE = "forward=lambda model, tokens: model(tokens).logits, or [0] of a tuple"


def check_logits(
    owner: str, compute: Callable[[], Any], device: torch.device, rows: Tensor, every: Tensor
) -> None:
    """Raise unless a model gives finite logits that fit the labels, the same every time.

    Args:
        owner: Who asks and for what, for messages.
        compute: Runs the model on a few rows.
        device: Where.
        rows: Labels of these rows, ``(B,)`` or ``(B, L)``.
        every: Labels of all rows, which the logits must have.

    Raises:
        ValueError: Otherwise, or if the model fails; torch's random numbers are as before.
    """
    logits = _computed(owner, compute, device)
    if not isinstance(logits, Tensor) or not logits.is_floating_point():
        got = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(
            f"{owner}: expected logits as a tensor of floats, got {got}; pass {INSIDE}"
        )
    if logits.shape[:-1] != rows.shape:
        wanted = (*rows.shape, "classes")
        hint = EVERY_POSITION if rows.ndim == 1 else "a forward that gives these"
        raise ValueError(
            f"{owner}: expected logits {_words(wanted)} for labels {_words(rows.shape)}, got "
            f"{_words(logits.shape)}; pass {hint}"
        )
    labelled = every[every != UNLABELLED]
    low, high = int(labelled.min()), int(labelled.max())
    if low < 0 or high >= logits.shape[-1]:
        raise ValueError(
            f"{owner}: expected labels in 0..{logits.shape[-1] - 1}, the classes of the logits, "
            f"and {UNLABELLED} where there is none, got {low}..{high}"
        )
    if not bool(logits.isfinite().all()):
        raise ValueError(
            f"{owner}: expected finite logits, got {int((~logits.isfinite()).sum())} of "
            f"{logits.numel()} that are not; start from a model that has not diverged"
        )


def _computed(owner: str, compute: Callable[[], Any], device: torch.device) -> Any:
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_gpu else []):
        before = _random_states(on_gpu, device)
        try:
            logits = compute()
        except Exception as error:
            raise ValueError(
                f"{owner}: the model fails on the first rows ({type(error).__name__}: {error}); "
                "check the tokens, and for a model that takes more than them pass "
                "forward=lambda model, tokens: ..."
            ) from error
        after = _random_states(on_gpu, device)
    if all(torch.equal(*states) for states in zip(before, after)):
        return logits
    raise ValueError(
        f"{owner}: expected the same logits every time, but the model draws random numbers in eval "
        "mode too; draw them only if self.training, as nn.Dropout does"
    )


def _random_states(on_gpu: bool, device: torch.device) -> list[Tensor]:
    own = [torch.get_rng_state()]
    return [*own, torch.cuda.get_rng_state(device)] if on_gpu else own


def _words(shape: tuple[object, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
