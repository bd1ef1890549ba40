"""The slow, obvious twin of the simulated kernel: lists, dicts and Fractions, one page at a time.

Written from the specification, never from the engine, so that the two can be compared event by
event. The mechanism (faults, memory, reclaim, OOM) is written once in `Kernel`; a scheme is a small
class that says what a mapping costs and who pays. Lists of pages hold the newest entry first.
"""

from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from math import isqrt

from workbench.trace import Op, Trace, TraceError
from workbench.trace.language import control_write
from workbench.trace.model import Defect

OUTCOMES = ("hit", "ok", "zero", "minor", "cow", "major", "swapin", "refused", "error", "killed",
            "skipped", "hang")
RANK = {name: place for place, name in enumerate(OUTCOMES)}
QUIRKS = frozenset((
    "limit_zero", "trial_charge", "double_release", "leak_frames", "stale_pointer", "scan_cutoff",
    "two_pages", "no_recheck", "rotation", "zone_counters", "outsiders", "hang", "coupling",
    "children_first",
))
DEFAULTS = {
    "nodes": 1, "frames": 1 << 20, "swap": 65536, "word": 64, "swap_write": "async", "pagevec": 0,
    "cluster": 32, "quirks": QUIRKS, "references": None, "swappiness": 60, "page_tables": True,
    "task_frames": 2, "files_per_frame": 16, "zone_sets": (),
    "failcnt": "refused",
    "granule": 1, "unmovable": "spread", "numa": "stay", "accesses": False, "seed": 0,
}
FRAME_KINDS = ("anon", "file", "special", "kernel")
FRAME_KIND = {"shm": "file", "ramfs": "file"}  # the other kinds are their own
OOM_DISABLE = -17
SHIFT_HZ = 10  # 1,000 ticks a second
BLOCK = 512  # pages under one page-table page
STARTS = 8  # how often one access may start over before the task is killed (livelock)


def zone_kind(kind):
    return FRAME_KIND.get(kind, kind)


class Dies(Exception):
    """A payment or a frame was refused to the current task: it must die."""


class Hang(Exception):
    """The machine stops here: the kernel loops for ever."""


class StartOver(Exception):
    """The page went away while its fault paid: access it again."""


class ReadError(Exception):
    """A disk read failed."""


# -- what the machine consists of ------------------------------------------------------------------


@dataclass(eq=False)
class Counter:
    """A res_counter: usage in units, limit in pages (tasks, files)."""

    limit: int
    unit: int = 1
    usage: int = 0
    failcnt: int = 0
    zero_is_none: bool = False


@dataclass(eq=False)
class KernelFrame:
    """A page table's, a stack's or a file table's frame."""

    granule: "Granule"
    payer: "Container"

    @property
    def zone(self):
        return self.granule.zone


@dataclass(eq=False)
class Container:
    name: str
    row: object  # of the containers table
    exists: bool = True
    css: int = 0  # mm's bound here + charges held
    rss: Counter = None
    numproc: Counter = None
    numfiles: Counter = None
    zone: "Zone" = None  # of its own, or pooled with others; schemes with zones only
    shared: "Zone" = None  # the shared zone of its set
    mems: list = None  # nodes its pages may lie on
    moves_memory: bool = False
    spreads: bool = False
    accesses: dict = field(default_factory=dict)  # node of the page -> [local, remote]
    stock: int = 0  # charged in advance
    vswap_limit: int = None  # virtual swap slots; None: as many as the limit
    cached: list = field(default_factory=list)  # pages nobody maps, charged to it: newest first
    cache: Counter = None  # of those, where their limit is separate
    kernel: int = 0  # kernel frames charged to it, where kernel memory is charged
    parent: "Container" = None  # charged along with it; None in a flat world and at the top
    folder: "Container" = None  # the directory it is made in
    lists: dict = field(default_factory=lambda: {"active": [], "inactive": []})


@dataclass(eq=False)
class Granule:
    """A block of a zone with unmovable frames in it."""

    zone: "Zone"
    pins: int = 0


@dataclass(eq=False)
class Zone:
    """A range of frames with its own pair of lists."""

    node: int
    frames: int
    min: int
    low: int
    high: int
    used: dict = field(default_factory=lambda: dict.fromkeys(FRAME_KINDS, 0))
    lists: dict = field(default_factory=lambda: {"active": [], "inactive": []})
    phantom: dict = field(default_factory=lambda: {"active": 0, "inactive": 0})
    scan: dict = field(default_factory=lambda: {"active": 0, "inactive": 0})
    leaked: int = 0
    open: list = field(default_factory=list)  # pinned granules with room, the next one first
    full: list = field(default_factory=list)  # pinned granules without

    @property
    def free(self):
        return self.frames - sum(self.used.values())


@dataclass(eq=False)
class Set:
    """Containers with a zone in common."""

    frames: int
    members: list
    paths: tuple
    pooled: bool  # no zones of their own
    zone: Zone = None

    def declares(self, path, by):
        """Is a file one that the set wants in its zone?"""
        if not path:
            return False
        if by == "mount":
            return filesystem(path) in [filesystem(p) for p in self.paths]
        return any(path.split("/")[: len(p.split("/"))] == p.split("/") for p in self.paths)


def filesystem(path):
    """`server:` of `server:/x`; `/usr` of `/usr/lib/x`."""
    if ":" in path:
        return path[: path.index(":") + 1]
    return "/" + next(part for part in path.split("/") if part)


@dataclass(eq=False)
class Page:
    vpage: tuple  # (object number, index): what it holds
    kind: str
    copy: object = None  # the container it is a copy for
    zone: Zone = None  # where its frame lies; None: not resident
    granule: Granule = None  # and in it, if it cannot be moved
    mappers: list = field(default_factory=list)  # present and swap entries, oldest first
    active: bool = False
    referenced: bool = False
    dirty: bool = False
    writeback: bool = False
    lru: list = None  # the zone list it is on
    slot: bool = False  # has a swap slot
    payer: Container = None  # of the slot, or of a kernel page, where those are charged
    holds: int = 0  # references of the fault in progress
    pinned: bool = False  # a reference nobody will ever drop

    @property
    def present(self):
        return [pte for pte in self.mappers if pte.state == "present"]

    @property
    def mapcount(self):
        return len(self.present)

    @property
    def held(self):
        return self.holds > 0 or self.pinned

    def of(self, container):
        """The present entries of a container's mm's."""
        return [pte for pte in self.present if pte.mm.container is container]


@dataclass(eq=False)
class Pte:
    mm: "Mm"
    vpage: tuple
    page: Page | None
    state: str  # present, swap, zero, or moving (taken away by migrate for a moment)
    young: bool = True
    writable: bool = False
    dirty: bool = False
    locked: bool = False
    shared: bool = False


@dataclass(eq=False)
class Vma:
    object: int
    start: int
    end: int
    shared: bool
    has_anon: bool = False

    def holds(self, vpage):
        return self.object == vpage[0] and self.start <= vpage[1] < self.end


@dataclass(eq=False)
class Mm:
    container: Container
    users: int = 1
    vmas: list = field(default_factory=list)
    ptes: dict = field(default_factory=dict)  # vpage -> Pte
    denied: bool = False  # a map was refused: the task goes without
    tables: dict = field(default_factory=dict)  # block -> frame of the page-table page

    def vma(self, vpage):
        return next((vma for vma in self.vmas if vma.holds(vpage)), None)

    def range(self, vpages):
        return [self.ptes[v] for v in vpages if v in self.ptes]


@dataclass(eq=False)
class Description:
    """An open file."""

    object: int
    home: Container  # charged for it
    refs: int = 1


@dataclass(eq=False)
class Files:
    """A table of open files, shared by threads."""

    open: list = field(default_factory=list)
    users: int = 1


@dataclass(eq=False)
class Task:
    row: object  # of the tasks table
    state: str = "unborn"  # alive, zombie, reaped
    container: Container = None
    home: Container = None  # charged in numproc
    mm: Mm = None
    node: int = 0
    rotor: int = 0  # node of the page spread last
    memdie: bool = False
    files: Files = None
    children: list = field(default_factory=list)  # by fork
    threads: list = field(default_factory=list)  # of a leader
    leader: "Task" = None
    frames: list = field(default_factory=list)  # zones of its kernel objects

    @property
    def killable(self):
        """Something that a signal would still end."""
        return self.mm is not None and not self.memdie

    @property
    def total_vm(self):
        return sum(v.end - v.start for v in self.mm.vmas) if self.row.vm is None else self.row.vm


@dataclass
class After:
    """What the worked examples look at after one event."""

    outcome: str
    victims: list
    usage: dict  # container -> pages
    failcnt: dict
    css: dict
    numproc: dict  # container -> (usage, failcnt)
    numfiles: dict
    owners: dict  # (object, index) -> owners of its mapped pages, sorted; one page, one name
    mapped: dict  # container -> present page-table entries
    warnings: int

    def owner(self, name, index):
        """The owner of a page, None if nobody or not only one page bears that name."""
        owners = self.owners.get((name, index), ())
        return owners[0] if len(owners) == 1 else None


# -- who pays --------------------------------------------------------------------------------------


class Scheme:
    """Nobody pays: also the base of the others. Hooks come after the mapcount changed."""

    unit = 1
    single_owner = False
    rewalks = False  # a moving mm takes its charges along
    drifts = False  # charges that a move leaves behind are never found again
    kills_at_limit = False
    only_leaders_move = False
    zero_is_none = False
    unmaps_only = False
    own_zones = False
    hierarchy = "flat"
    resident = False  # pays for frames, mapped or not; `born` and `gone` are called
    asks_for_space = False  # at map and fork, instead of for memory at a touch
    copies = False  # of every object, for every container
    orphan = "stay"  # what becomes of a dead container's zone
    references = "all"

    def __init__(self, kernel):
        self.kernel = kernel

    def home(self, container, thing, shared):
        return None

    def price(self, page, c):
        """Units to pay before c may map the page."""
        return 0

    def mapped(self, page, c, paid): ...

    def unmapped(self, page, c): ...

    def activated(self, page): ...

    def used(self, thing, c):
        """A task of c opens or maps an object."""

    def ends_unmapped(self, page):
        """Does the page end with its last entry?"""
        return page.kind == "anon"

    def found(self, page, c, shared):
        """What c finds where an object has this page, at a first access."""
        return page

    def copied(self, page, task, shared):
        """A copy for the task's container, if it must not map what it has found."""

    def source_left(self, page):
        """A page that has been copied."""

    def written(self, page):
        """By a system call."""

    def payer(self, page, c):
        """Who pays for the frame that c needs for a page (resident only)."""
        return c

    def born(self, page, c, paid): ...

    def gone(self, page): ...

    def try_to_free(self, c):
        return False

    def refuses_fork(self, mm, c):
        return False

    def limit_written(self, c):
        """False: not below usage."""
        return True

    def framed(self, page, c): ...

    def unframed(self, page): ...

    def forgotten(self, thing): ...

    def slot_taken(self, page): ...

    def fresh(self, c): ...

    def lost(self, wanted):
        """Pages and containers for which `wanted` holds have nothing more to do with each other."""

    def host_is_short(self, zone):
        return 0

    def keeps(self, page, c):
        """Is the page in use (clears the bits seen), locked, this fault's, or without a slot?"""
        young = self.kernel.page_young(page, self.kernel.whose(c))
        if young or page.holds or any(pte.locked for pte in page.of(c)):
            return True
        return not self.may_leave(page)

    def may_leave(self, page):
        """Only with a slot can an anonymous page be unmapped."""
        if page.kind == "anon" and not page.slot:
            if not self.kernel.take_slot(page):
                return False
            page.dirty = True
        return True

    def unmap_own(self, page, c):
        for pte in page.of(c):
            self.kernel.unmap_for_reclaim(pte)
        frees = self.kernel.options.get("reclaim") == "free_own"
        if frees and not page.mapcount and page.lru is not None:
            page.referenced = page.active = False
            self.kernel.off_lru(page)
            self.kernel.shrink_pages([page], None)

    def unmap_oldest(self, c, want):
        """Walk everybody's pages, oldest first, twice; c's that are not in use are unmapped."""
        done = 0
        for _ in range(2):
            for zone in self.kernel.all_zones:
                for which in ("inactive", "active"):
                    for page in zone.lists[which][::-1]:
                        if done == want:
                            return done
                        if not page.of(c):
                            continue
                        if self.keeps(page, c):
                            page.active = True
                            self.kernel.to_lru(page, "active")
                        else:
                            self.unmap_own(page, c)
                            done += 1
        return done

    def expected(self, c):
        """(usage in units, charges held) recomputed from the page tables, for `check`."""
        return 0, 0

    def unlisted(self, c):
        """Charges that are on no list of c's."""
        return 0

    def bill(self, c):
        """What c would pay on a second book."""
        return 0

    def force(self, c, units):
        self.kernel.force(c, units)

    def inherit(self, page, c, units):
        """A charge that c gets because somebody else leaves."""
        if self.kernel.options.get("forced") != "free":
            self.force(c, units)
            return
        self.kernel.add(c, units)
        if not self.kernel.fits(c.rss, 0):
            self.kernel.leaving.setdefault(page)

    def payers(self, page):
        """Who is charged for a page."""
        return []

    def must_leave(self, page):
        """At the end of the event: is a payer above its limit, for no act of its own?"""
        if self.kernel.options.get("forced") != "free":
            return []
        return [c for c in self.payers(page) if not self.kernel.fits(c.rss, 0)]

    def cannot_leave(self, page, payers):
        for c in payers:
            c.rss.failcnt += 1

    def settle(self, c, due, paid):
        """Turn a payment into a new charge of `due` units."""
        if due > paid:
            self.kernel.force(c, due - paid)
        else:
            self.kernel.uncharge(c, paid - due)
        if not paid:
            c.css += 1

    def drop(self, c, units):
        self.kernel.uncharge(c, units)
        c.css -= 1


class FirstTouch(Scheme):
    """The container that first maps a page pays until the last unmap anywhere."""

    single_owner = True

    def __init__(self, kernel):
        super().__init__(kernel)
        self.owner = {}  # page -> container
        self.two_lists = kernel.options.get("lists", "fifo") == "lru"
        self.unmaps_only = kernel.options.get("reclaim") == "unmap_all"
        self.newest = "active" if self.two_lists else "inactive"  # FIFO: one list, any name

    def price(self, page, c):
        return 1 if "trial_charge" in self.kernel.quirks or page not in self.owner else 0

    def mapped(self, page, c, paid):
        if page in self.owner:
            self.kernel.give_back(c, paid)
            return
        self.settle(c, 1, paid)
        self.owner[page] = c
        c.lists[self.newest].insert(0, page)

    def unmapped(self, page, c):
        if page.mapcount == 0:
            self.disown(page)

    def disown(self, page):
        owner = self.owner.pop(page)
        self.unlist(page, owner)
        self.drop(owner, 1)

    def unlist(self, page, owner):
        for entries in owner.lists.values():
            if page in entries:
                entries.remove(page)

    def relist(self, page, which):
        """With two lists: the entry goes to the head of one of them."""
        if self.two_lists and page in self.owner:
            self.unlist(page, self.owner[page])
            self.owner[page].lists[which].insert(0, page)

    def activated(self, page):
        self.relist(page, "active")

    # reclaim: section 4 and 7 of the patchset's specification

    def isolate(self, n, c, want):
        """Look at n entries from the tail; returns (entries seen, pages taken off the LRU)."""
        entries = c.lists[want if self.two_lists else self.newest]
        if "rotation" not in self.kernel.quirks:
            return self.isolate_in_place(n, c, want, entries)
        block, taken = [], []
        while entries and len(block) < n:
            page = entries.pop()
            block.append(page)
            if page.lru is not None and (self.two_lists or page.active == (want == "active")):
                taken.append(page)
                self.kernel.isolate_from_zone(page)
        entries[:0] = list(reversed(block))
        return len(block), taken

    def isolate_in_place(self, n, c, want, entries):
        """Repaired: what does not fit is passed over, stays where it is and does not count."""
        fit = [p for p in reversed(entries) if p.lru is not None]
        fit = [p for p in fit if self.two_lists or p.active == (want == "active")][:n]
        for page in fit:
            entries.remove(page)
            entries.insert(0, page)
            self.kernel.isolate_from_zone(page)
        return len(fit), fit

    def shrink_active(self, n, c):
        _, taken = self.isolate(n, c, "active")
        for page in taken:
            stays = self.kernel.is_in_use(page, self.kernel.whose(c))
            page.active = page.active and stays
            self.kernel.to_lru(page, "active" if stays else "inactive")
            self.relist(page, "active" if stays else "inactive")

    def shrink_inactive(self, most, c):
        scanned = freed = 0
        while True:
            seen, taken = self.isolate(self.kernel.cluster, c, "inactive")
            scanned += seen
            freed += self.kernel.shrink_pages(taken, self.kernel.whose(c), self.unmaps_only)
            for page in taken:
                self.relist(page, "inactive")
            if not taken or scanned >= most:
                return freed

    def chunks(self, c, priority):
        """A quota of (usage >> priority) + 1 in parts of at most a cluster, none if too small."""
        n, cluster = (c.rss.usage >> priority) + 1, self.kernel.cluster
        if n < cluster and "scan_cutoff" in self.kernel.quirks:
            return []
        return [cluster] * (n // cluster) + [n % cluster] * (n % cluster > 0)

    def try_to_free(self, c):
        freed, enough = 0, 2 if "two_pages" in self.kernel.quirks else 1
        for priority in range(12, -1, -1):
            for n in self.chunks(c, priority):
                self.shrink_active(n, c)
            for n in self.chunks(c, priority):
                freed += self.shrink_inactive(n, c)
            if freed >= enough:
                return True
        return False

    def expected(self, c):
        n = sum(owner is c for owner in self.owner.values())
        return n, n


class FirstAllocation(FirstTouch):
    """The container that makes a page take a frame pays until the frame is given back."""

    resident = True

    def price(self, page, c):
        return 1

    def born(self, page, c, paid):
        super().mapped(page, c, paid)

    def gone(self, page):
        if page in self.owner:
            self.disown(page)

    def mapped(self, page, c, paid): ...

    def unmapped(self, page, c): ...


class FileOwner(FirstAllocation):
    """All pages of a file are its first user's."""

    def __init__(self, kernel):
        super().__init__(kernel)
        self.first = {}  # number of an object -> container

    def used(self, thing, c):
        if thing not in self.first or not self.first[thing].exists:
            self.first[thing] = c
        return self.first[thing]

    def payer(self, page, c):
        return c if page.kind == "anon" else self.used(page.vpage[0], c)


class HandOver(FirstTouch):
    """As first touch, but when the owner stops using the page its oldest mapper takes it over."""

    rewalks = True

    def __init__(self, kernel):
        super().__init__(kernel)
        self.rule, self.chance = kernel.options.get("heir", "oldest"), kernel.seed

    def payers(self, page):
        return [self.owner[page]]

    def unmapped(self, page, c):
        if page.mapcount == 0:
            self.disown(page)
        elif self.owner[page] is c and not page.of(c):
            if self.rule == "next":
                self.kernel.leaving.setdefault(page)
            else:
                self.pass_on(page, self.heir(page))

    def heir(self, page):
        left = [pte.mm.container for pte in page.present]
        if self.rule == "largest":
            return max(left, key=left.count)  # the first of the largest
        if self.rule == "random":
            self.chance = (1103515245 * self.chance + 12345) % 2**31
            return left[self.chance // 256 % len(left)]
        return left[0]

    def pass_on(self, page, heir):
        self.disown(page)
        self.inherit(page, heir, 1)
        heir.css += 1
        self.owner[page] = heir
        heir.lists[self.newest].insert(0, page)

    def must_leave(self, page):
        owner = self.owner[page]
        deserted = self.rule == "next" and not page.of(owner)
        return super().must_leave(page) or [owner] * deserted

    def cannot_leave(self, page, payers):
        if self.rule == "next" and not page.of(self.owner[page]):
            self.pass_on(page, page.present[0].mm.container)
        super().cannot_leave(page, Scheme.must_leave(self, page))


class NextToucher(FirstTouch):
    """What the owner does not map is unmapped first, and stays where it is, charged to nobody."""

    def try_to_free(self, c):
        return self.give_away(c) > 0 or super().try_to_free(c)

    def give_away(self, c):
        given = 0
        for page in c.lists["inactive"][::-1] + c.lists["active"][::-1]:
            if given == self.kernel.cluster or page.of(c) or self.stays(page):
                continue
            if not self.may_leave(page):
                continue
            for pte in page.present:
                self.kernel.unmap_for_reclaim(pte)
            self.given(page)
            given += 1
        return given

    def stays(self, page):
        return any(pte.locked for pte in page.present)

    def given(self, page):
        """The page has been given up."""


class CopyOnReclaim(NextToucher):
    """Likewise, but each container that needs a file's page afterwards makes a copy of its own."""

    def __init__(self, kernel):
        super().__init__(kernel)
        self.given_up = set()  # pages of files
        self.doubles = {}  # (vpage, container) -> page

    def stays(self, page):
        if page.kind != "anon" and (page.kind != "file" or page.dirty or page.writeback):
            return True
        return super().stays(page) or any(pte.shared for pte in page.present)

    def given(self, page):
        if page.kind == "file" and not self.ends_unmapped(page):
            self.given_up.add(page)
        self.kernel.drop_if_unused(page)

    def ends_unmapped(self, page):
        return super().ends_unmapped(page) or page in self.doubles.values()

    def found(self, page, c, shared):
        if page.kind != "file" or shared:
            return page
        own = [copy for (vpage, who), copy in self.doubles.items()
               if who is c and vpage == page.vpage]
        others = [self.doubles[page.vpage, who] for who in self.kernel.containers
                  if (page.vpage, who) in self.doubles]
        return (own + [page] * bool(page.zone) + others + [page])[0]

    def copied(self, page, task, shared):
        c = task.mm.container
        another = page in self.doubles.values() and page is not self.doubles.get((page.vpage, c))
        if shared or not (another or page in self.given_up):
            return None
        copy = Page(page.vpage, "file")
        self.kernel.place(copy, self.kernel.alloc("file", task, c), "inactive")
        self.doubles[page.vpage, c] = copy
        return copy

    def source_left(self, page):
        if page in self.given_up:
            self.kernel.evict(page)

    def written(self, page):
        self.given_up.discard(page)

    def mapped(self, page, c, paid):
        self.given_up.discard(page)
        super().mapped(page, c, paid)

    def unframed(self, page):
        self.given_up.discard(page)
        self.doubles = {at: copy for at, copy in self.doubles.items() if copy is not page}


class Pairs(Scheme):
    """Charges per (page, container); a container at its limit unmaps pages of its own."""

    references = "own"

    def __init__(self, kernel):
        super().__init__(kernel)
        self.walks = kernel.options.get("record") == "walk"
        self.rewalks = kernel.options.get("move") != "stay"
        self.drifts = not self.rewalks

    def join(self, page, c, paid): ...

    def leave(self, page, c): ...

    def mapped(self, page, c, paid):
        if len(page.of(c)) > 1:
            self.kernel.give_back(c, paid)
            return
        if not self.walks:
            c.lists["inactive"].insert(0, page)
        self.join(page, c, paid)

    def unmapped(self, page, c):
        if not page.of(c):
            if not self.walks:
                c.lists["inactive"].remove(page)
            self.leave(page, c)

    def try_to_free(self, c):
        if self.walks:
            return self.unmap_oldest(c, self.kernel.cluster) > 0
        entries, unmapped = c.lists["inactive"], 0
        for _ in range(2 * len(entries)):
            if not entries or unmapped == self.kernel.cluster:
                break
            page = entries[-1]
            if self.keeps(page, c):
                entries.insert(0, entries.pop())
            else:
                self.unmap_own(page, c)
                unmapped += 1
        return unmapped > 0

    def expected(self, c):
        pages = self.kernel.charged_pages(c)
        return sum(self.share(page, c) for page in pages), len(pages)


class EveryContainer(Pairs):
    """Every container with a mapping pays the whole page."""

    def share(self, page, c):
        return self.unit

    def price(self, page, c):
        return 0 if page.of(c) else self.unit

    def join(self, page, c, paid):
        self.settle(c, self.unit, paid)

    def leave(self, page, c):
        self.drop(c, self.unit)


class DualCount(EveryContainer):
    """The same, and beside it a bill on which n containers share a page equally."""

    unit = 720720 * 4096

    def bill(self, c):
        pages = self.kernel.charged_pages(c)
        sharers = [{id(pte.mm.container) for pte in page.present} for page in pages]
        return sum(self.unit // len(crowd) for crowd in sharers)


class Fraction_(Pairs):
    """n containers pay 1/n each."""

    unit = 720720 * 4096

    def __init__(self, kernel):
        super().__init__(kernel)
        self.holders = {}  # page -> containers in order of joining

    def share(self, page, c):
        return self.unit // len(self.holders[page])

    def price(self, page, c):
        return 0 if page.of(c) else self.unit // (len(self.holders.get(page, [])) + 1)

    def join(self, page, c, paid):
        holders = self.holders.setdefault(page, [])
        now = self.unit // (len(holders) + 1)
        for other in holders:
            self.kernel.uncharge(other, self.unit // len(holders) - now)
        holders.append(c)
        self.settle(c, now, paid)

    def leave(self, page, c):
        holders = self.holders[page]
        before = self.unit // len(holders)
        holders.remove(c)
        self.drop(c, before)
        for other in holders:
            self.inherit(page, other, self.unit // len(holders) - before)

    def payers(self, page):
        return self.holders[page]


class Beancounter(Pairs):
    """OpenVZ's ring: shares are powers of two, one split per join, at most two merges per leave."""

    unit = 1 << 24

    def __init__(self, kernel):
        super().__init__(kernel)
        self.rings = {}  # page -> [[container, shift], ...], the head first

    def share(self, page, c):
        return next(self.unit >> shift for holder, shift in self.rings[page] if holder is c)

    def price(self, page, c):
        ring = self.rings.get(page)
        if page.of(c):
            return 0
        return self.unit >> (ring[0][1] + 1) if ring else self.unit

    def join(self, page, c, paid):
        ring, shift = self.rings.setdefault(page, []), 0
        if ring:
            head = ring.pop(0)
            ring.append(head)
            head[1] = shift = head[1] + 1
            self.kernel.uncharge(head[0], self.unit >> shift)
        ring.append([c, shift])
        self.settle(c, self.unit >> shift, paid)

    def leave(self, page, c):
        ring = self.rings[page]
        left = next(entry for entry in ring if entry[0] is c)
        ring.remove(left)
        self.drop(c, self.unit >> left[1])
        if ring and self.double_tail(page, ring) > left[1]:
            self.double_tail(page, ring)

    def payers(self, page):
        return [c for c, _ in self.rings[page]]

    def double_tail(self, page, ring):
        """The tail pays twice its share and becomes the head; returns its shift before."""
        tail = ring.pop()
        ring.insert(0, tail)
        tail[1] -= 1
        self.inherit(page, tail[0], self.unit >> tail[1] + 1)
        return tail[1] + 1


class OpenVz(Beancounter):
    """The ring only counts; maps and forks ask for private address space."""

    asks_for_space = True

    def __init__(self, kernel):
        super().__init__(kernel)
        self.creators = {}  # object -> container that used it first
        self.payers = {}  # page -> container its swap slot is charged to
        root = kernel.trace.containers[0].name
        self.barriers = {"vmguarpages": {}, "oomguarpages": {root: 2**62}}
        self.oom_failures = {}

    def price(self, page, c):
        return 0

    def used(self, thing, c):
        owner = self.creators.get(thing)
        if owner is None or not owner.exists:
            self.creators[thing] = c

    def mapped(self, page, c, paid):
        if page.kind != "shm":
            super().mapped(page, c, paid)

    def unmapped(self, page, c):
        if page.kind != "shm":
            super().unmapped(page, c)

    def forgotten(self, thing):
        """Nameless shared memory has ended."""
        self.creators.pop(thing, None)

    def framed(self, page, c):
        """A page of an object comes into memory."""
        if page.kind == "shm":
            self.used(page.vpage[0], c)
            self.settle(self.creators[page.vpage[0]], self.unit, 0)

    def unframed(self, page):
        if page.kind == "shm":
            self.drop(self.creators[page.vpage[0]], self.unit)

    def slot_taken(self, page):
        if page.kind == "shm":
            self.payers[page] = self.creators[page.vpage[0]]
        elif self.rings.get(page):
            self.payers[page] = self.rings[page][0][0]

    def swapped(self, c):
        below = self.below(c)
        return sum(page.slot and payer in below for page, payer in self.payers.items())

    def private(self, vma):
        kind = self.kernel.trace.objects[vma.object].kind
        return kind == "anon" or (not vma.shared and kind not in ("special", "kernel"))

    def space(self, mm):
        """The private pages of an mm: (object, index)."""
        return {(v.object, n) for v in mm.vmas if self.private(v) for n in range(v.start, v.end)}

    def used_space(self, mm):
        return {v for v, pte in mm.ptes.items() if pte.state == "present" and pte.page}

    def unused(self, c):
        mms = [mm for mm in self.kernel.mms if mm.container is c]
        return sum(len(self.space(mm) - self.used_space(mm)) for mm in mms)

    def grants(self, c, more):
        """HARD: up to the barrier of privvmpages, or of vmguarpages."""
        for a in self.kernel.line(c) if more > 0 else ():
            below = self.below(a)
            kernel = sum(b.kernel for b in below)
            held = (a.rss.usage - kernel * self.unit) // self.unit + more
            held += sum(self.unused(b) for b in below)
            if held > a.rss.limit and held > self.barriers["vmguarpages"].get(a.name, 0):
                a.rss.failcnt += 1
                return False
        return True

    def below(self, c):
        return [b for b in self.kernel.containers if c in self.kernel.line(b)]

    def refuses_map(self, mm, new, vpages):
        """The unused space of the mm as it is, and as it would be."""
        space, used = self.space(mm), self.used_space(mm)
        after = (space - set(vpages)) | (set(vpages) if self.private(new) else set())
        if self.grants(mm.container, len(after - used) - len(space - used)):
            return False
        mm.denied = True
        return True

    def refuses_fork(self, mm, c):
        copied = {v for v in self.used_space(mm) if (vma := mm.vma(v)).has_anon and not vma.shared}
        return not self.grants(c, len(self.space(mm) - copied))

    def force(self, c, units):
        """Nobody looks at a limit of memory."""
        self.kernel.add(c, units)

    def settle(self, c, due, paid):
        self.force(c, due)
        c.css += 1

    def write(self, c, file, written):
        first, *rest = written.decode("latin-1").strip(" \t\n\v\f\r").split(":", 1)
        if not all(text.isdecimal() for text in (first, *rest)):
            return False
        if rest and int(rest[0]) < int(first):
            return False
        if file == "privvmpages":
            c.rss.limit = int(first)
        else:
            self.barriers[file][c.name] = int(first)
        return True

    def fresh(self, c):
        """Made again."""
        for book in (*self.barriers.values(), self.oom_failures):
            book.pop(c.name, None)

    def worst(self):
        """Who is furthest above its promise, if anybody is."""
        promised = self.barriers["oomguarpages"]
        tops = [c for c in self.kernel.containers if len(self.kernel.line(c)) == 1]
        over = [c.rss.usage // self.unit + self.swapped(c) - promised.get(c.name, 0) for c in tops]
        return tops[over.index(max(over))] if max(over) > 0 else None

    def unlisted(self, c):
        return sum(p.kind == "shm" and self.creators[p.vpage[0]] is c for p in self.kernel.resident)

    def expected(self, c):
        rings = [p for p in self.kernel.charged_pages(c) if p.kind != "shm"]
        shm = self.unlisted(c)
        return sum(self.share(p, c) for p in rings) + self.unit * shm, len(rings) + shm


class EveryMapping(Scheme):
    """Every page-table entry is charged; at the limit the mapper dies."""

    rewalks = True
    kills_at_limit = True

    def price(self, page, c):
        return 1

    def mapped(self, page, c, paid):
        if not paid:
            self.kernel.add(c, 1)
            c.css += 1

    def unmapped(self, page, c):
        self.drop(c, 1)

    def refuses_fork(self, mm, c):
        sizes = [v.end - v.start for v in mm.vmas if v.has_anon and not v.shared]
        return any(not self.kernel.fits(c.rss, size + 1) for size in sizes)

    def expected(self, c):
        n = sum(len(page.of(c)) for page in self.kernel.charged_pages(c))
        return n, n


class VirtualSwap(Scheme):
    """Every mapping is charged; over the limit pages are out for the guest, and stay in memory."""

    rewalks = True
    references = "own"

    def __init__(self, kernel):
        super().__init__(kernel)
        self.out = []  # (page, container), the last one put out first
        self.slots = set()  # (page, container)
        self.evicting = False
        self.penalties = {}

    def price(self, page, c):
        return 1

    def mapped(self, page, c, paid):
        c.css -= paid > 0
        self.kernel.add(c, 1 - paid)
        if len(page.of(c)) > 1:
            return
        c.lists["inactive"].insert(0, page)
        if (page, c) not in self.out:
            c.css += 1
            return
        self.out.remove((page, c))
        self.penalise(c)
        how = self.kernel.options.get("slots", "half")
        if how == "freed" or (how == "half" and 2 * self.taken(c) > self.room(c)):
            self.slots.discard((page, c))

    def unmapped(self, page, c):
        self.kernel.uncharge(c, 1)
        if page.of(c):
            return
        c.lists["inactive"].remove(page)
        if self.evicting:
            self.out.insert(0, (page, c))
            if page.kind == "anon":
                self.slots.add((page, c))
            self.penalise(c)
        else:
            self.end(page, c)

    def end(self, page, c):
        """Nothing is remembered of this page and guest."""
        c.css -= 1
        self.slots.discard((page, c))

    def lost(self, wanted):
        for page, c in [pair for pair in self.out if wanted(*pair)]:
            self.out.remove((page, c))
            self.end(page, c)

    def taken(self, c):
        return sum(owner is c for _, owner in self.slots)

    def room(self, c):
        return c.vswap_limit if c.vswap_limit is not None else c.rss.limit

    def penalise(self, c):
        self.penalties[c.name] = self.penalties.get(c.name, 0) + 5_000_000

    def try_to_free(self, c):
        entries = c.lists["inactive"]
        for _ in range(2 * (len(entries) + sum(owner is c for _, owner in self.out))):
            if not entries:
                break
            page = entries[-1]
            slot = page.kind != "anon" or (page, c) in self.slots or self.taken(c) < self.room(c)
            if not self.keeps(page, c):
                if not slot:
                    break
                self.evicting = True
                for pte in page.of(c):
                    self.kernel.unmap_for_reclaim(pte)
                self.evicting = False
                return True
            entries.insert(0, entries.pop())
        return False

    def host_is_short(self, zone):
        """What is out goes first, in the order of the guests, oldest first. Returns pages freed."""
        freed = 0
        for c in self.kernel.containers:
            for page, owner in self.out[::-1]:
                enough = zone.free >= zone.high
                if owner is c and not enough and page.lru is not None and page.zone is zone:
                    if page.mapcount:
                        continue
                    page.referenced = page.active = False
                    self.kernel.off_lru(page)
                    freed += self.kernel.shrink_pages([page], None)
        return freed

    def expected(self, c):
        pages = self.kernel.charged_pages(c)
        held = len(pages) + sum(owner is c for _, owner in self.out)
        return sum(len(page.of(c)) for page in pages), held


class February(EveryMapping):
    """Balbir Singh's first controller: five tries for 20% of the limit, then the mapper dies."""

    only_leaders_move = True
    zero_is_none = True

    def refuses_fork(self, mm, c):
        return False

    def try_to_free(self, c):
        return self.push_back(c, 1)

    def push_back(self, c, wanted):
        for _ in range(5):
            self.unmap_oldest(c, max(1, c.rss.limit * 20 // 100))
            if self.kernel.fits(c.rss, wanted):
                return True
        return False

    def limit_written(self, c):
        return self.kernel.fits(c.rss, 0) or self.push_back(c, 0)


class ZonePerContainer(Scheme):
    """Nobody pays; each container has a zone of its own, as large as its limit."""

    own_zones = True
    orphan = "merge"

    def home(self, container, thing, shared):
        """The zone a page of an object must come from; None: any node's."""
        return container.zone


class SharedZone(ZonePerContainer):
    """What is shared goes to a zone of the container's set."""

    def home(self, container, thing, shared):
        by, sets = self.kernel.options.get("by", "flag"), self.kernel.sets
        if by == "flag":
            return container.shared if shared and container.shared else container.zone
        path = self.kernel.trace.objects[thing].path
        declaring = [one for one in sets if not one.pooled and one.declares(path, by)]
        mine = [one for one in declaring if container in one.members]
        for one in mine or declaring:
            return one.zone
        return container.zone


class Partition(ZonePerContainer):
    """A machine for each container: it sees its own copy of every object."""

    copies = True
    orphan = "destroy"


SCHEMES = {
    "none": Scheme, "first_touch": FirstTouch, "hand_over": HandOver, "beancounter": Beancounter,
    "fraction": Fraction_, "every_container": EveryContainer, "every_mapping": EveryMapping,
    "zone": ZonePerContainer, "dual_count": DualCount, "first_allocation": FirstAllocation,
    "file_owner": FileOwner,
    "shared_zone": SharedZone, "partition": Partition,
    "next_toucher": NextToucher, "copy_on_reclaim": CopyOnReclaim, "february_2007": February,
    "virtual_swap": VirtualSwap, "openvz": OpenVz,
}


# -- the mechanism ---------------------------------------------------------------------------------


class Kernel:
    """The machine: state, then limits, memory, reclaim, OOM, faults, and one method per op."""

    newest = "active"  # the list of a new anonymous page

    def __init__(self, trace: Trace, scheme: str, machine=None, knobs=None, options=None):
        self.trace, self.options = trace, options or {}
        for name, default in DEFAULTS.items():
            source = machine if name in ("nodes", "frames", "swap", "zone_sets") else knobs
            got = source.get(name) if isinstance(source, dict) else getattr(source, name, None)
            setattr(self, name, default if got is None else got)
        self.quirks = parse_quirks(self.quirks)
        if self.pagevec:
            raise NotImplementedError("the twin knows pagevec 0 only")
        if SCHEMES[scheme].asks_for_space:  # not the patch's kernel
            self.quirks = frozenset()
        if SCHEMES[scheme].resident:  # these are about payments at mapping time
            self.quirks -= {"trial_charge", "double_release", "leak_frames", "stale_pointer"}
        self.scheme = SCHEMES[scheme](self)
        self.tree = self.options.get("hierarchy", self.scheme.hierarchy) == "tree"
        self.cache_rule = self.options.get("cache", "free")
        self.kernel_memory = self.options.get("kernel_memory") == "charged"
        self.grows = self.options.get("full") == "grow"
        self.row, self.outcome, self.victims, self.hung = 0, "hit", [], False
        self.swap_used = self.warnings = self.double_releases = 0
        self.resident = {}  # every page with a frame -> None
        self.cache = {}  # (vpage, whose copy) -> an object's own page
        self.writebacks = []  # in the order they were started
        self.leaving = {}  # pages that everybody may lose at the end of the event -> None
        self.broken = set()  # vpages whose next disk read fails
        self.shm_home = {}  # (mapped nameless shm object, whose copy) -> container charged for it
        self.file_frames, self.descriptions = [], 0
        self.mms = []
        self.bases = [0]
        for thing in trace.objects:
            self.bases.append(self.bases[-1] + thing.pages)
        self.make_containers()
        self.make_zones()
        self.make_tasks()

    def make_containers(self):
        self.containers = [Container(row.name, row) for row in self.trace.containers]
        named = {c.name: c for c in self.containers}
        for c in self.containers:
            c.folder = named[c.row.parent] if c.row.parent else None
            self.reset(c)
        for c in self.trace.made(Op.mkdir):
            self.containers[c].exists = False
        self.root = self.containers[0]

    def reset(self, c):
        """A new container: nothing charged, the limits of the table."""
        most = 2 ** (self.word - 1) - 1
        limits = (c.row.limit, c.row.numproc_limit, c.row.numfiles_limit)
        c.rss, c.numproc, c.numfiles = (Counter(most if n is None else n) for n in limits)
        c.rss.unit, c.rss.zero_is_none = self.scheme.unit, self.scheme.zero_is_none
        c.cache = Counter(1 << 30, zero_is_none=self.scheme.zero_is_none)
        c.exists, c.css = True, 0
        c.mems, c.moves_memory, c.spreads = list(range(self.nodes)), False, False
        if self.tree and c.folder is not self.containers[0]:  # the root counts for itself only
            c.parent = c.folder

    def make_zones(self):
        left = [self.frames] * self.nodes
        self.make_sets()
        if self.scheme.own_zones:
            self.carve_zones(left)
        self.zones = [self.node_zone(node, frames) for node, frames in enumerate(left)]
        more = [c.zone for c in self.containers] + [one.zone for one in self.sets]
        self.all_zones = list(dict.fromkeys(self.zones + [zone for zone in more if zone]))

    def make_sets(self):
        self.sets = []
        names = {c.name: c for c in self.containers}
        shares = isinstance(self.scheme, SharedZone)
        for row in self.zone_sets:
            if self.scheme.own_zones and (row.pooled or shares):
                members = [names[name] for name in row.containers]
                self.sets.append(Set(row.frames, members, row.paths, row.pooled))
        if not self.zone_sets and shares and self.containers[1:]:
            self.sets = [Set(0, self.containers[1:], ("/usr", "/lib", "/bin"), False)]

    @staticmethod
    def node_zone(node, frames):
        least = max(1, frames >> 7)
        return Zone(node, frames, least, least + least // 4 + 1, least + least // 2 + 2)

    def carve_zones(self, left):
        """Limits first, in table order; half of what is left goes to containers without one."""
        homes = {}
        for row in reversed(self.trace.tasks):
            homes[row.container] = row.node % self.nodes
        pooled = [c for one in self.sets if one.pooled for c in one.members]
        alone = [c for c in self.containers[1:] if c not in pooled]
        greedy = [c for c in alone if self.unlimited(c) and c.exists and not self.grows]

        def carve(node, frames):
            frames = min(self.whole(frames) * self.granule, left[node])  # the engine refuses
            left[node] -= frames
            return Zone(node, frames, 0, 0, self.cluster)

        for c in alone:
            if c not in greedy:
                wants_any = self.unlimited(c) or c.row.limit > 0
                first = int(wants_any) if self.grows else c.row.limit
                c.zone = carve(homes.get(c.name, 0), first if c.exists else 0)
        for one in self.sets:
            one.zone = carve(homes.get(one.members[0].name, 0), one.frames)
            for c in one.members:
                if one.pooled:
                    c.zone = one.zone
                else:
                    c.shared = one.zone
        halves = [n // 2 for n in left]
        for c in greedy:
            node = homes.get(c.name, 0)
            sharers = sum(homes.get(other.name, 0) == node for other in greedy)
            c.zone = carve(node, halves[node] // sharers // self.granule * self.granule)
        for one in self.sets:
            if not one.frames:  # half of what the others have left
                node = one.zone.node
                one.zone.frames = left[node] // 2 // self.granule * self.granule
                left[node] -= one.zone.frames

    def whole(self, frames):
        """Granules that hold so many frames."""
        return -(-frames // self.granule)

    def unlimited(self, c):
        return c.row.limit is None or (c.row.limit == 0 and "limit_zero" in self.quirks)

    def make_tasks(self):
        self.tasks = [Task(row) for row in self.trace.tasks]
        self.processes = []  # leaders, in creation order
        by_name = {c.name: c for c in self.containers}
        for t in self.trace.initial_tasks():
            task = self.tasks[t]
            task.container = task.home = by_name[task.row.container]
            for a in self.folders(task.home):
                a.numproc.usage += 1
            task.node = task.row.node % self.nodes
            task.mm, task.files = self.new_mm(task.container), Files()
            self.bear(task, task)
            for _ in range(self.task_frames):  # what is there: nobody is killed before the start
                zones = self.zonelist(task.node, task.container.zone, task.container)
                zone = next((z for z in zones if z.free > 0), None)
                if not zone and self.grows and task.container.zone and self.grow(zones[0]):
                    zone = zones[0]
                if zone:
                    zone.used["kernel"] += 1
                    task.frames.append(KernelFrame(self.pin(zone), task.container))
                    if self.kernel_memory:
                        self.add(task.container, self.scheme.unit)
                        task.container.kernel += 1

    def new_mm(self, container):
        mm = Mm(container)
        container.css += 1
        self.mms.append(mm)
        return mm

    def bear(self, task, leader):
        task.state, task.leader = "alive", leader
        (self.processes if leader is task else leader.threads).append(task)

    def note(self, outcome):
        """The outcome of the event is the highest one noted."""
        if RANK[outcome] > RANK[self.outcome]:
            self.outcome = outcome

    # -- limits ------------------------------------------------------------------------------------

    def fits(self, counter, units):
        if counter.limit == 0 and (counter.zero_is_none or "limit_zero" in self.quirks):
            return True
        return counter.usage + units <= counter.limit * counter.unit

    def charge_one(self, counter):
        """One task or file; False at the limit."""
        if not self.fits(counter, 1):
            counter.failcnt += 1
            return False
        counter.usage += 1
        return True

    def folders(self, c):
        """A container and, in a tree, the directories it is in, without the root."""
        found = [c]
        while self.tree and found[-1].folder not in (None, self.containers[0]):
            found.append(found[-1].folder)
        return found

    def count_task(self, c):
        """One more task; whose limit is reached counts the failure."""
        for a in self.folders(c):
            if not self.fits(a.numproc, 1):
                a.numproc.failcnt += 1
                return False
        for a in self.folders(c):
            a.numproc.usage += 1
        return True

    def uncount_task(self, c):
        for a in self.folders(c):
            self.take_off(a.numproc, 1)

    def take_off(self, counter, units):
        """Uncharge; below zero it warns and stops at zero."""
        self.warnings += counter.usage < units
        counter.usage -= min(units, counter.usage)

    def uncharge(self, c, units):
        for a in self.line(c):
            self.take_off(a.rss, units)

    def force(self, c, units):
        """A charge that cannot be refused: it only counts as a failure when over the limit."""
        self.add(c, units)
        c.rss.failcnt += not self.fits(c.rss, 0)

    def pay(self, c, current, page):
        """Charge c for a mapping to come; returns the units paid. Dies and Hang as they say."""
        self.uncache(page)
        units = self.scheme.price(page, c)
        if units:
            self.take(c, units, current)
            c.css += 1
        return units

    def take(self, c, units, current):
        """Charge c; at the limit reclaim, then kill."""
        while full := self.lacks_room(c, units):
            full.rss.failcnt += 1
            joint = self.cache_rule == "joint"
            if joint and self.shrink_cache(full):
                continue
            if self.scheme.try_to_free(full) or (joint and self.shrink_cache(full)):
                continue
            if "no_recheck" not in self.quirks and not self.lacks_room(c, units):
                continue
            if self.scheme.kills_at_limit:
                raise Dies
            self.oom(full, current)
        self.add(c, units)

    # pages in the caches that nobody maps (+PC)

    def payer_of_cached(self, page):
        return next((c for c in self.containers if page in c.cached), None)

    def lies_idle(self, page):
        if not page.zone or page.mapcount or page.kind in ("special", "kernel"):
            return False
        return page.kind != "anon" or len(page.mappers) > 0

    def pay_cached(self, c, current):
        """Room for one more cached page of c."""
        if self.cache_rule == "joint":
            self.take(c, self.scheme.unit, current)
        while self.cache_rule == "separate" and not self.fits(c.cache, 1):
            c.cache.failcnt += 1
            if not self.shrink_cache(c):
                if self.scheme.kills_at_limit:
                    raise Dies
                self.oom(c, current)

    def cache_page(self, page, c):
        """Its place is paid for."""
        c.cached.insert(0, page)
        c.cache.usage += 1

    def fall_to(self, page, c):
        """Nobody maps the page now: c pays, unasked."""
        if self.cache_rule == "free" or self.payer_of_cached(page) or not self.lies_idle(page):
            return
        self.cache_page(page, c)
        if self.cache_rule == "joint":
            self.force(c, self.scheme.unit)
        elif not self.fits(c.cache, 0):
            c.cache.failcnt += 1

    def uncache(self, page):
        c = self.payer_of_cached(page)
        if c:
            c.cached.remove(page)
            c.cache.usage -= 1
            if self.cache_rule == "joint":
                self.uncharge(c, self.scheme.unit)

    def shrink_cache(self, c):
        """Pages freed; waits for the disk if there is nothing else to be had."""
        freed = self.drop_cached(c)
        if not freed and self.writebacks:
            self.finish_writebacks()
            freed = self.drop_cached(c)
        return freed

    def drop_cached(self, c):
        freed, written = 0, len(self.writebacks)
        for page in c.cached[::-1]:
            if freed + len(self.writebacks) - written >= self.cluster:
                break
            if not page.held and not page.writeback and page.lru is not None:
                page.active = page.referenced = False
                self.off_lru(page)
                freed += self.shrink_pages([page], None)
        return freed

    def now_mapped(self, page, c, paid):
        self.uncache(page)
        self.scheme.mapped(page, c, paid)

    def now_unmapped(self, page, c):
        self.scheme.unmapped(page, c)
        if not page.holds:
            self.fall_to(page, c)

    def line(self, c):
        """A container and those that are charged along with it."""
        found = []
        while c:
            found.append(c)
            c = c.parent
        return found

    def lacks_room(self, c, units):
        """The first in line without room, or None."""
        if self.scheme.asks_for_space:
            return None
        return next((a for a in self.line(c) if not self.fits(a.rss, units)), None)

    def add(self, c, units):
        for a in self.line(c):
            a.rss.usage += units

    def pay_frame(self, page, c, current, zone, kind):
        """Resident schemes: (payer, units) for a frame just taken, which goes back on failure."""
        if page.kind in ("special", "kernel"):
            return None, 0
        if self.cache_rule != "free":
            try:
                self.pay_cached(c, current)
            except Dies:
                zone.used[kind] -= 1
                raise
            return c, 0
        if not self.scheme.resident:
            return None, 0
        payer = self.payer(page, c)
        try:
            return payer, self.pay(payer, current, page)
        except Dies:
            zone.used[kind] -= 1
            raise

    def payer(self, page, c):
        return self.scheme.payer(page, c)

    def born(self, page, payer, paid):
        if payer is not None and self.cache_rule != "free":
            self.cache_page(page, payer)
        elif payer is not None:
            self.scheme.born(page, payer, paid)

    def pay_mapping(self, c, current, page):
        return 0 if self.scheme.resident else self.pay(c, current, page)

    def give_back(self, c, paid):
        if paid:
            self.scheme.drop(c, paid)

    def parse_limit(self, written):
        """The number in the bytes, None for EINVAL."""
        text = written.split(b"\0")[0]
        if any(byte not in b"0123456789" for byte in text):
            return None
        return int(text or b"0") % 2**self.word

    # -- frames and pages --------------------------------------------------------------------------

    def zonelist(self, node, home, container):
        if home:
            return [home]
        nodes = [(node + i) % self.nodes for i in range(self.nodes)]
        return [self.zones[n] for n in nodes if n in container.mems]

    def alloc(self, kind, current, container, home="own", node=None):
        """Take a frame for a task of `container`; returns its zone."""
        home = container.zone if home == "own" else home
        zones = self.zonelist(current.node if node is None else node, home, container)
        idle = False
        while True:
            zone = next((z for z in zones if z.free > z.low), None)
            if zone is None:
                if home and self.grows and self.grow(home):
                    continue
                if home:
                    container.rss.failcnt += 1
                freed = sum([self.reclaim_zone(z) for z in zones])
                zone = next((z for z in zones if z.free > z.min), None)
                if zone is None and freed:
                    zone = next((z for z in zones if z.free > 0), None)
            if zone:
                zone.used[kind] += 1
                return zone
            if home and not freed and not idle:  # a first pass over pages in use only ages them
                idle = True
                continue
            if not home and len(container.mems) < self.nodes:  # its cpuset is full
                self.mark_victim(current, current)
                raise Dies
            self.oom(container if home else None, current, strictly=True)

    def grow(self, zone):
        """A zone below its limit gets a granule that the node or another container's zone has."""
        c = next((c for c in self.containers[1:] if c.zone is zone), None)
        if any(one.zone is zone for one in self.sets):
            return False
        if not self.endless(c.rss.limit) and zone.frames >= c.rss.limit:
            return False
        owned = [other.zone for other in self.containers[1:] if self.own(other)]
        for giver in [self.zones[zone.node], *owned]:
            if giver.node == zone.node and giver is not zone and self.spare(giver):
                giver.frames -= self.granule
                zone.frames += self.granule
                return True
        return False

    def own(self, c):
        """Does it have a zone for itself?"""
        return c.zone and all(one.zone is not c.zone for one in self.sets)

    def endless(self, limit):
        return limit >= 1 << 30 or (limit == 0 and "limit_zero" in self.quirks)

    def spare(self, zone):
        """Granules a zone could give away just now."""
        untouched = zone.frames // self.granule - len(zone.open) - len(zone.full)
        return max(0, min((zone.free - zone.low) // self.granule, untouched))

    def set_size(self, c, granules):
        """False if it cannot be: too few free granules, pinned ones, pages that stay."""
        zone, node = c.zone, self.zones[c.zone.node]
        more = granules - zone.frames // self.granule
        if more > self.spare(node):
            return False
        if more < 0:
            if len(zone.open) + len(zone.full) > granules:
                return False
            zone.high, high = -more * self.granule, zone.high
            passes = [True, True]
            while zone.free < zone.high and any(passes[-2:]):
                passes.append(self.reclaim_zone(zone) > 0)
            enough, zone.high = zone.free >= zone.high, high
            if not enough:
                return False
        zone.frames += more * self.granule
        node.frames -= more * self.granule
        return True

    def pin(self, zone):
        """The granule that a new unmovable frame of a zone lies in."""
        spread = self.unmovable == "spread"
        untouched = zone.frames // self.granule - len(zone.open) - len(zone.full)
        if not zone.open or (spread and untouched > 0):
            granule = Granule(zone)
            zone.open.append(granule)
        else:
            granule = zone.open[0]
        granule.pins += 1
        if granule.pins == self.granule:
            zone.open.remove(granule)
            zone.full.append(granule)
        elif spread and zone.open[0] is granule:
            zone.open.append(zone.open.pop(0))
        return granule

    def unpin(self, granule):
        zone = granule.zone
        if granule.pins == self.granule:
            zone.full.remove(granule)
            zone.open.append(granule)
        granule.pins -= 1
        if not granule.pins:
            zone.open.remove(granule)

    def place(self, page, zone, which=None):
        """The page gets a frame of that zone, clear flags, and a place on an LRU list if named."""
        page.zone = zone
        if page.kind in ("special", "kernel"):
            page.granule = self.pin(zone)
        page.active, page.referenced, page.dirty = which == "active", False, False
        self.resident[page] = None
        if which:
            self.to_lru(page, which)

    def kernel_frame(self, current, container):
        """A frame for the kernel on behalf of a container, charged where kernel memory is."""
        zone = self.alloc("kernel", current, container)
        self.pay_kernel(container, current, zone)
        return KernelFrame(self.pin(zone), container)

    def pay_kernel(self, container, current, zone):
        if self.kernel_memory:
            try:
                self.take(container, self.scheme.unit, current)
            except Dies:
                zone.used["kernel"] -= 1
                raise
            container.kernel += 1

    def drop_kernel_frame(self, frame):
        frame.zone.used["kernel"] -= 1
        self.unpin(frame.granule)
        if self.kernel_memory:
            self.uncharge(frame.payer, self.scheme.unit)
            frame.payer.kernel -= 1

    def new_anon_page(self, vpage, current, container):
        page = Page(vpage, "anon")
        self.place(page, self.alloc("anon", current, container))
        return page

    def evict(self, page):
        """The page leaves memory; a swap slot stays."""
        self.uncache(page)
        self.leaving.pop(page, None)
        if self.scheme.resident:
            self.scheme.gone(page)
        self.scheme.unframed(page)
        page.zone.used[FRAME_KIND.get(page.kind, page.kind)] -= 1
        if page.granule:
            self.unpin(page.granule)
            page.granule = None
        self.off_lru(page)
        if page.writeback:
            self.writebacks.remove(page)
        page.zone, page.writeback = None, False
        page.active = page.referenced = page.dirty = False
        del self.resident[page]
        if page.kind != "anon":
            self.scheme.lost(lambda p, _: p is page)

    def destroy_page(self, page):
        if page.zone:
            self.evict(page)
        self.scheme.lost(lambda p, _: p is page)
        self.free_slot(page)

    def drop_if_unused(self, page):
        """An anonymous page ends with its last entry, present or swapped."""
        if self.scheme.ends_unmapped(page) and not page.mappers:
            self.uncache(page)
            if not page.held:
                self.destroy_page(page)

    @contextmanager
    def hold(self, page, c):
        """The fault's own reference: the page cannot be freed meanwhile; c's, if nobody maps it."""
        page.holds += 1
        try:
            yield
        finally:
            page.holds -= 1
            if page.zone:
                self.drop_if_unused(page)
                self.fall_to(page, c)

    def take_slot(self, page):
        if page.slot or self.swap_used >= self.swap:
            return page.slot
        self.swap_used += 1
        page.slot = True
        self.scheme.slot_taken(page)
        return True

    def free_slot(self, page):
        self.swap_used -= page.slot
        page.slot = False

    def off_lru(self, page):
        if page.lru is not None:
            page.lru.remove(page)
            page.lru = None

    def to_lru(self, page, which, tail=False):
        self.off_lru(page)
        page.lru = page.zone.lists[which]
        page.lru.insert(len(page.lru) if tail else 0, page)

    def mark_accessed(self, page):
        if not page.active and page.referenced:
            if page.lru is not None:
                page.active, page.referenced = True, False
                self.to_lru(page, "active")
                self.scheme.activated(page)
        else:
            page.referenced = True

    def swap_full(self, page):
        return 2 * self.swap_used > self.swap

    def touched_by_fault(self, page):
        self.mark_accessed(page)

    def finish_writebacks(self):
        for page in self.writebacks:
            page.writeback = False
            if page.lru is not None and not page.active:
                self.to_lru(page, "inactive", tail=True)
        self.writebacks = []

    def read_fails(self, vpage):
        """Does this disk read fail? Only once."""
        fails = vpage in self.broken
        self.broken.discard(vpage)
        return fails

    # -- reclaim -----------------------------------------------------------------------------------

    def whose(self, c):
        """Whose page-table entries count as references in a reclaim by c; None: everybody's."""
        return c if (self.references or self.scheme.references) == "own" else None

    def page_young(self, page, whose):
        """Any young entry, and, when everybody counts, the page's own bit; clears all of them."""
        entries = page.of(whose) if whose else page.present
        found = any(pte.young for pte in entries) or (page.referenced and not whose)
        for pte in entries:
            pte.young = False
        page.referenced = page.referenced and bool(whose)
        return found

    def page_referenced(self, page, whose):
        entries = page.of(whose) if whose else page.present
        found = page.referenced or any(pte.young or (pte.locked and pte.shared) for pte in entries)
        for pte in entries:
            pte.young = False
        page.referenced = False
        return found

    def is_in_use(self, page, whose):
        """The active list's question: does a mapped page stay active?"""
        if not page.mapcount:
            return False
        if self.swap == 0 and page.kind == "anon":
            return True
        return self.page_referenced(page, whose)

    def isolate_from_zone(self, page):
        """A container's reclaim takes a page; the zone's counter is not told."""
        if "zone_counters" in self.quirks:
            which = "active" if page.lru is page.zone.lists["active"] else "inactive"
            page.zone.phantom[which] += 1
        self.off_lru(page)

    def copy(self, container):
        """Whose copy of an object a container sees; None where there is only one."""
        return container if self.scheme.copies else None

    def object_mapped(self, thing, copy):
        mms = [mm for mm in self.mms if copy in (None, mm.container)]
        return any(vma.object == thing for mm in mms for vma in mm.vmas)

    def shrink_pages(self, pages, whose, unmap_only=False):
        """shrink_page_list; survivors return to the LRU list of their flag. Returns pages freed."""
        freed = sum([self.shrink_page(page, whose, unmap_only) for page in pages])
        for page in pages:
            if page.zone:
                self.to_lru(page, "active" if page.active else "inactive")
        return freed

    def shrink_page(self, page, whose, unmap_only):
        """True if the page was freed; with `unmap_only`, if nobody maps it now."""
        if page.writeback:
            return False
        referenced = self.page_referenced(page, whose)
        used = page.mapcount or page.slot or self.object_mapped(page.vpage[0], page.copy)
        if referenced and used:
            return self.activate(page)
        if page.kind == "anon" and not page.slot:
            if not self.take_slot(page):
                return self.activate(page)
            page.dirty = True
        if not self.try_to_unmap(page, whose):
            return self.activate(page)
        if unmap_only:
            return True
        if page.dirty and (referenced or page.held or not self.pageout(page)):
            return False
        if page.held:
            return False
        self.evict(page)
        return True

    @staticmethod
    def activate(page):
        page.active = True
        return False

    def try_to_unmap(self, page, whose):
        """Every entry of every mm; stops at a locked or young one (the earlier ones stay gone).

        Where only own references count, foreign young bits do not stop it.
        """
        for pte in page.present:
            if pte.locked or (pte.young and whose is None):
                pte.young = False
                return False
            self.unmap_for_reclaim(pte)
        return True

    def unmap_for_reclaim(self, pte):
        page = pte.page
        page.dirty = page.dirty or pte.dirty
        if page.kind == "anon":
            pte.state, pte.young, pte.writable, pte.dirty = "swap", False, False, False
        else:
            page.mappers.remove(pte)
            del pte.mm.ptes[pte.vpage]
        self.now_unmapped(page, pte.mm.container)

    def pageout(self, page):
        """Write a dirty page; True if it is clean at once."""
        if page.kind == "shm" and not self.take_slot(page):
            return self.activate(page)
        page.dirty = False
        if self.swap_write == "sync":
            return True
        page.writeback = True
        self.writebacks.append(page)
        return False

    def reclaim_zone(self, zone):
        """The machine's own reclaim of one zone; returns pages freed."""
        freed = self.scheme.host_is_short(zone)
        for priority in range(12, -1, -1):
            if zone.free >= zone.high:
                break
            n = {which: self.quota(zone, which, priority) for which in zone.lists}
            while n["active"] or n["inactive"]:
                part = {which: min(left, self.cluster) for which, left in n.items()}
                n = {which: n[which] - part[which] for which in n}
                self.shrink_zone_active(zone, part["active"], priority)
                taken = self.isolate_zone(zone, "inactive", part["inactive"])
                freed += self.shrink_pages(taken, None)
        return freed

    def quota(self, zone, which, priority):
        zone.scan[which] += (len(zone.lists[which]) + zone.phantom[which] >> priority) + 1
        if zone.scan[which] < self.cluster:
            return 0
        n, zone.scan[which] = zone.scan[which], 0
        return n

    def isolate_zone(self, zone, which, n):
        taken = zone.lists[which][::-1][:n]
        for page in taken:
            self.off_lru(page)
        return taken

    def shrink_zone_active(self, zone, n, priority):
        mapped = sum(page.mapcount > 0 for page in self.resident)
        share = 100 * mapped // (self.nodes * self.frames)
        reclaim_mapped = share // 2 + (100 >> priority) + self.swappiness >= 100
        for page in self.isolate_zone(zone, "active", n):
            if page.mapcount and (not reclaim_mapped or self.is_in_use(page, None)):
                self.to_lru(page, "active")
            else:
                page.active = False
                self.to_lru(page, "inactive")

    # -- out of memory -----------------------------------------------------------------------------

    def oom(self, c, current, strictly=False):
        """Kill somebody. Dies when current is the victim, Hang when nothing can be done."""
        worst = self.scheme.worst() if self.scheme.asks_for_space and c is None else None
        victim = self.select(worst, True) if worst else None
        if victim:
            self.scheme.oom_failures[worst.name] = self.scheme.oom_failures.get(worst.name, 0) + 1
        else:
            victim = self.select(c, strictly)
        if victim == "abort":
            done = False
        else:
            done = self.kill_process(victim or current, current)
        if current.memdie:
            raise Dies
        if victim == "abort" or (not done and "hang" in self.quirks):
            raise Hang
        if not done:
            raise Dies

    def walk(self):
        """Processes in creation order, each followed by its threads."""
        return [task for leader in self.processes for task in (leader, *leader.threads)]

    def select(self, c, strictly):
        chosen, best = None, 0
        for task in self.walk():
            if task.mm is None or task.row.init:
                continue
            if task.memdie:
                if "coupling" in self.quirks:
                    return "abort"
                continue
            other = task.mm.container
            outsider = c is not None and other is not c and not (c.zone and other.zone is c.zone)
            if c and self.scheme.asks_for_space:
                outsider = c not in self.line(other)
            if outsider and (strictly or "outsiders" not in self.quirks):
                continue
            if task.row.oom_adj == OOM_DISABLE:
                continue
            points = 0 if outsider else self.badness(task, self.score(task, c))
            if points > best or chosen is None:
                chosen, best = task, points
        return chosen

    def score(self, task, c):
        """What a task is to be blamed for: its size, or pages it maps (all, or those c pays)."""
        rule = self.options.get("oom_score", "size")
        if rule == "size" or c is None:
            points = task.total_vm
            for child in task.children:
                if child.mm is not None and child.mm is not task.mm:
                    points += child.total_vm // 2 + 1
            return points
        pages = [pte.page for pte in task.mm.ptes.values() if pte.state == "present"]
        if rule == "charged":
            pages = [page for page in pages if page.kind != "special"]
            if self.scheme.single_owner:
                payers = [self.scheme.owner.get(page) for page in pages]
                return sum(c in self.line(payer) for payer in payers)
        return len(pages)

    @staticmethod
    def badness(task, points):
        row = task.row
        points //= isqrt(row.cpu >> SHIFT_HZ + 3) or 1
        points //= isqrt(isqrt(row.run >> 10)) or 1
        points *= 2 if row.nice > 0 else 1
        points //= 4 if row.root else 1
        points //= 4 if row.rawio else 1
        return points << row.oom_adj if row.oom_adj > 0 else points >> -row.oom_adj

    def kill_process(self, task, current):
        """A child dies instead, if there is one; False when nobody may die."""
        for child in task.children:
            near = "children_first" in self.quirks or (
                child.mm is not None and child.mm.container is task.mm.container
            )
            if child.killable and child.mm is not task.mm and near and self.may_die(child):
                return self.mark_victim(child, current)
        return self.may_die(task) and self.mark_victim(task, current)

    @staticmethod
    def may_die(task):
        return task.row.oom_adj != OOM_DISABLE and not task.row.init

    def mark_victim(self, task, current):
        task.memdie = True
        self.victims.append(task.row.name)
        if task is not current:
            self.end(task)
        return True

    def kill(self, task):
        """The current task, whose fault failed."""
        self.note("killed")
        if not task.memdie:
            self.victims.append(task.row.name)
        task.memdie = True
        self.end(task)

    def end(self, task):
        """Exit, unless it was killed and never finishes."""
        if task.memdie and task.row.stuck:
            return
        task.state = "zombie"
        self.release_files(task.files)
        mm, task.mm = task.mm, None
        self.release_mm(mm)
        task.container = self.root

    # -- mappings ----------------------------------------------------------------------------------

    def map_page(self, mm, vpage, page, paid, **flags):
        pte = mm.ptes[vpage] = Pte(mm, vpage, page, "present", **flags)
        page.mappers.append(pte)
        if page.kind != "special":
            self.now_mapped(page, mm.container, paid)

    def zap(self, pte):
        """Remove an entry of any sort."""
        del pte.mm.ptes[pte.vpage]
        page = pte.page
        if page is None or pte.state == "moving":
            return
        if pte.state == "present":
            if pte.young and page.kind in ("file", "shm", "ramfs"):
                self.mark_accessed(page)
            page.dirty = page.dirty or pte.dirty
        page.mappers.remove(pte)
        if pte.state == "present" and page.kind != "special":
            self.now_unmapped(page, pte.mm.container)
        self.drop_if_unused(page)

    def release_mm(self, mm):
        mm.users -= 1
        if mm.users:
            return
        for vpage in sorted(mm.ptes):
            self.zap(mm.ptes[vpage])
        gone, mm.vmas = {vma.object for vma in mm.vmas}, []
        for frame in mm.tables.values():
            self.drop_kernel_frame(frame)
        mm.container.css -= 1
        self.mms.remove(mm)
        self.left_by_all(mm.container)
        for thing in sorted(gone):
            self.release_shm(thing, self.copy(mm.container))

    def left_by_all(self, c):
        if not any(mm.container is c for mm in self.mms):
            self.scheme.lost(lambda _, owner: owner is c)

    def release_shm(self, thing, copy):
        """Nameless shared memory ends with its last mapping."""
        if (thing, copy) not in self.shm_home or self.object_mapped(thing, copy):
            return
        self.take_off(self.shm_home.pop((thing, copy)).numfiles, 1)
        for (vpage, whose), page in self.cache.items():
            if (vpage[0], whose) == (thing, copy):
                self.destroy_page(page)
        self.scheme.forgotten(thing)

    def need_table(self, mm, vpage, current):
        block = (self.bases[vpage[0]] + vpage[1]) // BLOCK
        if self.page_tables and block not in mm.tables:
            mm.tables[block] = self.kernel_frame(current, mm.container)

    # -- faults ------------------------------------------------------------------------------------

    def access(self, task, vpage, write):
        """One load or store by a task."""
        vma = task.mm.vma(vpage)
        if vma is None and task.mm.denied:
            return self.note("refused")
        if vma is None:
            name = self.trace.objects[vpage[0]].name
            expected = f"{task.row.name} accesses {name} outside its mappings"
            raise TraceError([Defect("events", self.row + 1, "page", vpage[1], expected)])
        for _ in range(STARTS):
            try:
                return self.access_once(task, vma, vpage, write)
            except StartOver:
                continue
            except ReadError:
                return self.note("error")
        raise Dies

    def access_once(self, task, vma, vpage, write):
        mm = task.mm
        self.need_table(mm, vpage, task)
        pte = mm.ptes.get(vpage)
        if pte is None:
            if self.trace.objects[vpage[0]].kind == "anon":
                self.fault_anon(task, vma, vpage, write)
            else:
                self.fault_object(task, vma, vpage, write)
        elif pte.state == "swap":
            self.fault_swap(task, vma, pte, write)
        elif write and not pte.writable:
            self.fault_copy(task, vma, pte)
        else:
            pte.young, pte.dirty = True, pte.dirty or write
            self.note("hit")

    def fault_anon(self, task, vma, vpage, write):
        if write:
            self.map_new_page(task, vma, vpage)
            self.note("minor")
        else:
            task.mm.ptes[vpage] = Pte(task.mm, vpage, None, "zero")
            self.note("zero")

    def map_new_page(self, task, vma, vpage, leak=False, still=lambda: True):
        """A new anonymous page takes the place of whatever is mapped there."""
        page = self.new_anon_page(vpage, task, task.mm.container)
        payer = task.mm.container
        if self.scheme.resident:
            payer = self.payer(page, payer)
        try:
            paid = self.pay(payer, task, page)
        except Dies:
            if leak and "leak_frames" in self.quirks:
                page.zone.leaked += 1
                del self.resident[page]
            else:
                self.evict(page)
            raise
        if not still():
            self.give_back(payer, paid)
            self.evict(page)
            raise StartOver
        old = task.mm.ptes.get(vpage)
        if old is not None:
            self.zap(old)
        if self.scheme.resident:
            self.scheme.born(page, payer, paid)
            paid = 0
        locked = old is not None and old.locked
        self.map_page(task.mm, vpage, page, paid, writable=True, dirty=True, locked=locked)
        self.to_lru(page, self.newest)
        page.active, vma.has_anon = self.newest == "active", True

    def own_page(self, task, vpage):
        """The object's own page, as the task's container sees it."""
        copy = self.copy(task.mm.container)
        kind = self.trace.objects[vpage[0]].kind
        return self.cache.setdefault((vpage, copy), Page(vpage, kind, copy))

    def frame_for(self, task, page, shared):
        c, node = task.mm.container, None
        home = self.scheme.home(c, page.vpage[0], shared)
        if page.kind == "file" and c.spreads:
            node = task.rotor = min(c.mems, key=lambda n: (n - task.rotor - 1) % self.nodes)
        return self.alloc(FRAME_KIND.get(page.kind, page.kind), task, c, home, node)

    def bring_in(self, task, vpage, resident="minor", shared=False, page=None):
        """The object's own page (or another), resident; notes how it came."""
        page = page or self.own_page(task, vpage)
        kind = page.kind
        if page.zone:
            self.note(resident)
            return page
        zone = self.frame_for(task, page, shared)
        bill = self.pay_frame(page, task.mm.container, task, zone, zone_kind(kind))
        if (kind == "file" or page.slot) and self.read_fails(vpage):
            zone.used[zone_kind(kind)] -= 1
            if self.cache_rule == "joint":
                self.uncharge(bill[0], self.scheme.unit)
            elif bill[0]:
                self.give_back(*bill)
            raise ReadError
        self.note("swapin" if page.slot else "major" if kind == "file" else "minor")
        self.fill(page, zone, bill, task.mm.container)
        return page

    def fill(self, page, zone, bill, c):
        """A new page of an object's cache; who has paid for its frame, and how much."""
        self.free_slot(page)
        self.place(page, zone, "inactive" if page.kind in ("file", "shm") else None)
        page.dirty = page.kind == "shm"
        self.scheme.framed(page, c)
        self.born(page, *bill)

    def fault_object(self, task, vma, vpage, write):
        page = self.scheme.found(self.own_page(task, vpage), task.mm.container, vma.shared)
        page = self.bring_in(task, vpage, shared=vma.shared, page=page)
        if page.kind == "special":
            self.map_page(task.mm, vpage, page, 0, writable=True)
            return
        self.touched_by_fault(page)
        with self.hold(page, task.mm.container):
            if write and not vma.shared:
                self.map_new_page(task, vma, vpage)
                self.note("cow")
                return
            copy = self.scheme.copied(page, task, vma.shared)
            if copy is None:
                self.map_cached(task, vma, page, write)
        if copy:
            self.scheme.source_left(page)
            with self.hold(copy, task.mm.container):
                self.map_cached(task, vma, copy, write)

    def map_cached(self, task, vma, page, write):
        paid = self.pay_mapping(task.mm.container, task, page)
        flags = {"writable": vma.shared, "dirty": write, "shared": vma.shared}
        self.map_page(task.mm, page.vpage, page, paid, **flags)

    def fault_copy(self, task, vma, pte):
        """A write to a page that may not be written: reuse it or copy it."""
        old, mm, vpage = pte.page, task.mm, pte.vpage
        if old is None:
            self.map_new_page(task, vma, vpage, leak=True)
            self.note("cow")
            return
        if old.kind == "anon" and len(old.mappers) == 1:
            pte.writable = pte.dirty = pte.young = True
            self.note("minor")
            return

        def still():
            return mm.ptes.get(vpage) is pte and pte.state == "present"

        with self.hold(old, mm.container):
            self.map_new_page(task, vma, vpage, leak=True, still=still)
        self.note("cow")

    def fault_swap(self, task, vma, pte, write):
        page, mm = pte.page, task.mm
        failed = False
        if page.zone:
            self.note("minor")
        else:
            zone = self.alloc("anon", task, mm.container)
            bill = self.pay_frame(page, mm.container, task, zone, "anon")
            self.place(page, zone, self.newest)
            self.born(page, *bill)
            failed = self.read_fails(pte.vpage)
            self.note("error" if failed else "swapin")
        with self.hold(page, mm.container):
            try:
                paid = self.pay_mapping(mm.container, task, page)
            except Dies:
                page.pinned = page.pinned or "leak_frames" in self.quirks
                if failed and not page.pinned:
                    self.evict(page)
                raise
            if failed:
                self.swap_in_failed(page, mm.container, paid)
                return
            self.touched_by_fault(page)
            alone = len(page.mappers) == 1
            pte.state, pte.young = "present", True
            pte.dirty = pte.writable = write and alone
            self.now_mapped(page, mm.container, paid)
            if self.swap_full(page) and alone:
                self.free_slot(page)
                page.dirty = True
        if write and not pte.writable:
            self.fault_copy(task, vma, pte)

    def swap_in_failed(self, page, c, paid):
        self.give_back(c, paid)
        if "double_release" in self.quirks:
            self.give_back(c, paid)
            self.double_releases += 1
        self.evict(page)

    # -- one method per op -------------------------------------------------------------------------

    def counted_access(self, task, vpage, write):
        pte = task.mm.ptes.get(vpage)
        if self.numa == "touch" and pte and pte.state == "present":
            self.come_near(task, pte.page)
        with self.no_error() as outcome:
            self.access(task, vpage, write)
            self.back_to_user_mode()
        pte = task.mm.ptes.get(vpage)
        if "error" not in outcome and pte and pte.state == "present":
            self.count_access(task, pte.page)

    @contextmanager
    def no_error(self):
        """Whether this very page fails, not an earlier one of the run."""
        before, self.outcome, noted = self.outcome, "hit", []
        try:
            yield noted
        finally:
            noted.append(self.outcome)
            self.note(before)

    def come_near(self, task, page):
        c = task.mm.container
        if page.kind == "special" or c.zone or len(page.mappers) > 1 or task.node not in c.mems:
            return
        zone = self.zones[task.node]
        if page.zone.node != task.node and zone.free > zone.min:
            self.change_frame(page, zone)

    def count_access(self, task, page):
        if self.accesses or self.numa == "touch":
            counts = task.mm.container.accesses.setdefault(page.zone.node, [0, 0])
            counts[page.zone.node != task.node] += 1

    def back_to_user_mode(self):
        """A page's access is over."""

    def op_touch_read(self, task, vpages, value):
        for vpage in vpages:
            self.counted_access(task, vpage, write=False)

    def op_touch_write(self, task, vpages, value):
        for vpage in vpages:
            self.counted_access(task, vpage, write=True)

    def op_read(self, task, vpages, value):
        for vpage in vpages:
            if self.trace.objects[vpage[0]].kind == "kernel":
                self.note("hit")
                page = self.own_page(task, vpage)
                if page.zone:
                    self.count_access(task, page)
                continue
            try:
                page = self.bring_in(task, vpage, resident="hit")
                self.mark_accessed(page)
                self.count_access(task, page)
            except ReadError:
                self.note("error")

    def op_write(self, task, vpages, value):
        for vpage in vpages:
            page = self.own_page(task, vpage)
            if page.zone is None and page.slot:  # shared memory that is in swap: read back first
                try:
                    self.bring_in(task, vpage)
                except ReadError:
                    self.note("error")
                    continue
            elif page.zone is None:
                zone, c = self.frame_for(task, page, False), task.mm.container
                bill = self.pay_frame(page, c, task, zone, zone_kind(page.kind))
                if page.kind == "kernel":
                    self.pay_kernel(c, task, zone)
                    page.payer = c if self.kernel_memory else None
                self.fill(page, zone, bill, c)
                self.note("minor")
            self.mark_accessed(page)
            page.dirty = True
            self.scheme.written(page)
            self.count_access(task, page)

    def op_map(self, task, vpages, value):
        mm, thing = task.mm, vpages[0][0]
        row = self.trace.objects[thing]
        copy = self.copy(mm.container)
        new = Vma(thing, vpages[0][1], vpages[-1][1] + 1, value == "shared")
        if self.scheme.asks_for_space and self.scheme.refuses_map(mm, new, vpages):
            return self.note("refused")
        if row.kind == "shm" and not row.path and not self.object_mapped(thing, copy):
            if not self.charge_one(task.container.numfiles):
                return self.note("refused")
            self.shm_home[thing, copy] = task.container
        self.scheme.used(thing, mm.container)
        new.has_anon = any(vma.has_anon for vma in mm.vmas if any(map(vma.holds, vpages)))
        self.cut(mm, vpages)
        mm.vmas.append(new)

    def cut(self, mm, vpages):
        """Take a run of pages out of the mappings."""
        thing, start, end = vpages[0][0], vpages[0][1], vpages[-1][1] + 1
        kept = []
        for vma in mm.vmas:
            if vma.object != thing:
                kept.append(vma)
                continue
            for a, b in ((vma.start, min(vma.end, start)), (max(vma.start, end), vma.end)):
                if a < b:
                    kept.append(Vma(thing, a, b, vma.shared, vma.has_anon))
        mm.vmas = kept

    def op_unmap(self, task, vpages, value):
        self.op_discard(task, vpages, value)
        self.cut(task.mm, vpages)
        self.release_shm(vpages[0][0], self.copy(task.mm.container))

    def op_discard(self, task, vpages, value):
        for pte in task.mm.range(vpages):
            self.zap(pte)

    def op_mlock(self, task, vpages, value):
        self.note("ok")
        for vpage in vpages:
            vma = task.mm.vma(vpage)
            private_anon = self.trace.objects[vpage[0]].kind == "anon"
            self.access(task, vpage, write=vma is not None and private_anon and not vma.shared)
            if vpage in task.mm.ptes:
                task.mm.ptes[vpage].locked = task.mm.ptes[vpage].state == "present"
            self.back_to_user_mode()

    def op_munlock(self, task, vpages, value):
        for pte in task.mm.range(vpages):
            pte.locked = False

    def op_open(self, task, vpages, value):
        home = task.container
        if not self.charge_one(home.numfiles):
            return self.note("refused")
        self.descriptions += 1
        try:
            while len(self.file_frames) < self.file_frames_needed():
                self.file_frames.append(self.kernel_frame(task, task.mm.container))
        except (Dies, Hang):  # the file was never opened
            self.release_description(Description(vpages[0][0], home))
            raise
        self.scheme.used(vpages[0][0], home)
        task.files.open.append(Description(vpages[0][0], home))

    def file_frames_needed(self):
        return -(-self.descriptions // self.files_per_frame) if self.files_per_frame else 0

    def release_description(self, description):
        description.refs -= 1
        if description.refs:
            return
        self.take_off(description.home.numfiles, 1)
        self.descriptions -= 1
        while len(self.file_frames) > self.file_frames_needed():
            self.drop_kernel_frame(self.file_frames.pop())

    def release_files(self, files):
        files.users -= 1
        if not files.users:
            for description in files.open:
                self.release_description(description)

    def op_close(self, task, vpages, value):
        mine = [d for d in task.files.open if d.object == vpages[0][0]]
        if not mine:
            return self.note("skipped")
        place = max(i for i, d in enumerate(task.files.open) if d is mine[-1])
        self.release_description(task.files.open.pop(place))

    def take_task_frames(self, task, current, container):
        for _ in range(self.task_frames):
            task.frames.append(self.kernel_frame(current, container))

    def op_fork(self, task, child, value):
        self.clone(task, child, self.copy_mm)

    def op_thread(self, task, child, value):
        self.clone(task, child, self.share_mm)

    def clone(self, task, child, give_mm):
        home = task.container
        if not self.count_task(home):
            return self.note("refused")
        child.container = child.home = home
        child.node, child.rotor = task.node, task.rotor
        try:
            if give_mm(task, child):
                return
        except Dies:
            self.unborn(child)
            raise
        self.unborn(child)
        home.rss.failcnt += not self.scheme.asks_for_space  # which has counted it where it failed
        self.note("refused")

    def unborn(self, child):
        """Undo a fork that failed half-way."""
        self.uncount_task(child.home)
        self.free_task_frames(child)
        if child.mm is not None:
            self.release_mm(child.mm)
            child.mm = None

    def free_task_frames(self, task):
        for frame in task.frames:
            self.drop_kernel_frame(frame)
        task.frames = []

    def share_mm(self, task, child):
        self.take_task_frames(child, task, task.mm.container)
        child.mm, child.files = task.mm, task.files
        child.mm.users += 1
        child.files.users += 1
        self.bear(child, task.leader)
        return True

    def copy_mm(self, task, child):
        """False if the scheme refuses."""
        self.take_task_frames(child, task, child.container)
        if self.scheme.refuses_fork(task.mm, child.container):
            return False
        child.mm = self.new_mm(child.container)
        child.mm.denied = task.mm.denied
        child.mm.vmas = [Vma(v.object, v.start, v.end, v.shared, v.has_anon) for v in task.mm.vmas]
        for vpage in sorted(task.mm.ptes):
            pte = task.mm.ptes.get(vpage)  # reclaim on the way may take it
            vma = task.mm.vma(vpage)
            special = pte is not None and pte.page is not None and pte.page.kind == "special"
            if pte is not None and (special or (vma.has_anon and not vma.shared)):
                self.copy_pte(task, child, vpage)
        child.files = Files(list(task.files.open))
        for description in child.files.open:
            description.refs += 1
        self.bear(child, child)
        task.children.append(child)
        return True

    def copy_pte(self, task, child, vpage):
        self.need_table(child.mm, vpage, task)
        pte = task.mm.ptes.get(vpage)
        if pte is None:
            return
        special = pte.page is not None and pte.page.kind == "special"
        pte.writable = pte.writable and special
        copy = Pte(child.mm, vpage, pte.page, pte.state, young=False)
        copy.writable, copy.dirty, copy.shared = pte.writable, pte.dirty, pte.shared
        child.mm.ptes[vpage] = copy
        if pte.page is not None:
            pte.page.mappers.append(copy)
            if pte.state == "present" and not special:
                self.now_mapped(pte.page, child.mm.container, 0)

    def op_exec(self, task, target, value):
        c = task.container
        if not self.fits(c.numfiles, 1):
            c.numfiles.failcnt += 1
            return self.note("refused")
        old, task.mm = task.mm, None
        self.release_mm(old)
        task.mm = self.new_mm(c)

    def op_exit(self, task, target, value):
        self.end(task)

    def op_reap(self, task, target, value):
        task.state = "reaped"
        self.uncount_task(task.home)
        self.free_task_frames(task)

    def op_move(self, task, c, value):
        if not c.exists or (self.scheme.only_leaders_move and task.leader is not task):
            return self.note("refused")
        if self.scheme.copies and task.container is not c:
            if task.mm.users > 1:
                return self.note("refused")
            self.start_anew(task, c)
        left, task.container, mm = task.container, c, task.mm
        if left is c or mm.container is not left:
            return
        left.css -= 1
        c.css += 1
        mm.container = c
        if self.options.get("move") == "migrate":
            self.carry(task, c.zone or self.zones[task.node])
        if self.scheme.rewalks:
            for vpage in sorted(mm.ptes):
                pte = mm.ptes[vpage]
                if pte.state == "present" and pte.page.kind != "special":
                    self.take_away(pte, left)
                    pte.page.mappers.append(pte)
                    self.now_mapped(pte.page, c, 0)
            self.left_by_all(left)
        if c.moves_memory:
            self.change_nodes(mm, left.mems, c.mems)

    def start_anew(self, task, c):
        """Into another machine: pages stay behind; nameless shared memory is made there."""
        mm, left = task.mm, task.container
        for vpage in sorted(mm.ptes):
            self.zap(mm.ptes[vpage])
        things, mm_vmas = {vma.object for vma in mm.vmas}, mm.vmas
        nameless = [n for n in things if (n, left) in self.shm_home]
        fresh = [n for n in nameless if not self.object_mapped(n, c)]
        mm.vmas = []
        for thing in sorted(things):
            self.release_shm(thing, left)
        mm.vmas = mm_vmas
        for thing in fresh:
            self.shm_home[thing, c] = c
            c.numfiles.usage += 1

    def carry(self, task, zone):
        """Pages nobody else maps go along, while there is room."""
        for vpage in sorted(task.mm.ptes):
            pte = task.mm.ptes[vpage]
            if pte.state != "present" or pte.page.kind == "special" or len(pte.page.mappers) > 1:
                continue
            if pte.page.zone is not zone and zone.free > zone.min:
                self.change_frame(pte.page, zone)

    def change_frame(self, page, zone):
        kind = FRAME_KIND.get(page.kind, page.kind)
        zone.used[kind] += 1
        page.zone.used[kind] -= 1
        which = "active" if page.lru is page.zone.lists["active"] else "inactive"
        listed, page.zone = page.lru is not None, zone
        if listed:
            page.lru.remove(page)
            page.lru = None
            self.to_lru(page, which)

    def take_away(self, pte, container):
        pte.page.mappers.remove(pte)
        self.now_unmapped(pte.page, container)

    def op_mkdir(self, task, c, value):
        if c.exists or (self.tree and c.folder and not c.folder.exists):
            return self.note("refused")
        if not self.found_zone(c):
            return self.note("refused")
        self.reset(c)
        self.scheme.fresh(c)

    def has_children(self, c):
        return self.tree and any(d.folder is c and d.exists for d in self.containers)

    def found_zone(self, c):
        if not self.own(c):
            return True
        if self.grows:
            return self.set_size(c, int(self.unlimited(c) or c.row.limit > 0))
        if self.unlimited(c):
            return self.set_size(c, self.spare(self.zones[c.zone.node]) // 2)
        return self.set_size(c, self.whole(c.row.limit))

    def bury_zone(self, c):
        fate = self.options.get("orphan", self.scheme.orphan)
        if fate == "stay" or not self.own(c):
            return
        zone, home = c.zone, self.zones[c.zone.node]
        if fate == "destroy":
            for which in ("inactive", "active"):
                for page in zone.lists[which][::-1]:
                    self.throw_out(page)
        for page in list(self.resident):
            busy = page.dirty or page.writeback or page.mapcount
            if fate != "destroy" and page.zone is zone and page.kind == "file" and not busy:
                self.evict(page)
        if fate == "merge_shared" and c.shared and c.shared.node == home.node:
            home = c.shared
        self.merge(zone, home)

    def throw_out(self, page):
        """Unmapped from everybody and written back; stays if locked or without a slot."""
        self.page_referenced(page, None)
        if page.kind == "anon" and not page.slot:
            if not self.take_slot(page):
                return
            page.dirty = True
        if not self.try_to_unmap(page, None):
            return
        if page.dirty and page.kind == "shm" and not self.take_slot(page):
            return
        page.dirty = False
        self.evict(page)

    def merge(self, zone, home):
        for page in self.resident:
            if page.zone is zone:
                page.zone = home
        for which, entries in zone.lists.items():
            for page in entries:
                page.lru = home.lists[which]
            home.lists[which].extend(entries)
            entries.clear()
        for granule in zone.open + zone.full:
            granule.zone = home
        home.open += zone.open
        home.full += zone.full
        zone.open, zone.full = [], []
        for kind, n in zone.used.items():
            home.used[kind] += n
            zone.used[kind] = 0
        home.frames += zone.frames
        home.leaked += zone.leaked
        zone.frames = zone.leaked = 0

    def op_rmdir(self, task, c, value):
        reparents = self.options.get("death") == "reparent"
        busy = c.numproc.usage or c.numfiles.usage or not c.exists or c is self.root
        busy = busy or self.has_children(c) or any(mm.container is c for mm in self.mms)
        busy = busy or (not reparents and (c.css or c.kernel))
        if busy or any(t.container is c and t.state == "alive" for t in self.tasks):
            return self.note("refused")
        c.exists = False
        for page in c.cached[::-1]:
            self.uncache(page)
            self.fall_to(page, self.root)
        if reparents:
            self.leave_to_parent(c)
        self.bury_zone(c)

    def leave_to_parent(self, c):
        """What a container without tasks still owes."""
        heir = c.parent or self.root
        for which, pages in c.lists.items():
            for page in pages[::-1]:
                self.scheme.owner[page] = heir
                heir.lists[which].insert(0, page)
                heir.css += 1
                c.css -= 1
            pages.clear()
        self.pass_frames(c, heir)
        usage, c.rss.usage = c.rss.usage, 0
        if c.parent is None:
            self.add(heir, usage)

    def pass_frames(self, c, heir):
        """Kernel frames that c pays for are the heir's."""
        frames = [frame for mm in self.mms for frame in mm.tables.values()]
        frames += [frame for task in self.tasks for frame in task.frames] + self.file_frames
        for frame in frames:
            if frame.payer is c:
                frame.payer = heir
        pages = {id(e.page): e.page for mm in self.mms for e in mm.ptes.values() if e.page}
        pages |= {id(p): p for p in self.cache.values()}
        for page in pages.values():
            if page.payer is c:
                page.payer = heir
        heir.kernel, c.kernel = heir.kernel + c.kernel, 0

    def op_set_limit(self, task, c, value):
        file, written = control_write(value)
        if file.startswith("cpuset."):
            done = c.exists and not self.scheme.own_zones and self.write_cpuset(c, file, written)
            return None if done else self.note("refused")
        if file == "vswap_limit" and isinstance(self.scheme, VirtualSwap):
            c.vswap_limit = self.parse_limit(written)
            return None
        if self.scheme.asks_for_space and file in ("privvmpages", "vmguarpages", "oomguarpages"):
            done = c.exists and self.scheme.write(c, file, written)
            return None if done else self.note("refused")
        if file == "pgcache_limit" and self.cache_rule == "separate":
            limit = self.parse_limit(written)
            if limit is None or not c.exists:
                return self.note("refused")
            c.cache.limit = limit
            return None
        if file not in ("rss_limit", "numproc_limit", "numfiles_limit"):
            return self.note("refused")
        limit = self.parse_limit(written)
        if limit is None or not c.exists:
            return self.note("refused")
        if file == "rss_limit" and c.zone and not self.resize(c, limit):
            return self.note("refused")
        getattr(c, file.removesuffix("_limit")).limit = limit
        if file == "rss_limit" and not self.scheme.limit_written(c):
            self.note("refused")

    def resize(self, c, limit):
        if not self.own(c) or self.endless(limit):
            return False
        size = self.whole(limit)
        if self.grows:
            size = min(size, c.zone.frames // self.granule)
        return self.set_size(c, size)

    def write_cpuset(self, c, file, written):
        """False for EINVAL."""
        text = written.decode("latin-1").strip()
        if file != "cpuset.mems":
            if text not in ("0", "1"):
                return False
            setattr(c, "spreads" if "spread" in file else "moves_memory", text == "1")
            return True
        mems = []
        for part in text.split(","):
            if not part:
                continue
            ends = part.split("-")
            if len(ends) > 2 or not all(end.isdigit() for end in ends):
                return False
            if int(ends[0]) > int(ends[-1]):
                return False
            mems += range(int(ends[0]), int(ends[-1]) + 1)
        if not mems or max(mems) >= self.nodes:
            return False
        before, c.mems = c.mems, sorted(set(mems))
        for mm in self.mms if c.moves_memory else ():
            if mm.container is c:
                self.change_nodes(mm, before, c.mems)
        return True

    def change_nodes(self, mm, before, after):
        """From the i-th node of one cpuset to the i-th of another."""
        for vpage in sorted(mm.ptes):
            pte = mm.ptes[vpage]
            if pte.state != "present" or pte.page.kind == "special":
                continue
            if pte.page.zone.node in before:
                zone = self.zones[after[before.index(pte.page.zone.node) % len(after)]]
                if zone is not pte.page.zone and zone.free > zone.min:
                    self.change_frame(pte.page, zone)

    def follow_zone(self, c, node):
        """All tasks of a container have left its zone's node: the zone follows, if it fits."""
        if not self.own(c) or c.zone.node == node:
            return
        mine = [t for t in self.tasks if t.state == "alive" and t.mm and t.mm.container is c]
        zone, old, new = c.zone, self.zones[c.zone.node], self.zones[node]
        n = zone.frames // self.granule
        if any(t.node != node for t in mine) or self.spare(new) < n:
            return
        for page in self.resident:
            if page.zone is zone and page.granule:
                page.zone = old
        for granule in zone.open + zone.full:
            granule.zone = old
        old.open += zone.open
        old.full += zone.full
        zone.open, zone.full = [], []
        for kind in ("special", "kernel"):
            old.used[kind] += zone.used[kind]
            zone.used[kind] = 0
        old.frames += n * self.granule
        new.frames -= n * self.granule
        zone.node = node

    def op_run_on(self, task, target, value):
        if self.numa == "follow":
            return self.op_migrate(task, target, value)
        task.node = int(value) % self.nodes

    def op_migrate(self, task, target, value):
        task.node = node = int(value) % self.nodes
        self.follow_zone(task.mm.container, node)
        for vpage in sorted(task.mm.ptes):
            pte = task.mm.ptes.get(vpage)
            if pte is None or pte.state != "present" or pte.page.kind == "special":
                continue
            c = task.mm.container
            zones = [z for z in self.zonelist(node, c.zone, c) if z.node == node]
            zone = next((z for z in zones if z.free > z.min), None)
            if zone and pte.page.zone.node != node:
                self.migrate_page(task, pte.page, zone)

    def migrate_page(self, task, page, zone):
        """Take every entry away, change the frame, pay for and put back each entry."""
        with self.hold(page, task.mm.container):
            moving = page.present
            for pte in moving:
                page.mappers.remove(pte)
                pte.state = "moving"
                self.now_unmapped(page, pte.mm.container)
            self.change_frame(page, zone)
            failed = [pte for pte in moving if not self.restore(task, page, pte)]
        if failed:
            raise Dies

    def restore(self, task, page, pte):
        """False if nobody would pay for the entry."""
        mm = pte.mm
        if mm.ptes.get(pte.vpage) is not pte:
            return True  # its mm died meanwhile
        try:
            paid = self.pay_mapping(mm.container, task, page)
        except Dies:
            mm.ptes.pop(pte.vpage, None)
            return False
        if mm.ptes.get(pte.vpage) is not pte:
            self.give_back(mm.container, paid)
            return True
        pte.state = "present"
        page.mappers.append(pte)
        self.now_mapped(page, mm.container, paid)
        return True

    def op_age(self, task, target, value):
        for mm in self.mms:
            for pte in mm.ptes.values():
                pte.young = False
        for page in self.resident:
            page.referenced = False

    def op_drop_caches(self, task, target, value):
        for page in list(self.resident):
            busy = page.mapcount or page.dirty or page.writeback or page.held
            if page.kind == "file" and not busy:
                self.evict(page)

    def op_mark(self, task, target, value): ...

    def op_io_error(self, task, vpages, value):
        self.broken.add(vpages[0])

    # -- the loop ----------------------------------------------------------------------------------

    def run(self, row):
        """Replay one event; its outcome and victims are then in self.outcome and self.victims."""
        self.row, self.victims = row, []
        op = Op(int(self.trace.op[row]))
        t = int(self.trace.task[row])
        task = self.tasks[t] if t >= 0 else None
        accesses = (Op.touch_read, Op.touch_write, Op.read, Op.write)
        self.outcome = "hit" if op in accesses else "ok"
        if self.hung or (task and not self.runs(task, op)):
            self.outcome = "skipped"
            return
        self.finish_writebacks()
        value = self.trace.values[self.trace.value[row]]
        try:
            getattr(self, f"op_{op.name}")(task, self.target(op, row), value)
        except Dies:
            self.kill(task)
        except Hang:
            self.hung, self.outcome = True, "hang"
            return
        self.let_leave()

    def let_leave(self):
        """The end of an event: pages that nobody has paid for by an act of his own go."""
        for page in list(self.leaving):
            payers = self.scheme.must_leave(page) if page.mapcount else []
            if not payers:
                continue
            if not any(pte.locked for pte in page.present) and self.scheme.may_leave(page):
                for pte in page.present:
                    self.unmap_for_reclaim(pte)
            else:
                self.scheme.cannot_leave(page, payers)
        self.leaving = {}

    @staticmethod
    def runs(task, op):
        if op == Op.reap:
            return task.state == "zombie"
        return task.state == "alive" and not task.memdie

    def target(self, op, row):
        table = self.trace.targets(op)
        number = int(self.trace.target[row])
        if table is self.trace.objects:
            first, count = int(self.trace.page[row]), int(self.trace.count[row])
            return [(number, index) for index in range(first, first + count)]
        if table is self.trace.tasks:
            return self.tasks[number]
        return self.containers[number] if table is self.trace.containers else None

    # -- what is seen ------------------------------------------------------------------------------

    def after(self):
        every = self.containers
        return After(
            self.outcome,
            self.victims,
            usage={c.name: Fraction(self.units_used(c), self.scheme.unit) for c in every},
            failcnt={c.name: c.rss.failcnt for c in every},
            css={c.name: c.css for c in every},
            numproc={c.name: (c.numproc.usage, c.numproc.failcnt) for c in every},
            numfiles={c.name: (c.numfiles.usage, c.numfiles.failcnt) for c in every},
            owners=self.owners(),
            mapped=dict(zip([c.name for c in every], self.mapped(), strict=True)),
            warnings=self.warnings,
        )

    def books(self):
        """All that is counted: a number for each container (usage in units), or of the machine."""
        every, scheme = self.containers, self.scheme
        zero = [0] * len(every)
        virtual, spaces = isinstance(scheme, VirtualSwap), scheme.asks_for_space
        used, costs = self.frames_used(), scheme.penalties if virtual else {}
        failures = scheme.oom_failures if spaces else {}
        pinned = [page.pinned for page in self.resident].count(True)
        return {
            "usage": [self.units_used(c) for c in every],
            "failcnt": [c.rss.failcnt for c in every],
            "css": [c.css for c in every],
            "bill": [scheme.bill(c) for c in every],
            "vswap": [scheme.taken(c) for c in every] if virtual else zero,
            "penalty": [costs.get(c.name, 0) for c in every],
            "unused": [scheme.unused(c) for c in every] if spaces else zero,
            "oom_failcnt": [failures.get(c.name, 0) for c in every],
            "cached": [len(c.cached) for c in every],
            "cached_failcnt": [c.cache.failcnt for c in every],
            "procs": [c.numproc.usage for c in every],
            "procs_failcnt": [c.numproc.failcnt for c in every],
            "files": [c.numfiles.usage for c in every],
            "files_failcnt": [c.numfiles.failcnt for c in every],
            "mapped": self.mapped(),
            "frames": {at: n for at, n in used.items() if n},
            "near": {(c.name, n): two[0] for c in every for n, two in c.accesses.items()},
            "far": {(c.name, n): two[1] for c in every for n, two in c.accesses.items()},
            "swap_used": self.swap_used,
            "leaked_frames": pinned + sum(zone.leaked for zone in self.all_zones),
        } | ({"swapped": [scheme.swapped(c) for c in every]} if spaces else {})

    def units_used(self, c):
        if not self.scheme.own_zones:
            return c.rss.usage
        zones = [c.zone] if c.zone else self.zones if c is self.root else []
        if any(one.zone is c.zone for one in self.sets):
            zones = []  # a pool is nobody's
        return sum(sum(zone.used.values()) for zone in zones)

    def frames_used(self):
        used = {(node, kind): 0 for node in range(self.nodes) for kind in FRAME_KINDS}
        for zone in self.all_zones:
            for kind, n in zone.used.items():
                used[zone.node, kind] += n
        return used

    def owners(self):
        found = {}
        for page, owner in self.scheme.owner.items() if self.scheme.single_owner else ():
            name = (self.trace.objects[page.vpage[0]].name, page.vpage[1])
            found[name] = tuple(sorted((*found.get(name, ()), owner.name)))
        return found

    def mapped(self):
        """Present entries of each container."""
        present = [0] * len(self.containers)
        for mm in self.mms:
            place = self.containers.index(mm.container)
            present[place] += [pte.state for pte in mm.ptes.values()].count("present")
        return present

    def charged_pages(self, c):
        """Pages of accounted kinds that c has mapped."""
        return [page for page in self.resident if page.kind != "special" and page.of(c)]


def parse_quirks(quirks) -> frozenset:
    """A set of names, or `as_posted` / `repaired` followed by `,-name` or `,+name`."""
    if not isinstance(quirks, str):
        return frozenset(quirks)
    base, *changes = quirks.split(",")
    found = set({"as_posted": QUIRKS, "repaired": frozenset()}[base])
    for change in changes:
        (found.add if change[0] == "+" else found.discard)(change[1:])
    return frozenset(found)


def machine_for(scheme: str) -> type:
    """The class of machine a scheme runs on: today's kernels have their own reclaim and files."""
    from naive_cgroups import CGROUPS, CgroupKernel

    SCHEMES.update(CGROUPS)
    return CgroupKernel if scheme in CGROUPS else Kernel


def replay(trace: Trace, scheme: str, *, machine=None, knobs=None, options=None) -> Kernel:
    """Replay a trace under a scheme, asserting the invariants after every event.

    `machine` and `knobs` are objects or dicts (missing names: `DEFAULTS`); `options` such as
    {"lists": "lru"}. Raises TraceError for an access outside the mappings.
    """
    kernel = machine_for(scheme)(trace, scheme, machine, knobs, options)
    for row in range(len(trace)):
        kernel.run(row)
        check(kernel)
    return kernel


# -- invariants ------------------------------------------------------------------------------------


def check(kernel: Kernel) -> None:
    """Assert the invariants of the specification on a kernel between two events."""
    if kernel.hung:
        return
    check_frames(kernel)
    check_entries(kernel)
    check_counts(kernel)
    if not kernel.double_releases:
        check_charges(kernel)


def check_frames(kernel: Kernel) -> None:
    """Every frame in use is somebody's; LRU lists hold resident pages once; slots are counted."""
    used = {id(z): dict.fromkeys(FRAME_KINDS, 0) | {"anon": z.leaked} for z in kernel.all_zones}
    for page in kernel.resident:
        used[id(page.zone)][FRAME_KIND.get(page.kind, page.kind)] += 1
        assert page.holds == 0 and (page.mappers or page.kind != "anon" or page.pinned)
    frames = [frame for mm in kernel.mms for frame in mm.tables.values()]
    frames += [frame for task in kernel.tasks for frame in task.frames] + kernel.file_frames
    for frame in frames:
        used[id(frame.zone)]["kernel"] += 1
    granules = [frame.granule for frame in frames]
    granules += [page.granule for page in kernel.resident if page.granule]
    for zone in kernel.all_zones:
        for granule in zone.open + zone.full:
            assert granule.pins == sum(g is granule for g in granules) and granule.zone is zone
        assert len(set(map(id, zone.open + zone.full))) == len(zone.open) + len(zone.full)
        assert sum(g.zone is zone for g in granules) == zone.used["kernel"] + zone.used["special"]
    for zone in kernel.all_zones:
        assert zone.used == used[id(zone)] and zone.free >= 0, (zone.used, used[id(zone)])
        for entries in zone.lists.values():
            assert all(page.lru is entries and page.zone is zone for page in entries)
            assert len(set(map(id, entries))) == len(entries)
    pages = {id(p): p for mm in kernel.mms for e in mm.ptes.values() if (p := e.page)}
    pages |= {id(p): p for p in [*kernel.resident, *kernel.cache.values()]}
    assert kernel.swap_used == sum(p.slot for p in pages.values()) <= kernel.swap
    for page in kernel.resident:
        assert (page.lru is not None) == (page.kind in ("anon", "file", "shm"))


def check_entries(kernel: Kernel) -> None:
    """Page tables and the pages' lists of mappers agree."""
    entries = {id(e) for mm in kernel.mms for e in mm.ptes.values() if e.page}
    pages = {id(p): p for mm in kernel.mms for e in mm.ptes.values() if (p := e.page)}
    assert entries == {id(e) for page in pages.values() for e in page.mappers}
    for mm in kernel.mms:
        assert mm.users > 0
        for vpage, pte in mm.ptes.items():
            assert pte.vpage == vpage and pte.mm is mm and mm.vma(vpage)
            assert pte.state in ("present", "swap", "zero")
            assert (pte.state == "zero") == (pte.page is None)
            if pte.state == "present":
                assert pte.page.zone
            if pte.state == "swap":
                assert pte.page.slot


def check_counts(kernel: Kernel) -> None:
    """numproc and numfiles are what tasks and open files say."""
    for c in kernel.containers:
        born = [t for t in kernel.tasks if t.state in ("alive", "zombie") and t.home is c]
        assert kernel.tree or c.numproc.usage == len(born)
        tables = [t.files.open for t in kernel.tasks if t.state == "alive"]
        opened = {id(d) for table in tables for d in table if d.home is c}
        shm = sum(home is c for home in kernel.shm_home.values())
        assert c.numfiles.usage == len(opened) + shm


def check_charges(kernel: Kernel) -> None:
    """usage = what the page tables say; css = mm's + charges; lists hold charged pages once."""
    scheme = kernel.scheme
    total = 0
    if kernel.cache_rule != "free":
        cached = [page for c in kernel.containers for page in c.cached]
        assert len(cached) == len(set(cached))
        assert set(cached) == {page for page in kernel.resident if kernel.lies_idle(page)}
    for c in kernel.containers:
        below = [d for d in kernel.containers if c in kernel.line(d)]
        joint = kernel.cache_rule == "joint"
        usage = sum(scheme.expected(d)[0] + d.kernel * scheme.unit + d.stock for d in below)
        usage += sum(len(d.cached) * scheme.unit for d in below if joint)
        held = scheme.expected(c)[1]
        bound = sum(mm.container is c for mm in kernel.mms)
        if scheme.drifts:
            continue
        assert (c.rss.usage, c.css) == (usage, bound + held), (c.name, c.rss.usage, usage, c.css)
        listed = c.lists["active"] + c.lists["inactive"]
        if scheme.single_owner or (isinstance(scheme, Pairs) and not scheme.walks):
            assert len(listed) == len(set(map(id, listed))) == held - scheme.unlisted(c)
        total += scheme.expected(c)[0]
    seen = [p for p in kernel.resident if p.mapcount or scheme.resident]
    accounted = [p for p in seen if p.kind not in ("special", "kernel")]
    if scheme.single_owner:
        assert set(scheme.owner) == set(accounted)
    if scheme.single_owner or (isinstance(scheme, Beancounter) and not scheme.asks_for_space):
        assert total == len(accounted) * scheme.unit
