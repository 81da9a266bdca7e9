"""The page on polar accuracy tells planted differences from none, and says what is excluded."""

from functools import cache

import numpy as np
import pytest

from experiments.planted import planted_ledger, planted_row
from spectraledge.experiments.low_rank_decay.paired_comparisons import compare
from spectraledge.experiments.low_rank_decay.polar_accuracy import STUDY
from spectraledge.experiments.study import Known
from spectraledge.lab.ledger import Ledger
from spectraledge.report import write
from spectraledge.training import RunSpec
from spectraledge.updates import LowRank


def jitter(spec, size):
    # The same in two runs of one seed up to the method, as far as seeds make times differ.
    name = "".join(str(u.method) for u in spec.updates if isinstance(u, LowRank))
    return np.random.default_rng([spec.seed, len(name)]).normal(0, size)


def equal(spec):
    return 2000 + 100 * spec.seed + jitter(spec, 100)


def slow_cubic(spec):
    method = next((u.method for u in spec.updates if isinstance(u, LowRank)), "")
    return equal(spec) + (1000 if method == "published" else 0)


@cache
def known(rule, scale="demo"):
    return Known(planted_ledger(STUDY, scale, rule), STUDY.until)


def statuses(page):
    return {v.status for v in page.verdicts}


def test_nothing_known_is_a_page(tmp_path):
    page = STUDY.page(Known(Ledger(), STUDY.until), "demo")
    assert statuses(page) == {"undecided"}
    write(page, tmp_path / "page.html")


def test_a_slower_method_is_found_at_both_settings():
    page = STUDY.page(known(slow_cubic), "demo")
    assert [v.status for v in page.verdicts] == ["holds", "holds"]
    for verdict in page.verdicts:
        words, _, late = verdict.observed.partition(" by ")
        assert words == "five cubic steps later"
        # 1000 planted; records are 50 apart and differences of eight seeds scatter by 140.
        assert abs(float(late.split()[0]) - 1000) < 150
    assert "these differ from the exact proximal step: five cubic steps (later" in page.summary


def test_equal_methods_exclude_a_difference_that_matters():
    page = STUDY.page(known(equal), "demo")
    # Differences scatter by 140 steps: with 8 seeds and four comparisons, some 170 are excluded,
    # 7 % of 2350, of which a quarter would matter.
    assert [v.status for v in page.verdicts] == ["fails", "fails"]
    assert "no difference told apart" in page.verdicts[0].observed
    assert "the intervals exclude differences of more than" in page.summary


def test_wide_intervals_decide_nothing():
    def scattered(spec):
        return equal(spec) + jitter(spec, 600)

    page = STUDY.page(Known(planted_ledger(STUDY, "demo", scattered), STUDY.until), "demo")
    assert statuses(page) == {"undecided"}


def test_a_smoke_run_decides_nothing(tmp_path):
    page = STUDY.page(known(lambda spec: 5, "smoke"), "smoke")
    assert statuses(page) == {"undecided"}
    write(page, tmp_path / "page.html")


def test_any_part_of_the_rows_is_a_page():
    rows = list(known(slow_cubic).ledger)
    for seed in range(4):
        kept = np.random.default_rng(seed).random(len(rows)) < (seed + 1) / 5
        ledger = Ledger(row for row, there in zip(rows, kept) if there)
        assert statuses(STUDY.page(Known(ledger, STUDY.until), "demo")) <= {"undecided", "holds"}


def test_comparisons_are_paired_and_simultaneous():
    """Of a family of four, each interval is that of 1 − 0.05/4; the p-values are Holm's."""
    budget = 1000
    spec = RunSpec(steps=budget, record_every=10)

    def rows(steps):
        return {seed: planted_row(spec, step) for seed, step in enumerate(steps)}

    late = rows([310, 420, 530, 640, 750, 860])
    arms = {name: rows([100, 220, 330, 450, 560, 680]) for name in "abcd"}
    (first, *_) = compare({**arms, "none": {}}, late, budget)
    differences = np.array([210, 200, 200, 190, 190, 180])
    # Two-sided 98.75 % point of Student's t with 5 degrees of freedom: 3.810.
    reach = 3.810 * differences.std(ddof=1) / np.sqrt(6)
    assert first.difference.centre == pytest.approx(-differences.mean())
    assert first.difference.upper == pytest.approx(-differences.mean() + reach, abs=0.01)
    assert first.direction == "sooner"
    assert first.p == pytest.approx(4 * 2 / 2**6)  # all six agree; times four
    # Seeds that one side lacks are left out.
    assert compare({"a": rows([100, 200])}, late, budget)[0].seeds == (0, 1)
    assert compare({"a": {}}, late, budget) == []
