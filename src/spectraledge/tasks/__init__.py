"""Tasks: finite datasets that a small model can memorise or generalise, one task a file.

A `Task` is a frozen description; ``task.dataset(seed)`` gives its rows, labels and seeded splits.
"""

from spectraledge.tasks.dataset import UNLABELLED, Dataset, Task, answers_of
from spectraledge.tasks.dyck import DyckDepth
from spectraledge.tasks.group import GroupComposition
from spectraledge.tasks.modular import ModularArithmetic
from spectraledge.tasks.scan import Scan
from spectraledge.tasks.several_operations import SeveralOperations
from spectraledge.tasks.shuffled_labels import ShuffledLabels

__all__ = [
    "UNLABELLED",
    "Dataset",
    "DyckDepth",
    "GroupComposition",
    "ModularArithmetic",
    "Scan",
    "SeveralOperations",
    "ShuffledLabels",
    "Task",
    "answers_of",
]
