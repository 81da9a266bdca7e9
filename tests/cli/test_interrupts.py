"""Ctrl-C ends a command wherever it comes."""

from __future__ import annotations

import signal
import sys
import time
import weakref
from dataclasses import dataclass

from spectraledge.cli import entry
from spectraledge.cli.command import Command


class Ended:
    """Something with an end."""


@dataclass(frozen=True, kw_only=True)
class Working(Command):
    """Is interrupted where Python drops exceptions, and goes on working."""

    def execute(self) -> int:
        thing = Ended()
        watched = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
        del thing
        assert watched() is None
        time.sleep(60)
        return 0


def test_an_interrupt_in_a_callback_is_not_lost(monkeypatch, capsys):
    monkeypatch.setattr(entry, "_parse", lambda words: Working())
    begun, hook = time.monotonic(), sys.unraisablehook
    assert entry.main(["working"]) == entry.INTERRUPTED
    assert time.monotonic() - begun < 30
    told = capsys.readouterr().err
    assert "Interrupted." in told
    assert "ignored" not in told
    assert sys.unraisablehook is hook


def test_other_dropped_errors_are_told_as_ever(monkeypatch):
    class Failing(Command):
        def execute(self) -> int:
            thing = Ended()
            watched = weakref.ref(thing, lambda _: 1 / 0)
            del thing
            return 0 if watched() is None else 1

    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: told.append(lost.exc_type))
    monkeypatch.setattr(entry, "_parse", lambda words: Failing())
    assert entry.main(["failing"]) == 0
    assert told == [ZeroDivisionError]
