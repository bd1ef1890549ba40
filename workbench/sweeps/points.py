"""What is to be computed: points of a grid or a list, checked before anything runs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from workbench import scenarios as stories
from workbench.kernel import Knobs, did_you_mean
from workbench.results.units import pages

Point = dict[str, Any]
ALL = "all"  # in place of a scenario's name: every one
KNOBS = tuple(f.name for f in fields(Knobs))


def grid(**axes: Iterable) -> list[Point]:
    """Every combination of the values, the last axis running fastest."""
    return [
        dict(zip(axes, values, strict=True))
        for values in itertools.product(*(list(axis) for axis in axes.values()))
    ]


def checked(scenario: str, over: Mapping[str, Iterable] | Iterable[Point]) -> list[Point]:
    """The points asked for, each with every name and value checked before anything runs.

    A name is a scenario's parameter, a knob, `limit` (every container but root, where the scenario
    has no parameter of that name), `limit.NAME`, `deal` (a seed of `redeal`; None: as written) or
    `spread`. Sizes such as 24MiB become pages. The scenario "all" makes a point of every story,
    named by the axis `scenario`. Raises ValueError.
    """
    points = grid(**over) if isinstance(over, Mapping) else [dict(point) for point in over]
    if not points:
        raise ValueError("sweep: no points; an axis of the grid is empty")
    if scenario == ALL:
        return [
            {"scenario": name, **point}
            for name in stories.names() for point in checked(name, points)
        ]
    story = scenario in stories.names()
    if not story and not Path(scenario).exists():
        hint = did_you_mean(scenario, stories.names())
        raise ValueError(f"sweep: {scenario!r} is neither a scenario nor a trace's file{hint}")
    parameters = stories.parameters(scenario) if story else {}
    known = [*parameters, *KNOBS, "limit", "deal", "spread"]
    for name in dict.fromkeys(name for point in points for name in point):
        if name not in known and not name.startswith("limit."):
            raise ValueError(f"sweep: unknown axis {name!r}{did_you_mean(name, known)}")
    if any(point.keys() != points[0].keys() for point in points):
        raise ValueError("sweep: every point must name the same axes")
    for point in points:
        for name, value in point.items():
            if name in parameters:
                known_as = parameters[name]
                if isinstance(value, str) and known_as.low is not None:
                    point[name] = value = size_of(name, value)
                known_as.check(scenario, value)
            elif name.startswith("limit") and value is not None:
                size_of(name, value)
            elif name == "deal" and not (value is None or type(value) is int):
                raise ValueError(f"sweep: deal={value!r}: a whole number (a seed) or None")
        Knobs(**{name: point[name] for name in KNOBS if name in point})
    return points


def size_of(name: str, value: Any) -> int:
    try:
        return pages(value)
    except ValueError as problem:
        raise ValueError(f"sweep: {name}={value!r}: {problem}") from None


def key_of(point: Point, scheme: str) -> str:
    return json.dumps({**point, "scheme": scheme}, sort_keys=True)
