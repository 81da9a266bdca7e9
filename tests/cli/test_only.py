"""Parts of a sweep by the settings of its runs."""

from dataclasses import replace

import pytest

from cases import tiny
from spectraledge.cli.only import Only, only_part, parse_only
from spectraledge.cli.sweep_goal import Goal
from spectraledge.experiments.study import Stage
from spectraledge.lab.ledger import Ledger
from spectraledge.updates import Adam, During, ProjectGradient, RandomBasis, WeightDecay


def chain(strength):
    return (During(ProjectGradient(RandomBasis(2), strength), 5), WeightDecay(0.5), Adam())


RUNS = [
    tiny(seed=seed, updates=chain(strength), lr=lr)
    for seed in (0, 1)
    for strength in (0.25, 1.0)
    for lr in (1e-3, 1e-2)
]
GOAL = Goal("all", (Stage(None, lambda ledger: RUNS),), ())


def part(*texts):
    goal = only_part(GOAL, parse_only(texts), Ledger())
    return goal.stages[0].wanted(Ledger())


def test_nothing_asked_for_is_the_whole():
    assert only_part(GOAL, (), Ledger()) is GOAL


def test_conditions_are_met_together_and_values_one_of_them():
    assert part("seed=1") == [run for run in RUNS if run.seed == 1]
    assert part("lr=0.001", "seed=0") == [r for r in RUNS if r.lr == 1e-3 and r.seed == 0]
    assert part("seed=0,1") == RUNS


@pytest.mark.parametrize("text", ["strength=1", "update.strength=1.0", "During.update.strength=1"])
def test_a_number_is_meant_by_any_end_of_its_name_and_any_way_to_write_it(text):
    # Another link of the chain has a strength as well, of one half.
    found = part(text)
    assert found == [run for run in RUNS if run.updates[0].update.strength == 1.0]
    assert len(found) == 4


def test_words_are_compared_whole():
    assert part("basis=RandomBasis") == RUNS
    with pytest.raises(ValueError, match="no run has it; there are RandomBasis"):
        part("basis=Random")


def test_it_goes_on_choosing_among_runs_of_later_rounds():
    later = replace(RUNS[0], seed=1, steps=9)

    def wanted(ledger):
        return [*RUNS, later] if len(ledger) else RUNS

    goal = only_part(replace(GOAL, stages=(Stage(None, wanted),)), parse_only(["seed=1"]), Ledger())
    assert later not in goal.stages[0].wanted(Ledger())

    class Grown(Ledger):
        def __len__(self):
            return 1

    assert later in goal.stages[0].wanted(Grown())


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["sed=1"], "no run has such a setting; closest: seed"),
        (["qqq=1"], "no run has such a setting; there are .*seed"),
        (["seed=7"], "no run has it; there are 0, 1"),
        (["seed=x"], "no run has it"),
        (["seed"], "expected NAME=VALUE"),
        (["=1"], "expected NAME=VALUE"),
        (["seed=1,"], "expected NAME=VALUE"),
    ],
)
def test_what_names_nothing_is_refused(texts, message):
    with pytest.raises(ValueError, match=message):
        part(*texts)


def test_conditions_that_exclude_each_other_are_refused():
    other = Goal("", (Stage(None, lambda ledger: [RUNS[0], replace(RUNS[1], seed=3)]),), ())
    with pytest.raises(ValueError, match="no run has all of it"):
        only_part(other, (Only("seed", ("3",)), Only("lr", ("0.001",))), Ledger())


def test_groundwork_stays_whole_and_what_follows_is_named_once_it_is_known():
    def wanted(ledger):
        assert len(ledger), "the groundwork must be known first"
        return RUNS

    goal = Goal("", (Stage(None, lambda ledger: RUNS[:3]), Stage(None, wanted)), ())
    found = only_part(goal, parse_only(["seed=1"]), Ledger())
    assert found.stages[0].wanted(Ledger()) == RUNS[:3]

    class Grown(Ledger):
        def __len__(self):
            return 1

    assert found.stages[1].wanted(Grown()) == [run for run in RUNS if run.seed == 1]
    # What is nearly a name would train the groundwork first; what is none may be one later on.
    with pytest.raises(ValueError, match="--only sed=1: no such setting; closest: seed"):
        only_part(goal, parse_only(["sed=1"]), Ledger())
    later = only_part(goal, parse_only(["qqq=1"]), Ledger())
    with pytest.raises(ValueError, match="no run has such a setting"):
        later.stages[1].wanted(Grown())
