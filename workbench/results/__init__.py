"""Runs and comparisons: tables, sentences, files. `replay` and `compare` make them."""

from .comparison import Comparison, compare
from .replaying import replay
from .run import Run

__all__ = ["Comparison", "Run", "compare", "replay"]
