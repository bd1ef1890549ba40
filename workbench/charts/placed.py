"""One column per NUMA node: what each container pays for there, above its refusals there."""

from __future__ import annotations

from workbench.results.explain import listed
from workbench.results.units import count

from .multiples import multiples
from .usage import series


def panels(table, kills, where: list[int]) -> tuple:
    """The tables as `multiples` takes them, with a node in place of a scheme; kills at the height
    of what the victim's container had there before."""
    rows = table.assign(scheme=[f"node {n}" for n in table["node"]], scenario="")
    busy = rows.groupby("scheme", sort=False)["value"].transform("max") > 0
    rows = rows[busy] if busy.any() else rows[rows["node"] == 0]
    kills = kills.assign(scheme=[f"node {n}" for n in where], container=kills["victim_container"])
    usage = rows[rows["metric"] == "usage"]
    heights = []
    for kill in kills.itertuples():
        mine = usage[(usage["container"] == kill.container) & (usage["scheme"] == kill.scheme)]
        heights.append(max(mine[mine["time"] < kill.time]["value"].tail(1), default=0))
    return rows, kills.assign(usage=heights)


def placed(table, kills, where: list[int], fig=None) -> list:
    """Columns of nodes where anything is. Returns (usage Axes, failcnt Axes) per node.

    table: `Run.placed()`; kills: `Run.oom()`; where: each victim's node.
    """
    return multiples(*panels(table, kills, where), fig=fig, y="pays for, pages")


def describe_placed(table, kills, where: list[int]) -> str:
    """Peak and refusals of each container on every node, and who was killed there."""
    rows, kills = panels(table, kills, where)
    parts = []
    for node, mine in rows.groupby("scheme", sort=False):
        failed, told = series(mine, "failcnt"), []
        for name, (_, values) in series(mine, "usage").items():
            lost = int(failed.get(name, ([], [0]))[1][-1])
            if max(values) or lost:
                words = f"{name} pays for up to {count(max(values), 'page')}"
                told.append(words + (f", {count(lost, 'refusal')}" if lost else ""))
        dead = kills[kills["scheme"] == node]["victim"]
        told += [f"{listed(list(dead))} killed"] if len(dead) else []
        parts.append(f"{node}: {'; '.join(told) or 'nothing'}")
    return f"{'. '.join(parts)}."
