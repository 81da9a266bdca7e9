"""The command line as a user meets it: mostly in processes of its own, on tiny runs."""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from shell import exit_code
from spectraledge.cli import decay_flags, flags, main
from spectraledge.cli.entry import _parse
from spectraledge.cli.pace import Pace
from spectraledge.decay.amount import DecayMethod, DecayScale
from spectraledge.experiments.base import find_experiment
from spectraledge.models import MultiTaskEncoderSpec
from spectraledge.store import Catalogue, signature
from spectraledge.tasks import GroupComposition, SeveralOperations, modular

SIZES = ["--modulus", "7", "--width", "16", "--heads", "2", "--layers", "1", "--batch-size", "16"]
TINY = [*SIZES, "--steps", "12", "--record-every", "4", "--no-compile"]
# Long enough to be interrupted half-way, at some 100 steps a second.
LONGER = [*SIZES, "--steps", "300", "--record-every", "20", "--no-compile", "--keep-snapshots"]
RANK_COLLAPSE = ["rank_collapse", "--scale", "smoke", "--no-compile"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "110", "TERM": "xterm"}


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "spectraledge", *map(str, words)]


def cli(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), env=ENVIRONMENT, capture_output=True, text=True, timeout=240
    )


def started(*words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*words),
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A group of its own, so that the signal reaches the workers as Ctrl-C would, and not us.
        start_new_session=True,
    )


def interrupt(process: subprocess.Popen[str]) -> tuple[str, str]:
    os.killpg(process.pid, signal.SIGINT)
    return process.communicate(timeout=180)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("trained")
    return root, cli("train", *TINY, "--seeds", 0, 1, "--root", root)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    root = tmp_path_factory.mktemp("smoke")
    return root, cli("run", *RANK_COLLAPSE, "--root", root)


# --- help and names --------------------------------------------------------------------------


def test_help_does_not_wait_for_torch():
    script = """
import sys
from spectraledge.cli import main
try:
    main(["--help"])
except SystemExit as end:
    heavy = {"torch", "numpy", "scipy", "pyarrow", "plotly"} & set(sys.modules)
    sys.exit(f"imported {heavy}" if heavy or end.code else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("list", "train", "run", "report", "show", "bench"):
        assert re.search(rf"• {name}\b", done.stdout)


def test_names_of_flags_are_those_of_their_owners():
    assert set(flags.OPERATIONS) == set(modular.OPERATIONS)
    assert set(decay_flags.SCALES) == set(get_args(DecayScale))
    assert set(decay_flags.METHODS) == set(get_args(DecayMethod))


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["train", "--operation", "ad"], 2, r"'ad'; known: add, .*closest: 'add'"),
        (["train", "--decay", "lr"], 2, r"'lr'; known: lrd, l2, none; closest: 'lrd'"),
        (["train", "--sedes", "1"], 2, "--seeds"),
        (["trian"], 2, "list, train, run"),
        (["run", "rank_colapse"], 2, "closest: 'rank_collapse'"),
        (["run", "rank_collapse", "--scale", "smok"], 2, "closest: 'smoke'"),
        (["show", "add8"], 2, r"no run 'add8' .*known: add7-.*closest: add7-"),
        (["show", "add7"], 2, r"expected one run 'add7', got .*type more of it"),
        (["report", "rank_collapse"], 1, "30 of 30 runs .* are not finished .*train them with"),
        (["train", "--modulus", "8", "--operation", "div"], 2, "expected a prime modulus"),
        (["train", "--group", "S6"], 2, "unknown group 'S6'; known: S3, S4, S5.*closest: S5"),
        (["train", "--group", "S5", "--modulus", "7"], 2, "--modulus belongs to modular"),
        (["train", "--group", "S5", "--operation", "add"], 2, "--operation belongs to modular"),
        (["train", "--operations", "add", "ad"], 2, r"'ad'; known: add, .*closest: add"),
        (["train", "--operations", "add"], 2, r"two or more distinct operations, got \('add',\)"),
        (["train", "--operations", "add", "mul"], 2, "--operations needs .* --model encoder"),
        (["train", "--operations", "add", "mul", "--operation", "add"], 2, "leave out either it"),
        (["train", "--group", "S5", "--operations", "add", "mul"], 2, "--operations belongs to"),
        (["train", "--modulus", "0"], 2, "expected modulus >= 2, got 0"),
        (["train", "--seeds", "1", "1"], 2, r"distinct --seeds >= 0, got \[1, 1\]"),
        (["train", "--decay", "none", "--strength", "1"], 2, "--strength needs --decay"),
        (["train", "--decay", "l2", "--coupled"], 2, "--coupled belongs to --decay lrd"),
        (["train", "--scale", "spectral"], 2, "no published strength"),
        (["train", "--model", "encoder"], 2, "fuses; choose --model scale-invariant"),
        (["train", "--model", "encoder", "--mlp", "silu"], 2, "the encoder has none"),
        (["train", "--device", "cuda:77"], 2, "expected a device of this machine, got 'cuda:77'"),
        (["bench", "--steps", "0"], 2, "expected --steps and --runs >= 1"),
    ],
)
def test_wrong_use_is_one_clear_message(trained, capfd, words, code, message):
    root, _ = trained
    if words[0] in ("run", "report", "show"):
        words = [*words, "--root", str(root)]
    try:
        found = main(words)
    except SystemExit as end:  # the parser's own errors
        found = end.code
    told = " ".join(capfd.readouterr().err.replace("│", " ").split())
    assert re.search(message, told), told
    assert found == code
    assert "Traceback" not in told


def test_traceback_on_demand(trained, capfd):
    assert main(["show", "nothing", "--root", str(trained[0]), "--traceback"]) == 1
    assert "Traceback" in capfd.readouterr().err


def test_errors_that_are_not_for_the_user_keep_their_traceback(trained, capfd, monkeypatch):
    monkeypatch.setattr(Catalogue, "get", lambda *_: {}["a bug"])
    monkeypatch.setattr("spectraledge.cli.entry.PACKAGE", Path("/nowhere"))
    assert main(["show", "add7", "--root", str(trained[0])]) == 1
    assert "Traceback" in capfd.readouterr().err


# --- flags -----------------------------------------------------------------------------------


def specs_of(*words: str):
    return _parse(["train", *words]).specs()


def test_the_default_run_is_one_of_the_experiment():
    arms = find_experiment("rank_collapse").arms("full")
    (default,) = specs_of()
    assert signature(default) in {signature(spec) for spec in arms["LRD published"]}
    for arm, words in {
        "no decay": "--decay none",
        "L2 published": "--decay l2",
        "L2 matched": "--decay l2 --strength 5.4",
        "LRD proximal": "--method svd",
    }.items():
        assert specs_of(*words.split())[0].updates == arms[arm][0].updates


def test_flags_reach_the_spec():
    words = "--seeds 3 4 --model encoder --decay l2 --strength 1 --clip 2 --schedule cosine"
    first, second = specs_of(*words.split(), "--warmup", "5", "--compute", "bfloat16")
    assert (first.seed, second.seed) == (3, 4)
    assert first.task.form == "two_token"
    assert first.model.mlp_width == 256
    assert [type(link).__name__ for link in first.updates] == [
        "ClipGradient",
        "WeightDecay",
        "Adam",
    ]
    assert first.updates[1].on == "all"
    assert (first.schedule.shape, first.schedule.warmup, first.schedule.total) == (
        "cosine",
        5,
        4000,
    )
    assert first.compute == "bfloat16"


def test_a_group_in_place_of_arithmetic():
    words = "--group A5 --split ordered --train-fraction 0.4 --model encoder --decay none"
    (spec,) = specs_of(*words.split())
    assert spec.task == GroupComposition("A5", "two_token", 0.4, "ordered")


def test_several_operations_in_place_of_one():
    words = "--operations mul add --modulus 7 --model encoder --width 16 --decay none"
    (spec,) = specs_of(*words.split())
    assert spec.task == SeveralOperations(7, ("mul", "add"), "two_token")
    assert spec.model == MultiTaskEncoderSpec(width=16, mlp_width=32, outputs=2)


def test_decay_by_heads_under_norm_by_heads():
    words = "--qk-norm per_head --scale adaptive --method auto --coupled --every 4"
    (spec,) = specs_of(*words.split())
    decay = spec.updates[-1]
    assert (decay.heads, decay.scale, decay.method, decay.every) == (4, "adaptive", "auto", 4)
    assert decay.coupled
    # As long a step as the uncoupled default at the published learning rate of 1e-3.
    (uncoupled,) = specs_of("--scale", "adaptive")
    assert decay.strength * 1e-3 == pytest.approx(uncoupled.updates[-1].strength, rel=1e-12)


# --- train -----------------------------------------------------------------------------------


def test_train_prints_a_line_a_record_and_ends_with_the_folders(trained):
    root, done = trained
    assert done.returncode == 0, done.stderr
    for seed in (0, 1):
        for step in (0, 4, 8, 12):
            assert re.search(
                rf"^seed {seed}  step +{step}/12  train [01]\.\d+  validation [01]\.\d+  "
                r"stable rank \d\.\d\d  entropy rank \d+\.\d\d",
                done.stdout,
                re.MULTILINE,
            )
    folders = [str(folder.path) for folder in Catalogue(root)]
    assert len(folders) == 2
    assert all(folder in done.stdout for folder in folders)
    assert done.stdout.count("is done at step 12") == 2


def test_a_finished_run_is_not_trained_again(trained, capfd):
    root, _ = trained
    before = [(folder.path / "done").stat().st_ino for folder in Catalogue(root)]
    assert main(["train", *TINY, "--seeds", "0", "1", "--root", str(root)]) == 0
    told = capfd.readouterr().out
    assert told.count("is done at step 12") == 2
    assert "stable rank" not in told
    assert before == [(folder.path / "done").stat().st_ino for folder in Catalogue(root)]


def test_an_interrupted_run_says_where_it_stands_and_goes_on_exactly(tmp_path):
    words = ["train", *LONGER, "--root"]
    process = started(*words, tmp_path / "broken")
    for line in process.stdout:
        if re.search(r"step +60/300", line):
            break
    _, told = interrupt(process)
    assert exit_code(process) == 130, told
    assert "Traceback" not in told
    step = int(re.search(r"go on exactly from step (\d+) of 300", told)[1])
    assert 60 <= step < 300
    # The command to resume is the one that was typed.
    resume = told.splitlines()[-1].split()
    assert resume == command(*words, tmp_path / "broken")

    resumed = subprocess.run(resume, env=ENVIRONMENT, capture_output=True, text=True)
    assert f"seed 0 goes on from step {step}:" in resumed.stdout
    assert f"step {step:3d}/300" not in resumed.stdout
    assert main([*words, str(tmp_path / "calm")]) == 0
    (broken,), (calm,) = Catalogue(tmp_path / "broken"), Catalogue(tmp_path / "calm")
    final = [run.read_snapshot(300)[0]["parameters"] for run in (broken, calm)]
    assert torch.equal(*final)
    for name, values in calm.read_curves().items():
        np.testing.assert_array_equal(broken.read_curves()[name], values)


def test_live_display_in_a_terminal(tmp_path):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command("train", *LONGER, "--root", tmp_path),
        env=ENVIRONMENT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # how Linux says that the other side has gone
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.wait(timeout=180) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "preparing" in text
    assert re.search(r"\d+%  .*\d+\.\d steps/s  +\d+:\d\d left", text)
    assert re.search(r"seed 0   300/300 +[01]\.\d{3} +[01]\.\d{3}   [▁▂▃▄▅▆▇█]+", text)
    assert "100%" in text
    # The cursor, hidden while the table moves, is back.
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l") > 0


def test_a_failed_run_is_reported(tmp_path, capfd):
    # A device that torch has, and that no run can end on.
    words = ["train", *TINY, "--device", "meta", "--root", str(tmp_path)]
    assert main(words) == 1
    told = capfd.readouterr()
    assert "seed 0 is FAILED (NotImplementedError" in told.out
    assert "note: " in told.err
    assert main(["show", "add7", "--root", str(tmp_path)]) == 1
    shown = capfd.readouterr().out
    assert "failed" in shown
    assert "Traceback (most recent call last)" in shown


def test_a_run_of_another_process_is_announced(trained, tmp_path, capfd):
    root = tmp_path / "copy"
    shutil.copytree(trained[0], root)
    for folder in Catalogue(root):
        (folder.path / "done").unlink()
    process = started("train", *TINY, "--seeds", 0, 1, "--root", root)
    runs = list(Catalogue(root))
    with runs[0].claim():
        for line in process.stdout:
            if "another process" in line:
                break
        assert process.poll() is None
    process.communicate(timeout=180)
    assert process.returncode == 0
    assert all(run.is_done() for run in runs)


# --- list and show ---------------------------------------------------------------------------


def test_list(trained, capfd, tmp_path):
    root, _ = trained
    assert main(["list", "--root", str(root)]) == 0
    told = capfd.readouterr().out
    assert re.search(r"low_rank_decay/rank_collapse +smoke \d+, demo \d+, full 30", told)
    for folder in Catalogue(root):
        assert re.search(rf"{folder.path.name} +done +12 +[01]\.\d+ +[01]\.\d+", told)
    assert main(["list", "--root", str(tmp_path / "nothing")]) == 0
    assert "No runs under" in capfd.readouterr().out


def test_show(trained, capfd):
    root, _ = trained
    run = next(iter(Catalogue(root)))
    assert main(["show", run.signature[:6], "--root", str(root), "--rows", "3"]) == 0
    told = capfd.readouterr().out
    for text in (run.path.name, "modulus=7", "LowRank(", "weight-spectrum-", "torch", "finished"):
        assert text in told
    curves = run.read_curves()
    for index in (0, 2, 3):  # three rows of four: the first, the last, and one between
        row = rf"^ +{curves['step'][index]} +{curves['train_loss'][index]:.4g} "
        assert re.search(row, told, re.MULTILINE)
    assert re.search(rf"^ test +{curves['test_loss'][-1]:.4g} ", told, re.MULTILINE)


def test_damage_is_shown_listed_and_redone(trained, tmp_path, capfd):
    root = tmp_path / "damaged"
    shutil.copytree(trained[0], root)
    run = next(iter(Catalogue(root)))
    curves = run.path / "curves.parquet"
    curves.write_bytes(curves.read_bytes()[:-1])
    assert main(["show", run.signature, "--root", str(root)]) == 1
    told = capfd.readouterr().out
    assert "damaged" in told
    assert re.search(r"curves\.parquet has \d+ bytes instead of \d+", told)
    assert "train_loss" not in told
    assert main(["list", "--root", str(root)]) == 0
    assert re.search(rf"{run.path.name} +damaged +– ", capfd.readouterr().out)
    assert main(["train", *TINY, "--seeds", "0", "1", "--root", str(root)]) == 0
    assert "damaged run is trained again" in capfd.readouterr().err
    assert run.is_done()


# --- run and report --------------------------------------------------------------------------


def test_run_trains_and_writes_the_report(smoke):
    root, done = smoke
    assert done.returncode == 0, done.stderr
    assert "10 of 10: " in done.stdout
    assert re.search(r"(holds|fails|undecided) +\w.+", done.stdout)
    report = root / "reports/low_rank_decay/rank_collapse-smoke.html"
    assert f"Report: {report}" in done.stdout
    assert "<html" in report.read_text()[:200]


def test_run_again_trains_nothing_and_report_needs_no_training(smoke, capfd, tmp_path):
    root, _ = smoke
    before = [(folder.path / "done").stat().st_ino for folder in Catalogue(root)]
    assert main(["run", *RANK_COLLAPSE, "--root", str(root)]) == 0
    assert "10 of 10 runs are stored" in capfd.readouterr().out
    page = tmp_path / "elsewhere" / "page.html"
    words = ["report", "rank_collapse", "--scale", "smoke", "--root", str(root)]
    assert main([*words, "--output", str(page)]) == 0
    assert page.exists()
    assert before == [(folder.path / "done").stat().st_ino for folder in Catalogue(root)]


def test_interrupted_workers_end_with_the_command(tmp_path):
    process = started(
        "run", "rank_collapse", "--scale", "demo", "--no-compile", "--workers", 2,
        "--root", tmp_path,
    )  # fmt: skip
    deadline = time.monotonic() + 180
    while len(list(tmp_path.glob("*/curves.parquet"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    _, told = interrupt(process)
    assert exit_code(process) == 130, told
    assert re.search(r"0 of \d+ runs are done, \d begun ones go on", told)
    assert "Traceback" not in told
    # The session held the command and its workers; soon nobody of it is left.
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("workers go on after the command has ended")


# --- bench and pace --------------------------------------------------------------------------


def test_bench(capfd):
    words = ["--modulus", "7", "--width", "16", "--steps", "2", "--runs", "1", "2"]
    assert main(["bench", *words, "--no-compile"]) == 0
    told = capfd.readouterr().out
    for name in ("float32", "bfloat16", "published", "auto", "svd"):
        rows = re.findall(rf"{name} +([12]) +[\d.]+ +([\d.]+) +[\d.]+ +([\d.e+]+)", told)
        assert [runs for runs, *_ in rows] == ["1", "2"]
        for _, median, speed in rows:
            # Four printed digits of each.
            assert float(median) * float(speed) == pytest.approx(1000, rel=2e-3)


def test_pace_forgets_a_slow_start_and_lost_work():
    now = 0.0
    pace = Pace(1000, span=10.0, clock=lambda: now)
    pace.update(0)
    assert pace.speed is None
    now = 60.0  # a minute of compiling, then ten steps a second
    for step in range(1, 200):
        now += 0.1
        pace.update(step)
    # Marks are 0.1 s apart, so the look back is 10 s to within one of them.
    assert pace.speed == pytest.approx(10.0, rel=0.02)
    assert pace.remaining == pytest.approx((1000 - 199) / 10.0, rel=0.02)
    pace.update(100)
    assert pace.speed is None


def test_the_version_is_told(capfd):
    assert main(["--version"]) == 0
    assert capfd.readouterr().out.startswith("spectraledge 0.")
