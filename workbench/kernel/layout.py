"""What the machine remembers: every column of the state, declared once.

The state is columns of plain integers: lists when interpreted, numpy arrays when compiled (see
`engine`). A *page* is content with identity; a *vpage* is a page of an object as tasks name it; a
*pte* is one page-table entry of one mm; an *entry* records a charge: one page held by one container
(the patch's `page_container`, OpenVZ's `page_beancounter`).

Numbering. vpages are 0..V-1, objects one after another. Pages 0..V-1 are the objects' own pages,
then come two list heads per zone, then copies (further anonymous pages) as they are made. ptes
0..V-1 are the first mapping of each vpage, kept in place; then come the slots of a hash of further
ones. Entries 0..HEADS*C-1 are the list heads of the containers.

Compiled, the columns of a table are the fields of one record per row, so that what belongs together
shares a cache line; only the events stay columns of their own.

    word[pte] = (mm + 1) << 40 | vpage << 8 | flags
"""

# columns by table: name -> bits
COLUMNS: dict[str, dict[str, int]] = {
    "event": {
        "ev_op": 8,
        "ev_task": 32,
        "ev_at": 32,  # first vpage, or the index of the target
        "ev_count": 32,
        "ev_arg": 32,  # object of an access; node; kind of control file
        "ev_value": 64,  # limit to write; VMA flags
        "ev_outcome": 8,
    },
    "word": {"word": 64},
    "pte": {
        "pte_page": 32,
        "pte_next": 32,  # ring of the page's mappers, oldest first
        "pte_prev": 32,
        "pte_sibling": 32,  # next pte of the same mm (+1)
        "pte_entry": 32,  # the charge entry it is counted in; or, in the hash, the entry of a key
    },
    "page": {
        "page_flags": 16,
        "page_zone": 16,
        "page_maps": 32,  # mapcount
        "page_swaps": 32,  # swap references
        "page_rmap": 32,  # oldest pte (+1)
        "page_next": 32,  # zone list, head to tail
        "page_prev": 32,
        "page_holders": 32,  # entries on its ring
        "page_payer": 32,  # container that pays for its swap slot, or for a kernel page (+1)
        "page_entry": 32,  # owner's entry, or head of the ring of entries (+1)
    },
    "entry": {
        "entry_page": 32,
        "entry_owner": 32,
        "entry_count": 32,  # mappings counted here
        "entry_shift": 32,
        "entry_next": 32,  # container list, head to tail
        "entry_prev": 32,
        "entry_after": 32,  # ring of the page's entries
        "entry_before": 32,
    },
    "vma": {
        "vma_next": 32,
        "vma_object": 32,
        "vma_start": 32,
        "vma_end": 32,
        "vma_flags": 32,
    },
    "mm": {
        "mm_users": 32,
        "mm_container": 32,
        "mm_vmas": 32,  # (+1)
        "mm_ptes": 32,  # (+1)
        "mm_size": 64,  # total_vm, pages
        "mm_block": 32,  # block of the page table looked at last
        "mm_denied": 32,  # a map was refused: its task goes without
        "mm_rss": 32,  # present ptes
        "mm_count": 32,  # places in its page table
    },
    "task": {
        "task_mm": 32,
        "task_runs": 32,  # the same while the task can run, else -1
        "task_container": 32,
        "task_node": 32,
        "task_rotor": 32,  # node of the last page that was spread
        "task_state": 32,
        "task_memdie": 32,
        "task_parent": 32,
        "task_leader": 32,
        "task_charged": 32,  # container that pays for the task
        "task_files": 32,
        "task_vm": 64,
        "task_cpu": 64,
        "task_run": 64,
        "task_nice": 32,
        "task_adj": 32,
        "task_caps": 32,
        "task_child": 32,  # oldest child (+1)
        "task_last": 32,  # youngest child (+1)
        "task_younger": 32,  # next child of the same parent (+1)
        "task_thread": 32,  # next thread of the same leader (+1)
        "task_order": 32,  # the i-th leader created
        "task_minor": 64,
        "task_major": 64,
    },
    "container": {
        "usage": 64,
        "bill": 64,  # what it would pay if shared pages were shared out
        "vswap": 64,  # virtual swap slots held
        "vswap_limit": 64,  # -1: as many as the limit
        "unused": 64,  # private address space with nothing mapped at it, pages (ubc)
        "vmguar": 64,  # barriers of vmguarpages and oomguarpages; that of privvmpages is `limit`
        "oomguar": 64,
        "oom_failcnt": 64,  # tasks killed in it because it was furthest above oomguarpages
        "cached": 64,  # pages in the caches that nobody maps, charged to it (+PC)
        "cached_limit": 64,
        "cached_failcnt": 64,
        "penalty": 64,  # ns its tasks were held up for virtual swapping
        "busy": 64,  # until when its virtual disk is
        "limit": 64,
        "failcnt": 64,
        "css": 64,
        "peak": 64,
        "held": 64,  # entries on its lists
        "procs": 64,
        "procs_limit": 64,
        "procs_failcnt": 64,
        "files": 64,
        "files_limit": 64,
        "files_failcnt": 64,
        "alive": 32,
        "parent": 32,  # charged along with it; -1: none (flat, or at the top)
        "folder": 32,  # the container it was made in
        # control files of later kernels: limits and wishes in pages, counts of events
        "min": 64,
        "low": 64,
        "high": 64,
        "soft": 64,
        "memsw_limit": 64,
        "memsw_failcnt": 64,
        "swap_limit": 64,
        "swapped": 64,  # v1: pages out in swap; v2: swap slots; of the container and those below
        "swappy": 32,
        "nested": 32,  # v1 use_hierarchy: what is made in it is charged to it too
        "move_mask": 32,
        "oom_group": 32,
        "oom_disabled": 32,
        "now_min": 64,  # effective protection, as of the last look
        "now_low": 64,
        "stock": 64,  # charged in advance, not used yet
        "kernel": 64,  # kernel frames charged to it
        "low_events": 64,  # with those below it, as in memory.events
        "high_events": 64,
        "max_events": 64,
        "oom_events": 64,
        "kill_events": 64,
        "group_events": 64,
        "swap_events": 64,
        "table_limit": 64,  # what a new directory of this name starts with
        "table_procs": 64,
        "table_files": 64,
        "own_zone": 32,
        "mems": 64,  # cpuset: nodes allowed, one bit each
        "moves_memory": 32,
        "spreads": 32,
        "set_zone": 32,  # zone that its set shares (+1)
        "mms": 32,  # mms bound to it
        "indexed": 32,  # its entries are in the hash
        "true_rss": 64,  # what `truth` found: pages mapped, shared out, unshared
        "true_pss": 64,
        "true_uss": 64,
        "stamp": 64,
        "mapped": 64,  # present ptes of its mms: the sum of process RSS
        "minor_faults": 64,
        "major_faults": 64,
    },
    "list": {"listed": 64},  # entries on each list of a container, where lists are split
    "zone": {
        "zone_frames": 64,
        "zone_free": 64,
        "zone_min": 64,
        "zone_low": 64,
        "zone_high": 64,
        "zone_node": 32,
        "zone_owner": 32,
        "zone_active": 64,  # the kernel's own count, which may inflate (RE10)
        "zone_inactive": 64,
        "zone_scan_active": 64,
        "zone_scan_inactive": 64,
        "zone_anon": 64,
        "zone_file": 64,
        "zone_special": 64,
        "zone_kernel": 64,
        "zone_pinned": 64,  # granules with unmovable frames
        "zone_open": 32,  # ring of those with room: the next to be used (+1)
        "zone_stale": 64,  # first cell of its free frames in `stale`
    },
    "object": {
        "obj_kind": 32,
        "obj_base": 32,
        "obj_pages": 32,
        "obj_vmas": 32,
        "obj_filed": 32,  # container that pays for its anonymous file (+1)
        "obj_path": 32,
        "obj_payer": 32,  # container (+1) that pays for the mount it is on: mount option memcg=
        "obj_owner": 32,  # container (+1) that opened, mapped or read it first
    },
    "granule": {  # a pinned one
        "gran_zone": 32,
        "gran_pins": 32,  # unmovable frames in it
        "gran_next": 32,
        "gran_prev": 32,
    },
    # +PC: a ring per container of the cached pages it pays for, newest first (see `cache`)
    "cache": {"cache_owner": 32, "cache_next": 32, "cache_prev": 32},
    "access": {"near": 64, "far": 64},  # per container and node: by tasks there, by others
    "bound": {"bound": 32},  # per container and object: the set's zone it must lie in (+1)
    "handle": {"fd_next": 32, "fd_file": 32},
    "file": {"file_refs": 32, "file_container": 32, "file_object": 32},
    "fileset": {"fileset_head": 32, "fileset_users": 32},
    "filezone": {"filezone": 32, "file_payer": 32},
    "stack": {"task_stack": 32, "stack_payer": 32},  # zones of the kernel stacks
    "stale": {"stale": 8},
    "waiting": {"pages_waiting": 32},  # pagevecs: count and pages, inactive then active
    "batch": {"batch": 32},
    "digit": {"digit_first": 32, "digit_last": 32},  # of `sort_ptes`: places that have it (+1)
    "writing": {"writing": 32},
    "leaving": {"leaving": 32},
    "broken": {"broken": 8},  # per vpage, when the trace has io_error
    "stat": {"stat": 64},
    "kill": {
        "kill_event": 64,
        "kill_container": 32,
        "kill_current": 32,
        "kill_victim": 32,
        "kill_points": 64,
        "kill_usage": 64,
        "kill_freed": 64,
    },
    "candidate": {"cand_kill": 32, "cand_task": 32, "cand_points": 64},
    "life": {
        "life_event": 64,
        "life_what": 32,
        "life_page": 32,
        "life_container": 32,
        "life_task": 32,
        "life_amount": 64,
    },
    "sample": {"sample": 64},
}

# scalars: names; all 64-bit integers. Choices, which never change once the state is there:
FIXED = (
    # of the scheme
    "unit", "record", "lists", "reclaim", "at_limit", "rewalk", "placement", "per_pair", "bills",
    "resident", "tree", "family", "has_payer", "charge_batch", "death", "swap_books",
    "kernel_memory", "oom_score", "heir", "frees_forced", "zero_is_none", "slots", "penalty_rate",
    "cache", "ubc", "by", "grows", "orphan", "carries", "all_references",
    # of the machine
    "granule", "spread", "numa", "counted", "has_mems", "has_special", "has_broken", "quirks",
    "cluster", "async_write", "pagevec", "debug_vm", "page_tables", "watch",
)
# what stays as it is from one call of the engine to its end:
CONSTANTS = (
    *FIXED, "fork_check", "pushback", "leader_moves",
    "vpages", "containers", "zones", "nodes", "tasks", "objects", "copies_at", "hash_slots",
    "ptes_end", "pages_end", "entries_end", "vmas_end", "mms_end", "fds_end", "files_end",
    "grans_end", "kills_end", "cands_end", "lives_end",
    "swap_size", "total_frames", "swappiness", "task_frames", "files_per_frame",
    "prefetch", "many_pairs", "sample_every", "sample_width",
)
# and what changes:
VARIABLES = (
    # what is used of the growing tables
    "slots_used", "pages_free", "pages_top", "entries_free", "entries_top", "vmas_free",
    "vmas_top", "mms_top", "tasks_top", "fds_free", "fds_top", "files_free", "files_top",
    "filesets_top", "grans_free", "grans_top", "kills", "cands", "lives",
    # the machine
    "clock", "hung", "trouble", "swap_used", "swap_full", "writing_count", "leaving_count",
    "mapped_pages", "leaked_frames", "warnings", "open_files", "file_frames", "used_after_free",
    "chance", "tmp",
    # the event in progress
    "need", "spare", "fault_at", "at", "task", "pte", "held_page", "paid", "payer", "best",
    "protects", "balanced", "begun", "spared", "over_high", "denied", "in_call", "remote",
    "evicting", "scanned", "taken", "fresh_zone", "fresh_stale",
    "sample_at", "sample_top",
)
SCALARS = CONSTANTS + VARIABLES
