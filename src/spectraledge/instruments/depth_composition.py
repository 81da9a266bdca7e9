"""What of the input the depth of brackets follows from, and how classes of depth lie in a layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from spectraledge.instruments.base import Instrument, Output, Window
from spectraledge.instruments.labelled_tokens import (
    LabelledTokens,
    held_out_runs,
    inspected,
    run_representations,
)
from spectraledge.instruments.probe_fits import probe_scores
from spectraledge.instruments.representations import probed_modules
from spectraledge.linalg.ridge import r_squared, ridge_predictions

__all__ = ["DepthComposition", "class_geometry", "composition_scores"]

READINGS = (
    "token", "position", "token and position", "with crosses",
    "representation", "representation to count", "representation to token",
)  # fmt: skip
PENALTY = 1.0


def composition_scores(
    tokens: LabelledTokens, length: int, protocol: str, seed: int = 0
) -> list[float]:
    """Test R² of linear probes of the label from parts of the input, and of those from a layer.

    Inputs of the label are the token (one column each), the position over `length`, both, and both
    with the running count of opened minus closed brackets times the token, position times token,
    and count times position. The count *is* the depth of brackets: the last score is 1 of any
    network. The representation is asked for the label, for the count, and for the sign of the
    token (+1 opens).

    Args:
        tokens: Labelled tokens; 0 opens and 1 closes.
        length: Positions of a row.
        protocol: ``published`` or ``scale_free``, see `probe_scores`.
        seed: Of the split.

    Returns:
        Scores in the order of `READINGS`.
    """
    token = torch.nn.functional.one_hot(tokens.tokens.clamp(max=1), 2).double()
    position = tokens.position.double()[:, None] / length
    sign = token[:, :1] - token[:, 1:]
    count = _running_count(tokens, sign)
    crosses = torch.cat([token * count, token * position, count * position], 1)
    depth = tokens.labels.double()[:, None]
    both = torch.cat([token, position], 1)
    inputs = [token, position, both, torch.cat([both, crosses], 1)]

    def scores(features: Tensor, *targets: Tensor) -> list[float]:
        found = probe_scores(
            features, targets, "linear", protocol=protocol, sequence=tokens.sequence, seed=seed
        )
        return [score.r_squared for score in found]

    return [
        *(scores(features, depth)[0] for features in inputs),
        *scores(tokens.features, depth, count, sign),
    ]


def class_geometry(features: Float64[Tensor, "n d"], labels: Tensor) -> tuple[float, float, float]:
    """How the means of the classes of a representation lie.

    Args:
        features: Representations.
        labels: Their classes, in an order that means something.

    Returns:
        Share of the first principal component among the class means; mean distance between means
        of neighbouring classes; the same over the root mean square deviation of a representation
        from the mean of all. NaN for fewer than two classes.

    Example:
        >>> line = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]).double()
        >>> share, distance, _ = class_geometry(line, torch.arange(3))
        >>> round(share, 6), distance
        (1.0, 1.0)
    """
    classes = labels.unique()
    if len(classes) < 2 or not bool(features.isfinite().all()):
        return nan, nan, nan
    means = torch.stack([features[labels == c].mean(0) for c in classes])
    squares = torch.linalg.svdvals(means - means.mean(0)).square()
    distance = (means[1:] - means[:-1]).norm(dim=1).mean()
    spread = (features - features.mean(0)).square().sum(1).mean().sqrt()
    return tuple(x.item() for x in (squares[0] / squares.sum(), distance, distance / spread))


@dataclass(frozen=True)
class DepthComposition(Instrument):
    """Tests of where depth comes from, and the geometry of its classes, in one module.

    The tests ask about brackets, where token 0 opens and 1 closes, and are NaN if another token has
    a label; the geometry is that of the classes of any label whose order means something.

    Args:
        module: Module to look at; None for the last block.
        rows: Held-out rows, >= 1; 500 are published.
        padding: Token that stands for nothing.

    Raises:
        ValueError: If `rows` is below 1; at the first snapshot for an unknown module.

    Source: arXiv:2604.07380, composition test and depth geometry. Differs: the published test has
    tokens of one row on both sides of the split and a fixed penalty on features as they are;
    ``score`` and ``relative_distance`` change with neither. Its conclusion from crossed features
    is one of any network, since they contain the label.
    """

    module: str | None = None
    rows: int = 500
    padding: int | None = None

    name: ClassVar[str] = "depth_composition"
    needs_problem: ClassVar[bool] = True
    outputs: ClassVar[Mapping[str, Output]] = {
        "published_score": Output("test R², fixed penalty", "1", ("reading",), each=True),
        "score": Output("test R², scale-free", "1", ("reading",), each=True),
        "class_score": Output("R² of depth on the rows fitted, fixed penalty, as published"),
        "class_share": Output("share of one direction among the means of the classes"),
        "class_distance": Output("distance between means of neighbouring depths"),
        "relative_distance": Output("the same over the spread of the representation"),
    }

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise ValueError(f"DepthComposition: expected rows >= 1, got {self.rows}")

    def labels(self, window: Window) -> dict[str, tuple[str, ...]]:
        """Names of the readings."""
        return {"reading": READINGS}

    def measure(self, window: Window) -> dict[str, Tensor]:
        """All numbers of the newest snapshot."""
        problem, now = inspected(self.name, window), window.now
        named = () if self.module is None else (self.module,)
        module = probed_modules("DepthComposition", named, now.layout)[-1]
        found = []
        for theta, rows in zip(now.parameters, held_out_runs(problem, self.rows, self.padding)):
            representation = run_representations(problem, now.layout, theta, rows.tokens, [module])
            found.append(_numbers(rows.labelled(representation[module]), rows.tokens.shape[1]))
        return {
            name: torch.tensor([run[name] for run in found], dtype=torch.float64)
            for name in self.outputs
        }


def _numbers(tokens: LabelledTokens, length: int) -> dict[str, object]:
    features, depth = tokens.features, tokens.labels.double()[:, None]
    share, distance, relative = class_geometry(features, tokens.labels)
    fitted = nan
    if bool(features.isfinite().all()):
        (guess,) = ridge_predictions(features, depth, features, [PENALTY])
        fitted = r_squared(depth, guess).item()
    return {
        "published_score": _composition(tokens, length, "published"),
        "score": _composition(tokens.novel(), length, "scale_free"),
        "class_score": fitted,
        "class_share": share,
        "class_distance": distance,
        "relative_distance": relative,
    }


def _composition(tokens: LabelledTokens, length: int, protocol: str) -> list[float]:
    if bool((tokens.tokens > 1).any()):
        return [nan] * len(READINGS)
    return composition_scores(tokens, length, protocol)


def _running_count(tokens: LabelledTokens, sign: Tensor) -> Tensor:
    """Opened minus closed brackets up to each token of its row, ``(n, 1)``."""
    total = sign.cumsum(0)
    # Tokens stand row by row: what was counted before a row's first token is taken off.
    first = tokens.position == tokens.position.min()
    before = (total - sign)[first]
    row = first.long().cumsum(0) - 1
    return total - before[row]
