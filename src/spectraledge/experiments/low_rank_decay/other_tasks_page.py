"""Page of `other_tasks`: times by task and arm, and whether the answer on addition carries over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spectraledge.experiments.base import Scale
from spectraledge.experiments.low_rank_decay.decay_arms import chain_of
from spectraledge.experiments.low_rank_decay.outcomes import (
    best_accuracy,
    has_generalised,
    times_of,
)
from spectraledge.experiments.low_rank_decay.paired_comparisons import (
    Comparison,
    compare,
    compare_pairs,
    comparison_words,
    differences_figure,
    times_figure,
)
from spectraledge.experiments.low_rank_decay.provenance import provenance_section
from spectraledge.experiments.low_rank_decay.sizes import Size, size_of
from spectraledge.experiments.low_rank_decay.tuning import tuned
from spectraledge.experiments.row_values import mean_of, share_words, short
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import (
    BAND,
    RULE,
    Rows,
    by_seed,
    p_words,
    row_curve,
    scaled_verdicts,
    time_words,
)
from spectraledge.report import (
    Axes,
    Figure,
    Page,
    Section,
    Table,
    Verdict,
    arm_colours,
    curves,
)

__all__ = ["other_tasks_page"]

L2, LRD, ADDITION = "L2", "LRD", "a + b"
# Steps to 99 % in the author's notebook, modulo 97, one run each and arms tuned otherwise.
PAPER = {
    ADDITION: "1750 steps against 2200 of L2, one run",
    "a · b": "1750 steps against 3200 of L2, one run",
    "composition in S5": "L2 ahead, one run; neither reached 99 %",
}
FULLER = (
    "Addition is read off the runs of the other studies at the same settings. A larger budget "
    "would add seeds, tuning on every task, and the published size (`--scale full`)."
)
Cells = Mapping[str, Mapping[str, Rows]]


def other_tasks_page(known: Known, scale: Scale) -> Page:
    """The page; see `other_tasks`."""
    # The study imports its page.
    from spectraledge.experiments.low_rank_decay.other_tasks import (
        ARMS,
        OtherTasks,
        task_runs,
        tasks_of,
    )

    size = size_of(scale)
    budget = size.budgets[-1]
    runs = task_runs(known, size)
    cells = {
        task: {arm: by_seed(known, runs.get((task, arm), ())) for arm in ARMS}
        for task in tasks_of(size)
    }
    addition = _addition(known, size, ARMS)
    found = compare_pairs({task: (arms[LRD], arms[L2]) for task, arms in cells.items()}, budget)
    own = compare_pairs({ADDITION: (addition[LRD], addition[L2])}, budget)
    titles = {f"{task}, {arm}": of_cell for (task, arm), of_cell in runs.items()}
    return Page(
        title=OtherTasks.title,
        summary=_summary(cells, found, own, budget),
        verdicts=scaled_verdicts(_verdicts(cells, found, own, budget), scale),
        sections=[
            _differences_section(found, own, budget),
            _times_section(cells, budget, arm_colours(ARMS)),
            _table_section({ADDITION: addition, **cells}, budget),
            provenance_section(known, titles, size, FULLER),
        ],
    )


def _addition(known: Known, size: Size, arms: Sequence[str]) -> dict[str, Rows]:
    """Runs of the arms on addition at the same settings, as far as other studies have them."""
    found: dict[str, Rows] = {arm: {} for arm in arms}
    for arm, setting in tuned(known, size, arms).items():
        runs = size.runs(chain_of(arm, setting.strength, size), lr=setting.lr)
        found[arm] = by_seed(known, runs)
    return found


def _summary(
    cells: Cells, found: Sequence[Comparison], own: Sequence[Comparison], budget: int
) -> str:
    never = [
        f"{task} ({', '.join(silent)})"
        for task, arms in cells.items()
        if (silent := [a for a, rows in arms.items() if rows and not _reached(rows, budget)])
    ]
    answer = _answer(cells, found, own)
    if never:
        answer += (
            f" Without any run that generalised within {budget} steps: {'; '.join(never)}. Of "
            "those only a lower bound of the time is known."
        )
    return (
        f"{answer}\n\n"
        "Every arm keeps the strength and learning rate that were best on addition: what is "
        "tested is whether an answer carries over, not what each task could reach. Composition "
        "does not commute, so that no mirror leak touches it on any split."
    )


def _answer(cells: Cells, found: Sequence[Comparison], own: Sequence[Comparison]) -> str:
    if not any(rows for arms in cells.values() for rows in arms.values()):
        return "Nothing is known yet."
    if not own:
        return "Addition is not run yet, so there is no answer to carry over."
    by_direction: dict[str, list[str]] = {"sooner": [], "later": [], "": []}
    for c in found:
        by_direction[c.direction].append(c.arm)
    told = "; ".join(
        f"{direction or 'not told apart'} on {', '.join(tasks)}"
        for direction, tasks in by_direction.items()
        if tasks
    )
    return (
        f"On addition, low-rank decay against L2, each at its best setting: "
        f"{comparison_words(own[0])}. At the same settings it is {told or 'not run yet'}."
    )


def _reached(rows: Rows, budget: int) -> int:
    return sum(has_generalised(row, budget) for row in rows.values())


def _differences_section(
    found: Sequence[Comparison], own: Sequence[Comparison], budget: int
) -> Section:
    both = [*own, *found]
    colours = arm_colours([c.arm for c in both])
    figure = differences_figure(found, budget, colours, L2) if found else None
    basis = differences_figure(own, budget, colours, L2) if own else None
    text = (
        "Steps that low-rank decay takes to generalise, minus those of L2, seed by seed; addition "
        "by itself, because its runs belong to other studies and have more seeds."
    )
    if not both:
        text = "No pair of runs is known yet."
    return Section("Low-rank decay against L2", text, [f for f in (basis, figure) if f])


def _times_section(cells: Cells, budget: int, colours: Mapping[str, str]) -> Section:
    items = []
    for task, arms in cells.items():
        items += [times_figure(arms, budget, colours, f"Step of generalisation: {task}")]
        items += [_accuracy(task, arms, colours)]
    text = (
        "Every run at the settings that were best on addition. On a² + b² the signs of the "
        "operands do not matter, so that almost every held-out pair has a trained twin on any "
        f"split; to learn that a and −a are alike is enough. {BAND}"
    )
    return Section("Every task", text, [item for item in items if item])


def _accuracy(task: str, arms: Mapping[str, Rows], colours: Mapping[str, str]) -> Figure | None:
    found = [row_curve(a, r, "validation_accuracy", limits=(0.0, 1.0)) for a, r in arms.items()]
    drawn = [curve for curve in found if curve is not None]
    if not drawn:
        return None
    return curves(
        drawn,
        title=f"Validation accuracy: {task}",
        caption="Every seed.",
        colours=colours,
        axes=Axes(y_label="validation accuracy", y_range=(-0.03, 1.03)),
        half=True,
    )


def _table_section(cells: Cells, budget: int) -> Section:
    rows = []
    for task, arms in cells.items():
        others = {arm: of_arm for arm, of_arm in arms.items() if arm != L2}
        against = {c.arm: c for c in compare(others, arms[L2], budget)}
        rows += [_table_row(task, arm, r, against.get(arm), budget) for arm, r in arms.items()]
    columns = ("task", "arm", "generalised", f"minus {L2}, steps", "p", "best accuracy")
    caption = (
        f"{RULE} Mean number of the first {budget} steps before a run does, with its 95 % "
        f"interval; difference to {L2}, paired by seed, with an interval and a p-value (paired "
        "log-rank, Holm) that allow for the three comparisons of a task. Five seeds cannot give a "
        "p below 0.06. Best accuracy: mean over seeds of the best validation accuracy."
    )
    return Section("Times by task and arm", "", [Table(columns, rows, caption)])


def _table_row(
    task: str, arm: str, rows: Rows, compared: Comparison | None, budget: int
) -> tuple[str, ...]:
    times = times_of(rows.values(), budget) if rows else None
    difference, p = (short(compared.difference), compared.p) if compared else ("–", None)
    best = share_words(mean_of([best_accuracy(row) for row in rows.values()], 0.0, 1.0))
    return task, arm, time_words(times, budget), difference, p_words(p), best


def _verdicts(
    cells: Cells, found: Sequence[Comparison], own: Sequence[Comparison], budget: int
) -> list[Verdict]:
    addition = own[0] if own else None
    by_task = {c.arm: c for c in found}
    return [_carries_over(task, by_task.get(task), addition, budget) for task in cells]


def _carries_over(
    task: str, here: Comparison | None, addition: Comparison | None, budget: int
) -> Verdict:
    claim = f"The answer on addition (low-rank decay against L2) carries over to {task}"
    paper = PAPER.get(task, "not examined")
    if here is None or addition is None:
        missing = "addition" if addition is None else "this task"
        return Verdict(claim, paper, f"{missing} not run yet", "undecided")
    status, why = _status(here, addition)
    censored = int((~here.own.observed).sum()), int((~here.reference.observed).sum())
    note = f"; not within {budget}: {censored[0]} of {here.own.count} under low-rank decay, "
    note += f"{censored[1]} under L2"
    return Verdict(
        claim,
        paper,
        f"{comparison_words(here)}; on addition {comparison_words(addition)}"
        + (note if any(censored) else ""),
        status,
        f"{why} Differences of restricted means up to {budget} steps, paired by seed.",
    )


def _status(here: Comparison, addition: Comparison) -> tuple[str, str]:
    if not (here.own.observed.any() or here.reference.observed.any()):
        return "undecided", "No run of either arm generalised on this task."
    if addition.direction and here.direction == addition.direction:
        return "holds", "Both intervals lie on the same side of 0."
    if addition.direction and here.direction:
        return "fails", "The intervals lie on opposite sides of 0."
    if addition.direction:
        return "undecided", "The interval on this task holds 0."
    apart = (
        here.difference.lower > addition.difference.upper
        or here.difference.upper < addition.difference.lower
    )
    if here.direction and apart:
        return "fails", "There is a difference here, and addition excludes one of its size."
    return "undecided", "On addition itself the two cannot be told apart."
