"""Small sweeps, tasks that make trouble on purpose, and what counts as the same result."""

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from cases import EAGER, TINY, tiny
from spectraledge.instruments import WeightSpectrum
from spectraledge.lab import Plan
from spectraledge.lab.decision import Decision
from spectraledge.models import ScaleInvariantDecoderSpec
from spectraledge.tasks import ModularArithmetic
from spectraledge.training import Every
from spectraledge.updates import Adam

# The smallest network, 40 steps: memorises half of its 24 pairs at steps that differ by seed.
SMALL = ScaleInvariantDecoderSpec(width=8, layers=1, heads=2, mlp_width=8)
HALF = Decision("train_accuracy", threshold=0.5, patience=2)


def small(**changes):
    chosen = {"model": SMALL, "steps": 40, "record_every": 4, "lr": 1e-2}
    return tiny(**chosen | changes)


def plan_at(root, **changes):
    chosen = {"instruments": ((WeightSpectrum(), Every(8)),), "execution": EAGER}
    return Plan(Path(root), **chosen | changes)


def result(row):
    """All of a row that is a result, down to the bits of its curves."""
    curves = {name: (c.dtype.str, c.tobytes()) for name, c in sorted(row.curves.items())}
    return row.signature, row.name, row.spec_json, row.state, curves


def results(ledger):
    return [result(row) for row in ledger]


def lines_of(path):
    return path.read_text().splitlines() if path.exists() else []


@dataclass(frozen=True)
class Troubled(ModularArithmetic):
    """Makes trouble when a run asks for its data, and notes that it was asked.

    In the process of the test, which measures what a step costs, it only raises: the others would
    be the end of the test.
    """

    modulus: int = 7
    notes: str = ""
    trouble: str = "raise"
    times: int = 99
    test: int = 0

    def dataset(self, seed):
        if os.getpid() == self.test and self.trouble != "raise":
            return super().dataset(seed)
        notes = Path(self.notes)
        with notes.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if len(lines_of(notes)) <= self.times:
            if self.trouble == "raise":
                raise RuntimeError("these data cannot be had")
            if self.trouble == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(600)
        return super().dataset(seed)


def troubled(folder, trouble, times=99, **changes):
    """A run that makes trouble the first few times it is tried, and where that is noted."""
    notes = folder / f"{trouble}-{changes.get('seed', 0)}.notes"
    return small(task=Troubled(7, notes=str(notes), trouble=trouble, times=times, test=os.getpid()),
                 **changes), notes  # fmt: skip


def counts(rows):
    return Counter(row.state for row in rows)


MIXED = [small(seed=s) for s in range(3)] + [small(seed=s, updates=(Adam(),)) for s in range(2)]

__all__ = [
    "EAGER", "HALF", "MIXED", "SMALL", "TINY", "Troubled", "counts", "lines_of", "plan_at",
    "result", "results", "small", "tiny", "troubled",
]  # fmt: skip
