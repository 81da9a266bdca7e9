"""Packing: every run once, in equal batches, longest first, and no worker idle without need."""

from collections import Counter, defaultdict
from itertools import product

import numpy as np
import pytest
from sweep_cases import Troubled, small, tiny

from cases import EAGER
from spectraledge.lab.sweep import CostModel, Job, jobs, makespan, measure_costs, pack
from spectraledge.training import batch_key


def random_case(chance):
    """Runs of up to four groups that cannot share a batch, and what a step of each costs."""
    specs, lines = [], {}
    for group in range(chance.integers(1, 5)):
        some = [
            tiny(seed=seed, batch_size=8 + group, steps=int(chance.integers(1, 4)) * 50)
            for seed in range(chance.integers(1, 13))
        ]
        lines[jobs.kind(some[0])] = tuple(chance.uniform(0, 0.01, size=2))
        specs += some
    costs = CostModel(lines, overhead=float(chance.choice([0.0, 0.3])))
    return specs, costs, int(chance.integers(1, 6)), int(chance.integers(1, 8))


@pytest.mark.parametrize("seed", range(60))
def test_laws_of_packing(seed):
    specs, costs, workers, largest = random_case(np.random.default_rng(seed))
    packed = pack([*specs, specs[0]], costs, workers=workers, largest_batch=largest)

    assert Counter(spec for job in packed for spec in job.specs) == Counter(specs)
    sizes = defaultdict(list)
    for job in packed:
        (key,) = {batch_key(spec) for spec in job.specs}
        sizes[key].append(len(job.specs))
        assert job.seconds == costs.seconds(job.specs)
    for of_group in sizes.values():
        assert max(of_group) <= largest
        assert max(of_group) - min(of_group) <= 1
    seconds = [job.seconds for job in packed]
    assert seconds == sorted(seconds, reverse=True)

    ours = makespan(packed, workers)
    # Sums of up to 48 numbers in another order: rounding only.
    assert ours <= sum(seconds) * (1 + 1e-12)
    assert ours >= max(max(seconds), sum(seconds) / workers) * (1 - 1e-12)
    # One worker would take the coarsest batches; more workers must not be slower than that.
    coarse = pack(specs, costs, workers=1, largest_batch=largest)
    assert ours <= 1.03 * makespan(coarse, workers)


def best_makespan(seconds, workers):
    """The optimum, by trying every assignment."""
    return min(
        max(sum(s for s, w in zip(seconds, chosen) if w == k) for k in range(workers))
        for chosen in product(range(workers), repeat=len(seconds))
    )


@pytest.mark.parametrize("seed", range(40))
def test_longest_first_is_within_four_thirds_of_the_optimum(seed):
    chance = np.random.default_rng(seed)
    workers = int(chance.integers(2, 4))
    seconds = sorted(chance.uniform(0.1, 1, size=chance.integers(1, 8)), reverse=True)
    ours = makespan([Job((), s) for s in seconds], workers)
    optimum = best_makespan(seconds, workers)
    # Graham (1969): longest first takes at most (4/3 - 1/(3 workers)) times the optimum.
    assert optimum * (1 - 1e-12) <= ours <= (4 / 3 - 1 / (3 * workers)) * optimum * (1 + 1e-12)


def test_groups_of_equal_length_are_cut_together():
    # Cutting one group alone gains nothing: the other one is as long.
    specs = [tiny(seed=s, batch_size=b) for b in (8, 9) for s in range(6)]
    packed = pack(specs, CostModel(), workers=4, largest_batch=6)
    assert [len(job.specs) for job in packed] == [3, 3, 3, 3]


def test_work_is_not_cut_where_that_costs_more_than_it_gains():
    specs = [tiny(seed=s) for s in range(4)]
    fixed = CostModel({jobs.kind(specs[0]): (1.0, 1e-6)})
    assert len(pack(specs, fixed, workers=4, largest_batch=4)) == 1
    each = CostModel({jobs.kind(specs[0]): (0.0, 1.0)})
    assert len(pack(specs, each, workers=4, largest_batch=4)) == 4


def test_no_runs_and_one_run():
    assert pack([], CostModel(), workers=3, largest_batch=2) == []
    assert makespan([], workers=3) == 0.0
    (job,) = pack([tiny(steps=50)], CostModel(), workers=3, largest_batch=2)
    assert job == Job((tiny(steps=50),), 50 * 1e-3)  # 1 ms a step where nothing was measured
    assert job.run_steps == 50


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"largest_batch": 0}])
def test_numbers_out_of_range(wrong):
    with pytest.raises(ValueError, match=r"workers and largest_batch >= 1, got .*=0"):
        pack([tiny()], CostModel(), **{"workers": 1, "largest_batch": 1} | wrong)


def test_costs_recover_a_planted_line(monkeypatch):
    planted = {8: (0.004, 0.001), 16: (0.0, 0.02)}

    def seconds(spec, runs, execution):
        assert not execution.compile
        fixed, each = planted[spec.batch_size]
        return fixed + each * runs

    monkeypatch.setattr(jobs, "_step_seconds", seconds)
    specs = [tiny(batch_size=b, seed=s) for b in planted for s in range(2)]
    costs = measure_costs(specs, EAGER)
    for spec in specs:
        # Differences of two numbers near 0.01: a few units in the last place of those.
        found = costs.lines[jobs.kind(spec)]
        assert found == pytest.approx(planted[spec.batch_size], rel=1e-12, abs=1e-16)
    assert costs.seconds(specs[:2]) == pytest.approx(12 * 0.006, rel=1e-12)


def test_noise_never_makes_a_run_free(monkeypatch):
    # Four runs timed no longer than one: a tenth of that time a run, and no negative part.
    monkeypatch.setattr(jobs, "_step_seconds", lambda spec, runs, execution: 0.008 / runs)
    ((fixed, each),) = measure_costs([tiny()], EAGER).lines.values()
    assert each == 0.1 * 0.002 / 4
    assert fixed == pytest.approx(0.008 - each)


def test_costs_of_real_steps_and_of_runs_that_cannot_be_built(tmp_path):
    broken = small(task=Troubled(modulus=5, notes=str(tmp_path / "notes")))
    costs = measure_costs([tiny(), broken], EAGER)
    assert set(costs.lines) == {jobs.kind(tiny())}
    assert 0 < costs.seconds([tiny()]) < 60
