"""A run's commutator defect, its parts, and when it memorised and generalised, from its row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan

from spectraledge.experiments.execution_subspace.base_runs import EXACT, PUBLISHED_FORM
from spectraledge.experiments.execution_subspace.regimes import HELD_OUT
from spectraledge.experiments.study import Known
from spectraledge.lab.reading_curves import curve_prefixes
from spectraledge.lab.rows import Row
from spectraledge.series import (
    PUBLISHED_ONSETS,
    LeadTimes,
    Onset,
    Records,
    RelativeRise,
    grok_rule,
    lead_times,
)
from spectraledge.training import RunSpec

__all__ = [
    "EXACT_NAME",
    "GROKS",
    "PUBLISHED_NAME",
    "DefectRun",
    "bracket_onset",
    "defect_runs",
    "leads_of",
    "published_onset",
]

_PREFIXES = curve_prefixes((EXACT, PUBLISHED_FORM))
EXACT_NAME, PUBLISHED_NAME = _PREFIXES[EXACT], _PREFIXES[PUBLISHED_FORM]
# The rules to which leads are reported.
GROKS = ("grok_50", "grok_90", "grok_stop")
BRACKET_RISE = RelativeRise(
    5, "running_minimum", reference_records=2, persistence=2, after=0, floor_factor=3
)


@dataclass(frozen=True, eq=False)
class DefectRun:
    """A run with its row.

    Args:
        spec: The run.
        row: What is known of it; with both forms of the defect.
    """

    spec: RunSpec
    row: Row

    @property
    def seed(self) -> int:
        """Of weights, batches and split."""
        return self.spec.seed

    @property
    def watched(self) -> int:
        """Last recorded step."""
        return self.row.steps_taken

    @property
    def memorised(self) -> int | None:
        """First record with training accuracy of at least 0.95."""
        return grok_rule("memorised").step(*self.row.curve("train_accuracy"))

    @property
    def generalises(self) -> bool:
        """Whether `grok_stop` was reached."""
        return self.grok("grok_stop") is not None

    @property
    def silent(self) -> bool:
        """Whether it stayed below the accuracy of `grok_90` for as long as it was watched.

        A run that reached it and not `grok_stop` is of neither kind: it generalises, too late.
        """
        return self.grok("grok_90") is None

    def grok(self, rule: str) -> int | None:
        """Step of generalisation by a named rule, on the half of the held-out pairs."""
        return grok_rule(rule).step(*self.row.curve(HELD_OUT))

    def records(self, output: str, *, form: str = EXACT_NAME, floor: str = "") -> Records:
        """An output of a form of the defect, with another as its rounding floor if one is named."""
        steps, values = self.row.curve(f"{form}/{output}")
        known = self.row.curve(f"{form}/{floor}")[1] if floor else None
        return Records(steps, values, known)

    def before(self, step: int | None, output: str, *, form: str = EXACT_NAME) -> float:
        """Value of the last record before a step; NaN if there is none or no step."""
        return nan if step is None else self.records(output, form=form).at(step - 1)


def defect_runs(known: Known, runs: Iterable[RunSpec]) -> list[DefectRun]:
    """The runs that are known, did not fail, and have both forms of the defect."""
    needed = (f"{EXACT_NAME}/defect", f"{PUBLISHED_NAME}/defect")
    return [
        DefectRun(spec, row)
        for spec, row in known.rows(runs)
        if all(name in row.curves for name in needed)
    ]


def published_onset(run: DefectRun) -> Onset:
    """The published rule on the published form."""
    return PUBLISHED_ONSETS["published"].find(run.records("defect", form=PUBLISHED_NAME))


def bracket_onset(run: DefectRun, rule: RelativeRise = BRACKET_RISE) -> Onset:
    """A rise of the unnormalised bracket above its own level since the run memorised."""
    memorised = run.memorised
    if memorised is None:
        return Onset(None, None, None, nan)
    records = run.records("bracket_norm", floor="rounding_floor")
    return replace(rule, after=memorised).find(records)


def leads_of(
    runs: Sequence[DefectRun], onsets: Sequence[int | None], rules: Sequence[str] = GROKS
) -> Mapping[str, LeadTimes]:
    """Leads of onsets, one per run and at least one run, by the name of the grok rule."""
    return lead_times(
        onsets,
        {rule: [run.grok(rule) for run in runs] for rule in rules},
        watched=[run.watched for run in runs],
        units=[run.seed for run in runs],
    )
