"""Ctrl-C in the middle of what must be whole."""

import signal
import threading

import pytest

from spectraledge.store import claim, uninterrupted


def interrupt():
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_comes_after_the_block():
    done = []

    def block():
        with uninterrupted():
            interrupt()
            interrupt()
            done.append("rest of the block")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == ["rest of the block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_errors_of_the_block_come_through_and_the_handler_comes_back():
    with pytest.raises(ValueError, match="own"), uninterrupted():
        raise ValueError("own")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_claim_is_free_again_for_whoever_handles_the_interrupt(tmp_path):
    lock = tmp_path / "a.lock"

    def save():
        with uninterrupted(), claim(lock):
            interrupt()

    try:
        save()
    except KeyboardInterrupt:
        # Still looking at the traceback, whose frames would hold what was cut in two.
        with claim(lock, wait=False):
            pass
    else:
        pytest.fail("the interrupt was lost")


def test_other_threads_and_ignored_interrupts_are_left_alone():
    seen = []

    def elsewhere():
        with uninterrupted():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with uninterrupted():
            interrupt()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
