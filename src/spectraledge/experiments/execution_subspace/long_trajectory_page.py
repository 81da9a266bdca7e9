"""Page of `long_trajectory`."""

from __future__ import annotations

from dataclasses import replace

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.base_runs import DECAY
from spectraledge.experiments.execution_subspace.long_trajectory_claims import (
    long_trajectory_verdicts,
)
from spectraledge.experiments.execution_subspace.long_trajectory_runs import (
    HORIZON,
    PUBLISHED_STEPS,
    long_cells,
    long_regime,
    long_runs,
)
from spectraledge.experiments.execution_subspace.rank_one_sections import arm_curves, over_steps
from spectraledge.experiments.execution_subspace.regime_provenance import regime_section
from spectraledge.experiments.execution_subspace.regimes import HELD_OUT
from spectraledge.experiments.execution_subspace.released_shares import LAYER_MEANS
from spectraledge.experiments.execution_subspace.trajectory_shares import (
    Cells,
    Run,
    curve_name,
    per_seed,
    share_at,
)
from spectraledge.experiments.row_values import last_value, mean_of, share_words, short
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import BAND, answer_words, row_curve, scaled_verdicts
from spectraledge.report import Figure, Page, Section, Table, arm_colours
from spectraledge.series import Interval

__all__ = ["TITLE", "long_trajectory_page"]

TITLE = "Does the trajectory of a run that does not generalise lose its main direction with time?"
EXPLAINED = (
    "The paper sets operations that generalise, read after some 3000 steps, against two that never "
    "do, read after 200,000. Here the hard operations are trained far beyond 3000, and beside them "
    "one that generalises and is trained on: what happens to all of them is the length of the run."
)
FULLER = (
    f"Runs are watched for {HORIZON:,} steps at least, and are shown as far as they went; to the "
    f"published {PUBLISHED_STEPS:,} they go on with `spectraledge sweep long_trajectory --horizon "
    f"{PUBLISHED_STEPS}` and the same folder of runs. `--scale demo` has more seeds, and one hard "
    "operation."
)
CAPTION = f"First component, from the start to each step. {BAND}"
SHARES = {
    "first component": "first_share",
    "random walk": "random_walk_share",
    "walk that forgets its start": "ornstein_uhlenbeck_share",
    "without the decayed start": "first_share_without_decayed_start",
}


def long_trajectory_page(known: Known, scale: Scale) -> Page:
    """The page; see `long_trajectory`. Runs are shown as far as they were trained."""
    known = replace(known, beyond=True)
    cells = long_cells(known, scale)
    anything = bool(cells.runs(cells.regime.operations))
    verdicts = scaled_verdicts(long_trajectory_verdicts(cells, scale), scale)
    return Page(
        title=TITLE,
        summary=f"{answer_words(verdicts, anything)}\n\n{EXPLAINED}",
        verdicts=verdicts,
        sections=[
            _accuracy_section(cells),
            _curves_section(cells),
            _table_section(cells),
            regime_section(known, long_runs(scale), long_regime(scale), FULLER),
        ],
    )


def _accuracy_section(cells: Cells) -> Section:
    rows = [
        (
            run.operation,
            run.seed,
            f"{run.row.steps_taken:,}",
            "–" if run.stop is None else f"{run.stop:,}",
            f"{last_value(run.row, 'train_accuracy'):.3f}",
            f"{last_value(run.row, HELD_OUT):.3f}",
        )
        for run in cells.runs(cells.regime.operations)
    ]
    columns = ("operation", "seed", "steps", "grok_stop", "train accuracy", "held-out accuracy")
    caption = "Accuracies at the last record."
    text = "Whether an operation that is called hard generalises when it is trained for long."
    return Section("Training", text, [Table(columns, rows, caption)])


def _curves_section(cells: Cells) -> Section:
    text = (
        "The window goes from the start of the run to each step. Once a trajectory is much longer "
        "than the memory that decay leaves it, 1/(lr·wd) steps, its start no longer matters, and "
        "what is left is diffusion about a place: points that are far apart in time are then as "
        "good as independent, so that no direction holds much of the variance. A random walk "
        "remembers all its steps and keeps its share."
    )
    scopes = [(f"{cells.last_layer} mean", "Last layer, mean over matrices"),
              (f"{cells.last_layer}.attention.value", "W_V of the last layer")]  # fmt: skip
    operations = cells.regime.operations
    figures = [
        figure
        for scope, title in scopes
        for figure in over_steps(
            arm_curves(cells, "first_share", scope, operations), [], arm_colours(operations),
            title=title, caption=CAPTION,
        )
    ]  # fmt: skip
    controls = [figure for operation in operations for figure in _controls(cells, operation)]
    return Section("Shares over steps", text, [*figures, *controls])


def _controls(cells: Cells, operation: str) -> list[Figure]:
    rows, scope = cells.rows(operation, DECAY), f"{cells.last_layer} mean"
    found = [row_curve(n, rows, curve_name(o, scope), limits=(0, 1)) for n, o in SHARES.items()]
    return over_steps(
        [curve for curve in found if curve], [], arm_colours(list(SHARES)),
        title=f"{operation}: last layer, and its controls", caption=CAPTION,
    )  # fmt: skip


def _table_section(cells: Cells) -> Section:
    rows = [
        (operation, mean, *_shares(cells.runs([operation]), mean), _released(operation, layer))
        for operation in cells.regime.operations
        for layer, mean in enumerate(cells.means)
    ]
    columns = ("operation", "scope", *SHARES, "z", "released share")
    text = (
        "z is the published form, the excess over the walk in its deviations. The released share "
        "of the hard operations is that of runs of 200,000 steps with a snapshot every 100; that "
        "of an operation that generalises is of some 3000 steps and no target."
    )
    caption = "At the last record; means over seeds with 95 % t intervals."
    return Section("At the end", text, [Table(columns, rows, caption)])


def _shares(own: list[Run], scope: str) -> tuple[str, ...]:
    def mean(output: str) -> Interval | None:
        return mean_of(per_seed(own, [lambda run: share_at(run, output, scope)]))

    return (*(share_words(mean(output)) for output in SHARES.values()), short(mean("z_score")))


def _released(operation: str, layer: int) -> str:
    found = LAYER_MEANS.get((operation, layer))
    return "–" if found is None else f"{found[0] / 100:.3f}"
