"""Files with the same bytes every time: CSV, Parquet, JSON; folders written whole."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any


def csv_bytes(table) -> bytes:
    """CSV with fixed decimals and Unix line ends."""
    return table.to_csv(index=False, lineterminator="\n", float_format="%.6f").encode()


def json_bytes(value: Any) -> bytes:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str)
    return (text + "\n").encode()


def parquet_bytes(table, provenance: dict) -> bytes | None:
    """Parquet with the provenance in its metadata (key `workbench`); None without pyarrow."""
    if importlib.util.find_spec("pyarrow") is None:
        return None
    import pyarrow
    import pyarrow.parquet

    arrow = pyarrow.Table.from_pandas(table, preserve_index=False)
    arrow = arrow.replace_schema_metadata({"workbench": json_bytes(provenance)})
    out = io.BytesIO()
    pyarrow.parquet.write_table(arrow, out)
    return out.getvalue()


def table_files(name: str, table, provenance: dict) -> dict[str, bytes]:
    """name.csv and, where pyarrow is there, name.parquet."""
    files = {f"{name}.csv": csv_bytes(table), f"{name}.parquet": parquet_bytes(table, provenance)}
    return {file: data for file, data in files.items() if data is not None}


def write_files(folder: str | Path, files: dict[str, bytes]) -> list[Path]:
    """Write files (`tables/x.csv` too) into a folder: all under temporary names, then renamed.

    A folder that is not there appears complete or not at all; other files in it are left alone.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; a folder is needed")
    there = folder.is_dir()
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder if there else folder.parent  # where a rename can reach the folder
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=beside))
    try:
        for name, data in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_bytes(data)
        if there:
            for name in files:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(work / name, folder / name)
        else:
            work.chmod(0o755)
            os.rename(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return [folder / name for name in sorted(files)]
