"""`workbench counters`: which form of counter keeps a limit, and what it costs."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Json
from .source import guess
from .text import Mistake, Progress, grid, records, say, show_json, wrapped


def counters(
    form: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FORM ...]", show_default=False, help="K1, K1w, K2, ...; or all."),
    ] = None,
    story: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="FORM PROPERTY", help="Print the shortest bad order of steps."),
    ] = None,
    switch: Annotated[
        str, typer.Option(help="Where others come between: anywhere (several CPUs, or preemption), "
                          "sleeping (one CPU, obtaining a page may sleep), calls.")
    ] = "anywhere",
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Up to 256 threads, with costs (15 s).")
    ] = False,
    as_json: Json = False,
) -> None:
    """Which form of counter keeps a limit.

    Every order in which two or three actors can take their atomic steps is tried in small cases:
    a property is proved for them, or refuted by the shortest story.
    """
    from workbench.counters import FORMS, PROPERTIES
    from workbench.counters.explore import Explorer

    for given, known, what in (
        *((name, FORMS, "form") for name in [*(form or []), *(story or ())[:1]]),
        *((name, PROPERTIES, "property") for name in (story or ())[1:]),
        (switch, Explorer.SWITCH, "value of --switch,"),
    ):
        if given not in known:
            raise Mistake(f"unknown {what} {given!r}{guess(given, known)}")
    if simulate:
        if form or story or switch != "anywhere":
            raise Mistake("--simulate stands alone: its tables have their own forms")
        simulated(as_json)
    elif story:
        told(*story, switch, as_json)
    else:
        judged(form or list(FORMS), switch, as_json)


def told(form: str, prop: str, switch: str, as_json: bool) -> None:
    """The shortest story of a form that has not a property."""
    from workbench.counters import PROPERTIES, judge, narrate, title

    progress = Progress("trying every order of steps")
    verdict = judge(form, prop, switch)
    progress.close()
    if as_json:
        show_json(verdict_record(verdict))
    elif verdict.proved:
        print(f"{prop} is proved for {form} in {verdict.states:,} states: no story")
    else:
        print(f"{form}, {title(form)}\nrefuted: {PROPERTIES[prop].means}\n")
        print("\n".join(narrate(verdict)))


def judged(names: list[str], switch: str, as_json: bool) -> None:
    """Every property of these forms, and where publications say otherwise."""
    from workbench.counters import FORMS, PROPERTIES, judge, title
    from workbench.counters.published import BECAUSE, published

    progress = Progress("trying every order of steps")
    verdicts: dict[str, list] = {}
    for n, name in enumerate(names):
        progress(n, len(names))
        verdicts[name] = [judge(name, what, switch) for what in PROPERTIES]
    progress.close()
    every = [v for row in verdicts.values() for v in row]
    if as_json:
        show_json([verdict_record(v) for v in every])
        return
    print(grid(["form", "is", "source"],
               [(name, title(name), FORMS[name]().SOURCE) for name in names]) + "\n")
    print(grid(["property", "means"], [(k, p.means) for k, p in PROPERTIES.items()]) + "\n")
    print(grid(["form", *PROPERTIES], (
        [name, *("proved" if v.proved else f"in {len(v.story)}" for v in row)]
        for name, row in verdicts.items()
    )) + "\n")
    for v in every:
        said = published(v.form, v.property)
        if said and said.holds != v.proved and switch == "anywhere":
            print(wrapped(f"{v.form} {v.property}: {'yes' if said.holds else 'no'} according to "
                          f"{said.source}; but {BECAUSE[v.form, v.property]}."))
    states = sum(v.states for v in every)
    print(wrapped(f'"in 5": refuted, the shortest story has 5 steps (--story FORM PROPERTY). '
                  f"{states:,} states of {max(len(p.cases) for p in PROPERTIES.values())} cases or "
                  "fewer; a proof is for these cases."))


def simulated(as_json: bool) -> None:
    """The larger cases, each table as soon as it is there."""
    from workbench.counters.tables import tables

    done = {}
    for name, compute in tables():
        say(f"{name} ...")
        title, columns, rows = compute()
        done[name] = {"title": title, "rows": records(columns, rows)}
        if not as_json:
            print(wrapped(title) + "\n" + grid(columns, rows) + "\n", flush=True)
    if as_json:
        show_json(done)


def verdict_record(verdict: object) -> dict:
    """A verdict as plain data."""
    from dataclasses import asdict

    data = asdict(verdict)  # type: ignore[call-overload]
    case = data.pop("case")
    return {
        **data, "proved": case is None, "steps": len(data["story"]),
        "case": verdict.case.title if case else None,  # type: ignore[attr-defined]
        "story": [row._asdict() for row in verdict.story],  # type: ignore[attr-defined]
    }
