"""Published numbers of SCAN beside planted runs of both sizes."""

import numpy as np
import pytest

from spectraledge.experiments.spectral_edge.edge_regimes import DECAY, NO_DECAY, SCAN, edge_regimes
from spectraledge.experiments.spectral_edge.edge_runs import (
    ATTENTION,
    EDGE,
    INSTRUMENTS,
    POSITIONS,
    SPLIT,
    EdgeGroup,
    curve_name,
)
from spectraledge.experiments.spectral_edge.late_claims import LATE_NUMBERS
from spectraledge.experiments.spectral_edge.published_numbers import (
    OTHER_LENGTH,
    OTHER_SIZE,
    number_rows,
    numbers_section,
)
from spectraledge.experiments.spectral_edge.scan_numbers import is_published_size, scan_numbers
from spectraledge.instruments import Window
from spectraledge.lab.reading_curves import _first_snapshot
from spectraledge.lab.rows import Row
from spectraledge.store import canonical_json, signature

FULL, REDUCED = (edge_regimes(scale)[SCAN] for scale in ("full", "demo"))


def row(regime, **curves):
    spec = regime.runs()[0]
    steps = np.arange(0, regime.steps + 1, regime.record_every)
    held = np.where(steps >= 4 * regime.record_every, 0.96, 0.9)
    found = {"step": steps, "lost_at": np.full(steps.size, -1), regime.metric: held}
    for name, values in curves.items():
        found[name] = np.broadcast_to(values, steps.shape).astype(float)
        found[f"{name.partition('/')[0]}/step"] = steps
    return Row(signature(spec), "planted", canonical_json(spec), "done", found, seconds=1.0)


def lines(regime, rows, **more):
    return {line[0]: line for line in number_rows(scan_numbers(regime), rows, 2024, **more)}


@pytest.mark.parametrize("regime", [FULL, REDUCED])
def test_every_number_has_a_name_of_its_own_and_a_step_of_the_run(regime):
    numbers = scan_numbers(regime)
    assert len({(n.quantity, n.condition) for n in numbers}) == len(numbers) > 50


def test_a_step_is_the_published_one_or_that_of_the_same_phase():
    share = curve_name(SPLIT, "energy_share", "gradient", "v1")
    for regime, words in ((FULL, "step 1000"), (REDUCED, "step 300 for 1000")):
        steps = np.arange(0, regime.steps + 1, regime.record_every)
        found = lines(regime, {DECAY: {2024: row(regime, **{share: steps / 1e4})}})
        step = int(words.split()[1])
        assert float(found[f"Gradient along v₁, {words}, {DECAY}"][2]) == step / 1e4
    # Runs of the published size end before 5000 steps, and say so; longer ones have 10,000.
    share = curve_name(SPLIT, "energy_share", "gradient", "v1")
    found = lines(FULL, {DECAY: {2024: row(FULL, **{share: 0.5})}})
    assert found[f"Gradient along v₁, step {FULL.steps} for 5000, {DECAY}"][2] == "0.5"
    assert not [quantity for quantity in found if "10000" in quantity]
    assert [n for n in scan_numbers(REDUCED) if "for 10000" in n.quantity]


def test_both_sizes_have_every_number():
    late = [n for n in LATE_NUMBERS if "step 10000" in n.quantity]
    full, reduced = (
        sorted((n.value, n.condition, n.kind) for n in numbers)
        for numbers in ((*scan_numbers(FULL), *late), scan_numbers(REDUCED))
    )
    assert full == reduced


def test_numbers_of_runs_that_go_on_are_those_of_the_runs_that_end_and_a_fourth_direction():
    def values(numbers):
        return {(n.quantity.split(", step")[0], n.value) for n in numbers}

    more = values(LATE_NUMBERS) - values(scan_numbers(FULL))
    fourth = "Sign of the alignment of gradient and decay along v4"
    later = {(q, value) for q, value in more if q != fourth}
    assert len(more) == len(later) + 1
    assert later <= values(scan_numbers(REDUCED))


def test_signs_and_largest_frequencies_are_numbers():
    alignment = curve_name(SPLIT, "alignment", "v3")
    frequency = curve_name(POSITIONS, "largest_frequency", "encoder.2")
    planted = row(FULL, **{alignment: -0.3, frequency: 1.0})
    found = lines(FULL, {DECAY: {2024: planted}})
    sign = (
        f"Sign of the alignment of gradient and decay along v3, step {FULL.steps} for 5000, {DECAY}"
    )
    assert found[sign][1:3] == ("-1", "-1")
    wave = "Positional Fourier, largest frequency, last layer of the encoder"
    wave = f"{wave}, end of {FULL.steps} steps"
    assert found[f"{wave}, {DECAY}"][1:3] == ("1", "1")


def test_controls_are_read_over_the_whole_run():
    steps = np.arange(0, FULL.steps + 1, FULL.record_every)
    second = np.sqrt(np.maximum(1.0 - steps / 1e4, 0.0))
    curves = {
        curve_name(EDGE, "singular_values", "v2"): second,
        curve_name(EDGE, "singular_values", "v3"): 0.0,
        curve_name(EDGE, "displacements"): 5.0,
    }
    planted = row(FULL, **curves)
    found = lines(FULL, {DECAY: {2024: planted}, NO_DECAY: {2024: planted}})
    # σ₂² falls from 1 to 0.8 at 2000, where the run generalises, and on to its end.
    words = "Fall of the gap, times, seed 2024 (published every 100 steps)"
    assert found[f"{words}, {DECAY}"][2] == "1.25"
    words = f"Fall of the gap over the run, times, {FULL.steps} steps for 20,000, seed 2024"
    fall = 1 / (1 - FULL.steps / 1e4)
    assert float(found[f"{words}, {NO_DECAY}"][2]) == pytest.approx(fall, rel=1e-2)
    assert found[f"Step of generalising, seed 2024, {DECAY}"][2] == "2000"


def test_entropies_are_means_over_layers_and_heads_that_the_model_has():
    labels = ATTENTION.labels(Window((_first_snapshot(FULL.runs()[0]),)))["attention"]
    curves = {
        curve_name(ATTENTION, "published_entropy", place, str(head)): float(k)
        for k, place in enumerate(labels)
        for head in range(4)
    }
    found = lines(FULL, {DECAY: {2024: row(FULL, **curves)}})
    own = [float(k) for k, place in enumerate(labels) if "cross" in place]
    quantity = f"Entropy of attention, cross-attention, padding counted, end of {FULL.steps} steps"
    assert float(found[f"{quantity}, {DECAY}"][2]) == pytest.approx(np.mean(own), abs=0.01)


def test_another_size_has_no_verdict():
    name = curve_name(POSITIONS, "largest_share", "decoder.1")
    rows = {DECAY: {seed: row(REDUCED, **{name: 0.2}) for seed in (42, 137, 2024)}}
    assert is_published_size(FULL)
    assert not is_published_size(REDUCED)
    found = lines(REDUCED, rows, same_size=False)
    assert {line[-1] for line in found.values()} == {OTHER_SIZE}
    group = EdgeGroup(SCAN, REDUCED, rows)
    assert len(numbers_section(scan_numbers(REDUCED), group, same_size=False)) == 1


def test_what_needs_longer_runs_has_no_verdict():
    steps = np.arange(0, FULL.steps + 1, FULL.record_every)
    curves = {
        curve_name(EDGE, "rotation", "v1"): 40.0,
        curve_name(EDGE, "singular_values", "v2"): np.linspace(1.4, 1.0, steps.size),
        curve_name(EDGE, "singular_values", "v3"): 0.0,
        curve_name(EDGE, "displacements"): 5.0,
    }
    planted = {seed: row(FULL, **curves) for seed in (42, 137, 2024)}
    found = lines(FULL, {DECAY: planted, NO_DECAY: planted})
    turned = f"Mean rotation of v1, degrees, {FULL.steps} steps for 15,000, {DECAY}"
    assert found[turned][1:] == ("7.7", "40", "40 [40, 40]", OTHER_LENGTH)
    control = f"{FULL.steps} steps for 20,000, seed 42, {NO_DECAY}"
    assert found[f"Gap at the end, {control}"][-1] == OTHER_LENGTH
    assert found[f"Largest gap, {control}"][-1] != OTHER_LENGTH


def test_what_the_numbers_need_is_measured():
    measured = {instrument for instrument, _ in INSTRUMENTS}
    assert {ATTENTION, POSITIONS, EDGE, SPLIT} <= measured
