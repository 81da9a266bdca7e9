import numpy as np
import pytest

from spectraledge.series import decay_driven_alarm, decay_driven_windows, gradient_reentry

QUIET = {
    "gradient_share": 0.1,
    "overlap": 0.8,
    "interval_share": 0.7,
    "rotation": 3.0,
    "least_null_rotation": 5.0,
}


def windows(**changes):
    curves = {name: np.full(4, value) for name, value in (QUIET | changes).items()}
    return decay_driven_windows(**curves)


def test_all_four_signs_are_needed():
    assert windows().all()
    for change in (
        {"gradient_share": 0.3},
        {"overlap": 0.5},
        {"interval_share": 0.4},
        {"rotation": 6.0},
        {"rotation": np.nan},
    ):
        assert not windows(**change).any()


def test_an_alarm_needs_two_windows_without_a_common_displacement():
    driven = np.zeros(30, dtype=bool)
    driven[10:15] = True
    assert not decay_driven_alarm(driven, 5).any()
    driven[10:17] = True
    assert np.flatnonzero(decay_driven_alarm(driven, 5)).tolist() == [15, 16]
    assert np.array_equal(decay_driven_alarm(driven, 1)[1:], driven[1:] & driven[:-1])


def reentries(share, bar=0.5):
    share = np.array(share)
    return np.flatnonzero(gradient_reentry(share, share < 0.2, above=bar)).tolist()


def test_the_gradient_returns_once_a_phase():
    assert reentries([0.9, 0.1, 0.9, 0.9, 0.1, 0.1, 0.6]) == [2, 6]
    assert reentries([0.9, 0.9, 0.1, 0.1]) == []
    assert reentries([]) == []


def test_between_the_bars_a_phase_goes_on():
    assert reentries([0.1, 0.3, 0.45, 0.3, 0.1, 0.4]) == []
    assert reentries([0.1, 0.3, 0.45, 0.3, 0.1, 0.4], bar=0.35) == [2, 5]
    assert reentries([0.1, np.nan, 0.6]) == [2]


def test_errors():
    with pytest.raises(ValueError, match=r"one length, got shapes \[\(4,\), \(3,\), \(4,\)"):
        decay_driven_windows(np.ones(4), np.ones(3), *(np.ones(4),) * 3)
    with pytest.raises(ValueError, match="width >= 1, got 0"):
        decay_driven_alarm(np.ones(3, dtype=bool), 0)
    with pytest.raises(ValueError, match=r"one length, got \[3, 2\]"):
        gradient_reentry(np.ones(3), np.ones(2, dtype=bool))
