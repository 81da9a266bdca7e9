"""Which low-rank decays act after the steps of an optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from torch import Tensor
from torch.optim import Optimizer

if TYPE_CHECKING:
    from spectraledge.decay.low_rank_decay import LowRankDecay

__all__ = ["DecayWatcher", "attached_decays", "forget_attached", "note_attached"]

_attached: WeakKeyDictionary[Optimizer, list[LowRankDecay]] = WeakKeyDictionary()


class DecayWatcher(Protocol):
    """Looks at parameters right before and right after a decay acts on them."""

    def before(self, parameters: Sequence[Tensor]) -> None:
        """Called with all parameters that are about to be decayed."""

    def after(self, parameters: Sequence[Tensor]) -> None:
        """Called with the same parameters, decayed."""


def note_attached(optimizer: Optimizer, decay: LowRankDecay) -> None:
    """Remember that a decay acts after the optimizer's steps."""
    _attached.setdefault(optimizer, []).append(decay)


def forget_attached(decay: LowRankDecay) -> None:
    """Forget a decay that was detached."""
    for decays in _attached.values():
        if decay in decays:
            decays.remove(decay)


def attached_decays(optimizer: Optimizer) -> tuple[LowRankDecay, ...]:
    """Decays that act after the steps of an optimizer, in the order of their attachment.

    Args:
        optimizer: Any torch optimizer.

    Returns:
        The decays; empty for none.
    """
    return tuple(_attached.get(optimizer, ()))
