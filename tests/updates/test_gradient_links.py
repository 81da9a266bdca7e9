"""Links that act on gradients, against closed forms and published optimizers."""

import pytest
import torch
from link_cases import GROUPS, LAYOUT, MATRICES, applied, clock, matrix, parameters

from cases import EAGER, tiny
from spectraledge.training import Problem, Trainer
from spectraledge.updates import Adam, ClipGradient, Grokfast, Muon, OrthogonalGradient, chain


def slopes(runs: int, index: int = 0) -> torch.Tensor:
    return parameters(runs, seed=100 + index)


# --- Grokfast --------------------------------------------------------------------------------


def test_grokfast_on_a_constant_gradient():
    """The mean starts at the gradient and stays there: amplified by 1 + λ from the first step."""
    constant = slopes(2)
    updates = [Grokfast(0.9, 2.0), Grokfast(0.5, 0.5)]
    for last in (1, 2, 7):
        indices = range(1, last + 1)
        _, gradient = applied(updates, parameters(2), indices, slope=lambda index: constant)
        expected = constant * torch.tensor([[3.0], [1.5]])
        torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=0)  # float32 rounding


def published_filter(gradients, alpha, amplification):
    """The published loop, written out: the running mean starts at the first gradient."""
    mean = gradients[0]
    for gradient in gradients:
        mean = alpha * mean + (1 - alpha) * gradient
        filtered = gradient + amplification * mean
    return filtered


def test_grokfast_on_changing_gradients_of_a_group():
    updates = [Grokfast(0.8, 3.0, on="matrices")]
    _, gradient = applied(updates, parameters(1), range(1, 6), slope=lambda index: slopes(1, index))
    raw = [slopes(1, index).double() for index in range(1, 6)]
    expected = published_filter(raw, 0.8, 3.0)
    for name in MATRICES:
        torch.testing.assert_close(
            matrix(gradient, name).double(), matrix(expected, name), rtol=1e-5, atol=1e-6
        )
    assert torch.equal(LAYOUT.view(gradient, "gain"), LAYOUT.view(slopes(1, 5), "gain"))


# --- orthogonal gradients --------------------------------------------------------------------


def test_gradients_turn_across_the_weights_and_keep_their_length():
    theta, raw = parameters(2), slopes(2)
    _, gradient = applied([OrthogonalGradient()] * 2, theta, slope=lambda index: raw)
    for name in LAYOUT.names:
        for run in (0, 1):
            w, g, was = (LAYOUT.view(t, name)[run].double() for t in (theta, gradient, raw))
            assert (w * g).sum().abs() < 1e-6 * w.norm() * g.norm()  # float32 entries
            assert g.norm().item() == pytest.approx(was.norm().item(), rel=1e-6)
            across = was - (was * w).sum() / w.square().sum() * w
            expected = across * was.norm() / across.norm()
            torch.testing.assert_close(g, expected, rtol=0, atol=1e-6 * was.abs().max().item())


def test_gradients_along_the_weights_vanish_and_zero_weights_change_nothing():
    theta = parameters(1)
    LAYOUT.view(theta, "b.key").zero_()
    raw = slopes(1)
    LAYOUT.view(raw, "a.query").copy_(-0.3 * LAYOUT.view(theta, "a.query"))
    _, gradient = applied([OrthogonalGradient()], theta, slope=lambda index: raw)
    assert matrix(gradient, "a.query").count_nonzero() == 0
    assert torch.equal(matrix(gradient, "b.key"), matrix(raw, "b.key"))
    _, gradient = applied([OrthogonalGradient(on="qk")], theta, slope=lambda index: raw)
    assert torch.equal(matrix(gradient, "c.value"), matrix(raw, "c.value"))


# --- Muon ------------------------------------------------------------------------------------


def test_muon_consumes_the_gradient_and_adam_leaves_its_matrices_alone():
    """Parameters and moments of Muon's matrices: as without Adam, and zero, to the last bit."""
    theta, moved_by_muon = parameters(1), parameters(1)
    both, (_, adam) = chain([(Muon(on="matrices"), Adam())], theta, LAYOUT, GROUPS)
    states = [_, adam]
    single, single_states = chain([(Muon(on="matrices"),)], moved_by_muon, LAYOUT, GROUPS)
    inside = LAYOUT.mask(MATRICES)
    for index in range(1, 5):
        gradient, same = slopes(1, index), slopes(1, index)
        both.apply_(theta, gradient, states, clock(1, index), {})
        single.apply_(moved_by_muon, same, single_states, clock(1, index), {})
        assert gradient[:, inside].count_nonzero() == 0
        assert torch.equal(gradient[:, ~inside], slopes(1, index)[:, ~inside])
    assert torch.equal(theta[:, inside], moved_by_muon[:, inside])
    assert not torch.equal(theta[:, ~inside], moved_by_muon[:, ~inside])
    for moment in adam.values():
        assert moment[:, inside].count_nonzero() == 0
        assert moment[:, ~inside].count_nonzero() > 0


def torch_muon(name, steps, lr, **options):
    """torch.optim.Muon on one matrix."""
    weight = torch.nn.Parameter(matrix(parameters(1), name).clone())
    optimizer = torch.optim.Muon([weight], lr=lr, weight_decay=0.0, **options)
    for index in range(1, steps + 1):
        weight.grad = matrix(slopes(1, index), name).clone()
        optimizer.step()
    return weight.detach()


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize(
    ("scale", "theirs"), [("original", "original"), ("match_rms", "match_rms_adamw")]
)
def test_muon_parity_with_torch(scale, theirs, nesterov, monkeypatch):
    """Exact once torch's iteration runs in float32 too; in its bfloat16, to that precision."""
    update = Muon(0.9, nesterov, scale, on="matrices")
    ours, _ = applied([update], parameters(1), range(1, 11), slope=lambda i: slopes(1, i))
    options = {"momentum": 0.9, "nesterov": nesterov, "adjust_lr_fn": theirs}
    for half in (True, False):
        if not half:
            monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor.clone())
        for name in MATRICES:
            expected = torch_muon(name, 10, 0.1, **options)
            moved = (expected - matrix(parameters(1), name)).norm()
            error = (matrix(ours, name) - expected).norm() / moved
            # Measured: 1.4e-6 in float32, ten steps of a map with slopes up to 3.4^5. In bfloat16,
            # with entries rounded to 2^-9: 0.7 to 1.1 %.
            assert error < (0.03 if half else 1e-5), (name, half, error)


@pytest.mark.parametrize("name", MATRICES)
def test_muon_with_polar_express_steps_along_the_polar_factor(name):
    update = Muon(0.0, schedule="polar_express", steps=8, scale="match_rms", on="matrices")
    start = parameters(1)
    moved, _ = applied([update], start, slope=lambda index: slopes(1))
    U, _, Vh = torch.linalg.svd(matrix(slopes(1), name).double(), full_matrices=False)
    size = 0.1 * 0.2 * max(matrix(start, name).shape) ** 0.5
    step = (matrix(start, name) - matrix(moved, name)).double()
    # Eight quintics bring singular values above 1e-3 of the largest to 1 within rounding, here of
    # a difference of weights of 1 and steps of 0.05.
    torch.testing.assert_close(step, size * (U @ Vh), rtol=0, atol=1e-5 * size)


def test_muon_and_adam_train():
    spec = tiny(updates=(ClipGradient(1.0), Muon(on="matrices"), Adam()), lr=1e-2, steps=60,
                record_every=60)  # fmt: skip
    first, last = Trainer(Problem([spec], EAGER)).snapshots()
    assert last.metrics["train_loss"] < 0.2 * first.metrics["train_loss"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grokfast(alpha=1.0), "Grokfast: expected 0.0 <= alpha < 1.0, got 1.0"),
        (lambda: Grokfast(amplification=-1.0), "amplification < inf, got -1.0"),
        (lambda: Muon(momentum=1.0), "Muon: expected 0.0 <= momentum < 1.0, got 1.0"),
        (lambda: Muon(steps=0), "steps < inf, got 0"),
        (lambda: Muon(scale="match_rms_adamw"), "did you mean 'match_rms'"),
        (lambda: Muon(schedule="newton"), "unknown schedule 'newton'; known: muon, polar_express"),
        (lambda: applied([Muon(on="all")], parameters(1)), "Muon: expected matrices, got gain"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
