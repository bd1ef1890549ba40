"""The state of one machine under one scheme: built from a trace, grown between events."""

from __future__ import annotations

import copy

from .config import Knobs, Machine, ZoneSet, counted, did_you_mean
from .control import NAMES as CONTROL_FILES
from .control import parse
from .guard import guarded
from .groups import start_files
from .layout import COLUMNS, SCALARS
from .names import (
    ALIVE, BY_DIRECTORY, BY_MOUNT, CACHES, CAP_INIT, CAP_RAWIO, CAP_ROOT, CAP_STUCK, DEATHS,
    FAMILIES, HEADS, HEIRS, LIMITS, LISTS, MAPPING_QUIRKS, NUMA, ORPHANS, PARTITION, PLACEMENTS,
    PRIVATE,
    Q_LIMIT_ZERO, RECLAIMS, RECORDED, SAMPLE_WIDTH, SCORES, SHARED_BY, SHARED_ZONE, SLOTS, STATS,
    VIRTUAL, Y2007,
)
from .room import need_room

KINDS = ("file", "anon", "shm", "ramfs", "special", "kernel")
NO_LIMIT = (1 << 62) - 1
FIRST_ROWS = 1 << 14  # to start with, in the growing tables
AHEAD = 16  # events to look ahead for memory that will be needed, once the tables are large
OP_MAP, OP_MKDIR, OP_SET_LIMIT, OP_RUN_ON, OP_MIGRATE = 4, 17, 19, 20, 21
OP_FORK, OP_THREAD, OP_IO_ERROR, OP_OPEN, OP_EXEC = 11, 12, 25, 9, 13
GROWING = {  # scalar that says where the table ends -> tables it covers
    "pages_end": "page",
    "entries_end": "entry",
    "vmas_end": "vma",
    "fds_end": "handle",
    "files_end": "file",
    "grans_end": "granule",
}
ROWS = {
    "pte": "page-table entries", "page": "pages", "entry": "charge records", "vma": "mappings",
    "handle": "open files", "file": "open files", "granule": "pinned granules",
}


class PlacementError(ValueError):
    """The containers' zones do not fit into the machine."""


class State:
    """Columns and scalars of `layout`, as attributes; lists here, numpy arrays in `compiled`."""

    # found at a fixed place, not by name: saves 7 % of the time, interpreted
    __slots__ = (*(name for columns in COLUMNS.values() for name in columns), *SCALARS, "__dict__")

    def new_column(self, bits: int, size: int):
        return [0] * size

    def from_values(self, bits: int, values):
        return plain(values)

    def new_table(self, table: str, size: int) -> None:
        for name in COLUMNS[table]:
            setattr(self, name, [0] * size)

    def row_bytes(self, table: str) -> int:
        return 8 * len(COLUMNS[table])

    def resize_table(self, table: str, size: int) -> None:
        for name in COLUMNS[table]:
            column = getattr(self, name)
            column.extend([0] * (size - len(column)))
            del column[size:]

    def insert_rows(self, table: str, at: int, rows: int) -> None:
        for name in COLUMNS[table]:
            getattr(self, name)[at:at] = [0] * rows

    def __init__(self, trace, machine: Machine, knobs: Knobs, scheme, samples: int = 0,
                 sample_every: int = 0, watch: int = 0) -> None:
        self.worth = getattr(scheme.module, "worth", None)
        self.hooks = list(scheme.hooks.values())
        if scheme.own:
            self.hooks = [guarded(scheme.label, *hook) for hook in scheme.hooks.items()]
        self.tables: dict[str, int] = {}
        self.fixed: dict[str, int] = {}  # rows of a growing table that never grow in number
        for name in SCALARS:
            setattr(self, name, 0)
        self.set_sizes(trace, machine, knobs, scheme, watch)
        self.set_tables(trace, knobs, samples)
        self.check_room(scheme.label, len(trace))
        for table in COLUMNS:
            if table != "event":
                self.new_table(table, self.tables[table])
        self.set_choices(knobs, scheme, watch)
        self.set_objects(trace)
        self.set_containers(trace, knobs)
        self.set_tasks(trace)
        self.set_zones(trace, machine, knobs, scheme)
        self.set_lists()
        self.load_events(trace, knobs)
        self.prefetch = AHEAD if self.vpages > 50_000 else 0
        self.sample_every = sample_every or len(trace) + 1
        self.sample_at = min(self.sample_every, len(trace))

    def set_sizes(self, trace, machine: Machine, knobs: Knobs, scheme, watch: int) -> None:
        self.vpages = sum(o.pages for o in trace.objects)
        self.objects = len(trace.objects)
        self.containers = len(trace.containers)
        self.tasks = len(trace.tasks)
        self.nodes = machine.nodes
        self.placement = PLACEMENTS.index(scheme.parts.placement)
        self.cache = CACHES.index(scheme.parts.cache)
        self.by = SHARED_BY.index(scheme.parts.by)
        self.sets = zone_sets(trace, machine, self.placement)
        self.zones = machine.nodes
        if self.placement:
            self.zones += self.containers - 1 + len(self.sets)
        self.pages_top = self.vpages + 2 * self.zones
        copies = self.containers if self.placement == PARTITION else 1
        if copies > 1:  # the root has none
            self.copies_at = self.pages_top - self.vpages
            self.pages_top += (copies - 1) * self.vpages
        elif scheme.parts.reclaim == "copy":
            self.copies_at = self.pages_top
            self.pages_top += self.containers * self.vpages
        # a small replay should not spend its time on growing tables
        rows = max(256, min(len(trace), FIRST_ROWS))
        self.pages_end = self.pages_top + rows
        self.fixed = {"page": self.pages_top}
        self.entries_top = HEADS * self.containers
        self.entries_end = self.entries_top + rows
        self.vmas_end = self.fds_end = self.files_end = 64
        self.hash_slots = max(1024, min(4 * rows, 2 * FIRST_ROWS))
        self.ptes_end = self.vpages + self.hash_slots
        execs = count_of(trace.op, OP_EXEC)
        self.mms_end = self.tasks + execs + 1
        # what tells a frame's last charge (CH5); nobody is charged where zones are
        self.has_special = not self.placement and any(o.kind == "special" for o in trace.objects)
        self.grans_end = (knobs.task_frames * self.tasks + 256) if self.placement else NO_LIMIT
        self.has_broken = count_of(trace.op, OP_IO_ERROR) > 0
        self.kills_end = 2 * self.tasks + 64
        self.cands_end = min(64 * self.tasks + 1024, 100_000)
        self.lives_end = 200_000 if watch else 0
        self.sample_width = 1 + SAMPLE_WIDTH * self.containers + 4 * self.zones
        self.total_frames = machine.nodes * machine.frames
        self.swap_size = machine.swap

    def set_tables(self, trace, knobs: Knobs, samples: int) -> None:
        """Rows of every table to start with."""
        copies = self.containers if self.placement == PARTITION else 1
        self.tables = {
            "word": self.ptes_end,
            "pte": self.ptes_end,
            "page": self.pages_end,
            "entry": self.entries_end,
            "vma": self.vmas_end,
            "mm": self.mms_end,
            "task": self.tasks,
            "container": self.containers,
            "list": HEADS * self.containers,
            "zone": self.zones,
            "granule": self.grans_end if self.placement else 1,
            "object": self.objects * copies + 1,
            "bound": self.containers * self.objects if self.sets else 1,
            "cache": self.containers + self.pages_end if self.cache else 1,
            "access": self.containers * self.nodes,
            "handle": self.fds_end,
            "file": self.files_end,
            "fileset": self.tasks + 1,
            "filezone": count_of(trace.op, OP_OPEN) // max(1, knobs.files_per_frame) + 2,
            "stack": self.tasks * knobs.task_frames + 1,
            "stale": self.total_frames + 1 if self.has_special else 1,
            "waiting": 2 * knobs.pagevec + 4,
            "digit": 1024,
            "batch": max(knobs.cluster, 32),
            "writing": self.pages_end,
            "leaving": self.pages_end,
            "broken": self.vpages + 1 if self.has_broken else 1,
            "stat": len(STATS),
            "kill": self.kills_end,
            "candidate": self.cands_end,
            "life": self.lives_end + 1,
            "sample": (samples + 3) * self.sample_width,
        }

    def check_room(self, label: str, events: int) -> None:
        """Raises TooLarge before anything is taken, where the tables will not fit in here."""
        needed = events * self.row_bytes("event")
        needed += sum(rows * self.row_bytes(table) for table, rows in self.tables.items())
        boxes, samples = counted(self.containers - 1, "container"), self.tables["sample"]
        why = f"{counted(self.vpages, 'page')}, {counted(events, 'event')}"
        right = "smaller objects or fewer events"
        if self.copies_at:
            why = f"{counted(self.vpages, 'page')}, and a copy of each for every one of {boxes}"
            right = "smaller objects, fewer containers, or a scheme that keeps no copies"
        elif samples * self.row_bytes("sample") > needed // 2:
            why = f"{samples // self.sample_width:,} samples of {boxes}"
            right = "fewer samples or containers"
        need_room(self.pages_end, needed, f"{label}: {why}", right)

    def set_choices(self, knobs: Knobs, scheme, watch: int) -> None:
        parts = scheme.parts
        self.unit = scheme.unit
        self.record = RECORDED.index(parts.record)
        self.lists = LISTS.index(parts.lists)
        self.reclaim = RECLAIMS.index(parts.reclaim)
        self.at_limit = LIMITS.index(parts.at_limit)
        self.heir = HEIRS.index(parts.heir)
        self.frees_forced = int(parts.forced == "free")
        self.chance = knobs.seed
        self.oom_score = SCORES.index(parts.oom_score)
        self.rewalk = int(parts.move == "rewalk")
        self.per_pair = int(parts.per_pair)
        self.bills = int("bill" in parts.counts)
        self.slots = SLOTS.index(parts.slots)
        self.penalty_rate = int(parts.penalty == "rate")
        self.fork_check = int(parts.fork_check)
        self.pushback = parts.pushback
        self.leader_moves = int(parts.leader_moves)
        self.zero_is_none = int(parts.zero_is_none)
        references = parts.references if knobs.references == "scheme" else knobs.references
        self.all_references = int(references == "all")
        self.resident = int(parts.coverage == "resident")
        self.tree = int(parts.hierarchy == "tree")
        self.family = FAMILIES.index(parts.files)
        self.ubc = int(parts.ubc)
        self.has_payer = int(hasattr(scheme.module, "payer") or parts.ubc)
        self.quirks = knobs.quirk_bits()
        if self.resident:
            self.quirks &= ~MAPPING_QUIRKS
        self.death = DEATHS.index(parts.death)
        self.kernel_memory = int(parts.kernel_memory == "charged")
        if self.family != Y2007:
            self.quirks = 0  # they are the patch's
            self.swap_books = 1
            self.charge_batch = 64 if knobs.failcnt == "linux-batch" else 0
        if self.ubc:
            self.quirks = 0
            self.swap_books = 1
        self.cluster = knobs.cluster
        self.async_write = int(knobs.swap_write == "async")
        self.pagevec = knobs.pagevec
        self.debug_vm = int(knobs.debug_vm)
        self.swappiness = knobs.swappiness
        self.page_tables = int(knobs.page_tables)
        self.task_frames = knobs.task_frames
        self.files_per_frame = knobs.files_per_frame
        self.granule = knobs.granule if self.placement else 0
        self.spread = int(knobs.unmovable == "spread")
        self.numa = NUMA.index(knobs.numa)
        self.counted = int(knobs.accesses or knobs.numa == "touch")
        self.grows = int(parts.full == "grow")
        self.orphan = ORPHANS.index(parts.orphan)
        self.carries = int(parts.move == "migrate")
        self.held_page = -1
        self.watch = watch

    def set_objects(self, trace) -> None:
        base = 0
        for i, o in enumerate(trace.objects):
            kind = KINDS.index(o.kind)
            self.obj_kind[i] = kind
            self.obj_base[i] = base
            self.obj_pages[i] = o.pages
            self.obj_path[i] = int(bool(o.path))
            self.obj_payer[i] = paying_mount(o, trace.containers)
            if kind:
                self.fill(self.page_flags, base, base + o.pages, kind)
            base += o.pages
        for c in range(1, self.containers if self.placement == PARTITION else 1):
            for i in range(self.objects):
                copy, kind = i + c * self.objects, self.obj_kind[i]
                for column in (self.obj_kind, self.obj_base, self.obj_pages, self.obj_path):
                    column[copy] = column[i]
                if kind:
                    base = self.copies_at + c * self.vpages + self.obj_base[i]
                    self.fill(self.page_flags, base, base + self.obj_pages[i], kind)

    def fill(self, column, start: int, stop: int, value: int) -> None:
        column[start:stop] = [value] * (stop - start)

    def set_containers(self, trace, knobs: Knobs) -> None:
        made = trace.made(OP_MKDIR)
        self.has_mems = int(any(text.startswith("cpuset.") for text in trace.values))
        if self.has_mems and self.nodes > 62:
            raise PlacementError(f"cpusets know 62 nodes; the machine has {self.nodes}")
        number = {box.name: c for c, box in enumerate(trace.containers)}
        for c, box in enumerate(trace.containers):
            self.alive[c] = int(c not in made)
            self.folder[c] = number[box.parent] if box.parent else 0
            start_files(self, c)
            self.own_zone[c] = self.vswap_limit[c] = -1
            self.indexed[c] = int(self.reclaim == VIRTUAL)  # records outlive mappings
            self.mems[c] = (1 << self.nodes) - 1 if self.has_mems else 0
            self.oomguar[c] = 0 if c else NO_LIMIT
            self.cached_limit[c] = NO_LIMIT
            self.limit[c] = self.table_limit[c] = as_limit(box.limit, knobs)
            self.procs_limit[c] = self.table_procs[c] = as_limit(box.numproc_limit, knobs)
            self.files_limit[c] = self.table_files[c] = as_limit(box.numfiles_limit, knobs)

    def set_tasks(self, trace) -> None:
        names = {box.name: c for c, box in enumerate(trace.containers)}
        born = trace.made(OP_FORK, OP_THREAD)
        for t, task in enumerate(trace.tasks):
            self.task_mm[t] = -1
            self.task_runs[t] = -1
            self.task_parent[t] = -1
            self.task_leader[t] = -1
            self.task_container[t] = names[task.container]
            self.task_node[t] = task.node
            self.task_vm[t] = -1 if task.vm is None else task.vm
            self.task_cpu[t] = task.cpu
            self.task_run[t] = task.run
            self.task_nice[t] = task.nice
            self.task_adj[t] = task.oom_adj
            self.task_caps[t] = (
                CAP_ROOT * task.root
                + CAP_RAWIO * task.rawio
                + CAP_INIT * task.init
                + CAP_STUCK * task.stuck
            )
            self.task_state[t] = 0 if t in born else ALIVE

    def set_zones(self, trace, machine: Machine, knobs: Knobs, scheme) -> None:
        left = [machine.frames] * machine.nodes
        asked = [(f"task {t.name}", t.node) for t in trace.tasks]
        asked += [(f"event {i + 1}", int(trace.values[trace.value[i]]))
                  for i in trace.rows(OP_RUN_ON, OP_MIGRATE)]
        for who, node in asked:
            if not 0 <= node < machine.nodes:
                have = counted(machine.nodes, "node")
                raise PlacementError(f"{who}: node {node} is not there; the machine has {have}")
        if self.placement:
            self.carve_zones(trace, machine, knobs, left)
        for n in range(machine.nodes):
            self.add_zone(n, n, left[n], 0 if self.placement else -1)
            self.zone_min[n] = max(1, left[n] >> 7)
            self.zone_low[n] = self.zone_min[n] + self.zone_min[n] // 4 + 1
            self.zone_high[n] = self.zone_min[n] + self.zone_min[n] // 2 + 2
        self.zone_names = ["root" if self.placement else ""] * machine.nodes
        if self.placement:
            self.zone_names += [box.name for box in trace.containers[1:]]
            self.zone_names += ["+".join(found.containers) for found, _ in self.sets]
        cell = 0
        for z in range(self.zones):
            self.zone_stale[z] = cell
            cell += self.zone_frames[z]

    def carve_zones(self, trace, machine: Machine, knobs: Knobs, left: list[int]) -> None:
        """A zone per container, of whole granules, from the node its first task runs on.

        Containers that a mkdir event makes get theirs then (`zones.found_zone`).
        """
        home = dict.fromkeys(range(1, self.containers), 0)
        for t in range(self.tasks - 1, -1, -1):
            c = self.task_container[t]
            if c and self.task_state[t] == ALIVE:
                home[c] = self.task_node[t]

        def carve(z: int, node: int, size: int, c: int, name: str) -> None:
            size = -(-size // knobs.granule) * knobs.granule
            if size > left[node]:
                raise PlacementError(
                    f"{name}: a zone of {counted(size, 'frame')} does not fit into the "
                    f"{counted(left[node], 'frame')} left on node {node}"
                )
            left[node] -= size
            self.add_zone(z, node, size, c)
            self.zone_high[z] = knobs.cluster

        free, rest = [], []
        pooled = {c for found, members in self.sets if found.pooled for c in members}
        for c, node in home.items():
            if c in pooled:
                continue
            z = self.own_zone[c] = self.nodes + c - 1
            limit = trace.containers[c].limit
            endless = limit is None or (limit == 0 and self.quirks & Q_LIMIT_ZERO)
            size = 0
            if self.alive[c] and self.grows:
                size = 1 if limit or endless else 0
            elif self.alive[c] and endless:
                free.append(c)
                continue
            elif self.alive[c]:
                size = limit
            carve(z, node, size, c, f"container {trace.containers[c].name}")
        for i, (found, members) in enumerate(self.sets):
            z, node = self.nodes + self.containers - 1 + i, home[members[0]]
            if found.frames:
                carve(z, node, found.frames, -1, f"zone set {found.containers}")
            else:
                rest.append((z, node))
            for c in members:
                if found.pooled:
                    self.own_zone[c] = z
                else:
                    self.set_zone[c] = z + 1
            self.bind(trace, found, members, z)
        whole = knobs.granule
        shares = {node: left[node] // 2 for node in range(machine.nodes)}
        for c in free:
            size = shares[home[c]] // sum(home[d] == home[c] for d in free) // whole * whole
            carve(self.own_zone[c], home[c], size, c, f"container {trace.containers[c].name}")
        for z, node in rest:
            carve(z, node, left[node] // 2 // whole * whole, -1, "the rest")

    def bind(self, trace, found: ZoneSet, members: list[int], z: int) -> None:
        """Files that lie in the set's zone: whoever touches them, but a member of its own set."""
        if found.pooled:
            return
        paths = {mount_of(p) for p in found.paths} if self.by == BY_MOUNT else found.paths
        for i, o in enumerate(trace.objects):
            if not o.path:
                continue
            where = mount_of(o.path) if self.by == BY_MOUNT else o.path
            if where in paths or any(below(where, p) for p in paths if self.by == BY_DIRECTORY):
                for c in range(self.containers):
                    cell = c * self.objects + i
                    if c in members or not self.bound[cell]:
                        self.bound[cell] = z + 1

    def add_zone(self, z: int, node: int, frames: int, c: int) -> None:
        self.zone_frames[z] = self.zone_free[z] = frames
        self.zone_node[z] = node
        self.zone_owner[z] = c

    def set_lists(self) -> None:
        for head in range(self.vpages, self.vpages + 2 * self.zones):
            self.page_next[head] = self.page_prev[head] = head
        for head in range(HEADS * self.containers):
            self.entry_next[head] = self.entry_prev[head] = head
            self.entry_owner[head] = head // HEADS

        for c in range(self.containers if self.cache else 0):
            self.cache_next[c] = self.cache_prev[c] = c

    def load_events(self, trace, knobs: Knobs) -> None:
        """Turn the trace's columns into the engine's: vpages for pages, numbers for words."""
        bases = [self.obj_base[i] for i in range(self.objects)]
        n = len(trace)
        at, arg, value = [0] * n, [0] * n, [0] * n
        target, page, values = plain(trace.target), plain(trace.page), trace.values
        for i, (op, v) in enumerate(zip(plain(trace.op), plain(trace.value), strict=True)):
            at[i] = target[i]
            if op < OP_OPEN or op == OP_IO_ERROR:
                arg[i] = target[i]
                at[i] = bases[target[i]] + page[i]
            if v:
                arg[i], value[i] = read_value(op, values[v], arg[i], knobs)
        self.ev_op = self.from_values(8, trace.op)
        self.ev_task = self.from_values(32, trace.task)
        self.ev_at = self.from_values(32, at)
        self.ev_count = self.from_values(32, trace.count)
        self.ev_arg = self.from_values(32, arg)
        self.ev_value = self.from_values(64, value)
        self.ev_outcome = self.new_column(8, n)

    def copy(self) -> State:
        """A machine of its own in the same state; what never changes is shared."""
        other = copy.copy(self)
        for table, columns in COLUMNS.items():
            for name in columns if table != "event" else ("ev_outcome",):
                setattr(other, name, list(getattr(self, name)))
        return other

    def grow(self, rehash) -> None:
        """Make every growing table large enough for the event that asked (between events)."""
        need = self.need + 64
        for scalar, table in GROWING.items():
            end = getattr(self, scalar)
            top = getattr(self, scalar.replace("_end", "_top"))
            wanted = need
            if table == "vma":
                wanted += self.vmas_top
            elif table in ("handle", "file"):
                wanted += self.fds_top
            if top + wanted > end:
                moving = end - self.fixed.get(table, 0)
                end = max(end + moving // 2, top + wanted)
                self.check_growth(table, end, self.row_bytes(table))
                setattr(self, scalar, end)
                self.resize_table(table, end)
                if table == "page":
                    self.resize_table("writing", end)
                    self.resize_table("leaving", end)
                    if self.cache:
                        self.resize_table("cache", self.containers + end)
        if (self.slots_used + 2 * need) * 4 > 3 * self.hash_slots:
            self.grow_hash(2 * (self.slots_used + 2 * need), rehash)

    def check_growth(self, table: str, rows: int, row_bytes: int) -> None:
        """Raises TooLarge where a table cannot have so many rows in here."""
        need_room(rows, rows * row_bytes, f"room for {rows:,} {ROWS[table]}",
                  "a trace that touches fewer pages, or with fewer tasks")

    def grow_hash(self, slots: int, rehash) -> None:
        """A new hash of so many slots in front of the old one, which goes when it is empty."""
        old = self.hash_slots
        self.check_growth("pte", self.ptes_end + slots,
                          self.row_bytes("word") + self.row_bytes("pte"))
        for table in ("word", "pte"):
            self.insert_rows(table, self.vpages, slots)
        self.hash_slots, self.slots_used = slots, 0
        self.ptes_end = self.vpages + slots
        if slots > 1 << 15:  # no longer in the processor's nearest cache
            self.many_pairs = 1
            self.prefetch = AHEAD
        rehash(self, old)
        for table in ("word", "pte"):
            self.resize_table(table, self.ptes_end)


def zone_sets(trace, machine: Machine, placement: int) -> list[tuple[ZoneSet, list[int]]]:
    """The sets that count under a placement, with their members' numbers.

    Where `shared_zone` finds none declared, all containers form one.
    """
    names = {box.name: c for c, box in enumerate(trace.containers)}
    found, seen = [], set()
    for declared in machine.zone_sets:
        for name in declared.containers:
            if names.get(name, 0) == 0 or name in seen:
                why = "is in two sets" if name in seen else "is no container that can have a zone"
                raise PlacementError(f"zone set {declared.containers}: {name} {why}")
            seen.add(name)
        if placement and (declared.pooled or placement == SHARED_ZONE):
            found.append((declared, [names[name] for name in declared.containers]))
    if not machine.zone_sets and placement == SHARED_ZONE and len(names) > 1:
        found = [(ZoneSet(tuple(names)[1:]), list(range(1, len(names))))]
    return found


def mount_of(path: str) -> str:
    """The file system a path is in: what stands before a colon, else its first directory."""
    device, colon, _ = path.partition(":")
    return device + colon if colon else "/" + path.lstrip("/").partition("/")[0]


def paying_mount(thing, containers) -> int:
    """1 + the container that a mount's option names: path `memcg=NAME:...`; 0: no such option."""
    option, colon, _ = thing.path.partition(":")
    if not colon or not option.startswith("memcg="):
        return 0
    names = [box.name for box in containers]
    name = option.removeprefix("memcg=")
    if name not in names:
        raise PlacementError(
            f"object {thing.name}: path {thing.path} names no container{did_you_mean(name, names)}"
        )
    return names.index(name) + 1


def below(path: str, directory: str) -> bool:
    return path.startswith(directory.rstrip("/") + "/")


def plain(values) -> list[int]:
    """A column as a list of Python's own integers, wherever it comes from."""
    return values.tolist() if hasattr(values, "tolist") else list(values)


def count_of(column, value: int) -> int:
    """How often a small number is in a column; a column of bytes is searched as such."""
    if getattr(column, "itemsize", 0) == 1:
        return column.tobytes().count(value)
    return plain(column).count(value)


def as_limit(value: int | None, knobs: Knobs) -> int:
    return min(knobs.no_limit if value is None else value, NO_LIMIT)


def read_value(op: int, text: str, arg: int, knobs: Knobs) -> tuple[int, int]:
    """The engine's (arg, value) for an event's `value` text."""
    if op == OP_MAP:
        return arg, PRIVATE if text == "private" else 0
    if op in (OP_RUN_ON, OP_MIGRATE):
        return int(text), 0
    if op == OP_SET_LIMIT:
        name, _, written = text.partition("=")
        data = written.encode("latin-1").decode("unicode_escape").encode("latin-1")
        limit = parse(name, data, knobs.word)
        return CONTROL_FILES.index(name), -1 if limit is None else min(limit, NO_LIMIT)
    return arg, 0
