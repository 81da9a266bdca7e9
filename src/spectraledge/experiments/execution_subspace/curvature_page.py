"""Page of `curvature_precedes_generalisation`."""

from __future__ import annotations

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.base_runs import DECAY, NO_DECAY, base_runs
from spectraledge.experiments.execution_subspace.curvature_claims import defect_verdicts
from spectraledge.experiments.execution_subspace.curvature_lead_sections import leads_section
from spectraledge.experiments.execution_subspace.curvature_sections import (
    Groups,
    forms_section,
    parts_section,
)
from spectraledge.experiments.execution_subspace.curvature_specificity import (
    areas_at,
    corrected_rule,
    horizon_of,
)
from spectraledge.experiments.execution_subspace.curvature_specificity_claims import (
    specificity_verdicts,
)
from spectraledge.experiments.execution_subspace.curvature_specificity_sections import (
    specificity_section,
)
from spectraledge.experiments.execution_subspace.defect_records import DefectRun, defect_runs
from spectraledge.experiments.execution_subspace.regime_provenance import regime_section
from spectraledge.experiments.execution_subspace.regimes import regime_of
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import answer_words, scaled_verdicts
from spectraledge.report import Page

__all__ = ["TITLE", "curvature_page"]

TITLE = "Does curvature grow before a network generalises, and only then?"
FULLER = (
    "The published size (`--scale full`) has three seeds, with which no test by seed can reject "
    "anything; the reduced regime (`--scale demo`) has eight."
)
EXPLAINED = (
    "The commutator defect is the bracket of two gradient fields over the product of two gradient "
    "norms. It was published as an early warning: it grows by 500 to 2000 times in networks that "
    "generalise and crosses a threshold 600 to 1600 steps before they do. Here the published form "
    "stands beside the exact bracket, the bracket beside its denominator, and the alarms in runs "
    "that generalise beside those in runs that do not."
)


def curvature_page(known: Known, scale: Scale) -> Page:
    """The page; see `curvature_precedes_generalisation`."""
    regime = regime_of(scale)
    runs = base_runs(regime)
    decayed, plain = (
        {o: defect_runs(known, runs[o, name]) for o in regime.operations}
        for name in (DECAY, NO_DECAY)
    )
    every, bare = _all(decayed), _all(plain)
    areas, rule = areas_at(every), corrected_rule([*every, *bare], horizon_of(every))
    verdicts = scaled_verdicts(
        [*defect_verdicts(every, bare), *specificity_verdicts(every, bare, rule)], scale
    )
    titles = {f"{operation}, {name}": own for (operation, name), own in runs.items()}
    return Page(
        title=TITLE,
        summary=f"{answer_words(verdicts, bool(every))}\n\n{EXPLAINED}",
        verdicts=verdicts,
        sections=[
            forms_section(decayed),
            parts_section(decayed, plain),
            leads_section(decayed),
            specificity_section(every, bare, areas, rule),
            regime_section(known, titles, regime, FULLER),
        ],
    )


def _all(groups: Groups) -> list[DefectRun]:
    return [run for runs in groups.values() for run in runs]
