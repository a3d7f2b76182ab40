"""Ctrl-C, and the SIGTERM of a batch system, between steps, never within one."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Hold Ctrl-C and SIGTERM back while the block runs; a second one acts at once.

    Outside the main thread, where signals do not arrive, nothing is held back.

    Yields
    ------
    Callable
        Tells whether one of them has come.
    """
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def remember(*_: object) -> None:
        pressed.set()
        put_back()

    for number in SIGNALS:
        signal.signal(number, remember)
    try:
        yield pressed.is_set
    finally:
        put_back()
