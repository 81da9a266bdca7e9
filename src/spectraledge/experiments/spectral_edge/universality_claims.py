"""Claims of `universality_classes`, and what the rows say of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from spectraledge.experiments.row_values import mean_of, short
from spectraledge.experiments.spectral_edge.edge_class import edge_class, edge_numbers
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DYCK,
    MODULAR,
    NO_DECAY,
    SCAN,
)
from spectraledge.experiments.spectral_edge.edge_runs import COORDINATE, EdgeGroup, curve_name
from spectraledge.experiments.spectral_edge.edge_study import NOT_RUN, Groups, over_seeds
from spectraledge.experiments.spectral_edge.gap_balance import (
    BALANCE_WORDS,
    balance_class,
    gap_series,
)
from spectraledge.report import Verdict

__all__ = ["classes_of", "universality_claims"]

PAPER: Mapping[str, str] = {MODULAR: "functional", DYCK: "mixed", SCAN: "compression"}
SAID: Mapping[str, str] = {
    MODULAR: "functional (“high”, “moderate”, “high”)",
    DYCK: "mixed (87 %, 18°, 0.80)",
    SCAN: "compression (2 %, 8°, 0.04; one seed)",
}
FEWEST = 3
SEEDS = f" Undecided with fewer than {FEWEST} seeds."
RULE = (
    "Class by the stated rule, each seed. Holds if every seed has the published class, fails if "
    "fewer than half have."
)


def universality_claims(groups: Groups) -> list[Verdict]:
    """All verdicts."""
    return [
        *(_class_of(group) for name, group in groups.items() if name in PAPER),
        *(_decided_by_decay(group) for group in groups.values()),
        *(_balance(group) for name, group in groups.items() if name in PAPER),
        *(_flow(group) for group in groups.values()),
        *(_coordinate(group) for name, group in groups.items() if name == MODULAR),
    ]


def classes_of(group: EdgeGroup, condition: str = DECAY) -> list[str]:
    """Classes of the runs, empty strings where it cannot be told."""
    return [edge_class(edge_numbers(row))[0] for row in group.rows[condition].values()]


def _words(classes: list[str]) -> str:
    counts = Counter(name or "not told" for name in classes)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def _class_of(group: EdgeGroup) -> Verdict:
    claim = f"The edge of {group.name} is {PAPER[group.name]}"
    return _is_published(group, claim, classes_of(group), RULE)


def _balance(group: EdgeGroup) -> Verdict:
    claim = f"The edge of {group.name} is {PAPER[group.name]} by the balance of the gap flow"
    found = [balance_class(row)[0] for row in group.rows[DECAY].values()]
    rule = f"{BALANCE_WORDS} Holds if every seed has the published class, fails if fewer than half."
    return _is_published(group, claim, found, rule)


def _is_published(group: EdgeGroup, claim: str, found: list[str], rule: str) -> Verdict:
    if not any(found):
        return Verdict(claim, SAID[group.name], NOT_RUN, "undecided", rule)
    hits = sum(name == PAPER[group.name] for name in found)
    status = "holds" if hits == len(found) else "fails" if 2 * hits < len(found) else "undecided"
    return Verdict(claim, SAID[group.name], _words(found), _by_several(status, found), rule + SEEDS)


def _by_several(status: str, found: Sequence[object]) -> str:
    return status if len(found) >= FEWEST else "undecided"


def _flow(group: EdgeGroup) -> Verdict:
    claim = f"{group.name}: The terms of the gap flow say whether the gap behind v₁ opens or closes"
    paper = "assumed; a fit of the authors on language models explains nothing"
    series = [gap_series(row, "12") for row in group.rows[DECAY].values()]
    agreement = mean_of([one.agreement() for one in series])
    fitted = mean_of([one.fitted() for one in series])
    words = agreement and f"signs agree by {short(agreement)} more than by chance"
    if words and fitted is not None:
        words += f"; beyond relaxation one scale a term explains {short(fitted)} of the changes"
    rule = (
        "Share of the intervals in which the sum of the terms and the change of d₁ − d₂ have one "
        "sign, minus that of signs drawn apart, full windows only."
    )
    return over_seeds(claim, paper, agreement, rule, words=words or None, above=0.0)


def _decided_by_decay(group: EdgeGroup) -> Verdict:
    claim = f"{group.name}: The class does not hang on decay"
    rule = "Holds if every seed has the same class with decay and without, fails if none has."
    own, other = group.rows[DECAY], group.rows[NO_DECAY]
    pairs = [
        (edge_class(edge_numbers(own[seed]))[0], edge_class(edge_numbers(other[seed]))[0])
        for seed in own
        if seed in other
    ]
    told = [(a, b) for a, b in pairs if a and b]
    if not told:
        return Verdict(claim, "set by task and capacity", NOT_RUN, "undecided", rule)
    same = sum(a == b for a, b in told)
    words = f"without decay: {_words([b for _, b in told])}; {same} of {len(told)} the same"
    status = "holds" if same == len(told) else "fails" if not same else "undecided"
    decided = _by_several(status, told)
    return Verdict(claim, "set by task and capacity", words, decided, rule + SEEDS)


def _coordinate(group: EdgeGroup) -> Verdict:
    late = group.regime.functional_steps["late"]
    block = f"blocks.{getattr(group.regime.model, 'layers', 1) - 1}"
    waves = group.at(curve_name(COORDINATE, "frequencies", block), late)
    return over_seeds(
        f"{group.name}: What the output reads is a few waves of the sum, found without knowing",
        "not searched: the coordinate is given",
        waves,
        "Of 48 frequencies over the sum, how many hold 80 % of the energy of eight coordinates of "
        f"the last block, step {late}.",
        below=12.0,
    )
