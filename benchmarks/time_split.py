"""Where the seconds of a call go: named functions are timed, each without the named ones inside."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from inspect import isgeneratorfunction
from typing import Any
from unittest import mock

__all__ = ["REST", "TimeSplit"]

REST = "rest"
# Owner of a function, its name there, and the part that its time belongs to.
Timed = tuple[Any, str, str]


class TimeSplit:
    """Own seconds of named parts while `watching`; the time of nobody belongs to `REST`.

    Args:
        timed: Functions to time; several may make one part. Of a generator, the time between
            asking for a value and getting it counts.
        clock: What tells the time.

    Attributes:
        seconds: By part.
    """

    def __init__(
        self, timed: Sequence[Timed], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._timed = timed
        self._clock = clock
        self._inner: list[str] = []
        self._since = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Time what happens inside; entered again, it adds to what it knows."""
        with ExitStack() as patches:
            for owner, attribute, part in self._timed:
                wrapped = self._wrap(getattr(owner, attribute), part)
                patches.enter_context(mock.patch.object(owner, attribute, wrapped))
            with self._inside(REST):
                yield

    @property
    def part(self) -> str:
        """The part that is under way."""
        return self._inner[-1] if self._inner else REST

    def _wrap(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            with self._inside(part):
                return function(*arguments, **options)

        def generate(*arguments: Any, **options: Any) -> Iterator[Any]:
            values, end = function(*arguments, **options), object()
            while True:
                with self._inside(part):
                    value = next(values, end)
                if value is end:
                    return
                yield value

        return generate if isgeneratorfunction(function) else call

    @contextmanager
    def _inside(self, part: str) -> Iterator[None]:
        self._charge()
        self._inner.append(part)
        try:
            yield
        finally:
            self._charge()
            self._inner.pop()

    def _charge(self) -> None:
        now = self._clock()
        if self._inner:
            self.seconds[self._inner[-1]] += now - self._since
        self._since = now
