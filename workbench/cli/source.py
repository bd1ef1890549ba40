"""What a command replays: a scenario or a trace, with the options that change it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from .text import Mistake


def pairs(given: list[str] | None, option: str, form: str) -> dict[str, str]:
    """`key=value` options as a dict."""
    found = {}
    for text in given or []:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise Mistake(f"{option} {text}: write {option} {form}")
        if key in found:
            raise Mistake(f"{option}: {key} is given twice")
        found[key] = value
    return found


def guess(name: str, known: Iterable[str]) -> str:
    from workbench.kernel import did_you_mean

    return did_you_mean(name, list(known))


def number(text: str, what: str) -> int:
    if not (text.isascii() and text.removeprefix("-").isdigit()):
        raise Mistake(f"{what}={text}: a whole number is expected")
    return int(text)


def like(default: Any, text: str, what: str) -> Any:
    """`text` as a value of the same type as a knob's default."""
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise Mistake(f"{what}={text}: true or false is expected")
        return text.lower() == "true"
    return number(text, what) if isinstance(default, int) else text


def parameter(known: Any, text: str) -> Any:
    """`text` as a value of a scenario's parameter; sizes such as 24MiB where pages are meant."""
    if known.optional and text.lower() == "none":
        return None
    for choice in known.choices:
        if str(choice).lower() == text.lower():
            return choice
    if known.low is None or known.choices:
        return text
    from workbench.results.units import pages

    return number(text, known.name) if text.lstrip("-").isdigit() else pages(text)


OF_MACHINE = ("frames", "swap", "zone_sets")


def zone_sets(text: str, containers: list[str]) -> tuple:
    """`A+B:60,C+D:pooled`: sets of containers; after colons the size of their zone in frames (else
    half of what is left), `pooled`, and paths that lie in it (/usr, server:/export)."""
    from workbench.kernel import ZoneSet

    sets = []
    for one in text.split(","):
        names, *words = one.split(":")
        given: dict[str, Any] = {"containers": tuple(names.split("+"))}
        paths = []
        for n, word in enumerate(words):
            if word == "pooled":
                given["pooled"] = True
            elif word.isdigit():
                given["frames"] = int(word)
            elif word.startswith("/"):
                server = words[n - 1] + ":" if n and plain(words[n - 1]) else ""
                paths.append(server + word)
            elif not (plain(word) and words[n + 1 : n + 2] and words[n + 1].startswith("/")):
                raise Mistake(f"--set zone_sets={one}: {word!r} is no number of frames, no path "
                              "and not pooled; write A+B:60:/usr or A+B:60:pooled")
        for name in given["containers"]:
            if name not in containers:
                raise Mistake(f"--set zone_sets={one}: no container {name!r}"
                              f"{guess(name, containers)}")
        sets.append(ZoneSet(**given, **({"paths": tuple(paths)} if paths else {})))
    return tuple(sets)


def plain(word: str) -> bool:
    """Not a size, a path or `pooled`: a server's name."""
    return bool(word) and word != "pooled" and not word.isdigit() and not word.startswith("/")


class Source:
    """What `run`, `compare` and `explain` replay: a scenario, or a trace in a file."""

    def __init__(
        self,
        given: str,
        params: list[str] | None = None,
        nodes: int | None = None,
        place: list[str] | None = None,
        limits: list[str] | None = None,
        settings: list[str] | None = None,
        engine: str = "auto",
    ):
        from workbench import scenarios
        from workbench.kernel import Knobs, Machine, choose
        from workbench.results.comparison import NamedTrace

        self.places = {
            box: number(node, f"--place {box}")
            for box, node in pairs(place, "--place", "CONTAINER=NODE").items()
        }
        chosen = pairs(params, "--param", "key=value")
        if given in scenarios.names():
            self.thing: Any = self.scenario(given, chosen, nodes)
            self.trace, machine = self.thing.trace, self.thing.machine
        else:
            if chosen:
                raise Mistake(f"--param is for scenarios; {given} is a trace")
            trace = read_trace(given, scenarios.names())
            machine = Machine(nodes=nodes or 1 + max(nodes_of(trace), default=0))
            self.trace = self.placed(trace, machine.nodes)
            self.thing = NamedTrace(trace_name(given), self.trace)
        knobs: dict[str, Any] = {}
        of_machine: dict[str, Any] = {}
        known = {f.name: f.default for f in fields(Knobs)}
        for key, text in pairs(settings, "--set", "knob=value").items():
            if key in ("frames", "swap"):
                of_machine[key] = number(text, f"--set {key}")
            elif key == "zone_sets":
                of_machine[key] = zone_sets(text, [c.name for c in self.trace.containers])
            elif key in known:
                knobs[key] = like(known[key], text, f"--set {key}")
            else:
                raise Mistake(f"unknown knob {key!r}{guess(key, [*known, *OF_MACHINE])}")
        self.options: dict[str, Any] = knobs | {
            "machine": replace(machine, **of_machine),
            "engine": choose(engine, self.trace),
            "limits": {
                box: None if size == "none" else size
                for box, size in pairs(limits, "--limit", "CONTAINER=64MiB").items()
            },
        }

    def samples(self, given: int | None, output: Path | None) -> int | None:
        """Enough points in time for a scenario to find its marks, unless they would be saved."""
        return given or (400 if output else None)

    def scenario(self, name: str, chosen: dict[str, str], nodes: int | None) -> Any:
        from workbench import scenarios

        known = scenarios.parameters(name)
        for key in chosen:
            if key not in known:
                raise Mistake(f"{name}: unknown parameter {key!r}{guess(key, known)}")
        values = {key: parameter(known[key], text) for key, text in chosen.items()}
        if nodes is not None:
            values["nodes"] = nodes
        if self.places:
            values["place"] = self.places
        return scenarios.get(name, **values)

    def placed(self, trace: Any, nodes: int) -> Any:
        """A bare trace with its containers' tasks on other nodes."""
        from copy import copy

        names = [c.name for c in trace.containers]
        for box, node in self.places.items():
            if box not in names:
                raise Mistake(f"--place: no container {box!r}{guess(box, names)}")
            if not 0 <= node < nodes:
                raise Mistake(f"--place {box}={node}: nodes are 0 to {nodes - 1} (--nodes)")
        if not self.places:
            return trace
        moved = copy(trace)
        moved.tasks = [replace(t, node=self.places.get(t.container, t.node)) for t in trace.tasks]
        return moved


def nodes_of(trace: Any) -> Iterable[int]:
    """Every node that a task begins on or is sent to."""
    from workbench.trace import Op

    yield from (t.node for t in trace.tasks)
    for i in trace.rows(Op.run_on, Op.migrate):
        yield int(trace.values[trace.value[i]])


def trace_name(given: str) -> str:
    return Path(given).name.partition(".")[0]


def read_trace(
    given: str,
    scenarios: Iterable[str] = (),
    containers: str = "subtrees",
    form: str | None = None,
    owner: str | None = None,
) -> Any:
    """The trace in a file or folder; recordings (*.rec, *.rec.xz) and other tools' traces are
    converted on the way, told apart by what is in them unless `form` says it."""
    from workbench.trace import Trace, foreign

    path = Path(given)
    if not path.exists():
        if scenarios and not path.suffix and path.name == given:
            raise Mistake(f"unknown scenario {given!r}{guess(given, scenarios)}")
        raise Mistake(f"no trace at {given}")
    if form is not None and form not in foreign.FORMATS:
        raise Mistake(f"--from {form}: {', '.join(foreign.FORMATS)}{guess(form, foreign.FORMATS)}")
    try:
        if form is None and path.name.endswith((".rec", ".rec.xz")):
            return recording(path, containers)
        if form is None and path.is_file() and path.suffix not in (".zip", ".parquet"):
            form = foreign.format_of(path)
        if owner is not None and form != "oracleGeneral":
            raise Mistake("--owner is for libCacheSim's oracleGeneral; other formats know owners")
        if form is None:
            return Trace.load(path)
        return foreign.FORMATS[form](path, **({} if owner is None else {"owner": owner}))
    except OSError as problem:
        raise Mistake(f"{given} cannot be read: {problem.strerror or problem}") from problem


def recording(path: Path, containers: str) -> Any:
    from lzma import LZMAError

    from workbench.trace import TraceError
    from workbench.trace.importers import from_ptrec

    try:
        return from_ptrec(path, containers)
    except TraceError:
        raise
    except (ValueError, LookupError, TypeError, EOFError, LZMAError) as problem:
        raise Mistake(f"{path} is not a whole recording: {problem}") from problem


def chosen_schemes(given: list[str] | None) -> list[str]:
    from workbench import schemes

    if not given or given == ["all"]:
        return schemes.names()
    return [schemes.get(name).label for name in given]
