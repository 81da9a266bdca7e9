"""Figures and tables of norm or rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, inf, log, nan
from sys import float_info

from spectraledge.experiments.forest import Estimate, forest_figure
from spectraledge.experiments.low_rank_decay.norm_or_rank_contrasts import (
    ANTI,
    CLAMP,
    CONTRASTS,
    FREE,
    FROZEN,
    HELD,
    HELD_LRD,
    L2,
    LRD,
    MARGIN,
    RANDOM,
    SPHERE,
    Measured,
    square_of,
)
from spectraledge.experiments.low_rank_decay.outcomes import times_of
from spectraledge.experiments.low_rank_decay.paired_comparisons import Comparison, compare
from spectraledge.experiments.row_values import last_value, mean_of, short
from spectraledge.experiments.study_sections import (
    BAND,
    RULE,
    p_words,
    row_curve,
    survival_curve,
)
from spectraledge.lab.rows import Row
from spectraledge.report import Axes, Figure, Reference, Section, Table, curves
from spectraledge.report.colours import PALETTE
from spectraledge.series import Interval, proportion_interval, restricted_mean

__all__ = ["contrasts_section", "spectrum_section", "times_section"]

# Ten arms are too many for one figure: where the norm moves freely, and where it is held. The two
# that the palette lacks colours for are dark and purple, and never meet a similar one.
GROUPS = {
    "the norm moves": (FREE, L2, LRD, CLAMP, RANDOM),
    "the norm is held": (LRD, SPHERE, ANTI, HELD, HELD_LRD, FROZEN),
}
COLOURS = {
    L2: PALETTE[0], LRD: PALETTE[1], CLAMP: PALETTE[2], RANDOM: PALETTE[3], HELD: PALETTE[4],
    ANTI: PALETTE[5], SPHERE: PALETTE[6], FREE: PALETTE[7], FROZEN: "#1d2730",
    HELD_LRD: "#6a51a3",
}  # fmt: skip
NORM = "weight_spectrum/frobenius_norm"
RANKS = {
    "weight_spectrum/stable_rank": ("Stable rank", "mean F²/σ₁² over Q and K"),
    "weight_spectrum/entropy_rank": ("Entropy rank", "mean exp(entropy of σ/Σσ)"),
}
# Norms that leave this range leave the figure.
NORMS_SHOWN = (1e-3, 1e2)


def missing_words(found: Measured) -> str:
    """Arms whose runs are missing, in a sentence; empty if there are none."""
    wanted = (FREE, L2, LRD, SPHERE, HELD, ANTI, RANDOM, FROZEN, CLAMP, HELD_LRD)
    parts = [arm if arm not in found.rows else f"{arm} ({found.missing[arm]})"
             for arm in wanted if not found.whole(arm)]  # fmt: skip
    return f"Runs are missing yet of: {', '.join(parts)}." if parts else ""


def times_section(found: Measured, fraction: float) -> Section:
    """Survival curves by group, and a table of all arms."""
    text = (
        f"All arms at train fraction {fraction:g}, each at its own best setting, on the same "
        f"seeds. {RULE}\n\n{missing_words(found)}"
    )
    figures = [
        curves(
            lines,
            title=f"Share of seeds that have generalised: {group}",
            caption="After Kaplan and Meier, with pointwise 95 % intervals.",
            colours=COLOURS,
            axes=Axes(y_label="share generalised", y_range=(-0.03, 1.03)),
        )
        for group, arms in GROUPS.items()
        if (lines := [
            survival_curve(arm, times_of(found.rows[arm].values(), found.budget), found.budget)
            for arm in arms if arm in found.rows
        ])
    ]  # fmt: skip
    table = [_times_table(found)] if found.rows else []
    return Section("Steps to generalise", text, [*figures, *table])


def _times_table(found: Measured) -> Table:
    against = {name: _against(found, name) for name in (L2, LRD)}
    rows: list[tuple[str, ...]] = []
    for arm, of_arm in found.rows.items():
        times = times_of(of_arm.values(), found.budget)
        count = int(times.observed.sum())
        share = f"{count} of {times.count}: {short(proportion_interval(count, times.count))}"
        mean = short(restricted_mean(times, float(found.budget)))
        differences = [_difference(against[name].get(arm)) for name in (L2, LRD)]
        rows.append((arm, _setting(found, arm), share, mean, *differences))
    columns = ("arm", "strength, lr", "generalised", "mean step", "minus L2", "minus LRD")
    caption = (
        f"Share and mean step (of the first {found.budget}, how many pass before a run "
        "generalises) with 95 % intervals. Differences of mean steps, paired by seed, with "
        "intervals that hold for all of a column together; p: paired log-rank test, adjusted "
        "after Holm for the column."
    )
    return Table(columns, rows, caption)


def _against(found: Measured, reference: str) -> Mapping[str, Comparison]:
    if reference not in found.rows:
        return {}
    others = {arm: rows for arm, rows in found.rows.items() if arm != reference}
    return {c.arm: c for c in compare(others, found.rows[reference], found.budget)}


def _difference(compared: Comparison | None) -> str:
    if compared is None:
        return "–"
    return f"{short(compared.difference)}, p = {p_words(compared.p)}"


def _setting(found: Measured, arm: str) -> str:
    last = found.runs[arm][0].updates[-1]
    spec = found.runs[arm][0]
    strengths = [u.strength for u in spec.updates[1:] if hasattr(u, "strength")]
    if arm == HELD:
        strengths = [last.factors[0]]  # type: ignore[attr-defined]
    words = f"{strengths[0]:g}" if strengths else "–"
    return f"{words}, {spec.lr:g}"


def contrasts_section(found: Measured) -> Section:
    """The pairs that decide, and the square of norm held and rank pressure."""
    text = (
        "Pairs of arms that differ in one respect: rank pressure at the same norm, the norm "
        "without rank pressure, the direction of the pressure. Differences are in steps, paired by "
        "seed; left of zero the first arm is sooner."
    )
    chosen = {c.name: found.contrasts[c.name] for c in CONTRASTS if c.name in found.contrasts}
    if not chosen:
        return Section("What decides between norm and rank", f"{text}\n\nNot run yet.")
    figure = forest_figure(
        [Estimate(name, "difference of mean steps", c.difference) for name, c in chosen.items()],
        title="Steps later than the arm it is compared with",
        caption=f"Restricted means up to {found.budget} steps; 95 % for all {len(chosen)} pairs "
        "together.",
        label="steps",
        references=[Reference(0.0, ""), Reference(MARGIN * found.budget, "as well up to here")],
    )
    rows = [
        (name, short(c.difference), p_words(c.p), _sooner(c), len(c.seeds))
        for name, c in chosen.items()
    ]
    caption = (
        f"Steps: with 95 % for all {len(chosen)} together. p: paired log-rank test, adjusted after "
        "Holm for all of them. Pairs sooner: seeds in which the first arm was, without ties."
    )
    table = Table(("difference", "steps", "p", "pairs sooner", "seeds"), rows, caption)
    return Section("What decides between norm and rank", text, [figure, table, *_square(found)])


def _sooner(c: Comparison) -> str:
    first = int((c.own.steps < c.reference.steps).sum())
    return f"{first} of {int((c.own.steps != c.reference.steps).sum())}"


def _square(found: Measured) -> list[Table]:
    square = square_of(found)
    if square is None:
        return []
    effects = square.effects
    rows = [
        (name, short(square.cells[held, False]), short(square.cells[held, True]),
         short(effects[name]))
        for held, name in ((False, "norm free"), (True, "norm held"))
    ]  # fmt: skip
    rows.append(("held minus free", "", "", short(effects["held minus free"])))
    caption = (
        "Mean steps to generalise with 95 % intervals: no decay, LRD, norm held, and LRD with the "
        "norm held at the same value, on the same seeds. What rank pressure changes, with 95 % for "
        "all three together: if it changes nothing once the norm is held, it acted through that."
    )
    columns = ("", "without rank pressure", "with LRD", "what it changes")
    return [Table(columns, rows, caption)]


def spectrum_section(found: Measured) -> Section:
    """Norm and ranks over steps by group, and where they stand at the end of a run."""
    text = (
        "The norm relative to initialisation, and two ranks that disagree: the stable rank looks "
        "at the largest singular value, the entropy rank at all of them."
    )
    figures = [
        *_figures(found, "the norm moves", NORM),
        *(f for group in GROUPS for name in RANKS for f in _figures(found, group, name)),
    ]
    if not figures:
        return Section("Norm and rank", f"{text}\n\nNot run yet.")
    return Section("Norm and rank", text, [*figures, _ends_table(found)])


def _figures(found: Measured, group: str, name: str) -> list[Figure]:
    """One output of the arms of a group over steps; nothing if no arm has it."""
    title, what = {NORM: ("Norm", "mean ‖W‖_F over Q and K, initially 1"), **RANKS}[name]
    norm = name == NORM
    found_lines = [
        row_curve(arm, found.rows[arm], name, relative=norm, log=True)
        for arm in GROUPS[group]
        if arm in found.rows
    ]
    lines = [line for line in found_lines if line is not None]
    if not lines:
        return []
    axes = Axes(y_label=title.lower(), log_y=True, y_range=NORMS_SHOWN if norm else None)
    return [
        curves(
            lines,
            title=f"{title}: {group}",
            caption=f"{what[0].upper()}{what[1:]}. {BAND}",
            colours=COLOURS,
            axes=axes,
            half=not norm,
        )
    ]


def _ends_table(found: Measured) -> Table:
    rows = [
        (
            arm,
            short(_geometric_mean([_relative(row) for row in of_arm.values()])),
            *(short(mean_of((last_value(row, name) for row in of_arm.values()), low=1.0))
              for name in RANKS),
        )
        for arm, of_arm in found.rows.items()
    ]  # fmt: skip
    columns = ("arm", "norm / initial norm", *(title.lower() for title, _ in RANKS.values()))
    caption = (
        "At the last record of a run: where it generalised, or at the end of the budget. Means "
        "over seeds, that of the norm geometric, with 95 % t intervals."
    )
    return Table(columns, rows, caption)


def _relative(row: Row) -> float:
    start = row.curves[NORM][0] if len(row.curves.get(NORM, ())) else float("nan")
    return last_value(row, NORM) / start


def _geometric_mean(values: Sequence[float]) -> Interval | None:
    found = mean_of(log(value) if value > 0 else nan for value in values)
    if found is None:
        return None
    ends = [exp(end) if end < log(float_info.max) else inf for end in (found.lower, found.upper)]
    return Interval(exp(found.centre), ends[0], ends[1], found.count)
