"""Prediction and measurement on one chart: lines are predicted, rings are a real kernel's."""

from __future__ import annotations

from workbench.results.explain import listed
from workbench.results.units import amount, count

from . import style
from .usage import lines, room, series

MEASURED = "Linux "  # a measured row's scheme begins with it, the version follows


def parted(table) -> tuple:
    """Predicted rows, measured rows."""
    real = table["scheme"].str.startswith(MEASURED)
    return table[~real], table[real]


def beside(table, kills=None, ax=None):
    """Predicted lines, measured rings, per container over events. Returns the Axes.

    table: tidy rows of one metric, `scheme` naming who predicts, or "Linux VERSION";
    kills: rows of (time, scheme, victim).
    """
    ax = style.axes(ax)
    said, real = parted(table)
    metric, unit = table.iloc[0]["metric"], table.iloc[0]["unit"]
    lines(ax, said, metric)
    looks = style.looks(said["container"])
    label = real.iloc[0]["scheme"]
    for name, (times, values) in series(real, metric).items():
        times, values = style.thin(list(times), list(values))
        step = max(1, len(times) // 60)
        ax.plot(
            times[::step], values[::step], linestyle="none", marker="o", markersize=7,
            markerfacecolor="none", markeredgecolor=looks[name].colour, markeredgewidth=1.1,
            zorder=4, label=label,
        )
        label = f"_{label}"
    top = max(table["value"])
    if kills is not None and len(kills):
        at = ax.get_xaxis_transform()
        for wanted, marker, size, face in ((False, "X", 8, style.INK), (True, "o", 14, "none")):
            mine = kills[kills["scheme"].str.startswith(MEASURED) == wanted]
            words = "killed" if wanted else "predicted to be killed"
            ax.plot(
                mine["time"], [0.94] * len(mine), transform=at, linestyle="none", marker=marker,
                markersize=size, markerfacecolor=face, markeredgecolor=style.INK, zorder=5,
                label=f"{', '.join(mine['victim'])} {words}",
            )
        top *= 1.12
    room(ax, top)
    scenario, scheme = table.iloc[0]["scenario"], said.iloc[0]["scheme"]
    title = f"{metric.capitalize()} in {scenario}: {scheme} and {real.iloc[0]['scheme']}"
    return style.finish(ax, title, y=f"{metric}, {unit}")


def describe_beside(table, kills=None) -> str:
    """How far both agree, with the numbers at the end."""
    said, real = parted(table)
    metric = table.iloc[0]["metric"]
    both = said.merge(real, on=["container", "time"], suffixes=("", "_real"))
    wrong = both[both["value"] != both["value_real"]]
    ends = [
        f"{name} ends at {amount(values[-1])}" for name, (_, values) in series(real, metric).items()
    ]
    told = f"all {len(both):,} numbers are as predicted" if not len(wrong) else (
        f"{len(wrong):,} of {len(both):,} numbers differ, the first at event "
        f"{int(wrong['time'].min()):,}"
    )
    many = count(int(table["time"].max()), "event")
    words = f"{metric.capitalize()} over {many} of {table.iloc[0]['scenario']}, predicted under "
    words += f"{said.iloc[0]['scheme']} and measured on {real.iloc[0]['scheme']}: {told}; "
    words += f"{listed(ends) or 'nothing is left'}."
    for who in (said, real) if kills is not None and len(kills) else ():
        name = who.iloc[0]["scheme"]
        mine = kills[kills["scheme"] == name]
        dead = ", ".join(f"{r.victim} at event {r.time}" for r in mine.itertuples()) or "nobody"
        words += f" {'Killed on' if name.startswith(MEASURED) else 'To be killed under'} {name}: "
        words += f"{dead}."
    return words
