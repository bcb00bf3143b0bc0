"""What tests share: the reference material, tools that a machine may lack, and a cache that is not the user's.

`RENA_KWS_REFERENCE` is the folder of reference models and recordings; tests that need it are skipped where it is unset.
`RENA_KWS_REQUIRE=1` makes every such skip a failure: on CI nothing may be left out unseen.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("rena_kws", deadline=None, database=None)  # a busy machine is no failure
settings.load_profile("rena_kws")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The whole flow first: without it the rest says little, and the longest test is not the one to wait for."""
    items.sort(key=lambda item: item.path.name != "test_tiny.py")


def skip_or_fail(reason: str) -> None:
    """Leave the test out; where `RENA_KWS_REQUIRE` is 1, fail it."""
    if os.environ.get("RENA_KWS_REQUIRE") == "1":
        pytest.fail(f"RENA_KWS_REQUIRE=1 and {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def reference() -> Callable[..., Path]:
    """`reference("models", "x.tflite")` → its path. A missing file is a failure where the folder is given."""
    folder = os.environ.get("RENA_KWS_REFERENCE")

    def path(*parts: str) -> Path:
        if not folder:
            skip_or_fail("RENA_KWS_REFERENCE, the folder of reference models and recordings, is not set")
        found = Path(folder or "").joinpath(*parts)
        if not found.exists():
            pytest.fail(f"RENA_KWS_REFERENCE is {folder}, which holds no {'/'.join(parts)}")
        return found

    return path


@pytest.fixture
def swiftshader(monkeypatch: pytest.MonkeyPatch) -> None:
    """The only GPU is SwiftShader, which computes in software what a GPU would."""
    driver = Path("/usr/lib/chromium/vk_swiftshader_icd.json")
    if not driver.exists():
        skip_or_fail("SwiftShader is missing (Debian: chromium-common, libvulkan1)")
    _only_vulkan_driver(driver, monkeypatch)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU is found."""
    _only_vulkan_driver(Path("/nowhere.json"), monkeypatch)


def _only_vulkan_driver(description: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
        monkeypatch.setenv(name, str(description))


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """`tool("gcc")` → the program's path; skips (or fails) where the machine lacks it."""

    def find(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            skip_or_fail(f"{name} is not on PATH")
        return found or ""

    return find


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Tests and what they start share a cache of their own, in whichever process they run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RENA_KWS_CACHE", str(folder))
        yield folder
