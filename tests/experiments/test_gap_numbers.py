"""The published table of the gap, read off planted windows."""

import numpy as np
import pytest

from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, DENSE, DYCK, edge_regimes
from spectraledge.experiments.spectral_edge.edge_runs import COARSE_EDGE, NARROW_EDGE, curve_name
from spectraledge.experiments.spectral_edge.gap_numbers import GAP_NUMBERS, Until, grok_step
from spectraledge.experiments.spectral_edge.published_numbers import number_rows
from spectraledge.lab.rows import Row
from spectraledge.store import canonical_json, signature

REGIME = edge_regimes("demo")[DYCK]
STEPS = np.arange(0, 1001, 100)


def row(grokked=800, edge=COARSE_EDGE):
    """σ₂² is 10 at first and falls by one a record; σ₃² is 1 from the third displacement on."""
    spec = REGIME.runs()[0]
    widths = np.minimum(np.arange(len(STEPS)) // 2, 3).astype(float)
    second = np.where(widths >= 2, np.sqrt(10.0 - np.arange(len(STEPS)) / 2), np.nan)
    third = np.where(widths >= 3, 1.0, np.nan)
    curves = {
        "step": STEPS,
        "lost_at": np.full(STEPS.size, -1),
        "validation_accuracy": np.where(grokked <= STEPS, 0.97, 0.8),
    }
    outputs = {
        ("displacements",): widths,
        ("singular_values", "v2"): second,
        ("singular_values", "v3"): third,
        ("gap_ratio",): np.where(widths >= 2, STEPS / 100.0, np.nan),
        ("rank_at_gap",): np.where(widths >= 2, np.where(STEPS < 700, 1.0, 2.0), np.nan),
    }
    for output, values in outputs.items():
        name = curve_name(edge, *output)
        curves[name] = values
        curves[curve_name(edge, "step")] = STEPS
    return Row(signature(spec), "planted", canonical_json(spec), "done", curves, seconds=1.0)


def test_windows_of_two_count_as_published_and_only_those_until_generalising():
    windows = Until(COARSE_EDGE, 200)
    # Two displacements at 400: σ₂² alone. At 600 and 800: σ₂² − 1; nothing afterwards.
    assert windows.gap(row()) == pytest.approx([8.0, 6.0, 5.0])
    assert windows.ratio(row()).tolist() == [4.0, 6.0, 8.0]
    assert Until(COARSE_EDGE, 100).gap(row()) == pytest.approx([8.0, 7.5, 6.0, 5.5, 5.0])


def test_runs_that_do_not_generalise_or_were_not_measured_have_no_numbers():
    assert np.isnan(grok_step(row(grokked=np.inf)))
    assert Until(COARSE_EDGE, 200).gap(row(grokked=np.inf)).size == 0
    assert Until(NARROW_EDGE, 50).gap(row()).size == 0
    assert number_rows(GAP_NUMBERS, {DECAY: {137: row(grokked=np.inf)}}, 42) == []


def test_each_line_is_of_its_own_seed():
    rows = {DECAY: {137: row(800), 2024: row(600)}, DENSE: {42: row(1000, NARROW_EDGE)}}
    lines = {line[0]: line[2] for line in number_rows(GAP_NUMBERS, rows, 42)}
    assert lines[f"Step of generalising, seed 137, {DECAY}"] == "800"
    assert lines[f"Step of generalising, seed 2024, {DECAY}"] == "600"
    assert lines[f"Step of generalising, seed 42, {DENSE}"] == "1000"
    assert lines[f"Largest gap until then, seed 137, {DECAY}"] == "8"
    assert lines[f"Gap then, seed 2024, {DECAY}"] == "6"
    assert lines[f"Fall of the gap, times, seed 137, {DECAY}"] == "1.6"
    assert lines[f"Mean ratio at the gap until then, seed 137, {DECAY}"] == "6"
    assert lines[f"Ratio at the gap then, seed 137, {DECAY}"] == "8"
    assert lines[f"Rank at the gap, most often, seed 137, {DECAY}"] == "1"
