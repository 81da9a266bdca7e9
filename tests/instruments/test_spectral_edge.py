"""The spectral edge of planted trajectories, streamed and at once."""

import math

import pytest
import torch

from spectraledge.instruments import Observer, SpectralEdge, UpdateDecomposition, Window
from spectraledge.linalg import CountSketch
from spectraledge.snapshots import Layout, Snapshot

LAYOUT = Layout(("blocks.0.attn.query.weight", "head.weight"), ((6, 5), (3, 4)))
EDGE = SpectralEdge(window=4, kinds=("query",))


def snapshots(points: torch.Tensor) -> list[Snapshot]:
    """Points ``(T, R, 30)`` of the query weights; the head moves wildly."""
    chance = torch.Generator().manual_seed(1)
    heads = 100 * torch.randn(len(points), points.shape[1], 12, generator=chance)
    return [
        Snapshot(100 * t, LAYOUT, torch.cat([point.float(), head], 1))
        for t, (point, head) in enumerate(zip(points, heads))
    ]


def walk(count=9, runs=2):
    chance = torch.Generator().manual_seed(0)
    return torch.randn(count, runs, 30, generator=chance).cumsum(0)


def observed(points, instrument=EDGE):
    observer = Observer([instrument])
    (key,) = observer.instruments
    return [observer.observe(s)[key] for s in snapshots(points)]


def test_readings_are_those_of_the_thin_svd():
    points = walk()
    readings = observed(points)
    for t in range(3, 9):
        first = max(0, t - 4)
        steps = (points[first + 1 : t + 1] - points[first:t]).double().transpose(0, 1)
        expected = torch.linalg.svdvals(steps)
        found = readings[t]["singular_values"]
        # The walk is stored in float32, a relative 1e-7 of points of norm 15.
        torch.testing.assert_close(found[:, : expected.shape[1]], expected, rtol=1e-5, atol=1e-5)
        assert found[:, expected.shape[1] :].isnan().all()
        assert readings[t]["displacements"].tolist() == [float(t - first)] * 2


def test_a_stream_of_fifty_is_fifty_decompositions():
    count, size = 50, 50_000
    chance = torch.Generator().manual_seed(2)
    layout = Layout(("blocks.0.attn.query.weight",), ((size // 250, 250),))
    points = torch.randn(count + 1, 1, size, generator=chance, dtype=torch.float64).cumsum(0)
    observer = Observer([SpectralEdge(window=5, kinds=("query",))])
    (key,) = observer.instruments
    before = None
    for t in range(count + 1):
        found = observer.observe(Snapshot(100 * t, layout, points[t]))[key]
        if t < 5:
            continue
        steps = (points[t - 4 : t + 1] - points[t - 5 : t])[:, 0]
        _, values, directions = torch.linalg.svd(steps, full_matrices=False)
        # Gram matrices square the condition number, which is about 1 here: 1e-16 · 50,000 terms.
        torch.testing.assert_close(found["singular_values"][0], values, rtol=1e-8, atol=0)
        if before is not None:
            cosines = (directions * before).sum(1).abs()
            angles = torch.rad2deg(torch.arccos(cosines.clamp(max=1)))[:3]
            torch.testing.assert_close(found["rotation"][0, :3], angles, rtol=1e-6, atol=0)
        before = directions


def test_decay_alone_does_not_turn():
    point = torch.randn(1, 30, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    shrinking = torch.stack([point * 0.9**t for t in range(12)])
    last = observed(shrinking)[-1]
    # A cosine of 1 up to the float32 of the weights is an angle of degrees(√(2 · 6e-8)) = 0.02.
    assert last["rotation"][0, 0] < 0.05


def test_a_stride_skips_snapshots():
    points = walk(count=13)
    strided = observed(points, SpectralEdge(window=3, stride=2, kinds=("query",)))[-1]
    coarse = observed(points[::2], SpectralEdge(window=3, kinds=("query",)))[-1]
    for name, array in coarse.items():
        torch.testing.assert_close(strided[name], array, rtol=1e-12, atol=1e-12, equal_nan=True)


def test_a_window_without_memory_measures_the_same():
    taken = snapshots(walk())
    live = observed(walk())[-1]
    alone = EDGE.measure(Window(tuple(taken)))
    for name, array in live.items():
        torch.testing.assert_close(alone[name], array, rtol=1e-13, atol=0, equal_nan=True)


def test_a_straight_line_has_one_direction_that_does_not_turn():
    direction = torch.randn(30, generator=torch.Generator().manual_seed(2))
    line = torch.arange(9.0)[:, None, None] * direction.repeat(1, 1, 1)
    last = observed(line)[-1]
    assert last["first_share"].item() == pytest.approx(1.0, abs=1e-6)  # float32 points
    assert last["excess_over_orthogonal"].item() == pytest.approx(2.0, abs=1e-6)
    # Half of the digits of float32 points are left of a small angle.
    assert last["rotation"][0, 0].item() == pytest.approx(0.0, abs=0.1)


def test_a_direction_that_is_replaced_turns_by_a_right_angle():
    basis = torch.eye(30)
    steps = [5 * basis[0]] * 5 + [50 * basis[1]]
    points = torch.stack([torch.zeros(30), *steps]).cumsum(0)[:, None]
    last = observed(points)[-1]
    assert last["rotation"][0, 0].item() == pytest.approx(90.0, abs=1e-4)


def test_what_the_spectrum_and_its_change_say_of_planted_steps():
    basis = torch.eye(30)
    # Windows of four: lengths 1, 2, 3, 4 and then 2, 3, 4, 1, all orthogonal.
    steps = [size * basis[k] for k, size in enumerate((1.0, 2.0, 3.0, 4.0, 1.0))]
    points = torch.stack([torch.zeros(30), *steps]).cumsum(0)[:, None]
    last = observed(points)[-1]
    assert last["rank_95"].item() == 3  # 16 + 9 of 30 are 0.83, and 29 are 0.97
    assert last["eigenvalue_stability"][0].tolist() == pytest.approx([1.0] * 4)
    # Diagonals 1, 4, 9, 16 and 4, 9, 16, 1; σ²/σ' is largest at 16/3, a gap of 1.
    assert last["gram_change"].item() == pytest.approx((9 + 25 + 49 + 225) ** 0.5)
    # Three of four directions are kept; the span of the first three is that of 2, 3, 4 in both.
    assert last["edge_rotation"].item() == pytest.approx(0.0, abs=1e-4)
    assert last["span_rotation"].item() == pytest.approx(0.0, abs=1e-4)


def test_a_window_of_two_has_no_span_of_three():
    found = observed(walk(), SpectralEdge(window=2, kinds=("query",)))[-1]
    assert found["span_rotation"].isnan().all()
    assert not found["edge_rotation"].isnan().any()


def test_too_little_history_is_nan():
    readings = observed(walk())
    assert readings[0]["singular_values"].isnan().all()
    assert readings[2]["gap23"].isnan().all()
    assert not readings[3]["gap23"].isnan().any()
    assert readings[4]["rotation"].isnan().all()
    assert not readings[5]["edge_rotation"].isnan().any()


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="window >= 2, got 1"):
        SpectralEdge(window=1)
    with pytest.raises(ValueError, match="kind"):
        SpectralEdge(kinds=("quary",))


def test_orthogonal_steps_are_no_edge():
    points = torch.stack([torch.zeros(30), *torch.eye(30)[:8]]).cumsum(0)[:, None]
    last = observed(points)[-1]
    assert last["excess_over_orthogonal"].item() == pytest.approx(1.0, abs=1e-6)
    assert last["first_share"].item() == pytest.approx(0.25, abs=1e-6)
    assert math.isfinite(last["drift"].item())


def sketched_points(points, size):
    sketch = CountSketch(size)
    return torch.stack([sketch(point.float()) for point in points])


def test_a_sketched_edge_is_the_edge_of_sketches():
    points = walk()
    found = observed(points, SpectralEdge(window=4, kinds=("query",), sketch=64))
    layout = Layout(("blocks.0.attn.query.weight",), ((8, 8),))
    observer = Observer([EDGE])
    (key,) = observer.instruments
    told = {
        "sketch_error", "gap23_sketch_error", "published_threshold_ratio", "marchenko_pastur_ratio"
    }  # fmt: skip
    for t, point in enumerate(sketched_points(points, 64)):
        expected = observer.observe(Snapshot(100 * t, layout, point))[key]
        for name in expected.keys() - told:
            torch.testing.assert_close(
                found[t][name], expected[name], rtol=1e-12, atol=1e-12, equal_nan=True
            )


def test_a_sketched_edge_is_within_its_stated_error():
    chance = torch.Generator().manual_seed(4)
    layout = Layout(("blocks.0.attn.query.weight",), ((100, 200),))
    scales = torch.linspace(1, 2, 60)[None, :, None]
    points = (torch.randn(5, 60, 20_000, generator=chance) * scales).cumsum(0)
    taken = tuple(Snapshot(t, layout, point) for t, point in enumerate(points))
    exact = EDGE.measure(Window(taken))
    found = SpectralEdge(window=4, kinds=("query",), sketch=256).measure(Window(taken))
    error = found["sketch_error"][0].item()
    assert error == pytest.approx(1 / math.sqrt(2 * 256))
    # 60 runs under one sketch: of a scatter of 1, four standard errors and as much again for what
    # first order leaves out, where values lie as close as those of orthogonal steps do.
    ratio = (found["singular_values"] / exact["singular_values"] - 1) / error
    assert 0.5 < ratio.square().mean().sqrt() < 2
    gap = (found["gap23"] - exact["gap23"]) / found["gap23_sketch_error"]
    assert 0.2 < gap.square().mean().sqrt() < 2
    assert exact["sketch_error"].eq(0).all()


def test_a_sketch_takes_what_is_new_and_nothing_twice():
    taken = snapshots(walk())
    edge = SpectralEdge(window=4, kinds=("query",), sketch=64)
    memory = {}
    for t in (2, 5, 8):
        window = Window(tuple(taken[max(0, t - 2) : t + 1]), memory=memory)
        live, again = edge.measure(window), edge.measure(window)
    alone = edge.measure(Window(tuple(taken)))
    for name, array in alone.items():
        torch.testing.assert_close(live[name], array, rtol=1e-12, atol=1e-12, equal_nan=True)
        torch.testing.assert_close(again[name], array, rtol=1e-12, atol=1e-12, equal_nan=True)


def test_a_sketched_edge_keeps_no_snapshot():
    assert SpectralEdge(sketch=4096).history == 1
    assert UpdateDecomposition(sketch=4096).history == 1
    memory = {}
    edge = SpectralEdge(window=2, kinds=("query",), sketch=64)
    for snapshot in snapshots(walk()):
        edge.measure(Window((snapshot,), memory=memory))
    kept = [s.parameters.shape for s in memory["sketches"]]
    assert kept == [(2, 64)] * 4


@pytest.mark.parametrize("instrument", [SpectralEdge, UpdateDecomposition])
def test_a_sketch_too_small_is_an_error(instrument):
    with pytest.raises(ValueError, match=r"sketch >= 64 buckets .*, got 8"):
        instrument(sketch=8)


@pytest.mark.parametrize("sketch", [None, 64])
def test_memory_is_bounded(sketch):
    split = UpdateDecomposition(window=4, components=4, kinds=("query",), sketch=sketch)
    observer = Observer([SpectralEdge(window=4, kinds=("query",), sketch=sketch), split])
    kept = []
    for snapshot in snapshots(walk(count=30)):
        observer.observe(snapshot)
        kept.append(observer.kept_bytes)
    assert len(set(kept[8:])) == 1
    # W + 2 snapshots of two runs of 42 float32 numbers, or one of them and 6 + 5 sketches of 64
    # float64 numbers; beside them a few dozen inner products.
    numbers = 6 * 2 * 42 * 4 if sketch is None else 2 * 42 * 4 + (6 + 5) * 2 * 64 * 8
    assert numbers <= kept[-1] <= numbers + 100 * 2 * 8
