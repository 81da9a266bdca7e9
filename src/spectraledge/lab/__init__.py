"""The laboratory: train what is missing, measure it, store it, read it back."""

from spectraledge.lab.results import RunResult
from spectraledge.lab.run import Plan, Progress, batches, run

__all__ = ["Plan", "Progress", "RunResult", "batches", "run"]
