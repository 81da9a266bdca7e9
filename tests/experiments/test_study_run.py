"""Running a study from Python, finding it by name, and what its report says beside its page."""

import json
from functools import partial

import pytest

from cases import EAGER, tiny
from spectraledge.experiments import study_run
from spectraledge.experiments.base import all_experiments
from spectraledge.experiments.study import Study
from spectraledge.experiments.study_run import (
    find_experiment_or_study,
    has_groundwork,
    ledger_file,
    rows_of,
    run_study,
    write_study_report,
)
from spectraledge.lab.ledger import Ledger
from spectraledge.lab.rows import Row, failed_row
from spectraledge.lab.sweep import Board, Inline
from spectraledge.report import Page
from spectraledge.store import canonical_json, signature
from spectraledge.training import Trainer


class Rounds(Study):
    """One seed, then another; no groundwork."""

    name = "toys/rounds"
    title = "Do rounds follow each other?"
    until = None
    instruments = ()

    def wanted(self, known, scale):
        first, second = (tiny(seed=seed, steps=4) for seed in range(2))
        return [first, second] if known.row(first) else [first]

    def page(self, known, scale):
        return Page(self.title, environment={"note": f"{scale} of {len(known.ledger)}"})


def row(spec, **changes):
    facts = {"seconds": 2.0, "threads": 1, "device": "cpu", "machine": "Linux", "finished": "2026"}
    versions = changes.pop("versions", {"torch": "2.9"})
    curves = failed_row(spec, "").curves
    return Row(
        signature(spec), "run", canonical_json(spec), "done", curves, versions=versions,
        **facts | changes,
    )  # fmt: skip


def test_a_study_runs_to_its_last_round_and_only_once(tmp_path, monkeypatch):
    board, root = Board(), tmp_path / "new"
    ledger = run_study(Rounds(), "smoke", root, execution=EAGER, board=board)
    assert len(ledger) == 2
    assert board.standing().done == 2
    assert len(Ledger.read(ledger_file(root))) == 2
    monkeypatch.setattr(Trainer, "step_", lambda _: pytest.fail("trained again"))
    again = run_study(Rounds(), "smoke", root, executor=partial(Inline, display=None))
    assert len(again) == 2


def test_unknown_scale(tmp_path):
    with pytest.raises(ValueError, match="got 'huge'"):
        run_study(Rounds(), "huge", tmp_path)
    with pytest.raises(ValueError, match="got 'huge'"):
        rows_of(Rounds(), Ledger(), "huge")


def test_rows_of_a_study_are_those_that_it_wants():
    first, second = (tiny(seed=seed, steps=4) for seed in range(2))
    assert rows_of(Rounds(), Ledger(), "smoke") == {first: None}
    ledger = Ledger([row(first), row(tiny(steps=99))])
    assert [r is None for r in rows_of(Rounds(), ledger, "smoke").values()] == [False, True]
    assert list(rows_of(Rounds(), ledger, "smoke")) == [first, second]


def test_nothing_is_asked_before_the_groundwork_is_known(tmp_path):
    before = tiny(seed=7, steps=4)

    class Tuned(Rounds):
        def groundwork(self, scale):
            return [before]

        def wanted(self, known, scale):
            assert known.groundwork(before) is not None
            return super().wanted(known, scale)

    study = Tuned()
    assert rows_of(study, Ledger(), "smoke") == {before: None}
    assert not has_groundwork(study, Ledger(), "smoke")
    ledger = run_study(study, "smoke", tmp_path, execution=EAGER)
    assert has_groundwork(study, ledger, "smoke")
    assert [spec.seed for spec in rows_of(study, ledger, "smoke")] == [7, 0, 1]


def test_the_report_tells_circumstances_and_specs(tmp_path):
    first, second = (tiny(seed=seed, steps=4) for seed in range(2))
    ledger = Ledger([row(first), row(second, threads=2, versions={"torch": "3.0"})])
    ledger.add(row(tiny(steps=99), seconds=1000.0, device="other"))
    page = write_study_report(Rounds(), ledger, "demo", tmp_path / "page.html")
    assert page.environment == {
        "note": "demo of 3",
        "runs": "2 of 2 wanted (2 done)",
        "seconds": "4 over 2 runs",
        "device": "cpu",
        "machine": "Linux",
        "threads": "1 (1 of 2), 2 (1 of 2)",
        "torch": "2.9 (1 of 2), 3.0 (1 of 2)",
        "finished": "2026 to 2026",
    }
    shared = json.loads(canonical_json(first))
    assert page.specs == [shared | {"runs": 2, "seed": "0-1", "data_seed": "42"}]
    assert "2 of 2 wanted" in (tmp_path / "page.html").read_text()


def test_the_report_of_failed_and_missing_runs(tmp_path):
    first = tiny(seed=0, steps=4)
    page = write_study_report(Rounds(), Ledger(), "demo", tmp_path / "page.html")
    assert page.environment["runs"] == "0 of 1 wanted"
    failed = Ledger([failed_row(first, "an error")])
    page = write_study_report(Rounds(), failed, "demo", tmp_path / "page.html")
    assert page.environment["runs"] == "1 of 2 wanted (1 failed)"
    assert "device" not in page.environment


def test_seeds_in_words():
    assert study_run._ranges([3, 0, 1, 2, 7, 7, 9, 10]) == "0-3, 7, 9-10"


def test_find_by_name(monkeypatch):
    names = ("toys/rounds", "more/rounds", "toys/rank_collapse")
    monkeypatch.setattr(study_run, "all_studies", lambda: {name: Rounds() for name in names})
    assert isinstance(find_experiment_or_study("toys/rounds"), Rounds)
    with pytest.raises(ValueError, match="'rounds' for toys/rounds, more/rounds; write it out"):
        find_experiment_or_study("rounds")
    full = "low_rank_decay/rank_collapse"
    assert find_experiment_or_study(full) is not None
    with pytest.raises(ValueError, match="write it out"):
        find_experiment_or_study("rank_collapse")
    with pytest.raises(ValueError, match=r"known: .*toys/rounds.*closest: 'rounds'"):
        find_experiment_or_study("ruonds")
    assert full in all_experiments()
