"""Responses along directions, on a quadratic loss and on a real model."""

from dataclasses import replace

import pytest
import torch
from functional_problems import RUNS, D, ModelProblem, QuadraticLoss, quadratic_run

from spectraledge.instruments import (
    FunctionalSite,
    LogitResponse,
    Window,
    component_effects,
)
from spectraledge.instruments.functional_site import random_units

INSTRUMENT = LogitResponse(random=3, rows=6, kinds=("query",))


def window_of(problem=None, snapshots=None) -> Window:
    return Window(tuple(quadratic_run() if snapshots is None else snapshots),
                  problem or QuadraticLoss())  # fmt: skip


def test_function_change_and_response_by_their_definitions():
    problem, window = QuadraticLoss(), window_of()
    found = INSTRUMENT.measure(window_of(problem))
    site = FunctionalSite.of(INSTRUMENT, window)
    stream = random_units(D, seed=0, step=window.now.step)
    drawn = [next(stream).expand(RUNS, D) for _ in range(3)]
    units = torch.stack([*site.directions.unbind(1), site.unit, *drawn], 1)
    whole = torch.nn.functional.pad(units, (0, 6))
    theta = window.now.parameters

    def at(relative):
        points = theta[:, None] + relative * site.norm[:, None, None] * whole
        return torch.stack([problem.loss(p, run) for run, p in enumerate(points)])

    base = torch.stack([problem.loss(t, run) for run, t in enumerate(theta)])[:, None]
    change = (at(0.001) - base).abs()
    # The margin is the one logit that moves.
    response = ((at(0.005).expm1()).log() - base.expm1().log()).abs()
    chance = response[:, 5:].square().mean(1, keepdim=True).sqrt()
    close = {"rtol": 1e-7, "atol": 1e-12}
    expected = torch.cat([change[:, :5], change[:, 5:].mean(1, keepdim=True)], 1)
    torch.testing.assert_close(found["loss_change"], expected, **close)
    torch.testing.assert_close(found["response"], torch.cat([response[:, :5], chance], 1), **close)
    torch.testing.assert_close(found["gamma"], found["response"] / chance, **close)
    assert found["singular_value"][:, 4:].isnan().all()


def test_random_directions_have_a_gamma_of_one():
    found = INSTRUMENT.measure(window_of())
    torch.testing.assert_close(found["gamma"][:, -1], torch.ones(RUNS).double())


def test_a_model_without_any_history():
    problem = ModelProblem()
    instrument = LogitResponse(random=2, rows=20)
    found = instrument.measure(window_of(problem, problem.run(1)))
    assert found["gamma"][:, :4].isnan().all()
    assert found["gamma"][:, 4:].isfinite().all()
    assert instrument.labels(window_of())["direction"] == (
        "v1",
        "v2",
        "v3",
        "v4",
        "theta",
        "random",
    )


def test_effects_of_parts_follow_the_sign_of_the_part():
    site = FunctionalSite.of(INSTRUMENT, window_of())
    v = site.directions
    ahead, across = v[:, 0] + 2 * v[:, 1], v[:, 3]
    parts = torch.stack([ahead, -ahead, across], 1)
    found = component_effects(site, v[:, :2].unbind(1), parts)
    points = [
        site.vector + s * 0.005 * site.norm[:, None] * v[:, k] for k in (0, 1) for s in (1, -1)
    ]
    loss = site.outcomes(points).loss
    expected = (loss[:, 1:] - loss[:, :1]).unflatten(1, (2, 2))
    torch.testing.assert_close(found["loss_change"][..., :2], expected, rtol=1e-9, atol=1e-14)
    # ⟨v_4, v_1⟩ is rounding, so the sign of that part means nothing; exact zeros have no effect.
    none = component_effects(site, v[:, :2].unbind(1), torch.zeros_like(parts))
    assert not none["loss_change"].any()
    assert not none["accuracy_change"].any()


def test_effects_of_unknown_parts_are_nan():
    site = FunctionalSite.of(INSTRUMENT, window_of())
    parts = torch.full((RUNS, 1, D), torch.nan).double()
    assert component_effects(site, site.directions.unbind(1), parts)["loss_change"].isnan().all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LogitResponse(random=1), "random >= 2, got 1; γ needs a mean"),
        (lambda: LogitResponse(directions=0), "directions >= 1, got 0"),
        (lambda: replace(INSTRUMENT, window=2), "2 updates for 4 directions"),
        (lambda: LogitResponse(kinds=("quary",)), "did you mean 'query'"),
        (lambda: INSTRUMENT.measure(Window(tuple(quadratic_run()))), "evaluates the model"),
        (lambda: component_effects(FunctionalSite.of(INSTRUMENT, window_of()),
                                   [], torch.zeros(RUNS, 1, D).double(), 0.0),
         "relative > 0, got 0.0; try 0.005"),
    ],
)  # fmt: skip
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
