"""What is asked of a counter form, and the small cases in which it is asked."""

from __future__ import annotations

from typing import NamedTuple

Call = tuple[str, int]  # ("charge", 2), ("uncharge", 1), ("set_limit", 1), ("leave", 0)


class Case(NamedTuple):
    """What the actors do: `before` one after the other, then `programs` in every order."""

    title: str
    limit: int
    programs: tuple[tuple[Call, ...], ...]
    before: tuple[tuple[int, Call], ...] = ()


class Property(NamedTuple):
    means: str
    cases: tuple[Case, ...]
    may_exceed: bool = True  # the specification lets a charge succeed that does not fit
    may_refuse: bool = True  # ... and fail that does
    watched: bool = False  # somebody reads usage and failcnt together, whenever no lock is held
    rest: str = ""  # checked whenever no call is under way: usage, drift or failcnt


def charge(v: int = 1) -> Call:
    return ("charge", v)


def uncharge(v: int = 1) -> Call:
    return ("uncharge", v)


def set_limit(new: int) -> Call:
    return ("set_limit", new)


LEAVE: Call = ("leave", 0)

UNIT = (
    Case("two want the last page", 1, ((charge(),), (charge(),))),
    Case("three want two pages", 2, ((charge(),), (charge(),), (charge(),))),
    Case("one gives back, two want it", 1, ((uncharge(),), (charge(),), (charge(),)),
         before=((0, charge()),)),
    Case("two take and give back", 1, ((charge(), uncharge()),) * 2),
    Case("three take and give back one page", 1, ((charge(), uncharge()),) * 3),
    Case("three take and give back two pages", 2, ((charge(), uncharge()),) * 3),
    Case("a page passes from one to another, a third wants one", 2,
         ((uncharge(),), (charge(),), (charge(),)), before=((0, charge()),)),
    Case("one gives back, the other wants two", 2, ((uncharge(),), (charge(), charge())),
         before=((0, charge()), (1, charge()))),
)
PAGES = (
    Case("two and two under three", 3, ((charge(2),), (charge(2),))),
    Case("one that never fits beside one that does", 2, ((charge(3),), (charge(),))),
    Case("three of several sizes", 3, ((charge(2), uncharge(2)), (charge(), uncharge()),
                                       (charge(2),))),
    Case("two more where one is left", 2, ((charge(2),),), before=((0, charge()),)),
    Case("two pages under a limit of one", 1, ((charge(2),),)),
)
ZERO = (
    Case("a limit of zero", 0, ((charge(),),)),
    Case("a limit of zero, two actors", 0, ((charge(),), (charge(),))),
)
CUT = (
    Case("cut below usage, then one more", 2, ((set_limit(1), charge()),),
         before=((0, charge()), (0, charge()))),
    Case("cut while another charges", 2, ((set_limit(1),), (charge(), charge())),
         before=((0, charge()),)),
    Case("cut below usage, then one goes", 2, ((set_limit(1), uncharge()), (charge(),)),
         before=((0, charge()), (0, charge()))),
    Case("cut to usage, then one goes, two want it", 2, ((set_limit(1), uncharge()), (charge(),),
                                                         (charge(),)), before=((0, charge()),)),
)
RAISE = (
    Case("raised while two want a page", 1, ((set_limit(2),), (charge(),), (charge(),))),
    Case("raised and cut again", 1, ((set_limit(2), set_limit(1)), (charge(), uncharge()),
                                     (charge(),))),
    Case("raised, then two more", 0, ((set_limit(2), charge(), charge()),)),
)
ENDS = (
    Case("two take, give back and end", 2, ((charge(), uncharge(), LEAVE),
                                            (charge(), uncharge(), LEAVE))),
)

PROPERTIES: dict[str, Property] = {
    "limit": Property("charges of one page never leave more held than the limit", UNIT,
                      may_exceed=False),
    "pages": Property("neither do charges of several pages", PAGES, may_exceed=False),
    "zero": Property("a limit of zero grants nothing", ZERO, may_exceed=False),
    "cut": Property("a limit cut below usage grants nothing until usage has fallen", CUT,
                    may_exceed=False),
    "fits": Property("a charge that fits is never refused", UNIT + PAGES, may_refuse=False),
    "raise": Property("neither is one that fits while the limit is changed", RAISE,
                      may_refuse=False),
    "failcnt": Property("at rest, failcnt is the number of refusals", UNIT + PAGES,
                        rest="failcnt"),
    "whole": Property("usage and failcnt, read together, always show whole calls", UNIT,
                      may_exceed=False, may_refuse=False, watched=True),
    "usage": Property("at rest, usage is the number of pages held", UNIT + PAGES, rest="usage"),
    "drift": Property("at rest, the sum of all parts is the number of pages held",
                      UNIT + PAGES + ENDS, rest="drift"),
}
