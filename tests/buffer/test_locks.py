"""One writer per stream: the locks themselves, between this process and one that knows POSIX locks only."""

import errno
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from openmm_trajgan.buffer import locks
from openmm_trajgan.buffer.locks import StreamLocks
from openmm_trajgan.errors import StreamInUseError

fcntl = pytest.importorskip("fcntl", reason="Windows has no record locks")
LOCKING = """
import fcntl, sys
with open(sys.argv[1], "a+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, int(sys.argv[2]))
    except OSError:
        sys.exit("held")
    print("mine", flush=True)
    sys.stdin.read()
"""


def command(path, stream, shift=0):
    return [sys.executable, "-ISc", LOCKING, str(path), str(locks._offset(stream) + shift)]


def is_free(path, stream, shift=0):
    """Whether another process can lock a stream, or a byte beside it."""
    tried = subprocess.run(command(path, stream, shift), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert tried.stdout + tried.stderr in ("mine\n", "held\n")
    return tried.returncode == 0


@contextmanager
def held_elsewhere(path, stream):
    with subprocess.Popen(command(path, stream), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "mine\n"
        yield


def is_open(handle):
    try:
        os.fstat(handle)
    except OSError:
        return False
    return True


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".lock"


def test_a_stream_that_another_process_holds_is_refused_until_it_ends(path):
    mine = StreamLocks(path)
    with held_elsewhere(path, "a"):
        for _ in range(2):
            with pytest.raises(StreamInUseError, match=r"stream 'a' of .* is being written by another process"):
                mine.acquire("a")
        mine.acquire("b")
    mine.acquire("a")
    assert not is_free(path, "a")
    mine.release()


def test_a_lock_is_one_byte_wide_and_goes_with_its_release(path):
    first, second = StreamLocks(path), StreamLocks(path)
    first.acquire("a")
    second.acquire("b")
    assert [is_free(path, "a", shift) for shift in (-1, 0, 1)] == [True, False, True]
    first.release()
    assert is_free(path, "a")
    assert not is_free(path, "b")
    second.release()
    assert is_free(path, "b")


def test_a_stream_that_two_objects_hold_is_free_when_both_have_let_go(path):
    first, second = StreamLocks(path), StreamLocks(path)
    for holder in (first, second):
        holder.acquire("a")
    first.release()
    assert not is_free(path, "a")
    second.release()
    assert is_free(path, "a")


def test_no_handle_stays_open(path):
    first, second, elsewhere = StreamLocks(path), StreamLocks(path), StreamLocks(path.with_name("other"))
    for holder in (first, second, elsewhere):
        holder.acquire("a")
    removed = StreamLocks._handles[path]
    first.release()
    path.unlink()  # the buffer is removed and made again
    first.acquire("b")
    handle = StreamLocks._handles[path]
    assert handle == removed or not is_open(removed)
    for holder in (first, second):
        assert is_open(handle)
        holder.release()
    assert not is_open(handle)
    assert not is_free(elsewhere._path, "a")
    elsewhere.release()


def test_where_there_are_no_locks_nothing_is_refused_and_other_errors_are_raised(path, monkeypatch):
    def fails(number):
        def lockf(*_):
            raise OSError(number, os.strerror(number))

        return lockf

    mine = StreamLocks(path)
    monkeypatch.setattr(fcntl, "lockf", fails(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        mine.acquire("a")
    monkeypatch.setattr(fcntl, "lockf", fails(errno.ENOLCK))
    mine.acquire("a")
    monkeypatch.undo()
    mine.release()
