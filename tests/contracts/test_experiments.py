"""Every experiment: its smoke scale runs from nothing, twice trains once, and gives verdicts."""

import pytest

from cases import EAGER
from spectraledge.experiments.base import all_experiments, find_experiment
from spectraledge.experiments.run import read_results, run_experiment, write_report
from spectraledge.training import Trainer

EXPERIMENTS = all_experiments()


@pytest.fixture(scope="module", params=sorted(EXPERIMENTS))
def ran(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    experiment = EXPERIMENTS[request.param]
    return experiment, root, run_experiment(experiment, "smoke", root, execution=EAGER)


def test_there_are_experiments():
    assert "low_rank_decay/rank_collapse" in EXPERIMENTS


def test_every_run_finishes(ran):
    _, _, results = ran
    assert all(r.failure is None for runs in results.values() for r in runs)


def test_second_time_trains_nothing(ran, monkeypatch):
    experiment, root, _ = ran
    monkeypatch.setattr(Trainer, "step_", lambda self: pytest.fail("trained again"))
    run_experiment(experiment, "smoke", root, execution=EAGER)
    read_results(experiment, "smoke", root)


def test_page_has_verdicts_and_is_written(ran, tmp_path):
    experiment, _, results = ran
    page = experiment.page(results, "smoke")
    assert page.verdicts
    # A smoke run must not claim anything.
    assert {v.status for v in page.verdicts} == {"undecided"}
    path = tmp_path / "report.html"
    write_report(experiment, results, "smoke", path)
    text = path.read_text()
    assert page.title in text
    assert "run folder" in text.lower()


def test_all_scales_have_distinct_runs():
    for experiment in EXPERIMENTS.values():
        for scale in ("smoke", "demo", "full"):
            specs = [s for arm in experiment.arms(scale).values() for s in arm]
            assert len(set(specs)) == len(specs)


def test_missing_runs_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"not finished .* spectraledge run"):
        read_results(find_experiment("rank_collapse"), "smoke", tmp_path)


def test_unknown_names():
    with pytest.raises(ValueError, match="closest: 'rank_collapse'"):
        find_experiment("rank_colapse")
    with pytest.raises(ValueError, match="got 'huge'"):
        run_experiment(find_experiment("rank_collapse"), "huge", ".")
