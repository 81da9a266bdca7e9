"""Page of `slow_regime`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import nan

from spectraledge.experiments.base import Scale
from spectraledge.experiments.curves_over_steps import over_steps
from spectraledge.experiments.execution_subspace.base_runs import DECAY, NO_DECAY
from spectraledge.experiments.execution_subspace.curvature_sections import (
    forms_section,
    parts_section,
)
from spectraledge.experiments.execution_subspace.defect_records import (
    PUBLISHED_NAME,
    DefectRun,
    defect_runs,
)
from spectraledge.experiments.execution_subspace.regime_provenance import regime_section
from spectraledge.experiments.execution_subspace.regimes import UNTIL as BASE_UNTIL
from spectraledge.experiments.execution_subspace.slow_regime_claims import (
    first_share,
    lead_fraction,
    slow_verdicts,
    unlike_share,
)
from spectraledge.experiments.execution_subspace.slow_regime_runs import (
    HORIZON,
    OPERATION,
    fast_runs,
    slow_runs,
    slow_scale,
)
from spectraledge.experiments.execution_subspace.trajectory_shares import curve_name
from spectraledge.experiments.row_values import mean_of, short
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import BAND, answer_words, row_curve, scaled_verdicts
from spectraledge.lab.rows import Row
from spectraledge.report import Axes, Figure, Page, Section, Table, arm_colours, curves
from spectraledge.series import PUBLISHED_ONSETS

__all__ = ["TITLE", "slow_regime_page"]

TITLE = "Is the lead of the defect longest, and PC1 lowest, where training is slow?"
FULLER = (
    "Runs are watched up to {:,} steps; those of the published size generalise after some "
    "570,000. They go on from where they stopped with `spectraledge sweep slow_regime --horizon "
    "650000` and the same folder of runs."
)
EXPLAINED = (
    "The published slow regime gave the longest leads: the defect crosses its threshold at about "
    "10,000 steps, and the network generalises at about 570,000. Beside the leads stand when the "
    "run memorised, what the exact bracket says where the published form is zero, and the share of "
    "the first component in the fast regime."
)
# In the order of `PUBLISHED_ONSETS`.
ONSETS = ("onset above 20", "onset above 5", "onset above 20, smoothed")
GROUPS = ("slow", "slow, no decay", "fast")
SHARES = {
    "first component": "first_share",
    "random walk": "random_walk_share",
    "without decayed start": "first_share_without_decayed_start",
}


def slow_regime_page(known: Known, scale: Scale) -> Page:
    """The page; see `slow_regime`. Runs are shown as far as they were trained."""
    known = replace(known, beyond=True)
    regimes = slow_scale(scale)
    wanted = slow_runs(regimes.slow)
    specs = dict(zip(GROUPS, (wanted[DECAY], wanted[NO_DECAY], fast_runs(regimes.fast))))
    # The fast runs were decided for other studies, which stop watching sooner.
    watched = dict.fromkeys(GROUPS, known) | {"fast": Known(known.ledger, BASE_UNTIL)}
    groups = {name: defect_runs(watched[name], runs) for name, runs in specs.items()}
    slow, plain, fast = (groups[name] for name in GROUPS)
    watched_until = min(HORIZON, regimes.slow.steps)
    verdicts = scaled_verdicts(slow_verdicts(slow, plain, fast), scale)
    return Page(
        title=TITLE,
        summary=f"{answer_words(verdicts, bool(slow))}\n\n{EXPLAINED}",
        verdicts=verdicts,
        sections=[
            _training_section(groups),
            _leads_section(groups),
            forms_section({"slow": slow, "slow, no decay": plain}),
            parts_section({OPERATION: slow}, {OPERATION: plain}),
            _shares_section(groups, regimes.slow.model.layers - 1),
            regime_section(known, specs, regimes.slow, FULLER.format(watched_until)),
        ],
    )


def _training_section(groups: Mapping[str, Sequence[DefectRun]]) -> Section:
    rows = {name: {run.seed: run.row for run in runs} for name, runs in groups.items()}
    figures = [
        figure
        for metric, label in (("train_accuracy", "train"), ("validation_accuracy", "held-out"))
        for figure in over_steps(
            rows, metric, arm_colours(GROUPS), title=f"Accuracy, {label} pairs", caption=BAND,
            label="accuracy", log=False, shown=(-0.03, 1.03),
        )
    ]  # fmt: skip
    return Section("Training", "Memorisation and generalisation, step by step.", figures)


def _leads_section(groups: Mapping[str, Sequence[DefectRun]]) -> Section:
    columns = ("runs", "known, generalise", "memorised", *ONSETS, "held-out accuracy of 0.9",
               "lead over that", "published form off by more than 1.5 times")  # fmt: skip
    rows = [(name, *_lead_cells(runs)) for name, runs in groups.items()]
    caption = (
        "Steps, means over the seeds where it happened. Onsets by three rules on the published "
        f"form ({', '.join(PUBLISHED_ONSETS)}): above 20, as coded for the fast regime; above 5, "
        "as coded for the slow one; above 20 after smoothing over five records, which the "
        "published hero run seems to need. Lead: "
        "of the first rule."
    )
    return Section("Onsets and leads", "", [Table(columns, rows, caption)])


def _lead_cells(runs: Sequence[DefectRun]) -> tuple[str, ...]:
    onsets = [
        _steps([rule.find(run.records("defect", form=PUBLISHED_NAME)).step for run in runs])
        for rule in PUBLISHED_ONSETS.values()
    ]
    return (
        f"{len(runs)}, {sum(run.generalises for run in runs)}",
        _steps([run.memorised for run in runs]),
        *onsets,
        _steps([run.grok("grok_90") for run in runs]),
        short(mean_of(lead_fraction(run) for run in runs)),
        short(mean_of((unlike_share(run) for run in runs), 0.0, 1.0)),
    )


def _steps(values: Sequence[int | None]) -> str:
    return short(mean_of(nan if value is None else float(value) for value in values))


def _shares_section(groups: Mapping[str, Sequence[DefectRun]], last: int) -> Section:
    rows = {run.seed: run.row for run in groups["slow"]}
    figures = [
        figure
        for kind in ("value", "query")
        if (figure := _share_figure(rows, f"layer{last}.attention.{kind}"))
    ]
    cells = [
        (name, *(short(mean_of(first_share(run, o) for run in runs)) for o in SHARES.values()))
        for name, runs in groups.items()
    ]
    caption = "Mean of W_V and W_O of the last layer at grok_stop; – where nothing generalised."
    return Section(
        "Share of the first component",
        "Read it beside what the decaying start and a random walk of equal steps give.",
        [*figures, Table(("runs", *SHARES), cells, caption)],
    )


def _share_figure(rows: Mapping[int, Row], scope: str) -> Figure | None:
    found = [row_curve(arm, rows, curve_name(output, scope)) for arm, output in SHARES.items()]
    drawn = [curve for curve in found if curve is not None]
    if not drawn:
        return None
    return curves(
        drawn,
        title=f"PC1 of {scope}, slow",
        caption=f"Expanding window from step 0. {BAND}",
        colours=arm_colours(list(SHARES)),
        axes=Axes(y_label="share of variance", y_range=(-0.03, 1.03)),
        half=True,
    )
