"""Trajectory PCA as an instrument, over whole runs, checkpoints and an interruption."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from cases import EAGER, TINY_MODEL, tiny
from spectraledge.instruments import (
    Instrument,
    Observer,
    Output,
    TrajectoryPCA,
    Window,
    instrument_key,
    saved_trajectory,
    trajectory_of,
)
from spectraledge.instruments.trajectory_scopes import TrajectoryScopes
from spectraledge.linalg.trajectory_gram import trajectory_products
from spectraledge.models import PreNormEncoderSpec
from spectraledge.snapshots import Layout, Snapshot
from spectraledge.training import Problem, Trainer

LAYOUT = Layout(
    (
        "embed.weight",
        "blocks.0.attn.qkv.weight",
        "blocks.0.attn.qkv.bias",
        "blocks.1.attn.q.weight",
    ),
    ((5, 4), (12, 4), (12,), (4, 4)),
)


def scopes_of(kinds=("query", "key", "value")):
    return TrajectoryScopes.of(LAYOUT, kinds)


def snapshots_of(flats, lr=1e-3, every=100):
    rate = torch.full((flats.shape[1],), lr, dtype=torch.float64)
    return [Snapshot(every * t, LAYOUT, flat, lr=rate) for t, flat in enumerate(flats)]


def walk(T=12, R=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(T, R, LAYOUT.size, generator=generator)
    steps[0] *= 10
    return steps.cumsum(0)


def last(instrument, snapshots):
    observer = Observer([instrument])
    *_, reading = (observer.observe(s) for s in snapshots)
    labels = instrument.labels(Window(tuple(snapshots)))["scope"]
    arrays = reading[instrument_key(instrument)]
    return {n: dict(zip(labels, a.T)) if a.ndim == 2 else a for n, a in arrays.items()}


def columns_of(scopes, name):
    """Columns of a scope, by measuring a vector that counts them."""
    flat = torch.arange(LAYOUT.size, dtype=torch.float64).unsqueeze(0)
    pieces = scopes.pieces(flat)
    numbers = scopes.members[name]
    return torch.cat([part[0] for n in numbers for part in pieces[n]]).long().sort().values


@pytest.mark.parametrize("kinds", [("query", "key", "value"), ("query",), (), ("key", "embedding")])
def test_scopes_hold_the_parameters_they_name(kinds):
    scopes = scopes_of(kinds)
    assert columns_of(scopes, "model").tolist() == list(range(LAYOUT.size))
    qkv = LAYOUT.span("blocks.0.attn.qkv.weight")
    if "key" in kinds:
        expected = list(range(qkv.start + 16, qkv.start + 32))
        assert columns_of(scopes, "layer0.attention.key").tolist() == expected
    sizes = dict(zip(scopes.members, scopes.dimensions.tolist()))
    assert sizes["model"] == LAYOUT.size
    chosen = [n for n in scopes.members if n in ("attention", "matrices")]
    assert chosen == ["attention" if kinds and "embedding" not in kinds else "matrices"]
    assert sizes[chosen[0]] == sum(sizes[m.name] for m in scopes.matrices)


def test_published_model_has_the_published_scopes():
    model = PreNormEncoderSpec().build(vocabulary=97, length=2, classes=97, seed=0)
    scopes = TrajectoryScopes.of(Layout.of(model), TrajectoryPCA().kinds)
    sizes = dict(zip(scopes.members, scopes.dimensions.tolist()))
    assert len(scopes.matrices) == 8
    assert sizes["attention"] == 131_072
    assert sizes["model"] == 290_401
    assert sizes["layer1"] == 65_536
    assert list(scopes.means) == ["layer0 mean", "layer1 mean"]


def test_shares_equal_those_of_the_vectors():
    flats = walk()
    found = last(TrajectoryPCA(), snapshots_of(flats))
    scopes = scopes_of(TrajectoryPCA().kinds)
    for name in scopes.members:
        for run in range(2):
            X = flats[:, run, columns_of(scopes, name)].double()
            square = torch.linalg.svdvals(X - X.mean(0)).square()
            expected = float(square[0] / square.sum())
            assert found["first_share"][name][run].item() == pytest.approx(expected, abs=1e-12)
    own = [found["first_share"][f"layer0.attention.{k}"] for k in ("query", "key", "value")]
    torch.testing.assert_close(found["first_share"]["layer0 mean"], torch.stack(own).mean(0))
    assert found["snapshots"].tolist() == [12, 12]


def test_start_share_and_cosine_equal_those_of_the_vectors():
    flats = walk()
    found = last(TrajectoryPCA(), snapshots_of(flats))
    X = flats[:, 0].double()
    moved, start = X - X.mean(0), X[0] / X[0].norm()
    direction = torch.linalg.svd(moved)[2][0]
    cosine = found["start_cosine"]["model"][0].item()
    assert cosine == pytest.approx(abs(float(direction @ start)), abs=1e-11)
    share = float((moved @ start).square().sum() / moved.square().sum())
    assert found["start_share"]["model"][0].item() == pytest.approx(share, abs=1e-12)


def test_pure_decay_is_one_direction_explained_by_decay_alone():
    remaining = (1 - 1e-3) ** torch.arange(0, 2000, 100, dtype=torch.float64)
    start = walk()[0].double()
    flats = remaining[:, None, None] * start
    found = last(TrajectoryPCA(weight_decay=1.0), snapshots_of(flats))
    for scope in ("model", "layer0 mean", "layer0.attention.query"):
        for output in ("first_share", "start_share", "start_cosine", "ornstein_uhlenbeck_share"):
            assert found[output][scope][0].item() == pytest.approx(1, abs=1e-9), output
        assert found["first_share_without_decayed_start"][scope].isnan().all()
        assert found["random_walk_share"][scope][0] < 0.7
        assert found["z_score"][scope][0] > 3


def test_an_isotropic_walk_is_no_news():
    """Steps of equal size: 6/pi^2, and a score that is a standard normal number."""
    generator = torch.Generator().manual_seed(0)
    layout = Layout(("blocks.0.attn.query.weight", "w"), ((300, 100), (1,)))
    steps = torch.randn(60, 1, layout.size, generator=generator)
    snapshots = [Snapshot(t, layout, flat) for t, flat in enumerate(steps.cumsum(0))]
    instrument = TrajectoryPCA(kinds=("query",), weight_decay=0.0)
    found = last(instrument, snapshots)
    for share in ("first_share", "random_walk_share", "ornstein_uhlenbeck_share"):
        # 60 points are not infinitely many, and D is 30,000: both below half a percent.
        assert found[share]["layer0.attention.query"].item() == pytest.approx(0.608, abs=0.005)
    assert abs(found["z_score"]["layer0.attention.query"].item()) < 4


def test_without_decay_nothing_but_the_start_is_removed():
    found = last(TrajectoryPCA(weight_decay=0.0), snapshots_of(walk()))
    for scope, share in found["first_share"].items():
        torch.testing.assert_close(found["first_share_without_decayed_start"][scope], share)
        torch.testing.assert_close(
            found["ornstein_uhlenbeck_share"][scope], found["random_walk_share"][scope]
        )


def test_rolling_window_looks_at_the_last_snapshots_only():
    flats = walk()
    whole = last(TrajectoryPCA(rolling=5), snapshots_of(flats))["rolling_first_share"]["model"]
    tail = last(TrajectoryPCA(), snapshots_of(flats[-5:]))["first_share"]["model"]
    torch.testing.assert_close(whole, tail, rtol=1e-10, atol=0)


def test_without_learning_rates_only_the_decay_is_unknown():
    snapshots = [Snapshot(t, LAYOUT, flat) for t, flat in enumerate(walk())]
    found = last(TrajectoryPCA(), snapshots)
    for name in ("ornstein_uhlenbeck_share", "first_share_without_decayed_start"):
        assert found[name]["model"].isnan().all()
    for name in ("first_share", "z_score", "first_share_without_start"):
        assert found[name]["model"].isfinite().all()


def test_memory_may_be_lost_at_any_time_bit_for_bit():
    snapshots, instrument = snapshots_of(walk()), TrajectoryPCA()
    steady, forgetful = Observer([instrument]), Observer([instrument])
    for index, snapshot in enumerate(snapshots):
        if index in (1, 4, 11):
            forgetful.restore(forgetful.window)
        a, b = (o.observe(snapshot)["trajectory_pca"] for o in (steady, forgetful))
        for name in a:
            assert torch.equal(a[name].nan_to_num(nan=-7.0), b[name].nan_to_num(nan=-7.0)), name


def test_measuring_rarely_misses_no_snapshot():
    snapshots, instrument = snapshots_of(walk()), TrajectoryPCA()
    rare = Observer([(instrument, lambda step: step == 1100)])
    *_, reading = (rare.observe(s) for s in snapshots)
    expected = last(instrument, snapshots)["first_share"]["model"]
    index = instrument.labels(Window(tuple(snapshots)))["scope"].index("model")
    assert torch.equal(reading["trajectory_pca"]["first_share"][:, index], expected)


@dataclass(frozen=True)
class Looks(Instrument):
    """What an instrument with a history of two sees beside one that sees all."""

    name: ClassVar[str] = "looks"
    history: ClassVar[int | None] = 2
    outputs: ClassVar = {"seen": Output("snapshots"), "parts": Output("parts of the oldest")}

    def labels(self, window):
        return {}

    def measure(self, window):
        window.memory["calls"] = window.memory.get("calls", 0) + 1
        numbers = len(window.snapshots), len(window.snapshots[0].parts)
        return {n: torch.tensor([x]).double() for n, x in zip(("seen", "parts"), numbers)}


def test_instruments_beside_one_that_sees_all_see_what_they_did():
    problem = Problem([tiny()], EAGER)
    observer = Observer([Looks(), TrajectoryPCA()])
    readings = [
        observer.observe(s)["looks"] for s in Trainer(problem, record_parts=True).snapshots()
    ]
    assert [r["seen"].item() for r in readings] == [1, 2, 2, 2]
    assert [r["parts"].item() > 0 for r in readings] == [False, False, True, True]
    kept = observer.window
    assert [s.step for s in kept] == [0, 4, 8, 12]
    # Parts are several times as large as the parameters, so old ones are dropped.
    assert [bool(s.parts) for s in kept] == [False, False, True, True]


def test_checkpoints_of_any_model_give_what_the_instrument_gives():
    flats = walk(R=1)
    states = [{n: t[0] for n, t in LAYOUT.views(flat).items()} for flat in flats]
    states = [{**state, "count": torch.tensor(3)} for state in states]
    steps = range(0, 1200, 100)
    reading = trajectory_of(iter(states), steps=steps, lr=1e-3, sizes=(5, 12))
    assert reading.steps == (400, 1100)
    expected = last(TrajectoryPCA(), snapshots_of(flats))
    for name in ("first_share", "ornstein_uhlenbeck_share", "start_cosine", "z_score"):
        for scope, value in reading.last(name).items():
            # Another order of summation: eps, amplified a hundredfold where chance is small.
            assert value == pytest.approx(expected[name][scope].item(), rel=1e-9), (name, scope)
    early = last(TrajectoryPCA(), snapshots_of(flats[:5]))["first_share"]["model"].item()
    index = reading.labels["scope"].index("model")
    assert reading.arrays["first_share"][0, index].item() == pytest.approx(early, rel=1e-9)


def test_a_list_is_not_copied_and_gives_what_an_iterator_does(monkeypatch):
    """Also fused, transposed, tied and half-precision tensors, and integers among them."""
    chance = torch.Generator().manual_seed(0)

    def state():
        def draw(*shape):
            return torch.randn(*shape, generator=chance)

        embedding = draw(9, 4)
        return {
            "embedding.weight": embedding,
            "h.0.attn.c_attn.weight": draw(4, 12),  # transposed, as GPT-2 stores it
            "blocks.1.attn.qkv.weight": draw(12, 4),
            "norm.weight": draw(4).half(),
            "steps": torch.tensor(3),
            "head.weight": embedding,
        }

    states = [state() for _ in range(6)]
    instrument = TrajectoryPCA(kinds=("query", "value"), components=3)
    copied = trajectory_of(iter(states), instrument, lr=1e-3)

    def refuse(named):
        raise AssertionError("a list is in memory already")

    monkeypatch.setattr(saved_trajectory, "flat_of", refuse)
    for kind in (list, tuple):
        found = trajectory_of(kind(states), instrument, lr=1e-3)
        assert found.labels == copied.labels
        for name, array in copied.arrays.items():
            # Float64 sums in another order.
            torch.testing.assert_close(
                found.arrays[name], array, rtol=1e-8, atol=1e-10, equal_nan=True
            )


def test_tied_tensors_count_once():
    def states(tied):
        chance = torch.Generator().manual_seed(0)
        for _ in range(5):
            embedding = torch.randn(9, 4, generator=chance)
            head = {"head.weight": embedding} if tied else {}
            yield {"embedding.weight": embedding, "attn.query.weight": embedding[:4] * 1.0, **head}

    tied, plain = (trajectory_of(list(states(kind))) for kind in (True, False))
    assert tied.labels == plain.labels
    for name, array in plain.arrays.items():
        assert torch.equal(tied.arrays[name].nan_to_num(), array.nan_to_num()), name


def test_sketched_checkpoints_are_close():
    generator = torch.Generator().manual_seed(0)
    line = torch.randn(1, 40_000, generator=generator)
    points = torch.arange(8.0)[:, None] * line + torch.randn(8, 40_000, generator=generator)
    states = [{"a.query.weight": p.reshape(200, 200)} for p in points]
    instrument = TrajectoryPCA(kinds=("query",))
    exact = trajectory_of(states, instrument).last("first_share")["model"]
    sketched = trajectory_of(states, instrument, sketch=2000).last("first_share")["model"]
    assert exact < 0.95
    # Each product is off by sqrt(2/2000) = 3 % of the norms at most; a share of 0.9 by less.
    assert sketched == pytest.approx(exact, abs=0.03)


def test_a_live_sketch_is_the_sketch_of_checkpoints():
    flats, sketched = walk(R=2, T=6), TrajectoryPCA(sketch=64)
    memory, arrays, lr = {}, [], torch.full((2,), 0.1, dtype=torch.float64)
    for t, flat in enumerate(flats):
        window = Window((Snapshot(t, LAYOUT, flat, lr=lr),), None, memory)
        arrays.append(sketched.measure(window))
    for run in range(2):
        states = [LAYOUT.views(flat[run : run + 1]) for flat in flats]
        states = [{name: w[0] for name, w in state.items()} for state in states]
        again = trajectory_of(states, TrajectoryPCA(), lr=0.1, sketch=64, sizes=range(2, 7))
        for name, array in again.arrays.items():
            live = torch.stack([a[name][run] for a in arrays[1:]])
            # Float64 sums in another order.
            torch.testing.assert_close(live, array, rtol=1e-8, atol=1e-10, equal_nan=True)


def test_a_sketch_no_shorter_than_the_matrices_is_exact():
    flats = walk(R=2, T=6)
    exact, sketched = TrajectoryPCA(), TrajectoryPCA(sketch=10**6)
    whole, memory = [], {}
    for t, flat in enumerate(flats):
        whole.append(Snapshot(t, LAYOUT, flat))
        found = sketched.measure(Window((whole[-1],), None, memory))
        expected = exact.measure(Window(tuple(whole)))
        for name, array in expected.items():
            torch.testing.assert_close(
                found[name], array, rtol=1e-8, atol=1e-10, equal_nan=True, msg=name
            )


def test_sketched_shares_are_within_their_stated_error():
    chance = torch.Generator().manual_seed(0)
    layout = Layout(("a.query.weight",), ((60, 60),))
    walks = torch.randn(9, 40, 3600, generator=chance).cumsum(0)
    exact, sketched = (TrajectoryPCA(kinds=("query",), sketch=m) for m in (None, 128))
    memory, whole = {}, []
    for t, flat in enumerate(walks):
        whole.append(Snapshot(t, layout, flat))
        found = sketched.measure(Window((whole[-1],), None, memory))
    expected = exact.measure(Window(tuple(whole)))
    error = (found["first_share"] / expected["first_share"] - 1)[:, 0]
    # Deviation of a ratio of two sums whose errors are at most sqrt(2/m) each and go together;
    # the mean of 40 adds a sixth of it.
    assert 0.01 < error.square().mean().sqrt() < 1.2 * (2 / 128) ** 0.5


def test_a_sketch_keeps_no_snapshot():
    assert TrajectoryPCA().history is None
    assert TrajectoryPCA(sketch=64).history == 1
    assert TrajectoryPCA(sketch=64).from_start
    with pytest.raises(ValueError, match=r"TrajectoryPCA: expected sketch >= 64 buckets .*, got 8"):
        TrajectoryPCA(sketch=8)


def test_products_of_pieces_add_up_to_those_of_the_model():
    flats = walk(R=1)
    scopes = scopes_of(())
    per_piece = [
        torch.stack([trajectory_products(p) for p in zip(*parts)]).sum(0)
        for parts in zip(*(scopes.pieces(flat) for flat in flats))
    ]
    model = scopes.products(per_piece)[:, list(scopes.members).index("model")]
    torch.testing.assert_close(model, trajectory_products(list(flats)), rtol=1e-12, atol=1e-9)


def test_errors():
    with pytest.raises(ValueError, match="components >= 1, got 0"):
        TrajectoryPCA(components=0)
    with pytest.raises(ValueError, match="rolling >= 3, got 2"):
        TrajectoryPCA(rolling=2)
    with pytest.raises(ValueError, match=r"finite weight_decay >= 0, got -1\.0"):
        TrajectoryPCA(weight_decay=-1.0)
    with pytest.raises(ValueError, match="kind of matrix for TrajectoryPCA"):
        TrajectoryPCA(kinds=("querry",))
    state = {"a.query.weight": torch.eye(3)}
    with pytest.raises(ValueError, match="at least two checkpoints, got 1"):
        trajectory_of([state])
    with pytest.raises(
        ValueError, match=r"number 1 differs from the first in \['a.query.weight'\]"
    ):
        trajectory_of([state, {"a.query.weight": torch.eye(4)}])
    pair = [state, {"a.query.weight": 2 * torch.eye(3)}]
    with pytest.raises(ValueError, match=r"2 growing steps, one a checkpoint, got \[3, 3\]"):
        trajectory_of(pair, steps=(3, 3))
    with pytest.raises(ValueError, match="one learning rate or 2, got 3"):
        trajectory_of(pair, lr=(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match=r"sizes in 2..2 checkpoints, got \(3,\)"):
        trajectory_of(pair, sizes=(3,))


def test_the_reference_model_has_scopes():
    model = TINY_MODEL.build(vocabulary=8, length=3, classes=7, seed=0)
    assert "model" in TrajectoryScopes.of(Layout.of(model), TrajectoryPCA().kinds).names


class Shelf:
    """A sequence that counts how many checkpoints it was asked for."""

    def __init__(self, states):
        self.states, self.read = states, 0

    def __len__(self):
        return len(self.states)

    def __getitem__(self, number):
        self.read += 1
        return self.states[number]


Sequence.register(Shelf)


def test_checkpoints_read_again_give_what_kept_ones_do():
    model = PreNormEncoderSpec(width=8, heads=2, layers=2, mlp_width=8)
    start = model.build(vocabulary=7, length=2, classes=7, seed=0).state_dict()
    chance = torch.Generator().manual_seed(0)
    states = [
        {n: (1 - 0.1 * t) * w + 0.1 * t * torch.randn(w.shape, generator=chance)
         for n, w in start.items()}
        for t in range(7)
    ]  # fmt: skip
    kept = trajectory_of(states, lr=1e-3)
    shelf = Shelf(states)
    again = trajectory_of(shelf, lr=1e-3, held=2)
    assert again.steps == kept.steps
    for name, array in kept.arrays.items():
        # Float64 sums in another order.
        torch.testing.assert_close(again.arrays[name], array, rtol=1e-8, atol=1e-10, equal_nan=True)
    # Layout, start, 7 on the left, and on the right what comes after each pair: 5 + 3 + 1.
    # The type checks of the tests look into the sequence a few more times.
    assert 18 <= shelf.read < 18 + 7
    with pytest.raises(TypeError, match="expected a sequence, got generator; use sketch="):
        trajectory_of((s for s in states), held=2)
    with pytest.raises(ValueError, match="pass sketch or held, got 64 and 2"):
        trajectory_of(states, held=2, sketch=64)
    with pytest.raises(ValueError, match="at least two checkpoints, got 1"):
        trajectory_of(states[:1], held=2)
