from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from router.telemetry.files import RotatingFile

LINE = b"0123456789\n"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_full_file_is_put_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    file = RotatingFile(str(tmp_path / "log"), max_bytes=2 * len(LINE), files=2)
    for number in range(9):
        file.write(b"line %d....\n" % number)
    file.close()
    assert contents(tmp_path) == {
        "log": b"line 8....\n",
        "log.1": b"line 6....\nline 7....\n",
        "log.2": b"line 4....\nline 5....\n",
    }


def test_lines_are_never_torn_between_two_files(tmp_path: Path) -> None:
    file = RotatingFile(str(tmp_path / "log"), max_bytes=15, files=100)
    for _ in range(20):
        file.write(LINE * 3)
    file.close()
    texts = contents(tmp_path)
    assert b"".join(texts.values()) == LINE * 60
    assert all(text.endswith(b"\n") for text in texts.values() if text)


def test_without_a_limit_it_only_grows(tmp_path: Path) -> None:
    file = RotatingFile(str(tmp_path / "log"))
    for _ in range(100):
        file.write(LINE)
    file.close()
    assert contents(tmp_path) == {"log": LINE * 100}


def test_keeping_none_is_beginning_anew(tmp_path: Path) -> None:
    file = RotatingFile(str(tmp_path / "log"), max_bytes=len(LINE), files=0)
    file.write(LINE)
    file.write(LINE)
    file.close()
    assert contents(tmp_path) == {"log": b""}


@pytest.mark.parametrize("how", ["moved", "removed"])
def test_what_somebody_else_has_put_aside_is_begun_anew(tmp_path: Path, how: str) -> None:
    path = tmp_path / "log"
    file = RotatingFile(str(path))
    file.write(LINE)
    if how == "moved":
        path.rename(tmp_path / "log-20261125")
    else:
        path.unlink()
    before = len(os.listdir("/dev/fd"))
    file.write(b"later\n")
    assert len(os.listdir("/dev/fd")) == before
    file.close()
    assert path.read_bytes() == b"later\n"


def _write_many(path: str, name: bytes, lines: int) -> None:
    file = RotatingFile(path, max_bytes=2000, files=1000)
    for number in range(lines):
        file.write(b"%b %d\n" % (name, number))
    file.close()


def test_several_processes_share_one_file_and_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    names, lines = [b"a", b"b", b"c"], 1000
    processes = [context.Process(target=_write_many, args=(str(tmp_path / "log"), name, lines)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    written = sorted(b"".join(contents(tmp_path).values()).splitlines())
    assert written == sorted(b"%b %d" % (name, number) for name in names for number in range(lines))
    assert len(contents(tmp_path)) > 3


def test_a_file_that_cannot_be_opened_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        RotatingFile(str(tmp_path / "no" / "log"))
