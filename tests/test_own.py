"""A user's own scheme: registered by name, fast, and every mistake named alike by both engines."""

import linecache
import math
import subprocess
import sys
import textwrap

import pytest
from strategies import PROFILES, random_case
from test_engines import differences
from test_twin import as_knobs

from workbench import TraceBuilder, compare, replay, schemes
from workbench.kernel import Machine, check, simulate
from workbench.kernel.counters import charge, force
from workbench.kernel.guard import HookError
from workbench.kernel.hooks import (
    add_entry,
    del_entry,
    give_entry,
    mappers_of,
    owner,
    pay_or_return,
    uncharge,
)

pytest.importorskip("numba", reason="the compiled engine needs numba")
BOTH = ("interpreted", "compiled")
ADD = 3
KIT = {
    f.__name__: f
    for f in (add_entry, charge, del_entry, force, give_entry, mappers_of, owner, pay_or_return,
              uncharge)
}
LAST_MAPPER = """
def price(k, page, c, _):
    return 0 if owner(k, page) == c else 1

def mapped(k, page, c, paid):
    payer = owner(k, page)
    if payer < 0:
        k.page_entry[page] = add_entry(k, page, c) + 1
    elif payer != c:
        uncharge(k, payer, 1, page)
        give_entry(k, k.page_entry[page] - 1, c)
    pay_or_return(k, c, paid, 0 if payer == c else 1, page)

def unmapped(k, page, c, _):
    if k.page_maps[page] == 0:
        uncharge(k, owner(k, page), 1, page)
        del_entry(k, k.page_entry[page] - 1)
        k.page_entry[page] = 0
"""


@pytest.fixture(autouse=True)
def none_left():
    before = set(schemes.names())
    yield
    for name in set(schemes.names()) - before:
        schemes.forget(name)


def cell(source: str, shown: bool = True, **more) -> dict:
    """What a notebook cell defines; IPython keeps its text, an old prompt does not."""
    name = f"<cell {abs(hash(source))}>"
    if shown:
        lines = source.splitlines(True)
        linecache.cache[name] = (len(source), None, lines, name)
    scope = dict(KIT) | more
    exec(compile(source, name, "exec"), scope)
    return scope


def last_mapper(name: str = "last_mapper", source: str = LAST_MAPPER, **parts):
    scope = cell(source)
    return schemes.register(name, scope["price"], scope["mapped"], scope["unmapped"], **parts)


def two_mappers() -> TraceBuilder:
    b = TraceBuilder()
    b.file("libc", 3)
    for name in "ab":
        b.task(name, b.container(name.upper()))
        b.map(name, "libc")
        b.touch_read(name, "libc", range(2))
    return b


# ---- a working one -------------------------------------------------------------------------------


def test_a_working_scheme_has_at_most_twenty_lines():
    assert len(LAST_MAPPER.strip().splitlines()) <= 20


@pytest.mark.parametrize("engine", BOTH)
def test_it_runs_by_name_beside_the_others(engine):
    last_mapper()
    found = compare(two_mappers().build(), ["first_touch", "last_mapper"], engine=engine)
    assert found.pivot("usage").values.tolist() == [[0, 2, 0], [0, 0, 2]]
    assert "last_mapper" in schemes.names() and schemes.get("last_mapper").own
    check(found["last_mapper"].state)


def test_both_engines_agree_on_random_traces():
    for profile in PROFILES:
        for parts in ({}, {"lists": "lru"}, {"reclaim": "unmap_own"}):
            scheme = last_mapper(**parts)
            case = random_case(101, profile)
            plain, fast = (simulate(case.trace, scheme, Machine(**case.machine),
                                    as_knobs(case.knobs), engine=engine, watch=1, sample_every=5)
                           for engine in BOTH)
            assert differences(plain, fast) == [], profile
            check(plain), check(fast)


def test_hooks_of_a_built_in_scheme_written_anew_give_its_numbers():
    """first_touch's hooks, as a user's, checked: the same machine to the last column."""
    own = schemes.register("again", base="first_touch")
    for engine in BOTH:
        for profile in ("reclaim", "moves", "swap"):
            case = random_case(7, profile)
            one, two = (simulate(case.trace, scheme, Machine(**case.machine), as_knobs(case.knobs),
                                 engine=engine)
                        for scheme in (schemes.get("first_touch"), own))
            assert differences(one, two) == []


def test_base_gives_what_is_not_given():
    def price(k, page, c, _):
        return 2 if owner(k, page) < 0 else 0

    own = schemes.register("dear", price, base="fraction", references="all")
    assert own.unit == schemes.get("fraction").unit and own.parts.record == "pair"
    assert own.parts.references == "all" and own.hooks["mapped"].__name__ == "mapped"
    assert not any(own.promises.values()), "promises are not inherited"


def test_helpers_and_numbers_are_taken_as_they_are_now():
    source = """
    def twice(k, page):
        return ADD if owner(k, page) < 0 else 0

    def price(k, page, c, _):
        return twice(k, page)

    def mapped(k, page, c, paid):
        k.failcnt[c] += paid
    """
    for add in (3, 4):
        scope = cell(textwrap.dedent(source), ADD=add)
        own = schemes.register("mine", scope["price"], scope["mapped"], lists="none",
                               reclaim="none", record="none")
        scope["ADD"] = 100
        for engine in BOTH:
            k = simulate(two_mappers().build(), own, engine=engine)
            assert list(k.failcnt) == [0, 2 * add, 2 * add], engine


def test_registering_again_replaces_and_forgetting_removes():
    last_mapper()
    again = last_mapper(title="second")
    assert schemes.get("last_mapper") == again and schemes.names().count("last_mapper") == 1
    assert schemes.get("last_mapper:lists=lru").label == "last_mapper:lists=lru"
    schemes.forget("last_mapper")
    with pytest.raises(ValueError, match="unknown scheme 'last_mapper'"):
        schemes.get("last_mapper")
    with pytest.raises(ValueError, match="no scheme 'last_mapper' was registered"):
        schemes.forget("last_mapper")


def test_a_file_is_a_scheme(tmp_path, capsys):
    from workbench import cli

    path = tmp_path / "mine.py"
    kit = "from workbench.kernel.hooks import *\n"
    path.write_text('"""The last mapper pays."""\n' + kit + LAST_MAPPER)
    scheme = schemes.get(f"{path}:lists=lru")
    assert scheme.label == "mine:lists=lru" and scheme.title == "The last mapper pays."
    assert schemes.get("mine").own
    assert (
        cli.main(["compare", "shared_page", "--scheme", "first_touch", "--scheme", str(path)]) == 0
    )
    assert "mine" in capsys.readouterr().out
    path.write_text(path.read_text().replace("k.page_maps", "k.page_map"))
    assert cli.main(["run", "shared_page", "--scheme", str(path)]) == 2
    said = capsys.readouterr().err
    assert "scheme mine, hook unmapped, mine.py line 17 (if k.page_map[page] == 0:)" in said
    assert "did you mean page_" in said
    for text, expected in (
        ("def f(:", "line 1"),
        ("1 / 0", "ZeroDivisionError"),
        ("x = 1", "no hook"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=expected):
            schemes.get(str(path))
    with pytest.raises(ValueError, match="no file"):
        schemes.get(str(tmp_path / "other.py"))
    (tmp_path / "zone.py").write_text(LAST_MAPPER)
    with pytest.raises(ValueError, match="one of the workbench's own"):
        schemes.get(str(tmp_path / "zone.py"))


# ---- mistakes ------------------------------------------------------------------------------------

STATIC = {  # body of a hook -> what is said of it
    "k.usages[c] += 1": "k has no 'usages'; did you mean usage?",
    "k.usage.append(1)": "k has no 'append'",
    "k.usage = 1": "usage is a column; write k.usage[...] = ...",
    "k.vpages = 1": "vpages stays as it is while a replay runs",
    "x = k.usage[c] / 2": "/ gives a fraction; use //",
    "x = 2 ** c": "** may give a fraction; use <<",
    "k.usage[c] += 0.5": "0.5 is no whole number",
    "x = [c]": "a list, tuple, set or dict",
    "x = {c: 1}": "a list, tuple, set or dict",
    "x = [i for i in range(c)]": "comprehension",
    "f = lambda: 1": "a function, lambda or comprehension",
    "x = 'text'": "'text'; hooks work on whole numbers",
    "x = f'{c}'": "a formatted string",
    "x = None": "None is no number; use -1",
    "print(c)": "print() cannot be compiled; a hook may call abs",
    "len(k.usage)": "len() cannot be compiled",
    "import os": "an import in a hook; import above it",
    "global ADD; ADD = 1": "global; what a scheme remembers",
    "for x in k.usage: pass": "for goes over range(...) alone",
    "x = math.floor(1)": "math is a module",
    "x = NAMES": "NAMES is a list; a hook may use global whole numbers",
    "x = ownr(k, page)": "ownr is not defined; did you mean owner?",
    "x = holds(k, page, c)": "`from workbench.kernel.hooks import holds`",
    "x = c in (1, 2)": "in; compare one by one",
    "yield c": "yield",
    "try:\n        x = 1\n    except Exception:\n        x = 2": "try or with",
    "with c: pass": "try or with",
    "del k": "",
}
DYNAMIC = {
    "x = k.usage[c - 99]": "usage[-98]: it has rows 0 to 2",
    "x = k.entry_owner[owner(k, page) - 1 - c]": "entry_owner[-3]: it has rows 0 to",
    "k.failcnt[c + 99] = 1": "failcnt[100]: it has rows 0 to 2",
    "k.entry_shift[c] = 1 << 40": "entry_shift[1] = 1099511627776: -2147483648 to 2147483647 fits",
    "k.usage[c] -= paid + 1": "the charge of container 1 would be -1; `uncharge` only what was",
    "uncharge(k, c, paid + 1, page)": "container 1 is charged 1 units, less than is taken back",
    "x = paid // (c - c)": "division by zero",
    "x = paid % (c - c)": "division by zero",
    "assert paid == 7, 'seven'": "the assertion fails: seven",
    "assert paid == 7": "the assertion fails",
    "raise ValueError('no such luck')": "raises ValueError: no such luck",
}


def messages(body: str, name: str = "mapped", **parts) -> list[str]:
    """What either engine says of a hook with this body, on the second line."""
    scope = cell(f"def {name}(k, page, c, paid):\n    {body}\n", math=math, NAMES=["a"], ADD=1)
    said = []
    for engine in BOTH:
        with pytest.raises(HookError) as caught:
            scheme = schemes.register("mine", **{"base": "first_touch", name: scope[name]} | parts)
            replay(two_mappers().build(), scheme, engine=engine)
        said.append(str(caught.value))
    return said


@pytest.mark.parametrize("body", [b for b in STATIC if STATIC[b]])
def test_what_cannot_be_compiled_is_refused_before_anything_runs(body):
    one, two = messages(body)
    assert one == two and STATIC[body] in one
    assert (
        one.startswith("scheme mine, hook mapped, line 2 (") or "line 3" in one or "line 1" in one
    )


@pytest.mark.parametrize("body", DYNAMIC)
def test_what_only_running_shows_is_the_same_for_both_engines(body):
    one, two = messages(body)
    assert one == two
    assert one.startswith(f"scheme mine, hook mapped, line 2 ({body}): {DYNAMIC[body]}")
    assert one.endswith("\n  at event 2: a touch_read libc")


def test_a_price_is_a_whole_number_of_units():
    for body, expected in (
        ("return -3", "(def price(k, page, c, paid):): returns -3; it returns a whole number"),
        ("if c < 0: return 1", "price ends without a result; `return` a number of units"),
        ("return None", "price ends without a result; `return` a number of units"),
        ("return 1.0", "1.0 is no whole number"),
    ):
        one, two = messages(body, "price")
        assert one == two and expected in one


def test_a_payer_is_a_container():
    for body in ("return 9", "return -1"):
        one, two = messages(body, "payer", base="first_allocation")
        assert one == two and f"returns {body[7:]}; it returns a container, 0 to 2" in one


@pytest.mark.parametrize("change, hook, expected", [
    (("uncharge(k, owner(k, page), 1, page)", "k.failcnt[c] += 0"), "unmapped",
     "leaves container 2 charged 1 units more"),
    (("        uncharge(k, payer, 1, page)\n", ""), "mapped",
     "leaves container 1 charged 1 units more"),
    (("0 if payer == c else 1, page)", "2, page)"), "mapped",
     "leaves container 1 charged 1 units more"),
])
def test_units_that_do_not_add_up(change, hook, expected):
    b = two_mappers()
    b.unmap("a", "libc"), b.map("b", "libc"), b.unmap("b", "libc")
    said = set()
    for engine in BOTH:
        source = LAST_MAPPER.replace(*change)
        assert source != LAST_MAPPER
        with pytest.raises(HookError, match=f"scheme last_mapper, hook {hook}, line") as caught:
            replay(b.build(), last_mapper(source=source), engine=engine)
        said.add(str(caught.value))
    (one,) = said
    assert expected in one and "at event " in one


def test_the_line_is_the_users_where_a_helper_fails():
    source = """
    def helper(k, i):
        return k.usage[i]

    def mapped(k, page, c, paid):
        helper(k, -1)
    """
    scope = cell(textwrap.dedent(source))
    said = set()
    for engine in BOTH:
        own = schemes.register("mine", mapped=scope["mapped"], base="first_touch")
        with pytest.raises(HookError) as caught:
            replay(two_mappers().build(), own, engine=engine)
        said.add(str(caught.value))
    (one,) = said
    assert "hook mapped, line 3 (return k.usage[i]): usage[-1]: it has rows 0 to 2" in one
    assert "-1 stands for none" in one


def test_without_the_text_of_the_cell_the_line_number_is_left():
    scope = cell("def mapped(k, page, c, paid):\n    x = k.nothing[page]\n", shown=False)
    with pytest.raises(HookError, match=r"hook mapped, line 2: k has no 'nothing'"):
        schemes.register("mine", mapped=scope["mapped"])


@pytest.mark.parametrize("source, expected", [
    ("def mapped(k, page, c): pass", r"takes \(k, page, c\); write `def mapped\(k, page, c, paid"),
    ("def mapped(*args): pass", "and more; write"),
    ("mapped = 7", "a plain function is needed, not int; write"),
    ("class mapped: pass", "a plain function is needed, not type"),
])
def test_signatures(source, expected):
    with pytest.raises(HookError, match=f"scheme mine, hook mapped.*{expected}"):
        schemes.register("mine", mapped=cell(source)["mapped"])


@pytest.mark.parametrize("given, expected", [
    ({}, "no hook is given; give price, mapped"),
    ({"unit": 0}, "unit=0; a whole number"), ({"unit": 1.5}, "unit=1.5"),
    ({"promises": ["sum"]}, "unknown promise 'sum'"),
    ({"list": "fifo"}, "unknown part 'list'; did you mean lists?"),
    ({"lists": "lifo"}, "'lifo' is not one of none, fifo, lru"),
    ({"lists": "none"}, "reclaim=free scans a list"),
])
def test_registration_is_checked(given, expected):
    hooks = {"mapped": cell(LAST_MAPPER)["mapped"]} if given else {}
    with pytest.raises(ValueError, match="scheme mine: ") as caught:
        schemes.register("mine", **hooks, **given)
    assert expected in str(caught.value)
    assert "mine" not in schemes.names(), "nothing is half registered"


def test_names_are_checked():
    hook = cell(LAST_MAPPER)["mapped"]
    for name, expected in (("zone", "workbench's own"), ("a b", "letters"), ("x.py", "letters")):
        with pytest.raises(ValueError, match=expected):
            schemes.register(name, mapped=hook)


def test_a_failed_swap_read_of_the_patch_is_not_the_hooks_mistake():
    """The double release (CH3) drives a charge down; the next `uncharge` is not to blame."""
    own = schemes.register("again", base="first_touch")
    for seed in range(40):
        case = random_case(seed, "swap")
        simulate(case.trace, own, Machine(**case.machine), as_knobs(case.knobs),
                 engine="interpreted")


# ---- the contract suite on a user's scheme -------------------------------------------------------


def test_the_report_says_what_is_kept_what_is_broken_and_how():
    last_mapper(promises=["sum_is_mapped", "own_action_only"])
    report = schemes.check("last_mapper")
    assert [v.promise for v in report] == list(schemes.PROMISES)
    assert report["sum_is_mapped"].word == "kept"
    assert report["own_action_only"].word == "broken" and report.lies == [report["own_action_only"]]
    assert report["shares_frames"].word == "not claimed, not broken"
    assert report["empty_owes_nothing"].word == "not claimed"
    one, two, what = report["own_action_only"].steps()
    assert "touch" in one and "touch" in two and "not by its own action" in what
    assert len(report["own_action_only"].world.steps) == 2, "the shortest there is"
    text, page = str(report), report._repr_html_()
    assert text == repr(report) and "120 random worlds: 1 kept, 1 broken" in text
    for step in (one, two, what):
        assert step in text and step in page
    assert page.count("<tr>") == 7


def test_a_hook_that_fails_in_the_suite_is_named():
    source = LAST_MAPPER.replace("uncharge(k, payer, 1, page)", "uncharge(k, payer, 9, page)")
    own = last_mapper(source=source)
    with pytest.raises(HookError, match=r"hook mapped, line 10 \(uncharge\(k, payer, 9, page\)\)"):
        schemes.check(own)


def test_check_and_template_on_the_command_line(tmp_path, capsys):
    from workbench import cli

    assert cli.main(["schemes", "template"]) == 0
    path = tmp_path / "mine.py"
    path.write_text(capsys.readouterr().out)
    assert cli.main(["schemes", "check", str(path), "--seeds", "20"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("mine: Last mapper: whoever mapped a page last pays")
    assert "sum_is_mapped (charges add up to the distinct mapped pages): kept" in out
    path.write_text(path.read_text().replace('"shares_frames": True', '"own_action_only": True'))
    assert cli.main(["schemes", "check", str(path), "--seeds", "20"]) == 1
    assert "1 promise made and broken" in capsys.readouterr().err
    assert cli.main(["schemes", "check", "first_tuch"]) == 2
    assert "did you mean first_touch?" in capsys.readouterr().err


def test_the_template_is_the_tested_scheme():
    """Its hooks are those of these tests, and of the notebook."""
    import ast

    def bodies(text: str) -> dict[str, str]:
        found = {}
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef):
                drop = isinstance(node.body[0], ast.Expr)
                found[node.name] = "\n".join(ast.unparse(line) for line in node.body[drop:])
        return found

    assert bodies(schemes.template()) == bodies(LAST_MAPPER)


def test_what_is_computed_of_a_users_scheme_is_measured_not_believed():
    from workbench.schemes import matrix

    last_mapper(promises=["own_action_only"])
    row = matrix.row("last_mapper")
    assert row["number changes only by own action"] == "no", "claimed, but broken"
    assert row["sharing of frames"] == "yes", "not claimed, but so"
    assert row["fair for shared pages"] == "0 and 1", "the last of two pays all"


@pytest.mark.parametrize("old, new, told", [
    ("def unmapped(", "def unmaped(", "scheme mine: unmaped is no hook; did you mean unmapped?"),
    ("return 0 if owner(k, page) == c else 1", "return price(k, page, c, 0)",
     "hook price, mine.py line 28 .*: calls itself; write a loop"),
])
def test_a_file_with_a_slip_is_refused_with_its_place(tmp_path, old, new, told):
    path = tmp_path / "mine.py"
    path.write_text(schemes.template().replace(old, new))
    with pytest.raises(ValueError, match=told):
        schemes.get(str(path))


ENDLESS = """
import os, signal, sys, threading, time
from workbench import replay, schemes
def interrupt():
    time.sleep(3)
    os.kill(os.getpid(), signal.SIGINT)
from workbench.trace import TraceBuilder
b = TraceBuilder()
b.task("t", b.container("A"))
b.file("f", 1)
b.touch_read("t", "f")
trace, scheme = b.build(), schemes.get(sys.argv[1])
replay(trace, "none", engine="compiled")
threading.Thread(target=interrupt, daemon=True).start()
try:
    replay(trace, scheme, engine=sys.argv[2])
except KeyboardInterrupt:
    print("left")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
@pytest.mark.parametrize("engine", BOTH)
def test_ctrl_c_leaves_a_hook_that_never_ends(tmp_path, engine):
    path = tmp_path / "mine.py"
    body = "    while k.clock >= 0:\n        payer = owner(k, page)\n"
    path.write_text(schemes.template().replace("    payer = owner(k, page)\n", body))
    done = subprocess.run([sys.executable, "-c", ENDLESS, path, engine], capture_output=True,
                          text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "left\n"), done.stderr
