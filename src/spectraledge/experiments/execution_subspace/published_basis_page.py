"""Page of `published_basis`."""

from __future__ import annotations

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.published_basis_claims import (
    published_basis_verdicts,
)
from spectraledge.experiments.execution_subspace.published_basis_runs import (
    REGIMES,
    published_basis_runs,
)
from spectraledge.experiments.execution_subspace.published_basis_sections import (
    future_section,
    phases_section,
    ratio_section,
    residuals_section,
)
from spectraledge.experiments.execution_subspace.regime_provenance import regime_section
from spectraledge.experiments.execution_subspace.regimes import GROKKING, UNTIL
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import answer_words, by_seed, scaled_verdicts
from spectraledge.report import Page

__all__ = ["TITLE", "published_basis_page"]

TITLE = "Does the published basis hold more curvature than a random one?"
EXPLAINED = (
    "Xu (2026, arXiv 2602.16746) describes a basis of two principal directions of every attention "
    "matrix over the whole run, and reports that commutators of batches leave a residual of 0.9996 "
    "to 1.0000 outside it, with 1.8 to 2.9 times as much inside as in a random basis. This basis "
    "knows the future of every step before the last. Here it is measured once a run is complete, "
    "from its snapshots, beside the basis of the trajectory so far, which a run can know while it "
    "trains.\n\nA ratio of 1 is that of a random basis. Seeds are the unit."
)
FULLER = (
    f"A run ends {UNTIL.further} steps after held-out accuracy {UNTIL.threshold:g}, or at step "
    f"{UNTIL.horizon}; this is what the whole run means here, and where its basis ends. Published "
    "runs that do not generalise go on to 50,000 or 200,000 steps. The runs are this study's own, "
    "with seeds that no other trains."
)


def published_basis_page(known: Known, scale: Scale) -> Page:
    """The page; see `published_basis`.

    Args:
        known: What is known.
        scale: The scale.

    Returns:
        The page, whatever part of the rows is known, and of it measured.
    """
    regime = REGIMES[scale]
    runs = published_basis_runs(regime)
    found = {operation: by_seed(known, specs) for operation, specs in runs.items()}
    cells = {operation: rows for operation, rows in found.items() if rows}
    grokking = {operation: rows for operation, rows in cells.items() if operation in GROKKING}
    verdicts = scaled_verdicts(published_basis_verdicts(cells, grokking), scale)
    return Page(
        title=TITLE,
        summary=f"{answer_words(verdicts, bool(cells))}\n\n{EXPLAINED}",
        verdicts=verdicts,
        sections=[
            ratio_section(cells),
            phases_section(cells, grokking),
            future_section(cells),
            residuals_section(cells),
            regime_section(known, runs, regime, FULLER),
        ],
    )
