"""What a trace holds: pages used over time by file and kind, and who shares them."""

from __future__ import annotations

from workbench.results.explain import join

from . import style

HATCHES = ("", "///", "...", "xx", "\\\\\\", "--", "++", "oo")
SHADES = ("#5790fc", "#f89c20", "#e42536", "#964a8b", "#9c9ca1", "#7a21dd", "#f0d2a8", "#b8d4f0")


def looks(names: list[str]) -> dict[str, tuple[str, str]]:
    """Colour and hatch per name."""
    return {name: (SHADES[i % len(SHADES)], HATCHES[i % len(HATCHES)])
            for i, name in enumerate(names)}


def growth(table, title: str = "Pages used so far", ax=None):
    """Different pages used so far, stacked by file and kind. Returns the Axes.

    table: columns event, seconds (may be empty), group, pages, as `trace.summary.growth` has them.
    """
    ax = style.axes(ax, 3.2)
    ends = table.groupby("group", sort=False)["pages"].last().sort_values(ascending=False)
    timed = bool(len(table)) and table["seconds"].notna().all()
    wide = table.pivot_table(index="event", columns="group", values="pages", sort=False)
    at = table.drop_duplicates("event").set_index("event")["seconds"] if timed else None
    x = [float(at[event]) for event in wide.index] if timed else list(wide.index)
    faces = looks(list(ends.index))
    if x:
        ax.stackplot(
            [0, *x], [[0, *wide[group]] for group in ends.index], linewidth=0.4,
            labels=[f"{group} ({pages:,})" for group, pages in ends.items()],
            edgecolor=style.INK, colors=[faces[group][0] for group in ends.index],
            hatch=[faces[group][1] for group in ends.index],
        )
        ax.set_xlim(0, x[-1])
    else:
        style.note(ax, "no page was used")
    style.finish(ax, title, "seconds" if timed else "events", "pages")
    if timed:
        ax.xaxis.set_major_locator(style.MaxNLocator(5))
        ax.xaxis.set_major_formatter(style.StrMethodFormatter("{x:g}"))
    return ax


def sharing(table, title: str = "Who uses them", ax=None):
    """One bar per group (of equal length: its pages), split by who uses them. Returns the Axes.

    table: columns group, users, pages, as `trace.summary.sharing` has them, users in `order`.
    """
    groups = list(dict.fromkeys(table["group"]))
    ax = style.axes(ax, 1.2 + 0.27 * max(1, len(groups)))
    users = list(table.attrs.get("order", dict.fromkeys(table["users"])))
    sizes = table.groupby("group")["pages"].sum()
    faces = style.looks(users)
    left = dict.fromkeys(groups, 0.0)
    for who in users:
        mine = table[table["users"] == who].set_index("group")["pages"]
        shares = [100 * mine.get(group, 0) / sizes[group] for group in groups]
        ax.barh(
            range(len(groups)), shares, 0.72, left=[left[group] for group in groups],
            color=faces[who].colour, hatch=faces[who].hatch, edgecolor=style.INK, linewidth=0.4,
            label=f"{who} ({int(mine.sum()):,})",
        )
        for group, share in zip(groups, shares, strict=True):
            left[group] += share
    if not groups:
        style.note(ax, "no page was used")
    style.finish(ax, title, "% of the pages used")
    ax.set_yticks(range(len(groups)), [f"{group[-26:]} ({sizes[group]:,})" for group in groups])
    ax.set_ylim(len(groups) - 0.4, -0.6)
    ax.set_xlim(0, 100)
    ax.grid(False)
    return ax


def contents(grown, shared, name: str):
    """Both charts of one trace on one sheet, with its sentence and data. Returns the Chart."""
    groups = shared["group"].nunique()
    chart = style.Chart(figsize=(style.WIDTH + 1.2, 3.4 + 0.8 + 0.24 * groups))
    upper, lower = chart.subplots(2, 1, height_ratios=[3.2, 0.8 + 0.24 * groups])
    growth(grown, f"Pages that {name} has used so far, by file and kind", upper)
    sharing(shared, "Who uses them", lower)
    chart.title, chart.sentence = f"what is in {name}", describe_contents(grown, shared, name)
    chart.data = grown
    return chart


def describe_contents(grown, shared, name: str) -> str:
    """How many pages of what, and how many of them are shared by whom."""
    ends = grown.groupby("group", sort=False)["pages"].last().sort_values(ascending=False)
    most = join([f"{group} ({pages:,})" for group, pages in ends.head(3).items()])
    users = shared.groupby("users", sort=False)["pages"].sum()
    several = {who: n for who, n in users.items() if "+" in who or who[0] in "23456789"}
    said = f"{name} uses {int(ends.sum()):,} different pages, most of them in {most}."
    if several:
        top = max(several, key=several.get)
        said += f" {sum(several.values()):,} are used by more than one"
        said += f"; {several[top]:,} by {top.replace('+', ' and ')}."
    return said
