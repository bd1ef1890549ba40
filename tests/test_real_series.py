"""Numbers measured on real machines against the engine: kernel.md 7.1 of the specification.

Five processes walk one list of 2655 MiB; the reference counts they write turn shared pages into
copies (github.com/ppwwyyxx/RAM-multiprocess-dataloader, `main-naive-log.txt`). 1 page is 1 MiB.
"""

import functools

import pytest

from workbench import TraceBuilder, replay

LIST = 2655
WORKERS = ("w1", "w2", "w3", "w4")
CLOSE = pytest.approx


@functools.cache
def forked(scheme: str, copied: int):
    """Every worker, in a container of its own, has written the first `copied` pages."""
    b = TraceBuilder()
    for name in ("main", *WORKERS):
        b.container(name)
    b.task("parent", "main"), b.anon("list", LIST)
    b.touch_write("parent", "list")
    for name in WORKERS:
        b.fork("parent", f"child {name}")
        b.move(f"child {name}", name)
    for page in range(0, copied, 100):  # in turns, page after page
        for name in WORKERS:
            b.touch_write(f"child {name}", "list", range(page, min(copied, page + 100)))
    return replay(b.build(), scheme, engine="interpreted")


@pytest.mark.parametrize("copied", [0, 9, 505, 565])
def test_the_truth_obeys_the_closed_forms(copied):
    """RSS stays; PSS = u + (S - u)/5; the parent writes nothing and owns what the others left."""
    rss, pss, uss = (numbers[1:] for numbers in forked("first_touch", copied).truth())
    assert list(rss) == [LIST] * 5, "charge-every-mapper sees nothing of all this"
    assert list(map(float, pss)) == CLOSE([copied + (LIST - copied) / 5] * 5, rel=0.005)
    assert list(uss) == [copied] * 5
    assert [u + 5 * (p - u) for p, u in zip(pss, uss, strict=True)] == [LIST] * 5
    frames = forked("first_touch", copied).state.zone_anon
    assert sum(frames) == LIST + 4 * copied


@pytest.mark.parametrize(
    ("uss", "pss"), [(9.0, 538.2), (505, 935.1), (505, 939.2), (564.5, 982.6)]
)
def test_the_log_of_the_real_program(uss, pss):
    """Samples of worker 791625, and of all workers at 505 MiB, within half a percent."""
    found = float(forked("first_touch", round(uss)).truth()[1][2])
    assert found == CLOSE(pss, rel=0.005)


@pytest.mark.parametrize(
    ("scheme", "charges"),
    [
        ("first_touch", (2655, 505, 505, 505, 505)),
        ("beancounter", (774, 1043, 1043, 1043, 774)),
        ("fraction", (935, 935, 935, 935, 935)),
        ("every_mapping", (2655, 2655, 2655, 2655, 2655)),
        ("dual_count", (2655, 2655, 2655, 2655, 2655)),
    ],
)
def test_who_is_charged_at_505(scheme, charges):
    usage = [float(x) for x in forked(scheme, 505).usage_exact().values()][1:]
    assert usage == CLOSE(list(charges), rel=0.005)
    if scheme in ("first_touch", "beancounter", "fraction"):
        assert sum(usage) == LIST + 4 * 505, "charges add up to the frames"


def test_the_second_number_of_dual_count_is_the_fraction():
    bills = forked("dual_count", 505).summary()["bill"].tolist()[1:]
    assert bills == CLOSE([935.0] * 5, rel=0.005)
