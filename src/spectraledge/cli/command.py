"""What a subcommand is, and the two ways in which one ends early."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, ClassVar

from tyro.conf import FlagCreatePairsOff, arg
from tyro.constructors import PrimitiveConstructorSpec

__all__ = ["Command", "Interrupted", "Root", "default_is", "one_of"]

Root = Annotated[Path, arg(metavar="FOLDER")]


@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """A subcommand: its fields are its flags, ``imports`` the slow modules it cannot do without.

    Args:
        traceback: Show the whole traceback of an error.
    """

    traceback: FlagCreatePairsOff[bool] = False

    imports: ClassVar[tuple[str, ...]] = ("spectraledge.lab", "rich.live", "rich.progress_bar")

    @abstractmethod
    def execute(self) -> int:
        """Do it and return the exit code."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with what is to be said about the work left behind; the same command resumes it."""


def one_of(*known: str) -> PrimitiveConstructorSpec[str]:
    """Annotation of a flag that takes one of `known` names.

    An unknown name is an error that lists the known ones and the closest, which the parser's own
    choices do not.

    Args:
        *known: The names.

    Returns:
        What to put beside the type in ``Annotated``.
    """

    def check(words: Sequence[str]) -> str:
        (name,) = words
        if name in known:
            return name
        near = get_close_matches(name, known, 1, cutoff=0.5)
        closest = f"; closest: {near[0]!r}" if near else ""
        raise ValueError(f"unknown name {name!r}; known: {', '.join(known)}{closest}")

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="{" + "|".join(known) + "}",
        instance_from_str=check,
        is_instance=lambda value: isinstance(value, str),
        str_from_instance=lambda name: [name],
    )


def default_is(text: str, metavar: str | None = None) -> object:
    """Annotation of a flag whose default depends on other flags, with the words to say so."""
    return arg(help_behavior_hint=f"(default: {text})", metavar=metavar)
