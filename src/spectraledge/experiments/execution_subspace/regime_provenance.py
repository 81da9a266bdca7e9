"""What was run in which regime, as the last section of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spectraledge.experiments.execution_subspace.regimes import Regime
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import PROVENANCE, provenance_row
from spectraledge.report import Section, Table
from spectraledge.training import RunSpec

__all__ = ["regime_section"]

SIZES = {
    "smoke": "A smoke run, which shows that everything works and decides nothing",
    "reduced": "The reduced regime, chosen so that many seeds can be afforded. It keeps delayed "
    "generalisation and the growth of the defect, but not the absolute threshold of the published "
    "onset rule, which it crosses when it memorises",
    "published": "The published fast regime",
    "slow": "The published slow regime",
}


def regime_section(
    known: Known, runs_by_title: Mapping[str, Sequence[RunSpec]], regime: Regime, fuller: str
) -> Section:
    """What was run, and what more would add.

    Args:
        known: What is known.
        runs_by_title: Runs that are wanted, by what they are for.
        regime: Where.
        fuller: What a larger budget would add, in sentences.

    Returns:
        The section.
    """
    caption = (
        "Steps: the cap; a run is stopped once its outcome is known. Hours: of computing, with "
        "batch-mates sharing theirs."
    )
    rows = [provenance_row(known, title, runs) for title, runs in runs_by_title.items()]
    model = regime.model
    text = (
        f"{SIZES[regime.name]}: pairs modulo {regime.modulus}, of which "
        f"{regime.train_fraction:.0%} are trained on, {model.layers} pre-norm encoder blocks of "
        f"width {model.width}, batches of {regime.batch_size} drawn with replacement, decay "
        f"{regime.weight_decay:g} of every parameter. Accuracies are those of half of the held-out "
        f"pairs; the other half was never looked at.\n\n{fuller}"
    )
    return Section("What was run", text, [Table(PROVENANCE, rows, caption)])
