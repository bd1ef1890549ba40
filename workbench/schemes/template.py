"""Last mapper: whoever mapped a page last pays for it until its last mapping anywhere goes."""

# A working scheme to begin from. Save it as mine.py, change it, and try it:
#
#     workbench schemes check ./mine.py
#     workbench compare shared_page --scheme first_touch --scheme ./mine.py
#
# The hooks run compiled: whole numbers, if, while, for over range, functions like these.
# k is the machine; its columns are listed in workbench/kernel/layout.py, and
# workbench/kernel/hooks.py says when a hook is called and what it may use.

from workbench.kernel.hooks import (
    add_entry,
    del_entry,
    give_entry,
    owner,
    pay_or_return,
    uncharge,
)
from workbench.schemes import Parts

SOURCE = "yours"
UNIT = 1  # parts of a page that you count in
PARTS = Parts(record="page", lists="fifo", reclaim="free", at_limit="oom", move="stay")
PROMISES = {"sum_is_mapped": True, "shares_frames": True}


def price(k, page, c, _):
    """Units that container c must be able to pay before it may map the page."""
    return 0 if owner(k, page) == c else 1


def mapped(k, page, c, paid):
    """Container c has a new mapping of the page; `paid` units were taken for it."""
    payer = owner(k, page)
    if payer < 0:
        k.page_entry[page] = add_entry(k, page, c) + 1
    elif payer != c:
        uncharge(k, payer, 1, page)
        give_entry(k, k.page_entry[page] - 1, c)
    pay_or_return(k, c, paid, 0 if payer == c else 1, page)


def unmapped(k, page, c, _):
    """A mapping of the page in container c has gone."""
    if k.page_maps[page] == 0:
        uncharge(k, owner(k, page), 1, page)
        del_entry(k, k.page_entry[page] - 1)
        k.page_entry[page] = 0
