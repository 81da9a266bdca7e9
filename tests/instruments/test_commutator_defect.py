"""The instrument, and the function for modules of others."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import spectraledge.instruments.commutator_defect as module
from cases import EAGER, tiny
from spectraledge.instruments import CommutatorDefect, Observer, Window, commutator_defect_of
from spectraledge.instruments.batch_pairs import batch_pairs
from spectraledge.instruments.commutator_summary import (
    attention_columns,
    median_interval,
    median_ranks,
)
from spectraledge.instruments.commutators import commutators
from spectraledge.models import PreNormEncoderSpec
from spectraledge.snapshots import Layout, Snapshot
from spectraledge.tasks import ModularArithmetic
from spectraledge.training import Problem, Trainer

ENCODER = PreNormEncoderSpec(width=8, heads=2, layers=1, mlp_width=8)
TASK = ModularArithmetic(modulus=5, form="two_token")


def small(**changes):
    return tiny(model=ENCODER, task=TASK, batch_size=8, **changes)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return Problem([small(seed=s) for s in range(2)], EAGER)


def reading(problem, **options):
    now = Snapshot(0, problem.layout, problem.initial_parameters())
    (arrays,) = Observer([CommutatorDefect(**options)], problem).observe(now).values()
    return arrays


# --- the instrument --------------------------------------------------------------------------


def test_it_summarises_the_brackets_of_its_own_batches(problem):
    arrays = reading(problem, pairs=3)
    theta = problem.initial_parameters()
    batches = [problem.batch(0, f"commutator_defect/{i}") for i in range(3)]
    pairs = list(commutators(problem, theta, batches, batch_pairs(3)))
    defects = torch.stack([pair.numbers()["defect"] for pair in pairs], 1)
    assert torch.equal(arrays["pair_defect"], defects)
    assert torch.equal(arrays["defect"], defects.median(1).values)
    assert torch.equal(arrays["defect_lower"], defects.amin(1))
    assert torch.equal(arrays["defect_upper"], defects.amax(1))
    assert arrays["coverage"].tolist() == [0.75, 0.75]
    inside = attention_columns(problem.layout)
    shares = [p.bracket[:, inside].norm(dim=1) / p.bracket.norm(dim=1) for p in pairs]
    torch.testing.assert_close(arrays["attention_fraction"], torch.stack(shares).median(0).values)


@pytest.mark.parametrize("method", ["exact", "published"])
def test_measuring_does_not_change_training(method):
    specs = [small(seed=3, steps=6, record_every=2)]
    plain = list(Trainer(Problem(specs, EAGER)).snapshots())
    watched_problem = Problem(specs, EAGER)
    observer = Observer([CommutatorDefect(method, pairs=1)], watched_problem)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for ours, theirs in zip(Trainer(watched_problem).snapshots(), plain, strict=True):
        observer.observe(ours)
        assert torch.equal(ours.parameters, theirs.parameters)
    assert torch.equal(torch.get_rng_state(), before)


def test_few_runs_at_a_time_give_the_same(problem, monkeypatch):
    together = reading(problem, pairs=1)
    monkeypatch.setattr(module, "KEPT", 1)
    apart = reading(problem, pairs=1)
    for name in together:
        torch.testing.assert_close(together[name], apart[name], rtol=1e-4, atol=1e-5)


def test_halves_make_the_brackets_of_whole_batches(problem):
    arrays = reading(problem, pairs=1, pieces=2)
    theta = problem.initial_parameters()
    batches = [problem.batch(0, f"commutator_defect/{i}") for i in range(2)]
    (whole,) = commutators(problem, theta, batches, batch_pairs(1))
    # float32 sums in another order.
    torch.testing.assert_close(arrays["defect"], whole.numbers()["defect"], rtol=1e-4, atol=0)


def test_labels_name_the_pieces(problem):
    window = Window((Snapshot(0, problem.layout, problem.initial_parameters()),), problem)
    assert CommutatorDefect(pairs=2).labels(window)["pair"] == ("0|1", "0|2")
    assert CommutatorDefect(pairs=1, pieces=2).labels(window)["pair"] == ("0+1|2+3",)


def test_attention_columns_hold_weights_and_biases():
    model = ENCODER.build(vocabulary=5, length=2, classes=5, seed=0)
    layout = Layout.of(model)
    chosen = {n for n in layout.names if attention_columns(layout)[layout.span(n)].all()}
    assert chosen == {f"blocks.0.attention.{m}.{p}" for m in ("qkv", "output")
                      for p in ("weight", "bias")}  # fmt: skip
    torch_layer = Layout.of(nn.MultiheadAttention(4, 2))
    assert attention_columns(torch_layer).all()


@pytest.mark.parametrize("count", range(1, 13))
def test_the_interval_has_the_stated_coverage(count):
    """Each value is above the median with probability ½: enumerate all sign patterns."""
    rank, coverage = median_ranks(count)
    inside = 0
    for pattern in itertools.product((-1.0, 1.0), repeat=count):
        lower, upper, _ = median_interval(torch.tensor([pattern]).double())
        inside += bool(lower < 0 < upper)
    assert inside / 2**count == coverage
    assert coverage >= 0.95 or rank == 1


def test_a_nan_pair_leaves_no_interval():
    lower, upper, _ = median_interval(torch.tensor([[1.0, torch.nan, 2.0], [1.0, 2.0, 3.0]]))
    assert lower.isnan().tolist() == upper.isnan().tolist() == [True, False]


def test_instrument_errors(problem):
    with pytest.raises(ValueError, match="did you mean 'published'"):
        CommutatorDefect("publishd")
    with pytest.raises(ValueError, match="pairs >= 1"):
        CommutatorDefect(pairs=0)
    with pytest.raises(ValueError, match="finite eta > 0, got inf"):
        CommutatorDefect(eta=float("inf"))
    now = Snapshot(0, problem.layout, problem.initial_parameters())
    with pytest.raises(ValueError, match=r"pass Window\(..., problem\)"):
        CommutatorDefect().measure(Window((now,)))
    single = Problem([tiny(model=ENCODER, task=TASK, batch_size=1)], EAGER)
    with pytest.raises(ValueError, match="at least 2 examples to make 2 pieces, got 1"):
        reading(single, pieces=2)


# --- any module ------------------------------------------------------------------------------


def cross_entropy(model, batch):
    return F.cross_entropy(model(batch[0]), batch[1])


def regression(*layers: nn.Module, count: int = 2):
    torch.manual_seed(0)
    batches = [(torch.randn(6, 4), torch.randn(6, 4)) for _ in range(count)]
    for layer in layers:
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    return nn.Sequential(*layers), batches


def mean_square(model, batch):
    return (model(batch[0]) - batch[1]).square().mean()


def test_the_function_agrees_with_the_instrument(problem):
    model = ENCODER.build(vocabulary=5, length=2, classes=5, seed=0)
    batches = [problem.batch(0, f"commutator_defect/{i}") for i in range(3)]
    ours = {name: array[0] for name, array in reading(problem, pairs=3).items()}
    theirs = commutator_defect_of(model, cross_entropy, [(x[0], y[0]) for x, y in batches])
    # One by forward over reverse, the other by two backward passes, both float32.
    assert theirs.defect == pytest.approx(ours["defect"].item(), rel=1e-4)
    assert theirs.pair_defects == pytest.approx(ours["pair_defect"].tolist(), rel=1e-4)
    assert theirs.relative_defect == pytest.approx(ours["relative_defect"].item(), rel=1e-4)
    assert theirs.attention_fraction == pytest.approx(ours["attention_fraction"].item(), rel=1e-4)
    assert theirs.coverage == 0.75
    # Floors are of one draw each, and second derivatives of the two are rounded differently.
    assert 0.25 < theirs.defect_floor / ours["defect_floor"].item() < 4
    assert theirs.bracket_cosine == pytest.approx(ours["bracket_cosine"].item(), rel=1e-3)
    quartiles = [ours[f"defect_quartile_{n}"].item() for n in (1, 3)]
    assert theirs.quartiles == pytest.approx(quartiles, rel=1e-4)
    norms = torch.stack([ours["pair_first_norm"], ours["pair_second_norm"]], 1).tolist()
    assert [x for pair in theirs.pair_gradient_norms for x in pair] == pytest.approx(
        [x for pair in norms for x in pair], rel=1e-4
    )


def test_a_reading_has_its_numbers_in_one_unit_each():
    model, batches = regression(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), count=4)
    found = commutator_defect_of(model, mean_square, batches)
    assert len(found.pair_defects) == len(found.pair_gradient_norms) == 6
    for defect, size, (a, b) in zip(
        found.pair_defects, found.pair_bracket_norms, found.pair_gradient_norms
    ):
        assert defect == pytest.approx(size / (a * b))
    ordered = sorted(found.pair_defects)
    # Ranks 0 to 5: the ninth decile lies half-way between the last two.
    assert found.percentile_90 == pytest.approx((ordered[4] + ordered[5]) / 2)
    assert found.interval[0] <= found.quartiles[0] <= found.defect <= found.quartiles[1]
    # Medians of few pairs, so up to the scatter between them.
    assert found.defect_floor == pytest.approx(
        found.rounding_floor / found.gradient_norm**2, rel=0.5
    )
    assert -1 <= found.bracket_cosine <= 1


class Attention(nn.Module):
    """Fused attention, or the same by hand."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.qkv = nn.Linear(8, 24)
        self.fused = fused

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        if self.fused:
            return F.scaled_dot_product_attention(q, k, v)
        return (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1) @ v


def test_fused_attention_runs_with_second_derivatives_and_is_put_back():
    torch.manual_seed(1)
    batches = [(torch.randn(2, 3, 8), torch.randn(2, 3, 8)) for _ in range(2)]
    before = torch.backends.cuda.flash_sdp_enabled(), torch.backends.mha.get_fastpath_enabled()
    fused, by_hand = (
        commutator_defect_of(Attention(f), mean_square, batches).defect for f in (True, False)
    )
    assert fused == pytest.approx(by_hand, rel=1e-5)
    with pytest.raises(ZeroDivisionError):
        commutator_defect_of(Attention(True), lambda model, batch: 1 / 0, batches)
    assert before == (
        torch.backends.cuda.flash_sdp_enabled(),
        torch.backends.mha.get_fastpath_enabled(),
    )


def test_torch_encoder_layers_work_in_both_modes():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    torch.manual_seed(1)
    batches = [(torch.randn(2, 3, 8), torch.randn(2, 3, 8)) for _ in range(2)]
    training = commutator_defect_of(layer.train(), mean_square, batches)
    evaluating = commutator_defect_of(layer.eval(), mean_square, batches)
    assert training.defect == pytest.approx(evaluating.defect, rel=1e-5)
    assert 0 < training.attention_fraction < 1


def test_parameters_buffers_and_gradients_stay():
    model, batches = regression(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 4))
    before = {name: x.clone() for name, x in model.state_dict().items()}
    commutator_defect_of(model, mean_square, batches)
    assert all(torch.equal(x, before[name]) for name, x in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_a_linear_model_with_square_loss_is_a_quadratic():
    model, batches = regression(nn.Linear(4, 4, bias=False))
    W = model[0].weight.detach().double()
    (X, Y), (U, V) = ((x.double(), y.double()) for x, y in batches)
    scale = 2 / 24  # of the mean over 6 × 4 entries
    g_A, g_B = scale * (W @ X.T - Y.T) @ X, scale * (W @ U.T - V.T) @ U
    L = scale * (g_A @ U.T @ U - g_B @ X.T @ X)
    found = commutator_defect_of(model, mean_square, batches)
    assert found.defect == pytest.approx((L.norm() / g_A.norm() / g_B.norm()).item(), rel=1e-5)


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        return 2 * grad


class OnceModule(nn.Module):
    def forward(self, x):
        return Once.apply(x)


class Rounded(nn.Module):
    def forward(self, x):
        return x.argmax(-1, keepdim=True).float().expand_as(x)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ((nn.Linear(4, 4), nn.Sigmoid(), nn.ReLU(inplace=True)), r"module '2' \(ReLU\) changes"),
        ((nn.Linear(4, 4), OnceModule(), nn.Tanh()), r"module '1' \(OnceModule\) cannot"),
        ((nn.Linear(4, 4), Rounded()), r"module '1' \(Rounded\) cuts the gradient"),
    ],
    ids=["in place", "once", "argmax"],
)
def test_what_has_no_second_derivative_is_named(layers, expected):
    model, batches = regression(*layers)
    with pytest.raises(ValueError, match=expected):
        commutator_defect_of(model, mean_square, batches)


class ByName(nn.Module):
    """Calls what it holds by the name of its argument, and changes one in place."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.first, self.inner = nn.Linear(4, 4), inner

    def forward(self, x):
        return self.inner(x=self.first(x).sigmoid())


class InPlace(nn.Module):
    def forward(self, x):
        return x.mul_(2.0)


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        (OnceModule(), r"module '0\.inner' \(OnceModule\) cannot be differentiated twice"),
        (InPlace(), r"module '0\.inner' \(InPlace\) changes"),
    ],
    ids=["once", "in place"],
)
def test_modules_that_are_called_by_name_are_named(inner, expected):
    model, batches = regression(ByName(inner))
    with pytest.raises(ValueError, match=expected):
        commutator_defect_of(model, mean_square, batches)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ((nn.Linear(4, 4), nn.Dropout(0.1)), r"in module '1' \(Dropout\); call model.eval"),
        (
            (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),),
            r"module '0.self_attn' \(MultiheadAttention\), module '0.dropout' \(Dropout\)",
        ),
    ],
)
def test_active_dropout_is_refused_and_leaves_the_stream_alone(layers, expected):
    model, batches = regression(*layers)
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match=expected):
        commutator_defect_of(model.train(), mean_square, batches)
    assert torch.equal(torch.get_rng_state(), before)
    assert commutator_defect_of(model.eval(), mean_square, batches).defect > 0


def test_a_loss_that_draws_numbers_is_refused_and_dropout_that_drops_nothing_is_fine():
    model, batches = regression(nn.Linear(4, 4), nn.Dropout(0.0))
    assert commutator_defect_of(model.train(), mean_square, batches).defect > 0

    def noisy(model, batch):
        return mean_square(model, (batch[0] + torch.randn_like(batch[0]), batch[1]))

    with pytest.raises(ValueError, match="random numbers in the loss function itself"):
        commutator_defect_of(model, noisy, batches)


def test_harmless_in_place_modules_are_fine():
    fresh, batches = regression(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    expected = commutator_defect_of(fresh, mean_square, batches).defect
    fresh[1].inplace = True
    assert commutator_defect_of(fresh, mean_square, batches).defect == expected


def test_errors_of_the_function():
    model, batches = regression(nn.Linear(4, 4), count=3)
    with pytest.raises(ValueError, match="1 <= pairs <= 3, all that 3 batches make, got 4"):
        commutator_defect_of(model, mean_square, batches, pairs=4)
    with pytest.raises(ValueError, match="expected two batches at least, got 1"):
        commutator_defect_of(model, mean_square, batches[:1])
    with pytest.raises(ValueError, match="expected a finite loss, got nan"):
        commutator_defect_of(model, lambda m, b: mean_square(m, b) * torch.nan, batches)
    with pytest.raises(ValueError, match=r"expected a scalar loss, got \(6, 4\)"):
        commutator_defect_of(model, lambda m, b: m(b[0]), batches)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        commutator_defect_of(model, lambda m, b: mean_square(m, (b[0][:, :2], b[1])), batches)
