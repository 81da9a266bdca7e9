"""The page on other tasks says where the answer on addition carries over, and what never came."""

from functools import cache

import numpy as np

from experiments.planted import planted_ledger, planted_row
from spectraledge.experiments.low_rank_decay.decay_arms import chain_of
from spectraledge.experiments.low_rank_decay.other_tasks import ARMS, STUDY
from spectraledge.experiments.low_rank_decay.sizes import size_of
from spectraledge.experiments.low_rank_decay.tuning import tuned
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.report import write
from spectraledge.tasks import ModularArithmetic
from spectraledge.updates import LowRank

# How many steps earlier low-rank decay is than L2: the same sign on one task, the other sign on
# the next, and nothing on the third; groups are never learnt.
LEADS = {"add": 600, "mul": 500, "div": -500, "x2_y2": 0}


def rule(spec):
    if not isinstance(spec.task, ModularArithmetic):
        return None
    ours = any(isinstance(u, LowRank) for u in spec.updates)
    noise = np.random.default_rng([spec.seed, ours]).normal(0, 60)
    return 2000 + noise - ours * LEADS[spec.task.operation]


@cache
def ledgers(scale):
    """The study's own rows, and those on addition, which belong to other studies."""
    own = planted_ledger(STUDY, scale, rule)
    size = size_of(scale)
    addition = [
        planted_row(spec, rule(spec))
        for arm, setting in tuned(Known(own, STUDY.until), size, ARMS).items()
        for spec in size.runs(chain_of(arm, setting.strength, size), lr=setting.lr)
    ]
    return list(own), addition


def ledger(scale):
    own, addition = ledgers(scale)
    return [*own, *addition]


def page_of(rows, scale="demo"):
    return STUDY.page(Known(Ledger(rows), STUDY.until), scale)


def test_answers_carry_over_where_they_were_planted():
    page = page_of(ledger("demo"))
    found = {v.claim.rpartition(" to ")[2]: v.status for v in page.verdicts}
    assert found == {
        "a · b": "holds",
        "a / b": "fails",
        "a² + b²": "undecided",
        "composition in S4": "undecided",
        "composition in S5": "undecided",
    }


def test_what_never_generalised_is_said():
    page = page_of(ledger("demo"))
    assert "Without any run that generalised within 4000 steps: composition in S4" in page.summary
    group = next(v for v in page.verdicts if "S5" in v.claim)
    assert "neither generalised" in group.observed
    assert "5 of 5 under low-rank decay, 5 under L2" in group.observed


def test_without_addition_nothing_is_decided():
    page = page_of(ledgers("demo")[0])
    assert {v.status for v in page.verdicts} == {"undecided"}
    assert all(v.observed == "addition not run yet" for v in page.verdicts)


def test_nothing_known_is_a_page(tmp_path):
    page = page_of([])
    assert {v.status for v in page.verdicts} == {"undecided"}
    assert page.summary.startswith("Nothing is known yet.")
    write(page, tmp_path / "page.html")


def test_a_smoke_run_decides_nothing(tmp_path):
    page = page_of(ledger("smoke"), "smoke")
    assert {v.status for v in page.verdicts} == {"undecided"}
    write(page, tmp_path / "page.html")


def test_any_part_of_the_rows_is_a_page():
    rows = ledger("demo")
    for seed in range(4):
        kept = np.random.default_rng(seed).random(len(rows)) < (seed + 1) / 5
        page_of(row for row, there in zip(rows, kept) if there)
