"""Runs are found by spec or by the beginning of a name; unknown names list the known ones."""

import pytest

from spectraledge.store import Catalogue, RunFolder


@pytest.fixture
def catalogue(tmp_path):
    for name, seed in (("rank collapse", 0), ("rank collapse", 1), ("baseline", 2)):
        RunFolder.of(tmp_path, name, {"seed": seed}).begin()
    RunFolder.of(tmp_path, "old", {"seed": 3}).begin()
    RunFolder.of(tmp_path, "old", {"seed": 3}).reset()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes.txt").touch()
    with RunFolder.of(tmp_path, "baseline", {"seed": 2}).claim():
        pass
    return Catalogue(tmp_path)


def test_only_runs_are_listed(catalogue):
    assert [run.name for run in catalogue] == ["baseline", "rank-collapse", "rank-collapse"]
    assert {run.status().state for run in catalogue} == {"partial"}


def test_a_missing_root_is_empty(tmp_path):
    assert list(Catalogue(tmp_path / "nowhere")) == []


def test_runs_are_found_by_spec(catalogue):
    found = catalogue.find({"seed": 2})
    assert found is not None
    assert found.name == "baseline"
    assert found.path.name == f"baseline-{found.signature}"
    assert catalogue.find({"seed": 3}) is None
    assert catalogue.find({"seed": 99}) is None


def test_runs_are_found_by_the_beginning_of_name_or_signature(catalogue):
    run = catalogue.find({"seed": 1})
    assert catalogue.get("base").name == "baseline"
    assert catalogue.get(run.path.name).signature == run.signature
    assert catalogue.get(run.signature[:6]).signature == run.signature


def test_an_ambiguous_beginning_lists_the_candidates(catalogue):
    with pytest.raises(
        ValueError, match=r"expected one run 'rank', got rank-collapse-.*, rank-collapse-"
    ):
        catalogue.get("rank")


def test_an_unknown_name_lists_the_known_and_the_closest(catalogue):
    with pytest.raises(KeyError, match=r"no run 'bseline' .*known: baseline-.*closest: baseline-"):
        catalogue.get("bseline")


def test_an_unknown_name_in_an_empty_catalogue(tmp_path):
    with pytest.raises(KeyError, match="known: none; closest: none"):
        Catalogue(tmp_path).get("x")


def test_long_listings_are_cut(tmp_path):
    for seed in range(25):
        RunFolder.of(tmp_path, "demo", {"seed": seed}).begin()
    with pytest.raises(ValueError, match="and 5 more; type more of it"):
        Catalogue(tmp_path).get("demo")
