"""A number written without a point is the same number, and the same run."""

from cases import EAGER, tiny
from spectraledge.store import signature
from spectraledge.training import Problem, Trainer, batch_key
from spectraledge.updates import Adam, During, RampStrength, WeightDecay


def test_numbers_become_floats_where_floats_are_meant():
    decay, during = WeightDecay(2), During(WeightDecay(3), 1, 4)
    assert (type(decay.strength), decay) == (float, WeightDecay(2.0))
    assert type(during.update.strength) is float
    assert (during.start, during.stop) == (1, 4)
    assert type(during.start) is int
    assert type(RampStrength(WeightDecay(1), at=5).at) is float


def test_equal_runs_are_one_run_and_share_a_batch():
    whole = tiny(updates=(WeightDecay(1), Adam()), lr=1)
    point = tiny(updates=(WeightDecay(1.0), Adam()), lr=1.0)
    assert signature(whole) == signature(point)
    assert batch_key(whole) == batch_key(tiny(updates=(WeightDecay(0.5), Adam())))
    snapshots = Trainer(Problem([whole], EAGER)).snapshots()
    assert next(snapshots).step == 0
    next(snapshots)
