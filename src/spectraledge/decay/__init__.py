"""Low-rank decay: a drop-in spectral decay for any torch optimizer."""

from .blocks import BlockSpec, Strip, per_head
from .functional import decay_amount, decay_step, low_rank_decay_, low_rank_decayed
from .low_rank_decay import LowRankDecay
from .selection import DecayTable, select_parameters

__all__ = [
    "BlockSpec",
    "DecayTable",
    "LowRankDecay",
    "Strip",
    "decay_amount",
    "decay_step",
    "low_rank_decay_",
    "low_rank_decayed",
    "per_head",
    "select_parameters",
]
