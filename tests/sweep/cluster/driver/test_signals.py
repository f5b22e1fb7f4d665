"""The first signal ends a block so that it can clean up; a second one ends the process at once."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from raysweep.sweep.cluster.driver.signals import Interrupted, interruptible


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_raises_and_handlers_are_put_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    def told() -> None:
        with interruptible(), interruptible():
            os.kill(os.getpid(), number)
            time.sleep(5)

    with pytest.raises(Interrupted, match=f"ended by {number.name}; run the same command again") as error:
        told()
    assert error.value.exit_code == 128 + number
    assert signal.getsignal(number) is before
    with interruptible():  # and the next one counts from anew
        pass


def test_plain_keyboard_interrupt_of_others_is_not_taken_for_a_signal() -> None:
    with pytest.raises(KeyboardInterrupt) as error, interruptible():
        raise KeyboardInterrupt
    assert not isinstance(error.value, Interrupted)


def test_outside_the_main_thread_nothing_is_touched() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def look() -> None:
        with interruptible():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]


def test_second_signal_ends_a_process_that_is_slow_to_clean_up() -> None:
    code = """
import time
from raysweep.sweep.cluster.driver.signals import interruptible
with interruptible():
    try:
        with interruptible():
            print("ready", flush=True)
            time.sleep(60)
    finally:
        print("cleaning", flush=True)
        time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "cleaning\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGINT
