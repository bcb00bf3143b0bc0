"""Files that are replaced whole, and folders that one at a time may use. (Locks: test_profilers_serial_board.py.)"""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest

from rena_kws.errors import UnavailableError
from rena_kws.files import replacing, reserved


def test_a_folder_is_whoever_came_first_and_keeps_what_it_holds(tmp_path: Path) -> None:
    with reserved(tmp_path) as first:
        (first / "kept").write_text("")
        with reserved(tmp_path) as second:
            assert second != first
    with reserved(tmp_path) as again:
        assert again == first and (again / "kept").exists()


def test_a_file_system_without_locks_is_an_error_not_an_endless_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UnavailableError, match="No locks available"), reserved(tmp_path):
        pass


def test_two_that_write_a_file_at_once_do_not_write_into_each_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing(path) as one:
        one.write_text("one")
        with replacing(path) as other:
            other.write_text("other")
        assert path.read_text() == "other"
    assert path.read_text() == "one" and list(tmp_path.iterdir()) == [path]
