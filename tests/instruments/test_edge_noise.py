"""Which singular values stand out, with planted directions."""

import pytest
import torch
from functional_problems import gaussian

from spectraledge.instruments import EdgeNoise, Observer, Window, instrument_key
from spectraledge.instruments.update_window import UpdateWindow
from spectraledge.snapshots import Layout, Snapshot

LAYOUT = Layout(("a.query.weight", "a.norm.weight"), ((40, 32), (5,)))
D, P, RUNS = 1280, 1285, 2
INSTRUMENT = EdgeNoise(kinds=("query",), block=32)


def trajectory(steps: torch.Tensor) -> list[Snapshot]:
    """Snapshots of two runs that move by the steps ``(w, P)`` and by twice as much."""
    path = torch.cat([torch.zeros(1, P).double(), steps.cumsum(0)])
    return [Snapshot(t, LAYOUT, torch.stack([p, 2 * p])) for t, p in enumerate(path)]


def planted(*sizes: float, noise: float = 1.0) -> list[Snapshot]:
    """Steps of white noise of length about `noise`, with common directions of given lengths."""
    steps = noise * gaussian(5, P) / P**0.5
    for k, size in enumerate(sizes):
        direction = torch.nn.functional.normalize(gaussian(P, seed=10 + k), dim=0)
        # Coefficients of different directions are orthogonal, so that they are the components.
        wave = torch.cos(torch.pi * k * (torch.arange(5.0).double() + 0.5) / 5)
        steps += size * wave.unsqueeze(1) * direction
    return trajectory(steps)


def measured(snapshots, instrument=INSTRUMENT):
    return instrument.measure(Window(tuple(snapshots)))


@pytest.mark.parametrize(("sizes", "above"), [((), 0), ((2.0,), 1), ((2.0, 2.0), 2)])
def test_planted_directions_are_counted(sizes, above):
    assert measured(planted(*sizes))["above"].tolist() == [above] * RUNS


def test_noise_is_rarely_above():
    found = 0
    for seed in range(60):
        steps = gaussian(5, P, seed=seed) / P**0.5
        found += measured(trajectory(steps))["above"][0] > 0
    # One in a hundred by construction; four or more of 60 have a probability of 0.4 %.
    assert found < 4


def test_values_are_those_of_the_window_and_lengths_do_not_matter():
    snapshots = planted(1.0)
    found = measured(snapshots)
    expected = UpdateWindow.of(snapshots, ("query",), 5).spectrum.values
    torch.testing.assert_close(found["singular_values"], expected, rtol=1e-10, atol=0)
    for name in ("excess", "above"):
        torch.testing.assert_close(found[name][0], found[name][1], rtol=1e-12, atol=0)
    torch.testing.assert_close(found["threshold"][1], 2 * found["threshold"][0], rtol=1e-12, atol=0)
    torch.testing.assert_close(
        found["excess"], found["singular_values"] / found["threshold"], rtol=1e-12, atol=0
    )
    assert (found["by_chance"][:, 0] < found["threshold"][:, 0]).all()


def test_short_windows_tell_what_they_hold():
    observer = Observer([INSTRUMENT])
    readings = [observer.observe(s)[instrument_key(INSTRUMENT)] for s in planted(2.0)]
    for updates, reading in enumerate(readings):
        assert reading["excess"][0].isfinite().sum() == updates
    assert readings[0]["above"].isnan().all()
    # A single displacement is as long as ever, and stands out of nothing.
    assert readings[1]["above"].tolist() == [0] * RUNS
    assert readings[2]["above"].tolist() == [1] * RUNS


def test_a_run_that_stands_still_or_is_lost_has_nothing_above():
    still = measured(trajectory(torch.zeros(5, P).double()))
    assert still["above"].tolist() == [0] * RUNS
    assert still["excess"].isnan().all()
    snapshots = planted(2.0)
    snapshots[-1].parameters[0, 3] = torch.nan
    lost, fine = measured(snapshots), measured(planted(2.0))
    assert lost["above"][0].isnan()
    assert lost["above"][1] == fine["above"][1]


def test_the_same_seed_gives_the_same_threshold():
    snapshots = planted(1.0)
    first, again = measured(snapshots), measured(snapshots)
    other = measured(snapshots, EdgeNoise(kinds=("query",), block=32, seed=1))
    assert torch.equal(first["threshold"], again["threshold"])
    assert not torch.equal(first["threshold"], other["threshold"])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"window": 1}, "window >= 2, got 1"),
        ({"flips": 10}, "flips >= 20, got 10"),
        ({"block": 0}, "block >= 1, got 0"),
        ({"quantile": 1.0}, r"quantile in \(0.5, 1\), got 1.0"),
        ({"kinds": ("quary",)}, "did you mean 'query'"),
    ],
)
def test_errors(wrong, message):
    with pytest.raises(ValueError, match=message):
        EdgeNoise(**wrong)
