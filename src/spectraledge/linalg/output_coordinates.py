"""Directions of features on which several outputs depend most: reduced rank, or canonical."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from spectraledge.linalg.ridge import standardised
from spectraledge.names import check_name

__all__ = ["METHODS", "OutputCoordinates", "output_coordinates"]

METHODS = ("reduced_rank", "canonical")
PENALTIES = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
# Rows to fit on, and to choose the penalty on; the others test.
FIT, CHOICE = 0.5, 0.2
# Directions of the outputs below this share of the largest variance are rounding.
FLOOR = 1e-8

Features = Float64[Tensor, "n d"]
Outputs = Float64[Tensor, "n c"]


@dataclass(frozen=True, eq=False)
class OutputCoordinates:
    """K coordinates of features, and what each says of the outputs.

    Args:
        values: Coordinate of each point, ``(n, K)``; the sign is arbitrary.
        weights: ``(d, K)``: values are standardised features times these.
        correlation: ``(K,)``, of each with the output coordinate that it predicts, on test rows.
        null_correlation: ``(K,)``, 95 % quantile of the absolute correlation after shuffling.
        output_share: ``(K,)``, share of the (whitened) outputs' variance that it explains on test
            rows; negative where it predicts worse than the mean.
    """

    values: Float64[Tensor, "n K"]
    weights: Float64[Tensor, "d K"]
    correlation: Float64[Tensor, " K"]
    null_correlation: Float64[Tensor, " K"]
    output_share: Float64[Tensor, " K"]


def output_coordinates(
    features: Features,
    outputs: Outputs,
    sequence: Int64[Tensor, " n"],
    *,
    count: int = 4,
    method: str = "reduced_rank",
    shuffles: int = 20,
    seed: int = 0,
) -> OutputCoordinates | None:
    """Coordinates ``z_k`` of the features that predict outputs, most important first.

    Definition: ridge regression of outputs Y on standardised features X gives ``Ŷ = X B``, and the
    leading right singular vectors ``w_k`` of Ŷ give ``z_k = X B w_k``, which predicts ``Y w_k``.
    ``reduced_rank`` takes Y as it is, so that z_1 carries most of its variance; ``canonical``
    whitens Y first, so that z_1 is the best predicted, and without a penalty the correlations are
    canonical ones. Where outputs are linear in the features, as behind the last norm of a model,
    all canonical correlations are 1 and only ``reduced_rank`` tells anything.

    Args:
        features: d features of n points.
        outputs: c outputs of the same points, e.g. log-probabilities.
        sequence: Which row each point belongs to; half of the rows fit, a fifth chooses the
            penalty, the others test.
        count: K; those beyond the rank are NaN.
        method: ``reduced_rank`` or ``canonical``.
        shuffles: How often outputs change places for the null: rows are turned in themselves by
            random amounts and joined in random order, and everything is fitted again. So points
            of one row stay as much alike as they are, but positions no longer agree.
        seed: Of split and shuffles.

    Returns:
        The coordinates, or None if there are too few rows, something is not finite, or nothing
        varies.

    Raises:
        ValueError: For an unknown method.

    Cost: ``shuffles + 1`` products of ``d × n × c``, and eigenvectors of ``c × c``.

    Source: Izenman (1975), reduced-rank regression; Hotelling (1936), canonical correlations.

    Example:
        >>> chance = torch.Generator().manual_seed(0)
        >>> x = torch.randn(400, 6, generator=chance).double()
        >>> planted = x @ torch.tensor([[1.0, -2, 0, 0, 3, 0]]).double().mT
        >>> found = output_coordinates(x, planted * torch.tensor([[1.0, -1, 2]]),
        ...                            torch.arange(400) // 4, count=1)
        >>> round(torch.corrcoef(torch.cat([found.values, planted], 1).mT)[0, 1].abs().item(), 4)
        1.0
    """
    check_name("method", method, METHODS)
    parts = _parts(sequence, seed)
    known = bool(features.isfinite().all()) and bool(outputs.isfinite().all())
    if not known or min(len(part) for part in parts) < 3:
        return None
    fit, choose, test = parts
    x = standardised(features[fit], features)[1]
    y = outputs - outputs[fit].mean(0)
    if method == "canonical":
        y = _whitened(y, fit)
    if not bool(y[fit].abs().amax() > 0) or not bool(x[fit].abs().amax() > 0):
        return None
    solved = _Regression.of(x, fit, _best_penalty(x, y, fit, choose))
    weights, directions = solved.coordinates(y, count)
    correlation, share = _measured(x, y, weights, directions, test)
    null = []
    generator = torch.Generator().manual_seed(seed + 1)
    for _ in range(shuffles):
        mixed = y[_turned_and_joined(sequence, generator)]
        null.append(_measured(x, mixed, *solved.coordinates(mixed, count), test)[0].abs())
    quantile = torch.stack(null).nanquantile(0.95, dim=0)
    return OutputCoordinates(x @ weights, weights, correlation, quantile, share)


def _parts(sequence: Tensor, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    names, own = sequence.unique(return_inverse=True)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    at = order.argsort()[own]
    fit, test = round(len(names) * FIT), round(len(names) * (FIT + CHOICE))
    parts = (at < fit, (at >= fit) & (at < test), at >= test)
    first, second, third = (part.nonzero().flatten() for part in parts)
    return first, second, third


def _whitened(y: Tensor, fit: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(y[fit].mT @ y[fit] / len(fit))
    kept = values > FLOOR * values.amax()
    return y @ (vectors[:, kept] / values[kept].sqrt())


def _best_penalty(x: Tensor, y: Tensor, fit: Tensor, choose: Tensor) -> float:
    guesses = (x[choose] @ _Regression.of(x, fit, a).weights(y) for a in PENALTIES)
    errors = [(y[choose] - guess).square().sum() for guess in guesses]
    return PENALTIES[int(torch.stack(errors).argmin())]


@dataclass(frozen=True, eq=False)
class _Regression:
    """Ridge regression on some points, factored once for all outputs."""

    x: Tensor
    fit: Tensor
    gram: Tensor
    factor: Tensor

    @classmethod
    def of(cls, x: Tensor, fit: Tensor, penalty: float) -> _Regression:
        gram = x[fit].mT @ x[fit]
        shifted = gram + penalty * len(fit) * torch.eye(len(gram), dtype=gram.dtype)
        return cls(x[fit], fit, gram, torch.linalg.cholesky(shifted))

    def weights(self, y: Tensor) -> Tensor:
        return torch.cholesky_solve(self.x.mT @ y[self.fit], self.factor)

    def coordinates(self, y: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Weights ``(d, K)`` and output directions ``(c, K)``, NaN beyond the rank."""
        weights = self.weights(y)
        # Squares of the singular values of XB, without that n × c matrix.
        squares, vectors = torch.linalg.eigh(weights.mT @ self.gram @ weights)
        squares, directions = squares.flip(0)[:count], vectors.flip(1)[:, :count]
        directions = torch.where(squares > FLOOR * squares[0], directions, torch.nan)
        missing = count - directions.shape[1]
        directions = torch.nn.functional.pad(directions, (0, missing), value=torch.nan)
        return weights @ directions, directions


def _measured(
    x: Tensor, y: Tensor, weights: Tensor, directions: Tensor, test: Tensor
) -> tuple[Tensor, Tensor]:
    """Correlation and explained share of the outputs' variance on test points, each ``(K,)``."""
    guess, truth = x[test] @ weights, y[test] @ directions
    total = (y[test] - y[test].mean(0)).square().sum()
    centred, aim = guess - guess.mean(0), truth - truth.mean(0)
    correlation = (centred * aim).sum(0) / (centred.norm(dim=0) * aim.norm(dim=0))
    gained = aim.square().sum(0) - (aim - centred).square().sum(0)
    return correlation, gained / total


def _turned_and_joined(sequence: Tensor, generator: torch.Generator) -> Tensor:
    """Points with their rows in random order, each row turned in itself by a random amount."""
    _, sizes = sequence.unique(return_counts=True)
    rows = sequence.argsort(stable=True).split(sizes.tolist())
    turns = torch.rand(len(rows), generator=generator)
    turned = [row.roll(int(turn * len(row))) for row, turn in zip(rows, turns)]
    order = torch.randperm(len(rows), generator=generator)
    return torch.cat([turned[i] for i in order.tolist()])
