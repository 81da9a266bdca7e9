"""Claims inside one process; `test_killed_writers` has those between processes."""

import threading

import pytest

from spectraledge.store import ClaimedError, RunFolder, claim


def test_a_claim_is_free_again_after_the_block(tmp_path):
    for _ in range(2):
        with claim(tmp_path / "deep" / "run.lock", wait=False):
            pass


def test_a_claim_is_free_again_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), claim(tmp_path / "lock"):
        raise ZeroDivisionError
    with claim(tmp_path / "lock", wait=False):
        pass


def test_claiming_twice_in_one_thread_raises_instead_of_waiting_forever(tmp_path):
    with claim(tmp_path / "lock"):
        with pytest.raises(ClaimedError, match="already claimed by this thread; claim it once"):
            claim(tmp_path / "lock").__enter__()
        with pytest.raises(ClaimedError):
            claim(tmp_path / "lock", wait=False).__enter__()


def test_another_thread_waits_its_turn(tmp_path):
    order = []

    def second():
        with claim(tmp_path / "lock"):
            order.append("second")

    with claim(tmp_path / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_the_claim_survives_a_reset(tmp_path):
    run = RunFolder.of(tmp_path, "demo", {"seed": 0})
    refused = []

    def other():
        try:
            with run.claim(wait=False):
                pass
        except ClaimedError:
            refused.append(True)

    with run.claim():
        run.begin()
        run.reset()
        run.begin()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(10)
    assert refused == [True]
