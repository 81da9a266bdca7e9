"""What sets the panels of a phase diagram apart, in few words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spectraledge.cli.spec_axes import Described

__all__ = ["panel_titles"]


def panel_titles(panels: Sequence[Sequence[Described]]) -> list[str]:
    """One title a panel, of the links and words that not all panels share.

    Args:
        panels: Groups of specs that differ in numbers only.

    Returns:
        Titles such as ``LowRank(adaptive), split ordered``; empty if there is one panel.
    """
    first = [panel[0] for panel in panels]
    if len(first) < 2:
        return [""] * len(first)
    chains = _chain_titles(first)
    words = _word_titles(first)
    return [", ".join([*chain, *word]) for chain, word in zip(chains, words)]


def _chain_titles(runs: Sequence[Described]) -> list[list[str]]:
    told = _telling_fields(runs)
    chains = [
        [_link(kind, [word for field, word in words if (kind, field) in told])
         for kind, words in run.links]
        for run in runs
    ]  # fmt: skip
    if all(chain == chains[0] for chain in chains):
        return [[] for _ in chains]
    shared = set(chains[0]).intersection(*chains)
    titles = [[link for link in chain if link not in shared] for chain in chains]
    return [[" + ".join(links) or "nothing else"] for links in titles]


def _telling_fields(runs: Sequence[Described]) -> set[tuple[str, str]]:
    """Fields of links that do not read the same everywhere, by kind of link."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for run in runs:
        for kind, words in run.links:
            for field, word in words:
                found[kind, field].add(word)
    return {place for place, known in found.items() if len(known) > 1}


def _link(kind: str, words: Sequence[str]) -> str:
    return f"{kind}({', '.join(words)})" if words else kind


def _word_titles(runs: Sequence[Described]) -> list[list[str]]:
    names = dict.fromkeys(name for run in runs for name in run.words)
    telling = [name for name in names if len({run.words.get(name) for run in runs}) > 1]
    return [
        [
            f"{name.rpartition('.')[2]} {run.words[name]}"
            for name in telling
            if name in run.words
        ]
        for run in runs
    ]  # fmt: skip
