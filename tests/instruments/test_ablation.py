"""What ablations remove, and their controls, on a quadratic loss."""

from dataclasses import replace

import pytest
import torch
from functional_problems import RUNS, D, QuadraticLoss, gaussian, quadratic_run

from spectraledge.instruments import (
    Ablation,
    FunctionalSite,
    Observer,
    UpdateWindow,
    Window,
    instrument_key,
)
from spectraledge.instruments.ablation_controls import (
    along,
    matched_direction,
    orthonormal_pair,
)

INSTRUMENT = Ablation(draws=3, rows=6, kinds=("query",))
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def window_of(snapshots=None, problem=None) -> Window:
    return Window(tuple(quadratic_run() if snapshots is None else snapshots),
                  problem or QuadraticLoss())  # fmt: skip


def column(found, output: str, name: str, instrument=INSTRUMENT) -> torch.Tensor:
    return found[output][:, instrument.labels(window_of())["removal"].index(name)]


def loss_at(problem, snapshot, vector) -> torch.Tensor:
    theta = snapshot.parameters.clone()
    theta[:, :D] = vector
    return torch.stack([problem.loss(t, run) for run, t in enumerate(theta)])


def test_what_is_left_is_orthogonal_to_what_was_removed():
    x = gaussian(RUNS, D)
    v = torch.linalg.qr(gaussian(RUNS, D, 3, seed=1))[0].mT.contiguous()
    left = x - along(x, v)
    assert float((v @ left.unsqueeze(-1)).abs().max()) < 1e-14
    torch.testing.assert_close(along(left, v), torch.zeros_like(x), rtol=0, atol=1e-14)


def test_removing_its_own_direction_leaves_nothing():
    x = gaussian(RUNS, D)
    unit = x / x.norm(dim=1, keepdim=True)
    assert float((x - along(x, unit.unsqueeze(1))).abs().max()) < 1e-14


@pytest.mark.parametrize("share", [0.0, 1e-3, 0.7, 1.0])
def test_a_matched_direction_holds_exactly_its_share(share):
    x, r = gaussian(RUNS, 2000), gaussian(RUNS, 2000, seed=1)
    unit = x / x.norm(dim=1, keepdim=True)
    q = matched_direction(unit, torch.full((RUNS, 1), share).double(), r)
    torch.testing.assert_close(q.norm(dim=1), torch.ones(RUNS).double(), **CLOSE)
    removed = along(x, q.unsqueeze(1)).norm(dim=1) / x.norm(dim=1)
    torch.testing.assert_close(removed, torch.full((RUNS,), share).double(), rtol=1e-12, atol=1e-16)


def test_a_random_plane_removes_the_root_of_two_over_the_dimensions():
    x, shares = gaussian(1, 500), []
    for seed in range(400):
        pair = orthonormal_pair(*gaussian(2, 1, 500, seed=seed + 1))
        torch.testing.assert_close(pair @ pair.mT, torch.eye(2).double()[None], **CLOSE)
        shares.append(along(x, pair).square().sum() / x.square().sum())
    # A share has mean 2/D and a standard deviation as large, so 5 % is the standard error.
    assert torch.stack(shares).mean().item() == pytest.approx(2 / 500, rel=0.15)


def test_changes_on_a_quadratic_loss():
    problem, snapshots = QuadraticLoss(), quadratic_run()
    found = INSTRUMENT.measure(window_of(snapshots, problem))
    now = snapshots[-1]
    theta, first, oldest = (s.parameters[:, :D] for s in (now, snapshots[0], snapshots[-6]))
    v = UpdateWindow.of(snapshots, ("query",), 5).directions(4)
    edge = along(theta, v[:, :2])
    share = edge.norm(dim=1) / theta.norm(dim=1)
    expected = {
        "edge": theta - edge,
        "bulk": theta - along(theta, v[:, 2:]),
        "v3": theta - along(theta, v[:, 2:3]),
        "displacement": theta - along(theta - first, v[:, :2]),
        "window": theta - along(theta - oldest, v[:, :2]),
        "shrink": theta * (1 - share**2).sqrt()[:, None],
    }
    u, sigma, w = torch.linalg.svd(theta.reshape(RUNS, 5, 4), full_matrices=False)
    first_level = sigma[:, :1, None] * u[:, :, :1] @ w[:, :1]
    expected["singular"] = theta - first_level.reshape(RUNS, D)
    base = loss_at(problem, now, theta)
    torch.testing.assert_close(found["loss"], base, **CLOSE)
    assert found["accuracy"].shape == (RUNS,)
    for name, vector in expected.items():
        change = loss_at(problem, now, vector) - base
        torch.testing.assert_close(
            column(found, "loss_change", name), change, rtol=1e-8, atol=1e-12
        )
        left = vector.norm(dim=1) / theta.norm(dim=1)
        torch.testing.assert_close(column(found, "left", name), left, **CLOSE)
    for name in ("edge", "matched", "additive", "singular_matched"):
        torch.testing.assert_close(column(found, "removed", name), share, **CLOSE)
    for name in ("edge", "matched", "shrink"):
        torch.testing.assert_close(
            column(found, "left", name), (1 - share**2).sqrt(), rtol=1e-10, atol=1e-12
        )


def test_means_and_spreads_over_draws():
    """The same stream, point by point."""
    window = window_of()
    found = INSTRUMENT.measure(window)
    site = FunctionalSite.of(INSTRUMENT, window)
    stream = site.random(seed=0, step=window.now.step)
    share = column(found, "removed", "edge")[:, None]
    losses = []
    for first, _ in [(next(stream), next(stream)) for _ in range(3)]:
        q = matched_direction(site.unit, share, first)
        point = site.vector - along(site.vector, q.unsqueeze(1))
        losses.append(loss_at(window.problem, window.now, point))
    each = torch.stack(losses)
    change = each.mean(0) - found["loss"]
    torch.testing.assert_close(
        column(found, "loss_change", "matched"), change, rtol=1e-8, atol=1e-10
    )
    spread = column(found, "loss_spread", "matched")
    torch.testing.assert_close(spread, each.std(0), rtol=1e-8, atol=1e-10)
    assert column(found, "loss_spread", "edge").isnan().all()
    ratio = column(found, "loss_change", "edge") / column(found, "loss_change", "matched")
    torch.testing.assert_close(found["edge_over_matched_loss"], ratio, **CLOSE)


def test_short_windows_are_nan_and_not_zero():
    observer = Observer([INSTRUMENT], QuadraticLoss())
    readings = [
        observer.observe(s)[instrument_key(INSTRUMENT)]["loss_change"] for s in quadratic_run(5)
    ]
    names = INSTRUMENT.labels(window_of())["removal"]
    needs = {"v1": 1, "edge": 2, "shrink": 2, "matched": 2, "window": 2, "bulk": 4, "random": 0,
             "singular": 0, "singular_matched": 2}  # fmt: skip
    for updates, changes in enumerate(readings):
        for name, least in needs.items():
            there = changes[:, names.index(name)].isfinite()
            assert there.tolist() == [updates >= least] * RUNS, (name, updates)


def test_without_the_first_snapshot_only_the_displacement_is_missing():
    short = replace(INSTRUMENT, from_start=False)
    assert (INSTRUMENT.history, short.history) == (None, 6)
    whole, part = (i.measure(window_of()) for i in (INSTRUMENT, short))
    assert column(part, "loss_change", "displacement").isnan().all()
    same = [n for n in INSTRUMENT.labels(window_of())["removal"] if n != "displacement"]
    for name in same:
        assert torch.equal(column(part, "removed", name), column(whole, "removed", name))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Ablation(draws=1), "draws >= 2, got 1; a spread needs two"),
        (lambda: Ablation(window=3), "3 updates for 4 directions"),
        (lambda: Ablation(rows=0), "rows >= 1, got 0"),
        (lambda: Ablation(kinds=("quary",)), "did you mean 'query'"),
        (lambda: INSTRUMENT.measure(Window(tuple(quadratic_run()))), "evaluates the model"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
