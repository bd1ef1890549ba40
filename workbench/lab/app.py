"""`workbench app [EXPERIMENT]`: the explorer alone, in a browser, served by Voila.

One process on 127.0.0.1, a kernel per visitor, a random token in the address. EXPERIMENT is a line
as the explorer shows it, or a scenario's name. Options of Voila may follow (`--port=8866`,
`--no-browser`). Exit code 2 for a line that is wrong, after saying what would be right.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

from .experiment import experiment

PAGE = Path(__file__).with_name("app.ipynb")


def main(arguments: list[str]) -> int:
    """Serve until interrupted."""
    line = " ".join(word for word in arguments if not word.startswith("-"))
    options = [word for word in arguments if word.startswith("-")]
    try:
        wanted = experiment(line or "shared_page")
    except ValueError as problem:
        print(f"workbench: {problem}", file=sys.stderr)
        return 2
    os.environ["WORKBENCH_EXPERIMENT"] = str(wanted)
    if not any(word.startswith("--token") for word in options):
        options.append(f"--token={secrets.token_hex(16)}")
    from voila.app import Voila

    Voila.launch_instance([str(PAGE), "--Voila.ip=127.0.0.1", "--template=lab", *options])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
