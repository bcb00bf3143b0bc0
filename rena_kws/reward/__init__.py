"""Measurement + accuracy → a number: the limits of a device, and RENA's constrained reward."""

from rena_kws.reward.limits import STREAM_RESOURCES, Limit, over_limits, parse_limit
from rena_kws.reward.reward import PENALTY, reward

__all__ = ["PENALTY", "STREAM_RESOURCES", "Limit", "over_limits", "parse_limit", "reward"]
