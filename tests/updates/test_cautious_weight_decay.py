"""Cautious weight decay between its two extremes, against the published rule written out."""

import pytest
import torch
from link_cases import GROUPS, LAYOUT, applied, matrix, parameters

from cases import EAGER, tiny
from spectraledge.training import Problem, Trainer
from spectraledge.updates import Adam, CautiousWeightDecay, During, WeightDecay

# (1 - lr s) w - u and w - u - lr s w: three float32 roundings of numbers of about 1.
ROUNDING = {"rtol": 0, "atol": 1e-6}


def moved_by(change, strengths=(0.5,), indices=(1,), wrap=lambda update: update):
    """After an optimizer whose step is `change(start)`, from the same start for each strength."""
    start = parameters(1).expand(len(strengths), -1).clone()
    updates = [wrap(CautiousWeightDecay(s)) for s in strengths]
    moved, _ = applied(updates, start, indices, between=lambda theta: theta.add_(change(start)))
    return start, moved


def test_equals_l2_where_all_signs_agree():
    """The step shrinks every weight: decay applies everywhere, as `WeightDecay` before the step."""
    start, moved = moved_by(lambda w: -0.01 * w, (0.5, 2.0))
    for run, strength in enumerate((0.5, 2.0)):
        w = matrix(start, "a.query", run)
        expected = (1 - 0.1 * strength) * w - 0.01 * w
        torch.testing.assert_close(matrix(moved, "a.query", run), expected, **ROUNDING)
    outside = ~LAYOUT.mask(GROUPS["qk"])
    assert torch.equal(moved[:, outside], (start - 0.01 * start)[:, outside])


def test_does_nothing_where_no_signs_agree():
    start, moved = moved_by(lambda w: 0.01 * w)
    assert torch.equal(moved, start + 0.01 * start)


def test_a_coordinate_at_rest_decays():
    start, moved = moved_by(lambda w: torch.zeros_like(w))
    torch.testing.assert_close(matrix(moved, "b.key"), 0.95 * matrix(start, "b.key"), **ROUNDING)


def test_the_published_rule_over_steps():
    """x ← x − lr (u + s 1(u x ≥ 0) x), entry by entry in float64."""
    start = parameters(1)
    proposals = [0.05 * parameters(1, seed=7 + index) for index in range(6)]
    expected = start.double()
    for u in proposals:
        mask = (u * expected >= 0).double() * LAYOUT.mask(GROUPS["qk"])
        expected = expected - u - 0.1 * 0.7 * mask * expected
    queue = iter(proposals)
    moved, _ = applied(
        [CautiousWeightDecay(0.7)], start, range(1, 7), between=lambda t: t.sub_(next(queue))
    )
    torch.testing.assert_close(moved.double(), expected, rtol=0, atol=5e-6)


def test_waits_for_a_step_it_has_seen():
    """Inside a window the first step only looks: what moved since the start is not the step."""
    start, moved = moved_by(lambda w: -0.01 * w, (0.5,), (1, 2, 3), lambda u: During(u, 3))
    torch.testing.assert_close(moved, 0.97 * start, **ROUNDING)
    start, moved = moved_by(lambda w: -0.01 * w, (0.5,), (1, 2, 3, 4), lambda u: During(u, 3))
    expected = 0.96 * start - 0.05 * 0.97 * start
    torch.testing.assert_close(matrix(moved, "a.query"), matrix(expected, "a.query"), **ROUNDING)


def test_decays_less_than_l2_in_training():
    updates = [(Adam(), CautiousWeightDecay(5.0, on="all")), (WeightDecay(5.0), Adam()), (Adam(),)]
    norms = []
    for links in updates:
        *_, last = Trainer(Problem([tiny(updates=links, lr=1e-2)], EAGER)).snapshots()
        norms.append(last.parameters.norm())
    cautious, full, none = norms
    assert full < cautious < none


def test_errors():
    with pytest.raises(ValueError, match=r"CautiousWeightDecay: expected 0\.0 <= strength"):
        CautiousWeightDecay(-1.0)
