"""Page of `orthogonal_curvature`: where curvature lies, beside the law of random subspaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.base_runs import DECAY, NO_DECAY, base_runs
from spectraledge.experiments.execution_subspace.converse_section import converse_section
from spectraledge.experiments.execution_subspace.orthogonal_curvature_claims import (
    claims,
    orthogonal_answer,
)
from spectraledge.experiments.execution_subspace.projection_sections import (
    attention_section,
    phase_section,
    sweep_section,
)
from spectraledge.experiments.execution_subspace.regime_provenance import regime_section
from spectraledge.experiments.execution_subspace.regimes import GROKKING, UNTIL, regime_of
from spectraledge.experiments.execution_subspace.residual_section import residual_section
from spectraledge.experiments.execution_subspace.training_phases import PHASES, Cells
from spectraledge.experiments.study import Known
from spectraledge.experiments.study_sections import by_seed, scaled_verdicts
from spectraledge.report import Page, arm_colours
from spectraledge.training import RunSpec

__all__ = ["orthogonal_curvature_page"]

FULLER = (
    f"A run ends {UNTIL.further} steps after held-out accuracy {UNTIL.threshold:g}, or at step "
    f"{UNTIL.horizon}; those that do not generalise are compared over this horizon, and not after "
    "50,000 or 200,000 steps. Three studies share these runs. The full scale (`--scale full`) is "
    "the published size, with four times the parameters in as many directions; ratios and bands "
    "are relative to chance, and need no other threshold there."
)
Runs = Mapping[tuple[str, str], Sequence[RunSpec]]


def orthogonal_curvature_page(title: str, known: Known, scale: Scale) -> Page:
    """The page; see `orthogonal_curvature`.

    Args:
        title: Of the study.
        known: What is known.
        scale: The scale.

    Returns:
        The page, whatever part of the rows is known.
    """
    regime = regime_of(scale)
    runs = base_runs(regime)
    conditions = {name: _cells(known, runs, name) for name in (DECAY, NO_DECAY)}
    decayed = conditions[DECAY]
    grokking = {operation: decayed[operation] for operation in decayed if operation in GROKKING}
    colours = arm_colours(list(regime.operations))
    titles = {f"{operation}, {name}": specs for (operation, name), specs in runs.items()}
    return Page(
        title=title,
        summary=_summary(orthogonal_answer(grokking)),
        verdicts=scaled_verdicts(claims(grokking), scale),
        sections=[
            residual_section(conditions, colours),
            phase_section("trajectory", conditions, grokking, colours),
            phase_section("singular", conditions, grokking, colours),
            attention_section(decayed, colours),
            sweep_section(grokking, arm_colours(list(PHASES))),
            converse_section(conditions, grokking, colours),
            regime_section(known, titles, regime, FULLER),
        ],
    )


def _cells(known: Known, runs: Runs, condition: str) -> Cells:
    cells = {op: by_seed(known, specs) for (op, name), specs in runs.items() if name == condition}
    return {operation: rows for operation, rows in cells.items() if rows}


def _summary(answer: str) -> str:
    return (
        f"{answer}\n\n"
        "Xu (2026, arXiv 2602.16746) reports that the curvature seen by commutators of batches is "
        "orthogonal to the few directions in which attention weights move (residual ≈ 1.000), and "
        "that it is structured (1.8 to 2.9 times as much in the subspace as in a random one). The "
        "first is what counting dimensions gives for any subspace; the second, if it is above 1, "
        "contradicts the first, and was measured on another basis than the one described.\n\n"
        "Phases follow the paper: post-grok from 0.95 held-out accuracy on; before that early "
        "until 0.95 of the training set is known, memorization below 0.30 held-out accuracy, and "
        "pre-grok above. Commutators are exact brackets, by Hessian-vector products: those of "
        "differences of positions in single precision are noise at step 0 and after generalising. "
        "Verdicts are on the operations that can generalise, with decay; seeds are the unit."
    )
