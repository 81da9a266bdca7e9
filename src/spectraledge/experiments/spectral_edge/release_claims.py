"""Claims of `decay_release`, and what the rows say of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from spectraledge.experiments.gather import decide
from spectraledge.experiments.row_values import mean_of, share_words, short
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup
from spectraledge.experiments.spectral_edge.edge_study import NOT_RUN, over_seeds
from spectraledge.experiments.spectral_edge.flip_claims import NEW_WORDS
from spectraledge.experiments.spectral_edge.release_arms import (
    BASELINE,
    PUBLISHED_ARMS,
    RELEASED,
    SPARED,
    early,
    held,
    restarted,
)
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

__all__ = ["BY_EDGE", "RETURNED", "numbers_of", "release_claims"]

Number = Callable[[Row], float]
# Arms in which attention decays only in part; in both, all other weights decay as before.
BY_EDGE = ("off the edge", "along the edge only")
ON_NEW = "accuracy, words not trained on"
RETURNED = "0, then 1 again"


def numbers_of(group: EdgeGroup) -> dict[str, Number]:
    """What is read off the end of every run, by name."""
    model = group.regime.model
    layers, heads = getattr(model, "layers", 1), getattr(model, "heads", 1)
    block = f"blocks.{layers - 1}"
    return {
        "accuracy": lambda row: final_accuracy(row, group.regime.metric),
        # A quarter of the published held-out words repeat training rows.
        ON_NEW: lambda row: final_accuracy(row, NEW_WORDS),
        "linear R², published": lambda row: last_of(row, PROBE, "published_score", block, "linear"),
        "linear R², scale-free": lambda row: last_of(row, PROBE, "score", block, "linear"),
        "entropy over even": lambda row: mean_entropy(row, layers, heads),
        "norm of attention": lambda row: last_of(row, SPLIT, "weight_norm"),
        "gradient along v₁": lambda row: last_of(row, SPLIT, "energy_share", "gradient", "v1"),
        "decay, last interval": lambda row: last_of(row, SPLIT, "interval_share", "weight_decay"),
    }


def release_claims(group: EdgeGroup) -> list[Verdict]:
    """All verdicts."""
    return [
        *_released(group), *_held_claims(group), *_early_claims(group), *_accurate(group),
        *_all_compressed(group),
    ]  # fmt: skip


def _released(group: EdgeGroup) -> list[Verdict]:
    """What comes back when decay is released."""
    numbers = numbers_of(group)
    probe = numbers["linear R², published"]
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
            probe, RELEASED, "Published linear R²", above=0.0,
        ),
        _apart(
            group, "The probe comes back with a new optimizer too, as published",
            "0.987 against 0.851, each with a new optimizer", probe, restarted(RELEASED),
            "Published linear R²", above=0.0, base=restarted(BASELINE),
        ),
        _apart(
            group, "Releasing decay makes depth more linear", "implied",
            numbers["linear R², scale-free"], RELEASED, "Scale-free linear R²", above=0.005,
        ),
    ]  # fmt: skip


def _held_claims(group: EdgeGroup) -> list[Verdict]:
    """What released decay does where attention may not become longer."""
    numbers, arm, base = numbers_of(group), held(RELEASED), held(BASELINE)
    return [
        _apart(
            group, "Released attention becomes sharper though no longer than before", "not tested",
            numbers["entropy over even"], arm, "Entropy of attention over even", below=0.0,
            base=base,
        ),
        _apart(
            group, "Releasing decay brings the published linear probe back, attention no longer "
            "than before", "not tested", numbers["linear R², published"], arm,
            "Published linear R²", above=0.0, base=base,
        ),
        _apart(
            group, "Holding the length of attention costs no accuracy", "not tested",
            numbers["accuracy"], base, "Accuracy", above=-0.02,
        ),
    ]  # fmt: skip


def _early_claims(group: EdgeGroup) -> list[Verdict]:
    """What released decay does where nothing has generalised yet."""
    numbers = numbers_of(group)
    return [
        _apart(
            group, "Decay released before generalising costs accuracy", "run, no number given",
            numbers["accuracy"], early(RELEASED), "Accuracy", below=0.0, base=early(BASELINE),
        ),
        _apart(
            group, "The probe comes back when decay is released before generalising too",
            "run, no number given", numbers["linear R², published"], early(RELEASED),
            "Published linear R²", above=0.0, base=early(BASELINE),
        ),
    ]  # fmt: skip


def _accurate(group: EdgeGroup) -> list[Verdict]:
    """Which arms keep the accuracy of whole decay."""
    numbers = numbers_of(group)
    return [
        _apart(group, claim + where, paper, numbers[name], arm, "Accuracy", above=-0.02)
        for name, where in (("accuracy", ""), (ON_NEW, ", on words not trained on either"))
        for claim, paper, arm in (
            ("Releasing decay costs no accuracy", "0.973 against 0.982", RELEASED),
            ("Doubling decay costs no accuracy", "0.985 against 0.982", "decay 2"),
            ("A new optimizer alone costs no accuracy", "not tested", restarted(BASELINE)),
            (
                "Low-rank decay of the same length serves as well", "not tested",
                "low-rank in attention",
            ),
        )
    ]  # fmt: skip


def _all_compressed(group: EdgeGroup) -> list[Verdict]:
    """Which arms leave attention as small as whole decay."""
    off, along = BY_EDGE
    return [
        _compressed(group, "Decay off the edge alone compresses as much", off, SPARED, BY_EDGE),
        _compressed(group, "Decay along the edge alone compresses as much", along, SPARED, BY_EDGE),
        _compressed(
            group, "What was released is compressed again when decay returns", RETURNED, RELEASED,
            (RETURNED,), "reversible",
        ),
    ]  # fmt: skip


def _compressed(
    group: EdgeGroup,
    claim: str,
    arm: str,
    none: str,
    below_none: tuple[str, ...],
    paper: str = "not tested",
) -> Verdict:
    """Whether an arm leaves attention as small as whole decay does, where its norm can tell."""
    # Attention grows where only other weights decay: above an arm that spares it, the norm does
    # not say what decay along or off the edge does.
    verdict = _apart(
        group, claim, paper, _relative_norm(group), arm,
        "Norm of the attention weights over that with whole decay, minus 1", below=0.1,
    )  # fmt: skip
    if verdict.observed == NOT_RUN:
        return verdict
    tells = all(_below(group, other, none) for other in below_none)
    names = " and ".join(f"“{other}”" for other in below_none)
    spared = f"“{none}” {_words(group, none, _relative_norm(group))}"
    return replace(
        verdict,
        observed=f"{verdict.observed}; {'' if none == RELEASED else spared + ', '}"
        f"{_dose_words(group)}",
        status=verdict.status if tells else "undecided",
        explanation=f"{verdict.explanation} Undecided unless “{none}” ends above {names}, "
        "95 % interval of the difference by seed.",
    )


def _below(group: EdgeGroup, arm: str, none: str) -> bool:
    norm, without, other = _relative_norm(group), group.rows[none], group.rows[arm]
    mean = mean_of(norm(without[seed]) - norm(other[seed]) for seed in without if seed in other)
    return mean is not None and decide(mean, above=0.0) == "holds"


def _dose_words(group: EdgeGroup) -> str:
    """The norm with no decay, and at the other doses."""
    norm = _relative_norm(group)
    others = [arm for arm in PUBLISHED_ARMS if arm not in (BASELINE, RELEASED)]
    return ", ".join(
        f"{'no decay' if arm == RELEASED else arm} {_words(group, arm, norm)}"
        for arm in (RELEASED, *others)
    )


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
