"""Page of `suppression_without_adam`: delays under SGD, and what they say."""

from __future__ import annotations

from collections.abc import Mapping

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.intervention_effects import (
    BASELINE,
    EQUIVALENCE,
    MARGIN,
    Cells,
    Delays,
    arms_of,
    budget_of,
    delays,
    delays_of,
)
from spectraledge.experiments.execution_subspace.intervention_sections import (
    arm_palette,
    arms_table,
    delays_figure,
    quantity_figure,
    share_figure,
    times_figure,
)
from spectraledge.experiments.execution_subspace.interventions import (
    Chains,
    Protocol,
    baselines,
    intervened,
)
from spectraledge.experiments.execution_subspace.regime_provenance import regime_section
from spectraledge.experiments.execution_subspace.suppression_arms import (
    AMPLIFIED,
    PRIMARY,
    RANDOM,
    SCALED,
)
from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import status_within
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import BAND, answer_words, scaled_verdicts
from spectraledge.report import Figure, Page, Section, Verdict

__all__ = ["without_adam_page", "without_adam_verdicts"]

OPERATION = "add"
PAPER = "not tried: Adam throughout"
NOT_RUN = "not run yet"
FULLER = (
    "SGD with momentum 0.9 at 0.1, a rate at which the reduced regime groks about as soon as under "
    "Adam, with the same decay a step. `--scale full` is the published size, not tuned for SGD."
)


def without_adam_page(
    title: str, known: Known, scale: Scale, protocol: Protocol, chains: Chains
) -> Page:
    """The page.

    Args:
        title: Of the study.
        known: What is known.
        scale: Which.
        protocol: Where.
        chains: Update chains by arm.

    Returns:
        The page.
    """
    budget = budget_of(protocol)
    cells = arms_of(known, protocol, chains)
    found = delays(cells, list(chains), budget)
    verdicts = scaled_verdicts(without_adam_verdicts(cells, found, budget), scale)
    return Page(
        title=title,
        summary=f"{answer_words(verdicts, bool(found))}\n\n{EXPLAINED}",
        verdicts=verdicts,
        sections=[
            _effects(cells, found, budget),
            _training(cells, found, budget),
            _provenance(known, protocol, chains),
        ],
    )


EXPLAINED = (
    "Under SGD a gradient of a quarter of its length is a quarter of a step, so suppression takes "
    "away what it says it does: what lies outside 16 directions of the run's own trajectory. "
    "Whatever it delays must be compared with the same slowing of everything."
)


def without_adam_verdicts(cells: Cells, found: Mapping[str, Delays], budget: int) -> list[Verdict]:
    """The claims.

    Args:
        cells: Rows by operation, arm and seed.
        found: Delays by arm.
        budget: Last step.

    Returns:
        One verdict per claim.
    """
    scaled, random = (delays_of(cells, arm, budget, SCALED) for arm in (PRIMARY, RANDOM))
    return [
        _later(found.get(PRIMARY), "Suppression at s = 0.75 delays grokking under SGD"),
        _later(
            scaled, "It delays by more than slowing everything to a quarter",
            "Against a gradient of a quarter of its length, seed by seed. ",
        ),
        _same(random, "A random basis does as slowing everything to a quarter"),
        _later(found.get(AMPLIFIED), "Amplifying the inside four times delays, as under Adam"),
    ]  # fmt: skip


def _later(delay: Delays | None, claim: str, note: str = "") -> Verdict:
    if delay is None:
        return Verdict(claim, PAPER, NOT_RUN, "undecided")
    interval = delay.interval()
    rule = f"{note}Holds if the 95 % interval of the delay is above 0, fails if it is below."
    return Verdict(
        claim,
        PAPER,
        f"{delay.difference_words() if note else delay.words()}; {delay.grokked} of {delay.count} "
        "grok",
        decide(interval, above=0.0),
        rule,
    )


def _same(delay: Delays | None, claim: str) -> Verdict:
    if delay is None:
        return Verdict(claim, PAPER, NOT_RUN, "undecided")
    interval = delay.interval(EQUIVALENCE)
    return Verdict(
        claim,
        PAPER,
        f"{delay.difference_words(EQUIVALENCE)} apart",
        status_within(interval, MARGIN),
        f"Two one-sided tests: holds if the 90 % interval lies within ±{MARGIN:.0f} steps. Of a "
        "random direction next to nothing lies inside, so all is scaled alike.",
    )


def _effects(cells: Cells, found: Mapping[str, Delays], budget: int) -> Section:
    arms = cells[OPERATION]
    colours = arm_palette(list(arms))
    figures = [
        delays_figure(found, colours),
        times_figure(arms, budget, colours, "Step of grokking"),
        share_figure(arms, list(arms), budget, colours, "Share that has grokked"),
    ]
    return Section("What delays grokking under SGD", BAND, [f for f in figures if f])


def _training(cells: Cells, found: Mapping[str, Delays], budget: int) -> Section:
    arms = cells[OPERATION]
    figure = quantity_figure(
        arms, list(arms), "train_accuracy", "train accuracy", arm_palette(list(arms)),
        limits=(0.0, 1.0), shown=(-0.03, 1.03), title="Train accuracy", caption=BAND,
    )  # fmt: skip
    items: list[Figure] = [figure] if figure else []
    return Section("Training", "", [*items, arms_table(arms, found, budget)])


def _provenance(known: Known, protocol: Protocol, chains: Chains) -> Section:
    titles = {BASELINE: baselines(protocol)[OPERATION]}
    titles |= {arm: runs for (_, arm), runs in intervened(known, protocol, chains).items()}
    return regime_section(known, titles, protocol.regime, FULLER)
