"""Pace: how fast work goes on, and when it will end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

__all__ = ["Pace"]


class Pace:
    """Speed over the last seconds, so that the compilation at the start does not count for long.

    Args:
        total: Work to do in all.
        span: Seconds to look back.
        clock: Monotonic time in seconds.

    Example:
        >>> times = iter([0.0, 1.0, 2.0])
        >>> pace = Pace(100, clock=lambda: next(times))
        >>> for done in (0, 10, 20): pace.update(done)
        >>> pace.speed, pace.remaining
        (10.0, 8.0)
    """

    def __init__(
        self, total: float, span: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total, self.span, self.clock = total, span, clock
        self.done = 0.0
        self._marks: deque[tuple[float, float]] = deque()

    def update(self, done: float) -> None:
        """Note how much is done in all; work that is lost, as by a restart, starts a new count."""
        if done < self.done:
            self._marks.clear()
        self.done = done
        now = self.clock()
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] > self.span:
            self._marks.popleft()

    @property
    def speed(self) -> float | None:
        """Work a second, None as long as it is not known."""
        if len(self._marks) < 2:
            return None
        (start, before), (end, after) = self._marks[0], self._marks[-1]
        return (after - before) / (end - start) if end > start and after > before else None

    @property
    def remaining(self) -> float | None:
        """Seconds to the end at this speed, None as long as it is not known."""
        return None if self.speed is None else (self.total - self.done) / self.speed
