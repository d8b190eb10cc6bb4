"""Ctrl-C and SIGTERM wait until a training step is whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def deferred_interruption() -> Iterator[threading.Event]:
    """The first Ctrl-C or SIGTERM only sets the event, so that no step is cut in two; a second one acts at once.

    Outside the main thread, where Python allows no handlers, nothing changes.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number, frame):
        asked.set()
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, note)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
