"""The bytes a limit file takes: the table of section 1 of the patch's specification."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.kernel import Knobs, control
from workbench.kernel.control import UNLIMITED, parse, write_limit
from workbench.trace.language import CONTROL_FILES

EINVAL = None
BOTH = {  # what is written -> the limit, whatever the word size
    b"100": 100,
    b"100\n": EINVAL,  # plain echo
    b"": 0,  # a write of no bytes succeeds
    b"\n": EINVAL,
    b" 12": EINVAL,
    b"12 ": EINVAL,
    b"+5": EINVAL,
    b"-1": EINVAL,
    b"12abc": EINVAL,
    b"0x10": EINVAL,
    b"012": 12,
    b"12\0zz": 12,
    b"0": 0,
    b"\0": EINVAL,  # no digits: `\n` in the table
    b"12\n\0": EINVAL,
}
WIDE = {
    64: {b"18446744073709551615": 2**64 - 1, b"18446744073709551616": 0},
    32: {
        b"4294967295": 2**32 - 1,
        b"4294967296": 0,
        b"4294967297": 1,
        b"18446744073709551615": 2**32 - 1,
        b"18446744073709551616": 0,
    },
}


@pytest.mark.parametrize("word", [64, 32])
@pytest.mark.parametrize("written", BOTH, ids=repr)
def test_any_word(written, word):
    assert write_limit(written, word) == BOTH[written]


@pytest.mark.parametrize(("word", "written"), [(w, text) for w in WIDE for text in WIDE[w]])
def test_overflow_is_silent(word, written):
    assert write_limit(written, word) == WIDE[word][written]


@pytest.mark.parametrize(("word", "limit"), [(64, 9223372036854775807), (32, 2147483647)])
def test_no_limit_is_long_max(word, limit):
    assert Knobs(word=word).no_limit == limit


@given(st.integers(0, 2**80), st.sampled_from([32, 64]))
def test_digits_count_modulo_the_word(number, word):
    assert write_limit(str(number).encode(), word) == number % 2**word


@given(st.binary(min_size=1, max_size=8))
def test_only_digits_then_nul_or_the_end(written):
    digits = written.partition(b"\0")[0]
    accepted = digits.isdigit() and digits.isascii()
    assert (write_limit(written) is not None) == accepted


def test_traces_and_engine_know_the_same_files():
    assert CONTROL_FILES == control.NAMES


# mm/page_counter.c page_counter_memparse(), LTP memcg_limit_in_bytes: "1.0", "1xx", "xx" refused
SIZES = {
    b"4096": 1, b"4095": 0, b"8191": 1, b"4k": 1, b"1M": 256, b"1g\n": 262144, b" 8192\n": 2,
    b"0x2000": 2, b"010000": 1, b"": 0, b"1.0": None, b"1xx": None, b"xx": None, b"-2": None,
    b"4 k": None, b"0x": None, b"10E": 10 << 48,
}


@pytest.mark.parametrize("written", SIZES, ids=repr)
@pytest.mark.parametrize("name", ["memory.limit_in_bytes", "memory.max"])
def test_sizes(name, written):
    assert parse(name, written) == SIZES[written]


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("memory.limit_in_bytes", b"-1\n", UNLIMITED),
        ("memory.limit_in_bytes", b"max", None),
        ("memory.max", b"max\n", UNLIMITED),
        ("memory.max", b"-1", None),
        ("memory.reclaim", b"1M", 256),
        ("memory.move_charge_at_immigrate", b"3", 3),
        ("memory.move_charge_at_immigrate", b"4", None),
        ("memory.oom.group", b"1", 1),
        ("memory.oom.group", b"2", None),
        ("memory.use_hierarchy", b"", None),
        ("memory.force_empty", b"whatever", 0),  # LTP force_empty: any string
        ("privvmpages", b"40\n", 40),
        ("privvmpages", b"40:60", 40),
        ("vmguarpages", b"40:40", 40),
        ("oomguarpages", b"60:40", None),  # a barrier above its limit
        ("oomguarpages", b"40:", None),
        ("oomguarpages", b"-1", None),
        ("privvmpages", b"99999999999999999999", UNLIMITED),
        ("pids.max", b"2", 2),
        ("pids.max", b"max", UNLIMITED),
        ("pids.max", b"4194304", 4194304),
        ("pids.max", b"4194305", None),
        ("pids.max", b"2k", None),
        ("pids.max", b"-1", None),
    ],
)
def test_other_files(name, written, value):
    assert parse(name, written) == value
