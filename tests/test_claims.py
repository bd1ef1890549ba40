"""The ledger: every claim settled anew and held against what is stored; its files and the command.

A verdict that is not the expected one says why (`because`), one that depends says on what (`on`).
"""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from workbench import claims, schemes
from workbench.claims import LedgerError, ledger, tried
from workbench.claims.tried import evaluate, record
from workbench.cli import app
from workbench.cli.text import Mistake

CLAIMS = claims.load()
STORED = {s.claim.id: s for s in claims.stored()}


def alike(one, other):
    return one == other if isinstance(one, str) else one == pytest.approx(other, rel=1e-4, abs=1e-9)


# -- what is stored --------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.id)
def test_stored_verdict_is_what_the_engine_gives(claim):
    assert claim.id in STORED, f"workbench claims {claim.id} --write"
    now, then = claims.settle(claim), STORED[claim.id]
    assert (now.verdict, [f.holds for f in now.found]) == (
        then.verdict, [f.holds for f in then.found])
    for f, g in zip(now.found, then.found, strict=True):
        assert alike(f.value, g.value), str(f.case)


@pytest.mark.parametrize("settled", STORED.values(), ids=lambda s: s.claim.id)
def test_what_was_not_expected_is_explained(settled):
    claim = settled.claim
    assert bool(claim.because) >= (settled.as_expected is False), "because = why is missing"
    assert bool(claim.on) >= (settled.verdict == "depends"), "on = what it depends on is missing"


def test_every_claim_of_the_debate_is_there():
    assert [c.id for c in CLAIMS] == [f"C{n:03}" for n in range(1, 194)]
    assert list(claims.questions()) == list(range(1, 11))


def test_a_claim_is_said_once_and_in_one_sentence():
    said = [c.says for c in CLAIMS]
    assert len(set(said)) == len(said)
    assert all(20 < len(text) < 300 and text[-1] in ".?" for text in said)


# -- trying a claim --------------------------------------------------------------------------------

WHOLE = """
question = "Who pays?"
[C001]
who = "Dave Hansen"
day = "13 Mar 2007"
subject = "2/7"
says = "The first pays."
kind = "claim"
expected = "holds"
confidence = "H"
decides = "its charge"
[[C001.case]]
scenario = "apache_first"
with = { containers = 3 }
scheme = "first_touch"
quantity = "m['first charged for text'] / run(containers=1 + 1)['first charged for text']"
holds = "== 1"
[[C001.case]]
scenario = "apache_first"
scheme = "fraction"
quantity = "m['first charged for text']"
holds = "== 60"
"""


def claim_of(tmp_path: Path, text: str) -> claims.Claim:
    file = tmp_path / "01_test.toml"
    file.write_text(text)
    return ledger.read(file)[2][0]


def test_holds_fails_depends(tmp_path):
    claim = claim_of(tmp_path, WHOLE)
    settled = claims.settle(claim)
    assert [(f.value, f.holds) for f in settled.found] == [(1, True), (6, False)]
    assert settled.verdict == "depends" and settled.as_expected is False
    both = claims.settle(claim_of(tmp_path, WHOLE.replace("== 60", "== 6")))
    assert both.verdict == "holds" and both.as_expected
    none = claims.settle(claim_of(tmp_path, WHOLE.replace("== 1", "> 1")))
    assert none.verdict == "fails"


@pytest.mark.parametrize(
    ("holds", "value", "passes"),
    [
        ("<= 1.5", 1.5, True), ("<= 1.5", 1.51, False), ("in 23..25", 25, True),
        ("in 23..25", 25.1, False), ("== 'broken'", "broken", True), ("!= 'no'", "no", False),
        ("== 3", 3 + 1e-12, True), ("< 3", 3 + 1e-12, False), ("> -2", -1, True),
    ],
)
def test_thresholds(holds, value, passes):
    assert claims.Case("arithmetic", "0", holds).passes(value) is passes


def test_a_word_is_not_held_against_a_number():
    with pytest.raises(LedgerError, match="'proved' cannot be held against '<= 1'"):
        claims.Case("counter", "K1", "<= 1", property="limit").passes("proved")


def test_what_numpy_counts_can_be_stored():
    numpy = pytest.importorskip("numpy")
    found = evaluate("sum(m['x'] <= 1 for n in (1, 2)) / 2", m={"x": numpy.float64(0.5)})
    holds = claims.Case("arithmetic", "0", ">= 1").passes(found)
    assert json.dumps([found, holds]) == "[1.0, true]"


def test_a_sum_over_runs_sees_them():
    assert evaluate("sum(run(n)['x'] for n in (1, 2))", run=lambda n: {"x": n}) == 3


def test_a_counters_simulation_is_a_case(tmp_path):
    """X39: checking first passes the limit even without windows; one lock at a time does not."""
    head = WHOLE.partition("[[C001.case]]")[0]
    cases = """[[C001.case]]
    simulated = "races('K2', 2)['most_held'] - 100"
    unit = "pages"
    holds = "> 0"
    [[C001.case]]
    simulated = "races('K1', 2)['most_held']"
    holds = "== 100"
    [[C001.case]]
    simulated = "accepted('K1w', 0)"
    holds = "== 5"
    """
    claim = claim_of(tmp_path, head + cases)
    assert claims.settle(claim).verdict == "holds"
    assert claim.cases[0].command() == "workbench counters --simulate"


def test_promises_features_counters_and_arithmetic(tmp_path):
    head = WHOLE.partition("[[C001.case]]")[0]
    cases = """
    promise = "sum_is_mapped"
    scheme = "every_container"
    holds = "== 'broken'"
    [[C001.case]]
    counter = "K1"
    property = "limit"
    holds = "== 'proved'"
    [[C001.case]]
    arithmetic = "4 * GiB / PAGE * 24 / MiB"
    unit = "MiB"
    holds = "== 24"
    [[C001.case]]
    feature = "exit attack"
    scheme = "fraction"
    holds = "!= 'safe'"
    """
    settled = claims.settle(claim_of(tmp_path, head + "[[C001.case]]" + cases))
    assert settled.verdict == "holds", settled.found


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("1 +", "invalid syntax"), ("__import__('os')", "no place"), ("m.keys()", "no place"),
        ("(lambda: 1)()", "no place"), ("m['x']", "no quantity 'x'"), ("1 / 0", "ZeroDivision"),
        ("open('f')", "NameError"), ("[1]", "neither a number nor a word"),
    ],
)
def test_what_is_no_quantity(expression, says):
    with pytest.raises(LedgerError, match=says):
        evaluate(expression, m={"xy": 1})


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("question =", "quest =", "question = ''"),
        ("Who pays?", "Who pays", "a question is wanted"),
        ("[C001]", "[C1]", "C1: a claim is a table named C001 to C193"),
        ("who =", "whom =", "unknown key 'whom'; did you mean who"),
        ('says = "The first pays."', "", "says missing"),
        ('kind = "claim"', 'kind = "clam"', "did you mean claim"),
        ('"Dave Hansen"', '"Dave"', "names and surnames"),
        ("13 Mar 2007", "13 March", "such as '13 Mar 2007'"),
        ('expected = "holds"', 'expected = "yes"', "none of holds, fails, depends"),
        ('confidence = "H"', 'confidence = "9"', "none of H, M, L"),
        ('decides = "its charge"', "", "decides missing"),
        ('holds = "== 60"', 'holds = "60"', "case 2: holds = '60': a comparison is wanted"),
        ('holds = "== 60"', "", "also needs holds"),
        ('scheme = "fraction"', "", "also needs scheme"),
        ('scheme = "fraction"', 'schema = "fraction"', "unknown key 'schema'.*scheme"),
        ("with = { containers = 3 }", "with = 3", "with = { parameter = value }"),
        ("[[C001.case]]\nscenario", "[[C001.case]]\nscene", r"runs one of .*here: \[\]"),
        ('decides = "its', 'not_testable = "no"\ndecides = "its', "not both"),
        ("[C001]", "[C001", "no TOML"),
    ],
)
def test_defects_of_a_file_are_named(tmp_path, old, new, says):
    assert old in WHOLE
    with pytest.raises(LedgerError, match=says):
        claim_of(tmp_path, WHOLE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"apache_first"', '"apache_frist"', "C001, case 1: unknown scenario 'apache_frist'"),
        ('"fraction"', '"fractions"', "C001, case 2: unknown scheme 'fractions'"),
        ("containers = 3", "containers = 0", "not a whole number from 2"),
    ],
)
def test_a_case_that_cannot_run_is_named(tmp_path, old, new, says):
    with pytest.raises(LedgerError, match=says):
        claims.settle(claim_of(tmp_path, WHOLE.replace(old, new)))


def test_record_keeps_what_it_does_not_replace():
    some = [s for s in STORED.values() if s.claim.question == CLAIMS[0].question]
    ((file, text),) = record(some[:1]).items()
    assert json.loads(text) == json.loads(file.read_text())
    other = claims.Settled(some[0].claim, ())
    ((_, text),) = record([other]).items()
    assert json.loads(text)[other.claim.id]["measured"] == []


# -- the command -----------------------------------------------------------------------------------


def workbench(*args: str):
    return CliRunner().invoke(app, ["claims", *args])


def refused(*args: str) -> str:
    problem = workbench(*args).exception
    assert isinstance(problem, Mistake | ValueError)
    return str(problem)


def test_command_lists_and_filters():
    everything = json.loads(workbench("--json").stdout)
    assert [row["id"] for row in everything] == sorted(STORED)
    who = json.loads(workbench("--json", "--who", "Hansen").stdout)
    assert {row["who"] for row in who} and all("Hansen" in row["who"] for row in who)
    fails = json.loads(workbench("--json", "--verdict", "fails").stdout)
    assert fails and {row["verdict"] for row in fails} == {"fails"}
    assert workbench("--question", "4").stdout.count("C033") == 1


def test_command_tells_one_in_full():
    told = workbench("C033").stdout
    for part in ("Dave Hansen, 13 Mar 2007", "VERDICT: holds", "wanted == 1",
                 "$ workbench run apache_first --scheme first_touch"):
        assert part in told


def test_command_says_what_is_wrong():
    assert refused("C033a") == "unknown claim 'C033a'; did you mean C033?"
    assert refused("--verdict", "hold") == "unknown verdict 'hold'; did you mean holds?"


def test_a_moved_verdict_is_an_error(monkeypatch):
    claim = claims.get("C171")
    other = claims.Settled(claim, (claims.Found(claim.cases[0], "proved", True),))
    monkeypatch.setattr(claims, "stored", lambda chosen=None: [other])
    result = workbench("C171")
    assert result.exit_code == 1 and "not as stored: C171" in result.output
    hidden = workbench("C171", "--verdict", "holds")  # a filter must not hide it
    assert hidden.exit_code == 1 and "not as stored: C171" in hidden.output


def test_a_scheme_that_changes_moves_the_verdict(monkeypatch):
    """The saboteur: a first touch that charges nobody cannot keep the stored verdict."""
    real = schemes.get
    monkeypatch.setattr(schemes, "get", lambda s: real("none" if s == "first_touch" else s))
    tried._measures.cache_clear()
    now = claims.settle(claims.get("C033"))
    tried._measures.cache_clear()
    assert now.verdict != STORED["C033"].verdict


def test_report_has_every_claim_its_chart_and_its_command(tmp_path):
    out = tmp_path / "claims.html"
    assert workbench("--report", str(out)).exit_code == 0
    page = out.read_text()
    assert all(f'id="{name}"' in page for name in STORED)
    assert "workbench run apache_first" in page and page.count("data:image/svg+xml") >= 4
    assert "http" not in page.replace("http://www.w3.org", "").replace("https://www.w3.org", "")
