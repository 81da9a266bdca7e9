"""The committed runs of Dyck-1, SCAN and modular addition against the published numbers.

Seeds are our own: seed 42 draws other weights and batches than the published one, so single runs
are compared with ranges and means over seeds with their scatter.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from spectraledge.experiments.base import Scale
from spectraledge.experiments.row_values import value_at
from spectraledge.experiments.spectral_edge.edge_regimes import (
    DECAY,
    DYCK,
    MODULAR,
    NO_DECAY,
    SCAN,
    SHUFFLED,
)
from spectraledge.experiments.spectral_edge.edge_runs import (
    ABLATION,
    EDGE,
    SPLIT,
    SPLITS,
    EdgeGroup,
    counted_windows,
    curve_name,
    edge_groups,
    flip_steps,
)
from spectraledge.experiments.spectral_edge.flip_claims import flips, window_end
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger

LEDGER = Path(__file__).parents[2] / "results" / "ledger.parquet"


@cache
def group(task: str, scale: Scale = "demo") -> EdgeGroup:
    return edge_groups(Known(Ledger.read(LEDGER), None), scale)[task]


def removal(output: str, what: str) -> str:
    return curve_name(ABLATION, output, what)


def test_five_seeds_of_every_condition_are_there():
    for condition in (DECAY, NO_DECAY, SHUFFLED):
        assert len(group(DYCK).rows[condition]) == 5
    assert len(group(MODULAR).rows[DECAY]) == len(group(MODULAR).rows[NO_DECAY]) == 5


def test_the_published_seed_lives_through_the_published_phases():
    row, grokked = group(DYCK).rows[DECAY][42], group(DYCK).grok_steps()[42]
    assert 400 <= grokked <= 1000
    steps, share = counted_windows(row, SPLIT, 100)
    assert share[(steps >= 300) & (steps <= 1000)].min() < 0.2
    assert np.mean(share[steps > 1500] > 0.5) > 0.5


@pytest.mark.parametrize(("step", "published", "scatter"), [(300, 0.976, 0.02), (600, 0.053, 0.03)])
def test_the_split_of_the_edge_has_its_published_digits(step, published, scatter):
    # Three seeds of the independent replication scatter by 0.012 and 0.006; ours by 0.006, 0.013.
    shares = [
        value_at(row, curve_name(SPLIT, "energy_share", "gradient", "v1"), step)
        for row in group(DYCK).rows[DECAY].values()
    ]
    assert np.mean(shares) == pytest.approx(published, abs=scatter)


@pytest.mark.parametrize(("step", "published", "scatter"), [
    (1000, 0.887, 0.02), (2500, 0.523, 0.04), (3000, 0.002, 0.01),
])  # fmt: skip
def test_scan_at_the_published_size_has_the_published_digits(step, published, scatter):
    # An independent replication of the published seed has 0.887, 0.522 and 0.0017 at these steps,
    # the paper 0.002 at step 5000; this seed draws other weights and batches.
    row = group(SCAN, "full").rows[DECAY][2024]
    share = value_at(row, curve_name(SPLIT, "energy_share", "gradient", "v1"), step)
    assert share == pytest.approx(published, abs=scatter)


def test_first_flips_of_dyck_come_with_the_window_and_not_with_generalising():
    for split in SPLITS:
        cadence = split.stride * 100
        assert all(abs(f - window_end(group(DYCK), split)) <= cadence
                   for f in flips(group(DYCK), split))  # fmt: skip
    assert len(set(group(DYCK).grok_steps().values())) > 1
    assert all(np.isfinite(flips(group(DYCK), SPLIT, SHUFFLED)))


def test_modular_addition_flips_long_before_and_when_it_generalises():
    near = []
    for split in SPLITS:
        for row, grokked in zip(
            group(MODULAR).rows[DECAY].values(), group(MODULAR).grok_steps().values()
        ):
            found = flip_steps(row, split, 100)
            assert found[0] < grokked - 1000
            near.append(np.abs(found - grokked).min() <= split.stride * 100)
    # By chance a fifth of them would be; see the page of the study.
    assert sum(near) >= 0.8 * len(near)


def test_the_late_edge_is_fatal_and_so_is_as_much_at_random():
    changes = {
        what: np.mean([
            value_at(row, removal("accuracy_change", what), 3900)
            for row in group(DYCK).rows[DECAY].values()
        ])
        for what in ("edge", "matched")
    }  # fmt: skip
    # Published: -0.58 with a deviation of 0.09 over three seeds.
    assert changes["edge"] == pytest.approx(-0.58, abs=0.18)
    # A third of what the edge costs; the published control, which removes less, costs below 1e-4.
    assert changes["matched"] < -0.58 / 3


def test_without_decay_the_early_edge_is_special_and_the_late_one_is_not():
    rows = group(DYCK).rows[NO_DECAY].values()
    early, matched, late = (
        np.mean([value_at(row, removal("accuracy_change", what), step) for row in rows])
        for what, step in (("edge", 200), ("matched", 200), ("edge", 3000))
    )
    # The replication found -0.338 and 0.000 at step 200, -0.031 late; seeds scatter by 0.06, 0.01.
    assert early == pytest.approx(-0.338, abs=0.12)
    assert abs(matched) < 0.03
    assert late == pytest.approx(-0.031, abs=0.06)


def test_rotations_are_the_published_ones():
    means = [
        np.mean([
            np.nanmean(row.curve(curve_name(EDGE, "rotation", v))[1])
            for row in group(DYCK).rows[DECAY].values()
        ])
        for v in ("v1", "v2", "v3")
    ]  # fmt: skip
    # Those of single seeds scatter by 1, 6 and 8 degrees.
    assert means == pytest.approx([17.8, 41.7, 51.6], abs=4)
