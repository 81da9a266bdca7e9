"""The SCAN language: every command of its grammar, and the actions that it means.

Source: Lake and Baroni (2018), "Generalization without systematicity", arXiv:1711.00350; the
grammar is restated, and generates their 20,910 commands.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

__all__ = ["ACTIONS", "PRIMITIVES", "WORDS", "actions_of", "commands", "verbs_of"]

Command = tuple[str, ...]
Actions = tuple[str, ...]

PRIMITIVES = ("walk", "look", "run", "jump")
DIRECTIONS = ("left", "right")
MANNERS = ("opposite", "around")
REPEATS = {"twice": 2, "thrice": 3}
WORDS = (*PRIMITIVES, "turn", *DIRECTIONS, *MANNERS, *REPEATS, "and", "after")
TURNS = {direction: f"I_TURN_{direction.upper()}" for direction in DIRECTIONS}
ACTIONS = (*TURNS.values(), *(f"I_{word.upper()}" for word in PRIMITIVES))


@cache
def commands() -> tuple[Command, ...]:
    """All 20,910 commands, in a fixed order: sentences alone, then by ``and`` and ``after``.

    Grammar: C → S | S and S | S after S; S → V | V twice | V thrice; V → U | X D | X opposite D |
    X around D with X in U or ``turn``, U in walk, look, run, jump, and D in left, right.

    Returns:
        Commands as tuples of words; every one once.
    """
    sentences = tuple(_sentences())
    joined = ((*a, word, *b) for word in ("and", "after") for a in sentences for b in sentences)
    return (*sentences, *joined)


def _sentences() -> Iterator[Command]:
    for verb in _verbs():
        yield verb
        for repeat in REPEATS:
            yield (*verb, repeat)


def _verbs() -> Iterator[Command]:
    for primitive in PRIMITIVES:
        yield (primitive,)
    for mover in (*PRIMITIVES, "turn"):
        for direction in DIRECTIONS:
            yield (mover, direction)
            for manner in MANNERS:
                yield (mover, manner, direction)


def verbs_of(command: Command) -> tuple[Command, ...]:
    """What a command asks for, without how often: one part, or two where it joins two sentences.

    Args:
        command: Words of a command of the grammar.

    Returns:
        Its verbs, in the order in which they stand.

    Example:
        >>> verbs_of(("jump", "opposite", "left", "twice", "after", "walk"))
        (('jump', 'opposite', 'left'), ('walk',))
    """
    for word in ("and", "after"):
        if word in command:
            at = command.index(word)
            return (*verbs_of(command[:at]), *verbs_of(command[at + 1 :]))
    return (command[:-1] if command[-1] in REPEATS else command,)


def actions_of(command: Command) -> Actions:
    """What a command means: ``after`` does the second part first, ``around`` turns four times.

    Args:
        command: Words of a command of the grammar.

    Returns:
        Actions in the order in which they are done.

    Raises:
        ValueError: For a word that stands where the grammar has none such.

    Example:
        >>> actions_of(("jump", "opposite", "left", "after", "walk"))
        ('I_WALK', 'I_TURN_LEFT', 'I_TURN_LEFT', 'I_JUMP')
    """
    for word in ("and", "after"):
        if word in command:
            at = command.index(word)
            first, second = actions_of(command[:at]), actions_of(command[at + 1 :])
            return (*first, *second) if word == "and" else (*second, *first)
    if command and command[-1] in REPEATS:
        return _verb_actions(command[:-1]) * REPEATS[command[-1]]
    return _verb_actions(command)


def _verb_actions(verb: Command) -> Actions:
    match verb:
        case (primitive,) if primitive in PRIMITIVES:
            return (f"I_{primitive.upper()}",)
        case (mover, direction) if mover in (*PRIMITIVES, "turn") and direction in DIRECTIONS:
            return (TURNS[direction], *_moved(mover))
        case (mover, "opposite", direction) if direction in DIRECTIONS:
            return (TURNS[direction], TURNS[direction], *_moved(mover))
        case (mover, "around", direction) if direction in DIRECTIONS:
            return (TURNS[direction], *_moved(mover)) * 4
    raise ValueError(
        f"expected a part of a SCAN command, such as 'walk' or 'jump around left', got "
        f"{' '.join(verb)!r}"
    )


def _moved(mover: str) -> Actions:
    return () if mover == "turn" else _verb_actions((mover,))
