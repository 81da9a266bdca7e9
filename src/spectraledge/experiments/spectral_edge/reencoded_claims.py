"""Claims of `reencoded_not_lost`, and what the rows say of each."""

from __future__ import annotations

from math import nan

from spectraledge.experiments.row_values import mean_of, share_words, short, value_at
from spectraledge.experiments.seed_intervals import geometric_interval
from spectraledge.experiments.spectral_edge.dyck_probes import (
    ATTENTION,
    PROBE,
    probe_curve,
)
from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, NO_DECAY
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup
from spectraledge.experiments.spectral_edge.edge_study import over_seeds
from spectraledge.experiments.spectral_edge.reencoded_content import by_condition, content_claims
from spectraledge.lab.rows import Row
from spectraledge.report import Verdict
from spectraledge.series import Interval

__all__ = ["last_block", "probed", "readout", "reencoded_claims", "relative_entropy"]

HEADS = ("0", "1", "2", "3")


def last_block(group: EdgeGroup) -> str:
    """Name of the last block of the network."""
    return f"blocks.{getattr(group.regime.model, 'layers', 1) - 1}"


def probed(group: EdgeGroup, output: str, reader: str) -> str:
    """Curve of a probe of the last block."""
    return probe_curve(PROBE, output, last_block(group), reader)


def readout(output: str) -> str:
    """Curve of what the network's own output says of depth: ``score`` or ``accuracy``."""
    return probe_curve(PROBE, f"readout_{output}")


def relative_entropy(row: Row, step: float, layers: int) -> float:
    """Mean entropy of attention over that of even attention, over layers and heads."""
    found = []
    for layer in range(layers):
        name = f"blocks.{layer}.attention"
        even = value_at(row, probe_curve(ATTENTION, "uniform_entropy", name), step)
        heads = [
            value_at(row, probe_curve(ATTENTION, "entropy", name, head), step) for head in HEADS
        ]
        there = [value for value in heads if value == value]
        found.append(sum(there) / len(there) / even if there else nan)
    return sum(found) / len(found)


def reencoded_claims(group: EdgeGroup) -> list[Verdict]:
    """All verdicts."""
    at, late = (group.regime.functional_steps[phase] for phase in ("at", "late"))
    return [
        _linear_falls(group, at, late), _nonlinear_stays(group, late), _scale_free(group, late),
        _smaller(group, at, late), _memorised(group, late), _quadratic(group, late),
        *(_selective(group, late, reader) for reader in ("linear", "quadratic", "mlp")),
        _own_reading(group, late), _even_attention(group, late),
        _not_attention_without(group, late), *content_claims(group),
    ]  # fmt: skip


def _difference(group: EdgeGroup, name: str, late: int, at: int) -> Interval | None:
    return mean_of(
        value_at(row, name, late) - value_at(row, name, at) for row in group.rows[DECAY].values()
    )


def _linear_falls(group: EdgeGroup, at: int, late: int) -> Verdict:
    name = probed(group, "published_score", "linear")
    own = group.at(name, late)
    return over_seeds(
        f"The published linear probe reads depth worse at step {late} than at {at}",
        "0.862 ± 0.011 late, 0.982 ± 0.003 at grokking; seed 42: 0.667",
        _difference(group, name, late, at),
        "Difference of test R², last block.",
        words=f"{share_words(own)} late, {share_words(group.at(name, at))} at grokking",
        below=0.0,
    )


def _nonlinear_stays(group: EdgeGroup, late: int) -> Verdict:
    mean = group.at(probed(group, "published_score", "mlp"), late)
    return over_seeds(
        "A nonlinear probe reads it as before", "0.990 ± 0.002", mean,
        "Test R² of the published mlp, last block.", words=share_words(mean), above=0.97,
    )  # fmt: skip


def _scale_free(group: EdgeGroup, late: int) -> Verdict:
    mean = group.at(probed(group, "score", "linear"), late)
    return over_seeds(
        "What is lost to the linear probe is linear no more", "nonlinear re-encoding", mean,
        "Test R² of the scale-free linear probe, last block.",
        words=f"scale-free linear probe {share_words(mean)}; the network's own output "
        f"{share_words(group.at(readout('score'), late))}",
        below=0.97,
    )  # fmt: skip


def _smaller(group: EdgeGroup, at: int, late: int) -> Verdict:
    name = probe_curve(PROBE, "spread", last_block(group))
    ratio = geometric_interval([
        (seed, value_at(row, name, at) / value_at(row, name, late))
        for seed, row in group.rows[DECAY].items()
    ])  # fmt: skip
    return over_seeds(
        "Features shrink under decay", "not measured", ratio,
        f"Spread of the features at step {at} over that at {late}, geometric mean.",
        words=f"{short(ratio)} times smaller", above=2.0,
    )  # fmt: skip


def _memorised(group: EdgeGroup, late: int) -> Verdict:
    free = probed(group, "score", "linear")
    mean = by_condition(group, free, late)
    words = (
        f"with decay {share_words(group.at(free, late))}, without "
        f"{share_words(group.at(free, late, NO_DECAY))}"
    )
    return over_seeds(
        "Networks without decay keep depth more linear", "0.94 against 0.86", mean,
        "Scale-free linear R² with decay minus without, by seed.", words=words, below=0.0,
    )  # fmt: skip


def _quadratic(group: EdgeGroup, late: int) -> Verdict:
    mean = group.at(probed(group, "score", "quadratic"), late)
    published, untrained = (
        group.at(probed(group, output, "quadratic"), late)
        for output in ("published_score", "untrained")
    )
    return over_seeds(
        "A quadratic probe fails too", "0.591 (seed 42)", mean,
        "Test R² of the scale-free quadratic probe, last block.",
        words=f"published {share_words(published)}, scale-free {share_words(mean)}; untrained "
        f"network {share_words(untrained)}",
        below=0.97,
    )  # fmt: skip


def _entropies(group: EdgeGroup, step: int, condition: str) -> Interval | None:
    layers = getattr(group.regime.model, "layers", 1)
    return mean_of(
        (relative_entropy(row, step, layers) for row in group.rows[condition].values()), 0.0, 1.0
    )


def _even_attention(group: EdgeGroup, late: int) -> Verdict:
    mean = _entropies(group, late, DECAY)
    return over_seeds(
        "Decay makes attention even", "2.27 to 2.28 of 2.2826 nats, padding counted", mean,
        "Entropy over that of even attention, labelled queries, mean over layers and heads.",
        words=share_words(mean), above=0.97,
    )  # fmt: skip


def _not_attention_without(group: EdgeGroup, late: int) -> Verdict:
    mean = _entropies(group, late, NO_DECAY)
    return over_seeds(
        "Without decay attention stays sharp", "heads down to 1.02 nats", mean,
        "The same without decay.", words=share_words(mean), below=0.97,
    )  # fmt: skip


def _selective(group: EdgeGroup, late: int, reader: str) -> Verdict:
    gain = mean_of(
        value_at(row, probed(group, "score", reader), late)
        - value_at(row, probed(group, "untrained", reader), late)
        for row in group.rows[DECAY].values()
    )
    own, before, shuffled, one = (
        group.at(probed(group, output, reader), late)
        for output in ("score", "untrained", "shuffled", "random_direction")
    )
    return over_seeds(
        f"Training makes depth readable to the {reader} probe", "no control", gain,
        f"Scale-free {reader} R² late minus that of the untrained network.",
        words=f"{share_words(own)}; untrained {share_words(before)}, shuffled labels "
        f"{share_words(shuffled)}, one random direction {share_words(one)}",
        above=0.02,
    )  # fmt: skip


def _own_reading(group: EdgeGroup, late: int) -> Verdict:
    (own, right), (other, others_right) = (
        [group.at(readout(output), late, condition) for output in ("score", "accuracy")]
        for condition in (DECAY, NO_DECAY)
    )
    return over_seeds(
        "The network itself tells depth better with decay than without", "not measured",
        by_condition(group, readout("score"), late),
        "R² of the depth that its output expects, with decay minus without, by seed.",
        words=f"R² {share_words(own)} with, {share_words(other)} without; tokens right "
        f"{share_words(right)} and {share_words(others_right)}",
        above=0.0,
    )  # fmt: skip
