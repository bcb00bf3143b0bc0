"""What is on disk is what is installed: the package map loses no folder and no data file, every plug-in loads."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from rena_kws.devices.description import parse

ROOT = Path(__file__).parent.parent
MAPPED = ("profilers", "devices", "datasets")
DATA = {".py", ".c", ".h", ".toml", ".jsonl", ".ld", ".html", ".in", ".S", ".ino"}
KINDS = ("datasets", "profilers", "controllers", "exporters")


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def source_files() -> dict[str, Path]:
    """Path inside the installed package → the file in the tree, for everything that is to be shipped."""
    found = {}
    for folder in ("rena_kws", *MAPPED):
        prefix = "" if folder == "rena_kws" else "rena_kws/"
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and (path.suffix in DATA or path.name == "py.typed"):
                found[prefix + path.relative_to(ROOT).as_posix()] = path
    return found


def test_the_list_of_packages_is_the_folders_on_disk() -> None:
    on_disk = {name.rpartition("/")[0].replace("/", ".") for name in source_files()}
    listed = setup_cfg()["options"]["packages"].split()
    assert sorted(listed) == listed
    assert set(listed) == on_disk


def test_every_package_has_an_init() -> None:
    names = source_files()
    for package in setup_cfg()["options"]["packages"].split():
        assert f"{package.replace('.', '/')}/__init__.py" in names


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_point_loads(kind: str) -> None:
    group = f"rena_kws.{kind}"
    declared = {line.split("=")[0].strip() for line in setup_cfg()["options.entry_points"][group].split("\n") if line}
    points = {point.name: point for point in entry_points(group=group)}
    assert declared <= set(points)
    for name in declared:
        assert callable(points[name].load()), name


def test_the_command_loads() -> None:
    (point,) = (point for point in entry_points(group="console_scripts") if point.name == "rena-kws")
    assert callable(point.load())


def test_the_distribution_says_what_the_package_says() -> None:
    cfg = setup_cfg()
    assert cfg["metadata"]["license"] == "MIT"
    assert f"## [{cfg['metadata']['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_readmes_device_is_a_valid_one() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert parse("sensor-node", text).title == "My sensor node"


def test_ci_runs_the_readmes_test_command() -> None:
    command = "bash tests/run"
    assert f"\n    {command}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"\n{command} -m ''\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_wheel_holds_every_file(tmp_path: Path) -> None:
    copy = tmp_path / "tree"
    listing = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("the tree is no git checkout")
    for name in filter(None, listing.stdout.split("\n")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(tmp_path), str(copy)]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name: archive.read(name) for name in archive.namelist() if name.startswith("rena_kws/")}
    assert held == {name: path.read_bytes() for name, path in source_files().items()}
