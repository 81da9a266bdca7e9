"""Rates and remaining time count the work that was done, and no other."""

import numpy as np
import pytest
from sweep_cases import small

from spectraledge.lab.rows import failed_row
from spectraledge.lab.sweep import Board
from spectraledge.lab.sweep import board as module
from spectraledge.lab.sweep.jobs import Job


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def row_at(spec, step):
    row = failed_row(spec, "")
    return module.Row(row.signature, row.name, row.spec_json, "decided", {"step": np.array([step])})


def board_of(specs):
    board = Board()
    board.want(specs)
    board.start(1, Job(tuple(specs), 1.0))
    return board


def test_a_run_that_is_decided_counts_the_steps_it_took(clock):
    specs = [small(seed=s, steps=40) for s in range(2)]
    board = board_of(specs)
    clock[0] = 2.0
    for spec in specs:
        board.settle(spec, row_at(spec, 10))
    board.end(1, again=False)
    board.progress({})
    assert board.standing().steps_per_second == 2 * 10 / 2.0
    assert board.standing().remaining == 0


def test_steps_of_a_checkpoint_are_not_work_but_need_not_be_done_again(clock):
    specs = [small(seed=s, steps=40) for s in range(2)]
    board = board_of(specs)
    board.progress({1: 40})  # where the checkpoint was
    clock[0] = 1.0
    board.progress({1: 60})
    standing = board.standing()
    assert standing.steps_per_second == 20
    assert standing.remaining == (80 - 60) / 20
    for spec in specs:
        board.settle(spec, row_at(spec, 40))
    board.end(1, again=False)
    clock[0] = 2.0
    board.progress({})
    assert board.standing().steps_per_second == 40 / 2.0


def test_steps_of_a_job_that_is_given_out_again_are_not_counted(clock):
    specs = [small(steps=40)]
    board = board_of(specs)
    board.progress({1: 0})
    board.end(1, again=True)
    clock[0] = 1.0
    board.progress({})
    assert (board.standing().retries, board.standing().steps_per_second) == (1, 0.0)
