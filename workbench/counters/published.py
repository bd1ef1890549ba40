"""What was said of each form in March 2007, as far as the explorer can decide it.

`holds` is what the message, or the reading of it that this project began with, expects. Where the
explorer finds otherwise, `BECAUSE` says why; the tests fail when a reason is missing or not needed.
"""

from __future__ import annotations

from typing import NamedTuple


class Expectation(NamedTuple):
    form: str
    property: str
    holds: bool
    source: str


LOCK = "Pavel Emelianov, 6, 7 and 14 March"
RACE = "Pavel Emelianov and Eric Biederman, 11 March"
UNDO = "Herbert Poetzl, 12 March"
UNLESS = "the reading of Herbert Poetzl, 12 March, and Srivatsa Vaddagiri, 13 March"
LOOP = "Pavel Emelianov, 7 March"
PER_CPU = "Eric Biederman, Herbert Poetzl, Pavel Emelianov, 13 March"
TASKS = "Kirill Korotaev, 13 March"

PUBLISHED = tuple(
    Expectation(form, what, holds, source)
    for form, source, claims in (
        ("K1", LOCK, {"usage": True, "drift": True, "limit": True, "failcnt": True, "whole": True}),
        ("K1w", "the reading of patch 1/7", {"limit": True, "zero": False}),
        ("K2", RACE, {"usage": True, "limit": False, "whole": False}),
        ("K3", UNDO, {"usage": True, "limit": True, "pages": True, "cut": True, "fits": False,
                      "whole": False}),
        ("K4", UNLESS, {"usage": True, "limit": True, "pages": False, "cut": False,
                        "whole": False}),
        ("K5", LOOP, {"usage": True, "limit": True, "pages": True, "whole": False}),
        ("K5", f"the reading of {LOOP}", {"cut": True}),
        ("K5s", f"the reading of {LOOP}", {"limit": True, "cut": True}),
        ("K6", PER_CPU, {"usage": False, "limit": False, "whole": False, "drift": True}),
        ("K6m", PER_CPU, {"usage": False, "limit": True, "drift": True}),
        ("K7", TASKS, {"usage": False, "limit": True, "fits": False, "failcnt": True,
                       "whole": True}),
        ("K8", "Dave Hansen, 12 March", {"drift": True, "usage": False}),
    )
    for what, holds in claims.items()
)

BECAUSE = {
    ("K5s", "cut"): "a limit read before usage may be cut, and usage fall, between the two reads",
    ("K5", "cut"): "cmpxchg looks at usage, which came back to what it was; not at the limit",
    ("K6m", "limit"): "an exact sum is still check first, account later: two CPUs both find room",
    ("K7", "whole"): "a reader takes reserves for usage; of usage without them it is true",
}


def published(form: str, what: str) -> Expectation | None:
    """What was expected of a property of a form, if anything was."""
    return next((e for e in PUBLISHED if (e.form, e.property) == (form, what)), None)
