"""The files a configuration comes from, and whether one of them is no longer what was read."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

Stamp = tuple[int, int, int, int]
"""Device, inode, time of change in ns, size: of the file at the end of all links, so that turning a link to another
file, as Kubernetes does when a ConfigMap or Secret changes, is a change."""


class Sources:
    """Reads files and remembers them as they were. Files that were missing count: one of them may come.

    `contents` are kept only where that is asked for; None stands for a file that could not be read.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self.contents: dict[Path, bytes | None] = {}
        self._keep = keep
        self._stamps: dict[Path, Stamp | None] = {}

    def __iter__(self) -> Iterator[Path]:
        """In the order they were first read in."""
        return iter(self._stamps)

    def read(self, path: Path, most: int = -1) -> bytes:
        """The file's content, or its first `most` bytes. Raises OSError."""
        self._stamps.setdefault(path, None)
        self.contents[path] = None
        with path.open("rb") as opened:
            self._stamps[path] = _stamp(os.fstat(opened.fileno()))
            content = opened.read(most)
        if self._keep:
            self.contents[path] = content
        return content

    def watch(self, path: Path) -> None:
        """Somebody else reads this one."""
        self._stamps[path] = _look(path)

    def changed(self) -> list[Stamp | None] | None:
        """The files as they are now, None for each that cannot be read; None altogether where they are as they were."""
        now = [_look(path) for path in self._stamps]
        return None if now == list(self._stamps.values()) else now


class Replay(Sources):
    """Files as another process has read them."""

    def __init__(self, contents: Mapping[Path, bytes | None]) -> None:
        super().__init__()
        self.contents = dict(contents)

    def read(self, path: Path, most: int = -1) -> bytes:
        content = self.contents.get(path)
        if content is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return content if most < 0 else content[:most]


def _look(path: Path) -> Stamp | None:
    try:
        return _stamp(path.stat())
    except OSError:
        return None


def _stamp(status: os.stat_result) -> Stamp:
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
