"""Page of `forcing_is_insufficient`: how long pushes are, what they change, and verdicts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.forcing_arms import ARMS, CHAINS
from spectraledge.experiments.execution_subspace.forcing_claims import forcing_verdicts, pooled
from spectraledge.experiments.execution_subspace.forcing_lengths import Pushes, pushes_of
from spectraledge.experiments.execution_subspace.intervention_effects import (
    BASELINE,
    EQUIVALENCE,
    MARGIN,
    Delays,
    arms_of,
    budget_of,
    delays,
    direction,
    family_confidence,
    selection_words,
)
from spectraledge.experiments.execution_subspace.intervention_sections import (
    Arms,
    arm_palette,
    arms_table,
    delays_figure,
    quantity_figure,
    share_figure,
    times_figure,
)
from spectraledge.experiments.execution_subspace.interventions import (
    Protocol,
    baselines,
    intervened,
    protocol_of,
)
from spectraledge.experiments.execution_subspace.regime_provenance import regime_section
from spectraledge.experiments.gather import band
from spectraledge.experiments.row_values import short
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import BAND, scaled_verdicts
from spectraledge.report import Axes, Curve, Figure, Page, Reference, Section, Table, curves
from spectraledge.series import mean_interval

__all__ = ["forcing_page"]

LINES: Mapping[str, tuple[str, ...]] = {
    "single kick": ("kick × 1", "kick × 5", "kick × 10", "kick × 20", "kick × 5000"),
    "sustained, commutator": tuple(f"sustained × {n}" for n in (50, 100, 200, 500, 5000)),
    "sustained, random": tuple(f"sustained random × {n}" for n in (50, 100, 200, 500, 5000)),
    "noise": ("noise 0.01", "noise 0.05", "noise 0.1", "noise 0.5", "noise 5"),
}  # fmt: skip
SHOWN = (
    BASELINE, "sustained × 500", "sustained random × 500", "noise 0.5", "sustained × 5000",
    "sustained random × 5000", "noise 5",
)  # fmt: skip
FULLER = (
    "More seeds would narrow the intervals by the square root of their number; the published size "
    "(`--scale full`) has larger matrices and longer Adam steps, so the published lengths are "
    "smaller still against them."
)


def forcing_page(title: str, known: Known, scale: Scale) -> Page:
    """The page; see `forcing_is_insufficient`."""
    protocol = protocol_of(scale, ("add",))
    budget = budget_of(protocol)
    cells = arms_of(known, protocol, CHAINS)
    arms = cells["add"]
    found = delays(cells, list(CHAINS), budget)
    pushes = pushes_of(arms, protocol)
    return Page(
        title=title,
        summary=_summary(found) + selection_words(known, protocol),
        verdicts=scaled_verdicts(forcing_verdicts(cells, found, pushes, budget), scale),
        sections=[
            _lengths(arms, found, pushes),
            _effects(arms, found, budget),
            _provenance(known, protocol),
        ],
    )


def _summary(found: Mapping[str, Delays]) -> str:
    published = [d.steps for arm, d in found.items() if ARMS[arm].family != "large"]
    values = pooled(published)
    told = "Nothing is known yet."
    if values:
        mean = mean_interval(values, EQUIVALENCE)
        told = (
            f"Over {len(published)} published kinds of forcing, runs grok {short(mean)} steps "
            "later than without (mean over the kinds, seed by seed, 90 % interval)."
        )
        confidence = family_confidence(found)
        clear = [a for a, d in found.items() if direction(d.interval(confidence)) in TOLD_APART]
        told += f" Told apart from no intervention: {', '.join(clear) if clear else 'none'}."
    return (
        f"{told}\n\n"
        "From step 500 on parameters are pushed out of the subspace of their own run: along the "
        "commutator of two gradient steps, along random directions, or by noise. Pushes come "
        "after the optimizer's step and change nothing else, and all runs of a seed see the same "
        "training batches; the published kick left a stale gradient behind. “No effect” is an "
        f"interval within ±{MARGIN:.0f} steps, the distance at which published runs of one seed "
        "and setting were found, and not the absence of a difference."
    )


TOLD_APART = ("sooner", "later")


def _lengths(arms: Arms, found: Mapping[str, Delays], pushes: Mapping[str, Pushes]) -> Section:
    text = (
        "A push can only matter if it is not lost beside the optimizer's own steps. The unit is "
        "an Adam step under gradients of pure noise; steps whose gradients agree are up to 4.4 "
        "times as long. Gradient norms are those that the runs themselves had."
    )
    figure = _length_figure(found, pushes)
    return Section(
        "How long is a push", text, [*([figure] if figure else []), _length_table(arms, pushes)]
    )


def _length_table(arms: Arms, pushes: Mapping[str, Pushes]) -> Table:
    rows: list[tuple[str | int, ...]] = []
    for arm, forcing in ARMS.items():
        push = pushes.get(arm)
        numbers = ["–"] * 3
        if push is not None:
            rate = push.rate if forcing.repeated else None
            numbers = [_number(push.length), _number(push.steps), _number(rate)]
        rows.append((arm, forcing.family, len(arms.get(arm, {})), *numbers))
    columns = ("arm", "family", "seeds", "length", "in Adam steps", "way per way of Adam")
    caption = (
        "Geometric mean over seeds and measured steps. Way: length of a push over the interval "
        "between two of them. The penalty adds nothing to the parameters."
    )
    return Table(columns, rows, caption)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"


def _length_figure(found: Mapping[str, Delays], pushes: Mapping[str, Pushes]) -> Figure | None:
    drawn = [curve for line, arms in LINES.items() if (curve := _line(line, arms, found, pushes))]
    if not drawn:
        return None
    return curves(
        drawn,
        title="Delay against the length of a push",
        caption="Thin lines are seeds, the thick line their mean, the band its 95 % t interval. "
        f"The dashed lines are the margin of ±{MARGIN:.0f} steps and one Adam step.",
        colours=arm_palette(list(LINES)),
        axes=Axes("length of a push, in Adam steps", "steps later", log_x=True),
        references=[
            Reference(1.0, "one Adam step"),
            Reference(MARGIN, "300", "y"),
            Reference(-MARGIN, "−300", "y"),
        ],
    )


def _line(
    line: str,
    arms: tuple[str, ...],
    found: Mapping[str, Delays],
    pushes: Mapping[str, Pushes],
) -> Curve | None:
    places = {pushes[arm].steps: found[arm] for arm in arms if arm in found}
    lengths = sorted(length for length in places if length is not None)
    if not lengths:
        return None
    shared = sorted(set.union(*(set(places[length].steps) for length in lengths)))
    values = np.array([[places[x].steps.get(seed, np.nan) for x in lengths] for seed in shared])
    drawn = band(line, (), np.array(lengths), values)
    return Curve(
        line, drawn.steps, values, drawn.centre, drawn.lower, drawn.upper, seeds=tuple(shared)
    )


def _effects(arms: Arms, found: Mapping[str, Delays], budget: int) -> Section:
    colours, few = arm_palette([BASELINE, *CHAINS]), arm_palette(SHOWN)
    accuracies = [
        quantity_figure(
            arms, SHOWN, name, label, few, limits=(0.0, 1.0), shown=(-0.03, 1.03),
            title=label.capitalize(), caption="Chosen arms.",
        )
        for name, label in (
            ("train_accuracy", "train accuracy"), ("validation_accuracy", "held-out accuracy")
        )
    ]  # fmt: skip
    figures = [
        times_figure(arms, budget, colours, "Step of grokking"),
        delays_figure(found, colours),
        share_figure(arms, SHOWN, budget, few, "Share that has grokked"),
        *accuracies,
    ]
    return Section(
        "What pushes change", BAND, [*(f for f in figures if f), arms_table(arms, found, budget)]
    )


def _provenance(known: Known, protocol: Protocol) -> Section:
    titles = {BASELINE: baselines(protocol)["add"]}
    titles |= {arm: runs for (_, arm), runs in intervened(known, protocol, CHAINS).items()}
    return regime_section(known, titles, protocol.regime, FULLER)
