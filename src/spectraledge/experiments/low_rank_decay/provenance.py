"""What was run at which size, as the last section of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spectraledge.experiments.low_rank_decay.sizes import Size
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import PROVENANCE, RULE, provenance_row
from spectraledge.report import Section, Table
from spectraledge.training import RunSpec

__all__ = ["provenance_section"]


def provenance_section(
    known: Known, runs_by_title: Mapping[str, Sequence[RunSpec]], size: Size, fuller: str
) -> Section:
    """What was run at which size, and what more would add.

    Args:
        known: What is known.
        runs_by_title: Runs that are wanted as far as they can be named, by what they are for.
        size: The size of the study.
        fuller: What a larger budget would add, in sentences.

    Returns:
        The section.
    """
    rows = [provenance_row(known, title, runs) for title, runs in runs_by_title.items()]
    caption = (
        "Wanted: as far as they can be named yet. Steps: the budget; a run is stopped once its "
        "outcome is known. Hours: computing time, with batch-mates sharing theirs."
    )
    text = f"{_size_words(size)}\n\n{RULE} {fuller}"
    return Section("What was run", text, [Table(PROVENANCE, rows, caption)])


def _size_words(size: Size) -> str:
    model = size.model
    blocks = f"{model.layers} block" + ("s" if model.layers > 1 else "")
    what = {
        "smoke": "A smoke run, which shows that everything works and decides nothing",
        "reduced": "The reduced size, chosen so that many seeds can be afforded",
        "published": "The published size",
    }[size.name]
    return (
        f"{what}: addition modulo {size.modulus} with both orders of a pair on the same side of "
        f"the split, {blocks} of width {model.width} with QK-norm, batches of {size.batch_size}, "
        f"Adam with learning rates tuned over {', '.join(f'{lr:g}' for lr in size.rates)}."
    )
