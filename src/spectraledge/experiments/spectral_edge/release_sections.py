"""Figures and tables of `decay_release`."""

from __future__ import annotations

from spectraledge.experiments.row_values import mean_of, share_words, short
from spectraledge.experiments.spectral_edge.dyck_numbers import RELEASE_NUMBERS
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup
from spectraledge.experiments.spectral_edge.edge_study import drawn
from spectraledge.experiments.spectral_edge.published_numbers import numbers_section
from spectraledge.experiments.spectral_edge.release_arms import (
    BASELINE,
    EARLY_ARMS,
    HELD,
    PUBLISHED_ARMS,
    held,
    restarted,
)
from spectraledge.experiments.spectral_edge.release_claims import numbers_of
from spectraledge.experiments.spectral_edge.release_runs import ATTENTION, SPLIT, release_curve
from spectraledge.report import Figure, Section, Table

__all__ = ["release_sections"]

SHARE = (-0.03, 1.03)


def release_sections(group: EdgeGroup) -> list[Section]:
    """The end of every arm, and curves."""
    numbers = numbers_section(RELEASE_NUMBERS, group)
    return [_end_section(group), _curve_section(group), *numbers]


def _end_section(group: EdgeGroup) -> Section:
    numbers = numbers_of(group)
    rows = [
        (f"{arm} ({len(own)})", *(
            (share_words if name != "norm of attention" else short)(
                mean_of(number(row) for row in own.values())
            )
            for name, number in numbers.items()
        ))
        for arm, own in group.rows.items()
        if own
    ]  # fmt: skip
    return Section("At the end", "", [Table(("arm (seeds)", *numbers), rows)])


def _curve_section(group: EdgeGroup) -> Section:
    new = [restarted(arm) for arm in PUBLISHED_ARMS]
    fixed = [held(arm) for arm in HELD]
    shown = (*PUBLISHED_ARMS, *new, *fixed, *EARLY_ARMS)
    others = [arm for arm in group.rows if arm not in shown]
    figures = [
        figure
        for arms in (
            tuple(PUBLISHED_ARMS),
            (BASELINE, *others),
            (*HELD, *fixed),
            tuple(new),
            tuple(EARLY_ARMS),
        )
        for figure in _curves(EdgeGroup(group.name, group.regime, {a: group.rows[a] for a in arms}))
    ]
    return Section(
        "Over training",
        "The published doses, the other arms, doses with the length of attention held, and the "
        "doses with a new optimizer, as published: "
        "once a network has generalised, and before.",
        figures,
    )


def _curves(group: EdgeGroup) -> list[Figure]:
    entropy = release_curve(ATTENTION, "entropy", "blocks.0.attention", "0")
    return [
        *drawn(group, group.regime.metric, "Held-out accuracy", "accuracy", shown=SHARE),
        *drawn(
            group, release_curve(SPLIT, "weight_norm"), "Norm of the attention weights", "weight"
        ),
        *drawn(
            group, release_curve(SPLIT, "energy_share", "gradient", "v1"),
            "Share of the gradient along v₁", "share of energy", shown=SHARE,
        ),
        *drawn(group, entropy, "Entropy, layer 0, head 0", "nat"),
    ]  # fmt: skip
