"""A sweep keeps the snapshots that its study or its file asks for."""

from uuid import uuid4

import pytest

from spectraledge.cli.sweep import Sweep
from spectraledge.cli.sweep_goal import find_goal
from spectraledge.instruments import WholeRunProjection

FILE = """
from spectraledge.instruments import WholeRunProjection
from spectraledge.tasks import ModularArithmetic
from spectraledge.models import PreNormEncoderSpec
from spectraledge.training import RunSpec
from spectraledge.updates import Adam

SPECS = [RunSpec(ModularArithmetic(7), PreNormEncoderSpec(width=8, heads=2), (Adam(),))]
INSTRUMENTS = [WholeRunProjection()]
"""


def plan_of(what):
    goal = find_goal(str(what), "smoke")
    return Sweep(what=str(what)).plan(goal, goal.stages[0])


@pytest.fixture
def sweep_file(tmp_path):
    # Modules are imported once a process: each file needs its own name.
    return tmp_path / f"sweep_{uuid4().hex}.py"


@pytest.mark.parametrize(
    ("study", "kept"), [("published_basis", True), ("forcing_is_insufficient", False)]
)
def test_of_a_study(study, kept):
    assert plan_of(study).keep_snapshots is kept


def test_of_a_file(sweep_file):
    sweep_file.write_text(FILE + "KEEP_SNAPSHOTS = True\n")
    plan = plan_of(sweep_file)
    assert plan.keep_snapshots
    assert plan.instruments == (WholeRunProjection(),)


def test_a_file_that_measures_in_hindsight_is_told_to_keep_them(sweep_file):
    sweep_file.write_text(FILE)
    with pytest.raises(ValueError, match="in a sweep file: KEEP_SNAPSHOTS"):
        plan_of(sweep_file)
