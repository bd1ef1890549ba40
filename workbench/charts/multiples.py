"""The comparison chart: one column per scheme, usage above failcnt, the same axes everywhere."""

from __future__ import annotations

from workbench.results.explain import listed
from workbench.results.units import amount, count

from . import style
from .usage import FAR, limits, lines, marks, peak_of, series

COLUMNS = 4  # schemes side by side; more go below
SEEN = 1.02  # a line this near to its peak shows it


def multiples(
    table, oom=None, hangs: dict[str, int] | None = None, fig=None, y: str = "charged, pages"
):
    """Small multiples of a comparison. Returns a list of (usage Axes, failcnt Axes) per scheme.

    table: `Comparison.table()`; oom: `.oom()`; hangs: `.hangs()`.
    """
    schemes = list(dict.fromkeys(table["scheme"]))
    banks = max(1, -(-len(schemes) // COLUMNS))
    wide = -(-len(schemes) // banks) if schemes else 1
    fig = fig or style.sheet(0.8 + 2.9 * banks, max(4.1, 1.1 + 2.1 * wide))
    grid = fig.subplots(2 * banks, wide, sharex=True, squeeze=False, height_ratios=[3, 2] * banks)
    metric = table.groupby("metric")["value"]
    tops = [max([0, *metric.max().reindex(names).dropna()])
            for names in (["usage", "peak"], ["failcnt"])]
    near = table[(table["metric"] == "limit") & (table["value"] <= FAR * max(tops[0], 1))]["value"]
    tops[0] = max([tops[0], *near])
    pairs = []
    for i, scheme in enumerate(schemes):
        bank, column = divmod(i, wide)
        upper, lower = grid[2 * bank][column], grid[2 * bank + 1][column]
        mine = table[table["scheme"] == scheme]
        kills = None if oom is None else oom[oom["scheme"] == scheme]
        hang = (hangs or {}).get(scheme)
        lines(upper, mine, "usage", legend=False, weight=0.7)
        limits(upper, mine, legend=False)
        lines(lower, mine, "failcnt", legend=False, weight=0.7)
        lower.text(0.02, 0.97, ends(series(mine, "failcnt")), transform=lower.transAxes, va="top",
                   fontsize=style.SMALL, color=style.INK, in_layout=False)
        marks(upper, kills, hang, heights=True)
        marks(lower, None, hang, heights=False)
        first = column == 0
        style.finish(upper, x="", y=y if first else "", legend=False)
        style.finish(lower, y="refusals, count" if first else "", legend=False)
        upper.set_title(heading(scheme, kills, hang, unseen(mine)), fontsize=style.TEXT, loc="left")
        for ax, top in zip((upper, lower), tops, strict=True):
            ax.set_ylim(0, max(1, top * 1.06))
            ax.tick_params(labelleft=first)
        lower.tick_params(labelbottom=True)
        upper.tick_params(labelbottom=False)
        pairs.append((upper, lower))
    for ax in grid.flat[:]:
        ax.set_visible(any(ax in pair for pair in pairs))
    legend(fig, pairs)
    return pairs


def ends(failed: dict) -> str:
    """Final refusals, in numbers, since one scheme's many hide another's few."""
    found = {name: int(values[-1]) for name, (_, values) in failed.items() if values[-1]}
    words = "  ".join(f"{name} {n:,}" for name, n in found.items()) or "none"
    return words if len(words) <= 26 else f"{sum(found.values()):,} in {len(found)} containers"


def unseen(table) -> list[str]:
    """Peaks above a limit that lie between the samples, which no line shows."""
    found = []
    for name, (_, values) in series(table, "usage").items():
        limit = table[(table["container"] == name) & (table["metric"] == "limit")]["value"]
        peak, drawn = peak_of(table, name), max(values)
        if len(limit) and drawn <= limit.max() < peak and peak > SEEN * drawn:
            found.append(f"{name} peaks at {peak:,.0f}")
    return found


def heading(scheme: str, kills, hang: int | None, peaks: list[str]) -> str:
    dead = 0 if kills is None else len(kills)
    news = ([f"{dead} killed"] if dead else []) + (["hangs"] if hang else []) + peaks[:1]
    return scheme.replace(":", "\n") + (f"\n{', '.join(news)}" if news else "\n")


def legend(fig, pairs) -> None:
    """One legend for all panels, below them."""
    found = {}
    for upper, _ in pairs:
        for handle, label in zip(*upper.get_legend_handles_labels(), strict=True):
            words = "killed" if label.endswith("killed") else label
            found.setdefault("machine hangs" if words.startswith("hangs") else words, handle)
    if found:
        fig.legend(found.values(), found.keys(), loc="outside lower center", frameon=False,
                   ncols=min(6, len(found)), fontsize=style.SMALL, handlelength=3.2)


def describe_multiples(table, oom=None, hangs: dict[str, int] | None = None) -> str:
    """Peak, end, refusals, kills and hangs under every scheme."""
    if not len(table):
        return "Nothing was compared."
    parts = []
    for scheme, mine in table.groupby("scheme", sort=False):
        failed = series(mine, "failcnt")
        told = []
        for name, (_, values) in series(mine, "usage").items():
            lost, peak = int(failed.get(name, ([], [0]))[1][-1]), peak_of(mine, name)
            if peak or lost:
                words = f"{name} peaks at {amount(peak)} and ends at {amount(values[-1])}"
                told.append(words + (f" with {count(lost, 'refusal')}" if lost else ""))
        dead = 0 if oom is None else int((oom["scheme"] == scheme).sum())
        told = [listed(told)] if told else []
        told += [f"{count(dead, 'task')} killed"] if dead else []
        told += [f"the machine hangs at event {hangs[scheme]:,}"] if scheme in (hangs or {}) else []
        parts.append(f"{scheme}: {'; '.join(told) or 'nothing is charged'}")
    many = count(int(table["time"].max()), "event")
    head = f"Pages charged over {many} of {table.iloc[0]['scenario']}"
    return f"{head} under {count(len(parts), 'scheme')}. {'. '.join(parts)}."
