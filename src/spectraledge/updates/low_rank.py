"""placeholder"""

from dataclasses import dataclass
from typing import ClassVar
from spectraledge.updates.base import Update


@dataclass(frozen=True)
class LowRank(Update):
    strength: float
    part: ClassVar[str | None] = "low_rank"
    compiled: ClassVar[bool] = False

    def apply_(self, theta, gradient, state, hyper, clock):
        pass
