"""A log file that is put aside when it has grown, and begun anew when somebody else has put it aside."""

from __future__ import annotations

import fcntl
import os


class RotatingFile:
    """Appends to `path`. Several processes may write to the same file, each through an object of its own.

    From `max_bytes` on (0: never) the file becomes `path.1`, what was that `path.2`, and so on; `files` of them are
    kept. A file that has been moved or removed, as logrotate does, is noticed with the next lines, and begun anew.
    """

    def __init__(self, path: str, max_bytes: int = 0, files: int = 0) -> None:
        """Raises OSError where the file cannot be opened."""
        self._path = path
        self._max_bytes = max_bytes
        self._files = files
        self._descriptor = self._open()

    def write(self, lines: bytes) -> None:
        """Whole lines. Raises OSError, and nothing is lost but these."""
        self._follow()
        view = memoryview(lines)
        while view:
            view = view[os.write(self._descriptor, view) :]
        if self._max_bytes and os.fstat(self._descriptor).st_size >= self._max_bytes:
            self._rotate()

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)

    def _is_ours(self) -> bool:
        """Whether the file of that name is the one that is open."""
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False
        ours = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _follow(self) -> None:
        if not self._is_ours():
            fresh = self._open()
            os.close(self._descriptor)
            self._descriptor = fresh

    def _rotate(self) -> None:
        """Under a lock on the file itself: of several processes that find it full, one puts it aside."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            if self._is_ours():
                self._put_aside()
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self._follow()

    def _put_aside(self) -> None:
        if not self._files:
            os.unlink(self._path)
            return
        for number in range(self._files - 1, 0, -1):
            if os.path.exists(f"{self._path}.{number}"):
                os.replace(f"{self._path}.{number}", f"{self._path}.{number + 1}")
        os.replace(self._path, f"{self._path}.1")
