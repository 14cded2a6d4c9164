"""Samplers and pruners by the names of the old system; plain names and Optuna's objects do as well."""

from __future__ import annotations

from enum import Enum

__all__ = ["PrunerType", "SamplerType"]


class SamplerType(Enum):
    """How parameters are drawn. The values are the names that ``orchestrator`` knows."""

    TPE = "tpe"
    Random = "random"
    CmaEs = "cmaes"
    Grid = "grid"
    PartialFixed = "partialfixed"
    NSGAII = "nsgaii"
    MOTPE = "tpe"  # Optuna's TPE does several objectives itself


class PrunerType(Enum):
    """How hopeless trials are ended early."""

    HyperBand = "hyperband"
    Median = "median"
    Nop = "none"
    Patient = "patient"
    Percentile = "percentile"
    SuccessiveHalving = "halving"
    Threshold = "threshold"
