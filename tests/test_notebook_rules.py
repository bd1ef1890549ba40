"""Static rules for stored notebooks: nbval silently passes un-run cells, lax cells, images, widget
views and notebooks without outputs. The rules forbid those, and each rule is seen to fire."""
import json
import re
from copy import deepcopy
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
CELLS, LINES, WIDTH = 30, 12, 100  # at most: cells, lines of code in one, characters of a line
LAX = re.compile(r"#\s*(NBVAL_|PYTEST_VALIDATE_)(IGNORE_OUTPUT|SKIP)")
RAISES = {"raises-exception", "nbval-raises-exception"}
UNSTABLE = re.compile(
    r" at 0x[0-9a-f]{6,}|/(home|root|tmp|work|Users)/|\b\d+(\.\d+)? ?(ms|seconds)\b"
)


def text_of(output: dict) -> str:
    """What an output says in words: streams and text/plain."""
    said = output.get("text") or output.get("data", {}).get("text/plain") or ""
    return "".join(said)


def defects(book: dict) -> list[str]:
    """What in a stored notebook would let nbval pass without comparing, or fail falsely."""
    found, said = [], ""
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    if book["metadata"].get("kernelspec", {}).get("name") != "python3":
        found.append("kernelspec is not python3")
    if "widgets" in book["metadata"]:
        found.append("widget state is saved")
    if [cell["execution_count"] for cell in code] != list(range(1, len(code) + 1)):
        found.append("not run from top to bottom in a fresh kernel")
    if len(book["cells"]) > CELLS:
        found.append(f"{len(book['cells'])} cells; at most {CELLS}")
    for number, cell in enumerate(code, 1):
        source, tags = "".join(cell["source"]), set(cell["metadata"].get("tags", []))
        ignored = LAX.search(source) or tags & {"nbval-ignore-output", "nbval-skip"}
        if ignored and "interactive" not in tags:
            found.append(f"cell {number}: output ignored without the tag interactive")
        if source.count("\n") >= LINES:
            found.append(f"cell {number}: more than {LINES} lines")
        if max(map(len, source.splitlines()), default=0) > WIDTH:
            found.append(f"cell {number}: a line of more than {WIDTH} characters")
        if source.rstrip().endswith(";"):
            found.append(f"cell {number}: a semicolon at the end does not suppress output in nbval")
        errors = [o for o in cell["outputs"] if o["output_type"] == "error"]
        if bool(errors) != bool(tags & RAISES or "NBVAL_RAISES" in source):
            found.append(f"cell {number}: error stored without its tag, or tag without error")
        for output in cell["outputs"]:
            words = text_of(output)
            if output.get("name") == "stderr":
                found.append(f"cell {number}: output on stderr")
            if output.get("name") == "stdout":
                said += words
            if UNSTABLE.search(words):
                found.append(f"cell {number}: address, path or duration in the output")
            drawn = any(kind.startswith("image/") for kind in output.get("data", ()))
            if drawn and len(words) < 40:
                found.append(f"cell {number}: a figure without a sentence")
    if not re.search(r"^VERDICT .*\d", said, re.M):
        found.append("no VERDICT line with a digit on stdout")
    return found


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_rules(path):
    assert defects(json.loads(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_stored_as_the_regenerating_script_writes(path):
    """So that running it again shows only what changed."""
    import nbformat

    text = path.read_text(encoding="utf-8")
    book = nbformat.reads(text, 4)
    assert nbformat.writes(book) + "\n" == text
    numbers = range(1, len(book.cells) + 1)
    assert [cell.id for cell in book.cells] == [f"cell-{i:02d}" for i in numbers]


def code_cell(source="print(1)", text="VERDICT a 1\n", name="stdout", **metadata):
    outputs = [{"output_type": "stream", "name": name, "text": text}]
    return {"cell_type": "code", "execution_count": 1, "source": source, "outputs": outputs,
            "metadata": metadata}


def book_of(cell):
    return {"metadata": {"kernelspec": {"name": "python3"}}, "cells": [cell]}


def test_a_good_notebook_has_no_defects():
    assert defects(book_of(code_cell())) == []


@pytest.mark.parametrize("cell, expected", [
    (code_cell() | {"execution_count": None}, "not run"),
    (code_cell(source="print(1);"), "semicolon"),
    (code_cell(source="# NBVAL_IGNORE_OUTPUT\nprint(1)"), "ignored"),
    (code_cell(tags=["nbval-skip"]), "ignored"),
    (code_cell(source="\n" * LINES), "lines"),
    (code_cell(source="x" * 101), "characters"),
    (code_cell(name="stderr"), "stderr"),
    (code_cell(text="VERDICT none\n"), "VERDICT"),
    (code_cell(text="<object at 0x7f0123456789>\nVERDICT 1\n"), "address"),
    (code_cell(text="VERDICT 1 in /home/somebody\n"), "path"),
    (code_cell(text="VERDICT 1 after 0.31 seconds\n"), "duration"),
    (code_cell(tags=["raises-exception"]), "tag without error"),
])
def test_each_rule_fires(cell, expected):
    assert any(expected in defect for defect in defects(book_of(cell)))


@pytest.mark.parametrize("change, expected", [
    (lambda book: book["metadata"].pop("kernelspec"), "kernelspec"),
    (lambda book: book["metadata"].update(widgets={}), "widget"),
    (lambda book: book["cells"].extend([book["cells"][0]] * CELLS), "cells"),
    (lambda book: book["cells"][0]["outputs"].append({"output_type": "error"}), "error stored"),
    (lambda book: book["cells"][0]["outputs"].append(
        {"output_type": "display_data", "data": {"image/png": "", "text/plain": "<Figure>"}}),
     "figure without a sentence"),
])
def test_each_rule_of_the_whole_fires(change, expected):
    book = deepcopy(book_of(code_cell()))
    change(book)
    assert any(expected in defect for defect in defects(book))
