"""Page of `lead_time_power_law`."""

from __future__ import annotations

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.defect_records import defect_runs
from spectraledge.experiments.execution_subspace.lead_law_claims import law_verdicts
from spectraledge.experiments.execution_subspace.lead_law_sections import (
    laws_section,
    leads_section,
    onsets_section,
)
from spectraledge.experiments.execution_subspace.learning_rate_geometry import geometry_verdicts
from spectraledge.experiments.execution_subspace.learning_rate_geometry_section import (
    geometry_section,
)
from spectraledge.experiments.execution_subspace.learning_rate_leads import laws_of, rate_leads
from spectraledge.experiments.execution_subspace.learning_rate_runs import learning_rate_runs
from spectraledge.experiments.execution_subspace.regime_provenance import regime_section
from spectraledge.experiments.execution_subspace.regimes import regime_of
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import answer_words, scaled_verdicts
from spectraledge.report import Page

__all__ = ["TITLE", "lead_time_power_law_page"]

TITLE = "Is the lead of the defect onset a power of the time to generalise?"
FULLER = (
    "A record is 0.1/lr steps at every learning rate. A larger budget would add seeds to the "
    "lowest learning rates, where runs are long. The published size is `--scale full`."
)
EXPLAINED = (
    "Over learning rates the lead of the onset was fitted by grok^1.27 to grok^1.32 with an R² of "
    "0.97. A lead is grok minus onset, so it contains what it is fitted to, and runs of one "
    "learning rate lie together: the exponent is the slope between a few clusters. Beside the fit "
    "stand those within learning rates, that of the onset itself, and those of shuffled onsets."
)


def lead_time_power_law_page(known: Known, scale: Scale) -> Page:
    """The page; see `lead_time_power_law`."""
    regime = regime_of(scale)
    runs = learning_rate_runs(regime)
    found = [run for own in runs.values() for run in defect_runs(known, own)]
    leads = rate_leads(found, onset="published", grok="grok_90")
    laws = laws_of(leads)
    verdicts = scaled_verdicts([*law_verdicts(leads, laws), *geometry_verdicts(found)], scale)
    titles = {f"lr {lr:g}, {operation}": own for (lr, operation), own in runs.items()}
    return Page(
        title=TITLE,
        summary=f"{answer_words(verdicts, bool(found))}\n\n{EXPLAINED}",
        verdicts=verdicts,
        sections=[
            leads_section(found),
            laws_section(found, leads, laws),
            onsets_section(leads, laws),
            geometry_section(found),
            regime_section(known, titles, regime, FULLER),
        ],
    )
