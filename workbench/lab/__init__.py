"""Widgets: `lab.explorer` shows an experiment and lets one play with it, `lab.quiz` asks first.

The only importer of ipywidgets; `Experiment`, `film`, `view` and a question in words need none.
"""

import importlib

from .drawing import view
from .experiment import Experiment
from .history import Film, film
from .questions import Question, Quiz, quiz

LATE = {"Explorer": "widgets", "explorer": "widgets"}


def __getattr__(name: str) -> object:
    if name not in LATE:
        raise AttributeError(f"workbench.lab has no {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"{__name__}.{LATE[name]}"), name)


__all__ = ["Experiment", "Explorer", "Film", "Question", "Quiz", "explorer", "film", "quiz", "view"]
