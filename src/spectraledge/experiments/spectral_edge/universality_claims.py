"""Claims of `universality_classes`, and what the rows say of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from spectraledge.experiments.row_values import mean_of, short
from spectraledge.experiments.spectral_edge.edge_class import run_class
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DYCK,
    MODULAR,
    NO_DECAY,
    SCAN,
)
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup
from spectraledge.experiments.spectral_edge.edge_study import NOT_RUN, Groups, over_seeds
from spectraledge.experiments.spectral_edge.gap_balance import (
    BALANCE_WORDS,
    GAPS,
    balance_class,
    gap_series,
)
from spectraledge.experiments.spectral_edge.universality_coordinates import wave_claims
from spectraledge.report import Verdict

__all__ = ["universality_claims"]

PAPER: Mapping[str, str] = {MODULAR: "functional", DYCK: "mixed", SCAN: "compression"}
SAID: Mapping[str, str] = {
    MODULAR: "functional (“high”, “moderate”, “high”)",
    DYCK: "mixed (87 %, 18°, 0.80)",
    SCAN: "compression (2 %, 8°, 0.04; one seed)",
}
FEWEST = 3
SEEDS = f" Undecided with fewer than {FEWEST} of them."
PUBLISHED = (
    "Holds if every seed that has a class has the published one, fails if fewer than half have."
    + SEEDS
)

# A class, empty where it cannot be told, and its margin.
Found = tuple[str, float]


def universality_claims(groups: Groups) -> list[Verdict]:
    """All verdicts of the shared runs."""
    return [
        *(_class_of(group) for name, group in groups.items() if name in PAPER),
        *(_decided_by_decay(group) for group in groups.values()),
        *(_balance(group) for name, group in groups.items() if name in PAPER),
        *(_flow(group) for group in groups.values()),
        *(claim for name, g in groups.items() if name == MODULAR for claim in wave_claims(g)),
    ]


def _classes(group: EdgeGroup, condition: str = DECAY) -> dict[int, Found]:
    return {seed: run_class(group, row)[1:] for seed, row in group.rows[condition].items()}


def _words(found: Sequence[Found]) -> str:
    counts = Counter(name or "not told" for name, _ in found)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def _margin_words(found: Sequence[Found]) -> str:
    margins = [margin for name, margin in found if name]
    return f", margins {min(margins):.2g} to {max(margins):.2g}" if margins else ""


def _class_of(group: EdgeGroup) -> Verdict:
    claim = f"The edge of {group.name} is {PAPER[group.name]}"
    found = list(_classes(group).values())
    return _is_published(group, claim, found, f"Class by the stated rule, each seed. {PUBLISHED}")


def _balance(group: EdgeGroup) -> Verdict:
    claim = f"The edge of {group.name} is {PAPER[group.name]} by the balance of the gap flow"
    rows = group.rows[DECAY].values()
    explained = mean_of(gap_series(row, GAPS[0]).fitted() for row in rows)
    rule = (
        f"{BALANCE_WORDS} {PUBLISHED} Undecided unless the scaled terms explain more than nothing: "
        "95 % interval over seeds above 0."
    )
    if explained is None:
        return Verdict(claim, SAID[group.name], _too_few(group), "undecided", rule)
    verdict = _is_published(group, claim, [balance_class(row) for row in rows], rule)
    words = f"terms explain {short(explained)} of the changes; {verdict.observed}"
    status = verdict.status if explained.lower > 0 else "undecided"
    return replace(verdict, observed=words, status=status)


def _is_published(group: EdgeGroup, claim: str, found: list[Found], rule: str) -> Verdict:
    told = [name for name, _ in found if name]
    hits = sum(name == PAPER[group.name] for name in told)
    status = "holds" if hits == len(told) else "fails" if 2 * hits < len(told) else "undecided"
    words = _words(found) + _margin_words(found) if found else NOT_RUN
    return Verdict(claim, SAID[group.name], words, _by_several(status, told), rule)


def _by_several(status: str, told: Sequence[object]) -> str:
    return status if len(told) >= FEWEST else "undecided"


def _flow(group: EdgeGroup) -> Verdict:
    claim = f"{group.name}: The terms of the gap flow say whether the gap behind v₁ opens or closes"
    paper = "assumed; a fit of the authors on language models explains nothing"
    series = [gap_series(row, GAPS[0]) for row in group.rows[DECAY].values()]
    agreement = mean_of([one.agreement() for one in series])
    fitted = mean_of([one.fitted() for one in series])
    words = agreement and f"signs agree by {short(agreement)} more than by chance"
    if words and fitted is not None:
        words += f"; beyond relaxation one scale a term explains {short(fitted)} of the changes"
    rule = (
        "Share of the intervals in which the sum of the terms and the change of d₁ − d₂ have one "
        "sign, minus that of signs drawn apart, full windows only."
    )
    found = over_seeds(claim, paper, agreement, rule, words=words or None, above=0.0)
    return found if words else replace(found, observed=_too_few(group))


def _too_few(group: EdgeGroup) -> str:
    known = group.known()
    return "too few changes of the gap between full windows" if known else NOT_RUN


def _decided_by_decay(group: EdgeGroup) -> Verdict:
    claim = f"{group.name}: The class does not hang on decay"
    rule = (
        "Without decay no run can be compression, and mixed is what is left over: a seed says "
        "something if it is functional with decay or without. Holds if every seed that does has "
        f"the same class in both, fails if none has.{SEEDS}"
    )
    own, other = _classes(group), _classes(group, NO_DECAY)
    pairs = [(own[seed][0], other[seed][0]) for seed in own if seed in other]
    if not pairs:
        return Verdict(claim, "set by task and capacity", NOT_RUN, "undecided", rule)
    telling = [a == b for a, b in pairs if a and b and "functional" in (a, b)]
    status = "holds" if all(telling) else "fails" if not any(telling) else "undecided"
    kept = f"{sum(telling)} of the {len(telling)} that are functional in either the same"
    words = (
        f"with decay {_words(list(own.values()))}; without {_words(list(other.values()))}; "
        f"{kept if telling else 'none functional in either'}"
    )
    decided = _by_several(status, telling)
    return Verdict(claim, "set by task and capacity", words, decided, rule)
