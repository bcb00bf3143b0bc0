"""The front end's C on an emulated core, with an FPU and without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rena_kws.artifacts import Port
from rena_kws.devices import catalogue
from rena_kws.frontend.settings import FrontEnd
from rena_kws.profilers.cortex_m.features_profile import FeaturesCost, profile_features

FPU = ("cortex-m4", "cortex-m33", "cortex-m7")


def run(front_end: FrontEnd, port: Port, clip: NDArray[np.int16], core: str, *, fpu: bool) -> FeaturesCost:
    device = replace(catalogue.get(core), fpu="single" if fpu else "none")
    return profile_features(front_end, port, device, clip)
