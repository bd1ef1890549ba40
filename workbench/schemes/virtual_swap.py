"""Over its limit a guest swaps virtually: it is held up, its pages stay while the host has room."""

from workbench.kernel.counters import charge, uncharge
from workbench.kernel.hooks import find_entry, join, part, ring_append
from workbench.kernel.virtual import bring_back, forget, send_out

from .parts import Parts

TITLE = "virtual swap"
SOURCE = "Herbert Poetzl, 12, 13 and 23 Mar 2007 (an ideal, for Linux-VServer)"
ASSUMED = (
    "The charge is the sum of process RSS. At the limit the guest's oldest quiet page is unmapped "
    "from its own tasks and stays in its cache; pages of memory take a virtual slot, of which "
    "there are as many as pages in the limit unless vswap_limit says otherwise; files need none. "
    "Out and in cost the guest a disk time of 5 ms each, on a clock of its own (penalty=rate: as "
    "a disk that is busy that long). A slot is kept at the return while not half of them are "
    "taken (slots=kept, freed). When the host is short, what is out goes first. With no slot "
    "left, the OOM killer of the container. The host's swap needs room for what is unmapped."
)
UNIT = 1
PARTS = Parts(
    record="pair", lists="fifo", reclaim="virtual", references="own", move="rewalk",
    counts=("vswap", "penalty"),
)
OPTIONS = {"slots": ("half", "kept", "freed"), "penalty": ("delay", "rate")}
PROMISES = {
    "sum_is_mapped": False,  # counts mappings, not pages
    "neighbour_proof": True,
    "own_action_only": True,
    "never_above_limit": False,  # a fork or a move is not refused
    "shares_frames": True,
    "empty_owes_nothing": True,
}


def worth(k, e):
    return int(k.entry_count[e])


def price(k, page, c, _):
    return 1


def mapped(k, page, c, paid):
    charge(k, c, 1 - paid, page)
    out = find_entry(k, page, c)
    back = out >= 0 and k.entry_count[out] == 0
    e = join(k, page, c)
    if e >= 0:
        ring_append(k, page, e)
    elif back:
        bring_back(k, out, c)
    return 0


def unmapped(k, page, c, _):
    uncharge(k, c, 1, page)
    e = part(k)
    if e >= 0 and k.evicting:
        send_out(k, e, c)
    elif e >= 0:
        forget(k, e)
    return 0
