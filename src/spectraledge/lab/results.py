"""What a run left behind, read back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spectraledge.instruments import Instrument
from spectraledge.store import RunFolder
from spectraledge.training import RunSpec

__all__ = ["RunResult"]

Array = NDArray[Any]


@dataclass(frozen=True)
class RunResult:
    """One finished (or failed) run.

    Args:
        spec: What was asked for.
        folder: Where it is.
        failure: The error that ended it, or None.
    """

    spec: RunSpec
    folder: RunFolder
    failure: str | None = None

    @cached_property
    def curves(self) -> dict[str, Array]:
        """Metrics ``(T,)`` by name, with their ``step``."""
        return self.folder.read_curves()

    def curve(self, name: str) -> tuple[Array, Array]:
        """Steps and one metric.

        Args:
            name: Name of the metric, e.g. ``validation_accuracy``.

        Returns:
            Two arrays ``(T,)``.

        Raises:
            KeyError: If there is no such metric; the message lists the known ones.
        """
        if name not in self.curves:
            raise KeyError(f"no metric {name!r}; known: {', '.join(self.curves)}")
        return self.curves["step"], self.curves[name]

    def reading(self, instrument: Instrument) -> tuple[Array, dict[str, Array]]:
        """Steps ``(T,)`` and arrays ``(T, ...)`` that an instrument measured on this run."""
        return self.folder.read_reading(instrument)

    @property
    def diverged_at(self) -> int | None:
        """Step at which loss or gradient stopped being finite; None if it never did."""
        lost = int(np.max(self.curves["lost_at"]))
        return None if lost < 0 else lost
