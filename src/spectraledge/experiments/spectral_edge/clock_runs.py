"""Dyck-1 with other learning rates, decays, widths and cadences, each to the same clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from spectraledge.experiments.base import Scale
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DYCK,
    EdgeRegime,
    edge_regimes,
)
from spectraledge.experiments.spectral_edge.edge_runs import (
    ABLATION,
    EDGE,
    NARROW_EDGE,
    RESPONSE,
    SPLITS,
    WIDE_EDGE,
    EdgeGroup,
    measured_group,
)
from spectraledge.experiments.study import Known
from spectraledge.instruments import Instrument
from spectraledge.lab.plan import Measured
from spectraledge.lab.reading_curves import CurveNames
from spectraledge.models import CausalDecoderSpec
from spectraledge.training import At, Every, RunSpec

__all__ = [
    "BASE",
    "CHECKS",
    "DENSE_BASE",
    "INSTRUMENTS",
    "SETTINGS",
    "TICK",
    "ClockSetting",
    "check_steps",
    "clock_curve",
    "clock_groups",
    "clock_runs",
    "setting_regime",
]

BASE, DENSE_BASE = "as published", "snapshots twice as often"


@dataclass(frozen=True)
class ClockSetting:
    """Factors of the published settings; a run is as long by its clock s = Σηω whatever they are.

    Args:
        lr: Of the learning rate.
        weight_decay: Of the decay.
        often: Snapshots within one unit of the clock.
        width: Of the model.
    """

    lr: float = 1.0
    weight_decay: float = 1.0
    often: int = 1
    width: float = 1.0

    @property
    def rate(self) -> float:
        """The clock's, a step."""
        return self.lr * self.weight_decay


SETTINGS: Mapping[str, ClockSetting] = MappingProxyType({
    BASE: ClockSetting(),
    "twice the decay": ClockSetting(weight_decay=2.0),
    "half the decay": ClockSetting(weight_decay=0.5),
    "half the learning rate, twice the decay": ClockSetting(lr=0.5, weight_decay=2.0),
    "twice the learning rate, half the decay": ClockSetting(lr=2.0, weight_decay=0.5),
    "half the width": ClockSetting(width=0.5),
    DENSE_BASE: ClockSetting(often=2),
})  # fmt: skip
# In published cadences: one more than the last check, a length that no other study has.
LENGTH = 21
# Where the class is told; windows of five are full at the first.
CHECKS = (8, 12, 16, 20)
# The clock s of a published cadence: lr 1e-3, decay 1, 100 steps.
TICK = 0.1
_LIVE: tuple[Instrument, ...] = (EDGE, NARROW_EDGE, WIDE_EDGE, *SPLITS)
# The names are those of the shared runs, so that rules for them read these.
clock_curve = CurveNames([*_LIVE, ABLATION, RESPONSE])


def _published(scale: Scale) -> EdgeRegime:
    return edge_regimes(scale)[DYCK]


def setting_regime(scale: Scale, setting: ClockSetting) -> EdgeRegime:
    """Dyck-1 of the scale with a setting.

    Args:
        scale: ``smoke``, ``demo`` or ``full``.
        setting: What differs.

    Returns:
        The regime; its decay is that of `clock_runs`.
    """
    first = _published(scale)
    steps = round(LENGTH * first.record_every / setting.rate)
    model = first.model
    if setting.width != 1 and isinstance(model, CausalDecoderSpec):
        width, mlp = (round(setting.width * size) for size in (model.width, model.mlp_width))
        model = replace(model, width=width, mlp_width=mlp)
    return replace(
        first,
        model=model,
        lr=first.lr * setting.lr,
        steps=steps,
        control_steps=steps,
        record_every=round(first.record_every / setting.rate) // setting.often,
    )


def clock_runs(scale: Scale) -> dict[str, list[RunSpec]]:
    """One run a seed by setting."""
    found = {}
    for name, setting in SETTINGS.items():
        regime = setting_regime(scale, setting)
        found[name] = regime.runs(regime.chain(setting.weight_decay))
    return found


def clock_groups(known: Known, scale: Scale) -> dict[str, EdgeGroup]:
    """The runs that are known and were measured, by setting."""
    needed = clock_curve(EDGE, "gap23")
    return {
        name: measured_group(
            known, f"“{name}”", setting_regime(scale, SETTINGS[name]), {DECAY: runs}, needed
        )
        for name, runs in clock_runs(scale).items()
    }


def check_steps(scale: Scale, setting: ClockSetting) -> tuple[int, ...]:
    """Steps of a setting at which the class is told, one a check."""
    cadence = round(_published(scale).record_every / setting.rate)
    return tuple(check * cadence for check in CHECKS)


def _measured_steps() -> tuple[int, ...]:
    scales: tuple[Scale, ...] = ("smoke", "demo")
    return tuple(
        sorted(
            {s for scale in scales for own in SETTINGS.values() for s in check_steps(scale, own)}
        )
    )


INSTRUMENTS: tuple[Measured, ...] = (
    *((instrument, Every(1)) for instrument in _LIVE),
    *((instrument, At(_measured_steps())) for instrument in (ABLATION, RESPONSE)),
)
