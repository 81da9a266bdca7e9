"""`sweep`, and `run`, `report` and `list` of studies, as a user meets them, on tiny runs."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from shell import exit_code
from spectraledge.cli import main
from spectraledge.cli.entry import _parse
from spectraledge.experiments import study as studies
from spectraledge.experiments.study import Study
from spectraledge.experiments.study_run import ledger_file
from spectraledge.lab.decision import Decision
from spectraledge.lab.ledger import Ledger
from spectraledge.models import ScaleInvariantDecoderSpec
from spectraledge.report import Page, Verdict
from spectraledge.store import Catalogue
from spectraledge.tasks import ModularArithmetic
from spectraledge.training import RunSpec, Trainer
from spectraledge.updates import Adam, LowRank, WeightDecay

MODEL = ScaleInvariantDecoderSpec(width=8, layers=1, heads=2, mlp_width=8)
EAGER = ["--no-compile", "--save-every", "0"]

IMPORTS = """
from dataclasses import dataclass, replace
from typing import ClassVar
import torch
from spectraledge.lab.decision import Decision
from spectraledge.models import ScaleInvariantDecoderSpec
from spectraledge.tasks import Dataset, ModularArithmetic
from spectraledge.training import RunSpec
from spectraledge.updates import Adam, LowRank, WeightDecay

MODEL = ScaleInvariantDecoderSpec(width=8, layers=1, heads=2, mlp_width=8)
FIRST = RunSpec(task=ModularArithmetic(7), model=MODEL, updates=(Adam(), LowRank(0.1)),
                steps=8, batch_size=8, record_every=4)
"""
SEEDS = IMPORTS + "SPECS = [replace(FIRST, seed=seed) for seed in range(4)]\n"
# 0 is reached by the first two records, so every run is decided at step 4.
DECIDED = SEEDS + 'UNTIL = Decision("validation_accuracy", threshold=0.0, patience=2)\n'
LONGER = SEEDS.replace("steps=8", "steps=80").replace("record_every=4", "record_every=8")
# A second round is wanted once the first is known.
ROUNDS = (
    IMPORTS
    + """
def wanted(ledger):
    first = [replace(FIRST, seed=seed) for seed in range(2)]
    known = all(ledger.get(spec) for spec in first)
    return [*first, replace(FIRST, seed=7)] if known else first
"""
)
OWN_TASK = (
    IMPORTS
    + """
@dataclass(frozen=True)
class Echo:
    size: int = 12
    vocabulary: ClassVar[int] = 12
    classes: ClassVar[int] = 12
    length: ClassVar[int] = 1

    def dataset(self, seed):
        rows = torch.arange(self.size)
        parts = rows.tensor_split((6, 9))
        return Dataset(rows[:, None], rows, *parts, vocabulary=12, classes=12)

SPECS = [replace(FIRST, task=Echo())]
"""
)


@pytest.fixture
def sweep_file(tmp_path, monkeypatch):
    """Writes sweep files under names that are forgotten when the test ends."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    loaded = set(sys.modules)

    def write(text, name=None):
        path = tmp_path / (name or f"sweep_{tmp_path.name}.py")
        path.write_text(text)
        return str(path)

    yield write
    for name in set(sys.modules) - loaded:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def untrained(monkeypatch):
    """From when it is called, training is an error."""
    return lambda: monkeypatch.setattr(Trainer, "step_", lambda _: pytest.fail("trained again"))


class Toy(Study):
    """One seed to begin with, then two, and a last one once they are known."""

    name = "toys/addition"
    title = "Does a toy run?"
    until = Decision("validation_accuracy", threshold=2.0, patience=2)
    instruments = ()

    def groundwork(self, scale):
        return [self.run(9, scale)]

    def wanted(self, known, scale):
        assert known.groundwork(self.run(9, scale)) is not None
        first = [self.run(seed, scale) for seed in (0, 1)]
        return [*first, self.run(3, scale)] if len(known.rows(first)) == 2 else first

    def run(self, seed, scale):
        return RunSpec(
            task=ModularArithmetic(7),
            model=MODEL,
            updates=(WeightDecay(0.1), Adam(), LowRank(0.1)),
            steps={"smoke": 6, "demo": 8, "full": 10}[scale],
            batch_size=8,
            record_every=2,
            seed=seed,
        )

    def page(self, known, scale):
        rows = list(known.ledger)
        return Page(self.title, verdicts=[Verdict("toys run", "", f"{len(rows)} did", "holds")])


@pytest.fixture
def toy(monkeypatch):
    real = studies.all_studies()
    for module in ("study", "study_run"):
        monkeypatch.setattr(
            f"spectraledge.experiments.{module}.all_studies", lambda: real | {Toy.name: Toy()}
        )


# --- sweep of a file -------------------------------------------------------------------------


def test_inline_from_nothing_and_again(sweep_file, tmp_path, capfd, untrained):
    root = tmp_path / "new" / "runs"
    words = ["sweep", sweep_file(ROUNDS), *EAGER, "--root", str(root)]
    assert main(words) == 0
    told = capfd.readouterr().out
    assert "3 of 3 runs have a result: 3 trained to the end." in told
    assert f"Ledger: {ledger_file(root)}" in told
    assert re.search(r"^3 of 3 runs  \d+:\d\d elapsed  3 done$", told, re.M)
    rows = list(Ledger.read(ledger_file(root)))
    assert sorted(int(re.search(r'"seed":(\d)', row.spec_json)[1]) for row in rows) == [0, 1, 7]
    untrained()
    assert main(words) == 0
    assert "3 of 3 runs have a result" in capfd.readouterr().out


def test_ledger_or_folders_will_do(sweep_file, tmp_path, capfd, untrained):
    words = ["sweep", sweep_file(ROUNDS), *EAGER, "--root", str(tmp_path)]
    assert main(words) == 0
    untrained()
    ledger_file(tmp_path).unlink()
    assert main([*words, "--only-status"]) == 0
    assert "3 of 3 runs have a result" in capfd.readouterr().out
    assert not ledger_file(tmp_path).exists()
    # The second round is asked for as well, though no run of the first one was missing.
    assert main(words) == 0
    assert "3 of 3 runs have a result" in capfd.readouterr().out
    assert len(Ledger.read(ledger_file(tmp_path))) == 3
    for folder in Catalogue(tmp_path):
        folder.path.rename(tmp_path.parent / folder.path.name)
    assert main(words) == 0


def test_processes_know_the_classes_of_the_file(sweep_file, tmp_path, capfd):
    ledger = tmp_path / "elsewhere" / "rows.parquet"
    words = ["sweep", sweep_file(OWN_TASK), "--workers", "2"]
    words += [*EAGER, "--root", str(tmp_path / "runs"), "--ledger", str(ledger)]
    assert main(words) == 0, capfd.readouterr()
    assert "1 of 1 runs have a result" in capfd.readouterr().out
    assert all('"type":"Echo"' in row.spec_json for row in Ledger.read(ledger))


def test_a_decision_ends_runs_and_colours_the_picture(sweep_file, tmp_path, capfd):
    words = ["sweep", sweep_file(DECIDED), *EAGER, "--root", str(tmp_path)]
    assert main(words) == 0
    told = capfd.readouterr().out
    assert "4 of 4 runs have a result: 4 decided before." in told
    assert re.search(r"^ +100 $", told, re.M)
    assert "% of runs that held validation_accuracy ≥ 0" in told
    assert all(row.steps_taken == 4 for row in Ledger.read(ledger_file(tmp_path)))


def test_status_trains_and_writes_nothing(sweep_file, tmp_path, capfd, untrained):
    words = ["sweep", sweep_file(SEEDS), *EAGER, "--root", str(tmp_path / "runs")]
    untrained()
    assert main([*words, "--only-status"]) == 0
    told = capfd.readouterr().out
    assert "0 of 4 runs have a result." in told
    assert "0 runs are begun, 4 are not begun." in told
    assert re.search(r"^ +· $", told, re.M)
    assert not (tmp_path / "runs").exists()


def test_a_part_is_trained_and_the_rest_left(sweep_file, tmp_path, capfd):
    words = ["sweep", sweep_file(SEEDS), *EAGER, "--root", str(tmp_path)]
    assert main([*words, "--only", "seed=0,2", "modulus=7"]) == 0
    assert "2 of 2 runs have a result: 2 trained to the end." in capfd.readouterr().out
    assert main([*words, "--only-status"]) == 0
    assert "2 of 4 runs have a result" in capfd.readouterr().out


def test_a_later_horizon_takes_the_same_runs_up(sweep_file, tmp_path, capfd, monkeypatch):
    until = 'UNTIL = Decision("validation_accuracy", threshold=2.0, patience=2, horizon=4)\n'
    words = ["sweep", sweep_file(SEEDS + until), *EAGER, "--root", str(tmp_path)]
    assert main(words) == 0
    assert {row.steps_taken for row in Ledger.read(ledger_file(tmp_path))} == {4}
    taken = []
    plain = Trainer.step_
    monkeypatch.setattr(Trainer, "step_", lambda self: (taken.append(self.state.step), plain(self)))
    assert main([*words, "--horizon", "6"]) == 0
    # Records are four steps apart: the horizon is at the next one, and nothing was trained twice.
    assert {row.steps_taken for row in Ledger.read(ledger_file(tmp_path))} == {8}
    assert min(taken) == 4
    assert_refused(
        ["sweep", sweep_file(SEEDS, "plain.py"), "--horizon", "6"], "--horizon 6: .* has none", 2,
        capfd,
    )  # fmt: skip


def test_failed_runs_stay_until_they_are_asked_for(sweep_file, tmp_path, capfd, untrained):
    words = ["sweep", sweep_file(SEEDS), *EAGER, "--root", str(tmp_path)]
    # A device that torch has, and that no run can end on.
    assert main([*words, "--device", "meta", "--attempts", "1"]) == 1
    told = capfd.readouterr().out
    assert re.search(
        r"^4 failed, e\.g\. add7-\S+-[0-9a-f]{8}: NotImplementedError: .*no data!$", told, re.M
    )
    assert "4 of 4 runs have a result: 4 failed." in told
    assert re.search(r"^ +✗ $", told, re.M)
    assert main(words) == 1
    assert main([*words, "--only-status"]) == 1
    assert main([*words, "--retry-failed"]) == 0
    assert "4 trained to the end." in capfd.readouterr().out
    untrained()
    assert main([*words, "--retry-failed"]) == 0


def test_a_terminal_shows_bar_and_picture(sweep_file, tmp_path, monkeypatch):
    screen = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    monkeypatch.setattr("spectraledge.cli.console.make_console", lambda: screen)
    monkeypatch.setattr("spectraledge.cli.sweep_display.REFRESHES_A_SECOND", 20)
    text = SEEDS.replace("ModularArithmetic(7)", "ModularArithmetic(7, train_fraction=0.4)")
    text += "SPECS += [replace(s, task=ModularArithmetic(7)) for s in SPECS]\n"
    words = ["sweep", sweep_file(text), *EAGER, "--largest-batch", "4", "--root", str(tmp_path)]
    assert main(words) == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.file.getvalue())
    assert re.search(r"━+ +0 of 8 runs  0:0\d elapsed", shown)
    assert re.search(r"0 done, 4 running", shown)
    assert re.search(r"…     ·", shown)
    assert "8 of 8 runs have a result" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(sweep_file, tmp_path, capfd):
    file, root = sweep_file(LONGER), tmp_path / "broken"
    words = ["sweep", file, *EAGER, "--largest-batch", "2", "--root"]
    process = subprocess.Popen(
        [sys.executable, "-m", "spectraledge", *words, str(root)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 180
    while len(list(root.glob("*/curves.parquet"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=180)
    assert exit_code(process) == 130, told
    found = re.search(r"(\d) of 4 runs have a result, (\d) begun ones go on from", told)
    assert found[2] == "2"
    assert "To go on, run the same command again" in told
    assert "Traceback" not in told
    assert main([*words, str(root), "--only-status"]) == 0
    assert f"2 runs are begun, {2 - int(found[1])} are not begun" in capfd.readouterr().out

    assert main([*words, str(root)]) == 0
    assert main([*words, str(tmp_path / "calm")]) == 0
    broken, calm = (Ledger.read(ledger_file(r)) for r in (root, tmp_path / "calm"))
    for ours, theirs in zip(broken, calm, strict=True):
        for name, values in theirs.curves.items():
            np.testing.assert_array_equal(ours.curves[name], values)


def test_the_page_about_sweeps(sweep_file, tmp_path, capfd, monkeypatch):
    page = (Path(__file__).parents[2] / "docs/sweeps.md").read_text()
    boundary, closer, *rest = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    smaller = {
        "STEPS = 2000": "STEPS = 12",
        "record_every=50": "record_every=4",
        "ModularArithmetic(31": "ModularArithmetic(7",
        "width=32": "width=8",
        "batch_size=128": "batch_size=8",
        "threshold=0.9": "threshold=0.1",
    }
    for large, small in smaller.items():
        assert large in boundary
        boundary = boundary.replace(large, small)
    monkeypatch.chdir(tmp_path)
    sys.path.insert(0, "")
    sweep_file(boundary, name="boundary.py")
    sweep_file(closer, name="closer.py")
    commands = re.findall(r"^\$ spectraledge (sweep (?:boundary|closer)\.py[^#\n]*)", page, re.M)
    for command in commands:
        if "--executor ray" not in command and "--workers" not in command:
            assert main(command.replace("--retry-failed", "--no-compile").split()) == 0
    told = capfd.readouterr().out
    assert "18 of 18 runs have a result" in told
    assert re.search(r"(\d\d) of \1 runs have a result", told.split("closer.py")[1])
    shared = {}
    for block in rest:
        exec(block, shared)
    assert "<html" in (tmp_path / "boundary.html").read_text()[:200]
    assert capfd.readouterr().out.count("add7-") == 1


# --- wrong use -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["toy_sweeps"], "no experiment or study 'toy_sweeps'; known: .*; or give a file that"),
        (["rank_collapse"], "is an experiment, not a study; .* spectraledge run low_rank_decay/"),
        (["FILE", "--workers", "2", "--executor", "inline"], "--workers 2 needs --executor"),
        (["FILE", "--workers", "0"], "expected --workers >= 1, got 0"),
        (["FILE", "--address", "host:1"], "--address belongs to --executor ray"),
        (["FILE", "--only-status", "--retry-failed"], "--retry-failed trains"),
        (["FILE", "--executor", "proceses"], "unknown name 'proceses'.*closest: 'processes'"),
        (["FILE", "--only", "sed=0"], "--only sed=0: no run has such a setting; closest: seed"),
        (["FILE", "--only", "seed"], "--only: expected NAME=VALUE"),
        (["FILE", "--largest-batch", "0"], "expected largest_batch >= 1, got 0"),
        (["FILE", "--attempts", "0"], "expected attempts >= 1"),
    ],
)
def test_wrong_flags(sweep_file, tmp_path, capfd, words, message):
    file = sweep_file(SEEDS)
    words = [file if word == "FILE" else word for word in words]
    assert_refused(["sweep", *words, "--root", str(tmp_path / "runs")], message, 2, capfd)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "to define SPECS, a list of RunSpec, or wanted.*, got neither"),
        ("SPECS = []", "SPECS of .* to hold at least one RunSpec, got none"),
        ("SPECS = 3", "SPECS of .* to be a list of RunSpec, got 3"),
        ("SPECS = [1]", r"to be a list of RunSpec, got 1 at \[0\]"),
        ("wanted = 3", "expected wanted of .* to be a function, got 3"),
        ("wanted = lambda ledger: 3", "what wanted.* returns to be a list of RunSpec, got 3"),
        (SEEDS + "UNTIL = 0.9", "UNTIL of .* to be a Decision or None, got 0.9"),
        (SEEDS + "INSTRUMENTS = [1]", "INSTRUMENTS of .*, got 1"),
        (SEEDS + "INSTRUMENTS = 1", "INSTRUMENTS of .*, got 1"),
        ("\nSPECS = nothing", "line 2: NameError: name 'nothing' is not defined"),
        ("a b", r"line 1: SyntaxError: "),
    ],
)
def test_wrong_files(sweep_file, tmp_path, capfd, text, message):
    words = ["sweep", sweep_file(text), *EAGER, "--root", str(tmp_path / "runs")]
    assert_refused(words, message, 2, capfd)


def test_help_that_nobody_reads_to_the_end_is_no_error():
    words = f"{sys.executable} -m spectraledge sweep --help"
    told = subprocess.run(
        ["bash", "-c", f"{words} | head -1; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout.startswith("usage")
    assert told.stderr == ""


def test_names_of_files(sweep_file, tmp_path, capfd):
    file = sweep_file(SEEDS)
    wrong = file.replace("sweep_", "swep_")
    assert_refused(["sweep", wrong], f"no file {wrong}; closest: {file}", 1, capfd)
    taken = sweep_file(SEEDS, name="json.py")
    assert_refused(["sweep", taken], r"'json' is \S+json\S+; rename it", 2, capfd)
    dotted = sweep_file(SEEDS, name="my.sweep.py")
    assert_refused(["sweep", dotted], "a dot is in its name; rename it", 2, capfd)
    damaged = tmp_path / "ledger.parquet"
    damaged.write_text("no ledger")
    assert_refused(["sweep", file, "--root", str(tmp_path)], "no ledger", 2, capfd)


def assert_refused(words, message, code, capfd):
    try:
        found = main(words)
    except SystemExit as end:  # the parser's own errors
        found = end.code
    told = " ".join(capfd.readouterr().err.replace("│", " ").split())
    assert re.search(message, told), told
    assert found == code
    assert "Traceback" not in told


def test_more_workers_mean_processes():
    kinds = {(): "inline", ("--workers", "1"): "inline", ("--workers", "2"): "processes"}
    for words, kind in kinds.items():
        assert _parse(["sweep", "x.py", *words])._kind == kind


# --- studies ---------------------------------------------------------------------------------


def test_run_report_and_list_of_a_study(toy, tmp_path, capfd, untrained):
    root = ["--root", str(tmp_path)]
    assert main(["list", *root]) == 0
    assert re.search(
        r"toys/addition +smoke 0/1, demo 0/1, full 0/1 +Does a toy run\?", capfd.readouterr().out
    )
    words = ["addition", "--scale", "smoke", *root]
    assert main(["run", *words, "--no-compile"]) == 0
    told = capfd.readouterr().out
    assert "toys/addition (smoke): Does a toy run?" in told
    parts = told.split("Part 2 of 2")
    assert "1 of 1 runs have a result" in parts[0]
    assert "3 of 3 runs have a result" in parts[1]
    assert re.search(r"holds +toys run +4 did", told)
    page = tmp_path / "reports/toys/addition-smoke.html"
    assert f"Report: {page}" in told

    untrained()
    for folder in Catalogue(tmp_path):
        folder.path.rename(tmp_path.parent / folder.path.name)
    other = tmp_path / "other.html"
    assert main(["report", *words, "--output", str(other)]) == 0
    text = other.read_text()
    assert "4 of 4 wanted (4 done)" in text
    assert "0-1, 3, 9" in text  # the seeds of the runs
    assert main(["sweep", *words, "--no-compile", "--only-status"]) == 0
    assert main(["list", *root]) == 0
    assert "smoke 4/4, demo 0/1, full 0/1" in capfd.readouterr().out


def test_report_of_a_study_needs_rows_of_it(toy, tmp_path, capfd):
    words = ["report", "addition", "--scale", "smoke", "--root", str(tmp_path)]
    told = (
        r"1 of 1 runs of toys/addition \(smoke\) are not in .*; train them with: spectraledge run"
    )
    assert_refused(words, told, 1, capfd)
    assert_refused(["report", "aditoin"], "known: .*toys/addition.*closest: 'addition'", 2, capfd)
    refused = ["report", "rank_collapse", "--ledger", "x.parquet"]
    assert_refused(refused, "--ledger belongs to studies; low_rank_decay/rank_collapse", 2, capfd)


def test_report_of_a_study_says_what_is_missing(toy, tmp_path, capfd):
    words = ["--scale", "smoke", "--root", str(tmp_path)]
    assert main(["run", "addition", *words, "--no-compile"]) == 0
    ledger = Ledger.read(ledger_file(tmp_path))
    ledger.forget(next(row for row in ledger if '"seed":3' in row.spec_json))
    part = tmp_path / "part.parquet"
    ledger.write(part)
    assert main(["report", "addition", *words, "--ledger", str(part)]) == 0
    assert "1 of 4 runs of toys/addition (smoke) are not in" in capfd.readouterr().out
    # Without its groundwork there is no page.
    ledger.forget(next(row for row in ledger if '"seed":9' in row.spec_json))
    ledger.write(part)
    refused = ["report", "addition", *words, "--ledger", str(part)]
    assert_refused(refused, "1 of 1 runs .* are not in .*; train them with", 1, capfd)
    assert main(["sweep", "addition", *words, "--ledger", str(part), "--only-status"]) == 0
