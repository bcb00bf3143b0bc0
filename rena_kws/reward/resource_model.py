"""What a network will cost on a device, estimated in microseconds from networks that were measured there.

Latency and energy are sums over operations, flash over weights and over the kinds of operation that need code, RAM
follows the peak of live tensors. The coefficients are fitted to the measurements without going below zero (Lawson and
Hanson's NNLS), each measurement counting by its relative error. An estimate only steers a search; its limits and
rewards are of measurements.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from rena_kws.spec.architecture import Architecture
from rena_kws.spec.cost_graph import OpCost, cost

LEAST_NETWORKS = 12
"""Fewer measured networks tell nothing."""
RIDGE = 0.01
"""Pull towards zero, relative to the measurements: decides between features that few networks tell apart."""
FOLDS = 5
CAUTION = 0.9
"""A filter allows for the error that this share of the networks stays under."""

Terms = Mapping[str, float]
Measured = Sequence[tuple[Architecture, Mapping[str, float]]]


class ResourceModel:
    """Fitted to `measured`: networks with their resources. Knows those resources that every network has."""

    def __init__(self, measured: Measured) -> None:
        self._models: dict[str, _Linear] = {}
        if len(measured) < LEAST_NETWORKS:
            return
        known = set.intersection(*(set(resources) for _, resources in measured))
        for resource in known:
            terms = _TERMS.get(resource.rpartition(":")[2])  # of another device: `cpu:latency_ms`
            if terms:
                values = np.array([resources[resource] for _, resources in measured])
                self._models[resource] = _Linear(terms, [network for network, _ in measured], values)

    def estimate(self, architecture: Architecture) -> dict[str, float]:
        """Resource → estimate; empty where too little was measured."""
        return {resource: model(architecture) for resource, model in self._models.items()}

    @property
    def error(self) -> dict[str, float]:
        """Resource → the relative error that nine of ten networks stayed under when the fit had not seen them."""
        return {resource: model.error for resource, model in self._models.items()}


class _Linear:
    """A sum of terms with coefficients from 0."""

    def __init__(
        self,
        terms: Callable[[Architecture], Terms],
        networks: Sequence[Architecture],
        values: NDArray[np.float64],
    ) -> None:
        self._terms = terms
        rows = [terms(network) for network in networks]
        self._names = sorted({name for row in rows for name in row})
        x = np.array([[row.get(name, 0.0) for name in self._names] for row in rows])
        self._coefficients = fit_nonnegative(x, values)
        self.error = _held_out_error(x, values)

    def __call__(self, architecture: Architecture) -> float:
        terms = self._terms(architecture)
        return float(sum(c * terms.get(name, 0.0) for name, c in zip(self._names, self._coefficients, strict=True)))


def fit_nonnegative(x: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients from 0 with which the columns of `x` (networks, terms) add up to `values` (networks,), by relative
    error."""
    from scipy.optimize import nnls

    relative = x / values[:, None]
    scale = np.maximum(relative.max(axis=0), 1e-12)
    ridge = RIDGE * np.eye(x.shape[1])
    target = np.concatenate([np.ones(len(values)), np.zeros(x.shape[1])])
    return np.asarray(nnls(np.vstack([relative / scale, ridge]), target)[0] / scale)


def _held_out_error(x: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    errors = np.empty(len(values))
    for fold in range(FOLDS):
        held = np.arange(len(values)) % FOLDS == fold
        errors[held] = np.abs(x[held] @ fit_nonnegative(x[~held], values[~held]) / values[held] - 1)
    return float(np.quantile(errors, CAUTION))


def _kind(op: OpCost) -> str:
    """Operations that run through the same loops of a kernel library."""
    if op.op == "conv":
        return "first_conv" if op.inputs == 1 else "pointwise" if op.kernel == (1, 1) else "conv"
    if op.op == "depthwise":
        return "depthwise_3x3" if op.kernel == (3, 3) else "depthwise"
    return op.op


def _time_terms(architecture: Architecture) -> Terms:
    """Per kind: products (for a pool, window elements), outputs, and positions of the output."""
    terms: Counter[str] = Counter({"call": 1})
    for op in cost(architecture).ops:
        kind, outputs = _kind(op), prod(op.output_shape)
        if op.op == "gru":
            outputs *= op.kernel[0]  # a state a step
        terms[f"{kind} products"] += op.macs or outputs * prod(op.kernel)
        terms[f"{kind} outputs"] += outputs
        terms[f"{kind} positions"] += outputs // op.output_shape[2]
    return terms


def _flash_terms(architecture: Architecture) -> Terms:
    """Weights, biases with their multipliers, code of each kind that occurs, and a call for every operation."""
    ops = cost(architecture).ops
    terms = Counter({f"code {_kind(op)}": 1 for op in ops})
    terms["image"] = 1
    terms["calls"] = len(ops)
    for op in ops:
        terms["weights"] += op.weights
        terms["channels"] += op.biases
    return terms


def _ram_terms(architecture: Architecture) -> Terms:
    """The peak of live tensors, without and with writing in place, and the largest window of a convolution."""
    price = cost(architecture)
    window = max((prod(op.kernel) * op.inputs for op in price.ops if op.op == "conv"), default=0)
    return {
        "stack": 1,
        "tensors": price.activation_ram_bytes,
        "in place": price.in_place_ram_bytes,
        "window": window,
    }


_TERMS: Mapping[str, Callable[[Architecture], Terms]] = {
    "latency_ms": _time_terms,
    "energy_uj": _time_terms,
    "flash_bytes": _flash_terms,
    "ram_bytes": _ram_terms,
    "stream_load_percent": _time_terms,
    "stream_flash_bytes": _flash_terms,
    "stream_ram_bytes": _ram_terms,
}
