"""Invariants of the machine, callable at any event boundary; a failure shows what disagrees."""

from __future__ import annotations

from .cache import lies_idle
from .granules import zone_at
from .lists import list_of
from .names import (
    ALIVE, ANON, CHANGED, COPY, COUNTED_RECORD, FILE, GIVEN_UP, HEADS, JOINT, KERNEL, KIND,
    LISTED_ACTIVE, MAPPING_RECORD, ON_LRU, PAGE_RECORD, PARTITION, PRESENT, Q_DOUBLE_RELEASE,
    Q_ZONE_COUNTERS, RESIDENT, SHM, SLOT, SPECIAL, SPLIT, STUCK, SWAP, USED, V1, VIRTUAL,
    WALKED, ZOMBIE,
)
from .tables import is_copy, mm_of, vpage_of
from .ubc import is_private, mapped_in


class CheckFailed(AssertionError):
    """The machine's books do not balance."""


def check(k) -> None:
    """Raise CheckFailed at the first broken invariant. Cost: everything there is, in Python.

    A machine that hangs is stopped in the middle of an event and is not checked.
    """
    if k.hung:
        return
    check_mappers(k)
    if k.placement == PARTITION:
        check_machines(k)
    if k.reclaim == COPY:
        check_copies(k)
    check_lists(k)
    check_frames(k)
    check_entries(k)
    check_containers(k)
    if k.reclaim == VIRTUAL:
        check_virtual(k)
    if k.ubc:
        check_address_space(k)
    check_groups(k)
    if k.cache:
        check_cache(k)


def need(ok: bool, text: str, *values) -> None:
    if not ok:
        raise CheckFailed(text % values)


def ring(k, page: int) -> list[int]:
    found = []
    pte = k.page_rmap[page] - 1
    while pte >= 0 and (not found or pte != found[0]):
        found.append(int(pte))
        need(len(found) <= k.ptes_end, "page %d: its ring of mappers does not close", page)
        pte = k.pte_next[pte]
    return found


def records(k):
    """(list, record) of every charge record on a list."""
    for head in range(HEADS * k.containers):
        e = int(k.entry_next[head])
        while e != head:
            yield head, e
            e = int(k.entry_next[e])


def check_mappers(k) -> None:
    """mapcount and swap references are the page-table entries there are; every mm's, too."""
    rss = [0] * k.mms_end
    mapped = [0] * k.containers
    mapped_pages = 0
    for page in range(k.pages_top):
        ptes = ring(k, page)
        for p in ptes:
            need(k.pte_prev[k.pte_next[p]] == p, "pte %d: links broken", p)
        words = [int(k.word[p]) for p in ptes]
        present = sum(1 for w in words if w & PRESENT)
        need(present == k.page_maps[page], "page %d: mapcount %d, but %d ptes", page,
             k.page_maps[page], present)
        swapped = sum(1 for w in words if w & SWAP)
        need(swapped == k.page_swaps[page], "page %d: %d swap references, but %d swap ptes", page,
             k.page_swaps[page], swapped)
        for p, w in zip(ptes, words, strict=True):
            need(k.pte_page[p] == page, "pte %d: on the ring of %d, points at %d", p, page,
                 k.pte_page[p])
            need(not (w & PRESENT and w & SWAP), "pte %d: present and swapped", p)
            if w & PRESENT:
                mm = mm_of(k, p)
                rss[mm] += 1
                mapped[k.mm_container[mm]] += 1
        if present:
            mapped_pages += 1
            need(k.page_flags[page] & RESIDENT, "page %d: mapped but not in memory", page)
    need(mapped_pages == k.mapped_pages, "%d mapped pages counted, %d there", k.mapped_pages,
         mapped_pages)
    for mm in range(k.mms_top):
        need(rss[mm] == k.mm_rss[mm], "mm %d: rss %d, %d ptes", mm, k.mm_rss[mm], rss[mm])
    for c in range(k.containers):
        need(mapped[c] == k.mapped[c], "container %d: %d mappings counted, %d there", c,
             k.mapped[c], mapped[c])


def check_lists(k) -> None:
    """Every page on a list is on the one its flags and zone name, and nowhere else."""
    seen = set()
    for z in range(k.zones):
        for active in (0, 1):
            head = k.vpages + 2 * z + active
            page, n = k.page_next[head], 0
            while page != head:
                flags = k.page_flags[page]
                need(page not in seen, "page %d: twice on the lists", page)
                need(flags & ON_LRU and (flags & LISTED_ACTIVE != 0) == bool(active)
                     and k.page_zone[page] == z, "page %d: on list %d of zone %d, flags %x", page,
                     active, z, flags)
                need(k.page_prev[k.page_next[page]] == page, "page %d: links broken", page)
                seen.add(int(page))
                page, n = k.page_next[page], n + 1
            counted = k.zone_active[z] if active else k.zone_inactive[z]
            exact = not k.quirks & Q_ZONE_COUNTERS
            need(counted == n if exact else counted >= n, "zone %d list %d: counter %d, %d pages",
                 z, active, counted, n)
    for page in range(k.pages_top):
        if k.page_flags[page] & ON_LRU:
            need(page in seen, "page %d: flag says on a list", page)


def check_frames(k) -> None:
    """Frames in use by kind are the pages, tables, stacks and files that use them."""
    used = [[0, 0, 0, 0] for _ in range(k.zones)]
    pins: dict[int, int] = {}  # unmovable frames in each granule

    def hold(place) -> None:
        used[zone_at(k, place)][3] += 1
        pins[int(place)] = pins.get(int(place), 0) + 1

    slots = 0
    for page in range(k.pages_top):
        flags = k.page_flags[page]
        if flags & RESIDENT:
            kind = flags & KIND
            slot = {ANON: 0, SPECIAL: 2, KERNEL: 3}.get(kind, 1)
            used[k.page_zone[page]][slot] += 1
            if slot > 1 and k.granule:
                place = int(k.page_next[page])
                pins[place] = pins.get(place, 0) + 1
                need(k.gran_zone[place] == k.page_zone[page], "page %d: in zone %d, its granule in "
                     "%d", page, k.page_zone[page], k.gran_zone[place])
        if flags & SLOT:
            slots += 1
            need(flags & USED, "page %d: slot of nothing", page)
        unused = flags & KIND == ANON and flags & USED and not flags & STUCK
        if unused and k.page_maps[page] + k.page_swaps[page] == 0:
            need(False, "page %d: anonymous, nobody's, and still there", page)
    need(slots == k.swap_used, "%d swap slots counted, %d held", k.swap_used, slots)
    for mm in range(k.mms_top):
        pte = k.mm_ptes[mm] - 1
        while pte >= 0:
            if vpage_of(k, pte) >= k.vpages:
                hold(k.pte_page[pte])
            pte = k.pte_sibling[pte] - 1
    for t in range(k.tasks):
        if k.task_state[t] in (ALIVE, ZOMBIE):
            for i in range(t * k.task_frames, (t + 1) * k.task_frames):
                if k.task_stack[i] >= 0:
                    hold(k.task_stack[i])
    for i in range(k.file_frames):
        hold(k.filezone[i])
    if k.granule:
        check_granules(k, pins)
    leaked = 0
    for z in range(k.zones):
        counted = [k.zone_anon[z], k.zone_file[z], k.zone_special[z], k.zone_kernel[z]]
        leaked += counted[0] - used[z][0]
        need(counted[1:] == used[z][1:], "zone %d: frames counted %s, in use %s", z, counted,
             used[z])
        need(k.zone_free[z] + sum(counted) == k.zone_frames[z] and k.zone_free[z] >= 0,
             "zone %d: %d free + %s used of %d", z, k.zone_free[z], counted,
             k.zone_frames[z])
    need(0 <= leaked <= k.leaked_frames, "%d anonymous frames belong to nothing, %d were leaked",
         leaked, k.leaked_frames)


def check_granules(k, pins: dict[int, int]) -> None:
    """A granule is pinned by the unmovable frames in it; a zone has enough granules for them."""
    pinned = [0] * k.zones
    for g in range(k.grans_top):
        n = int(k.gran_pins[g])
        need(n == pins.get(g, 0) and n <= k.granule, "granule %d: %d pins counted, %d there", g, n,
             pins.get(g, 0))
        pinned[k.gran_zone[g]] += n > 0
    for z in range(k.zones):
        need(pinned[z] == k.zone_pinned[z], "zone %d: %d pinned granules counted, %d there", z,
             k.zone_pinned[z], pinned[z])
        rest = k.zone_frames[z] % k.granule
        need(not rest or z < k.nodes, "zone %d: %d frames are not whole granules", z,
             k.zone_frames[z])
        need(pinned[z] <= -(-k.zone_frames[z] // k.granule), "zone %d: %d granules pinned of %d "
             "frames", z, pinned[z], k.zone_frames[z])
        g, ring = k.zone_open[z] - 1, set()
        while g >= 0 and g not in ring:
            ring.add(int(g))
            fits = k.gran_zone[g] == z and 0 < k.gran_pins[g] < k.granule
            need(fits and k.gran_prev[k.gran_next[g]] == g, "granule %d: on the ring of zone %d", g,
                 z)
            g = k.gran_next[g]
        room = sum(1 for g in pins if pins[g] < k.granule and k.gran_zone[g] == z)
        need(len(ring) == room, "zone %d: %d granules on the ring, %d with room", z, len(ring),
             room)


def check_entries(k) -> None:
    """A charge record is on its container's list exactly as long as its page is mapped."""
    held = [0] * k.containers
    on_list = set()
    for head, e in records(k):
        c, page = head // HEADS, k.entry_page[e]
        need(e not in on_list, "entry %d: twice on the lists", e)
        need(k.entry_owner[e] == c, "entry %d: on the list of %d, owner %d", e, c,
             k.entry_owner[e])
        need(k.entry_prev[k.entry_next[e]] == e, "entry %d: links broken", e)
        on_list.add(e)
        held[c] += 1
        if k.resident:
            need(k.page_flags[page] & RESIDENT, "entry %d: page %d has no frame", e, page)
        elif k.reclaim != VIRTUAL or head % HEADS == 0:
            need(k.page_maps[page] > 0, "entry %d: charges page %d that nobody maps", e, page)
        if k.record >= COUNTED_RECORD:
            count = sum(1 for p in ring(k, page)
                        if k.word[p] & PRESENT and k.mm_container[mm_of(k, p)] == c)
            need(count == k.entry_count[e], "entry %d: counts %d mappings, %d there", e,
                 k.entry_count[e], count)
    for c in range(k.containers):
        need(held[c] == k.held[c], "container %d: %d records counted, %d there", c, k.held[c],
             held[c])
    if k.record < PAGE_RECORD:
        return
    for page in range(k.pages_top):
        kind = k.page_flags[page] & KIND
        here = k.page_flags[page] & RESIDENT if k.resident else k.page_maps[page]
        if k.ubc and kind == SHM:
            here = 0  # on no ring: its creator pays
        if here and kind != SPECIAL and kind != KERNEL:
            need(k.page_entry[page] and int(k.page_entry[page]) - 1 in on_list,
                 "page %d: mapped, but nobody is charged", page)
        elif not here and k.reclaim != VIRTUAL:
            need(k.page_entry[page] == 0, "page %d: unmapped, but charged", page)
        if k.per_pair:
            check_holders(k, page)


def check_cache(k) -> None:
    """+PC: a cached page is charged to one container as long as it is in memory and unmapped."""
    found = set()
    for c in range(k.containers):
        row, n = int(k.cache_next[c]), 0
        while row != c:
            page = row - int(k.containers)
            need(page not in found, "page %d: twice on the lists of cached pages", page)
            need(k.cache_owner[row] == c + 1, "page %d: cached for %d, on the list of %d", page,
                 k.cache_owner[row] - 1, c)
            need(k.cache_prev[k.cache_next[row]] == row, "page %d: cached, links broken", page)
            found.add(page)
            row, n = int(k.cache_next[row]), n + 1
        need(n == k.cached[c], "container %d: %d cached pages counted, %d there", c, k.cached[c], n)
    for page in range(k.pages_top):
        idle = bool(lies_idle(k, page))
        need(idle == (page in found), "page %d: unmapped in a cache: %s, charged: %s", page, idle,
             page in found)
        need(idle == bool(k.cache_owner[k.containers + page]), "page %d: cached for %d, unmapped "
             "in a cache: %s", page, k.cache_owner[k.containers + page] - 1, idle)


def check_virtual(k) -> None:
    """What is out has no mapping of its guest's; slots are held by pages of memory."""
    slots = [0] * k.containers
    for head, e in records(k):
        out = head % HEADS == 1
        need(out == (k.entry_count[e] == 0), "entry %d: on list %d with %d mappings", e,
             head % HEADS, k.entry_count[e])
        slots[head // HEADS] += int(k.entry_shift[e])
    for c in range(k.containers):
        need(k.vswap[c] == slots[c], "container %d: %d virtual slots counted, %d held", c,
             k.vswap[c], slots[c])


def check_address_space(k) -> None:
    """unused is the private address space at which nothing is present."""
    unused = [0] * k.containers
    for mm in range(k.mms_top):
        i = k.mm_vmas[mm] - 1
        while i >= 0:
            size = int(k.vma_end[i] - k.vma_start[i])
            o, c = k.vma_object[i], k.mm_container[mm]
            if is_private(k, o, k.vma_flags[i]):
                unused[c] += size - mapped_in(k, mm, i, k.vma_start[i], k.vma_end[i])
            i = k.vma_next[i] - 1
    for c in range(k.containers):
        need(k.unused[c] == unused[c], "container %d: %d unused private pages counted, %d there", c,
             k.unused[c], unused[c])


def creators(k) -> list[int]:
    """Pages of shared memory in memory, by who pays for them under `ubc`."""
    found = [0] * k.containers
    for o in range(k.objects if k.ubc else 0):
        for page in range(k.obj_base[o], k.obj_base[o] + k.obj_pages[o]):
            if k.obj_kind[o] == SHM and k.page_flags[page] & RESIDENT:
                found[k.obj_owner[o] - 1] += 1
    return found


def check_holders(k, page: int) -> None:
    """The ring of a page's charge records closes, both ways, with as many as are counted."""
    e, n = k.page_entry[page] - 1, 0
    for _ in range(k.page_holders[page]):
        need(e >= 0 and k.entry_page[e] == page, "page %d: a stranger on its ring", page)
        need(k.entry_before[k.entry_after[e]] == e, "entry %d: ring broken", e)
        e, n = k.entry_after[e], n + 1
    need(e == k.page_entry[page] - 1, "page %d: its ring does not close after %d", page, n)


def check_containers(k) -> None:
    """css = mms bound + charges held; usage = what the charge records held are worth."""
    owed = [0] * k.containers
    billed = [0] * k.containers
    for head, e in records(k):
        owed[head // HEADS] += int(k.worth(k, e)) if k.worth else 0
        if k.bills:
            billed[head // HEADS] += int(k.unit) // int(k.page_holders[k.entry_page[e]])
    check_files(k)
    check_tasks(k)
    mms = [0] * k.containers
    for mm in range(k.mms_top):
        if k.mm_users[mm]:
            mms[k.mm_container[mm]] += 1
    exact = not (k.quirks & Q_DOUBLE_RELEASE and k.has_broken)
    for c in range(k.containers if k.record == MAPPING_RECORD else 0):
        owed[c] = count_mappings(k, c)
        need(not exact or k.css[c] == mms[c] + owed[c],
             "container %d: css %d, %d mms + %d mappings", c, k.css[c], mms[c],
             owed[c])
    if k.record == WALKED:
        owed = [count_pages(k, c) * k.unit for c in range(k.containers)]
        exact = exact and bool(k.rewalk)  # without it, moves leave charges behind
    shm = creators(k)
    cached = k.cached if k.cache == JOINT else [0] * k.containers
    other = [int(k.kernel[c] + shm[c] + cached[c]) for c in range(k.containers)]
    in_advance = [int(k.stock[c]) + other[c] * int(k.unit) for c in range(k.containers)]
    owed = [a + b for a, b in zip(owed, in_advance, strict=True)]
    owed = with_descendants(k, owed, k.parent)
    for c in range(k.containers):
        need(k.mms[c] == mms[c], "container %d: %d mms counted, %d there", c, k.mms[c], mms[c])
        need(0 <= k.usage[c] <= k.peak[c], "container %d: usage %d, peak %d", c, k.usage[c],
             k.peak[c])
        need(k.bill[c] == billed[c], "container %d: bill %d, shares are worth %d", c, k.bill[c],
             billed[c])
        zones = [z for z in range(k.zones) if k.zone_owner[z] == c]
        owed[c] += sum(int(k.zone_frames[z] - k.zone_free[z]) for z in zones)
        need(not exact or k.usage[c] == owed[c], "container %d: usage %d, %d owed", c,
             k.usage[c], owed[c])
        if exact and k.record >= PAGE_RECORD:
            charges = k.held[c] + shm[c]
            need(k.css[c] == mms[c] + charges, "container %d: css %d, %d mms + %d charges", c,
                 k.css[c], mms[c], charges)
    if exact and k.unit > 1:
        check_shares(k, sum(in_advance))


def check_shares(k, in_advance: int) -> None:
    """Shares of pages add up to the pages, but for what is lost in division."""
    tops = [c for c in range(k.containers) if k.parent[c] < 0]
    charged = sum(int(k.usage[c]) for c in tops) - in_advance
    charged = sum(int(k.bill[c]) for c in range(k.containers)) if k.bills else charged
    shared = sum(
        1 for p in range(k.pages_top)
        if k.page_maps[p] and k.page_flags[p] & KIND != SPECIAL
        and not (k.ubc and k.page_flags[p] & KIND == SHM)
    )
    missing = shared * k.unit - charged
    most = sum(int(k.page_holders[p]) for p in range(k.pages_top))
    need(0 <= missing <= most, "shares add up to %d units less than %d pages", missing, shared)


def check_tasks(k) -> None:
    """numproc is the tasks charged; a task has an mm exactly as long as it lives."""
    tasks = [0] * k.containers
    for t in range(k.tasks):
        if k.task_state[t] in (ALIVE, ZOMBIE):
            tasks[k.task_charged[t]] += 1
        need((k.task_state[t] == ALIVE) == (k.task_mm[t] >= 0), "task %d: state %d, mm %d", t,
             k.task_state[t], k.task_mm[t])
        need(k.task_runs[t] in (k.task_mm[t], -1), "task %d: runs in %d, mm %d", t,
             k.task_runs[t], k.task_mm[t])
    above = [int(k.folder[c]) or -1 if k.tree and c else -1 for c in range(k.containers)]
    for c, n in enumerate(with_descendants(k, tasks, above)):
        need(k.procs[c] == n, "container %d: numproc %d, %d tasks", c, k.procs[c], n)


def with_descendants(k, own: list[int], parent) -> list[int]:
    """Under a tree a container also counts what is below it."""
    total = list(own)
    for c in range(k.containers):
        a = parent[c]
        while a >= 0:
            total[a] += own[c]
            a = parent[a]
    return total


def check_groups(k) -> None:
    """Swap and kernel frames are charged to somebody; split lists are as long as they say."""
    swapped = [0] * k.containers
    kernel = [0] * k.containers
    for page in range(k.pages_top):
        c, flags = int(k.page_payer[page]) - 1, k.page_flags[page]
        if c >= 0 and flags & KIND == KERNEL:
            kernel[c] += 1
        elif c >= 0:
            need(flags & SLOT, "page %d: container %d pays for a swap slot that is not there", page,
                 c)
            swapped[c] += k.family != V1 or not flags & RESIDENT
    for mm in range(k.mms_top):
        pte = k.mm_ptes[mm] - 1
        while pte >= 0:
            if vpage_of(k, pte) >= k.vpages:
                kernel[k.pte_entry[pte]] += 1
            pte = k.pte_sibling[pte] - 1
    for t in range(k.tasks * k.task_frames):
        if k.task_state[t // k.task_frames] in (ALIVE, ZOMBIE) and k.task_stack[t] >= 0:
            kernel[k.stack_payer[t]] += 1
    for i in range(k.file_frames):
        kernel[k.file_payer[i]] += 1
    swapped = with_descendants(k, swapped, k.parent)
    for c in range(k.containers):
        need(k.swapped[c] == swapped[c], "container %d: %d swapped pages counted, %d there", c,
             k.swapped[c], swapped[c])
        expected = kernel[c] if k.kernel_memory else 0
        need(k.kernel[c] == expected, "container %d: %d kernel frames charged, %d there", c,
             k.kernel[c], expected)
    if k.lists == SPLIT:
        check_split_lists(k)


def check_split_lists(k) -> None:
    """A record is on the list of its page's kind, which is as long as it says."""
    length = [0] * (HEADS * k.containers)
    for head, e in records(k):
        which = list_of(k, int(k.entry_page[e]))
        need(which == head % HEADS == k.entry_shift[e], "entry %d: on list %d, belongs on %d", e,
             head % HEADS, which)
        length[head] += 1
    for head, n in enumerate(length):
        need(n == k.listed[head], "list %d: %d records counted, %d there", head, k.listed[head], n)


def count_mappings(k, c: int) -> int:
    """Present ptes of a container's mms, driver pages left out."""
    return sum(
        1 for page in range(k.pages_top) if k.page_flags[page] & KIND != SPECIAL
        for p in ring(k, page)
        if k.word[p] & PRESENT and k.mm_container[mm_of(k, p)] == c
    )


def check_machines(k) -> None:
    """Under partition a page is mapped in one container only, a copy in the one that it is for."""
    for page in range(k.pages_top):
        users = {int(k.mm_container[mm_of(k, p)]) for p in ring(k, page)}
        need(len(users) < 2, "page %d: in the machines of %s", page, users)
        copy = (page - k.copies_at) // k.vpages if page >= k.vpages > 0 else 0
        need(not users or not 0 < copy < k.containers or users == {copy},
             "page %d: the copy of %d, mapped by %s", page, copy, users)


def check_copies(k) -> None:
    """A copy is in memory while it is mapped; a page to be copied is in memory, clean, unmapped."""
    for page in range(k.pages_top):
        flags, maps = int(k.page_flags[page]), int(k.page_maps[page])
        if is_copy(k, page):
            need((flags & RESIDENT != 0) == (maps > 0) and not flags & CHANGED,
                 "page %d: a copy with %d mappings, flags %x", page, maps, flags)
        if flags & GIVEN_UP:
            need(flags & RESIDENT and flags & KIND == FILE and not flags & CHANGED and not maps,
                 "page %d: given up with %d mappings, flags %x", page, maps, flags)


def count_pages(k, c: int) -> int:
    """Distinct pages of accounted kinds that c maps."""
    return sum(
        any(k.word[p] & PRESENT and k.mm_container[mm_of(k, p)] == c
            for p in ring(k, page))
        for page in range(k.pages_top) if k.page_flags[page] & KIND != SPECIAL
    )


def check_files(k) -> None:
    """numfiles is the open descriptions and nameless shared objects a container pays for."""
    refs: dict[int, int] = {}
    for files in range(k.filesets_top):
        fd = k.fileset_head[files] - 1
        while fd >= 0:
            refs[int(k.fd_file[fd])] = refs.get(int(k.fd_file[fd]), 0) + 1
            fd = k.fd_next[fd] - 1
    used = [0] * k.containers
    for f, n in refs.items():
        need(k.file_refs[f] == n, "file %d: %d references, %d handles", f, k.file_refs[f], n)
        used[k.file_container[f]] += 1
    for o in range(k.objects * (k.containers if k.placement == PARTITION else 1)):
        if k.obj_filed[o]:
            used[k.obj_filed[o] - 1] += 1
    for c in range(k.containers):
        need(k.files[c] == used[c], "container %d: numfiles %d, %d files", c, k.files[c], used[c])
