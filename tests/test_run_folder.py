"""A run folder belongs to one run and one process at a time; a refused run leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rena_kws.errors import RunFolderError
from rena_kws.run_folder import RunFolder, new_run_path, read_settings, write_text

SETTINGS = {"device": "cortex-m", "limits": ("latency_ms=30",), "seed": 0, "start": None}


def make(path: Path) -> None:
    RunFolder(path, SETTINGS, resume=False).close()


def test_a_new_run_writes_its_settings_and_resumes(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run"
    make(path)
    assert read_settings(path) == {"schema_version": 1, **SETTINGS, "limits": ["latency_ms=30"]}
    before = (path / "run.json").read_bytes()
    folder = RunFolder(path, SETTINGS, resume=True)
    assert folder.store.replay() == []
    folder.close()
    assert (path / "run.json").read_bytes() == before


def test_a_used_folder_wants_resume(tmp_path: Path) -> None:
    make(tmp_path / "run")
    (tmp_path / "run" / "trials.jsonl").touch()
    with pytest.raises(RunFolderError, match="continue it with --resume"):
        make(tmp_path / "run")


def test_a_run_that_ended_before_its_first_trial_can_be_asked_for_otherwise(tmp_path: Path) -> None:
    make(tmp_path)
    RunFolder(tmp_path, {**SETTINGS, "seed": 1}, resume=False).close()
    assert read_settings(tmp_path)["seed"] == 1
    (tmp_path / "notes.txt").touch()
    with pytest.raises(RunFolderError, match="holds other files"):
        make(tmp_path)


def test_other_settings_are_another_run(tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(RunFolderError, match=r"another run's: its seed is 0, this one's 1"):
        RunFolder(tmp_path, {**SETTINGS, "seed": 1}, resume=True)
    RunFolder(tmp_path, SETTINGS, resume=True).close()  # the refused one holds no lock


def test_resume_without_a_run_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds none"):
        RunFolder(tmp_path / "typo", SETTINGS, resume=True)
    assert not (tmp_path / "typo").exists()


def test_somebody_elses_folder_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="holds other files"):
        make(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_run_killed_before_it_began_can_begin_again(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".run.json.4711").write_text('{"schema_ver')
    make(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="no advisory locks on Windows")
def test_a_folder_held_by_another_process_is_refused_until_that_one_is_killed(tmp_path: Path) -> None:
    make(tmp_path)
    code = f"""
import sys
from pathlib import Path
from rena_kws.run_folder import RunFolder, new_run_path
folder = RunFolder(Path(sys.argv[1]), {SETTINGS!r}, resume=True)
print("held", flush=True)
sys.stdin.read()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], **pipes) as other:  # type: ignore[call-overload]
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RunFolderError, match="worked on by another process"):
            RunFolder(tmp_path, SETTINGS, resume=True)
        other.kill()
    RunFolder(tmp_path, SETTINGS, resume=True).close()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 2}', "\x00"])
def test_a_run_json_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunFolderError):
        read_settings(tmp_path)


def test_a_missing_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is no run folder") as caught:
        read_settings(tmp_path / "nowhere")
    assert "\n" not in str(caught.value)


def test_a_folder_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunFolderError, match="cannot write the run folder"):
        make(tmp_path / "file" / "run")


def test_write_text_replaces_whole_files_and_leaves_nothing_aside(tmp_path: Path) -> None:
    write_text(tmp_path / "a.json", "old")
    write_text(tmp_path / "a.json", json.dumps({"word": "größer"}, ensure_ascii=False))
    assert (tmp_path / "a.json").read_bytes().decode("utf-8") == '{"word": "größer"}'
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunFolderError, match="cannot write"):
        write_text(tmp_path / "folder", "text")
    assert sorted(os.listdir(tmp_path)) == ["a.json", "folder"]


def test_runs_of_one_second_have_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda text: "20260101-000000")
    for name in ("20260101-000000", "20260101-000000-2", "20260101-000000-3"):
        path = new_run_path()
        assert path == Path("runs") / name
        path.mkdir(parents=True)
