"""Runs of SCAN that go on after the edge has turned, as far as they have been trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from spectraledge.experiments.base import Scale
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    NO_DECAY,
    PHASES,
    SCAN,
    EdgeRegime,
    edge_regimes,
)
from spectraledge.experiments.spectral_edge.edge_runs import (
    ABLATION,
    ATTENTION,
    COARSE_EDGE,
    CURVES,
    EDGE,
    GAP_FLOW,
    INPUT,
    NARROW_EDGE,
    POSITIONS,
    PROBE,
    PUBLISHED_CURVES,
    RESPONSE,
    SPLITS,
    WIDE_EDGE,
    EdgeGroup,
    curve_name,
    measured_group,
)
from spectraledge.experiments.study import Known
from spectraledge.instruments import UpdateDecomposition
from spectraledge.lab.decision import Decision
from spectraledge.lab.plan import Measured
from spectraledge.lab.reading_curves import CurveNames
from spectraledge.models import EncoderDecoderSpec
from spectraledge.tasks import Scan
from spectraledge.training import At, Every, RunSpec

__all__ = ["FOUR", "HORIZON", "INSTRUMENTS", "late_curve", "late_group", "late_regime", "late_runs"]

# A training run is stopped here and goes on from there when a later step is asked for.
HORIZON = Decision("validation_sequence_accuracy", threshold=2.0, patience=1, horizon=5000)
FOUR = UpdateDecomposition(window=5, components=4)
CONDITIONS = MappingProxyType({DECAY: 1.0, NO_DECAY: 0.0})
# Published steps of removals and curves; the first two are smoke's.
REMOVALS = (24, 80, 4500, 9500, 14_500)
RESPONSES = (24, 80, 2500, 5000, 10_000, 15_000)
_LIVE = (EDGE, NARROW_EDGE, WIDE_EDGE, COARSE_EDGE, GAP_FLOW, *SPLITS, FOUR)
_REMOVED = (ABLATION, CURVES, PUBLISHED_CURVES)
_CONTENT = (ATTENTION, POSITIONS, PROBE, INPUT)
INSTRUMENTS: tuple[Measured, ...] = (
    *((instrument, Every(1)) for instrument in _LIVE),
    *((instrument, At(REMOVALS)) for instrument in _REMOVED),
    (RESPONSE, At(RESPONSES)),
    *((instrument, At((10_000, 15_000))) for instrument in _CONTENT),
)
# The names are those of the shared runs, so that rules for them read these.
late_curve = CurveNames([*_LIVE, *_REMOVED, RESPONSE, *_CONTENT])
STEPS: Mapping[Scale, int] = MappingProxyType({"smoke": 80, "demo": 5000, "full": 15_000})


def late_regime(scale: Scale, reached: int | None = None) -> EdgeRegime:
    """SCAN for as long as the paper trains it; the reduced model for 5000 steps.

    Args:
        scale: ``smoke``, ``demo`` or ``full``.
        reached: Step that all runs have come to; removals are read at the last one before it.

    Returns:
        The regime, whose late functional step is one that was measured.
    """
    steps = STEPS[scale]
    end = steps if reached is None else reached
    late = max((step for step in REMOVALS if step <= end), default=REMOVALS[0])
    regime = _smallest() if scale == "smoke" else edge_regimes(scale)[SCAN]
    functional = dict(regime.functional_steps) | {PHASES[-1]: late}
    return replace(
        regime, steps=steps, control_steps=steps, functional_steps=MappingProxyType(functional)
    )


def late_runs(scale: Scale) -> dict[str, list[RunSpec]]:
    """One run a seed with decay and without."""
    regime = late_regime(scale)
    return {
        condition: regime.runs(regime.chain(strength)) for condition, strength in CONDITIONS.items()
    }


def late_group(known: Known, scale: Scale) -> EdgeGroup:
    """The runs that came to the horizon, each with all that it was trained for.

    Args:
        known: Rows.
        scale: ``smoke``, ``demo`` or ``full``.

    Returns:
        The group; its regime looks at removals where every run with decay has them.
    """
    further = Known(known.ledger, HORIZON, beyond=True)
    needed = curve_name(EDGE, "gap23")
    group = measured_group(further, SCAN, late_regime(scale), late_runs(scale), needed)
    reached = min((row.steps_taken for row in group.rows[DECAY].values()), default=None)
    return replace(group, regime=late_regime(scale, reached))


def _smallest() -> EdgeRegime:
    return replace(
        edge_regimes("demo")[SCAN],
        task=Scan(longest=4, train=24, held_out=12),
        model=EncoderDecoderSpec(width=16, layers=1, heads=4, mlp_width=16, masks_memory=False),
        batch_size=8,
        record_every=8,
        seeds=(0, 1),
        published_seed=0,
    )
