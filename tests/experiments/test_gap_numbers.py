"""The published table of the gap, read off planted windows."""

from dataclasses import replace

import numpy as np
import pytest

from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DENSE,
    DYCK,
    NO_DECAY,
    edge_regimes,
)
from spectraledge.experiments.spectral_edge.edge_runs import (
    COARSE_EDGE,
    NARROW_EDGE,
    WIDE_EDGE,
    curve_name,
)
from spectraledge.experiments.spectral_edge.gap_numbers import (
    GAP_NUMBERS,
    Until,
    falls_steadily,
    grok_step,
)
from spectraledge.experiments.spectral_edge.modular_numbers import UNTIL
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
    lines = number_rows(GAP_NUMBERS, {DECAY: {137: row(grokked=np.inf)}}, 42)
    known = [line[0] for line in lines if line[-1] != "not run"]
    # Of a run that does not generalise, that, and the rank over the whole of it.
    assert known == [
        f"Rank at the gap over the run, most often, seed 137, {DECAY}",
        f"Rank at the gap over the run, most often, seed 2024, {DECAY}",
        f"Runs that generalise, {DECAY}",
    ]


def test_full_windows_alone_count_where_they_do_in_the_paper():
    full = Until(COARSE_EDGE, 200, least=3)
    # Two displacements at 400 are left out.
    assert full.gap(row()) == pytest.approx([6.0, 5.0])
    assert full.ratio(row()).tolist() == [6.0, 8.0]
    # Windows of modular addition have ten displacements, of which none here has.
    narrow = row(edge=WIDE_EDGE)
    assert UNTIL.ratio(narrow).size == 0
    assert replace(UNTIL, least=3).ratio(narrow).size == 3


def test_a_fall_is_steady_with_one_rise_at_most():
    assert falls_steadily(np.array([1.0, 9.0, 5.0, 6.0, 2.0])) == 1.0
    assert falls_steadily(np.array([9.0, 5.0, np.nan, 6.0, 2.0, 3.0])) == 0.0


def test_runs_are_counted_over_all_seeds():
    decay = {seed: row(800 if seed else np.inf) for seed in range(4)}
    lines = {line[0]: line for line in number_rows(GAP_NUMBERS, {DECAY: decay, NO_DECAY: decay}, 0)}
    assert lines[f"Runs that generalise, {DECAY}"][1:4] == ("3 of 3", "no", "0.75 [0.194, 0.994]")
    assert lines[f"Runs that generalise, 3000 steps for 10,000, {NO_DECAY}"][1] == "0 of 3"
    # Windows of 400 and 600 have rank 1, those of 800 and 1000 rank 2; the lower one is told.
    (rank,) = [line for name, line in lines.items() if name.startswith("Runs whose rank")]
    assert rank[1:3] == ("3 of 3", "yes")


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
    assert lines[f"Rank at the gap over the run, most often, seed 137, {DECAY}"] == "1"
    assert lines[f"Gap falls with at most one rise, seed 137, {DECAY}"] == "yes"
