"""Every scheme against the contract suite, and what all schemes have in common."""

import ast
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from strategies import PROFILES, random_case
from test_twin import SCHEMES, as_knobs

from workbench import schemes
from workbench.kernel import Machine, PlacementError, check, simulate
from workbench.kernel.layout import COLUMNS, SCALARS
from workbench.kernel.names import HEADS
from workbench.schemes import PROMISES, contract
from workbench.trace import TraceBuilder

ROOT = Path(schemes.__file__).parent
MODULES = schemes.names()
ORDER = ["TITLE", "SOURCE", "ASSUMED", "UNIT", "PARTS", "OPTIONS", "PROMISES", "PROMISES_WITH",
         "worth", "price", "mapped", "unmapped", "payer", "born", "gone"]


# ---- promises ------------------------------------------------------------------------------------

# What breaks, at the shortest, every promise a scheme does not make: after so many steps.
BREAKS = {
    # a touch
    "none": {"sum_is_mapped": 1},
    # somebody came first; the last unmapper is a stranger; touch and leave
    "first_touch": {"neighbour_proof": 2, "own_action_only": 3, "empty_owes_nothing": 2},
    "next_toucher": {"neighbour_proof": 2, "own_action_only": 3, "empty_owes_nothing": 2},
    # as first_touch; what is given up is touched in two containers
    "copy_on_reclaim": {
        "neighbour_proof": 2, "own_action_only": 3, "shares_frames": 6, "empty_owes_nothing": 2,
    },
    # a read; dropped caches
    "first_allocation": {
        "sum_is_mapped": 1, "neighbour_proof": 2, "own_action_only": 2, "empty_owes_nothing": 1,
    },
    "common_ancestor": {
        "sum_is_mapped": 1, "neighbour_proof": 2, "own_action_only": 2, "empty_owes_nothing": 1,
    },
    "recharge": {
        "sum_is_mapped": 1, "neighbour_proof": 2, "own_action_only": 2, "empty_owes_nothing": 1,
    },
    "mount_charge": {
        "sum_is_mapped": 1, "neighbour_proof": 2, "own_action_only": 2, "empty_owes_nothing": 1,
    },
    "file_owner": {
        "sum_is_mapped": 1, "neighbour_proof": 2, "own_action_only": 2, "empty_owes_nothing": 1,
    },
    "cgroup_v1": {
        "sum_is_mapped": 1, "neighbour_proof": 2, "own_action_only": 2, "empty_owes_nothing": 1,
    },
    "cgroup_v2": {
        "sum_is_mapped": 1, "neighbour_proof": 2, "own_action_only": 2, "empty_owes_nothing": 1,
    },
    # an heir; a move
    "hand_over": {"neighbour_proof": 2, "own_action_only": 3, "never_above_limit": 2},
    # somebody joins
    "beancounter": {"neighbour_proof": 2, "own_action_only": 2, "never_above_limit": 2},
    "fraction": {"neighbour_proof": 2, "own_action_only": 2, "never_above_limit": 2},
    # write() to shared memory; a neighbour's touch of one's own shared memory; one's own
    "openvz": {
        "sum_is_mapped": 1, "neighbour_proof": 2, "own_action_only": 2, "never_above_limit": 1,
        "empty_owes_nothing": 1,
    },
    # a second container touches; a move
    "every_container": {"sum_is_mapped": 2, "never_above_limit": 2},
    "dual_count": {"sum_is_mapped": 2, "never_above_limit": 2},
    # a fork
    "every_mapping": {"sum_is_mapped": 2, "never_above_limit": 2},
    "february_2007": {"sum_is_mapped": 2, "never_above_limit": 2},
    "virtual_swap": {"sum_is_mapped": 2, "never_above_limit": 2},
    # stacks, before anything is mapped; dropped caches
    "zone": {
        "sum_is_mapped": 0, "neighbour_proof": 2, "own_action_only": 2, "empty_owes_nothing": 0,
    },
    "shared_zone": {
        "sum_is_mapped": 0, "neighbour_proof": 2, "own_action_only": 2, "empty_owes_nothing": 0,
    },
    # a task touches, moves, touches again
    "partition": {
        "sum_is_mapped": 0, "own_action_only": 2, "shares_frames": 2, "empty_owes_nothing": 0,
    },
}


@pytest.fixture(scope="module")
def verdicts():
    return {(s, v.promise): v for s in SCHEMES for v in contract.check(s)}


@pytest.mark.parametrize("promise", PROMISES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_promise(scheme, promise, verdicts):
    name = scheme.split(":")[0]
    verdict = verdicts[scheme, promise]
    assert verdict.claimed == schemes.get(scheme).promises[promise]
    assert not verdict.surprising, f"{scheme}: {verdict}"
    assert (verdict.world is not None) == (verdict.complaint != "") == (not verdict.claimed)
    if verdict.world:
        assert len(verdict.world.steps) == BREAKS[name][promise], f"{scheme}: {verdict}"
        trace, _ = verdict.world.build()
        assert len(trace) <= 12 and verdict.complaint in str(verdict)


def test_every_scheme_declares_every_promise():
    for name in MODULES:
        assert list(schemes.get(name).promises) == list(PROMISES) == list(contract.BINDING), name
        assert all(type(claim) is bool for claim in schemes.get(name).promises.values())


def test_no_scheme_has_all_three_corners():
    """Charges add up, nobody else matters, frames are shared: no rule has all three (the lemma)."""
    for name in MODULES:
        made = schemes.get(name).promises
        assert not (made["sum_is_mapped"] and made["neighbour_proof"] and made["shares_frames"])


def own_scheme(**hooks):
    """A scheme from a notebook cell: `none` with other hooks, under full promises."""
    base = schemes.get("none")
    claims = {"PROMISES": dict.fromkeys(PROMISES, True)}
    return replace(base, name="own", module=SimpleNamespace(**vars(base.module) | claims | hooks))


def test_a_scheme_that_lies_is_found_out():
    def mapped(k, page, c, paid):
        k.usage[c] += 1
        return 0

    found = {v.promise: v for v in contract.check(own_scheme(mapped=mapped), range(20))}
    for promise in ("sum_is_mapped", "empty_owes_nothing", "never_above_limit"):
        assert found[promise].word == "broken", promise
    assert found["shares_frames"].word == "kept"
    assert found["sum_is_mapped"].complaint == "0 pages mapped, 1 charged"


def test_a_scheme_that_keeps_two_frames_is_found_out():
    def mapped(k, page, c, paid):
        k.zone_file[0] += 1
        return 0

    found = {v.promise: v for v in contract.check(own_scheme(mapped=mapped), range(10))}
    assert found["shares_frames"].word == "broken"


def test_verdicts_read_well():
    verdict = next(v for v in contract.check("first_touch", range(20)) if not v.claimed)
    title, first, *_ = str(verdict).splitlines()
    assert title.startswith("neighbour_proof (a container's charge depends only on what it has")
    assert title.endswith(": not claimed")
    assert re.fullmatch(r"  1\. [PQRS] touch \w\[\d\] to (read|write)", first)
    assert re.search(r"is charged \d after step 2, \d without others", verdict.complaint)


def test_the_suite_is_deterministic():
    assert contract.check("hand_over", range(15)) == contract.check("hand_over", range(15))


def test_left_out_tasks_take_their_children_with_them():
    """Whatever is left out of a world, what remains is a valid trace."""
    for seed in range(30):
        world = contract.random_world(seed, True)
        for cut in range(0, len(world.steps), 5):
            part = replace(world, steps=world.steps[:cut] + world.steps[cut + 3 :])
            trace, numbers = part.build()
            assert len(trace) == len(numbers)
        for name in contract.CONTAINERS:
            assert len(world.without_strangers(name).steps) == len(world.steps)


# ---- what every scheme has in common -------------------------------------------------------------


def empty_machine(scheme: str, limit: int | None = None):
    """Everything is mapped by everybody, in three containers, forked, moved; then all exit."""
    b = TraceBuilder()
    for name in ("A", "B", "C"):
        b.container(name, limit)
    b.task("init", init=True)
    b.task("P", "A"), b.task("Q", "B"), b.task("R", "C")
    for kind in ("file", "anon", "shm", "ramfs", "special"):
        b.object(kind, kind, 7)
    for task in "PQR":
        for kind in ("file", "anon", "shm", "ramfs", "special"):
            b.map(task, kind)
            b.touch(task, kind, write=kind in ("anon", "shm"))
        b.fork(task, f"{task}2")
        b.touch_write(f"{task}2", "anon", range(3))
        b.thread(task, f"{task}3")
        b.open(task, "file")
    b.move("P", "B"), b.move("Q2", "C")
    for task in ("P", "P2", "P3", "Q", "Q2", "Q3", "R", "R2", "R3"):
        b.exit(task)
        b.reap(task)
    return simulate(b.build(), schemes.get(scheme), engine="interpreted")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_empty_machine_owes_nothing(scheme):
    k = empty_machine(scheme)
    check(k)
    zone = schemes.get(scheme).parts.placement != "any"
    cached = [int(k.zone_file[z]) for z in range(k.zones)]
    # a zone is "charged" for whatever lies in it; everybody else for nothing at all
    lying = [k.zone_frames[z] - k.zone_free[z] for z in range(k.zones)]
    resident = schemes.get(scheme).parts.coverage == "resident"
    kept = [0] * k.containers
    if resident:  # cache that A brought in and, where that matters, all three have mapped
        kept[0 if scheme == "common_ancestor" else 1] = 7 + 7
    assert list(k.usage) == (lying[: k.containers] if zone else kept)
    assert list(k.held) == kept
    assert [css - n for css, n in zip(k.css, kept, strict=True)] == [1, 0, 0, 0], "init's mm"
    assert list(k.procs) == [1, 0, 0, 0] and list(k.files) == [0] * 4
    assert list(k.mapped) == [0] * 4 and k.mapped_pages == 0 and k.swap_used == 0
    assert sum(1 for entry in k.page_entry if entry) == sum(kept)
    heads = range(HEADS * k.containers)
    assert resident or all(k.entry_next[head] == head for head in heads), "lists are empty"
    assert sum(k.zone_anon) == 0
    copies = 3 if scheme == "partition" else 1
    assert sum(cached) == copies * (7 + 7), "file and ramfs pages stay cached; nameless shm goes"
    assert sum(k.zone_special) == 7 * copies and sum(k.zone_kernel) == 2, "device; init's stack"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_zombies_owe_tasks_not_pages(scheme):
    b = TraceBuilder()
    b.container("A"), b.task("P", "A"), b.anon("a", 5), b.file("f", 5)
    b.touch_write("P", "a")
    b.map("P", "f"), b.touch_read("P", "f")
    b.exit("P")
    k = simulate(b.build(), schemes.get(scheme), engine="interpreted")
    check(k)
    cache = 5 if schemes.get(scheme).parts.coverage == "resident" else 0
    assert k.procs[1] == 1 and k.css[1] == k.held[1] == cache
    zone = schemes.get(scheme).parts.placement != "any"
    assert k.usage[1] == (5 + 2 if zone else cache), "a zone holds cache and stacks"


def columns(k) -> dict:
    return {n: list(getattr(k, n)) for table in COLUMNS.values() for n in table} | {
        n: getattr(k, n) for n in SCALARS
    }


@pytest.mark.parametrize("scheme", SCHEMES)
def test_two_replays_are_equal(scheme):
    for profile in PROFILES:
        case = random_case(5, profile)
        try:
            one, two = (
                simulate(case.trace, schemes.get(scheme), Machine(**case.machine),
                         as_knobs(case.knobs), engine="interpreted")
                for _ in range(2)
            )
        except PlacementError:
            continue
        assert columns(one) == columns(two)


def declared(path: Path) -> list[str]:
    """Names a module binds at its top, in order."""
    names = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [target.id for target in node.targets]
    return names


@pytest.mark.parametrize("name", MODULES)
def test_modules_have_one_shape(name):
    path = ROOT / f"{name}.py"
    tree, module = ast.parse(path.read_text()), schemes.get(name).module
    assert ast.get_docstring(tree), "what it is, in a docstring"
    names = declared(path)
    optional = {"PROMISES_WITH", "worth", *schemes.HOOKS}
    order = [n for n in ORDER if n not in optional or n in names]
    assert names[: len(order)] == order, "same names, same order; helpers of its own come last"
    records = module.PARTS.record in ("page", "counted", "pair")
    assert ("worth" in names) == records, "what a charge record stands for"
    assert all(isinstance(getattr(module, n), str) and getattr(module, n) for n in ORDER[:3])
    assert re.search(r"\d{1,2} [A-Z][a-z]{2} \d{4}", module.SOURCE), "SOURCE says when"
    assert list(module.PROMISES) == list(PROMISES)
    assert len(path.read_text().splitlines()) <= 120
    resident = module.PARTS.coverage == "resident"
    assert ("born" in names) == ("gone" in names) == resident, "who pays for frames"
    for hook in [n for n in order if n in schemes.HOOKS]:
        found = getattr(module, hook).__code__
        assert found.co_argcount == 4 and found.co_varnames[:3] == ("k", "page", "c")
    for part, values in module.OPTIONS.items():
        assert getattr(module.PARTS, part) == values[0], "the first value is the default"
    titles = [schemes.get(other).title for other in MODULES]
    assert titles.count(module.TITLE) == 1


@pytest.mark.parametrize("name", MODULES)
def test_schemes_do_not_import_each_other(name):
    for node in ast.walk(ast.parse((ROOT / f"{name}.py").read_text())):
        if isinstance(node, ast.ImportFrom):
            from_kernel = not node.level and node.module.startswith("workbench.kernel.")
            assert node.module == "parts" or from_kernel, f"{name} imports {node.module}"
        assert not isinstance(node, ast.Import)


def test_what_is_no_scheme_is_not_listed():
    assert schemes.SHARED.isdisjoint(MODULES)
    found = {p.stem for p in ROOT.glob("*.py")} - {"__init__"}
    assert set(MODULES) | schemes.SHARED == found


def test_a_complaint_about_one_page_speaks_of_one():
    told = {v.complaint for v in contract.check("cgroup_v1", range(3))}
    assert "1 page mapped, 2 charged" in told
    frames = next(v for v in contract.check("partition", range(10)) if v.promise == "shares_frames")
    assert frames.complaint == "2 frames hold 1 page"
