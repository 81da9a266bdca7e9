"""How recipes of several runs become one chain: tables, wrappers, windows, groups of columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from link_cases import GROUPS, LAYOUT, applied, clock, parameters

from cases import tiny
from spectraledge.updates import (
    Adam,
    ClipGradient,
    Clock,
    During,
    Grokfast,
    InitialBasis,
    LowRank,
    Muon,
    NormClamp,
    ProjectGradient,
    ProjectUpdate,
    RampStrength,
    RampStrengthAtEvent,
    RandomDirection,
    RestartAt,
    ScaleGradient,
    Update,
    WeightDecay,
    chain,
)
from spectraledge.updates.base import group_spans
from spectraledge.updates.chain import structure
from spectraledge.updates.matrix_stacks import matrix_stacks


@dataclass(frozen=True)
class Shift(Update):
    """Somebody's own link: adds a table of numbers to the first columns."""

    amounts: tuple[float, ...]
    name: str = "shift"

    part: ClassVar[str | None] = "shift"

    def apply_(
        self,
        theta: torch.Tensor,
        gradient: torch.Tensor,
        state: dict[str, torch.Tensor],
        hyper: Mapping[str, Any],
        clock: Clock,
    ) -> None:
        width = hyper["amounts"].shape[1]
        theta[:, :width].add_((clock.active * hyper["amounts"]).to(theta.dtype))


def test_tuples_of_floats_differ_between_runs():
    moved, _ = applied([Shift((1.0, 2.0)), Shift((3.0, 4.0))], torch.zeros(2, LAYOUT.size))
    assert moved[:, :3].tolist() == [[1.0, 2.0, 0.0], [3.0, 4.0, 0.0]]


def test_a_wrapped_update_differs_between_runs():
    """Numbers, tables and state of the inner update, two wrappers deep."""
    updates = [During(During(Shift((x, -x)), 2, 9), 1, 3) for x in (1.0, 5.0)]
    for last, times in ((1, 0), (2, 1), (3, 1), (9, 1)):
        moved, _ = applied(updates, torch.zeros(2, LAYOUT.size), range(1, last + 1))
        assert moved[:, :2].tolist() == [[times, -times], [5 * times, -5 * times]]


def test_structure_fixes_everything_but_numbers():
    assert structure(Shift((1.0, 2.0))) == structure(Shift((3.0, 4.0)))
    assert structure(Shift((1.0, 2.0))) != structure(Shift((1.0, 2.0, 3.0)))
    assert structure(Shift((1.0, 2.0))) != structure(Shift((1.0, 2.0), "other"))
    assert structure(During(WeightDecay(1.0), 3)) == structure(During(WeightDecay(2.0), 3))
    assert structure(During(WeightDecay(1.0), 3)) != structure(During(WeightDecay(1.0), 4))
    assert structure(During(WeightDecay(1.0), 3)) != structure(During(LowRank(1.0), 3))
    assert structure(During(WeightDecay(1.0, "qk"), 3)) != structure(During(WeightDecay(1.0), 3))
    assert structure(NormClamp((0, 5), (1.0, 1.0))) == structure(NormClamp((0, 5), (1.0, 0.5)))
    assert structure(NormClamp((0, 5), (1.0, 1.0))) != structure(NormClamp((0, 6), (1.0, 1.0)))


@pytest.mark.parametrize(
    "pair",
    [
        (Shift((1.0,)), Shift((1.0, 2.0))),
        (During(WeightDecay(1.0), 3), During(LowRank(1.0), 3)),
        (NormClamp((0,), (1.0,)), NormClamp((1,), (1.0,))),
    ],
)
def test_different_structures_are_refused(pair):
    with pytest.raises(ValueError, match="expected the same updates in every run of a batch"):
        applied(pair, parameters(2))


# --- windows ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda x: WeightDecay(x, "qk"),
        lambda x: LowRank(x),
        lambda x: RandomDirection(x),
        lambda x: NormClamp((0, 9), (1.0, x)),
    ],
)
def test_during_is_the_inner_update_inside_and_nothing_outside(make):
    start = parameters(2)
    inner = [make(x) for x in (0.3, 0.6)]
    for window, expected in (
        ((3, 6), range(3, 6)),
        ((3, None), range(3, 9)),
        ((1, 2), range(1, 2)),
        ((20, 30), range(0)),
    ):
        inside, _ = applied(inner, start, expected)
        moved, _ = applied([During(u, *window) for u in inner], start, range(1, 9))
        assert torch.equal(moved, inside)


def test_during_freezes_the_state_outside():
    theta = parameters(1)
    links, (state,) = chain([(During(Grokfast(), 2, 4),)], theta, LAYOUT, GROUPS)
    means = []
    for index in range(1, 6):
        gradient = parameters(1, seed=index)
        links.apply_(theta, gradient, [state], clock(1, index), {})
        assert torch.equal(gradient, parameters(1, seed=index)) == (index not in {2, 3})
        means.append(state["slow"].clone())
    assert means[0].count_nonzero() == 0
    assert not torch.equal(means[1], means[2])
    assert torch.equal(means[2], means[4])


def test_during_has_the_part_of_what_it_wraps():
    assert During(LowRank(1.0), 1).part == "low_rank"
    assert During(During(Grokfast(), 1), 1).part is None
    theta = parameters(1)
    links, states = chain([(During(WeightDecay(1.0), 2),)], theta, LAYOUT, GROUPS)
    assert links.part_names == ("weight_decay",)
    parts = {"weight_decay": torch.zeros_like(theta, dtype=torch.float64)}
    start = theta.clone()
    for index in (1, 2):
        links.apply_(theta, torch.zeros_like(theta), states, clock(1, index), parts)
    assert torch.equal(parts["weight_decay"], theta.double() - start.double())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: During(WeightDecay(1.0), 0), ValueError, "During: expected 1 <= start < inf"),
        (lambda: During(WeightDecay(1.0), 5, 5), ValueError, "6 <= stop < inf, got 5"),
        (lambda: During(WeightDecay(1.0), 2.5), ValueError, "start to be a whole number, got 2.5"),
        (lambda: During(WeightDecay(1.0), 2, 4.5), ValueError, "stop to be a whole number"),
        (lambda: During(0.5, 5), TypeError, "During: expected an update, got 0.5"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


# --- links that change the gradient ----------------------------------------------------------

PROJECT = ProjectGradient(InitialBasis(), 1.0)


@pytest.mark.parametrize(
    ("updates", "lost"),
    [
        ((Adam(), PROJECT), r"link 1 .*\(ProjectGradient\(...\), Adam\(\)\)"),
        ((PROJECT,), "link 0"),
        ((ClipGradient(), Adam(), During(Grokfast(), 5)), "link 2"),
        ((WeightDecay(1.0), ScaleGradient(2.0), LowRank(1.0)), "link 1"),
        ((Adam(), PROJECT, RampStrength(WeightDecay(1.0), 5)), "link 1"),
    ],
)
def test_a_gradient_that_nobody_reads_is_refused(updates, lost):
    with pytest.raises(ValueError, match=f"after {lost}"):
        tiny(updates=updates)


@dataclass(frozen=True)
class Sign(Shift):
    """Somebody's own optimizer, whose part has a name of its own."""

    part: ClassVar[str | None] = "sign"

    @property
    def reads_gradient(self) -> bool:
        return True


@pytest.mark.parametrize(
    "reader",
    [
        Adam(),
        Muon(),
        During(RestartAt(Adam(), 3), 2),
        ProjectUpdate(Adam(), InitialBasis(), 0.5),
        RampStrengthAtEvent(WeightDecay(1.0), "gradient_norm", 0.1),
        Sign((1.0,)),
        During(Sign((1.0,)), 4),
    ],
)
def test_a_gradient_that_somebody_reads_is_not(reader):
    updates = (WeightDecay(1.0), ClipGradient(), PROJECT, reader, LowRank(1.0))
    assert tiny(updates=updates).updates == updates


# --- columns ---------------------------------------------------------------------------------


def test_spans_merge_neighbours_and_pack_them():
    assert group_spans("X", "all", LAYOUT, GROUPS) == ((slice(0, 181), slice(0, 181)),)
    groups = {"some": ("d.up", "a.query", "b.key")}
    spans = group_spans("X", "some", LAYOUT, groups)
    assert spans == ((slice(0, 128), slice(0, 128)), (slice(157, 181), slice(128, 152)))


def test_stacks_read_and_write_what_the_layout_says():
    flat = parameters(2)
    stacks = matrix_stacks("X", "matrices", LAYOUT, GROUPS, heads=2)
    assert [(s.heads, s.rows, s.columns, s.place) for s in stacks] == [
        (2, 2, 6, slice(0, 2)), (2, 3, 4, slice(2, 4)), (2, 4, 8, slice(4, 8)),
    ]  # fmt: skip
    query, key = (LAYOUT.view(flat, name).unflatten(1, (2, 4)) for name in GROUPS["qk"])
    assert torch.equal(stacks[2].read(flat), torch.cat([query, key], dim=1))
    start = flat.clone()
    chosen = torch.tensor([[True, False, False, True], [False] * 4])
    stacks[2].write_(flat, torch.full((2, 4, 4, 8), torch.nan), chosen)
    assert flat.isnan().sum() == 2 * 32
    assert LAYOUT.view(flat, "a.query")[0, :4].isnan().all()
    assert LAYOUT.view(flat, "b.key")[0, 4:].isnan().all()
    assert torch.equal(flat[1], start[1])
    stacks[2].scale_(start, torch.tensor([[2.0, 1.0, 1.0, 1.0]]).expand(2, 4))
    assert torch.equal(
        LAYOUT.view(start, "a.query")[:, :4], 2 * LAYOUT.view(parameters(2), "a.query")[:, :4]
    )
    torch.testing.assert_close(
        stacks[2].norms(start), torch.linalg.matrix_norm(stacks[2].read(start).double())
    )
