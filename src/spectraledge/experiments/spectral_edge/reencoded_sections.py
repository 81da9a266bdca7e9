"""Figures and tables of `reencoded_not_lost`."""

from __future__ import annotations

from spectraledge.experiments.row_values import share_words, short
from spectraledge.experiments.spectral_edge.dyck_probes import (
    ATTENTION,
    COMPOSITION,
    COORDINATE,
    POSITIONS,
    PROBE,
    RESPONSE,
    probe_curve,
)
from spectraledge.experiments.spectral_edge.edge_runs import EdgeGroup
from spectraledge.experiments.spectral_edge.edge_study import drawn
from spectraledge.experiments.spectral_edge.probe_numbers import PROBE_NUMBERS
from spectraledge.experiments.spectral_edge.published_numbers import numbers_section
from spectraledge.experiments.spectral_edge.reencoded_claims import (
    last_block,
    probed,
    readout,
)
from spectraledge.instruments.depth_composition import READINGS
from spectraledge.report import Reference, Section, Table

__all__ = ["reencoded_sections"]

READERS = ("linear", "quadratic", "mlp")
DIRECTIONS = ("v1", "v2", "v3", "v4", "random", "weights")
SHARE = (-0.03, 1.03)


def reencoded_sections(group: EdgeGroup) -> list[Section]:
    """Probes, attention, response, and the coordinate that is found by itself."""
    return [
        _probe_section(group), _attention_section(group), _response_section(group),
        _coordinate_section(group), _composition_section(group),
        *numbers_section(PROBE_NUMBERS, group),
    ]  # fmt: skip


def _probe_section(group: EdgeGroup) -> Section:
    figures = [
        *drawn(group, group.regime.metric, "Held-out accuracy", "accuracy", shown=SHARE),
        *drawn(
            group, probed(group, "published_score", "linear"), "Linear probe, published", "R²",
            shown=SHARE,
        ),
        *drawn(
            group, probed(group, "score", "linear"), "Linear probe, scale-free", "R²", shown=SHARE
        ),
        *drawn(
            group, probe_curve(PROBE, "spread", last_block(group)), "Spread of the features", "",
            log=True,
        ),
        *drawn(group, readout("score"), "Depth that the output expects", "R²", shown=SHARE),
    ]  # fmt: skip
    rows = [
        _probe_row(group, condition, reader, step)
        for condition in group.rows
        if group.rows[condition]
        for reader in READERS
        for step in group.regime.functional_steps.values()
    ]
    columns = ("last block", "published", "scale-free", "untrained", "shuffled labels")
    table = Table(columns, rows, "Test R².")
    return Section("Probes of depth", "", [*figures, table, _readout_table(group)])


def _probe_row(group: EdgeGroup, condition: str, reader: str, step: int) -> tuple[str, ...]:
    when = group.when([probed(group, "score", reader)], step, condition)
    return (
        f"{condition}, {reader}, {when}",
        *(
            share_words(group.at(probed(group, output, reader), step, condition))
            for output in ("published_score", "score", "untrained", "shuffled")
        ),
    )


def _readout_table(group: EdgeGroup) -> Table:
    """What the network itself says of depth, beside which a probe is more or less."""
    outputs = ("score", "accuracy")
    rows = [
        (f"{condition}, {group.when([readout('score')], step, condition)}", *(
            share_words(group.at(readout(output), at, condition))
            for at in (step, 0)
            for output in outputs
        ))
        for condition, known in group.rows.items()
        if known
        for step in group.regime.functional_steps.values()
    ]  # fmt: skip
    columns = ("the network's own output", "R²", "tokens right", "R², untrained",
               "tokens right, untrained")  # fmt: skip
    caption = "R² of the depth that the output expects, rows of the training set left out."
    return Table(columns, rows, caption)


def _attention_section(group: EdgeGroup) -> Section:
    layers = getattr(group.regime.model, "layers", 1)
    figures = []
    for layer in range(layers):
        name = f"blocks.{layer}.attention"
        even = group.at(probe_curve(ATTENTION, "uniform_entropy", name), 0)
        lines = () if even is None else (Reference(even.centre, "even", axis="y"),)
        figures += drawn(
            group, probe_curve(ATTENTION, "entropy", name, "0"), f"Entropy, layer {layer}, head 0",
            "nat", references=lines,
        )  # fmt: skip
    return Section("Attention", "Labelled queries only; even attention has the line.", figures)


def _response_section(group: EdgeGroup) -> Section:
    outputs = ("size", "published_score", "score", "elevation", "weighted_concentration")
    rows = [
        (f"step {step}, {direction}", *(
            short(group.at(probe_curve(RESPONSE, output, direction), step)) for output in outputs
        ))
        for step in group.regime.functional_steps.values()
        for direction in DIRECTIONS
    ]  # fmt: skip
    columns = ("with decay", "size of Δh", "R², published", "R², scale-free", "elevation",
               "one frequency's share, weighted")  # fmt: skip
    text = (
        "The final representation is moved by a step of 0.5 % of the attention weights along each "
        "direction. Elevation: largest share of a frequency over depths, times their number."
    )
    return Section("Response along directions", text, [Table(columns, rows)])


def _coordinate_section(group: EdgeGroup) -> Section:
    found = sorted({
        name for rows in group.rows.values() for row in rows.values() for name in row.curves
        if name.startswith((probe_curve(COORDINATE, ""), probe_curve(POSITIONS, "")))
        and not name.endswith("/step")
    })  # fmt: skip
    late = group.regime.functional_steps["late"]
    rows = [
        (name.partition("/")[2], *(short(group.at(name, late, c)) for c in group.rows))
        for name in found
    ]
    text = (
        "What the output reads, found without knowing of depth: directions of the representation "
        "by reduced-rank regression on the log-probabilities, scored on held-out rows; and the "
        "spectrum of the representation over positions."
    )
    columns = (f"step {late}", *group.rows)
    return Section("A coordinate without its name", text, [Table(columns, rows)])


def _composition_section(group: EdgeGroup) -> Section:
    late = group.regime.functional_steps["late"]
    rows = [
        (
            f"{output.replace('_', ' ')}, {reading}" if reading else output.replace("_", " "),
            *(
                short(group.at(probe_curve(COMPOSITION, output, *filter(None, [reading])), late, c))
                for c in group.rows
            ),
        )
        for output, declared in COMPOSITION.outputs.items()
        for reading in (READINGS if declared.axes else ("",))
    ]
    text = (
        "Depth from parts of the input, and parts of the input from the last block. Crossed "
        "features contain the count of open brackets, which is the depth: their score is 1 "
        "whatever was trained. Below, the means of the classes of depth."
    )
    return Section("Where depth comes from", text, [Table((f"step {late}", *group.rows), rows)])
