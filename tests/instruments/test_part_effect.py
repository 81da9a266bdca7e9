"""Effects of the parts of an update on a quadratic loss, where each of them is known."""

from dataclasses import replace

import pytest
import torch
from functional_problems import RUNS, D, QuadraticLoss, quadratic_run

from spectraledge.instruments import FunctionalSite, PartEffect, Window

INSTRUMENT = PartEffect(directions=2, window=4, rows=6, kinds=("query",))


def window_of(**parts) -> Window:
    taken = quadratic_run()
    last = replace(taken[-1], parts=dict(parts))
    return Window((*taken[:-1], last), QuadraticLoss())


def padded(part):
    return torch.nn.functional.pad(part, (0, taken_size() - D))


def taken_size():
    return quadratic_run()[-1].parameters.shape[1]


def moved():
    taken = quadratic_run()
    return (taken[-1].parameters - taken[-2].parameters)[:, :D].double()


def test_the_effect_is_that_of_the_step_that_the_part_points_to():
    site = FunctionalSite.of(INSTRUMENT, window_of())
    # Decay goes against v1 by more than the whole way, so that the gradient goes along it.
    decay = -3 * moved().norm(dim=1, keepdim=True) * site.directions[:, 0]
    found = INSTRUMENT.measure(window_of(weight_decay=padded(decay), gradient=padded(decay)))
    at = INSTRUMENT.labels(window_of())["part"].index
    points = [site.vector + s * 0.005 * site.norm[:, None] * site.directions[:, 0] for s in (1, -1)]
    loss = site.outcomes(points).loss
    ahead, back = (loss[:, 1:] - loss[:, :1]).unbind(1)
    torch.testing.assert_close(found["loss_change"][:, 0, at("gradient")], ahead)
    torch.testing.assert_close(found["loss_change"][:, 0, at("weight_decay")], back)
    expected = (decay * site.directions[:, 0]).sum(1)
    torch.testing.assert_close(found["projection"][:, 0, at("weight_decay")], expected)
    whole = (moved()[:, None] * site.directions).sum(-1)
    torch.testing.assert_close(found["projection"].sum(-1), whole, rtol=1e-9, atol=1e-12)


def test_a_decay_that_no_update_makes_has_no_effect():
    found = INSTRUMENT.measure(window_of(gradient=padded(moved())))
    assert not found["loss_change"][..., 1:].any()
    assert not found["projection"][..., 1:].any()
    assert found["loss_change"][..., 0].any()


def test_what_was_not_recorded_is_not_known():
    found = INSTRUMENT.measure(window_of())
    assert found["loss_change"].isnan().all()
    first = INSTRUMENT.measure(Window(window_of().snapshots[:1], QuadraticLoss()))
    assert first["projection"].isnan().all()
    assert first["loss_change"].shape == (RUNS, 2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"directions": 0}, "directions >= 1, got 0"),
        ({"window": 2}, "2 updates for 3 directions"),
        ({"kinds": ("quary",)}, "did you mean 'query'"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        PartEffect(**options)
