"""What can only be told of a complete run: measurements that know the future of each step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor

from spectraledge.instruments.base import Differentiable, Measurement
from spectraledge.snapshots import Snapshot

__all__ = ["KNOWN_UNTIL", "Hindsight"]

KNOWN_UNTIL = "known_until"


class Hindsight(Measurement):
    """A measurement of a complete run. Concrete ones are frozen dataclasses that nobody subclasses.

    An `Instrument` sees a run up to now, so it measures alike while the run is trained and
    afterwards. This needs what comes later, as some published definitions do, so there is only
    one time to measure it: once the run is complete, from its saved snapshots. Nothing that
    trains or observes knows of it.

    Which step a reading took for the end is its output `KNOWN_UNTIL`: it must be redone once the
    run has been trained further.
    """

    @abstractmethod
    def measure_whole(
        self,
        snapshots: Sequence[Snapshot],
        steps: Sequence[int],
        problem: Differentiable | None = None,
    ) -> list[dict[str, Tensor]]:
        """Measure a complete run.

        Args:
            snapshots: All of it, oldest first; without parts.
            steps: At which of them to measure, ascending.
            problem: For those that evaluate the model.

        Returns:
            For every step the arrays ``(R, *axes)`` float64 on the CPU, one per entry of
            ``outputs``.
        """
