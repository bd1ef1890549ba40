"""The twin's cgroups, v1 and v2: written from kernel/README.md section 7b, sharing no code.

`CgroupKernel` is the slow machine with today's reclaim, control files and OOM killer. Pages are on
one of five lists of their owner, newest first.
"""

import naive
from naive import Dies, FirstAllocation, Kernel

from workbench.trace.language import control_write

NEVER = (1 << 62) - 1
LISTS = ("anon inactive", "anon active", "file inactive", "file active", "unevictable")
EVENTS = {"low": "low", "high": "high", "max": "max", "oom": "oom", "oom_kill": "kill",
          "oom_group_kill": "group", "swap": "swap"}


class CgroupV1(FirstAllocation):
    """Owner of a frame: who allocated it. Lists by kind and activity."""

    hierarchy = "tree"
    references = "own"
    family = "v1"
    death = "reparent"
    refuses_remote = False

    def born(self, page, c, paid):
        self.settle(c, 1, paid)
        self.owner[page] = c
        self.put(page, c)

    def where(self, page):
        if page.kind == "ramfs":
            return "unevictable"
        kind = "file" if page.kind == "file" else "anon"
        return f"{kind} {'active' if page.active else 'inactive'}"

    def put(self, page, c, tail=False):
        entries = c.lists.setdefault(self.where(page), [])
        entries.insert(len(entries) if tail else 0, page)

    def relist(self, page, which=None, tail=False):
        if page in self.owner:
            self.unlist(page, self.owner[page])
            self.put(page, self.owner[page], tail)

    def hand(self, page, heir, tail=False):
        """The page changes owners; the counters are the caller's business."""
        self.unlist(page, self.owner[page])
        self.owner[page].css -= 1
        heir.css += 1
        self.owner[page] = heir
        self.put(page, heir, tail)


class CgroupV2(CgroupV1):
    family = "v2"
    death = "zombie"


class CommonAncestor(CgroupV2):
    """A page mapped from several groups is the lowest common group's."""

    def mapped(self, page, c, paid):
        payer = self.owner.get(page)
        if payer and payer is not c:
            above = self.kernel.line(c)
            shared = next((a for a in self.kernel.line(payer) if a in above), self.kernel.root)
            if shared is not payer:
                self.kernel.hand_to(page, shared)


class Recharge(CgroupV2):
    """Pages of a removed group go to a living mapper with room."""

    death = "recharge"

    def mapped(self, page, c, paid):
        payer = self.owner.get(page)
        if payer and not payer.exists and not self.kernel.lacks_room(c, 1):
            self.kernel.hand_to(page, c)


class MountCharge(CgroupV2):
    """The mount option memcg= names who pays."""

    refuses_remote = True

    def payer(self, page, c):
        path = self.kernel.trace.objects[page.vpage[0]].path
        if page.kind == "anon" or not path.startswith("memcg="):
            return c
        name = path.removeprefix("memcg=").split(":")[0]
        group = next(d for d in self.kernel.containers if d.name == name)
        return group if group.exists else c


CGROUPS = {
    "cgroup_v1": CgroupV1, "cgroup_v2": CgroupV2, "common_ancestor": CommonAncestor,
    "recharge": Recharge, "mount_charge": MountCharge,
}


def number(text, most):
    """A count as kstrtoull reads it, None if it is none or too large."""
    try:
        digits = text.decode("ascii")
        if not digits or not digits[0].isdigit() or not digits.isalnum():
            return None
        octal = len(digits) > 1 and digits[0] == "0" and digits[1] not in "xX"
        value = int(digits, 8 if octal else 0)
    except (UnicodeDecodeError, ValueError):
        return None
    return value if value <= most else None


def size(text, unlimited):
    """Bytes with a suffix, in whole pages; None if it is no size."""
    if unlimited is not None and text == unlimited:
        return NEVER
    if not text:
        return 0
    shift = 0
    suffix = text[-1:].lower()
    if suffix in b"kmgtpe" and not text.lower().startswith(b"0x"):
        shift, text = 10 * (b"kmgtpe".index(suffix) + 1), text[:-1]
    value = number(text, 1 << 200)
    return None if value is None else (((value % 2**64) << shift) % 2**64) // 4096


class CgroupKernel(Kernel):
    """A kernel of today."""

    newest = "inactive"

    def __init__(self, trace, scheme, machine=None, knobs=None, options=None):
        naive.SCHEMES.update(CGROUPS)
        super().__init__(trace, scheme, machine, knobs, options)
        self.quirks = frozenset()
        self.death = self.options.get("death", self.scheme.death)
        self.v1 = self.scheme.family == "v1"
        self.batch = 64 if self.failcnt == "linux-batch" else 0
        self.over_high = None
        self.remote = self.in_call = False
        self.begun = 0  # writes begun in this turn
        self.refused = False  # the access in progress waits at the limit
        for c in self.containers:
            self.start_files(c)

    def reset(self, c):
        rss, numproc, numfiles = c.rss, c.numproc, c.numfiles
        css, swapped = c.css, getattr(c, "swapped", 0)
        super().reset(c)
        c.css, c.swapped = css, swapped
        for name, old in (("rss", rss), ("numproc", numproc), ("numfiles", numfiles)):
            if old is not None:
                getattr(c, name).usage = old.usage
        if hasattr(self, "death"):
            self.start_files(c)

    def start_files(self, c):
        c.min = c.low = c.move_mask = c.oom_group = c.oom_disabled = 0
        c.high = c.soft = c.memsw = c.swap_max = NEVER
        above = c.folder if c.folder is not self.containers[0] else None
        c.swappy = above.swappy if above else self.swappiness
        c.nested = above.nested if above and self.v1 else 1
        c.parent = above if above and above.nested else None
        if not hasattr(c, "events"):
            c.events = dict.fromkeys(EVENTS, 0)

    # -- charges -----------------------------------------------------------------------------------

    def payer(self, page, c):
        """What comes back from swap goes to whoever it was charged to."""
        if page.payer and page.payer.exists:
            c = page.payer
        payer = self.scheme.payer(page, c)
        self.remote = payer is not c
        return payer

    def pay(self, c, current, page):
        try:
            return super().pay(c, current, page)
        finally:
            self.remote = False

    def hand_to(self, page, heir):
        """The charge of a page and of its slot change hands, whatever the limit."""
        payer = self.scheme.owner[page]
        self.uncharge(payer, 1)
        self.add(heir, 1)
        heir.rss.failcnt += heir.rss.usage > heir.rss.limit
        if page.payer:
            page.payer = heir
            if not self.v1:
                self.count_swap(payer, -1)
                self.count_swap(heir, 1)
        self.scheme.hand(page, heir)

    def event(self, c, what):
        for a in self.line(c):
            a.events[what] += 1

    def count_swap(self, c, step):
        for a in self.line(c):
            a.swapped += step

    def lacks_room(self, c, units):
        self.swap_helps = False
        for a in self.line(c) if self.v1 else ():
            if a.rss.usage + a.swapped + units > a.memsw:
                return a
        self.swap_helps = True
        return super().lacks_room(c, units)

    def take(self, c, units, current):
        if self.batch:
            if c.stock >= units:
                c.stock -= units
                return
            short = self.lacks_room(c, self.batch)
            if short is None:
                self.add(c, self.batch)
                c.stock += self.batch - units
                return
            if self.v1 and self.swap_helps:
                short.rss.failcnt += 1
        fruitless = 0
        while full := self.lacks_room(c, units):
            if self.swap_helps:
                full.rss.failcnt += 1
            if not self.v1:
                self.event(full, "max")
            if self.reclaim(full, self.cluster, self.swap_helps):
                continue
            if not self.lacks_room(c, units):
                continue
            fruitless += 1
            if self.drain(full) or fruitless < 16:
                continue
            fruitless = 0
            remote = self.scheme.refuses_remote and self.remote
            if remote and not self.in_call:
                raise Dies
            if full.oom_disabled or remote:
                self.refused = True
                raise Dies
            self.oom(full, current)
        self.add(c, units)
        if any(a.rss.usage > a.high for a in self.line(c)):
            self.over_high = c

    def drain(self, top):
        found = False
        for c in self.containers:
            if c.stock and top in self.line(c):
                self.uncharge(c, c.stock)
                c.stock, found = 0, True
        return found

    def settle_high(self):
        c, self.over_high = self.over_high, None
        for a in self.line(c) if c else ():
            fruitless = 0
            while a.rss.usage > a.high and fruitless < 16:
                self.event(a, "high")
                fruitless = 0 if self.reclaim(a, self.cluster) else fruitless + 1

    # -- swap --------------------------------------------------------------------------------------

    def take_slot(self, page):
        if page.slot or self.swap_used >= self.swap:
            return page.slot
        owner = self.scheme.owner.get(page)
        if owner and not self.v1:
            for a in self.line(owner):
                if a.swapped >= a.swap_max:
                    self.event(a, "swap")
                    return False
            self.count_swap(owner, 1)
        page.payer = owner
        self.swap_used += 1
        page.slot = True
        return True

    def free_slot(self, page):
        if page.slot and page.payer:
            if not self.v1 or page.zone is None:
                self.count_swap(page.payer, -1)
            page.payer = None
        super().free_slot(page)

    def evict(self, page):
        super().evict(page)
        if self.v1 and page.slot and page.payer:
            self.count_swap(page.payer, 1)

    def place(self, page, zone, which=None):
        if self.v1 and page.slot and page.payer and page.zone is None:
            self.count_swap(page.payer, -1)
        super().place(page, zone, which)

    def fill(self, page, zone, bill, c):
        """As in the base, but a slot is given up after the page has come back."""
        self.place(page, zone, "inactive" if page.kind in ("file", "shm") else None)
        page.dirty = page.kind == "shm"
        self.free_slot(page)
        self.born(page, *bill)

    # -- reclaim -----------------------------------------------------------------------------------

    def touched_by_fault(self, page): ...

    def finish_writebacks(self):
        pages = self.writebacks
        super().finish_writebacks()
        for page in pages:
            if not page.active:
                self.scheme.relist(page, tail=True)

    def below(self, top):
        """Containers in and below `top`, parents first; all for None."""
        return [c for c in self.containers if top is None or top in self.line(c)]

    def reclaim(self, target, want, swap=True):
        freed = 0
        for _ in range(16):
            self.begun = 0
            freed += self.turns(target, want - freed, swap)
            if freed >= want or not self.writebacks:
                break
            self.finish_writebacks()
        return freed

    def pageout(self, page):
        before = len(self.writebacks)
        done = super().pageout(page)
        self.begun += len(self.writebacks) - before
        return done

    def swap_full(self, page):
        """More than half of the machine's swap, or half of what a payer of v2 may use."""
        line = self.line(page.payer) if page.payer and not self.v1 else []
        return 2 * self.swap_used > self.swap or any(2 * a.swapped >= a.swap_max for a in line)

    def turns(self, target, want, swap):
        freed = 0
        for turn in ("usual", "force", "low"):
            if turn == "force" and (freed or not self.spared_active):
                continue
            if turn == "low" and (freed or not self.spared_low):
                continue
            self.spared_active = False
            if turn != "force":
                self.spared_low = False
            for priority in self.priorities(target):
                if freed + self.begun < want:
                    freed += self.one_pass(target, priority, want - freed, swap, turn, None)
        return freed

    def priorities(self, target):
        """12 down to 0, without those that come to less than a page."""
        pages = max(target.rss.usage, self.cluster)
        return [p for p in range(12, -1, -1) if p == 0 or pages >= 1 << p]

    def one_pass(self, target, priority, want, swap, turn, zone):
        freed = 0
        safe = {}
        for c in self.below(target):
            guard = 0
            if c is not target:
                usage = c.rss.usage
                safe[c] = low, least = self.protection(c, target, safe)
                if (low or least or usage == 0) and usage <= least:
                    continue
                guard = least
                if turn != "low" and low:
                    if usage <= low:
                        self.spared_low = True
                        continue
                    if low > guard:
                        guard, self.spared_low = low, True
                elif turn == "low" and low and usage <= low:
                    self.event(c, "low")
            freed += self.shrink(c, target, priority, guard, want, swap, turn == "force", zone)
        return freed

    def protection(self, c, target, safe):
        """(low, min) that is safe from a reclaim by target."""
        if c.parent is None or c.parent is target:
            return c.low, c.min
        above = safe.get(c.parent, (0, 0))
        return tuple(
            self.effective(c, name, top) for name, top in zip(("low", "min"), above, strict=True)
        )

    def effective(self, c, name, top):
        wish, usage, above = getattr(c, name), c.rss.usage, c.parent.rss.usage
        siblings = [d for d in self.containers if d.parent is c.parent]
        wanted = sum(min(d.rss.usage, getattr(d, name)) for d in siblings)
        safe = min(usage, wish)
        if wanted > top:
            return safe * top // wanted
        if wanted < top and wanted < above and safe < usage:
            safe += (top - wanted) * (usage - safe) // (above - wanted)
        return safe

    def swap_left(self, c):
        room = self.swap_used < self.swap
        return room and (self.v1 or all(a.swapped < a.swap_max for a in self.line(c)))

    def shrink(self, c, target, priority, guard, want, swap, force, zone):
        n = {which: len(c.lists.get(which, ())) for which in LISTS}
        age = {k: force or n[f"{k} inactive"] < n[f"{k} active"] for k in ("anon", "file")}
        swap = swap and c.swappy > 0 and self.swap_left(c)
        part = {"anon": c.swappy, "file": 200 - c.swappy}
        if not swap or (priority and n["file inactive"] >> priority and not age["file"]):
            part = {"anon": 0, "file": 200}
        elif priority == 0:
            part = {"anon": 200, "file": 200}
        quota = {}
        for which in LISTS[:4]:
            scan = n[which]
            if guard and scan:
                scan = max(scan - scan * guard // (max(c.rss.usage, guard) + 1), self.cluster)
            quota[which] = (scan >> priority) * part[which[:4]] // 200
        for kind in ("anon", "file"):
            if quota[f"{kind} active"] and not age[kind]:
                self.spared_active = True
        freed = 0
        if not any(quota.values()):
            return 0
        scanned = [which for which in LISTS[:4] if which != "anon active"]
        before = self.begun
        while any(quota[w] for w in scanned) and freed + self.begun - before < want:
            for which in LISTS[:4]:
                part_now = min(quota[which], self.cluster)
                quota[which] -= part_now
                if which.endswith("inactive"):
                    freed += self.shrink_list(c, which, part_now, target, zone)
                elif age[which[:4]]:
                    self.deactivate(c, which, part_now, target, zone)
        if swap and self.length(c, "anon inactive") < self.length(c, "anon active"):
            self.deactivate(c, "anon active", self.cluster, target, zone)
        return freed

    @staticmethod
    def length(c, which):
        return len(c.lists.get(which, ()))

    def used(self, page, target):
        """How often target's tasks have used the page since the last look; None: it is locked."""
        count = 0
        for pte in page.mappers:
            if pte.state == "present":
                if pte.locked:
                    return None
                mine = target is None or self.references == "all"
                if pte.young and (mine or target in self.line(pte.mm.container)):
                    pte.young = False
                    count += 1
        return count

    def deactivate(self, c, which, n, target, zone):
        for _ in range(min(n, self.length(c, which))):
            page = c.lists[which][-1]
            if zone in (None, page.zone) and self.used(page, target) is not None:
                page.active = False
            self.scheme.relist(page)

    def shrink_list(self, c, which, n, target, zone):
        freed = 0
        for _ in range(min(n, self.length(c, which))):
            page = c.lists[which][-1]
            if zone in (None, page.zone) and self.goes(page, target):
                freed += 1
            else:
                self.scheme.relist(page)
        return freed

    def goes(self, page, target):
        """One page of an inactive list: True when it has been freed."""
        freed = self.judged(page, target)
        alone = all(pte.state == "present" for pte in page.mappers)
        if page.zone and page.active and page.slot and alone and self.swap_full(page):
            self.free_slot(page)
            page.dirty = True
        return freed

    def judged(self, page, target):
        if page.writeback:
            return False
        used, before = self.used(page, target), page.referenced
        if used is None:
            return self.activate(page)
        page.referenced = used > 0
        if used:
            return self.activate(page) if before or used > 1 else False
        if page.kind == "anon" and not page.slot:
            if not self.take_slot(page):
                return self.activate(page)
            page.dirty = True
        if any(pte.locked for pte in page.present):
            return self.activate(page)
        for pte in page.present:
            self.unmap_for_reclaim(pte)
        once = before and page.kind == "file"
        if page.dirty and (once or page.held or not self.pageout(page)):
            return False
        if page.held:
            return False
        self.evict(page)
        return True

    def reclaim_zone(self, zone):
        freed = 0
        soft = [(c.rss.usage - c.soft, c) for c in self.containers if c.rss.usage > c.soft]
        if soft:
            most = max(excess for excess, _ in soft)
            c = next(c for excess, c in soft if excess == most)
            for priority in self.priorities(c):
                if freed < self.cluster:
                    amount = self.cluster - freed
                    freed += self.one_pass(c, priority, amount, True, "usual", zone)

        def short():
            return zone.free < zone.high

        before = freed
        freed += self.turns_of_machine(zone, short, before)
        if not freed and self.writebacks:
            self.finish_writebacks()
            for priority in range(12, -1, -1):
                if short():
                    freed += self.one_pass(None, priority, self.cluster, True, "low", zone)
        return freed

    def turns_of_machine(self, zone, short, before):
        freed = 0
        for turn in ("usual", "force", "low"):
            got = before + freed
            if turn == "force" and (got or not self.spared_active):
                continue
            if turn == "low" and (got or not self.spared_low):
                continue
            self.spared_active = False
            if turn != "force":
                self.spared_low = False
            for priority in range(12, -1, -1):
                if short():
                    freed += self.one_pass(None, priority, self.cluster, True, turn, zone)
        return freed

    # -- out of memory -----------------------------------------------------------------------------

    def may_die_for(self, task, c):
        if task.mm is None or task.row.init or task.memdie or task.row.oom_adj == -17:
            return False
        return c is None or c in self.line(task.mm.container)

    def points(self, task, c):
        ptes = task.mm.ptes.values()
        pages = sum(pte.state in ("present", "swap") for pte in ptes) + len(task.mm.tables)
        allowed = self.nodes * self.frames + self.swap
        if c and c.rss.limit < allowed:
            allowed = min(allowed, c.rss.limit + min(c.swap_max, self.swap))
        adj = task.row.oom_adj
        adj = 1000 if adj == 15 else int(adj * 1000 / 17)
        return pages + adj * (allowed // 1000)

    def oom(self, c, current, strictly=False):
        if not self.oom_kill(c, current) or current.memdie:
            raise Dies

    def oom_kill(self, c, current):
        """False when nobody may be killed."""
        if c:
            self.event(c, "oom")
        able = [task for task in self.processes if self.may_die_for(task, c)]
        if not able:
            return False
        best = max(self.points(task, c) for task in able)
        victim = [task for task in able if self.points(task, c) == best][-1]
        group = None
        for a in self.line(victim.mm.container):
            if a.oom_group:
                group = a
            if a is c:
                break
        if group is None:
            self.kill_sharers(victim, current)
            return True
        self.event(group, "oom_group_kill")
        for task in list(self.processes):
            if self.may_die_for(task, group):
                self.kill_sharers(task, current)
        return True

    def kill_sharers(self, victim, current):
        mm = victim.mm
        self.event(mm.container, "oom_kill")
        for task in self.tasks:
            if task is not victim and task.mm is mm:
                task.memdie = True
                if task is not current:
                    self.end(task)
        self.mark_victim(victim, current)

    def kill(self, task):
        if self.refused:
            self.refused = False
            return self.note("refused")
        super().kill(task)

    def books(self):
        kinds = {f"{what}_events": [c.events[name] for c in self.containers]
                 for name, what in EVENTS.items()}
        return super().books() | kinds | {"swapped": [c.swapped for c in self.containers]}

    # -- ops ---------------------------------------------------------------------------------------

    def run(self, row):
        super().run(row)
        self.settle_high()

    def back_to_user_mode(self):
        self.settle_high()

    def op_read(self, task, vpages, value):
        for vpage in vpages:
            self.in_call = True
            try:
                super().op_read(task, [vpage], value)
            finally:
                self.in_call = False
            self.settle_high()

    def op_write(self, task, vpages, value):
        for vpage in vpages:
            self.in_call = True
            try:
                super().op_write(task, [vpage], value)
            finally:
                self.in_call = False
            self.settle_high()

    def op_move(self, task, c, value):
        if not c.exists:
            return self.note("refused")
        left, mm = task.container, task.mm
        if left is not c:
            if mm.container is left and not self.move_charges(mm, left, c):
                return self.note("refused")
            for other in self.tasks:
                if other is task or (not self.v1 and other.mm is mm):
                    self.uncount_task(other.home)
                    for a in self.folders(c):
                        a.numproc.usage += 1
                    other.home = other.container = c
            task.container = left
        super().op_move(task, c, value)

    def move_charges(self, mm, left, c):
        """v1: pages that left pays for, of the kinds asked for, go along; False without room."""
        if not self.v1 or not c.move_mask:
            return True
        pages = [p for v in self.all_vpages() if (p := self.would_move(mm, v, left, c.move_mask))]
        paid = 0
        wanted = sum(page.zone is not None for page in pages)
        while paid < wanted:
            full = self.lacks_room(c, 1)
            if full and not self.reclaim(full, self.cluster):
                self.uncharge(c, paid)
                return False
            if not self.lacks_room(c, 1):
                self.add(c, 1)
                paid += 1
        for v in self.all_vpages():
            page = self.would_move(mm, v, left, c.move_mask)
            if page and page.zone is None:
                self.count_swap(left, -1)
                self.count_swap(c, 1)
                page.payer = c
            elif page and paid:
                self.scheme.hand(page, c)
                self.uncharge(left, 1)
                paid -= 1
                if page.payer:
                    page.payer = c
        self.uncharge(c, paid)
        return True

    def all_vpages(self):
        return [(n, i) for n, row in enumerate(self.trace.objects) for i in range(row.pages)]

    def would_move(self, mm, vpage, left, mask):
        if mm.vma(vpage) is None:
            return None
        pte, page = mm.ptes.get(vpage), None
        if pte is not None:
            page = pte.page
        elif self.trace.objects[vpage[0]].kind in ("file", "shm"):
            page = self.cache.get((vpage, None))
        if page is None or not mask & (1 if page.kind == "anon" else 2):
            return None
        if page.zone is None:
            return page if page.slot and page.payer is left else None
        return page if self.scheme.owner.get(page) is left else None

    def op_mkdir(self, task, c, value):
        if c.exists or (c.folder and not c.folder.exists):
            return self.note("refused")
        if c.rss.usage:
            self.reparent(c)
        self.reset(c)

    def op_rmdir(self, task, c, value):
        busy = any(t.container is c and t.state == "alive" for t in self.tasks)
        busy = busy or any(mm.container is c for mm in self.mms) or self.has_children(c)
        if busy or not c.exists or c is self.root:
            return self.note("refused")
        c.exists, c.min, c.low = False, 0, 0
        self.drain(c)
        if self.death == "reparent":
            self.reparent(c)
        if self.death == "recharge":
            self.recharge(c)

    def recharge(self, c):
        for which in LISTS:
            for page in reversed(list(c.lists.get(which, ()))):
                mappers = [pte.mm.container for pte in page.present]
                able = [d for d in mappers if d.exists and not self.lacks_room(d, 1)]
                if able:
                    self.hand_to(page, able[0])

    def reparent(self, c):
        heir = c.parent or self.root
        for which in LISTS:
            for page in list(c.lists.get(which, ())):
                self.scheme.hand(page, heir, tail=True)
        self.pass_frames(c, heir)
        usage, swapped, c.rss.usage, c.swapped = c.rss.usage, c.swapped, 0, 0
        if c.parent is None:
            self.add(heir, usage)
            self.count_swap(heir, swapped)

    def op_set_limit(self, task, c, value):
        file, written = control_write(value)
        if file in ("numproc_limit", "numfiles_limit") or file.startswith("cpuset."):
            return super().op_set_limit(task, c, value)
        text = written.split(b"\0")[0].strip()
        if not c.exists or not self.write(c, file, text, written):
            self.note("refused")

    def write(self, c, file, text, written):
        """False: the file is not there, or refuses."""
        if file == "rss_limit":
            value = self.parse_limit(written)
            if value is None or c is self.root:
                return False
            return self.hard_limit(c, min(value, NEVER))
        if file == "pids.max":
            value = NEVER if text == b"max" else number(text, 1 << 22)
            if value is not None:
                c.numproc.limit = value
            return value is not None
        method = f"{'v1' if self.v1 else 'v2'}_{file.removeprefix('memory.').replace('.', '_')}"
        found = getattr(self, method, None)
        if c is self.root or found is None:
            return False
        return found(c, text) is not False

    # control files of v1

    def v1_limit_in_bytes(self, c, text):
        value = size(text, b"-1")
        return value is not None and self.hard_limit(c, value)

    def v1_memsw_limit_in_bytes(self, c, text):
        value = size(text, b"-1")
        if value is None or value < min(c.rss.limit, NEVER):
            return False
        self.drain(c)
        while c.rss.usage + c.swapped > value:
            if not self.reclaim(c, self.cluster, swap=False):
                return False
        c.memsw = value
        return True

    def v1_soft_limit_in_bytes(self, c, text):
        return self.store(c, "soft", size(text, b"-1"))

    def v1_move_charge_at_immigrate(self, c, text):
        return self.store(c, "move_mask", number(text, 3))

    def v1_force_empty(self, c, text):
        self.drain(c)
        fruitless = 0
        while c.rss.usage and fruitless < 16:
            fruitless += not self.reclaim(c, self.cluster)

    def v1_use_hierarchy(self, c, text):
        value = number(text, 1)
        above = c.folder if c.folder is not self.root else None
        if value is None or value == c.nested:
            return value is not None
        return not (self.has_children(c) or (above and above.nested)) and self.store(
            c, "nested", value
        )

    def v1_swappiness(self, c, text):
        return self.store(c, "swappy", number(text, 200))

    def v1_oom_control(self, c, text):
        return self.store(c, "oom_disabled", number(text, 1))

    def v1_max_usage_in_bytes(self, c, text): ...

    def v1_failcnt(self, c, text):
        c.rss.failcnt = 0

    @staticmethod
    def store(c, name, value):
        if value is not None:
            setattr(c, name, value)
        return value is not None

    # control files of v2

    def v2_max(self, c, text):
        value = size(text, b"max")
        return value is not None and self.hard_limit(c, value)

    def v2_high(self, c, text):
        if not self.store(c, "high", size(text, b"max")):
            return False
        self.over_high = c

    def v2_low(self, c, text):
        return self.store(c, "low", size(text, b"max"))

    def v2_min(self, c, text):
        return self.store(c, "min", size(text, b"max"))

    def v2_swap_max(self, c, text):
        return self.store(c, "swap_max", size(text, b"max"))

    def v2_oom_group(self, c, text):
        return self.store(c, "oom_group", number(text, 1))

    def v2_peak(self, c, text): ...

    def v2_reclaim(self, c, text):
        want, fruitless = size(text, b""), 0
        if want is None:
            return False
        while want > 0:
            freed = self.reclaim(c, max(self.cluster, want))
            fruitless += not freed
            if fruitless == 16:
                return False
            want -= freed

    def hard_limit(self, c, value):
        if self.v1:
            if value > c.memsw:
                return False
            self.drain(c)
            while c.rss.usage > value:
                if not self.reclaim(c, self.cluster):
                    return False
            c.rss.limit = value
            return True
        c.rss.limit = value
        self.drain(c)
        fruitless = 0
        while c.rss.usage > value:
            if fruitless < 16:
                fruitless += not self.reclaim(c, max(self.cluster, c.rss.usage - value))
            elif not self.oom_kill(c, None):
                break
        return True
