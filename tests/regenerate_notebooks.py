"""Run every notebook again and store its outputs: `python tests/regenerate_notebooks.py [FILE...]`.

The same bytes every time on one set of package versions (workbench/constraints.txt): no times, no
widget state, no machine's names. A notebook is replaced only when all its cells ran. Without files
named, the README's picture is drawn again as well.
"""
import io
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def executed(path: Path) -> str:
    """The text of the notebook with fresh outputs. Raises CellExecutionError."""
    import matplotlib.font_manager  # noqa: F401  (its cache is made here, not in a cell)

    book = nbformat.read(path, 4)
    for number, cell in enumerate(book.cells, 1):
        cell.id = f"cell-{number:02d}"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    os.environ["WORKBENCH_LAB"] = "static"  # pictures in place of widgets
    client = NotebookClient(
        book, kernel_name="python3", timeout=1200, record_timing=False, store_widget_state=False,
        coalesce_streams=True,  # however slowly the lines arrive
        extra_arguments=["--log-level=40"], resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    book.metadata = METADATA
    for cell in book.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
    return nbformat.writes(book) + "\n"


def joined(outputs: list) -> list:
    """Text that came in several pieces, as busy machines send it, as one."""
    found: list = []
    for output in outputs:
        last = found[-1] if found else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
        else:
            found.append(output)
    return found


def picture() -> bytes:
    """The main job's chart, small, for the README."""
    from workbench import compare, scenarios
    from workbench.cli.main_job import HEADLINES

    limits = {"A": "24MiB", "B": "24MiB"}
    chart = compare(scenarios.gcc2(), HEADLINES, limits=limits, engine="interpreted").plot()
    out = io.BytesIO()
    chart.savefig(out, format="png", dpi=80, metadata={"Software": None})
    return out.getvalue()


def replace(path: Path, data: bytes) -> None:
    same = path.exists() and path.read_bytes() == data
    path.parent.mkdir(exist_ok=True)
    work = path.with_name(f".{path.name}.new")
    work.write_bytes(data)
    os.replace(work, path)
    print(f"{path.name}: {'as it was' if same else 'changed'}")


def main(names: list[str]) -> None:
    for path in map(Path, names) if names else sorted(FOLDER.glob("*.ipynb")):
        replace(path, executed(path).encode())
    if not names:
        replace(FOLDER / "images" / "gcc2.png", picture())


if __name__ == "__main__":
    main(sys.argv[1:])
