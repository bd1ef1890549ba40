"""memory.stat of a container: what the pages that it pays for are. Looks at all of them."""

from __future__ import annotations

from .names import ACTIVE, ANON, FILE, HEADS, KIND, LOCKED, PRESENT, RAMFS, RESIDENT, SHM


def memory_stat(k, c: int, below: bool = True) -> dict[str, int]:
    """Pages by kind that container c, and with `below` those under it, are charged for.

    anon, file (without shmem), shmem, mapped_file (of file and shmem, somebody maps them),
    unevictable (locked by anybody, ramfs), active_anon ... inactive_file, kernel, swap. What v1
    calls rss is anon; its cache is file + shmem. Cost: one step per charge record.
    """
    found = dict.fromkeys(
        ("anon", "file", "shmem", "mapped_file", "unevictable", "inactive_anon", "active_anon",
         "inactive_file", "active_file", "kernel"), 0)
    members = [d for d in range(k.containers) if d == c or (below and under(k, d, c))]
    for d in members:
        found["kernel"] += int(k.kernel[d])
        for head in range(HEADS * d, HEADS * (d + 1)):
            e = k.entry_next[head]
            while e != head:
                count_page(k, int(k.entry_page[e]), found)
                e = k.entry_next[e]
    return found | {"swap": int(k.swapped[c])}


def under(k, c: int, top: int) -> bool:
    while c >= 0 and c != top:
        c = int(k.parent[c])
    return c == top


def count_page(k, page: int, found: dict[str, int]) -> None:
    flags = int(k.page_flags[page])
    kind = flags & KIND
    if not flags & RESIDENT:
        return
    found[{ANON: "anon", SHM: "shmem"}.get(kind, "file")] += 1
    if kind != ANON and k.page_maps[page]:
        found["mapped_file"] += 1
    if kind == RAMFS or locked(k, page):
        found["unevictable"] += 1
    else:
        active = "active" if flags & ACTIVE else "inactive"
        found[f"{active}_{'file' if kind == FILE else 'anon'}"] += 1


def locked(k, page: int) -> bool:
    pte = k.page_rmap[page] - 1
    for _ in range(int(k.page_maps[page] + k.page_swaps[page])):
        w = int(k.word[pte])
        if w & PRESENT and w & LOCKED:
            return True
        pte = k.pte_next[pte]
    return False
