"""SCAN: commands to sequences of actions, all 20,910 of them, with its eight splits."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import torch
from torch import Tensor

from spectraledge.tasks.dataset import UNLABELLED, Dataset
from spectraledge.tasks.scan_language import (
    ACTIONS,
    PRIMITIVES,
    WORDS,
    actions_of,
    commands,
    verbs_of,
)

__all__ = ["Scan"]

PAD, START, END = 0, 1, 2
SPECIAL = 3
# Longest command and longest sequence of actions, and two more, as published.
SOURCE_LENGTH, TARGET_LENGTH = 9 + 2, 48 + 2
LONGEST_TRAINED = 22
# Share of the rows that trains under the simple split.
SIMPLE_SHARE = 0.8

Command = tuple[str, ...]
# True for a command that may train, False for a held-out one, None for one of neither side.
Side = Callable[[Command], bool | None]


def _short(command: Command) -> bool:
    return len(actions_of(command)) <= LONGEST_TRAINED


def _without_jump(command: Command) -> bool:
    return "jump" not in command or command == ("jump",)


def _without_turn_left(command: Command) -> bool:
    return ("turn", "left") not in verbs_of(command) or command == ("turn", "left")


def _template(primitives: Iterable[str], *manner: str) -> Side:
    """Holds out the primitives with a manner to the right; what turns so is on neither side."""
    held_out = {(primitive, *manner, "right") for primitive in primitives}
    turned = ("turn", *manner, "right")

    def side(command: Command) -> bool | None:
        verbs = set(verbs_of(command))
        return None if turned in verbs else verbs.isdisjoint(held_out)

    return side


# On which side a command is, for the splits that the language decides.
SIDES: Mapping[str, Side] = MappingProxyType({
    "length": _short,
    "add_jump": _without_jump,
    "add_turn_left": _without_turn_left,
    "template_jump_around_right": _template(["jump"], "around"),
    "template_primitive_right": _template(PRIMITIVES),
    "template_primitive_opposite_right": _template(PRIMITIVES, "opposite"),
    "template_primitive_around_right": _template(PRIMITIVES, "around"),
})  # fmt: skip
SPLITS = ("simple", *SIDES)


@dataclass(frozen=True)
class Scan:
    """Translate a command into actions, token by token, with the right actions before each.

    A row is a command of 11 tokens followed by the decoder's input of 50: a start token and the
    actions. Labels are the 50 tokens that come next, the actions and an end token, and
    `UNLABELLED` on padding. Commands and actions have ids of their own: 0 padding, 1 start, 2 end,
    then the words in the order of `WORDS` and `ACTIONS`.

    ``simple`` trains on 80 % of the commands, drawn evenly; ``length`` on those of at most 22
    actions; ``add_jump`` on those without ``jump``, and on ``jump`` alone; ``add_turn_left`` on
    those without ``turn left``, and on it alone. Every command stands once, where the published
    files of the latter two repeat the primitive.

    The templates hold out every command with a verb of a form: ``template_jump_around_right`` of
    ``jump around right``, ``template_primitive_right`` of ``X right``,
    ``template_primitive_opposite_right`` of ``X opposite right`` and
    ``template_primitive_around_right`` of ``X around right``, with X each of walk, look, run and
    jump. The 1209 commands that ``turn`` in that form are on neither side, as in the published
    files, whose sizes these are: 18,528 and 1173, and for the other three 15,225 and 4476.

    Args:
        split: Which.
        train: Training rows that are kept, drawn evenly; None for all.
        held_out: Held-out rows that are kept, half for validation and half for test; None for all.
        longest: Most actions of a command that is kept, on both sides; None for all commands.
            14,142 commands have at most 16.

    Raises:
        ValueError: For an unknown split or sizes out of range; in `dataset` for more rows than
            the split has.

    Source: Lake and Baroni (2018), arXiv:1711.00350; templates of Loula, Baroni and Lake (2018),
    arXiv:1807.07545, whose text we could not read: what trains there follows from the sizes of the
    published files and from excerpts of them; layout and the 2048 training rows of
    arXiv:2604.07380. Differs in the random draws and in the order of ids.

    Example:
        >>> data = Scan(train=20, held_out=10).dataset(seed=0)
        >>> data.tokens.shape, data.labels.shape
        (torch.Size([30, 61]), torch.Size([30, 50]))
    """

    split: str = "simple"
    train: int | None = 2048
    held_out: int | None = 500
    longest: int | None = None

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"Scan: expected split to be one of {SPLITS}, got {self.split!r}")
        for name, least in (("train", 1), ("held_out", 2), ("longest", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"Scan: expected {name} >= {least} or None, got {value}")

    @property
    def vocabulary(self) -> int:
        """Words and special tokens; there are more words than actions."""
        return SPECIAL + len(WORDS)

    @property
    def classes(self) -> int:
        """Actions and special tokens."""
        return SPECIAL + len(ACTIONS)

    @property
    def source_length(self) -> int:
        """Tokens of the command at the beginning of a row."""
        return SOURCE_LENGTH

    @property
    def length(self) -> int:
        """Tokens of the command and of the decoder's input."""
        return SOURCE_LENGTH + TARGET_LENGTH

    def dataset(self, seed: int) -> Dataset:
        """The rows that are kept, training first; the seed decides which, and a simple split."""
        chance = random.Random(seed)
        trained, others = self._sides(chance)
        chosen = self._kept("train", trained, self.train, chance)
        rest = self._kept("held_out", others, self.held_out, chance)
        kept = torch.tensor(chosen + rest)
        validation = len(chosen) + len(rest) // 2
        tokens, labels = _rows()
        rows = torch.arange(len(kept))
        return Dataset(
            tokens=tokens[kept],
            labels=labels[kept],
            train=rows[: len(chosen)],
            validation=rows[len(chosen) : validation],
            test=rows[validation:],
            vocabulary=self.vocabulary,
            classes=self.classes,
        )

    def _sides(self, chance: random.Random) -> tuple[list[int], list[int]]:
        rows = [r for r, command in enumerate(commands()) if self._is_short_enough(command)]
        if self.split == "simple":
            chance.shuffle(rows)
            cut = int(SIMPLE_SHARE * len(rows))
            return rows[:cut], rows[cut:]
        side = SIDES[self.split]
        sides = [side(command) for command in commands()]
        return [r for r in rows if sides[r]], [r for r in rows if sides[r] is False]

    def _is_short_enough(self, command: Command) -> bool:
        return self.longest is None or len(actions_of(command)) <= self.longest

    def _kept(
        self, name: str, rows: list[int], count: int | None, chance: random.Random
    ) -> list[int]:
        if count is not None and count > len(rows):
            raise ValueError(
                f"Scan: expected {name} <= {len(rows)}, all that split {self.split!r} has, "
                f"got {count}"
            )
        return chance.sample(rows, len(rows) if count is None else count)


@cache
def _rows() -> tuple[Tensor, Tensor]:
    """Tokens ``(20910, 61)`` and labels ``(20910, 50)`` of all commands."""
    words = {word: SPECIAL + i for i, word in enumerate(WORDS)}
    acts = {action: SPECIAL + i for i, action in enumerate(ACTIONS)}
    tokens, labels = [], []
    for command in commands():
        done = [acts[action] for action in actions_of(command)]
        source = [words[word] for word in command]
        tokens.append(
            _filled(source, SOURCE_LENGTH, PAD) + _filled([START, *done], TARGET_LENGTH, PAD)
        )
        labels.append(_filled([*done, END], TARGET_LENGTH, UNLABELLED))
    return torch.tensor(tokens), torch.tensor(labels)


def _filled(row: list[int], length: int, value: int) -> list[int]:
    return row + [value] * (length - len(row))
