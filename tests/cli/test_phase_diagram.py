"""The phase diagram of a sweep: which axes it takes, what its cells say, how it fits a line."""

import io
from dataclasses import dataclass, replace

import numpy as np
import pytest
from rich.console import Console

from cases import TINY
from spectraledge.cli.phase_diagram import PhaseDiagram, outcome_of
from spectraledge.cli.spec_axes import Axis, describe_spec
from spectraledge.lab.decision import Decision
from spectraledge.lab.rows import Row
from spectraledge.tasks import ModularArithmetic
from spectraledge.updates import Adam, LowRank, WeightDecay

UNTIL = Decision("validation_accuracy", threshold=0.9, patience=2)
REST = WeightDecay(0.1, on="other_weights")
ARMS = {
    "none": lambda s: (REST, Adam()),
    "L2": lambda s: (REST, WeightDecay(s, on="qk"), Adam()),
    "LRD": lambda s: (REST, Adam(), LowRank(s)),
    "absolute": lambda s: (REST, Adam(), LowRank(s, scale="absolute")),
}


def grid(fractions=(0.3, 0.5), strengths=(1.0, 3.0), seeds=(0,), arms=("LRD",), **changes):
    return [
        replace(
            TINY,
            task=ModularArithmetic(7, train_fraction=fraction),
            updates=ARMS[arm](strength),
            seed=seed,
            data_seed=40 + seed,
            **changes,
        )
        for arm in arms
        for strength in strengths
        for fraction in fractions
        for seed in seeds
    ]


def drawn(specs, outcomes=None, running=(), width=80, **options):
    text = PhaseDiagram(specs, UNTIL, width).render(outcomes or {}, running, **options)
    return [line.rstrip() for line in text.plain.splitlines()]


# --- axes ------------------------------------------------------------------------------------


def test_flat_names():
    flat = describe_spec(grid(arms=["L2"])[0])
    assert flat.numbers["task.train_fraction"] == 0.3
    assert flat.numbers["model.width"] == 16
    assert flat.numbers["updates.WeightDecay(qk).strength"] == 1.0
    assert flat.numbers["updates.WeightDecay(other_weights).strength"] == 0.1
    assert flat.numbers["updates.Adam.beta1"] == 0.9
    assert flat.words["task.split"] == "unordered"
    assert flat.words["model"] == "ScaleInvariantDecoderSpec"
    assert not [name for name in flat.numbers if "seed" in name]


def test_names_of_links_that_are_alike_are_counted():
    flat = describe_spec(replace(TINY, updates=(WeightDecay(0.1), WeightDecay(0.2), Adam())))
    strengths = {n: v for n, v in flat.numbers.items() if n.endswith("strength")}
    assert list(strengths.values()) == [0.1, 0.2]


def test_booleans_and_other_values_are_words():
    @dataclass(frozen=True)
    class Odd:
        flag: bool = True
        sizes: tuple = (1, 2)
        nothing: None = None

    flat = describe_spec(replace(TINY, task=Odd()))
    assert flat.words["task.flag"] == "True"
    assert flat.words["task.sizes"] == "(1, 2)"
    assert flat.words["task.nothing"] == "None"


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.25, 0.3125, 0.34375], ("0.25", "0.3125", "0.3438")),
        ([1000, 1001], ("1000", "1001")),
        ([5e-3, 1e-2], ("0.005", "0.01")),
        ([0.0, 0.5], ("0", "0.5")),
        ([7], ("7",)),
    ],
)
def test_labels_tell_values_apart(values, labels):
    assert Axis.of("x", values, 12).labels == labels


def test_bins_hold_equally_many_values_in_order():
    axis = Axis.of("x", np.geomspace(1e-3, 1e3, 50), 12)
    counts = np.bincount(list(axis.bins.values()))
    assert len(axis.labels) == 12
    assert counts.min() >= 4
    assert counts.max() <= 5
    assert sorted(axis.bins.values()) == list(axis.bins.values())
    assert all(label.startswith("~") for label in axis.labels)


# --- layout ----------------------------------------------------------------------------------


def test_train_fraction_goes_across_and_the_other_number_up():
    told = drawn(grid(fractions=(0.3, 0.5), strengths=(1.0, 3.0, 10.0)))
    assert told[:6] == [
        "LowRank.strength ↑",
        "10    ·     ·",
        " 3    ·     ·",
        " 1    ·     ·",
        "     0.3   0.5",
        "",
    ]
    assert told[6] == "→ train_fraction; % of runs that held validation_accuracy ≥ 0.9"


def test_the_axis_that_tells_most_runs_apart_is_taken():
    # Steps follow from the fraction, so they add nothing to it, though they take as many values.
    specs = [replace(s, steps=round(100 * s.task.train_fraction)) for s in grid((0.3, 0.4, 0.5))]
    assert "LowRank.strength ↑" in drawn(specs)
    # Without a fraction, what takes most values goes across.
    specs = [s for lr in (0.1, 0.2, 0.3) for s in grid([0.5], lr=lr)]
    told = drawn(specs)
    assert told[0] == "LowRank.strength ↑"
    assert any(line.startswith("→ lr;") for line in told)


def test_panels_for_arms_side_by_side():
    specs = grid(arms=["none", "L2", "LRD", "absolute"])
    told = drawn(specs, width=120)
    titles = ("nothing else", "WeightDecay(qk)", "LowRank(adaptive)", "LowRank(absolute)")
    assert [title in told[0] for title in titles] == [True] * 4
    assert "WeightDecay(qk).strength ↑" in told[1]
    # The arm without a strength has one row.
    assert told[1].startswith("    ·     ·     ")
    narrow = drawn(specs, width=40)
    assert all(len(line) <= 40 for line in narrow[:-2])
    assert [line for line in narrow if line in titles[:1]]


def test_arms_are_rows_where_there_is_no_second_number():
    told = drawn(grid(strengths=[1.0], arms=["none", "L2", "LRD"]))
    assert told[:4] == [
        "   nothing else    ·     ·",
        "WeightDecay(qk)    ·     ·",
        "        LowRank    ·     ·",
        "                  0.3   0.5",
    ]


def test_words_of_the_task_are_told():
    ordered = [replace(s, task=replace(s.task, split="ordered")) for s in grid()]
    assert drawn(grid() + ordered)[0].split("   ")[0] == "split unordered"


def test_one_cell_and_none():
    assert drawn(grid([0.5], [1.0], seeds=range(3)))[0].split() == ["·"]
    assert drawn([])[-1].startswith("· not run yet")


@pytest.mark.parametrize("width", [80, 120])
def test_many_values_are_binned_to_fit(width):
    specs = grid([i / 64 for i in range(16, 56, 2)], np.geomspace(0.1, 30, 14).tolist())
    told = drawn(specs, width=width)
    assert max(map(len, told)) <= width
    rows = [line for line in told if line.count("·") > 4]
    assert len(rows) <= 12
    assert all("~" in row for row in rows)


def test_a_low_terminal_shows_the_busy_panels():
    specs = grid(strengths=(1.0, 2.0, 3.0), arms=["L2", "LRD", "absolute"])
    running = {s for s in specs if s.updates == ARMS["absolute"](2.0)}
    told = drawn(specs, running=running, width=40, height=10)
    assert len(told) <= 10
    assert told[0] == "LowRank(absolute)"
    assert told[-1].endswith("2 more panels when it ends")
    # Two panels side by side over the third, each with a blank line, and two lines of caption.
    assert len(drawn(specs, width=40)) == 2 * 7 + 2


# --- cells -----------------------------------------------------------------------------------


def cells(outcomes, running=()):
    """Row of five cells: fraction i for seed 0, 1, 2."""
    specs = grid((0.3, 0.4, 0.5, 0.6, 0.7), [1.0], seeds=(0, 1, 2))
    places = {(s.task.train_fraction, s.seed): s for s in specs}
    found = {places[place]: value for place, value in outcomes.items()}
    return drawn(specs, found, {places[place] for place in running})[0]


def test_share_of_runs():
    row = cells(
        {(0.3, 0): 1.0, (0.3, 1): 0.0, (0.3, 2): 1.0, (0.4, 0): 0.0, (0.5, 0): None, (0.5, 1): 1.0,
         (0.6, 0): None},
        running=[(0.4, 1), (0.7, 2)],
    )  # fmt: skip
    # A failed run says nothing about the share; only where nothing else is known it shows.
    assert row.split() == ["66", "0…", "100", "✗", "…"]


def test_nearly_all_is_not_all():
    outcomes = {(0.3, 0): 1.0, (0.3, 1): 1.0, (0.3, 2): 0.999}
    assert cells(outcomes).split()[0] == "99"


def test_no_colour_reads_the_same(monkeypatch):
    specs = grid()
    text = PhaseDiagram(specs, UNTIL, 80).render(dict.fromkeys(specs, 1.0))

    def shown():
        console = Console(file=io.StringIO(), force_terminal=True, width=80)
        console.print(text)
        return console.file.getvalue()

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in shown()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "48;5" not in shown()
    assert shown().count("100") == 4


# --- outcomes --------------------------------------------------------------------------------


def row(accuracies, lost=None, state="done"):
    steps = np.arange(len(accuracies)) * 10
    lost_at = np.full(len(steps), -1) if lost is None else np.where(steps >= lost, lost, -1)
    curves = {"step": steps, "validation_accuracy": np.array(accuracies), "lost_at": lost_at}
    return Row("0" * 8, "run", "{}", state, curves)


def test_outcomes():
    assert outcome_of(row([0, 0.95, 0.95]), UNTIL) == 1.0
    assert outcome_of(row([0, 0.95, 0.5]), UNTIL) == 0.0
    assert outcome_of(row([0.2, 0.95, np.nan]), None) == 0.95
    assert outcome_of(row([np.nan]), None) == 0.0
    assert outcome_of(row([], state="failed"), UNTIL) is None
    # Decided by divergence, before the threshold was held.
    assert outcome_of(row([0, 0.95, np.nan], lost=20).until(UNTIL), UNTIL) == 0.0
