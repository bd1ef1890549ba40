"""What happened: event language, traces, builder, files, importers (standard library only)."""

from .builder import TraceBuilder
from .language import KINDS, LANGUAGE, Op, Spec
from .model import Container, Defect, Event, Object, Task, Trace, TraceError

__all__ = [
    "KINDS",
    "LANGUAGE",
    "Container",
    "Defect",
    "Event",
    "Object",
    "Op",
    "Spec",
    "Task",
    "Trace",
    "TraceBuilder",
    "TraceError",
]
