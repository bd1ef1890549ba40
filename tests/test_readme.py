"""What the README shows is true: its trace, its golden example, its Python, its tables."""
import re
from pathlib import Path

from workbench import cli, schemes

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.M | re.S)


def section(title: str) -> str:
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)[1]


def first_cells(title: str) -> list[str]:
    return re.findall(r"^\| `?([^|`]+?)`? \|", section(title), re.M)


def test_the_trace_can_be_written_by_hand(tmp_path, capsys):
    folder = tmp_path / "trace"
    folder.mkdir()
    found = re.findall(r"^`(\w+\.\w+)`[^\n]*\n\n```\w+\n(.*?)^```$", TEXT, re.M | re.S)
    assert len(found) == 5
    for name, text in found:
        (folder / name).write_text(text)
    assert cli.main(["trace", "check", str(folder)]) == 0
    assert cli.main(["compare", str(folder)]) == 0
    assert "first_touch" in capsys.readouterr().out


def test_the_golden_example_holds(tmp_path, capsys):
    (tmp_path / "example.toml").write_text(blocks("toml")[0])
    assert cli.main(["check", str(tmp_path / "example.toml")]) == 0


def test_three_lines_draw_a_chart():
    import workbench

    assert blocks("python")[0].strip() in re.sub(r"(?m)^    ", "", workbench.__doc__)
    lines = blocks("python")[0].strip().splitlines()
    assert len(lines) == 3
    names = {}
    code = "\n".join(lines).replace('"])', '"], engine="interpreted")')
    exec(compile(code, "README.md", "exec"), names)
    assert len(names["result"].runs) == 3


def test_every_scheme_is_in_the_table():
    assert set(first_cells("Schemes")) == {*schemes.names(), "scheme", "---"}


def test_commands_are_real(capsys):
    for words in re.findall(r"^\| `([^|]+)` \|", section("Commands"), re.M):
        for command in words.split("`, `"):
            name = " ".join(word for word in command.split()[:2] if word.islower())
            if not name.isdigit() and name not in ("test", "lab", "app"):
                assert cli.main([*name.split(), "--help"]) == 0, name
    assert "26 operations" in TEXT


def test_exit_codes_are_those_of_help(capsys):
    listed = set(re.findall(r"^\| (\d+) \|", section("Commands"), re.M))
    assert listed == set(re.findall(r"^    (\d+)  ", cli.__doc__, re.M))
    cli.main(["--help"])
    assert listed <= set(re.findall(r"\d+", capsys.readouterr().out))


def test_the_picture_is_there_and_small():
    picture = ROOT / re.search(r"\]\((notebooks/images/[\w.]+)\)", TEXT)[1]
    assert picture.stat().st_size < 120_000


def test_the_benchmark_has_its_place():
    assert re.search(r"^<!-- speed -->\n.*^<!-- /speed -->$", TEXT, re.M | re.S)
