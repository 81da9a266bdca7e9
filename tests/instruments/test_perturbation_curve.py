"""Curves and curvatures on a quadratic loss, and on a real model in float64."""

from dataclasses import replace

import pytest
import torch
from functional_problems import RUNS, D, ModelProblem, QuadraticLoss, quadratic_run

from spectraledge.instruments import (
    FunctionalSite,
    Observer,
    PerturbationCurve,
    UpdateWindow,
    Window,
    directional_curvature,
    instrument_key,
)
from spectraledge.instruments.functional_site import random_units
from spectraledge.instruments.perturbation_curve import displacement_levels

INSTRUMENT = PerturbationCurve(points=5, random=2, rows=6, kinds=("query",))
NAMES = ("v1", "v2", "v3", "v4", "theta", "random1", "random2")


def measured(instrument=INSTRUMENT, problem=None, snapshots=None):
    snapshots = quadratic_run() if snapshots is None else snapshots
    return instrument.measure(Window(tuple(snapshots), problem or QuadraticLoss()))


def directions(snapshots) -> torch.Tensor:
    """The seven directions in all parameters, from their definitions."""
    theta = snapshots[-1].parameters[:, :D]
    v = UpdateWindow.of(snapshots, ("query",), 5).directions(4)
    v = v * torch.einsum("rkd,rd->rk", v, theta).sign()[..., None]
    unit = theta / theta.norm(dim=1, keepdim=True)
    units = random_units(D, seed=0, step=snapshots[-1].step)
    drawn = [next(units).expand_as(unit) for _ in range(2)]
    return torch.nn.functional.pad(torch.stack([*v.unbind(1), unit, *drawn], 1), (0, 6))


@pytest.mark.parametrize("steps", ["relative", "published"])
def test_curves_of_a_quadratic_loss(steps):
    problem, snapshots = QuadraticLoss(), quadratic_run()
    found = measured(replace(INSTRUMENT, steps=steps), problem, snapshots)
    theta, along = snapshots[-1].parameters, directions(snapshots)
    half = {"relative": [0.001, 1.0], "published": [0.015, 0.03]}[steps]
    levels = [-half[1], -half[0], 0.0, *half]
    size = torch.tensor(levels, dtype=torch.float64).repeat(RUNS, 1)
    if steps == "relative":
        size = size * theta[:, :D].norm(dim=1, keepdim=True)
    points = theta[:, None, None] + size[:, None, :, None] * along[:, :, None]
    loss = torch.stack([problem.loss(p, run) for run, p in enumerate(points)])
    close = {"rtol": 1e-9, "atol": 1e-12}
    torch.testing.assert_close(found["displacement"], size, **close)
    torch.testing.assert_close(found["loss"], loss, **close)
    p, q = (-found["loss"][:, :, 2:3]).exp(), (-found["loss"]).exp()
    divergence = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    torch.testing.assert_close(found["divergence"], divergence, **close)
    assert torch.equal(found["largest_divergence"], found["divergence"].amax(-1))
    curvature = torch.einsum("rkp,rpq,rkq->rk", along, problem.H, along)
    torch.testing.assert_close(found["curvature"], curvature, **close)


def test_published_curvature_is_the_second_difference():
    exact, published = (
        measured(replace(INSTRUMENT, curvature=name))["curvature"]
        for name in ("exact", "published")
    )
    # float64 eps times the loss over the square of the displacement, 2e-16 / (1e-3 * 4)^2.
    torch.testing.assert_close(published, exact, rtol=1e-6, atol=1e-9)


def test_exact_curvature_of_a_model_is_that_of_finite_differences():
    problem = ModelProblem()
    instrument = replace(INSTRUMENT, kinds=PerturbationCurve().kinds, rows=40)
    site = FunctionalSite.of(instrument, Window(tuple(problem.run()), problem))
    units = site.compared(2, seed=0, step=5)
    exact, differences = (directional_curvature(site, units, m) for m in ("exact", "published"))
    # Truncation: the fourth derivative times (1e-3 ‖θ‖)² / 12.
    torch.testing.assert_close(differences, exact, rtol=1e-4, atol=1e-8)


def test_missing_directions_are_nan_and_the_rest_is_measured():
    observer = Observer([INSTRUMENT], QuadraticLoss())
    for index, snapshot in enumerate(quadratic_run(6)):
        found = observer.observe(snapshot)[instrument_key(INSTRUMENT)]
        there = found["curvature"].isfinite().all(0)
        assert there.tolist() == [k < index for k in range(4)] + [True] * 3
        assert torch.equal(found["loss"].isfinite().all(-1).all(0), there)


def test_positive_displacements_lengthen_theta():
    snapshots = quadratic_run()
    site = FunctionalSite.of(INSTRUMENT, Window(tuple(snapshots), QuadraticLoss()))
    along = torch.einsum("rkd,rd->rk", site.directions, site.vector)
    assert bool((along > 0).all())


def test_measuring_twice_gives_the_same_and_another_seed_does_not():
    first, again, other = (measured(replace(INSTRUMENT, seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(first["loss"], again["loss"])
    assert torch.equal(first["loss"][:, :5], other["loss"][:, :5])
    assert not torch.equal(first["loss"][:, 5:], other["loss"][:, 5:])


def test_random_units_are_uniform_unit_vectors():
    stream = random_units(3, seed=0, step=1)
    drawn = torch.stack([next(stream) for _ in range(4000)])
    torch.testing.assert_close(drawn.norm(dim=1), torch.ones(4000).double())
    second_moment = drawn.mT @ drawn / len(drawn)
    # Four standard errors of a mean of squares with variance 4/45.
    torch.testing.assert_close(second_moment, torch.eye(3).double() / 3, rtol=0, atol=0.02)


def test_levels_and_labels():
    assert displacement_levels("published", 25).tolist() == pytest.approx(
        torch.linspace(-0.03, 0.03, 25).tolist(), abs=1e-8
    )
    relative = displacement_levels("relative", 25)
    assert relative.abs()[[0, 11, 12, 13, -1]].tolist() == pytest.approx([1, 1e-3, 0, 1e-3, 1])
    labels = PerturbationCurve(random=2).labels(Window(tuple(quadratic_run(1))))
    assert labels["direction"] == NAMES
    assert labels["displacement"][:2] == ("-1", "-0.5337")
    assert len(set(labels["displacement"])) == 25


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PerturbationCurve(steps="absolute"), "known: relative, published"),
        (lambda: PerturbationCurve(points=4), "odd number of points >= 3, got 4"),
        (lambda: PerturbationCurve(curvature="exakt"), "did you mean 'exact'"),
        (lambda: PerturbationCurve(random=0), "random >= 1, got 0"),
        (lambda: PerturbationCurve(window=3), "3 updates for 4 directions; widen"),
        (lambda: PerturbationCurve(kinds=("quary",)), "did you mean 'query'"),
        (lambda: INSTRUMENT.measure(Window(tuple(quadratic_run()))), "evaluates the model"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
