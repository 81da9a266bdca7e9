"""What the representations of a layer still say of the input at each position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.labelled_tokens import (
    LabelledTokens,
    Rows,
    numbers_by_module,
)
from spectraledge.instruments.probe_fits import PROTOCOLS, probe_scores, targets_of
from spectraledge.instruments.representations import probed_modules

__all__ = ["InputProbe", "input_scores"]


def input_scores(tokens: LabelledTokens, protocol: str, seed: int = 0) -> dict[str, float]:
    """Linear probes of the position and of the token that stands there.

    Args:
        tokens: Representation at each token.
        protocol: ``published`` or ``scale_free``, see `probe_scores`.
        seed: Of the split.

    Returns:
        ``position``: test R² of the position as a number. ``token``: of one-hot tokens.
        ``token_accuracy``: tokens whose largest prediction is right.
    """
    place = tokens.position.double()[:, None]
    found = [
        probe_scores(
            tokens.features, [y], "linear", protocol=protocol, sequence=tokens.sequence, seed=seed
        )[0]
        for y in (place, targets_of(tokens.tokens, categorical=True))
    ]
    return {
        "position": found[0].r_squared,
        "token": found[1].r_squared,
        "token_accuracy": found[1].accuracy,
    }


MEANINGS = {
    "position": "test R² of the position",
    "token": "test R² of the token, one-hot",
    "token_accuracy": "tokens read right",
}


@dataclass(frozen=True)
class InputProbe(Instrument):
    """How well position and token are read off named modules, by both protocols of `probe_scores`.

    At positions with a label; at every position of rows that have one label.

    Args:
        modules: Modules to probe, with ``:input`` behind for what goes in; empty for all blocks.
        rows: Held-out rows, >= 1.
        padding: Token to leave out of modules that stand at other positions than labels.

    Raises:
        ValueError: If `rows` is below 1; at the first snapshot for unknown modules.

    Source: arXiv:2604.07380 reads the position off the decoder of SCAN and words of the command
    off its encoder; here the token at each position stands for the words. The scale-free scores
    are ours.
    """

    modules: tuple[str, ...] = ()
    rows: int = 300
    padding: int | None = None

    name: ClassVar[str] = "input_probe"
    needs_problem: ClassVar[bool] = True
    outputs: ClassVar[Mapping[str, Output]] = {
        name: Output(f"{meaning}, {words}", axes=("module",), each=True)
        for prefix, words in (("", "scale-free"), ("published_", "fixed penalty"))
        for name, meaning in ((prefix + own, text) for own, text in MEANINGS.items())
    }

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError(f"InputProbe: expected rows >= 1, got {self.rows}")

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Names of the modules."""
        return {"module": probed_modules("InputProbe", self.modules, window.now.layout)}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """Scores of the newest snapshot."""
        modules = self.labels(window)["module"]
        return numbers_by_module(self.name, window, modules, self.rows, self.padding, _scores)


def _everywhere(rows: Rows) -> Rows:
    """Rows with one label count at every position, for whose input nobody need ask a label."""
    if rows.labels.ndim == 2:
        return rows
    return replace(rows, labels=torch.zeros_like(rows.tokens))


def _scores(representation: Tensor, rows: Rows) -> dict[str, float]:
    tokens = _everywhere(rows).labelled(representation)
    free, published = (
        input_scores(own, protocol)
        for own, protocol in zip((tokens.novel(), tokens), PROTOCOLS, strict=True)
    )
    return free | {f"published_{name}": score for name, score in published.items()}
