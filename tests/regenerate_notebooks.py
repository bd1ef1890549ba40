"""Run every notebook again and store its outputs: `python tests/regenerate_notebooks.py [FILE...]`.

The same bytes every time on one set of package versions (workbench/constraints.txt): no times, no
widget state, no machine's names. A notebook is replaced only when all its cells ran.
"""
import os
import sys
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
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
    wire = "tcp" if os.name == "nt" else "ipc"  # tcp makes every kernel say that it is not secret
    client = NotebookClient(
        book, km=AsyncKernelManager(kernel_name="python3", transport=wire), timeout=300,
        record_timing=False, store_widget_state=False, resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    book.metadata = METADATA
    for cell in book.cells:
        cell.metadata.pop("execution", None)
    return nbformat.writes(book) + "\n"


def main(names: list[str]) -> None:
    for path in map(Path, names) if names else sorted(FOLDER.glob("*.ipynb")):
        text = executed(path)
        same = path.read_text(encoding="utf-8") == text
        work = path.with_name(f".{path.name}.new")
        work.write_text(text, encoding="utf-8", newline="\n")
        os.replace(work, path)
        print(f"{path.name}: {'as it was' if same else 'changed'}")


if __name__ == "__main__":
    main(sys.argv[1:])
