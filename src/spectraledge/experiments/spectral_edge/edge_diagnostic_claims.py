"""Runs, claims and what the rows say in `edge_diagnostics`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import nan

import numpy as np

from spectraledge.experiments.base import Scale
from spectraledge.experiments.row_values import mean_of, share_words, short, value_at
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DYCK,
    NO_DECAY,
    EdgeRegime,
    edge_regimes,
)
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup, measured_group
from spectraledge.experiments.spectral_edge.edge_study import over_seeds
from spectraledge.experiments.study import Known
from spectraledge.instruments import FunctionalResponse, PartEffect, SingularProbe
from spectraledge.lab.reading_curves import CurveNames
from spectraledge.lab.rows import Row
from spectraledge.report import Verdict
from spectraledge.series import Interval
from spectraledge.training import RunSpec

__all__ = [
    "BLOCKS",
    "EFFECT",
    "KINDS",
    "OUTPUT",
    "READ",
    "attention_share",
    "diagnostic_claims",
    "diagnostic_curve",
    "diagnostic_group",
    "diagnostic_runs",
    "matrix_of",
    "measured_steps",
]

KINDS = ("query", "key", "value", "attention_output")
# Representations where the paper takes them, and where the matrices read.
OUTPUT, READ = SingularProbe(), SingularProbe(place="input")
BLOCKS = FunctionalResponse(count=1, seeds=1, blocks=KINDS)
EFFECT = PartEffect(directions=1)
diagnostic_curve = CurveNames([OUTPUT, READ, BLOCKS, EFFECT])
# Published steps of singular directions; runs without decay go as far as the third.
PHASES = {"pre": 200, "at": 600, "post": 2000, "late": 5000}
CONTROL = "post"
# What counts as nearly nothing of a response.
LITTLE = 0.1


def diagnostic_steps(regime: EdgeRegime, scale: Scale) -> dict[str, int]:
    """Published steps by phase, or those of the smoke runs."""
    return dict(regime.functional_steps) if scale == "smoke" else PHASES


def measured_steps(group: EdgeGroup, scale: Scale, condition: str) -> list[int]:
    """Those of `diagnostic_steps` that the runs of a condition come to; none without runs."""
    steps = diagnostic_steps(group.regime, scale)
    last = steps["late" if condition == DECAY else CONTROL]
    return [step for step in steps.values() if step <= last] if group.rows[condition] else []


def diagnostic_runs(scale: Scale) -> dict[str, list[RunSpec]]:
    """Dyck-1 with decay, and without up to the third phase."""
    regime = edge_regimes(scale)[DYCK]
    steps = diagnostic_steps(regime, scale)
    # Two records more than a phase: rows of other studies, of other lengths, lack these readings.
    late, control = (steps[p] + 2 * regime.record_every for p in ("late", CONTROL))
    return {
        DECAY: regime.runs(steps=late),
        NO_DECAY: regime.runs(regime.chain(0.0), steps=control),
    }


def diagnostic_group(known: Known, scale: Scale) -> EdgeGroup:
    """The runs that are known and were measured."""
    needed = diagnostic_curve(EFFECT, "projection", "v1,gradient")
    return measured_group(known, DYCK, edge_regimes(scale)[DYCK], diagnostic_runs(scale), needed)


def diagnostic_claims(group: EdgeGroup, scale: Scale) -> list[Verdict]:
    """All verdicts."""
    steps = diagnostic_steps(group.regime, scale)
    late, control = steps["late"], steps[CONTROL]
    return [
        *(
            _reads_depth(group, probe, kind, directions, late, DECAY)
            for probe in (OUTPUT, READ)
            for kind in ("query", "key")
            for directions in ("v1", "v1 to v5")
        ),
        *(
            _reads_depth(group, probe, kind, "v1 to v5", control, NO_DECAY)
            for probe in (OUTPUT, READ)
            for kind in ("query", "key")
        ),
        _overlap(group, late, DECAY),
        _overlap(group, control, NO_DECAY),
        _by_values(group, late, DECAY),
        _by_values(group, control, NO_DECAY),
        _effects_differ(group),
        _gradient_helps(group),
    ]


def matrix_of(group: EdgeGroup, kind: str) -> str:
    """A matrix of the last layer, by name."""
    return f"layer{getattr(group.regime.model, 'layers', 1) - 1}.attention.{kind}"


def _reads_depth(
    group: EdgeGroup,
    probe: SingularProbe,
    kind: str,
    directions: str,
    step: int,
    condition: str,
) -> Verdict:
    label = f"{matrix_of(group, kind)},{directions}"
    own, chance = (diagnostic_curve(probe, output, label) for output in ("score", "random_score"))
    found = over_rows(
        group, condition, lambda r: value_at(r, own, step) - value_at(r, chance, step)
    )
    scores = [short(group.at(name, step, condition)) for name in (own, chance)]
    return over_seeds(
        f"{_condition(condition)}In the block's {probe.place}, directions {directions} of the "
        f"{kind} matrix read depth better than as many random ones, step {step}",
        "computed, no number given; no random directions",
        found,
        f"Scale-free R² of depth from the last block's {probe.place} along the leading right "
        "singular directions of its own matrix, minus that along random ones, by seed.",
        words=f"{scores[0]} against {scores[1]}: {short(found)} more",
        above=0.0,
    )


def _overlap(group: EdgeGroup, step: int, condition: str) -> Verdict:
    label = matrix_of(group, "query")
    names = [diagnostic_curve(OUTPUT, o, label) for o in ("span_overlap", "chance_overlap")]
    found = over_rows(
        group, condition, lambda r: value_at(r, names[0], step) - value_at(r, names[1], step)
    )
    overlap, chance = (group.at(name, step, condition) for name in names)
    first = group.at(diagnostic_curve(OUTPUT, "alignment", label), step, condition)
    return over_seeds(
        f"{_condition(condition)}Query and key read the same directions, step {step}",
        "computed, no number given; no chance level",
        found,
        "Mean squared cosine between the spans of five leading directions each, in the last "
        "layer, minus that of random spans.",
        words=f"{share_words(overlap)} against {share_words(chance)} by chance; first ones |cos| "
        f"{share_words(first)}",
        above=0.0,
    )


def through_attention(row: Row, step: int, direction: str = "v1") -> float:
    """Share of the parts of queries and keys in the squared responses of all four parts."""
    sizes = {
        kind: value_at(row, diagnostic_curve(BLOCKS, "size", f"{direction} {kind}"), step) ** 2
        for kind in KINDS
    }
    total = sum(sizes.values())
    return (sizes["query"] + sizes["key"]) / total if total > 0 else nan


def attention_share(
    group: EdgeGroup, condition: str, step: int, direction: str = "v1"
) -> Interval | None:
    """Mean over seeds of `through_attention`."""
    rows = group.rows[condition].values()
    return mean_of((through_attention(row, step, direction) for row in rows), 0.0, 1.0)


def _by_values(group: EdgeGroup, step: int, condition: str) -> Verdict:
    found = attention_share(group, condition, step)
    others = [
        share_words(attention_share(group, condition, step, direction))
        for direction in ("random", "weights")
    ]
    return over_seeds(
        f"{_condition(condition)}What v₁ changes hardly comes from where attention looks, "
        f"step {step}",
        "parts computed, no number given",
        found,
        "Squared change of the last norm's output along the entries of v₁ in W_Q and W_K, over "
        "the sum of that along the entries in each of the four kinds of matrices.",
        words=f"W_Q and W_K make {share_words(found)} of it; of a random direction {others[0]}, "
        f"of the weights {others[1]}",
        below=LITTLE,
    )


def _effect(row: Row, output: str, part: str) -> np.ndarray:
    """An output of `PartEffect` along v1, where gradient and decay are both known."""
    values = {
        p: row.curve(diagnostic_curve(EFFECT, "projection", f"v1,{p}"))[1]
        for p in ("gradient", "weight_decay")
    }
    known = np.isfinite(values["gradient"]) & np.isfinite(values["weight_decay"])
    return np.asarray(row.curve(diagnostic_curve(EFFECT, output, f"v1,{part}"))[1])[known]


def _effects_differ(group: EdgeGroup) -> Verdict:
    def differing(row: Row) -> float:
        signs = [np.sign(_effect(row, "projection", p)) for p in ("gradient", "weight_decay")]
        return float(np.mean(signs[0] != signs[1])) if signs[0].size else nan

    found = over_rows(group, DECAY, differing)
    return over_seeds(
        "The effects of the gradient's and of decay's part along v₁ are two measurements",
        "two effects; equal by construction where both parts have one sign",
        found,
        "Share of the records in which the last parts of gradient and decay have different signs "
        "along v₁; in all others the published effects are the same number.",
        words=f"they differ in {share_words(found)} of the records",
        above=0.5,
    )


def _gradient_helps(group: EdgeGroup) -> Verdict:
    def helping(row: Row) -> float:
        changes = _effect(row, "loss_change", "gradient")
        return float(np.mean(changes < 0)) if changes.size else nan

    found = over_rows(group, DECAY, helping)
    return over_seeds(
        "A step along v₁ in the sense of the gradient's part lowers the held-out loss",
        "computed, no number given",
        found,
        "Share of the records in which the held-out loss is lower after a step of 0.005 ‖θ‖.",
        words=f"it does in {share_words(found)} of the records",
        above=0.5,
    )


def over_rows(group: EdgeGroup, condition: str, value: Callable[[Row], float]) -> Interval | None:
    """Mean over the seeds of a condition; None without any."""
    values: Iterable[float] = (value(row) for row in group.rows[condition].values())
    return mean_of(values)


def _condition(condition: str) -> str:
    return "" if condition == DECAY else "Without decay: "
