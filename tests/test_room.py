"""A state that this computer cannot hold is refused before it is built."""

import pytest

from workbench import replay
from workbench.cli import main
from workbench.kernel import TooLarge
from workbench.kernel.room import free_bytes
from workbench.trace import TraceBuilder


def crowd(containers: int, pages: int, touched: int):
    b = TraceBuilder()
    b.file("library", pages)
    for i in range(containers):
        b.container(f"C{i}")
        b.task(f"t{i}", f"C{i}")
        b.touch_read(f"t{i}", "library", 0, touched)
    return b.build()


@pytest.mark.parametrize("engine", ["interpreted", "compiled"])
@pytest.mark.parametrize("scheme", ["partition", "copy_on_reclaim"])
def test_copies_for_every_container_are_counted_before_they_are_made(monkeypatch, scheme, engine):
    monkeypatch.setenv("WORKBENCH_MEMORY", "300MiB")
    trace = crowd(100, 100_000, 1)
    with pytest.raises(TooLarge, match=rf"{scheme}: 100,000 pages.* one of 100 containers.* GiB"):
        replay(trace, scheme, engine=engine)
    assert replay(trace, "first_touch", engine=engine).usage_exact()["C0"] == 1


def test_a_page_has_a_number_of_32_bits():
    with pytest.raises(TooLarge, match="more than the 2,147,483,647 rows"):
        replay(crowd(1_000, 10_000_000, 1), "copy_on_reclaim", engine="interpreted")


def test_a_table_that_grows_too_large_is_refused(monkeypatch):
    monkeypatch.setenv("WORKBENCH_MEMORY", "280M")
    with pytest.raises(TooLarge, match=r"page-table entries: that takes .* fewer pages"):
        replay(crowd(30, 400_000, 400_000), "none", engine="compiled")


def test_the_command_line_calls_it_a_mistake(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("WORKBENCH_MEMORY", "300m")
    crowd(100, 100_000, 1).save(tmp_path / "crowd.zip")
    assert main(["run", str(tmp_path / "crowd.zip"), "--scheme", "partition"]) == 2
    assert "Take smaller objects, fewer containers" in capsys.readouterr().err


def test_a_bound_that_is_no_size_is_named(monkeypatch):
    monkeypatch.setenv("WORKBENCH_MEMORY", "lots")
    with pytest.raises(ValueError, match="WORKBENCH_MEMORY=lots: a number of bytes"):
        free_bytes()


@pytest.mark.parametrize("group, files", [
    ("0::/jobs/one", {"jobs/memory.max": 1000, "jobs/memory.current": 900,
                      "jobs/memory.stat": "anon 1\nactive_file 20\ninactive_file 30\nfile 99",
                      "jobs/one/memory.max": "max", "jobs/one/memory.current": 800}),
    ("4:memory:/jobs", {"memory/jobs/memory.limit_in_bytes": 1000,
                        "memory/jobs/memory.usage_in_bytes": 900,
                        "memory/jobs/memory.stat": "active_file 1\ntotal_active_file 50"}),
])
def test_the_control_group_counts_too(tmp_path, group, files):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:       2 kB\n")
    (tmp_path / "proc/self/cgroup").write_text(f"9:pids:/jobs\n{group}\n")
    assert free_bytes(tmp_path) == 2048
    for name, value in files.items():
        (tmp_path / "sys/fs/cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys/fs/cgroup" / name).write_text(str(value))
    assert free_bytes(tmp_path) == 150


def test_where_nothing_is_said_nothing_is_refused(tmp_path):
    assert free_bytes(tmp_path) is None
