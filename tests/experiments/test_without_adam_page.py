"""The page on suppression under SGD finds planted effects and their opposites."""

import pytest

from experiments.planted_interventions import planted_interventions, scatter
from spectraledge.experiments.execution_subspace.suppression_arms import (
    AMPLIFIED,
    PRIMARY,
    RANDOM,
    SCALED,
)
from spectraledge.experiments.execution_subspace.suppression_without_adam import (
    CHAINS,
    STUDY,
    sgd_protocol,
)
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.report import write
from spectraledge.updates import SGD, WeightDecay

SLOWED = {PRIMARY: 1500, SCALED: 1500, RANDOM: 1500, AMPLIFIED: -500}
SUPPRESSED = {PRIMARY: 2500, SCALED: 500, RANDOM: 500, AMPLIFIED: 1000}


def page(delays, scale="demo"):
    def rule(arm, seed):
        return 3000 + 100 * (seed % 5) + delays.get(arm, 0) + scatter(arm, seed, 50), 1.0

    return STUDY.page(planted_interventions(sgd_protocol(scale), CHAINS, rule), scale)


def statuses(found):
    return [v.status for v in found.verdicts]


# Delays, beyond scaling, random as scaling, amplification.
@pytest.mark.parametrize(
    ("delays", "expected"),
    [
        (SLOWED, ["holds", "undecided", "holds", "fails"]),
        (SUPPRESSED, ["holds", "holds", "holds", "holds"]),
        ({PRIMARY: -800, RANDOM: 1000}, ["fails", "fails", "fails", "undecided"]),
    ],
)
def test_what_is_planted_is_found(delays, expected, tmp_path):
    found = page(delays)
    assert statuses(found) == expected
    write(found, tmp_path / "page.html")


def test_nothing_is_a_page_and_smoke_decides_nothing(tmp_path):
    nothing = STUDY.page(Known(Ledger(), STUDY.until), "demo")
    assert set(statuses(nothing)) == {"undecided"}
    write(nothing, tmp_path / "page.html")
    assert set(statuses(page(SUPPRESSED, "smoke"))) == {"undecided"}


def test_runs_are_under_sgd_with_the_decay_a_step_of_adam():
    runs = list(STUDY.wanted(Known(Ledger(), STUDY.until), "demo"))
    assert len(runs) == 5
    for spec in runs:
        assert isinstance(spec.updates[-1], SGD)
        (decay,) = [u for u in spec.updates if isinstance(u, WeightDecay)]
        # The reduced regime decays by 1e-3 a step; products of floats, to rounding.
        assert spec.lr * decay.strength == pytest.approx(1e-3, rel=1e-12)
