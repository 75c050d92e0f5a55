"""Files that change, go, come back, and links that are turned to another file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from router.config.sources import Replay, Sources


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "router.yaml"
    path.write_text("one")
    return path


def read(path: Path) -> Sources:
    sources = Sources()
    sources.read(path)
    return sources


def test_what_is_as_it_was_has_not_changed(file: Path) -> None:
    sources = read(file)
    assert sources.changed() is None
    file.read_text()
    assert sources.changed() is None


def test_another_text_is_a_change_and_stays_one_until_it_is_read(file: Path) -> None:
    sources = read(file)
    file.write_text("three")
    assert sources.changed()
    assert sources.changed()
    assert sources.read(file) == b"three"
    assert sources.changed() is None


def test_so_is_another_file_of_the_same_size_and_age(file: Path) -> None:
    sources, status = read(file), file.stat()
    other = file.with_name("other")
    other.write_text("two")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.rename(file)
    assert sources.changed()


def test_so_is_a_file_that_goes_and_one_that_comes(file: Path, tmp_path: Path) -> None:
    sources = read(file)
    file.unlink()
    assert sources.changed() == [None]
    missing = Sources()
    with pytest.raises(FileNotFoundError):
        missing.read(tmp_path / "secret")
    assert missing.changed() is None
    (tmp_path / "secret").write_text("k")
    assert missing.changed()


def test_kubernetes_turns_a_link_in_the_middle_of_the_path(tmp_path: Path) -> None:
    for version in ("..1", "..2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "router.yaml").write_text("same")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "router.yaml").symlink_to("..data/router.yaml")
    sources = read(tmp_path / "router.yaml")
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert sources.changed()


def test_only_the_beginning_is_read_where_no_more_is_wanted(file: Path) -> None:
    sources = Sources()
    assert sources.read(file, 2) == b"on"
    assert list(sources) == [file]


def test_a_file_that_somebody_else_reads_can_be_watched(file: Path) -> None:
    sources = Sources()
    sources.watch(file)
    assert sources.changed() is None
    file.write_text("three")
    assert sources.changed()


def test_what_another_process_has_read_is_read_from_it(file: Path) -> None:
    kept = Sources(keep=True)
    kept.read(file)
    with pytest.raises(FileNotFoundError):
        kept.read(file.with_name("missing"))
    file.write_text("changed since")
    replay = Replay(kept.contents)
    assert (replay.read(file), replay.read(file, 2)) == (b"one", b"on")
    with pytest.raises(FileNotFoundError):
        replay.read(file.with_name("missing"))
