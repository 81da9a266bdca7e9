"""Tuning: every arm gets the same grid of strengths and learning rates, on splits of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spectraledge.experiments.low_rank_decay.decay_arms import ARMS, chain_of, strengths_of
from spectraledge.experiments.low_rank_decay.outcomes import best_accuracy, generalised_at
from spectraledge.experiments.low_rank_decay.sizes import Size
from spectraledge.experiments.study import Known
from spectraledge.lab.rows import Row
from spectraledge.training import RunSpec

__all__ = ["Score", "Setting", "grid", "scores", "tuned"]


class Setting(NamedTuple):
    """What is tuned."""

    strength: float
    lr: float


@dataclass(frozen=True)
class Score:
    """How well a setting did on the tuning runs.

    Args:
        setting: Which.
        steps: Mean step of generalisation over seeds, runs that never did counted at the budget.
        accuracy: Mean best validation accuracy over seeds; decides between equal steps.
    """

    setting: Setting
    steps: float
    accuracy: float


def grid(size: Size, arms: Iterable[str] = tuple(ARMS)) -> list[RunSpec]:
    """All tuning runs of some arms; those of one learning rate stand together."""
    return [run for arm in arms for s in _settings(arm, size) for run in _runs(arm, s, size)]


def scores(known: Known, arm: str, size: Size) -> list[Score]:
    """Settings of an arm, best first; empty until all of its tuning runs are known."""
    found = []
    for setting in _settings(arm, size):
        rows = [known.groundwork(spec) for spec in _runs(arm, setting, size)]
        whole = [row for row in rows if row is not None]
        if len(whole) < len(rows):
            return []
        found.append(_score(setting, whole, size))
    return sorted(found, key=lambda score: (score.steps, -score.accuracy))


def tuned(known: Known, size: Size, arms: Iterable[str] = tuple(ARMS)) -> dict[str, Setting]:
    """Best setting of every arm whose tuning is complete."""
    found = {arm: scores(known, arm, size) for arm in arms}
    return {arm: ranked[0].setting for arm, ranked in found.items() if ranked}


def _settings(arm: str, size: Size) -> list[Setting]:
    return [Setting(s, lr) for lr in size.rates for s in strengths_of(arm, size)]


def _runs(arm: str, setting: Setting, size: Size) -> list[RunSpec]:
    return size.runs(
        chain_of(arm, setting.strength, size),
        lr=setting.lr,
        seeds=size.tuning_seeds,
        steps=size.tuning_steps,
    )


def _score(setting: Setting, rows: list[Row], size: Size) -> Score:
    when = [None if row.state == "failed" else generalised_at(row) for row in rows]
    steps = float(np.mean([size.tuning_steps if step is None else step for step in when]))
    return Score(setting, steps, float(np.mean([best_accuracy(row) for row in rows])))
