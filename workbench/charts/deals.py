"""One result over many arrival orders, with the run at hand marked among them."""

from __future__ import annotations

from statistics import median, quantiles

from workbench.results.explain import listed
from workbench.results.units import amount

from . import style


def split(table, metric: str, container: str) -> dict[str, tuple[list[float], float | None]]:
    """Scheme -> its values over the deals, sorted, and that of the order as written (deal None)."""
    mine = table[(table["metric"] == metric) & (table["container"] == container)]
    found = {}
    for scheme, part in mine.groupby("scheme", sort=False):
        own = part[part["deal"].isna()]["value"].tolist()
        found[scheme] = (sorted(part[part["deal"].notna()]["value"]), own[0] if own else None)
    return found


def stacked(values: list[float], width: float) -> list[tuple[float, int]]:
    """Dots in bins of that width: (middle of the bin, how many lie below it there)."""
    heights: dict[int, int] = {}
    dots = []
    for value in values:
        at = int(value // width)
        dots.append((at * width + width / 2, heights.setdefault(at, 0)))
        heights[at] += 1
    return dots


def deals(table, metric: str = "peak", container: str = "A", ax=None):
    """A dot per arrival order and scheme, the middle half as a bar, this run as a diamond.

    table: what `sweep` returns for an axis `deal` that has None (this run) in it. Returns the Axes.
    """
    groups = split(table, metric, container)
    ax = style.axes(ax, 1.3 + 0.75 * max(1, len(groups)))
    every = [v for values, own in groups.values() for v in (*values, *([own] * (own is not None)))]
    span = (max(every) - min(every) if every else 0) or 1
    width = span / 90
    for row, (values, own) in enumerate(groups.values()):
        dots = stacked(values, width)
        top = max((height for _, height in dots), default=0) or 1
        ax.plot(
            [x for x, _ in dots], [row + 0.24 - 0.62 * height / max(top, 12) for _, height in dots],
            linestyle="none", marker=".", markersize=4, color=style.COLOURS[0], zorder=2,
            label=f"one of {len(values)} arrival orders" if row == 0 else None,
        )
        if len(values) > 3:
            low, _, high = quantiles(values, n=4)
            ax.plot([low, high], [row + 0.36] * 2, color=style.INK, linewidth=3, zorder=3,
                    solid_capstyle="butt", label="middle half" if row == 0 else None)
        if own is not None:
            ax.plot([own], [row + 0.36], linestyle="none", marker="D", markersize=8, zorder=4,
                    color=style.COLOURS[1], markeredgecolor=style.PAPER,
                    label="this run" if row == 0 else None)
    scenario = table["scenario"].iloc[0] if len(table) else ""
    unit = table.loc[table["metric"] == metric, "unit"]
    style.finish(ax, f"{metric} of {container} in {scenario}, dealt again",
                 x=f"{metric} of {container}, {unit.iloc[0] if len(unit) else ''}")
    ax.set_yticks(range(len(groups)), list(groups))
    ax.set_ylim(max(len(groups), 1) - 0.4, -0.6)  # the first scheme on top
    ax.grid(visible=False)
    return ax


def describe_deals(table, metric: str = "peak", container: str = "A") -> str:
    """What the chart shows, with its numbers."""
    told = []
    for scheme, (values, own) in split(table, metric, container).items():
        if not values:
            continue
        said = f"{scheme} {amount(values[0])} to {amount(values[-1])}, median "
        said += amount(median(values))
        if own is not None:
            below = sum(v < own for v in values)
            said += f"; this run's {amount(own)} is above {below} of {len(values)}"
        told.append(said)
    return f"{metric} of {container} over arrival orders: {listed(told) or 'nothing was dealt'}."
