"""`workbench claims`: what was claimed, and what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Json
from .text import Mistake, Progress, check_file, counted, grid, say, show_json, wrapped, write_file

Claims = Annotated[list[str] | None, typer.Argument(metavar="[CLAIM ...]", show_default=False)]


def claims(
    claim: Claims = None,
    question: Annotated[int | None, typer.Option(min=1, max=10, help="A big question.")] = None,
    who: Annotated[str | None, typer.Option(help="A name, or a part of it.")] = None,
    verdict: Annotated[
        str | None, typer.Option(help="holds, fails, depends, not testable.")
    ] = None,
    surprising: Annotated[
        bool, typer.Option("--surprising", help="Only where the verdict is not the expected one.")
    ] = False,
    run: Annotated[bool, typer.Option("--run", help="Run the cases anew.")] = False,
    write: Annotated[
        bool, typer.Option("--write", help="Run, and write the ledger's measured part.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.html", help="One page to send around.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What was claimed in the debate, and the verdict on each claim.

    Claims named are run anew and told in full; a list shows what is stored. Exit code 1 when a
    verdict that was run is not the stored one.
    """
    from workbench import claims as ledger
    from workbench.claims.ledger import VERDICTS
    from workbench.kernel import did_you_mean

    if verdict is not None and verdict not in VERDICTS:
        raise Mistake(f"unknown verdict {verdict!r}{did_you_mean(verdict, VERDICTS)}")
    if report:
        check_file(report)
    chosen = [ledger.get(name) for name in claim] if claim else ledger.load()
    chosen = [c for c in chosen if question in (None, c.question) and (who or "") in c.who]
    before = {s.claim.id: s for s in ([] if write else ledger.stored(chosen))}
    done = settled(chosen) if claim or run or write else list(before.values())
    if write:
        from workbench.claims.tried import record

        for file, text in record(done).items():
            write_file(file, text)
            say(f"written: {file.name}")
    moved = [s.claim.id for s in done if s.claim.id in before
             and before[s.claim.id].verdict != s.verdict]
    done = [s for s in done if verdict in (None, s.verdict)
            and (s.as_expected is False or not surprising)]
    if report:
        write_page(done, report)
    elif as_json:
        show_json([told(s) for s in done])
    elif claim:
        print("\n\n".join(story(s) for s in done))
    else:
        print(listing(done))
    if moved:
        say(f"not as stored: {', '.join(moved)}; workbench claims --write")
        raise typer.Exit(1)


def settled(chosen: list) -> list:
    """Every claim's cases, run anew."""
    from workbench.claims import settle_all

    progress = Progress(f"settling {counted(len(chosen), 'claim')}")
    done = settle_all(chosen, progress)
    progress.close()
    return done


def write_page(done: list, report: Path) -> None:
    from workbench.claims.page import page

    progress = Progress(f"drawing {report}")
    text = page(done)
    progress.close()
    write_file(report, text)
    say(f"{counted(len(done), 'claim')} in {report}")


def listing(done: list) -> str:
    """A line per claim, and the count of verdicts."""
    from collections import Counter

    rows = [(s.claim.id, s.claim.question, s.claim.who, s.claim.day, s.verdict,
             "" if s.as_expected in (True, None) else f"expected: {s.claim.expected}")
            for s in done]
    count = Counter(s.verdict for s in done)
    total = ", ".join(f"{n} {verdict}" for verdict, n in count.most_common())
    return grid(["claim", "question", "who", "day", "verdict", ""], rows) + f"\n\n{total or 'none'}"


def story(s: Any) -> str:
    """A claim in full: what was said, every case with its threshold, the verdict and why."""
    c = s.claim
    lines = [f"{c.id}  {c.who}, {c.day} ({c.subject}): {c.kind}", wrapped(c.says)]
    if c.decides:
        lines.append(wrapped(f"decided by: {c.decides}"))
    for f in s.found:
        value = f.value if isinstance(f.value, str) else f"{f.value:.6g}"
        unit = f" {f.case.unit}" if f.case.unit else ""
        lines.append(f"  {'yes' if f.holds else 'no ':3}  {value}{unit}, wanted {f.case.holds}: "
                     f"{f.case}")
        if f.case.command():
            lines.append(f"       $ {f.case.command()}")
    lines.append(f"VERDICT: {s.verdict}; expected: {c.expected} ({c.confidence})")
    lines += [wrapped(text) for text in (
        c.on and f"depends on {c.on}", c.because and f"because {c.because}", c.not_testable,
    ) if text]
    return "\n".join(lines)


def told(s: Any) -> dict:
    """A settled claim as plain data."""
    from dataclasses import asdict

    return {
        **asdict(s.claim), "verdict": s.verdict,
        "measured": [f.value for f in s.found], "holds": [f.holds for f in s.found],
    }
