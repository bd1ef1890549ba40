"""Widgets: `lab.explorer` shows an experiment and lets one play with it; the only importer of
ipywidgets. `Experiment`, `film` and `view` need no widgets."""

import importlib

from .drawing import view
from .experiment import Experiment
from .history import Film, film

LATE = {"Explorer": "widgets", "explorer": "widgets"}


def __getattr__(name: str) -> object:
    if name not in LATE:
        raise AttributeError(f"workbench.lab has no {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"{__name__}.{LATE[name]}"), name)


__all__ = ["Experiment", "Explorer", "Film", "explorer", "film", "view"]
