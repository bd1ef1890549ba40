"""What the machine remembers and does, policy-free: state, faults, lists, reclaim, OOM, zones."""

from .check import CheckFailed, check
from .config import Knobs, Machine, ZoneSet, counted, did_you_mean
from .engine import AccessError, choose, find_truth, simulate, stepped
from .memstat import memory_stat
from .names import OUTCOMES, QUIRKS, STATS
from .room import TooLarge
from .state import PlacementError, State

__all__ = [
    "OUTCOMES", "QUIRKS", "STATS", "AccessError", "CheckFailed", "Knobs", "Machine",
    "PlacementError", "State", "TooLarge", "ZoneSet", "check", "choose", "counted", "did_you_mean",
    "find_truth", "memory_stat", "simulate", "stepped",
]
