"""Runs and comparisons: tables, sentences, files. `replay` and `compare` make them."""

from .comparison import Comparison, compare
from .run import Run, replay

__all__ = ["Comparison", "Run", "compare", "replay"]
