"""Numbers with names: flags, states, outcomes, parts of a scheme, quirks of the 2007 patch."""

# page-table entry, low byte of its word
PRESENT, YOUNG, WRITE, DIRTY, LOCKED, SWAP, ZERO, SHARED = (1 << i for i in range(8))

# page: kind in the low three bits (order of trace.KINDS), then flags
FILE, ANON, SHM, RAMFS, SPECIAL, KERNEL = range(6)
KIND = 7
RESIDENT = 1 << 3
ACTIVE = 1 << 4
REFERENCED = 1 << 5
CHANGED = 1 << 6  # PG_dirty
WRITEBACK = 1 << 7
ON_LRU = 1 << 8
SLOT = 1 << 9  # has a swap slot
STALE = 1 << 10  # its frame once carried a charge (CH5)
USED = 1 << 11  # the record is taken
STUCK = 1 << 12  # an extra reference for ever (CH4)
IN_PAGEVEC = 1 << 13
LISTED_ACTIVE = 1 << 14  # which of its zone's lists it is on

LEAVING = 1 << 15  # at the end of the event everybody loses it; negative in a column of 16 bits
GIVEN_UP = LEAVING  # (reclaim=copy, where nobody is LEAVING) who touches it next copies it

# vma
PRIVATE, HAS_ANON = 1, 2

# task
UNBORN, ALIVE, ZOMBIE, REAPED = range(4)
CAP_ROOT, CAP_RAWIO, CAP_INIT, CAP_STUCK = 1, 2, 4, 8

# what an event turned into, mildest first
OUTCOMES = (
    "hit", "ok", "zero", "minor", "cow", "major", "swapin", "refused", "error", "killed",
    "skipped", "hang",
)
HIT, OK, ZEROED, MINOR, COW, MAJOR, SWAPIN, REFUSED, ERROR, KILLED, SKIPPED, HANG = range(12)
RETRY = 12  # inside a fault: start the access over
SEGV = 13  # access outside every mapping: the trace is wrong

# hooks of a scheme
PRICE, MAPPED, UNMAPPED, BORN, GONE, PAYER = range(6)

# parts of a scheme
HEADS = 5  # lists of entries per container
RECORDED = ("none", "mapping", "walk", "page", "counted", "pair")  # what a charge is recorded on
MAPPING_RECORD, WALKED, PAGE_RECORD, COUNTED_RECORD = range(1, 5)
LISTS = ("none", "fifo", "lru", "split", "global")  # what is scanned at the limit
NO_LIST, FIFO, LRU, SPLIT, GLOBAL = range(5)
INACTIVE_ANON, ACTIVE_ANON, INACTIVE_FILE, ACTIVE_FILE, UNEVICTABLE = range(5)  # of split
RECLAIMS = ("none", "free", "unmap_all", "disown", "copy", "unmap_own", "free_own", "subtree",
            "virtual")
NO_RECLAIM, FREE, UNMAP_ALL, DISOWN, COPY, UNMAP_OWN, FREE_OWN, SUBTREE, VIRTUAL = range(9)
CACHES = ("free", "joint", "separate")  # who pays for cached pages that nobody maps
CACHE_FREE, JOINT, SEPARATE = range(3)
SLOTS = ("half", "kept", "freed")  # what becomes of a virtual slot when its page comes back
HALF_SLOTS, KEPT_SLOTS, FREED_SLOTS = range(3)
LIMITS = ("oom", "kill_current", "refuse_remote")
TO_OOM, TO_KILL_CURRENT, TO_REFUSE_REMOTE = range(3)
SCORES = ("size", "charged", "distinct")  # by what the container's OOM killer of 2007 chooses
BY_SIZE, BY_CHARGED, BY_DISTINCT = range(3)
HEIRS = ("oldest", "largest", "random", "next")  # who inherits a page its payer maps no more
OLDEST_HEIR, LARGEST_HEIR, RANDOM_HEIR, NEXT_HEIR = range(4)
MOVES = ("stay", "rewalk")
FAMILIES = ("2007", "v1", "v2")  # whose control files and whose habits
Y2007, V1, V2 = range(3)
DEATHS = ("stay", "zombie", "reparent", "recharge")  # of a container removed while charged
STAYS, TO_ZOMBIE, TO_PARENT, TO_MAPPER = range(4)
PLACEMENTS = ("any", "own_zone", "shared_zone", "partition")
ANYWHERE, OWN_ZONE, SHARED_ZONE, PARTITION = range(4)
SHARED_BY = ("flag", "mount", "directory")
BY_FLAG, BY_MOUNT, BY_DIRECTORY = range(3)
NUMA = ("stay", "follow", "touch")  # what pages do when their task changes nodes
STAY, FOLLOW, ON_TOUCH = range(3)
FULL = ("reclaim", "grow")  # what a full zone does
ORPHANS = ("stay", "destroy", "merge", "merge_shared")  # a dead container's zone
ORPHAN_STAYS, ORPHAN_DESTROYED, ORPHAN_MERGED, ORPHAN_SHARED = range(4)

# quirks of the patch as posted: one bit each, in this order
QUIRKS = {
    "limit_zero": "RC1: limit 0 wraps and means no limit",
    "trial_charge": "CH1: mapping an already charged page needs one free unit",
    "double_release": "CH3: a failed swap read gives the charge back twice",
    "leak_frames": "CH4: a refused copy or swap-in loses its frame",
    "stale_pointer": "CH5: a freed page's charge pointer is used again by a driver mapping",
    "scan_cutoff": "RE1: a quota below one cluster is not scanned at all",
    "two_pages": "RE3: freeing exactly one page counts as failure",
    "no_recheck": "RE4: the limit is not looked at again before the OOM killer",
    "rotation": "RE6: what was looked at goes back to the head of the list",
    "zone_counters": "RE10: pages taken from a container list inflate the zone's counters",
    "outsiders": "OO1: when nobody in the container scores, anybody is killed",
    "hang": "OO2: no killable task left means endless retry",
    "coupling": "OO3: a dying task anywhere stops every container's OOM killer",
    "children_first": "OO4: a child dies first, whatever its container",
}
(
    Q_LIMIT_ZERO, Q_TRIAL, Q_DOUBLE_RELEASE, Q_LEAK, Q_STALE, Q_CUTOFF, Q_TWO_PAGES,
    Q_NO_RECHECK, Q_ROTATION, Q_ZONE_COUNTERS, Q_OUTSIDERS, Q_HANG, Q_COUPLING, Q_CHILDREN,
) = (1 << i for i in range(14))

MAPPING_QUIRKS = Q_TRIAL | Q_DOUBLE_RELEASE | Q_LEAK | Q_STALE  # of payments at mapping time

# work counted, not timed
STATS = (
    "entries_scanned", "rmap_steps", "counters_touched", "entries_made", "minor_faults",
    "major_faults", "cow_copies", "swap_ins", "swap_outs", "disk_reads", "disk_writes",
    "pages_freed", "pages_unmapped", "zone_scanned", "holders_walked", "limit_hits", "oom_kills",
    "local_faults", "remote_faults", "pages_migrated",
    "local_accesses", "remote_accesses", "virtual_outs", "virtual_ins",
)
(
    N_SCANNED, N_RMAP, N_COUNTERS, N_ENTRIES, N_MINOR, N_MAJOR, N_COPIES, N_SWAP_INS,
    N_SWAP_OUTS, N_READS, N_WRITES, N_FREED, N_UNMAPPED, N_ZONE_SCANNED, N_HOLDERS, N_LIMIT_HITS,
    N_KILLS, N_LOCAL, N_REMOTE, N_MIGRATED, N_NEAR, N_FAR,
    N_VIRTUAL_OUTS, N_VIRTUAL_INS,
) = range(24)

# lines of a page's or container's life story
LIVES = (
    "mapped", "unmapped", "charged", "uncharged", "forced", "paid", "returned", "refused",
    "freed", "read in", "swapped in", "swapped out", "copied", "moved", "killed",
    "resized", "no free granule", "pinned granules", "still used",
)
(
    L_MAPPED, L_UNMAPPED, L_CHARGED, L_UNCHARGED, L_FORCED, L_PAID, L_RETURNED, L_REFUSED,
    L_FREED, L_READ, L_SWAPIN, L_SWAPOUT, L_COPIED, L_MOVED, L_KILLED,
    L_RESIZED, L_NO_GRANULE, L_PINNED, L_STILL_USED,
) = range(19)

# what a sample notes of each container; from `bill` on only some schemes count it (Parts.counts)
SAMPLED = (
    "usage", "limit", "failcnt", "mapped", "procs", "files", "minor_faults", "major_faults", "css",
    "bill", "vswap", "penalty", "unused", "swapped", "oom_failcnt", "cached", "cached_failcnt",
)
SAMPLE_WIDTH = len(SAMPLED)

TROUBLE = 3  # k.hung where a hook that a user wrote has failed (1: endless retry, 2: an assertion)
HUGE = 1 << 30  # pages: a limit no simulated machine can reach, so none at all
GOLDEN = 0x1E3779B97F4A7C15
