"""The norm of all parameters, and of parts of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.parameter_subset import (
    ATTENTION_WEIGHTS,
    check_subset,
    chosen_columns,
)

__all__ = ["ParameterNorm"]


@dataclass(frozen=True)
class ParameterNorm(Instrument):
    """‖θ‖ of every parameter as one vector, and that of a subset, summed in float64.

    Args:
        kinds: The subset: kinds of matrices, or ``parameters:`` and a pattern of names.

    Raises:
        ValueError: For an unknown kind; at the first snapshot if the model has none of the subset.

    Source: arXiv:2604.07380 gives the norm of all parameters after decay was released.

    Example:
        >>> from spectraledge.snapshots import Layout, Snapshot
        >>> layout = Layout(("attention.query.weight", "norm.bias"), ((1, 2), (1,)))
        >>> window = Window((Snapshot(0, layout, torch.tensor([[3.0, 4.0, 12.0]])),))
        >>> found = ParameterNorm(kinds=("query",)).measure(window)
        >>> found["norm"].item(), found["subset_norm"].item()
        (13.0, 5.0)
    """

    kinds: tuple[str, ...] = ATTENTION_WEIGHTS

    name: ClassVar[str] = "parameter_norm"
    outputs: ClassVar[Mapping[str, Output]] = {
        "norm": Output("‖θ‖ of all parameters", "weight"),
        "subset_norm": Output("‖θ‖ of the subset", "weight"),
    }

    def __post_init__(self) -> None:
        check_subset("ParameterNorm", self.kinds)

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """No axes."""
        return {}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Norms of the newest snapshot."""
        theta = window.now.parameters
        own = theta[:, chosen_columns(window.now.layout, self.kinds).to(theta.device)]
        return {
            name: torch.linalg.vector_norm(values, dim=1, dtype=torch.float64).cpu()
            for name, values in (("norm", theta), ("subset_norm", own))
        }
