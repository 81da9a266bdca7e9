"""Which frequencies over positions the representations of a layer hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.class_fourier import positional_power
from spectraledge.instruments.labelled_tokens import (
    Rows,
    numbers_by_module,
)
from spectraledge.instruments.representations import probed_modules
from spectraledge.tasks import UNLABELLED

__all__ = ["PositionalFourier", "counted_positions"]


@dataclass(frozen=True)
class PositionalFourier(Instrument):
    """Shares of the power over positions in one and three frequencies, see `positional_power`.

    Args:
        modules: Modules to look at, with ``:input`` behind for what goes in; empty for all blocks.
        rows: Held-out rows, >= 1; 500 are published.
        padding: Token that counts as nothing where a module stands at other positions than labels.

    Raises:
        ValueError: If `rows` is below 1; at the first snapshot for unknown modules.

    Source: arXiv:2604.07380, restated; frequency 12 of 24 positions is alternation.
    """

    modules: tuple[str, ...] = ()
    rows: int = 500
    padding: int | None = None

    name: ClassVar[str] = "positional_fourier"
    needs_problem: ClassVar[bool] = True
    outputs: ClassVar[Mapping[str, Output]] = {
        name: Output(meaning, axes=("module",), each=True)
        for name, meaning in {
            "largest_share": "share of the power in the frequency that has most",
            "largest_three_share": "share of the power in the three that have most",
            "largest_frequency": "which frequency has most, 0 for the mean",
        }.items()
    }

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError(f"PositionalFourier: expected rows >= 1, got {self.rows}")

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Names of the modules."""
        return {"module": probed_modules("PositionalFourier", self.modules, window.now.layout)}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Shares of the newest snapshot."""
        modules = self.labels(window)["module"]
        return numbers_by_module(self.name, window, modules, self.rows, self.padding, _shares)


def _shares(representation: Tensor, rows: Rows) -> dict[str, float]:
    own = representation.double()
    whole = own if own.ndim == 3 else own[:, None]
    power = positional_power(whole, counted_positions(whole.shape[1], rows))
    shares = power / power.sum()
    where = shares.argmax().double().where(shares.isfinite().all(), torch.nan)
    return {
        "largest_share": shares.max().item(),
        "largest_three_share": shares.sort(descending=True).values[:3].sum().item(),
        "largest_frequency": where.item(),
    }


def counted_positions(positions: int, rows: Rows) -> Tensor:
    """Positions that are no padding.

    Args:
        positions: Of a representation, of which a row may have more or fewer than it has labels.
        rows: Of one run.

    Returns:
        ``(N, positions)`` bool.
    """
    labelled = rows.labels != UNLABELLED
    if rows.labels.ndim == 1:
        return labelled[:, None].expand(-1, positions)
    if positions == labelled.shape[1]:
        return labelled
    nothing = -1 if rows.padding is None else rows.padding
    return rows.tokens[:, :positions] != nothing
