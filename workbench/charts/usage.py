"""Usage, failcnt and kills over time."""

from __future__ import annotations

from workbench.results.explain import join, listed
from workbench.results.units import amount, count

from . import style

FAR = 3  # a limit more than so many times above everything drawn is named, not drawn


def series(table, metric: str) -> dict[str, tuple[list, list]]:
    """Container -> times and values of one metric; a root that stays at 0 is left out."""
    found = {}
    rows = table[table["metric"] == metric]
    for name, part in rows.groupby("container", sort=False):
        values = part["value"].tolist()
        if name != "root" or any(values):
            found[name] = part["time"].tolist(), values
    return found


def scenario_of(table) -> str:
    """`scenario under scheme` of a table with one run."""
    if not len(table):
        return "an empty run"
    first = table.iloc[0]
    return f"{first['scenario']} under {first['scheme']}"


def peak_of(table, name: str) -> float:
    """The highest usage of a container, between samples too where the table tells."""
    mine = table[(table["container"] == name) & table["metric"].isin(("usage", "peak"))]
    return max(mine["value"])


def lines(ax, table, metric: str, legend: bool = True, weight: float = 1) -> None:
    """One line per container, told apart by colour, dashes and markers."""
    looks = style.looks(table["container"])
    for i, (name, (times, values)) in enumerate(series(table, metric).items()):
        times, values = style.thin(times, values)
        look = looks[name]
        step = max(1, len(times) // 6)
        ax.plot(
            times, values, drawstyle="steps-post", color=look.colour, linestyle=look.dash,
            linewidth=look.width * weight, marker=look.marker, markersize=4.5 * weight**0.5,
            markeredgecolor=style.INK, markeredgewidth=0.4, zorder=2 + i / 10,
            markevery=(step * (i % 3) // 3, step),
            label=f"{name}, {amount(values[-1])} at the end" if legend else name,
        )


def limits(ax, table, legend: bool = True) -> None:
    """Thin dashed lines that start with their container's marker; equal limits share one; far ones
    are only named."""
    groups: dict[tuple, list[str]] = {}
    for name, (times, values) in series(table, "limit").items():
        groups.setdefault((tuple(times), tuple(values)), []).append(name)
    top = max((peak_of(table, c) for c in series(table, "usage")), default=0)
    looks = style.looks(table["container"])
    for (times, values), names in groups.items():
        label = f"limit of {join(names)}: {amount(values[-1])}"
        if min(values) > FAR * max(top, 1):
            if legend:
                ax.plot([], [], linestyle="none", label=f"{label}, off the chart")
            continue
        times, values = style.thin(list(times), list(values))
        look = looks[names[0]] if len(names) == 1 else style.Look("", "", "None", "", 0)
        ax.plot(
            times, values, drawstyle="steps-post", color=style.INK, linestyle=style.LIMIT,
            linewidth=0.9, zorder=3, label=label, marker=look.marker, markevery=[0], markersize=6,
            markerfacecolor=look.colour or "none", clip_on=False,
        )


def marks(ax, oom, hang: int | None, heights: bool) -> None:
    """An X for every kill, at the usage it found (else at the top); a line where all stops."""
    if oom is not None and len(oom):
        boxes = oom[oom["container"] != "machine"] if heights else oom.iloc[:0]
        rest = oom.drop(boxes.index)
        look = {"marker": "X", "linestyle": "none", "color": style.INK, "zorder": 5,
                "markersize": 8 if len(oom) <= 12 else 5, "markeredgecolor": style.PAPER,
                "markeredgewidth": 0.5, "clip_on": False}
        label = f"{count(len(oom), 'task')} killed"
        if len(boxes):
            ax.plot(boxes["time"], boxes["usage"], label=label, **look)
        if len(rest):
            label = "_" if len(boxes) else label
            top = ax.get_xaxis_transform()
            ax.plot(rest["time"], [0.97] * len(rest), transform=top, label=label, **look)
    if hang:
        ax.axvline(hang, color=style.INK, linewidth=1.4, linestyle=":", zorder=4,
                   label=f"hangs at event {hang:,}")


def room(ax, top: float) -> None:
    ax.set_ylim(0, max(top * 1.06, 1))


def usage(table, oom=None, hang: int | None = None, ax=None):
    """Pages charged per container over events, limits dashed, kills marked X. Returns the Axes.

    table: `Run.table()`; oom: `Run.oom()`; hang: `Run.hang`. Without `ax` a new chart is made.
    """
    ax = style.axes(ax)
    lines(ax, table, "usage")
    limits(ax, table)
    marks(ax, oom, hang, heights=True)
    tops = [max(v) for m in ("usage", "limit") for _, v in series(table, m).values()]
    usual = max((peak_of(table, c) for c in series(table, "usage")), default=0)
    room(ax, max([usual, *(t for t in tops if t <= FAR * max(usual, 1))]))
    return style.finish(ax, f"Usage: {scenario_of(table)}", y="charged, pages")


def failcnt(table, oom=None, hang: int | None = None, ax=None):
    """Charges found above the limit, counted, per container over events. Returns the Axes."""
    ax = style.axes(ax, 2.4)
    lines(ax, table, "failcnt")
    marks(ax, oom, hang, heights=False)
    top = max((max(v) for _, v in series(table, "failcnt").values()), default=0)
    room(ax, top)
    if not top:
        style.note(ax, "no charge was refused")
    return style.finish(ax, f"Failcnt: {scenario_of(table)}", y="refusals, count")


def oom(table, events: int | None = None, hang: int | None = None, ax=None):
    """Who was killed when, by the container at its limit. Returns the Axes.

    table: `Run.oom()`. Filled: a task of that container; hollow: somebody else's task.
    """
    ax = style.axes(ax, 1.4 + 0.35 * max(1, table["container"].nunique()))
    boxes = list(dict.fromkeys(table["container"]))
    rows = [boxes.index(c) for c in table["container"]]
    looks = ((True, style.INK, "a task of its own"), (False, style.PAPER, "an outsider"))
    for own, face, label in looks:
        spots = [
            (r.time, y)
            for r, y in zip(table.itertuples(), rows, strict=True)
            if (r.container in ("machine", r.victim_container)) == own
        ]
        if spots:
            ax.plot(
                *zip(*spots, strict=True), marker="X" if own else "D", linestyle="none",
                markersize=9, color=face, markeredgecolor=style.INK, label=label,
            )
    named = table if len(table) <= 12 else table.iloc[:0]
    for i, row in enumerate(named.itertuples()):
        ax.annotate(
            row.victim, (row.time, boxes.index(row.container)), xytext=(0, 9 + 9 * (i % 2)),
            textcoords="offset points", ha="center", fontsize=style.SMALL,
        )
    if hang:
        ax.axvline(hang, color=style.INK, linewidth=1.4, linestyle=":",
                   label=f"hangs at event {hang:,}")
    if not boxes:
        style.note(ax, "no task was killed")
    ax.set_xlim(0, events or None)
    title = "Tasks killed" + (f": {scenario_of(table)}" if boxes else "")
    style.finish(ax, title, y="at its limit")
    ax.set_yticks(range(len(boxes)), boxes)
    ax.set_ylim(-0.5, max(len(boxes), 1) - 0.2)
    return ax


# -- sentences -----------------------------------------------------------------------------------


def describe_usage(table, oom=None, hang: int | None = None) -> str:
    """What the usage chart shows, with its numbers."""
    if not len(table):
        return "Nothing was charged."
    limit, parts = series(table, "limit"), []
    for name, (times, values) in series(table, "usage").items():
        peak = peak_of(table, name)
        words = f"{name} peaks at {count(peak, 'page')}"
        words += f" (event {times[values.index(peak)]:,})" if peak and peak in values else ""
        words += f" and ends at {amount(values[-1])}"
        parts.append(words + (f", limit {amount(limit[name][1][-1])}" if name in limit else ""))
    many = count(int(table["time"].max()), "event")
    said = f"Pages charged over {many} of {scenario_of(table)}: {listed(parts) or 'none'}."
    return f"{said} {describe_oom(oom, hang)}" if oom is not None or hang else said


def describe_failcnt(table, hang: int | None = None) -> str:
    """What the failcnt chart shows, with its numbers."""
    found = {name: int(v[-1]) for name, (_, v) in series(table, "failcnt").items()}
    told = [f"{name} {n:,}" for name, n in found.items()]
    said = (
        f"Charges refused in {scenario_of(table)}: {join(told)}."
        if any(found.values())
        else (f"No charge was refused in {scenario_of(table)}.")
    )
    return said + (f" The machine hangs at event {hang:,}." if hang else "")


def describe_oom(table, hang: int | None = None) -> str:
    """Who was killed when and for whom."""
    told = [
        f"{r.victim} of {r.victim_container} at event {r.time:,} for {r.container}"
        for r in (table.itertuples() if table is not None else ())
    ]
    dead = f"{count(len(told), 'task')} {'was' if len(told) == 1 else 'were'} killed"
    said = f"{dead}: {join(told)}." if told else "No task was killed."
    return said + (f" The machine hangs at event {hang:,}." if hang else "")
