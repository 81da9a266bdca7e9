"""Shares of gradient and decay in planted trajectories, against the thin SVD and closed forms."""

import math
from dataclasses import replace

import pytest
import torch

from spectraledge.instruments import (
    Observer,
    UpdateDecomposition,
    UpdateWindow,
    Window,
    instrument_key,
)
from spectraledge.instruments.interval_parts import IntervalParts
from spectraledge.instruments.interval_products import IntervalProducts
from spectraledge.linalg import CountSketch
from spectraledge.models import CausalDecoderSpec
from spectraledge.snapshots import Layout, Snapshot
from spectraledge.tasks import DyckDepth
from spectraledge.training import Execution, Problem, RunSpec, Trainer
from spectraledge.updates import Adam, LowRank, WeightDecay

LAYOUT = Layout(("blocks.0.attn.query.weight", "head.weight"), ((6, 5), (3, 4)))
SPLIT = UpdateDecomposition(window=4, components=4, kinds=("query",))
RUNS, STEPS, LR = 2, 100, 1e-3


def path(gradients: torch.Tensor, decays: torch.Tensor, start=None, parts=True) -> list[Snapshot]:
    """Snapshots whose query weights move by gradients and decays ``(T, R, 30)``."""
    chance = torch.Generator().manual_seed(3)
    at = torch.randn(RUNS, 30, generator=chance).double() if start is None else start
    lr = torch.full((RUNS,), LR, dtype=torch.float64)
    found = [Snapshot(0, LAYOUT, _whole(at), lr=0 * lr)]
    for t, (g, w) in enumerate(zip(gradients, decays), start=1):
        at = at + g + w
        named = {"gradient": _whole(g), "weight_decay": _whole(w)} if parts else {}
        found.append(Snapshot(STEPS * t, LAYOUT, _whole(at), parts=named, lr=lr))
    return found


def _whole(query: torch.Tensor) -> torch.Tensor:
    return torch.cat([query, torch.full((RUNS, 12), 7.0).double()], 1)


def random_path(count=9, **options):
    chance = torch.Generator().manual_seed(0)
    gradients, decays = torch.randn(2, count, RUNS, 30, generator=chance).double()
    return gradients, decays, path(gradients, decays, **options)


def observed(snapshots, instrument=SPLIT):
    observer = Observer([instrument])
    (key,) = observer.instruments
    return [observer.observe(s)[key] for s in snapshots]


def test_shares_are_those_along_the_directions_of_the_svd():
    gradients, decays, snapshots = random_path()
    for t, reading in enumerate(observed(snapshots)[2:], start=2):
        first, count = max(0, t - 4), min(t, 4)
        for run in range(RUNS):
            g, w = gradients[first:t, run], decays[first:t, run]
            _, sigma, right = torch.linalg.svd(g + w, full_matrices=False)
            on_g, on_w = g @ right.T, w @ right.T
            energy = on_g.square().sum(0), on_w.square().sum(0)
            signed = (on_w * (on_g + on_w)).sum(0) / sigma.square()
            cosine = (on_g * on_w).sum(0) / (energy[0] * energy[1]).sqrt()
            theta = snapshots[t].matrix("blocks.0.attn.query.weight")[run].flatten()
            last = on_g[-1].square(), on_w[-1].square()
            expected = {
                "energy_share": (0, energy[0] / (energy[0] + energy[1])),
                "last_energy_share": (0, last[0] / (last[0] + last[1])),
                "signed_share": (1, signed),
                "alignment": (None, cosine),
                "overlap": (None, (right @ theta).abs() / theta.norm()),
            }
            for name, (part, values) in expected.items():
                array = reading[name][run] if part is None else reading[name][run, part]
                # Eigenvectors of a Gram matrix in float64: neighbouring σ differ by a tenth.
                torch.testing.assert_close(array[:count], values, rtol=1e-9, atol=1e-9)
                assert array[count:].isnan().all()


def test_shares_of_parts_sum_to_one():
    *_, snapshots = random_path()
    last = observed(snapshots)[-1]
    for name in ("energy_share", "last_energy_share", "signed_share"):
        torch.testing.assert_close(last[name].sum(1), torch.ones(RUNS, 4).double())
    torch.testing.assert_close(last["interval_share"].sum(1), torch.ones(RUNS).double())


def test_interval_numbers_need_no_window():
    gradients, decays, snapshots = random_path()
    last = observed(snapshots)[-1]
    g, w = gradients[-1], decays[-1]
    square = (g + w).square().sum(1)
    torch.testing.assert_close(last["interval_share"][:, 1], (w * (g + w)).sum(1) / square)
    cosine = torch.nn.functional.cosine_similarity(g, w, dim=1)
    torch.testing.assert_close(last["interval_cosine"], cosine)
    torch.testing.assert_close(last["part_norm"][:, 0], g.norm(dim=1))
    torch.testing.assert_close(last["displacement"], square.sqrt())


def test_sliding_keeps_nothing_that_changes_a_number():
    *_, snapshots = random_path()
    slid = observed(snapshots)
    for t in range(5, 10):
        alone = SPLIT.measure(Window(tuple(snapshots[: t + 1])))
        for name, array in slid[t].items():
            torch.testing.assert_close(array, alone[name], rtol=1e-12, atol=0, equal_nan=True)


def test_a_sliding_window_computes_only_what_is_new(monkeypatch):
    *_, snapshots = random_path(count=12)
    counted = []
    original = IntervalParts.vector
    monkeypatch.setattr(
        IntervalParts, "vector", lambda self, *a: counted.append(a) or original(self, *a)
    )
    observer = Observer([SPLIT])
    per_snapshot = []
    for snapshot in snapshots:
        counted.clear()
        observer.observe(snapshot)
        per_snapshot.append(len(counted))
    assert per_snapshot[-1] == per_snapshot[-2] < 2 * (4 * (2 * 4) + 8)


def decaying(count=8):
    """Exponential decay by ``1 − ηω`` at each of 100 steps, and no gradient."""
    factor = (1 - LR) ** STEPS
    at = torch.randn(RUNS, 30, generator=torch.Generator().manual_seed(5)).double()
    decays = torch.stack([(factor - 1) * factor**t * at for t in range(count)])
    return path(torch.zeros_like(decays), decays, start=at)


def test_decay_alone_is_all_decay_along_the_weights():
    last = observed(decaying())[-1]
    only_decay = torch.tensor([0.0, 1.0, 0.0]).double().expand(RUNS, 3)
    torch.testing.assert_close(last["energy_share"][:, :, 0], only_decay)
    assert last["overlap"][:, 0].tolist() == pytest.approx([1.0] * RUNS, abs=1e-12)
    torch.testing.assert_close(last["interval_share"], only_decay)


def test_the_trapezoid_errs_as_it_does_on_an_exponential():
    last = observed(decaying())[-1]
    # N η (1 + f)/2 instead of 1 − f, with f = (1 − η)^N: c²/12 − η/2 for small c = ηN.
    f = (1 - LR) ** STEPS
    expected = LR * STEPS * (1 + f) / (2 * (1 - f)) - 1
    assert last["trapezoid_error"].tolist() == pytest.approx([expected] * RUNS, rel=1e-5)
    assert last["trapezoid_share"][:, 0].max() < 1e-4


def test_without_decay_all_is_gradient_and_nothing_is_aligned():
    gradients = torch.randn(9, RUNS, 30, generator=torch.Generator().manual_seed(1)).double()
    last = observed(path(gradients, torch.zeros_like(gradients)))[-1]
    assert (last["energy_share"][:, 0] == 1).all()
    assert (last["trapezoid_share"] == 1).all()
    assert last["alignment"].isnan().all()
    assert last["interval_cosine"].isnan().all()


def test_a_stationary_run_opposes_its_decay():
    chance = torch.Generator().manual_seed(1)
    at = torch.randn(RUNS, 30, generator=chance).double()
    noise = 0.01 * torch.randn(9, RUNS, 30, generator=chance).double()
    decays = -0.1 * at.expand(9, -1, -1)
    last = observed(path(-decays + noise, decays, start=at))[-1]
    assert (last["interval_cosine"] < -0.9).all()


@pytest.mark.parametrize("width", [3, 4, 5])
def test_decay_and_noise_flip_when_the_first_displacement_leaves_the_window(width):
    """Nothing is learned after one long step, and yet the edge turns, at W + 1 whatever W."""
    chance = torch.Generator().manual_seed(2)
    at = torch.randn(RUNS, 30, generator=chance).double()
    start, gradients, decays = at, [], []
    for t in range(10):
        # First a step as long as the weights, then noise of a hundredth of decay's length.
        g = (1.0 if t == 0 else 1e-3) * torch.randn(RUNS, 30, generator=chance).double()
        decays.append(-0.1 * at)
        gradients.append(g)
        at = at + g + decays[-1]
    split = UpdateDecomposition(window=width, components=2, kinds=("query",))
    readings = observed(path(torch.stack(gradients), torch.stack(decays), start=start), split)
    driven = [bool((r["energy_share"][:, 0, 0] > 0.5).all()) for r in readings[1:]]
    assert driven == [True] * width + [False] * (10 - width)
    assert (readings[-1]["energy_share"][:, 0, 0] < 0.01).all()


def test_a_stride_sums_parts_and_skips_points():
    gradients, decays, snapshots = random_path(count=10)
    halved = observed(
        snapshots, UpdateDecomposition(window=4, stride=2, components=4, kinds=("query",))
    )[-1]
    coarse = path(*(x.unflatten(0, (5, 2)).sum(1) for x in (gradients, decays)))
    expected = observed(coarse)[-1]
    for name in ("energy_share", "signed_share", "overlap", "interval_share", "part_norm"):
        torch.testing.assert_close(halved[name], expected[name], rtol=1e-9, atol=1e-12)


def test_checkpoints_without_parts_have_overlaps_and_the_trapezoid():
    gradients, decays, snapshots = random_path(parts=False)
    last, exact = observed(snapshots)[-1], observed(path(gradients, decays))[-1]
    torch.testing.assert_close(last["overlap"], exact["overlap"])
    torch.testing.assert_close(last["trapezoid_share"], exact["trapezoid_share"])
    assert last["energy_share"].isnan().all()
    assert last["interval_share"].isnan().all()


def test_live_parts_close_in_a_training_run():
    spec = RunSpec(
        task=DyckDepth(pairs=3, train=4, held_out=4),
        model=CausalDecoderSpec(width=8, heads=2, mlp_width=8, layers=1, positions=6),
        updates=(WeightDecay(1.0, on="all"), LowRank(0.5, on="fused_qkv", heads=3), Adam()),
        batch_size=6,
        steps=20,
        record_every=5,
    )
    problem = Problem([spec], Execution(compile=False))
    split = UpdateDecomposition(window=2, components=2)
    observer = Observer([split], problem)
    parts = observer.parts_wanted(problem.layout)
    for snapshot in Trainer(problem, record_parts=parts).snapshots():
        reading = observer.observe(snapshot)[instrument_key(split)]
    assert (reading["part_norm"] > 0).all()
    # float32 weights are rounded at each of 5 steps: 1e-7 of their norm over that of the move.
    torch.testing.assert_close(reading["interval_share"].sum(1), torch.ones(1).double())
    assert reading["trapezoid_error"].item() < 0.05


def test_directions_are_those_of_the_svd():
    *_, snapshots = random_path()
    window = UpdateWindow.of(snapshots, ("query",), 4)
    found = window.directions(4)
    steps = torch.stack([b - a for a, b in zip(window.points, window.points[1:])], 1)
    right = torch.linalg.svd(steps, full_matrices=False)[2]
    cosines = (found * right).sum(-1).abs()
    torch.testing.assert_close(cosines, torch.ones(RUNS, 4).double(), rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match="expected 1 to 4 directions, got 5"):
        window.directions(5)
    with pytest.raises(ValueError, match="at least two snapshots, got 1"):
        UpdateWindow.of(snapshots[:1], ("query",), 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 1, "components": 1}, "window >= 2, got 1"),
        ({"window": 4, "components": 5}, "components in 1..window=4, got 5"),
        ({"stride": 0}, "stride >= 1, got 0"),
        ({"weight_decay": -1.0}, "weight_decay >= 0, got -1"),
        ({"weight_decay": math.nan}, "a number for weight_decay, got nan"),
        ({"kinds": ("attention",)}, "attention"),
    ],
)
def test_bad_fields(options, message):
    with pytest.raises(ValueError, match=message):
        UpdateDecomposition(**options)


def test_a_run_that_diverged_is_nan_and_leaves_the_other_alone():
    gradients, decays, snapshots = random_path()
    whole = observed(snapshots)[-1]
    broken = gradients.clone()
    broken[5:, 0] = math.nan
    last = observed(path(broken, decays))[-1]
    assert last["energy_share"][0].isnan().all()
    torch.testing.assert_close(last["energy_share"][1], whole["energy_share"][1])


def test_a_sketched_split_is_the_split_of_sketches():
    *_, snapshots = random_path()
    found = observed(
        snapshots, UpdateDecomposition(window=4, components=4, kinds=("query",), sketch=64)
    )
    sketch = CountSketch(64)
    layout = Layout(("blocks.0.attn.query.weight",), ((8, 8),))
    observer = Observer([SPLIT])
    (key,) = observer.instruments
    for snapshot, reading in zip(snapshots, found):
        parts = {name: sketch(part[:, :30]) for name, part in snapshot.parts.items()}
        short = replace(
            snapshot, layout=layout, parameters=sketch(snapshot.parameters[:, :30]), parts=parts
        )
        for name, expected in observer.observe(short)[key].items():
            torch.testing.assert_close(
                reading[name], expected, rtol=1e-10, atol=1e-10, equal_nan=True
            )


def test_a_sketch_that_leaves_out_snapshots_is_an_error():
    *_, snapshots = random_path()
    split = UpdateDecomposition(window=3, kinds=("query",), sketch=64)
    observer = Observer([(split, lambda step: step % 200 == 0)])
    observer.observe(snapshots[0])
    observer.observe(snapshots[1])
    with pytest.raises(ValueError, match="measure every snapshot with a sketch, got steps 0 and 2"):
        observer.observe(snapshots[2])


def test_vectors_lie_where_the_weights_do():
    # A tensor on no device at all meets one of the CPU only by mistake.
    def there(snapshot):
        parts = {name: part.to("meta") for name, part in snapshot.parts.items()}
        return replace(snapshot, parameters=snapshot.parameters.to("meta"), parts=parts)

    for parts in (True, False):
        snapshots = [there(snapshot) for snapshot in random_path(parts=parts)[2]]
        intervals = IntervalParts.of(snapshots[-3:], ("query",), 1, weight_decay=1.0)
        products = IntervalProducts(intervals, {})
        for what in ("displacement", "gradient", "low_rank", "trapezoid"):
            assert products.between(what, "displacement").is_meta
        assert IntervalProducts(IntervalParts.of(snapshots[:1], ("query",), 1), {}).gram().is_meta
    assert UpdateWindow.of(snapshots, ("query",), 3).directions(2).is_meta
