"""Low-rank decay: a drop-in spectral decay for any torch optimizer."""

from spectraledge.decay.amount import decay_amount
from spectraledge.decay.blocks import BlockSpec, Strip, per_head
from spectraledge.decay.functional import decay_step, low_rank_decay_, low_rank_decayed
from spectraledge.decay.low_rank_decay import LowRankDecay
from spectraledge.decay.selection import DecayTable, select_parameters

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
