"""Does training in bfloat16 (with float32 master weights) grok at the same step as float32?

The laboratory offers bfloat16 compute because it is faster. Whether it may be used for claims about
grokking is an empirical question, answered here on the runs of `rank_collapse`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from spectraledge.experiments.base import Arms, Experiment, Results, Scale
from spectraledge.experiments.gather import band, metric
from spectraledge.experiments.low_rank_decay.groups import finished, first_steps
from spectraledge.experiments.low_rank_decay.rank_collapse import EXPERIMENT as RANK_COLLAPSE
from spectraledge.experiments.low_rank_decay.rank_collapse_page import grok_figure
from spectraledge.experiments.low_rank_decay.rank_collapse_sections import BAND
from spectraledge.instruments import Instrument, WeightSpectrum
from spectraledge.lab import RunResult
from spectraledge.report import Axes, Page, Section, Verdict, arm_colours, curves
from spectraledge.series import mean_interval
from spectraledge.training import Cadence

__all__ = ["EXPERIMENT", "BFloat16GroksAlike"]

ALIKE = (0.8, 1.25)


@dataclass(frozen=True)
class BFloat16GroksAlike(Experiment):
    """See the module."""

    name: ClassVar[str] = "low_rank_decay/bfloat16_groks_alike"
    title: ClassVar[str] = "Does bfloat16 compute grok at the same step as float32?"

    def arms(self, scale: Scale) -> Arms:
        """The published low-rank-decay arm of `rank_collapse` in both number types."""
        runs = RANK_COLLAPSE.arms(scale)["LRD published"]
        split = "ordered" if scale == "full" else "unordered"
        chosen = [r for r in runs if r.task.split == split]  # type: ignore[attr-defined]
        return {"float32": chosen, "bfloat16": [replace(r, compute="bfloat16") for r in chosen]}

    def instruments(self, scale: Scale) -> tuple[Instrument | tuple[Instrument, Cadence], ...]:
        """Spectra at every snapshot."""
        return (WeightSpectrum(),)

    def page(self, results: Results, scale: Scale) -> Page:
        """Accuracies, steps of generalisation, and the verdict."""
        results = finished(results)
        colours = arm_colours(list(results))
        split = next(iter(results.values()))[0].spec.task.split  # type: ignore[attr-defined]
        lines = [
            band(arm, runs, *metric(runs, "validation_accuracy"), limits=(0.0, 1.0))
            for arm, runs in results.items()
        ]
        axes = Axes(y_label="accuracy", y_range=(-0.03, 1.03))
        title = "Validation accuracy"
        items = [
            curves(lines, title=title, caption=BAND, colours=colours, axes=axes, half=True),
            grok_figure(results, split, colours),
        ]
        verdict = _alike(results["float32"], results["bfloat16"], scale)
        section = Section("Same seeds, two number types", "", items)
        return Page(self.title, _SUMMARY, [verdict], [section])


_SUMMARY = (
    "The published low-rank-decay arm of rank_collapse, with the network computed in float32 or in "
    "bfloat16. Weights, optimizer and decay are float32 in both."
)


def _alike(single: Sequence[RunResult], half: Sequence[RunResult], scale: Scale) -> Verdict:
    claim = "bfloat16 compute generalises at the same step as float32"
    pairs = [
        (a, b)
        for a, b in zip(*(first_steps(runs, "validation_accuracy") for runs in (single, half)))
        if a and b
    ]
    if not pairs:
        return Verdict(claim, "not examined", "no seed generalised in both", "undecided")
    ratio = mean_interval([b / a for a, b in pairs])
    inside = ALIKE[0] < ratio.lower and ratio.upper < ALIKE[1]
    outside = ratio.upper <= ALIKE[0] or ratio.lower >= ALIKE[1]
    decided = "holds" if inside else "fails" if outside else "undecided"
    # A seed that generalised in one number type only is censored, and may not be left out.
    status = decided if len(pairs) == len(single) else "undecided"
    steps = "; ".join(f"{a} and {b}" for a, b in pairs)
    return Verdict(
        claim,
        "not examined",
        f"ratio of steps {ratio}; float32 and bfloat16: {steps}",
        "undecided" if scale == "smoke" else status,
        f"Paired by seed. The same means a ratio between {ALIKE[0]} and {ALIKE[1]}.",
    )


EXPERIMENT = BFloat16GroksAlike()
