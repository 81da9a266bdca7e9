"""What varies in a sweep: specs as named numbers and words, and axes to lay them out along."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spectraledge.training import RunSpec

__all__ = ["Axis", "Described", "best_column", "best_row", "describe_spec"]

PREFERRED = "train_fraction"


@dataclass(frozen=True)
class Described:
    """A spec in flat form; seeds are left out.

    Args:
        numbers: Numeric fields by dotted name, such as ``updates.LowRank.strength``.
        words: All other fields by dotted name, the links of the update chain left out.
        links: Name of each link of the update chain, and its words by field.
    """

    numbers: Mapping[str, float]
    words: Mapping[str, str]
    links: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]

    @property
    def kind(self) -> Hashable:
        """What two specs share that differ in numbers only."""
        return (tuple(sorted(self.words.items())), self.links)


def describe_spec(spec: RunSpec) -> Described:
    """The flat form of a spec.

    Args:
        spec: A run.

    Returns:
        Its numbers and words. Of several links of one kind in a chain, the names say the words
        that tell them apart, such as ``updates.WeightDecay(qk).strength``.
    """
    numbers: dict[str, float] = {}
    words: dict[str, str] = {}
    for field in _field_names(type(spec)):
        if field != "updates":
            _flatten(field, getattr(spec, field), numbers, words)
    links = []
    for name, link in zip(_link_names(spec), spec.updates):
        of_link: dict[str, str] = {}
        for field in _field_names(type(link)):
            _flatten(f"updates.{name}.{field}", getattr(link, field), numbers, of_link)
        own = {n.removeprefix(f"updates.{name}."): word for n, word in of_link.items()}
        links.append((type(link).__name__, tuple(own.items())))
    return Described(numbers, words, tuple(links))


def _flatten(name: str, value: object, numbers: dict[str, float], words: dict[str, str]) -> None:
    if name.endswith("seed"):
        return
    if isinstance(value, int | float) and not isinstance(value, bool):
        numbers[name] = value
    elif dataclasses.is_dataclass(value):
        words[name] = type(value).__name__
        for field in _field_names(type(value)):
            _flatten(f"{name}.{field}", getattr(value, field), numbers, words)
    else:
        words[name] = str(value)


def _field_names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def _link_names(spec: RunSpec) -> Iterator[str]:
    kinds = Counter(type(link).__name__ for link in spec.updates)
    taken: Counter[str] = Counter()
    for link in spec.updates:
        name = type(link).__name__
        if kinds[name] > 1:
            values = (getattr(link, field) for field in _field_names(type(link)))
            told = ", ".join(value for value in values if isinstance(value, str))
            name = f"{name}({told})" if told else name
        taken[name] += 1
        yield name if taken[name] == 1 else f"{name}#{taken[name]}"


@dataclass(frozen=True)
class Axis:
    """The values of one field, the many of them in bins.

    Args:
        name: Dotted name of the field.
        labels: One a bin, ascending.
        bins: Bin of every value.
    """

    name: str
    labels: tuple[str, ...]
    bins: Mapping[float, int]

    @classmethod
    def of(cls, name: str, values: Iterable[float], most: int) -> Axis:
        """An axis whose bins hold about equally many distinct values each.

        Args:
            name: Dotted name of the field.
            values: Its values.
            most: Largest number of bins.

        Returns:
            The axis.

        Example:
            >>> Axis.of("lr", [0.1, 0.2, 0.1], 12).labels, Axis.of("lr", range(6), 2).labels
            (('0.1', '0.2'), ('~1', '~4'))
        """
        known = sorted(set(values))
        count = min(len(known), most)
        bins = {value: i * count // len(known) for i, value in enumerate(known)}
        inside: dict[int, list[float]] = defaultdict(list)
        for value, index in bins.items():
            inside[index].append(value)
        # A bin of several values is called by the middle one.
        middles = [group[len(group) // 2] for group in inside.values()]
        if count == len(known):
            return cls(name, tuple(_labels(known)), bins)
        labels = _labels(middles, tolerance=0.05)
        return cls(name, tuple(f"~{label}" for label in labels), bins)

    @property
    def short(self) -> str:
        """The name without the part of the spec that it belongs to."""
        return self.name.partition(".")[2] or self.name


def _labels(values: Sequence[float], tolerance: float = 1e-3) -> list[str]:
    """In as few digits as tell the values apart and are nearly right."""
    for digits in range(2, 18):
        labels = [f"{value:.{digits}g}" for value in values]
        near = all(abs(float(s) - v) <= tolerance * abs(v) for s, v in zip(labels, values))
        if len(set(labels)) == len(values) and near:
            break
    return labels


def best_column(panels: Iterable[Sequence[Described]]) -> str | None:
    """The number to lay the columns of all panels out along.

    Args:
        panels: Groups of specs that differ in numbers only.

    Returns:
        The train fraction if it varies, else what varies in most panels, and in most values among
        those; None if nothing does.
    """
    groups = list(panels)
    varied = [_varied(group) for group in groups]
    counts = {name: 0 for values in varied for name in values}
    if fractions := [name for name in counts if name.rpartition(".")[2] == PREFERRED]:
        return fractions[0]
    everywhere = _varied([run for group in groups for run in group])
    if fractions := [name for name in everywhere if name.rpartition(".")[2] == PREFERRED]:
        return fractions[0]
    for values in varied:
        for name in values:
            counts[name] += 1
    total = {name: sum(len(v.get(name, ())) for v in varied) for name in counts}
    return max(counts, key=lambda name: (counts[name], total[name]), default=None)


def best_row(panel: Sequence[Described], column: str | None, most: int) -> str | None:
    """The number to lay the rows of one panel out along.

    Args:
        panel: Specs that differ in numbers only.
        column: Field of the columns.
        most: Largest number of bins of an axis.

    Returns:
        The one that, with the columns, tells most runs apart; None if none adds anything.
    """

    def cells(*names: str) -> int:
        axes = [Axis.of(n, (run.numbers[n] for run in panel), most) for n in names]
        return len({tuple(axis.bins[run.numbers[axis.name]] for axis in axes) for run in panel})

    columns = [column] if column is not None and column in panel[0].numbers else []
    counts = {n: cells(*columns, n) for n in _varied(panel) if n != column}
    best = max(counts, key=lambda name: counts[name], default=None)
    return best if best is not None and counts[best] > cells(*columns) else None


def _varied(runs: Sequence[Described]) -> dict[str, set[float]]:
    """Numbers that all these runs have, with more than one value; updates first."""
    values: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for name, value in run.numbers.items():
            values[name].append(value)
    found = {
        name: set(of_name)
        for name, of_name in values.items()
        if len(of_name) == len(runs) and len(set(of_name)) > 1
    }
    return dict(sorted(found.items(), key=lambda pair: not pair[0].startswith("updates.")))
