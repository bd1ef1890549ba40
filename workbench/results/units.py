"""Sizes at the edges: `64MiB` and pages of 4 KiB; numbers as sentences show them."""

from __future__ import annotations

import re
from fractions import Fraction

PAGE_BYTES = 4096
FINE = 720_720 << 12  # parts of a page the truth is counted in: exact for up to 16 sharers
_BYTES = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def pages(size: int | str) -> int:
    """Pages in a size: a number of pages (64, "64", "64 pages") or bytes ("64MiB", "300k").

    Raises ValueError for anything else, and for bytes that are not whole pages.
    """
    if isinstance(size, int) and not isinstance(size, bool) and size >= 0:
        return size
    text = str(size).strip().lower() if isinstance(size, str) else ""
    if found := re.fullmatch(r"(\d+) *(pages?)?", text):
        return int(found[1])
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([bkmgt])(?:i?b)?", text)
    if not found or (found[2] == "b" and text.endswith("bb")):
        raise ValueError(f"size {size!r}: expected pages (64) or bytes with a unit (64MiB, 300KiB)")
    count = Fraction(found[1]) * _BYTES[found[2]] / PAGE_BYTES
    if count.denominator != 1:
        raise ValueError(f"size {size!r} is {float(count):g} pages; whole pages of 4KiB are needed")
    return int(count)


def size(count: int) -> str:
    """Pages as bytes with the largest unit that leaves a whole number: 16384 -> '64MiB'."""
    kib = count * PAGE_BYTES >> 10
    for unit in ("KiB", "MiB", "GiB"):
        if kib % 1024 or kib == 0:
            return f"{kib}{unit}"
        kib >>= 10
    return f"{kib}TiB"


def amount(value: int | float | Fraction) -> str:
    """A number of pages for a sentence: 1,234; 1/3; 12.67."""
    exact = value if isinstance(value, Fraction) else Fraction(value).limit_denominator(1 << 24)
    if exact.denominator == 1:
        return f"{int(exact):,}"
    if abs(exact) < 1 and exact.denominator <= 64:
        return str(exact)
    return f"{float(exact):,.2f}"


def count(number: int | float | Fraction, noun: str) -> str:
    """`1 page`, `1/2 page`, `3 pages`."""
    return f"{amount(number)} {noun}" + ("s" if abs(number) > 1 or not number else "")
