"""Part of a sweep: the runs whose settings have the values that are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from spectraledge.cli.spec_axes import describe_spec

if TYPE_CHECKING:
    from spectraledge.cli.sweep_goal import Goal
    from spectraledge.experiments.study import Stage
    from spectraledge.lab.ledger import Ledger
    from spectraledge.training import RunSpec

__all__ = ["Only", "only_part", "parse_only"]

SEEDS = ("seed", "data_seed")


@dataclass(frozen=True)
class Only:
    """One condition.

    Args:
        name: Dotted name of a setting, or the end of one: ``operation`` for ``task.operation``.
        values: Any of these, as written.
    """

    name: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        """As written."""
        return f"{self.name}={','.join(self.values)}"

    def names(self, settings: Mapping[str, object]) -> list[str]:
        """Settings that the name means."""
        return [own for own in settings if own == self.name or own.endswith(f".{self.name}")]

    def holds(self, settings: Mapping[str, object]) -> bool:
        """Whether some setting of this name has one of the values."""
        return any(_equal(settings[own], v) for own in self.names(settings) for v in self.values)


def parse_only(texts: Sequence[str]) -> tuple[Only, ...]:
    """Conditions from the command line.

    Args:
        texts: Such as ``operation=add,mul``.

    Returns:
        The conditions.

    Raises:
        ValueError: For a text without a name or a value.
    """
    found = []
    for text in texts:
        name, _, values = text.partition("=")
        if not name or not all(values.split(",")):
            raise ValueError(f"--only: expected NAME=VALUE or NAME=VALUE,VALUE, got {text!r}")
        found.append(Only(name, tuple(values.split(","))))
    return tuple(found)


def only_part(goal: Goal, conditions: Sequence[Only], ledger: Ledger) -> Goal:
    """The part of a goal whose runs meet every condition; groundwork is needed whole.

    Args:
        goal: The whole.
        conditions: None of them for the whole.
        ledger: What is known.

    Returns:
        The part.

    Raises:
        ValueError: If a condition names no setting of any run, or no run meets all. Of a goal
            with groundwork, whose later runs cannot be named before, its last stage raises it;
            only a name that is nearly one of the groundwork's is refused at once.
    """
    if not conditions:
        return goal
    *groundwork, last = goal.stages
    part = replace(last, wanted=_Part(last, conditions))
    if groundwork:
        _check_typing(conditions, [_settings(spec) for spec in groundwork[0].wanted(ledger)])
    else:
        part.wanted(ledger)
    return replace(goal, stages=(*groundwork, part))


class _Part:
    """What a stage wants and the conditions allow; they are checked at the first call."""

    def __init__(self, stage: Stage, conditions: Sequence[Only]) -> None:
        self.stage, self.conditions, self.checked = stage, conditions, False

    def __call__(self, ledger: Ledger) -> list[RunSpec]:
        every = self.stage.wanted(ledger)
        settings = [_settings(spec) for spec in every]
        if not self.checked:
            _check(self.conditions, settings)
            self.checked = True
        return [s for s, own in zip(every, settings) if all(c.holds(own) for c in self.conditions)]


def _settings(spec: RunSpec) -> dict[str, object]:
    described = describe_spec(spec)
    links: dict[str, object] = {
        f"updates.{link}.{field}": word for link, words in described.links for field, word in words
    }
    seeds = {name: getattr(spec, name) for name in SEEDS}
    return {**links, **described.words, **described.numbers, **seeds}


def _equal(setting: object, value: str) -> bool:
    if isinstance(setting, int | float):
        try:
            return float(setting) == float(value)
        except ValueError:
            return False
    return str(setting) == value


def _check(conditions: Sequence[Only], runs: Sequence[Mapping[str, object]]) -> None:
    for condition in conditions:
        named = [{run[n] for n in condition.names(run)} for run in runs]
        if not any(named):
            names = sorted({name for run in runs for name in run})
            raise ValueError(
                f"--only {condition}: no run has such a setting{_hint(condition, names)}"
            )
        values = sorted({str(value) for own in named for value in own})
        if not any(condition.holds(run) for run in runs):
            raise ValueError(f"--only {condition}: no run has it; there are {', '.join(values)}")
    if not any(all(c.holds(run) for c in conditions) for run in runs):
        told = " ".join(map(str, conditions))
        raise ValueError(f"--only {told}: no run has all of it; leave out one of them")


def _check_typing(conditions: Sequence[Only], runs: Sequence[Mapping[str, object]]) -> None:
    """Refuse a name that no run of the groundwork has, but nearly."""
    names = sorted({name for run in runs for name in run})
    ends = [name.rpartition(".")[2] for name in names]
    for condition in conditions:
        if any(condition.names(run) for run in runs):
            continue
        if get_close_matches(condition.name, [*ends, *names], 1, cutoff=0.75):
            raise ValueError(f"--only {condition}: no such setting{_hint(condition, names)}")


def _hint(condition: Only, names: Iterable[str]) -> str:
    ends = {name.rpartition(".")[2]: name for name in names}
    near = get_close_matches(condition.name, [*ends, *names], 1, cutoff=0.5)
    return f"; closest: {near[0]}" if near else f"; there are {', '.join(sorted(ends))}"
