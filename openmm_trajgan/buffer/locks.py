"""One writer per stream, across processes."""

import errno
import os
from collections import Counter
from hashlib import blake2b
from pathlib import Path
from typing import ClassVar

from openmm_trajgan.errors import StreamInUseError

try:
    import fcntl
except ImportError:  # Windows has no record locks
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS_THERE = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class StreamLocks:
    """Locks on the streams of one buffer, held by this process until they are released or it dies.

    Each stream is a byte of one file that is locked, so that thousands of streams cost one file handle. Where the system or the
    file system knows no such locks, nothing is refused.

    Parameters
    ----------
    path
        File to lock in; made when the first stream is locked.
    """

    # One handle per file and process, as closing any handle of a file frees all locks the process has in it.
    _handles: ClassVar[dict[Path, int]] = {}
    _held: ClassVar[Counter[tuple[Path, str]]] = Counter()

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._streams: set[str] = set()

    def acquire(self, stream: str) -> None:
        """Lock a stream; does nothing if this object holds it.

        Raises
        ------
        StreamInUseError
            If another process holds it.
        """
        if stream in self._streams or fcntl is None:
            return
        try:
            fcntl.lockf(self._handle(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _offset(stream))
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise StreamInUseError(
                    f"stream {stream!r} of {self._path.parent} is being written by another process; "
                    "wait until it has ended, or choose another stream name"
                ) from None
            if error.errno not in _NO_LOCKS_THERE:
                raise
        self._streams.add(stream)
        self._held[self._path, stream] += 1

    def _handle(self) -> int:
        handle = self._handles.get(self._path)
        if handle is not None and not os.fstat(handle).st_nlink:  # the buffer was removed and made again
            os.close(handle)
            handle = None
        if handle is None:
            try:
                handle = self._handles[self._path] = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except PermissionError as error:
                raise PermissionError(error.errno, error.strerror, str(self._path.parent)) from None
        return handle

    def release(self) -> None:
        """Let go of every stream that this object holds."""
        for stream in self._streams:
            self._held[self._path, stream] -= 1
            if not self._held[self._path, stream]:
                del self._held[self._path, stream]
                if fcntl is not None and self._path in self._handles:
                    fcntl.lockf(self._handles[self._path], fcntl.LOCK_UN, 1, _offset(stream))
        self._streams.clear()
        if self._path in self._handles and not any(path == self._path for path, _ in self._held):
            os.close(self._handles.pop(self._path))


def _offset(stream: str) -> int:
    return int.from_bytes(blake2b(stream.encode(), digest_size=7).digest())
