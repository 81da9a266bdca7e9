"""Claims of `decay_release`, and what the rows say of each."""

from __future__ import annotations

from collections.abc import Callable

from spectraledge.experiments.row_values import mean_of, share_words, short
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup
from spectraledge.experiments.spectral_edge.edge_study import over_seeds
from spectraledge.experiments.spectral_edge.release_arms import BASELINE, RELEASED, restarted
from spectraledge.experiments.spectral_edge.release_runs import (
    PROBE,
    SPLIT,
    final_accuracy,
    last_of,
    mean_entropy,
)
from spectraledge.lab.rows import Row
from spectraledge.report import Verdict
from spectraledge.series import Interval

__all__ = ["numbers_of", "release_claims"]

Number = Callable[[Row], float]


def numbers_of(group: EdgeGroup) -> dict[str, Number]:
    """What is read off the end of every run, by name."""
    model = group.regime.model
    layers, heads = getattr(model, "layers", 1), getattr(model, "heads", 1)
    block = f"blocks.{layers - 1}"
    return {
        "accuracy": lambda row: final_accuracy(row, group.regime.metric),
        "linear R², published": lambda row: last_of(row, PROBE, "published_score", block, "linear"),
        "linear R², scale-free": lambda row: last_of(row, PROBE, "score", block, "linear"),
        "entropy over even": lambda row: mean_entropy(row, layers, heads),
        "norm of attention": lambda row: last_of(row, SPLIT, "weight_norm"),
        "gradient along v₁": lambda row: last_of(row, SPLIT, "energy_share", "gradient", "v1"),
        "decay, last interval": lambda row: last_of(row, SPLIT, "interval_share", "weight_decay"),
    }


def release_claims(group: EdgeGroup) -> list[Verdict]:
    """All verdicts."""
    numbers = numbers_of(group)
    accuracy, free = numbers["accuracy"], numbers["linear R², scale-free"]
    return [
        _apart(
            group, "Released weights grow back", "‖θ‖ 40 against 15 (all parameters)",
            numbers["norm of attention"], RELEASED, "Norm of the attention weights", above=0.0,
        ),
        _apart(
            group, "Released attention becomes sharper", "2.15 against 2.27 nats",
            numbers["entropy over even"], RELEASED, "Entropy of attention over even", below=0.0,
        ),
        _apart(
            group, "Releasing decay brings the published linear probe back", "0.987 against 0.851",
            numbers["linear R², published"], RELEASED, "Published linear R²", above=0.0,
        ),
        _apart(
            group, "Releasing decay makes depth more linear", "implied", free, RELEASED,
            "Scale-free linear R²", above=0.005,
        ),
        _apart(
            group, "Releasing decay costs no accuracy", "0.973 against 0.982", accuracy, RELEASED,
            "Accuracy", above=-0.02,
        ),
        _apart(
            group, "Doubling decay costs no accuracy", "0.985 against 0.982", accuracy, "decay 2",
            "Accuracy", above=-0.02,
        ),
        _apart(
            group, "The probe comes back with a new optimizer too, as published",
            "0.987 against 0.851, each with a new optimizer", numbers["linear R², published"],
            restarted(RELEASED), "Published linear R²", above=0.0, base=restarted(BASELINE),
        ),
        _apart(
            group, "A new optimizer alone costs no accuracy", "not tested", accuracy,
            restarted(BASELINE), "Accuracy", above=-0.02,
        ),
        _apart(
            group, "Decay off the edge alone compresses as much", "not tested",
            _relative_norm(group), "off the edge",
            "Norm of the attention weights over that with whole decay, minus 1", below=0.1,
        ),
        _apart(
            group, "Decay along the edge alone compresses as much", "not tested",
            _relative_norm(group), "along the edge only",
            "Norm of the attention weights over that with whole decay, minus 1", below=0.1,
        ),
        _apart(
            group, "Low-rank decay of the same length serves as well", "not tested", accuracy,
            "low-rank in attention", "Accuracy", above=-0.02,
        ),
        _apart(
            group, "What was released is compressed again when decay returns", "reversible",
            _relative_norm(group), "0, then 1 again",
            "Norm of the attention weights over that with whole decay, minus 1", below=0.1,
        ),
    ]  # fmt: skip


def _relative_norm(group: EdgeGroup) -> Number:
    mean = mean_of(
        last_of(row, SPLIT, "weight_norm") for row in group.rows.get(BASELINE, {}).values()
    )
    scale = 1.0 if mean is None else mean.centre
    return lambda row: last_of(row, SPLIT, "weight_norm") / scale


def _apart(
    group: EdgeGroup,
    claim: str,
    paper: str,
    number: Number,
    arm: str,
    what: str,
    *,
    above: float | None = None,
    below: float | None = None,
    base: str = BASELINE,
) -> Verdict:
    plain, other = group.rows[base], group.rows[arm]
    both = [seed for seed in plain if seed in other]
    mean = mean_of(number(other[seed]) - number(plain[seed]) for seed in both)
    return over_seeds(
        claim,
        paper,
        mean,
        f"{what}, of “{arm}” minus “{base}”, by seed.",
        words=f"{_words(group, arm, number)} against {_words(group, base, number)}; "
        f"difference {_interval(mean)}",
        above=above,
        below=below,
    )


def _words(group: EdgeGroup, arm: str, number: Number) -> str:
    return _interval(mean_of(number(row) for row in group.rows[arm].values()))


def _interval(mean: Interval | None) -> str:
    if mean is None or abs(mean.centre) >= 10:
        return short(mean)
    return share_words(mean)
