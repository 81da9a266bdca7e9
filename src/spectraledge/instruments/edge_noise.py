"""Which singular values of the last updates stand out of noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.parameter_subset import (
    ATTENTION_WEIGHTS,
    check_subset,
    chosen_columns,
)
from spectraledge.linalg.sign_flips import block_grams, sign_flip_values
from spectraledge.updates.random_streams import generator

__all__ = ["EdgeNoise"]

COMPONENT = ("component",)


@dataclass(frozen=True)
class EdgeNoise(Instrument):
    """Singular values of the last W displacements beside those of displacements flipped in sign.

    Every displacement is cut into blocks of neighbouring weights, with the default those of one
    output of a matrix of width 128, and every block of every displacement gets a random sign.
    ``threshold`` of σ_k is the quantile of the k-th singular value over the flips; ``above``
    counts the leading σ_k that exceed theirs, up to the first that does not. The published
    threshold is made of the singular values themselves and lies below all of them, whatever they
    are (`SpectralEdge`).

    Flips keep the length of every displacement, that of a strong common direction too, so that
    behind one the test is conservative. Larger blocks are more so: what a block does in common in
    two displacements counts as noise of that block.

    Args:
        window: W >= 2 displacements.
        flips: Random flips, >= 20; their number limits the quantile.
        quantile: In (0.5, 1).
        block: Neighbouring weights that share a sign, >= 1.
        kinds: Kinds of matrices that are looked at, or ``parameters:`` and a pattern of names;
            empty for every weight matrix.
        seed: Of the signs, which depend on it and on the step alone.

    Raises:
        ValueError: For numbers out of range or unknown kinds; at the first snapshot if the model
            has no such matrix.

    Cost: W² / 2 inner products of the chosen weights a snapshot, and of the signs of as many flips
    and blocks; 40 ms for 131,072 weights on one busy core. Memory W + 1 snapshots.

    Source: sign flips of blocks of the updates as the null that arXiv:2604.07380 lacks; Hong,
    Sheng and Dobriban, arXiv:2012.02985, for the comparison of each value with its own quantile.
    """

    window: int = 5
    flips: int = 200
    quantile: float = 0.99
    block: int = 128
    kinds: tuple[str, ...] = ATTENTION_WEIGHTS
    seed: int = 0

    name: ClassVar[str] = "edge_noise"
    outputs: ClassVar[Mapping[str, Output]] = {
        "singular_values": Output("σ, largest first", "weight", COMPONENT, each=True),
        "threshold": Output("quantile of σ_k over flips", "weight", COMPONENT, each=True),
        "by_chance": Output("mean of σ_k over flips", "weight", COMPONENT, each=True),
        "excess": Output("σ_k over its threshold", "1", COMPONENT, each=True),
        "above": Output("leading singular values above their thresholds"),
    }

    def __post_init__(self) -> None:
        check_subset("EdgeNoise", self.kinds)
        for name, least in (("window", 2), ("flips", 20), ("block", 1)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"EdgeNoise: expected {name} >= {least}, got {getattr(self, name)}"
                )
        if not 0.5 < self.quantile < 1:
            raise ValueError(f"EdgeNoise: expected quantile in (0.5, 1), got {self.quantile}")

    @property
    def history(self) -> int:  # type: ignore[override]
        """Snapshots at both ends of every displacement."""
        return self.window + 1

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Numbers of the components."""
        return {"component": tuple(f"v{k + 1}" for k in range(self.window))}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """The window that ends at the newest snapshot."""
        taken = window.snapshots[-self.history :]
        columns = chosen_columns(window.now.layout, self.kinds)
        points = torch.stack([s.parameters[:, columns] for s in taken], 1).double()
        each = [self._of_run(own.diff(dim=0), window.now.step) for own in points.cpu()]
        return {name: torch.stack([run[name] for run in each]) for name in self.outputs}

    def _of_run(self, steps: Tensor, step: int) -> dict[str, Tensor]:
        width = len(steps)
        if not width:
            none = torch.full((self.window,), torch.nan, dtype=torch.float64)
            return {n: none if o.axes else none[0] for n, o in self.outputs.items()}
        grams = block_grams(steps, self.block)
        same = torch.ones(1, len(grams), width, dtype=torch.int64)
        (own,) = sign_flip_values(grams, same)
        flipped = sign_flip_values(grams, self._signs(len(grams), width, step))
        threshold = flipped.quantile(self.quantile, dim=0)
        # One displacement has the same length however it is flipped.
        excess = torch.where(threshold > 0, own / threshold, torch.nan)
        above = (excess > 1 + 1e-9).cumprod(0).sum().double()
        found = {
            "singular_values": own,
            "threshold": threshold,
            "by_chance": flipped.mean(0),
            "excess": excess,
        }
        padded = {n: pad(v, (0, self.window - width), value=torch.nan) for n, v in found.items()}
        return padded | {"above": torch.where(own.isnan().any(), torch.nan, above)}

    def _signs(self, blocks: int, width: int, step: int) -> Tensor:
        stream = generator(self.seed, self.name, step)
        return torch.randint(2, (self.flips, blocks, width), generator=stream) * 2 - 1
