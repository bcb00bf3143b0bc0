"""Results that are kept, and which of them go when there are too many."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from rena_kws import cache
from rena_kws.errors import UnavailableError

HOUR_S = 3600.0


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of one megabyte."""
    monkeypatch.setenv("RENA_KWS_CACHE", str(tmp_path))
    monkeypatch.setenv("RENA_KWS_CACHE_MB", "1")
    return tmp_path


def result(root: Path, name: str, hours_ago: float, size: int = 400_000) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    used = time.time() - hours_ago * HOUR_S
    os.utime(path, (used, used))
    return path


def test_the_longest_unused_go_until_the_limit_is_kept(root: Path) -> None:
    oldest = result(root, "built/a.elf", 40)
    older = result(root, "features/b.npz", 30)
    kept = [result(root, "profiles/c.zip", 20), result(root, "features/d.npz", 10)]
    cache.make_room()
    assert not oldest.exists() and not older.exists() and all(path.exists() for path in kept)
    assert cache.used_bytes() == 800_000


def test_what_has_served_stays(root: Path) -> None:
    old, *others = (result(root, f"built/{n}.elf", 40 - n) for n in range(4))
    cache.touch(old)
    cache.make_room()
    assert old.exists() and [path.exists() for path in others] == [False, False, True]


def test_nothing_goes_within_the_hour_or_that_is_no_result(root: Path) -> None:
    fresh = [result(root, f"features/{n}.npz", 0.5) for n in range(4)]
    others = [result(root, f"sources/0/{n}.c", 50) for n in range(4)] + [result(root, "own.txt", 50, 4_000_000)]
    cache.make_room()
    assert all(path.exists() for path in fresh + others)


def test_it_looks_once_a_minute(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.make_room()
    old = [result(root, f"built/{n}.elf", 40) for n in range(4)]
    cache.make_room()
    assert all(path.exists() for path in old)
    monkeypatch.setattr(cache, "_LOOK_EVERY_S", 0.0)  # the minute is over
    cache.make_room()
    assert sum(path.exists() for path in old) == 2


def test_a_cache_that_is_not_there_is_empty(root: Path) -> None:
    cache.make_room(root / "none")
    cache.touch(root / "none" / "built" / "a.elf")
    assert not (root / "none").exists()


@pytest.mark.parametrize("given", ["much", "-1", "1.5"])
def test_a_limit_that_is_no_number_is_one_line(root: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("RENA_KWS_CACHE_MB", given)
    with pytest.raises(UnavailableError, match=f"whole number of megabytes, not '{given}'"):
        cache.limit_bytes()
    with pytest.raises(UnavailableError, match="megabytes"):
        cache.root()  # where a result is there already, too


def test_it_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RENA_KWS_CACHE", str(tmp_path))
    assert cache.root() == tmp_path
    monkeypatch.delenv("RENA_KWS_CACHE")
    monkeypatch.delenv("RENA_KWS_CACHE_MB", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert cache.root() == tmp_path / "user" / "rena-kws" and cache.limit_bytes() == cache.DEFAULT_MB << 20
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.root() == Path.home() / ".cache" / "rena-kws"
