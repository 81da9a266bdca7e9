"""Runs of the study of Fourier sparsity, and what their rows say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import nan
from types import MappingProxyType

import numpy as np

from spectraledge.experiments.base import Scale
from spectraledge.experiments.execution_subspace.regimes import HELD_OUT, Regime, regime_of
from spectraledge.experiments.row_values import last_value
from spectraledge.experiments.study import Known
from spectraledge.instruments import FourierStructure
from spectraledge.lab.plan import Measured
from spectraledge.lab.reading_curves import curve_prefixes
from spectraledge.lab.rows import Row
from spectraledge.series import Records, first_held, grok_step
from spectraledge.training import Every, RunSpec

__all__ = [
    "ADD",
    "EMBEDDING",
    "HARD_OPERATION",
    "INSTRUMENTS",
    "MULTIPLICATIVE",
    "NATURAL",
    "ONSETS",
    "PLAIN",
    "FourierRun",
    "circuits",
    "curve_name",
    "fourier_regime",
    "fourier_runs",
    "runs_by_condition",
]

ADD, HARD_OPERATION, PLAIN = "add", "x2_xy_y2", "add, no decay"
NATURAL, MULTIPLICATIVE = FourierStructure(), FourierStructure(order="discrete_logarithm")
# The published task has no tokens but the numbers, so every row of the embedding is one.
INSTRUMENTS: tuple[Measured, ...] = ((NATURAL, Every(100)), (MULTIPLICATIVE, Every(100)))
_PREFIXES = curve_prefixes((NATURAL, MULTIPLICATIVE))
EMBEDDING = "embedding"

# Other seeds than those of the base runs, whose rows lack these instruments.
SEEDS: Mapping[Scale, tuple[int, ...]] = MappingProxyType(
    {"smoke": (100, 101), "demo": tuple(range(100, 105)), "full": (1, 2, 3)}
)
# Share of the effective number of a random embedding; that of a drawn one scatters by 0.0025.
DEPARTED, HALVED = 0.95, 0.5
# A fall by less is not divided into halves.
LEAST_FALL = 0.25


def fourier_regime(scale: Scale) -> Regime:
    """The regime of a scale with the seeds of this study."""
    return replace(regime_of(scale), seeds=SEEDS[scale])


def fourier_runs(regime: Regime) -> dict[str, list[RunSpec]]:
    """One run a seed of addition, of the operation that is not learned, and without decay."""
    return {
        ADD: regime.runs("add"),
        HARD_OPERATION: regime.runs("x2_xy_y2"),
        PLAIN: regime.runs("add", updates=regime.chain(weight_decay=0.0)),
    }


def circuits(regime: Regime) -> tuple[str, ...]:
    """Token axes of the attention circuits of every layer."""
    names = ("query_key.query_tokens", "query_key.key_tokens", "value_output")
    return tuple(f"layer{n}.attention.{name}" for n in range(regime.model.layers) for name in names)


def curve_name(output: str, axis: str = EMBEDDING, order: FourierStructure = NATURAL) -> str:
    """Name of the curve of an output along a token axis, in an order of the tokens."""
    return f"{_PREFIXES[order]}/{output}:{axis}"


@dataclass(frozen=True, eq=False)
class FourierRun:
    """A run with its row.

    Args:
        spec: The run.
        row: What is known of it; with both orders of the tokens.
    """

    spec: RunSpec
    row: Row

    @property
    def seed(self) -> int:
        """Of weights, batches and split."""
        return self.spec.seed

    @property
    def generalises(self) -> bool:
        """Whether `grok_stop` was reached."""
        return self.grok("grok_stop") is not None

    @property
    def silent(self) -> bool:
        """Whether it stayed below the accuracy of `grok_90`."""
        return self.grok("grok_90") is None

    def grok(self, rule: str) -> int | None:
        """Step of generalisation by a named rule, on the half of the held-out pairs."""
        return grok_step(rule, *self.row.curve(HELD_OUT))

    def last(self, output: str, axis: str = EMBEDDING, order: FourierStructure = NATURAL) -> float:
        """The last value of an output; NaN if it was not measured."""
        return last_value(self.row, curve_name(output, axis, order))

    def of_chance(
        self, null: str, axis: str = EMBEDDING, order: FourierStructure = NATURAL
    ) -> float:
        """Number of frequencies at the end over what chance gives there.

        Args:
            null: ``isotropic`` or ``rotated``.
            axis: Which token axis.
            order: Of the tokens.

        Returns:
            About 1 without structure; NaN if it was not measured.
        """
        expected = self.last(f"{null}_frequencies", axis, order)
        return self.last("frequencies", axis, order) / expected if expected else nan

    def effective(self) -> Records:
        """Effective number of frequencies of the embedding, over that of a random one."""
        steps, values = self.row.curve(curve_name("effective_frequencies"))
        _, expected = self.row.curve(curve_name("isotropic_effective_frequencies"))
        return Records(steps, values / expected)


def _fallen(run: FourierRun, level: float) -> int | None:
    """First of two records in a row at or below a level."""
    found = run.effective()
    return first_held(found.steps, found.values, threshold=level, patience=2, below=True)


def _half_way(run: FourierRun) -> int | None:
    values = np.asarray(run.effective().values, dtype=np.float64)
    seen = values[np.isfinite(values)]
    if not seen.size or seen[-1] > (1 - LEAST_FALL) * seen[0]:
        return None
    return _fallen(run, float(seen[0] + seen[-1]) / 2)


# Rules for when an embedding is sparse, from early to late.
ONSETS: Mapping[str, Callable[[FourierRun], int | None]] = MappingProxyType({
    "departs from chance": lambda run: _fallen(run, DEPARTED),
    "half way": _half_way,
    "half of chance": lambda run: _fallen(run, HALVED),
})  # fmt: skip


def runs_by_condition(
    known: Known, wanted: Mapping[str, Iterable[RunSpec]]
) -> dict[str, list[FourierRun]]:
    """The runs that are known, did not fail and were measured, by condition."""
    needed = {curve_name("frequencies", order=order) for order in (NATURAL, MULTIPLICATIVE)}
    return {
        condition: [
            FourierRun(spec, row) for spec, row in known.rows(runs) if needed <= row.curves.keys()
        ]
        for condition, runs in wanted.items()
    }
