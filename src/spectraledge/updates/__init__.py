"""Batched, chainable updates: each changes the gradient or the parameters of R runs at once."""

from spectraledge.updates.adam import Adam
from spectraledge.updates.base import Clock, Groups, State, Update
from spectraledge.updates.chain import Chain, chain
from spectraledge.updates.clip import ClipGradient
from spectraledge.updates.low_rank import LowRank
from spectraledge.updates.sgd import SGD
from spectraledge.updates.weight_decay import WeightDecay

__all__ = [
    "SGD",
    "Adam",
    "Chain",
    "ClipGradient",
    "Clock",
    "Groups",
    "LowRank",
    "State",
    "Update",
    "WeightDecay",
    "chain",
]
