"""Training of R runs at once, as a generator of snapshots."""

from spectraledge.training.cadence import At, Cadence, Every
from spectraledge.training.execution import Execution
from spectraledge.training.groups import parameter_groups
from spectraledge.training.loop import Trainer, train
from spectraledge.training.problem import Problem
from spectraledge.training.schedule import Schedule
from spectraledge.training.spec import RunSpec, batch_key
from spectraledge.training.state import TrainState, merge_states

__all__ = [
    "At",
    "Cadence",
    "Every",
    "Execution",
    "Problem",
    "RunSpec",
    "Schedule",
    "TrainState",
    "Trainer",
    "batch_key",
    "merge_states",
    "parameter_groups",
    "train",
]
