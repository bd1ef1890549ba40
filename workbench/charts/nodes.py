"""Frames in use per node and zone, stacked by what is in them."""

from __future__ import annotations

from workbench.results.explain import join
from workbench.results.units import count

from . import style
from .usage import FAR, scenario_of

KINDS = {  # kind -> colour, hatch, words
    "anon": ("#5790fc", "", "anonymous"),
    "file": ("#f89c20", "///", "page cache"),
    "special": ("#e42536", "xx", "driver pages"),
    "kernel": ("#9c9ca1", "...", "kernel"),
}
PANELS = 8


def zones(table) -> list[tuple[str, object]]:
    """(title, rows) per zone that ever held a frame."""
    found = []
    for (node, zone), part in table.groupby(["node", "zone"], sort=False):
        if part["frames"].any():
            found.append((f"node {node}" + (f", zone of {zone}" if zone else ""), part))
    return found


def nodes(table, fig=None) -> list:
    """Frames over events, one panel per node or zone. Returns the list of Axes.

    table: `Run.nodes()`. A capacity far above everything drawn is named, not drawn.
    """
    panels = zones(table)[:PANELS] or [("no frame was used", table)]
    fig = fig or style.sheet(0.7 + 1.9 * len(panels))
    axes = fig.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    kinds = [kind for kind in KINDS if table.loc[table["kind"] == kind, "frames"].any()]
    for ax, (title, part) in zip(axes, panels, strict=True):
        wide = part.pivot_table(index="time", columns="kind", values="frames")
        times, top, size = wide.index.tolist(), 0, 0
        if kinds and times:
            ax.stackplot(
                times, [wide[kind].tolist() for kind in kinds], step="post", linewidth=0.5,
                labels=[KINDS[kind][2] for kind in kinds], edgecolor=style.INK,
                colors=[KINDS[kind][0] for kind in kinds], hatch=[KINDS[kind][1] for kind in kinds],
            )
            top, size = wide.sum(axis=1).max(), int(part["capacity"].iloc[0])
        if size > FAR * max(top, 1):
            title += f"; capacity {size:,} frames, off the chart"
        elif size:
            ax.axhline(size, color=style.INK, linestyle=style.LIMIT, linewidth=1.2)
            title += f"; dashed: its capacity of {size:,} frames"
            top = max(top, size)
        ax.set_ylim(0, max(1, top * 1.06))
        last = ax is axes[-1]
        style.finish(ax, title, "events" if last else "", "frames", legend=ax is axes[0])
    if len(table):
        whole = f"Frames in use: {scenario_of(table)}"
        fig.suptitle(whole, fontsize=style.TITLE, x=0.01, ha="left")
    return list(axes)


def describe_nodes(table) -> str:
    """The fullest moment of every node and zone."""
    parts = []
    for title, part in zones(table):
        total = part.groupby("time")["frames"].sum()
        peak, at = int(total.max()), int(total.idxmax())
        kinds = part[part["time"] == at].set_index("kind")["frames"]
        what = join(f"{kinds[k]:,} {words}" for k, (_, _, words) in KINDS.items() if kinds[k])
        share = f"{peak:,} of {int(part['capacity'].iloc[0]):,} frames"
        parts.append(f"{title} peaks at {share} at event {at:,} ({what})")
    many = count(int(table["time"].max()), "event") if len(table) else "0 events"
    told = "; ".join(parts) or "no frame was used"
    return f"Frames in use over {many} of {scenario_of(table)}: {told}."
