"""The simulated cluster: list scheduling without costs, and no second or job unaccounted for."""

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1]))

from benchmarks.cluster_costs import Costs, read, write
from benchmarks.cluster_model import LOCAL, OBJECTS, SHARED, Engine, draw_jobs
from benchmarks.cluster_simulation import simulate
from benchmarks.store_operations import Files

from spectraledge.lab.sweep import Job, makespan

FREE = Costs(
    run_seconds=(2.0, 4.0, 9.0),
    runs_per_job=3,
    save_every=5.0,
    **dict.fromkeys(
        ("start", "plan", "dispatch", "collect", "receive", "look", "ledger", "ledger_row"), 0.0
    ),
    listing=0.0,
    training=Files(),
    saving=Files(),
    driving=Files(),
)
DEAR = replace(
    FREE,
    start=7.0,
    plan=1e-3,
    dispatch=2e-3,
    collect=1e-2,
    receive=1e-4,
    look=1e-5,
    ledger=2e-2,
    ledger_row=2e-4,
    listing=1e-6,
    training=Files(puts=3, gets=2, looks=9, others=4, listings=2, sent=1e4),
    saving=Files(puts=3, looks=5, sent=2e5),
    driving=Files(gets=4, regets=3, looks=8, relooks=20, listings=1, received=5e4),
)
# Sums of a few thousand float64 of up to 1e4 seconds: rounding stays below 1e-11 of them.
ROUNDING = 1e-9
ENGINES = (
    Engine(),
    Engine(rows="worker", ledger="appended", listing=False, side_by_side=8),
    Engine(ledger="merged", drivers=3),
    Engine(rows="worker", objects="run"),
    Engine(gives_out="before rows"),
    Engine(objects="job", drivers=2),
)


def some_jobs(seed, count=60):
    return np.random.default_rng(seed).exponential(60.0, size=count).tolist()


def test_one_worker_without_costs_takes_the_sum():
    jobs = some_jobs(0)
    assert simulate(jobs, 1, FREE).makespan == pytest.approx(sum(jobs), rel=ROUNDING)


@pytest.mark.parametrize("workers", [2, 3, 7, 59, 60, 61])
@pytest.mark.parametrize("seed", range(3))
def test_without_costs_it_is_list_scheduling(seed, workers):
    jobs = some_jobs(seed)
    expected = makespan([Job((), seconds) for seconds in jobs], workers)
    assert simulate(jobs, workers, FREE).makespan == pytest.approx(expected, rel=ROUNDING)


def test_longest_first_is_within_the_bound_of_graham():
    # R. L. Graham (1969): longest first takes at most 4/3 - 1/(3 W) of the best makespan, which
    # here is 9 (5 + 4, 5 + 4, 3 + 3 + 3); longest first takes 11, the bound to the digit.
    jobs = [5.0, 5.0, 4.0, 4.0, 3.0, 3.0, 3.0]
    assert simulate(jobs, 3, FREE).makespan == pytest.approx((4 / 3 - 1 / 9) * 9)


@pytest.mark.parametrize("losses", [0.0, 30.0])
@pytest.mark.parametrize("store", [LOCAL, SHARED, OBJECTS], ids=lambda store: store.name)
@pytest.mark.parametrize("engine", ENGINES, ids=str)
def test_every_job_is_done_once_and_every_second_is_accounted_for(engine, store, losses):
    jobs = some_jobs(1)
    out = simulate(jobs, 6, DEAR, store=store, engine=engine, losses=losses)

    assert out.done == Counter(range(len(jobs)))
    assert sum(out.worker.values()) == pytest.approx(6 * out.makespan, rel=ROUNDING)
    assert out.worker["training"] == pytest.approx(sum(jobs), rel=ROUNDING)
    assert sum(out.driver.values()) <= engine.drivers * out.makespan * (1 + ROUNDING)
    assert sum(out.store.values()) <= out.makespan * (1 + ROUNDING)
    assert (out.retries > 0) == (losses > 0)
    assert (out.worker["lost"] > 0) == (losses > 0)


def test_a_lost_worker_costs_less_than_a_save_and_a_start():
    jobs = some_jobs(2)
    out = simulate(jobs, 4, DEAR, losses=100.0)
    assert out.retries > 10
    assert out.worker["lost"] < out.retries * DEAR.save_every
    assert out.worker["starting"] <= (4 + out.retries) * DEAR.start


def test_more_workers_end_sooner_until_the_driver_is_full():
    costs, engine = replace(FREE, collect=0.5), Engine(gives_out="before rows")
    jobs = [30.0] * 240
    outs = [simulate(jobs, w, costs, engine=engine) for w in (1, 2, 4, 8, 16, 40, 80)]
    spans = [out.makespan for out in outs]
    assert spans == sorted(spans, reverse=True)
    assert outs[3].limit == "none"
    # The rows of a job take 1.5 s, one job after the other; they begin when the first has ended.
    assert spans[-1] == pytest.approx(30 + 240 * 1.5)
    assert outs[-1].limit == "driver: making rows"


def test_a_driver_that_makes_all_rows_first_keeps_all_workers_waiting():
    # 80 equal jobs end at once, their rows take 120 s, and only then the next 80 are given out.
    costs = replace(FREE, collect=0.5)
    assert simulate([30.0] * 240, 80, costs).makespan == pytest.approx(3 * (30 + 80 * 1.5))


def test_the_store_serves_no_more_than_its_rate():
    store = replace(SHARED, latency=0.0, rate=10.0)
    costs = replace(FREE, saving=Files(looks=20))
    jobs = [4.0] * 100
    out = simulate(jobs, 50, costs, store=store)
    served = len(jobs) * costs.runs_per_job * 20 / store.rate
    assert served <= out.makespan <= served + 2 * 4.0 + 2
    assert out.limit == "store: requests"


def test_latency_counts_once_for_operations_side_by_side():
    store = replace(SHARED, latency=0.1, rate=1e9)
    costs = replace(FREE, saving=Files(looks=10))
    for at_a_time, seconds in ((1, 3.0), (5, 0.6)):
        out = simulate([1.0], 1, costs, store=store, engine=Engine(side_by_side=at_a_time))
        assert out.makespan == pytest.approx(1.0 + seconds)


def test_listing_the_root_grows_with_the_square_of_the_runs():
    costs = replace(FREE, runs_per_job=1, listing=1e-3, driving=Files(listings=1))
    for jobs in (50, 100):
        out = simulate([1.0] * jobs, jobs, costs)
        assert out.driver["listing the root"] == pytest.approx(1e-3 * jobs * (jobs - 1) / 2)
    assert simulate([1.0] * 9, 9, costs, engine=Engine(listing=False)).makespan == 1.0


@pytest.mark.parametrize(
    "remedy",
    [
        {"gives_out": "before rows"},
        {"rows": "worker"},
        {"listing": False},
        {"drivers": 4},
        {"side_by_side": 8},
    ],
    ids=str,
)
def test_remedies_help_a_full_driver(remedy):
    jobs = some_jobs(3, count=400)
    costs = replace(DEAR, collect=0.2, listing=1e-4)
    before = simulate(jobs, 100, costs, store=SHARED)
    after = simulate(jobs, 100, costs, store=SHARED, engine=Engine(**remedy))
    assert before.limit.startswith("driver")
    assert after.makespan < before.makespan


def test_appending_to_the_ledger_takes_what_its_rows_take_once():
    costs = replace(FREE, ledger_row=1e-2)
    jobs = some_jobs(4)
    whole, appended = (
        simulate(jobs, 4, costs, engine=Engine(ledger=kind)).driver["ledger"]
        for kind in ("rewritten", "appended")
    )
    rows = len(jobs) * costs.runs_per_job
    assert appended == pytest.approx(rows * costs.ledger_row)
    assert whole > appended


def test_jobs_are_drawn_from_the_measured_seconds():
    jobs = draw_jobs(FREE, 4000, seed=5, longer=10.0)
    runs = np.array(jobs) / (10.0 * FREE.runs_per_job)
    assert runs.min() >= 2.0
    assert runs.max() <= 9.0
    # Half of the draws lie below the median, up to four standard errors.
    assert np.mean(runs < 4.0) == pytest.approx(0.5, abs=4 * 0.5 / 4000**0.5)
    assert jobs == draw_jobs(FREE, 4000, seed=5, longer=10.0)
    assert np.mean(jobs[:400]) > 1.5 * np.mean(jobs[-400:])


def test_the_same_seed_simulates_the_same():
    jobs = some_jobs(6)
    first, again, other = (
        simulate(jobs, 5, DEAR, store=SHARED, losses=20.0, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_costs_come_back_as_they_were_written(tmp_path):
    write(DEAR, tmp_path / "costs.json")
    assert read(tmp_path / "costs.json") == DEAR
