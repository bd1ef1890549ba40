"""The specification's worked examples (tests/golden) against both engines, and their runner."""

import re
from pathlib import Path

import pytest

from workbench import schemes
from workbench.kernel import QUIRKS
from workbench.results import golden, golden_checks, golden_file

FILES = sorted(Path(__file__).with_name("golden").glob("*.toml"))
G5 = Path(__file__).with_name("golden") / "g05_last_unmap.toml"


def failures(path, engine, **options):
    return "\n".join(map(golden.explain, golden.run(golden.load(path), engine, **options)))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_interpreted(path):
    found = failures(path, "interpreted", books=True)
    assert not found, found


@pytest.mark.slow
def test_compiled():
    """One test, so that the engine is compiled once."""
    pytest.importorskip("numba")
    found = "\n".join(filter(None, (failures(path, "compiled") for path in FILES)))
    assert not found, found


def texts():
    return {path.stem: path.read_text(encoding="utf-8") for path in FILES}


def test_every_example_is_there():
    """The names of section 9; G13, G24 and G26 do not exist."""
    told = {stem[:3] for stem in texts() if stem.startswith("g")}
    assert told == {f"g{n:02}" for n in range(1, 30)} - {"g13", "g24", "g26"}
    assert sum(stem.startswith("table_r") for stem in texts()) == 6
    rows = [len(golden.load(path).cases) for path in FILES if path.stem.startswith("table_r")]
    assert rows == [6] * 6


def test_every_quirk_is_switched_off_somewhere():
    told = "".join(texts().values())
    missing = [name for name in QUIRKS if f"-{name}" not in told]
    assert not missing


def test_titles_and_places_differ():
    titles = [golden.load(path).title for path in FILES]
    assert len(set(titles)) == len(titles)


def changed(tmp_path, *changes, path=G5):
    """A copy of a golden file with texts replaced."""
    text = path.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    copy = tmp_path / "changed.toml"
    copy.write_text(text, encoding="utf-8")
    return copy


LAST = 'do = "QB touch_read F", A = "0/0", B = "1/0", owner = { F = "B" }, outcome = "minor"'


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('B = "1/0"', 'B = "2/0"', ("B", "usage 2, failcnt 0", "usage 1, failcnt 0")),
        ('B = "1/0"', 'B = "1/3"', ("B", "usage 1, failcnt 3", "usage 1, failcnt 0")),
        ('B = "1/0"', 'B = "1/2 f0"', ("B", "usage 1/2, failcnt 0", "usage 1, failcnt 0")),
        ('B = "1/0"', "B = 2", ("B", "usage 2", "usage 1")),
        ('B = "1/0"', "B = { css = 5 }", ("css B", "5", "2")),
        ('B = "1/0"', "B = { mapped = 0 }", ("mapped B", "0", "1")),
        ('F = "B"', 'F = "A"', ("owner F", "A", "B")),
        ('outcome = "minor"', 'outcome = "major"', ("outcome", "major", "minor")),
        ('outcome = "minor"', "hang = true", ("hang", "true", "false")),
        ('outcome = "minor"', 'victims = ["PA"]', ("victims", "PA", "nobody")),
        ('outcome = "minor"', "scores = { PA = 1 }", ("scores PA", "1", "no candidate")),
        ('outcome = "minor"', "mapcount = { F = 2 }", ("mapcount F", "2", "1")),
        ('outcome = "minor"', "swap_used = 1", ("swap_used", "1", "0")),
        ('outcome = "minor"', 'state = { PA = "zombie" }', ("state PA", "zombie", "alive")),
        ('outcome = "minor"', "stat = { minor_faults = 0 }", ("stat minor_faults", "0", "1")),
        ('outcome = "minor"', "limit = { B = 5 }", ("limit B", "5", "none")),
        (
            'outcome = "minor"',
            'numproc = { B = "2/0" }',
            ("numproc B", "usage 2, failcnt 0", "usage 1, failcnt 0"),
        ),
    ],
)
def test_a_wrong_expectation_is_reported_at_its_step(tmp_path, old, new, what):
    copy = changed(tmp_path, (LAST, LAST.replace(old, new)))
    (found,) = golden.run(golden.load(copy), "interpreted")
    assert (found.step, found.events) == (5, "QB touch_read F")
    assert found.wrong == (what,)
    told = golden.explain(found)
    for part in (str(copy), "step 5", "QB touch_read F", *what, "B: usage 1, failcnt 0"):
        assert part in told


def test_a_difference_names_its_case_and_scheme(tmp_path):
    path = G5.with_name("g06_trial_charge.toml")
    copy = changed(tmp_path, ('B = "1/0", victims = []', 'B = "9/9", victims = []'), path=path)
    (found,) = golden.run(golden.load(copy), "interpreted")
    assert (found.case, found.step) == ("without trial_charge", 2)
    path = G5.with_name("schemes_7_fork.toml")
    copy = changed(tmp_path, ('every_mapping = { A = "1000/0"', 'every_mapping = { A = "100/0"'),
                   path=path)
    (found,) = golden.run(golden.load(copy), "interpreted")
    assert (found.scheme, found.step) == ("every_mapping", 1)


def test_a_rule_that_breaks_the_books_is_reported(monkeypatch):
    from workbench.schemes import first_touch

    monkeypatch.setattr(first_touch, "unmapped", lambda k, page, c, _: 0)
    found = golden.run(golden.load(G5), "interpreted", books=True)
    assert any(what == "the machine's books" for d in found for what, *_ in d.wrong)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("title =", "titel =", "unknown key 'titel'; did you mean title?"),
        ("title =", 'notes = "x" #', "title is missing"),
        ("containers.B = {}", "containers.B = { limits = 1 }", "did you mean limit?"),
        ("containers.B = {}", "containers.css = {}", "cannot be named css"),
        ("containers.B = {}", "containers.B = {}\nmachine.frame = 1", "did you mean frames?"),
        ("containers.B = {}", "containers.B = {}\nknobs.quirks = 'as_posted,-limt_zero'",
         "did you mean limit_zero?"),
        ("containers.B = {}", "containers.B = {}\nknobs.word = 16", "not one of 32, 64"),
        ("containers.B = {}", "containers.B = {}\nschemes = ['first_tuch']",
         "did you mean first_touch?"),
        ('kind = "file"', 'kind = "fiel"', "fiel"),
        ('QB = { container = "B" }', 'QB = { container = "BB" }', "no container named 'BB'"),
        (LAST, 'do = "QX touch_read F"', "step 5: event 'QX touch_read F': no task named 'QX'"),
        (LAST, 'do = "QB tuch_read F"', "did you mean touch_read?"),
        (LAST, 'do = "QB touch_read G"', "no object named 'G'"),
        (LAST, 'do = "QB touch_read F[0"', "name[first..last]"),
        (LAST, 'do = "QB touch_read F[1..0]"', "before the first"),
        (LAST, 'do = "QB touch_read F[3]"', "step 5"),
        (LAST, 'do = "QB touch_read F now"', "cannot make sense of 'now'"),
        (LAST, 'do = "QB open F[0]"', "open takes no pages"),
        (LAST, 'do = "QB age"', "age takes no task"),
        (LAST, 'do = "touch_read F"', "unknown operation 'F'"),
        (LAST, 'do = "QB fork QC nise=3"', "did you mean nice?"),
        (LAST, 'do = "QB fork QC root=yes"', "true or false"),
        (LAST, 'do = ""', "no event"),
        (LAST, "did = 1", "step 5: do ="),
        (LAST, LAST + ", ower = { F = 'B' }", "did you mean owner?"),
        (LAST, LAST + ", css = 1", "write css = { NAME = value }"),
        (LAST, LAST + ", css = { C = 1 }", "unknown container 'C'"),
        (LAST, LAST + ", css = { B = '1' }", "not a whole number"),
        (LAST, LAST + ", hang = 1", "neither true nor false"),
        (LAST, LAST + ", victims = 'PA'", "a list of names"),
        (LAST, LAST + ", stat = { cow = 1 }", "unknown statistic"),
        (LAST, LAST + ", mapcount = { 'F[4]' = 1 }", "F has 1 pages"),
        ('B = "1/0"', 'B = "1-0"', "usage/failcnt"),
        ('B = "1/0"', "B = true", "usage/failcnt"),
        ('B = "1/0"', "B = { use = 1 }", "unknown expectation of container B"),
        ('outcome = "minor"', 'outcome = "minro"', "did you mean minor?"),
        ('outcome = "minor"', 'outcome = ["ok", "minor"]', "2 of them for 1 events"),
        ("steps = [", "cases = [{name='x'}, {name='x'}]\nsteps = [", "two cases have one name"),
        (LAST, LAST.replace("QB touch", "{who} touch"), "{who}: no such parameter"),
        ("steps = [", "cases = [{ name = 'x', N = 1 }]\nsteps = [", "'N'"),
        ("steps = [", "cases = 3\nsteps = [", "a list of tables"),
        ("steps = [", "steps [", "changed.toml"),
    ],
)
def test_malformed_files(tmp_path, old, new, told):
    copy = changed(tmp_path, (old, new))
    with pytest.raises(golden.GoldenError) as raised:
        golden.load(copy)
    assert told in str(raised.value)
    assert str(raised.value).startswith(str(copy))


def test_parameters():
    row = {"N": 31, "quirks": "repaired", "victims": ["P@1"]}
    assert golden_file.fill("x[0..{N-1}], {quirks}", row) == "x[0..30], repaired"
    numbers = golden_file.fill({"limit": "{N}", "pages": ["{N+1}"]}, row)
    assert numbers == {"limit": 31, "pages": [32]}
    assert golden_file.fill("{victims}", row) == ["P@1"]
    with pytest.raises(golden.GoldenError, match="not a whole number"):
        golden_file.fill("{quirks+1}", row)


def test_a_step_has_one_namespace():
    """Checks, containers and schemes cannot be mixed up."""
    assert not golden_checks.STEP_WORDS & set(schemes.names())


def test_the_readme_names_every_check():
    told = G5.with_name("README.md").read_text(encoding="utf-8")
    words = set(re.findall(r"\w+", told))
    keys = set(golden_file.KEYS) | golden_file.BADNESS
    assert set(golden_checks.CHECKS) | set(golden_checks.FLAGS) | keys <= words
