"""Who pays for shared memory? The nouns and verbs of the workbench, and nothing else.

Three lines to the first chart:

    from workbench import scenarios, compare
    result = compare(scenarios.shared_page(), ["first_touch", "beancounter", "every_container"])
    result.plot()

Importing this package imports nothing else: each name is fetched when it is first used.
"""
import importlib
import sys

__version__ = "0.1.0"

NOUNS = {  # name -> (module that has it, what it is)
    "Trace": ("workbench.trace", "what happened: events of tasks on objects, in order"),
    "TraceBuilder": ("workbench.trace", "writes a Trace event by event"),
    "TraceError": ("workbench.trace", "every defect of a trace: row, column, what was expected"),
    "Machine": ("workbench.kernel", "the hardware: NUMA nodes, frames per node, swap"),
    "Knobs": ("workbench.kernel", "choices of the simulated kernel, and their defaults"),
    "Scenario": ("workbench.scenarios", "a story: source, containers, limits, machine, trace"),
    "Run": ("workbench.results", "one scenario under one scheme: tables, charts, explanations"),
    "Comparison": ("workbench.results", "one scenario under several schemes"),
    "replay": ("workbench.results", "replay(scenario, scheme) -> Run"),
    "compare": ("workbench.results", "compare(scenario, schemes) -> Comparison"),
    "validate": ("workbench.live", "validate(scenario, host) -> agreement with a real kernel"),
    "sweep": ("workbench.sweeps", "sweep(scenario, axes, schemes) -> one tidy table"),
}
MODULES = {  # submodules that need no import statement of their own
    "scenarios": "the stories, one function each",
    "schemes": "who is charged, one module per scheme",
    "charts": "table in, matplotlib Axes out",
    "claims": "what was said in March 2007, and the verdicts",
}
__all__ = [*NOUNS, *MODULES, "__version__"]


def later(name: str) -> object:
    """A module that is executed when one of its names is first used: charts need matplotlib."""
    if name not in sys.modules:
        import importlib.util  # not at the top: it takes longer than all of this file

        spec = importlib.util.find_spec(name)
        spec.loader = importlib.util.LazyLoader(spec.loader)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def __getattr__(name: str) -> object:
    if name in NOUNS:
        value = getattr(importlib.import_module(NOUNS[name][0]), name)
    elif name == "scenarios":  # at once: its names are stories, which a later import of one of
        value = importlib.import_module(f"{__name__}.{name}")  # its modules would hide
    elif name in MODULES:
        value = later(f"{__name__}.{name}")
    else:
        raise AttributeError(f"workbench has no {name!r}; it has {', '.join(__all__)}")
    globals()[name] = value
    return value


def __dir__() -> list:
    return sorted({*globals(), *__all__})
