"""Page of `mirror_leak`: accuracy by subset, plateau against train fraction, and controls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from spectraledge.experiments.base import Scale
from spectraledge.experiments.gather import band
from spectraledge.experiments.low_rank_decay.mirror_claims import verdicts
from spectraledge.experiments.low_rank_decay.mirror_plateaus import (
    LEFT,
    SUBSETS,
    Plateau,
    condition,
    excesses,
    middle,
    plateaus,
)
from spectraledge.experiments.low_rank_decay.provenance import provenance_section
from spectraledge.experiments.low_rank_decay.sizes import size_of
from spectraledge.experiments.row_values import mean_of, share_words
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import BAND, row_curve, scaled_verdicts
from spectraledge.report import (
    Axes,
    Curve,
    Figure,
    Page,
    Reference,
    Section,
    Table,
    Verdict,
    arm_colours,
    curves,
)
from spectraledge.training import RunSpec

__all__ = ["mirror_leak_page"]

ACCURACY = (-0.03, 1.03)
EQUAL = "y = f"
FULLER = (
    "A larger budget would add seeds and the published size (`--scale full`), where a validation "
    "set of thousands of pairs leaves less scatter; the runs are short because nothing happens on "
    "a plateau."
)


def mirror_leak_page(known: Known, scale: Scale) -> Page:
    """The page; see `mirror_leak`."""
    # The study imports its page.
    from spectraledge.experiments.low_rank_decay import mirror_leak as study

    size = size_of(scale)
    runs = study.leak_runs(size)
    found = plateaus(known, runs)
    claims = scaled_verdicts(verdicts(found), scale)
    titles: dict[str, list[RunSpec]] = {}
    for (arm, operation, split, _), of_cell in runs.items():
        titles.setdefault(condition(arm, operation, split), []).extend(of_cell)
    return Page(
        title=study.MirrorLeak.title,
        summary=_summary(claims, found),
        verdicts=claims,
        sections=[
            _subset_section(found),
            _plateau_section(found),
            provenance_section(known, titles, size, FULLER),
        ],
    )


def _summary(claims: Sequence[Verdict], found: Sequence[Plateau]) -> str:
    if not found:
        return f"Nothing is known yet.\n\n{_WHAT}"
    here, _, subsets, safe, other = claims
    stops = {"holds": "stops at", "fails": "does not stop at", "undecided": "may stop at"}
    nothing = " nothing is left" if {safe.status, other.status} == {"holds"} else ""
    return (
        f"At train fraction {middle(found):g} the L2 baseline {stops[here.status]} the share of "
        f"validation pairs whose mirror it was trained on: its accuracy is above that share by "
        f"{here.observed}. It gets right {subsets.observed}. Without the leak{nothing}: "
        f"{safe.observed} on the mirror-safe split, {other.observed} on subtraction.\n\n{_WHAT}"
    )


_WHAT = (
    "Addition is commutative. On the published split a share f of the held-out pairs (a, b) has "
    "its mirror (b, a) in the training set, and a network that has memorised the training set and "
    "ignores the order of its operands answers exactly these. Its validation accuracy is f, "
    "without it having understood addition."
)


def _subset_section(found: Sequence[Plateau]) -> Section:
    colours = arm_colours(list(SUBSETS))
    chosen = [p for p in found if p.fraction == middle(found)]
    figures = [figure for p in chosen if (figure := _subsets(p, colours))]
    return Section(
        "Where the accuracy comes from",
        f"Validation pairs by whether their mirror was trained on; a pair with a = b is its own. "
        f"{BAND}",
        figures,
    )


def _subsets(plateau: Plateau, colours: dict[str, str]) -> Figure | None:
    found = [
        curve
        for subset, name in SUBSETS.items()
        if (curve := row_curve(subset, plateau.rows, name, limits=(0.0, 1.0)))
        and np.isfinite(curve.values).any()
    ]
    if not found:
        return None
    share = float(np.mean(list(plateau.shares.values())))
    return curves(
        found,
        title=f"{plateau.condition}, train fraction {plateau.fraction:g}",
        caption="Validation accuracy by subset, every seed.",
        colours=colours,
        axes=Axes(y_label="validation accuracy", y_range=ACCURACY),
        references=[Reference(share, "mirror share", "y")],
        half=True,
    )


def _plateau_section(found: Sequence[Plateau]) -> Section:
    text = (
        "Validation accuracy at the end of these short runs. The line is y = f: the share of "
        "mirrored pairs, but for the pairs a = b, and for the luck of the split, which the table "
        "takes into account."
    )
    return Section("Plateau against train fraction", text, [*_plateau_figure(found), _table(found)])


def _plateau_figure(found: Sequence[Plateau]) -> list[Figure]:
    names = list(dict.fromkeys(p.condition for p in found))
    if not names:
        return []
    drawn = [_against_fraction(found, name) for name in names]
    fractions = np.array(sorted({p.fraction for p in found}))
    line = Curve(EQUAL, fractions, fractions[None], dash="dash")
    colours = arm_colours(names) | {EQUAL: "#1d2730"}
    return [
        curves(
            [*drawn, line],
            title="Where memorised runs end",
            caption="Thin lines are seeds, the thick line is their mean, the band its 95 % t "
            "interval. Addition on the published split unless said otherwise.",
            colours=colours,
            axes=Axes(x_label="train fraction f", y_label="validation accuracy", y_range=ACCURACY),
        )
    ]


def _against_fraction(found: Sequence[Plateau], name: str) -> Curve:
    chosen = sorted((p for p in found if p.condition == name), key=lambda p: p.fraction)
    seeds = sorted({seed for p in chosen for seed in p.rows})
    values = np.full((len(seeds), len(chosen)), np.nan)
    for column, plateau in enumerate(chosen):
        ends = dict(zip(plateau.rows, plateau.ends()))
        values[:, column] = [ends.get(seed, np.nan) for seed in seeds]
    return band(name, (), np.array([p.fraction for p in chosen]), values, (0.0, 1.0))


def _table(found: Sequence[Plateau]) -> Table:
    above = {name: excesses(found, name) for name in {p.condition for p in found}}
    rows: list[tuple[str | int, ...]] = [
        (
            p.condition,
            f"{p.fraction:g}",
            len(p.rows),
            _mean(p.trained),
            share_words(mean_of(p.ends(), 0.0, 1.0)),
            f"{np.mean(list(p.shares.values())):.3f}",
            *(_mean(p.ends(subset)) for subset in list(SUBSETS)[1:]),
            f"{int(p.stays.sum())} of {len(p.rows)}",
            share_words(above[p.condition].get(p.fraction)),
        )
        for p in found
    ]
    columns = (
        "condition", "train fraction", "seeds", "training accuracy", "validation accuracy",
        "mirror share", *(f"accuracy: {subset}" for subset in list(SUBSETS)[1:]),
        "runs on the plateau", "their accuracy above it",
    )  # fmt: skip
    caption = (
        "Means over seeds at the last step with 95 % t intervals; those of the last column hold "
        f"for all train fractions of a condition at once. On the plateau are runs that get at most "
        f"{LEFT:g} of the pairs without a trained mirror right; the others have begun to "
        "generalise."
    )
    return Table(columns, rows, caption)


def _mean(values: Float[np.ndarray, " S"]) -> str:
    finite = values[np.isfinite(values)]
    return f"{finite.mean():.3f}" if finite.size else "–"
