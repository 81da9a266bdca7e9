"""Page of `suppression_dose_response`: dose and response, times, training, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.intervention_effects import (
    BASELINE,
    Cells,
    Delays,
    arms_of,
    budget_of,
    delays,
    delays_of,
    grok_time,
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
from spectraledge.experiments.execution_subspace.suppression_arms import (
    AMPLIFIED,
    AMPLIFIED_OTHER,
    CHAINS,
    DECAY_INSIDE,
    DOSES,
    OTHER_BATCHES,
    PRIMARY,
    RANDOM,
    RANDOM_MATCHED,
    RANDOM_WHOLE,
    SCALED,
    dose,
    other_batches,
    random_dose,
)
from spectraledge.experiments.execution_subspace.suppression_claims import (
    PUBLISHED,
    suppression_verdicts,
)
from spectraledge.experiments.gather import band
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import BAND, scaled_verdicts
from spectraledge.report import Axes, Curve, Figure, Page, Reference, Section, curves

__all__ = ["suppression_page"]

TRAJECTORY, PAPER, RANDOMLY = "trajectory basis", "published means", "random basis"
OTHERS = "basis of other batches"
# Arms whose curves are shown; the table has all.
DOSED = (BASELINE, *(dose(s) for s in DOSES))
EXPLAINING = (BASELINE, PRIMARY, AMPLIFIED, SCALED, RANDOM, RANDOM_MATCHED, RANDOM_WHOLE)
# The ordinary runs are measured otherwise; a scaled gradient trains as they do.
NORMED = (SCALED, PRIMARY, AMPLIFIED, dose(1.0), RANDOM, DECAY_INSIDE)
NORM, BRACKET = "weight_spectrum/frobenius_norm", "commutator_defect/bracket_norm"
FULLER = (
    "Runs are watched for 8000 steps, where the published ones with s = 1 had 15,000; some that "
    "had not generalised by then were trained on, and count as far as all that they are compared "
    "with. The "
    "published size (`--scale full`) adds three operations and the absolute numbers of steps; a "
    "version with SGD, where the length of a gradient matters, is not part of this study."
)


def suppression_page(title: str, known: Known, scale: Scale) -> Page:
    """The page; see `suppression_dose_response`."""
    protocol = protocol_of(scale)
    budget = budget_of(protocol)
    cells = arms_of(replace(known, beyond=True), protocol, CHAINS)
    found = delays(cells, list(CHAINS), budget)
    sections = [
        section
        for operation, arms in cells.items()
        for section in _operation_sections(operation, arms, budget, several=len(cells) > 1)
    ]
    return Page(
        title=title,
        summary=_summary(cells, found, budget) + selection_words(known, protocol),
        verdicts=scaled_verdicts(suppression_verdicts(cells, found, budget), scale),
        sections=[_overall(found), *sections, _provenance(known, protocol)],
    )


def _summary(cells: Cells, found: Mapping[str, Delays], budget: int) -> str:
    return (
        f"{_answer(cells, found, budget)}\n\n"
        "An ordinary run is trained first; the leading two directions of the trajectory of each "
        "attention matrix are a basis of 16. The same seed is trained again, and from step 500 on "
        "what lies outside the span of the basis is taken out of the gradient, to a share s. Adam "
        "divides each coordinate by its own recent size, so what is left of s < 1 is not a weaker "
        "outside but a stronger inside, and outside of attention nothing is left at all. Every "
        "arm starts from the same weights and sees the same batches as its ordinary run."
    )


def _answer(cells: Cells, found: Mapping[str, Delays], budget: int) -> str:
    told = [
        f"On {basis}, suppression at s = 0.75 delays grokking by {found[own].words()}; amplifying "
        f"the inside four times, which suppresses nothing, by {found[other].words()}; the paired "
        f"difference is {between.difference_words()}."
        for basis, own, other in COMPARED
        if own in found
        and other in found
        and (between := delays_of(cells, other, budget, own)) is not None
    ]
    if full := found.get(dose(1.0)):
        told.append(f"At s = 1, {full.grokked} of {full.count} grok by step {full.budget}.")
    return " ".join(told) or "Suppression and amplification are not both known yet."


# The basis of other batches first: all of its runs grok in time to be compared.
COMPARED = (
    ("a basis from other batches, as published", OTHER_BATCHES, AMPLIFIED_OTHER),
    ("a basis from the very batches of the run", PRIMARY, AMPLIFIED),
)


def _overall(found: Mapping[str, Delays]) -> Section:
    text = (
        "Of the controls, the amplified inside and the norm-matched suppression change the "
        "direction of the gradient as suppression does and take nothing away; the scaled gradient "
        "takes away as much and changes no direction. The basis of other batches holds the future "
        "of another run from the same weights, as published, that of the own past no future, that "
        "of the initial weights is where decay alone leads, and the two random ones are "
        "spread over all parameters, as published, or over attention only, as the trajectory "
        "basis is. Decay, which is never projected, keeps acting outside at full strength; in the "
        "last arm it acts inside only."
    )
    figure = delays_figure(found, arm_palette(list(found)))
    return Section("What delays grokking", text, [figure] if figure else [])


def _operation_sections(operation: str, arms: Arms, budget: int, *, several: bool) -> list[Section]:
    of = f" ({operation})" if several else ""
    colours = arm_palette([BASELINE, *CHAINS])
    own = delays({operation: arms}, list(CHAINS), budget)
    times = [
        _dose_figure(operation, arms, budget),
        times_figure(arms, budget, colours, f"Step of grokking{of}"),
        share_figure(
            arms, EXPLAINING, budget, arm_palette(EXPLAINING), f"Share that has grokked{of}"
        ),
    ]
    return [
        Section(f"Dose and response{of}", BAND, [f for f in times if f]),
        Section(
            f"What happened to training{of}",
            "A run can only be late if it still memorises. Where no gradient is left outside "
            "attention, decay goes on alone, the embeddings fade and memorisation is lost. "
            f"{BAND}",
            [*_training_figures(arms), arms_table(arms, own, budget)],
        ),
    ]


def _dose_figure(operation: str, arms: Arms, budget: int) -> Figure | None:
    """Step of grokking relative to the ordinary run of the seed, over the strength."""
    lines = {
        TRAJECTORY: {0.0: BASELINE} | {s: dose(s) for s in DOSES},
        OTHERS: {0.0: BASELINE} | {s: other_batches(s) for s in DOSES if s < 1},
        RANDOMLY: {0.0: BASELINE} | {s: random_dose(s) for s in DOSES},
        RANDOM_MATCHED.partition(",")[0]: {0.0: BASELINE, 0.75: RANDOM_MATCHED},
        AMPLIFIED: {0.0: BASELINE, 0.75: AMPLIFIED},
        SCALED: {0.0: BASELINE, 0.75: SCALED},
    }
    found = [_dose_curve(line, at, arms, budget) for line, at in lines.items()]
    drawn = [curve for curve in found if curve is not None]
    if not drawn:
        return None
    if operation in PUBLISHED:
        means = np.array(PUBLISHED[operation])
        strengths = np.array([0.0, 0.25, 0.5, 0.75])
        drawn.append(Curve(PAPER, strengths, (means / means[0])[None], dash="dot"))
    return curves(
        drawn,
        title=f"Step of grokking against strength, {operation}",
        caption="Relative to the ordinary run of the seed. A run that does not grok counts with "
        f"the horizon of {budget} steps, a lower bound. Controls of s = 0.75 are drawn there.",
        colours=arm_palette([*lines, PAPER]),
        axes=Axes("strength s", "step of grokking / without", x_range=(-0.03, 1.03)),
        references=[Reference(1.0, "no delay", "y")],
        half=True,
    )


def _dose_curve(line: str, strengths: Mapping[float, str], arms: Arms, budget: int) -> Curve | None:
    known = {s: arms.get(arm, {}) for s, arm in strengths.items() if arms.get(arm)}
    if 0.0 not in known or len(known) < 2:
        return None
    seeds = list(known[0.0])
    before = np.array([grok_time(known[0.0][seed], budget) or budget for seed in seeds], float)
    values = np.full((len(seeds), len(known)), np.nan)
    for column, rows in enumerate(known.values()):
        for place, seed in enumerate(seeds):
            if seed in rows:
                values[place, column] = (grok_time(rows[seed], budget) or budget) / before[place]
    drawn = band(line, (), np.array(list(known)), values)
    return Curve(
        line, drawn.steps, values, drawn.centre, drawn.lower, drawn.upper, seeds=tuple(seeds)
    )


def _training_figures(arms: Arms) -> list[Figure]:
    train, limits, shown = "train_accuracy", (0.0, 1.0), (-0.03, 1.03)
    found = [
        quantity_figure(
            arms, DOSED, train, "train accuracy", arm_palette(DOSED), limits=limits, shown=shown,
            title="Train accuracy by strength", caption="Suppression on the trajectory basis.",
        ),
        quantity_figure(
            arms, EXPLAINING, train, "train accuracy", arm_palette(EXPLAINING), limits=limits,
            shown=shown, title="Train accuracy under the controls",
            caption="The same for controls.",
        ),
        quantity_figure(
            arms, NORMED, NORM, "‖W‖_F / start", arm_palette(NORMED), relative=True, log=True,
            title="Norm of the weight matrices",
            caption="Mean over all matrices, embeddings among them, over its value at the start. "
            "Curves of suppression and amplification that coincide say that they train alike.",
        ),
        quantity_figure(
            arms, EXPLAINING[1:], BRACKET, "‖L‖", arm_palette(EXPLAINING[1:]),
            log=True, title="Norm of the commutator",
            caption="Not normalised by gradients: L = H_B g_A − H_A g_B, median of pairs.",
        ),
    ]  # fmt: skip
    return [figure for figure in found if figure]


def _provenance(known: Known, protocol: Protocol) -> Section:
    runs = intervened(known, protocol, CHAINS)
    titles = {f"{operation}, {BASELINE}": found for operation, found in baselines(protocol).items()}
    titles |= {f"{operation}, {arm}": found for (operation, arm), found in runs.items()}
    return regime_section(known, titles, protocol.regime, FULLER)
