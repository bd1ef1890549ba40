"""The ledger as one page to send around: verdicts, charts, and the command for each number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from html import escape

from workbench import __version__
from workbench.charts import dressed, figure_of, figure_of_verdicts
from workbench.charts.export import chart_bytes
from workbench.kernel import counted
from workbench.report import STYLE, inline
from workbench.results import compare

from . import ledger
from .tried import Found, Settled

LEFT = (
    ".claims td, .claims th { text-align: left; vertical-align: top }\n"
    ".claims td:nth-child(3), .claims td:nth-child(6) { min-width: 15rem }\n"
)
CHART_SCHEMES = 4  # of the schemes that a question's cases use most


def page(done: Iterable[Settled]) -> str:
    """One HTML file without any other file. Cost: a comparison and its chart per question."""
    import pandas as pd

    done, asked = list(done), ledger.questions()
    table = pd.DataFrame(
        [(f"{s.claim.question}. {asked[s.claim.question]}", s.verdict) for s in done],
        columns=["question", "verdict"],
    ).sort_values("question", key=lambda q: q.str.partition(".")[0].astype(int), kind="stable")
    parts = [
        "<h1>Who pays for shared memory? The claims of March 2007, tried</h1>",
        f"<p>{counted(len(done), 'claim')}, made with version {__version__}. A claim holds when "
        "all its cases do, fails when none does, and else depends. Thresholds were stated before "
        "the runs. "
        "<code>workbench claims C034</code> runs one again.</p>",
        picture(figure_of_verdicts, table),
    ]
    for number, question in asked.items():
        if mine := [s for s in done if s.claim.question == number]:
            parts += [f'<section id="q{number}"><h2>{number}. {escape(question)}</h2>',
                      comparison(mine), rows(mine), "</section>"]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Claims: container memory workbench</title>\n<style>{STYLE}{LEFT}</style>\n"
        "</head>\n<body>\n<main>\n" + "\n".join(parts) + "\n</main>\n</body>\n</html>\n"
    )


def picture(draw, *args) -> str:
    """A chart, light or dark as the reader likes it, with its sentence."""
    data = {}
    for theme in ("light", "dark"):
        with dressed(theme):
            chart = draw(*args)
            data[theme] = inline(chart_bytes(chart, "svg"))
    sentence = escape(chart.sentence)
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{data["dark"]}">'
        f'<img src="{data["light"]}" alt="{sentence}"></picture>'
        f"<figcaption>{sentence}</figcaption></figure>"
    )


def comparison(mine: list[Settled]) -> str:
    """The scenario that settles most of a question, under the schemes its cases use most."""
    cases = [f.case for s in mine for f in s.found if f.case.source == "scenario"]
    if not cases:
        return ""
    (name, given), _ = Counter((c.what, tuple(sorted(c.given.items()))) for c in cases).most_common(
        1)[0]
    names = Counter(c.scheme for c in cases if c.what == name).most_common(CHART_SCHEMES)
    from workbench import scenarios

    result = compare(scenarios.get(name, **dict(given)), [scheme for scheme, _ in names])
    return picture(figure_of, result, "multiples")


def rows(mine: list[Settled]) -> str:
    """A question's claims as a table."""
    out = []
    for s in mine:
        c = s.claim
        why = "; ".join(filter(None, (c.on and f"depends on {c.on}", c.because, c.not_testable)))
        miss = " class=miss" if s.as_expected is False else ""
        was = f" (expected: {c.expected})" if s.as_expected is False else ""
        out.append(
            f'<tr id="{c.id}"><th scope="row">{c.id}</th><td>{escape(c.who)}, {escape(c.day)}</td>'
            f"<td>{escape(c.says)}</td><td{miss}>{s.verdict}{was}</td>"
            f"<td>{'<br>'.join(map(measured, s.found))}</td><td>{escape(why)}</td></tr>"
        )
    head = ("claim", "who", "said", "verdict", "measured, wanted, command", "why")
    cells = "".join(f'<th scope="col">{name}</th>' for name in head)
    return (
        '<div class="wide claims" tabindex="0" role="region" aria-label="claims"><table><thead><tr>'
        f"{cells}</tr></thead>\n<tbody>" + "\n".join(out) + "</tbody></table></div>"
    )


def measured(f: Found) -> str:
    value = f.value if isinstance(f.value, str) else f"{f.value:,.6g}"
    command = f.case.command()
    return (
        f"{'yes' if f.holds else 'no'}: {escape(value)} {escape(f.case.unit)} wanted "
        f"{escape(f.case.holds)}: {escape(f.case.quantity or f.case.what)}"
        + (f"<br><code>{escape(command)}</code>" if command else "")
    )
