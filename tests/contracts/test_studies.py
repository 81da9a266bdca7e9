"""Every study: smoke from nothing, then nothing left to train; a page from any ledger."""

import pytest

from spectraledge.experiments.study import Known, all_studies
from spectraledge.experiments.study_run import ledger_file, rows_of, run_study
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.sweep import Inline
from spectraledge.training import Execution

STUDIES = all_studies()
# A quarter of a minute each, of machinery that other studies of their family run as well.
SLOW = {
    "execution_subspace/forcing_is_insufficient",
    "execution_subspace/lead_time_power_law",
    "execution_subspace/published_basis",
    "execution_subspace/suppression_without_adam",
    "low_rank_decay/boundary",
    "spectral_edge/decay_release",
}
TRAINED = [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in STUDIES]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("studies")


def run(study, root, executor=Inline):
    execution = Execution(compile=False)
    return run_study(study, "smoke", root, executor=executor, execution=execution)


def refuse(plan):
    raise AssertionError("a finished study trains nothing")


def test_slow_studies_are_studies():
    assert set(STUDIES) > SLOW


@pytest.mark.parametrize("name", TRAINED)
def test_smoke_trains_once_and_decides_nothing(name, root):
    study = STUDIES[name]
    ledger = run(study, root)
    rows = rows_of(study, ledger, "smoke")
    assert rows
    assert all(row is not None and row.state != "failed" for row in rows.values())
    run(study, root, executor=refuse)
    page = study.page(Known(Ledger.read(ledger_file(root)), study.until), "smoke")
    assert page.sections
    assert page.verdicts
    assert {verdict.status for verdict in page.verdicts} == {"undecided"}


@pytest.mark.parametrize("scale", ["smoke", "demo", "full"])
@pytest.mark.parametrize("name", STUDIES)
def test_an_empty_ledger_gives_a_page_that_decides_nothing(name, scale):
    study = STUDIES[name]
    page = study.page(Known(Ledger(), study.until), scale)
    assert page.title
    assert {verdict.status for verdict in page.verdicts} <= {"undecided"}


@pytest.mark.parametrize("scale", ["demo", "full"])
@pytest.mark.parametrize("name", STUDIES)
def test_wanted_runs_are_distinct_and_the_same_every_time(name, scale):
    study, known = STUDIES[name], Known(Ledger(), STUDIES[name].until)
    runs = [*study.groundwork(scale), *study.wanted(known, scale)]
    assert runs
    assert runs == [*study.groundwork(scale), *study.wanted(known, scale)]
