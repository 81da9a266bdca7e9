"""Sweeps: many runs, packed into jobs, run by an executor, collected in a ledger."""

from spectraledge.lab.sweep.board import Board, Standing
from spectraledge.lab.sweep.engine import Sweep, Wanted
from spectraledge.lab.sweep.executor import Ended, Executor
from spectraledge.lab.sweep.inline import Inline
from spectraledge.lab.sweep.jobs import CostModel, Job, makespan, measure_costs, pack
from spectraledge.lab.sweep.processes import Processes
from spectraledge.lab.sweep.ray_cluster import RayCluster

__all__ = [
    "Board",
    "CostModel",
    "Ended",
    "Executor",
    "Inline",
    "Job",
    "Processes",
    "RayCluster",
    "Standing",
    "Sweep",
    "Wanted",
    "makespan",
    "measure_costs",
    "pack",
]
