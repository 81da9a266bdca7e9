"""Named grok rules on curves worked by hand, and against each other on random ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spectraledge.series import GROK_RULES, GrokRule, count_crossings, grok_rule, grok_step

# Touches 0.98 at 300, falls back, holds from 600 on.
STEPS = np.arange(0, 1200, 100)
CURVE = np.array([0.0, 0.4, 0.6, 0.98, 0.95, 0.7, 0.98, 0.99, 0.98, 1.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("grok_50", 200),
        ("grok_90", 300),
        ("grok_95", 300),
        ("grok_98", 300),
        ("dyck_sustained", 600),
        ("scan_sustained", 600),
        ("settled_98", 600),
        ("grok_stop", 800),
        ("scan_strict", 1000),
        ("dyck_strict", None),
        ("dyck_first_99", 700),
        ("scan_first_99", 700),
        ("grok_99_twice", 1000),
        ("memorised", 300),
    ],
)
def test_every_rule_by_hand(name, step):
    assert grok_step(name, STEPS, CURVE) == step


def test_every_rule_is_tested_by_hand():
    marks = test_every_rule_by_hand.pytestmark[0].args[1]
    assert {name for name, _ in marks} == set(GROK_RULES)


def test_a_touch_does_not_count_without_the_stretch():
    touch = np.array([0.0, 0.99, 0.99, 0.5])
    assert grok_step("grok_98", STEPS[:4], touch) is None
    assert grok_step("grok_90", STEPS[:4], touch) == 100


def test_a_run_that_falls_back_at_the_end_has_not_settled():
    assert grok_step("grok_stop", STEPS[:5], np.array([1, 1, 1, 1, 0.5])) == 200
    assert grok_step("settled_98", STEPS[:5], np.array([1, 1, 1, 1, 0.5])) is None
    assert grok_step("settled_98", STEPS[:4], np.ones(4)) == 0


def test_reaching_strictly_is_not_reaching():
    rule = GrokRule("r", "test accuracy", 0.99, 1, "start", "here", strict=True)
    assert rule.step(STEPS[:2], np.array([0.99, 0.9901])) == 100


curves = st.lists(st.sampled_from([0.3, 0.6, 0.93, 0.985, 1.0, float("nan")]), max_size=25)


@settings(max_examples=50)
@given(curves)
def test_rules_come_in_their_order(values):
    steps, values = 100 * np.arange(len(values)), np.array(values)
    found = {name: grok_step(name, steps, values) for name in GROK_RULES}
    late = {name: np.inf if step is None else step for name, step in found.items()}
    assert late["grok_50"] <= late["grok_90"] <= late["grok_98"]
    assert late["grok_98"] <= late["dyck_sustained"] <= late["grok_stop"]
    assert late["dyck_sustained"] <= late["settled_98"]
    if found["grok_stop"] is not None:
        # Three evaluations in a row, the first and the last two apart.
        assert found["grok_stop"] - found["dyck_sustained"] == 200


@settings(max_examples=50)
@given(curves, st.integers(1, 20))
def test_training_longer_does_not_move_a_step_once_known(values, cut):
    steps, values = 100 * np.arange(len(values)), np.array(values)
    for name, rule in GROK_RULES.items():
        early = rule.step(steps[:cut], values[:cut])
        if early is not None and name != "settled_98":
            assert rule.step(steps, values) == early


def test_crossings_by_hand():
    assert count_crossings(np.array([0.1, 0.99, 0.99, np.nan, 0.97, 0.98]), 0.98) == 3
    assert count_crossings(np.array([np.nan]), 0.98) == 0


def untyped(kind, *values):
    """Constructed without the type checks that only tests install."""
    made = object.__new__(kind)
    getattr(kind.__init__, "__wrapped__", kind.__init__)(made, *values)
    return made


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grok_rule("grok_9"), "unknown grok rule 'grok_9'; .*did you mean 'grok_9"),
        (lambda: grok_rule("zzz"), "known: dyck_first_99, .*, settled_98$"),
        (lambda: grok_step("grok_90", STEPS, CURVE[:3]), "12 steps and 3 values"),
        (lambda: grok_step("grok_90", STEPS[::-1], CURVE), "ascending steps, got 1100 before 1000"),
        (lambda: GrokRule("r", "c", 0.9, 0, "start", "here"), "r: expected patience >= 1, got 0"),
        (lambda: GrokRule("r", "c", np.nan, 1, "start", "here"), "r: expected a number as the thr"),
        (
            lambda: untyped(GrokRule, "r", "c", 0.9, 1, "setled", "here"),
            "unknown reported step of r 'setled'; known: start, .*; did you mean 'settled'",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
