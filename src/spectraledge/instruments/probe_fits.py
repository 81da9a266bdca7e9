"""Probes of a representation: how well a linear, quadratic or small network reads a target off it.

Two protocols. ``published`` has a fixed penalty on features as they are, and tokens of one row on
either side of the split; its score falls when features shrink, whatever they say. ``scale_free``
standardises, chooses the penalty on a validation part, and splits by row.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from spectraledge.linalg.ridge import r_squared, ridge_predictions, standardised
from spectraledge.names import check_name

__all__ = [
    "PROTOCOLS",
    "READERS",
    "ProbeScore",
    "Split",
    "probe_scores",
    "sequence_split",
    "targets_of",
    "token_split",
]

PROTOCOLS = ("scale_free", "published")
READERS = ("linear", "quadratic", "mlp")
# Published penalties; the quadratic reader has all products of two features.
PUBLISHED = {"linear": 1.0, "quadratic": 10.0}
# Penalties on standardised features, in units of the number of points; fewer where each takes a
# factor of all points.
PENALTIES = {
    "linear": (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
    "quadratic": (1e-6, 1e-4, 1e-2, 1.0),
}
TEST, CHOICE = 0.3, 0.2
MLP_SEED = 42

Features = Float64[Tensor, "n d"]
Targets = Float64[Tensor, "n c"]
Predict = Callable[[Features, Targets, Features], Tensor]


@dataclass(frozen=True)
class ProbeScore:
    """How well a probe read a target on its test part.

    Args:
        r_squared: ``1 − Σ(y − ŷ)² / Σ(y − ȳ)²``, at most 1, over all columns of one-hot targets.
        accuracy: Share of tokens whose rounded or largest prediction is right.
    """

    r_squared: float
    accuracy: float


NOTHING = ProbeScore(float("nan"), float("nan"))


@dataclass(frozen=True, eq=False)
class Split:
    """Which tokens to fit on, to choose the penalty on (may be none), and to test on."""

    fit: Int64[Tensor, " a"]
    choose: Int64[Tensor, " b"]
    test: Int64[Tensor, " c"]

    @property
    def known(self) -> bool:
        """Whether every part has tokens, two of them to fit a slope."""
        return len(self.fit) > 1 and len(self.choose) > 0 and len(self.test) > 1


def token_split(count: int, seed: int) -> Split:
    """The published split: tokens in random order, the first 70 % to fit, the others to test.

    Args:
        count: Tokens.
        seed: Of the order.

    Returns:
        Parts that share rows, though no token; nothing to choose a penalty on.
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    cut = round(count * (1 - TEST))
    return Split(order[:cut], order[:0], order[cut:])


def sequence_split(sequence: Int64[Tensor, " n"], seed: int) -> Split:
    """Whole rows in random order: 50 % to fit, 20 % to choose the penalty, 30 % to test.

    Args:
        sequence: Which row each token belongs to; equal rows should have one number.
        seed: Of the order.

    Returns:
        Tokens of each part; no row is in two.

    Example:
        >>> split = sequence_split(torch.arange(20) // 2, seed=0)
        >>> [len(part) for part in (split.fit, split.choose, split.test)]
        [10, 4, 6]
    """
    names, own = sequence.unique(return_inverse=True)
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed))
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    fit, test = round(len(names) * (1 - TEST - CHOICE)), round(len(names) * (1 - TEST))
    at = place[own]
    parts = (at < fit, (at >= fit) & (at < test), at >= test)
    return Split(*(part.nonzero().flatten() for part in parts))


def targets_of(labels: Int64[Tensor, " n"], categorical: bool) -> Targets:
    """Labels as numbers ``(n, 1)``, or one column for each class that occurs."""
    if not categorical:
        return labels.double()[:, None]
    classes, index = labels.unique(return_inverse=True)
    return torch.nn.functional.one_hot(index, len(classes)).double()


def probe_scores(
    features: Features,
    targets: Sequence[Targets],
    reader: str,
    *,
    protocol: str = "scale_free",
    sequence: Int64[Tensor, " n"] | None = None,
    seed: int = 0,
) -> list[ProbeScore]:
    """Scores of one reader on several targets of one representation.

    Args:
        features: A representation a row.
        targets: Each as `targets_of` makes it, or any numbers.
        reader: ``linear``: ridge with intercept. ``quadratic``: ridge on features and the products
            of every two. ``mlp``: 64 ReLU, Adam 1e-3, batches of 200, weight penalty 0.01,
            stopped early by 15 % of its fit part, at most 500 epochs (needs scikit-learn).
        protocol: ``published``: features as they are, α = 1 or 10, `token_split`. ``scale_free``:
            features in standard deviations of the fit part, α the best of a few on the validation
            part for each target, `sequence_split`; the mlp fits on both parts, its targets
            standardised as well.
        sequence: Which row each token belongs to; for ``scale_free``.
        seed: Of the split.

    Returns:
        A score a target; NaN for features that are not finite or too few rows for a split.

    Raises:
        ValueError: For unknown names, or a scale-free protocol without sequences.

    Cost: ``quadratic`` takes a Cholesky factor of the fitted tokens for each α, 0.1 s for 2000.

    Source: arXiv:2604.07380; the scale-free protocol is ours. The published script regresses the
    numbers of categorical tokens, which ``targets_of(labels, False)`` does as well.

    Example:
        >>> x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0)).double()
        >>> y, rows = 1e-3 * x[:, :1], torch.arange(200) // 4
        >>> [round(probe_scores(1e-3 * x, [y], "linear", sequence=rows, protocol=p)[0].r_squared, 1)
        ...  for p in ("scale_free", "published")]
        [1.0, -0.0]
    """
    check_name("reader", reader, READERS)
    check_name("protocol", protocol, PROTOCOLS)
    if protocol == "scale_free" and sequence is None:
        raise ValueError("scale_free splits by row: pass sequence=, the row of each token")
    if len(features) < 4 or not bool(features.isfinite().all()):
        return [NOTHING] * len(targets)
    if sequence is None or protocol == "published":
        return _published(features, targets, reader, token_split(len(features), seed))
    split = sequence_split(sequence, seed)
    return (
        _scale_free(features, targets, reader, split) if split.known else [NOTHING] * len(targets)
    )


def _published(
    x: Features, targets: Sequence[Targets], reader: str, split: Split
) -> list[ProbeScore]:
    if reader == "mlp":
        guesses = [_network(x[split.fit], y[split.fit], x[split.test]) for y in targets]
    else:
        joined = torch.cat([y[split.fit] for y in targets], 1)
        (found,) = _ridge(x[split.fit], joined, x[split.test], [PUBLISHED[reader]], reader)
        guesses = list(found.split([y.shape[1] for y in targets], 1))
    return [_score(y[split.test], guess) for y, guess in zip(targets, guesses)]


def _scale_free(
    x: Features, targets: Sequence[Targets], reader: str, split: Split
) -> list[ProbeScore]:
    if reader == "mlp":
        both = torch.cat([split.fit, split.choose])
        own, other = standardised(x[both], x[split.test])
        guesses = [_network_in_units(own, y[both], other) for y in targets]
        return [_score(y[split.test], guess) for y, guess in zip(targets, guesses)]
    own, choice, other = standardised(x[split.fit], x[split.choose], x[split.test])
    joined = torch.cat([y[split.fit] for y in targets], 1)
    penalties = [alpha * len(own) for alpha in PENALTIES[reader]]
    found = _ridge(own, joined, torch.cat([choice, other]), penalties, reader)
    scores = []
    for y, guess in zip(targets, found.split([y.shape[1] for y in targets], -1)):
        chosen, tested = guess.split([len(choice), len(other)], 1)
        error = (chosen - y[split.choose]).square().sum((1, 2))
        best = error.nan_to_num(nan=torch.inf).argmin()
        scores.append(_score(y[split.test], tested[best]))
    return scores


def _ridge(x: Tensor, y: Tensor, at: Tensor, penalties: Sequence[float], reader: str) -> Tensor:
    return ridge_predictions(x, y, at, penalties, products=reader == "quadratic")


def _score(target: Tensor, guess: Tensor) -> ProbeScore:
    several = target.shape[1] > 1
    right = target.argmax(1) == guess.argmax(1) if several else target == guess.round()
    known = bool(guess.isfinite().all())
    accuracy = right.double().mean().item() if known else float("nan")
    return ProbeScore(r_squared(target, guess).item(), accuracy)


def _network_in_units(x: Tensor, y: Tensor, at: Tensor) -> Tensor:
    middle, spread = y.mean(0), y.std(correction=0).clamp(min=1e-12)
    return _network(x, (y - middle) / spread, at) * spread + middle


def _network(x: Tensor, y: Tensor, at: Tensor) -> Tensor:
    try:
        from sklearn.neural_network import MLPRegressor
    except ImportError as error:
        raise ImportError(
            "the mlp reader needs scikit-learn: pip install 'spectraledge[lab]', or choose the "
            "readers linear and quadratic"
        ) from error
    model = MLPRegressor(
        hidden_layer_sizes=(64,),
        alpha=0.01,
        learning_rate_init=1e-3,
        max_iter=500,
        early_stopping=True,
        validation_fraction=0.15,
        n_iter_no_change=10,
        random_state=MLP_SEED,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x.numpy(), y.squeeze(1).numpy() if y.shape[1] == 1 else y.numpy())
    return torch.from_numpy(model.predict(at.numpy())).double().reshape(len(at), -1)
