"""The published multi-seed table on Dyck-1, with more seeds and intervals.

Three seeds and population standard deviations in the paper; five seeds and t intervals here, and
beside each number what its control gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spectraledge.experiments.row_values import mean_of, share_words, short, value_at
from spectraledge.experiments.spectral_edge.dyck_numbers import EDGE_NUMBERS
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, DYCK, SCAN
from spectraledge.experiments.spectral_edge.edge_runs import (
    RESPONSE,
    SPLIT,
    EdgeGroup,
    curve_name,
)
from spectraledge.experiments.spectral_edge.edge_study import EdgeStudy, Groups, over_seeds
from spectraledge.experiments.spectral_edge.flat_claims import removal
from spectraledge.experiments.spectral_edge.published_numbers import numbers_section
from spectraledge.experiments.spectral_edge.scan_numbers import is_published_size, scan_numbers
from spectraledge.report import Section, Table, Verdict

__all__ = ["STUDY", "MultiSeed"]

NUMBERS = {
    "accuracy without the edge": removal("accuracy_change", "edge"),
    "without as much at random": removal("accuracy_change", "matched"),
    "gradient along v₁": curve_name(SPLIT, "energy_share", "gradient", "v1"),
    "last interval alone": curve_name(SPLIT, "last_energy_share", "gradient", "v1"),
    "elevation of v₁": curve_name(RESPONSE, "elevation", "v1"),
    "elevation, random": curve_name(RESPONSE, "elevation", "random"),
}

# Accuracy without the edge at grokking and late; of SCAN at grokking only.
PAPERS = {DYCK: ("−0.26 ± 0.05", "−0.58 ± 0.09"), SCAN: ("not measured", "−0.49 (one seed)")}
UNKNOWN = ("not measured", "not measured")


@dataclass(frozen=True)
class MultiSeed(EdgeStudy):
    """See the module."""

    name: ClassVar[str] = "spectral_edge/multi_seed"
    title: ClassVar[str] = "Do the published numbers of the edge hold over seeds?"
    explained: ClassVar[str] = (
        "The paper prints one seed in most tables and three in one. What it calls the gradient's "
        "share is a mean over the window there and the last interval alone in the table of seeds."
    )

    def claims(self, groups: Groups) -> list[Verdict]:
        """Scatter of single numbers between seeds."""
        return [verdict for group in groups.values() for verdict in _claims(group)]

    def sections(self, groups: Groups) -> list[Section]:
        """Every seed at every phase."""
        numbers = numbers_section(EDGE_NUMBERS, groups[DYCK]) if DYCK in groups else []
        return [*(_seed_section(group) for group in groups.values()), *numbers, *_scan(groups)]


def _scan(groups: Groups) -> list[Section]:
    if SCAN not in groups:
        return []
    regime = groups[SCAN].regime
    same_size = is_published_size(regime)
    return numbers_section(scan_numbers(regime), groups[SCAN], same_size=same_size)


def _claims(group: EdgeGroup) -> list[Verdict]:
    regime = group.regime
    at, late = (regime.functional_steps[phase] for phase in ("at", "late"))
    edge, papers = removal("accuracy_change", "edge"), PAPERS.get(group.name, UNKNOWN)
    split, alone = NUMBERS["gradient along v₁"], NUMBERS["last interval alone"]
    apart = mean_of(
        abs(value_at(row, split, step) - value_at(row, alone, step))
        for row in group.rows[DECAY].values()
        for step in [regime.phases["at"]]
    )
    return [
        over_seeds(
            f"{group.name}: Removing the edge at step {at} costs accuracy on average",
            papers[0], group.at(edge, at), "Change of accuracy.", below=-0.1,
        ),
        over_seeds(
            f"{group.name}: Removing the edge at step {late} costs accuracy on average",
            papers[1], group.at(edge, late), "Change of accuracy.", below=-0.1,
        ),
        over_seeds(
            f"{group.name}: Both published estimates of the gradient's share agree",
            "two estimates under one name", apart,
            f"Distance between window mean and last interval at step {regime.phases['at']}.",
            words=share_words(apart), below=0.05,
        ),
    ]  # fmt: skip


def _seed_section(group: EdgeGroup) -> Section:
    rows = [
        (f"seed {seed}, {phase}, step {step}", *(
            f"{value_at(row, name, step):.3f}" for name in NUMBERS.values()
        ))
        for seed, row in group.rows[DECAY].items()
        for phase, step in group.regime.functional_steps.items()
    ]  # fmt: skip
    means = [
        (f"all seeds, {phase}, {group.when(NUMBERS.values(), step)}", *(
            short(group.at(name, step)) for name in NUMBERS.values()
        ))
        for phase, step in group.regime.functional_steps.items()
    ]  # fmt: skip
    grokked = ", ".join(
        f"{seed}: {'–' if step is None else step}" for seed, step in group.grok_steps().items()
    )
    text = f"First record at accuracy {group.regime.grokked:g}, by seed: {grokked or 'not run'}."
    return Section(group.name, text, [Table(("run", *NUMBERS), [*means, *rows])])


STUDY = MultiSeed()
