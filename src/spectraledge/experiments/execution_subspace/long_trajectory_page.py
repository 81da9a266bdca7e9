"""Page of `long_trajectory`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.long_trajectory_claims import (
    long_trajectory_verdicts,
)
from spectraledge.experiments.execution_subspace.long_trajectory_runs import (
    HORIZON,
    PUBLISHED_STEPS,
    LongRuns,
    long_regime,
    long_runs,
)
from spectraledge.experiments.execution_subspace.rank_one_sections import DIFFUSION
from spectraledge.experiments.execution_subspace.regime_provenance import regime_section
from spectraledge.experiments.execution_subspace.regimes import HELD_OUT
from spectraledge.experiments.execution_subspace.released_shares import LAYER_MEANS
from spectraledge.experiments.execution_subspace.trajectory_shares import (
    Run,
    curve_name,
    per_seed,
    share_at,
)
from spectraledge.experiments.row_values import last_value, mean_of, share_words, short
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import BAND, answer_words, row_curve, scaled_verdicts
from spectraledge.report import Axes, Curve, Figure, Page, Section, Table, arm_colours, curves
from spectraledge.series import Interval

__all__ = ["TITLE", "long_trajectory_page"]

TITLE = "Does the trajectory of a run that does not generalise lose its main direction with time?"
EXPLAINED = (
    "The paper sets operations that generalise, read after some 3000 steps, against two that never "
    "do, read after 200,000. Here the hard operations are as long as that, and beside them stands "
    "one that generalises and is trained on: what happens to all of them is the length of the run."
)
FULLER = (
    f"Runs are watched for {HORIZON:,} steps at least, and are shown as far as they went; to the "
    f"published {PUBLISHED_STEPS:,} they go on with `spectraledge sweep long_trajectory --horizon "
    f"{PUBLISHED_STEPS}` and the same folder of runs. `--scale demo` has more seeds, and one hard "
    "operation."
)
SHARES = {
    "first component": "first_share",
    "random walk": "random_walk_share",
    "walk that forgets its start": "ornstein_uhlenbeck_share",
    "without the decayed start": "first_share_without_decayed_start",
}


def long_trajectory_page(known: Known, scale: Scale) -> Page:
    """The page; see `long_trajectory`. Runs are shown as far as they were trained."""
    known = replace(known, beyond=True)
    runs = LongRuns.of(known, scale)
    verdicts = scaled_verdicts(long_trajectory_verdicts(runs, scale), scale)
    return Page(
        title=TITLE,
        summary=f"{answer_words(verdicts, bool(runs.every))}\n\n{EXPLAINED}",
        verdicts=verdicts,
        sections=[
            _accuracy_section(runs),
            _curves_section(runs),
            _table_section(runs),
            regime_section(known, long_runs(scale), long_regime(scale), FULLER),
        ],
    )


def _accuracy_section(runs: LongRuns) -> Section:
    rows = [
        (
            run.operation,
            run.seed,
            f"{run.row.steps_taken:,}",
            "–" if run.stop is None else f"{run.stop:,}",
            f"{last_value(run.row, 'train_accuracy'):.3f}",
            f"{last_value(run.row, HELD_OUT):.3f}",
        )
        for run in runs.every
    ]
    columns = ("operation", "seed", "steps", "grok_stop", "train accuracy", "held-out accuracy")
    caption = "Accuracies at the last record."
    text = "Whether an operation that is called hard generalises when it is trained for long."
    return Section("Training", text, [Table(columns, rows, caption)])


def _curves_section(runs: LongRuns) -> Section:
    text = (
        "The window goes from the start of the run to each step. Once a trajectory is much longer "
        "than the memory that decay leaves it, 1/(lr·wd) steps, its start no longer matters, and "
        "what is left is diffusion about a place: points that are far apart in time are then as "
        "good as independent, so that no direction holds much of the variance. A random walk "
        "remembers all its steps and keeps its share."
    )
    scopes = [(f"{runs.last_layer} mean", "Last layer, mean over matrices"),
              (f"{runs.last_layer}.attention.value", "W_V of the last layer")]  # fmt: skip
    figures = [f for scope, title in scopes for f in _operations_figure(runs, scope, title)]
    controls = [f for operation in runs.by_operation for f in _controls_figure(runs, operation)]
    return Section("Shares over steps", text, [*figures, *controls])


def _operations_figure(runs: LongRuns, scope: str, title: str) -> list[Figure]:
    drawn = [
        curve
        for operation, own in runs.rows.items()
        if (curve := row_curve(operation, own, curve_name("first_share", scope), limits=(0, 1)))
    ]
    return _shares_figure(drawn, title, arm_colours(list(runs.by_operation)))


def _controls_figure(runs: LongRuns, operation: str) -> list[Figure]:
    scope = f"{runs.last_layer} mean"
    drawn = [
        curve
        for name, output in SHARES.items()
        if (
            curve := row_curve(name, runs.rows[operation], curve_name(output, scope), limits=(0, 1))
        )
    ]
    return _shares_figure(
        drawn, f"{operation}: last layer, and its controls", arm_colours(list(SHARES))
    )


def _shares_figure(drawn: Sequence[Curve], title: str, colours: Mapping[str, str]) -> list[Figure]:
    if not drawn:
        return []
    axes = Axes(y_label="share of the variance", y_range=(0.0, 1.0))
    return [
        curves(
            drawn,
            title=title,
            caption=f"First component, from the start to each step. {BAND}",
            colours=colours,
            axes=axes,
            references=[DIFFUSION],
            half=True,
        )
    ]


def _table_section(runs: LongRuns) -> Section:
    rows = [
        (operation, mean, *_cells(own, mean), _released(operation, layer))
        for operation, own in runs.by_operation.items()
        for layer, mean in enumerate(runs.means)
    ]
    columns = ("operation", "scope", *SHARES, "z", "released share")
    text = (
        "z is the published form, the excess over the walk in its deviations. The released share "
        "of the hard operations is that of runs of 200,000 steps with a snapshot every 100; that "
        "of an operation that generalises is of some 3000 steps and no target."
    )
    caption = "At the last record; means over seeds with 95 % t intervals."
    return Section("At the end", text, [Table(columns, rows, caption)])


def _cells(own: list[Run], scope: str) -> tuple[str, ...]:
    def mean(output: str) -> Interval | None:
        return mean_of(per_seed(own, [lambda run: share_at(run, output, scope)]))

    return (*(share_words(mean(output)) for output in SHARES.values()), short(mean("z_score")))


def _released(operation: str, layer: int) -> str:
    found = LAYER_MEANS.get((operation, layer))
    return "–" if found is None else f"{found[0] / 100:.3f}"
