"""The cycle models against programs whose cycles the literature tells."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rena_kws.profilers.cortex_m.unit_kernels import KERNELS, UnitKernel, run
from rena_kws.profilers.cortex_m.worker import EmulatorProcess


@pytest.fixture(scope="module")
def process() -> Iterator[EmulatorProcess]:
    process = EmulatorProcess()
    yield process
    process.close()


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: f"{kernel.core}: {kernel.name}")
def test_unit_kernels_take_what_the_literature_says(kernel: UnitKernel, process: EmulatorProcess) -> None:
    assert run(kernel, process) == pytest.approx(kernel.cycles, rel=0.03)
