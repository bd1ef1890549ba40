"""A Jupyter server of our own on 127.0.0.1 and a headless Chromium, for tests.

The server has a random port and token and its own folders, and is ended by its process id. Pictures
of what was seen go to `$WORKBENCH_SCREENSHOTS`, or to .screenshots/ beside the checkout's tests.
"""
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHOTS = Path(os.environ.get("WORKBENCH_SCREENSHOTS") or ROOT / ".screenshots")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]
QUIET = {  # no news pop-up, no autosave
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}
RUN_ALL = """async path => {
  const app = window.jupyterapp; await app.restored; let panel = null;
  for (let i = 0; i < 600 && !panel; i++) {
    panel = [...app.shell.widgets('main')].find(w => w.context && w.context.path === path);
    if (!panel) await new Promise(done => setTimeout(done, 100));
  }
  if (!panel) throw new Error('no panel for ' + path);
  await panel.context.ready; await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
  app.shell.collapseLeft(); app.shell.activateById(panel.id);
  return await app.commands.execute('notebook:run-all-cells'); }"""


@dataclass
class Server:
    """A running server: its address, its token, its process."""

    url: str
    token: str
    process: subprocess.Popen
    seconds: float
    port: int
    log: Path
    errors: list[str] = field(default_factory=list)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def server(command: list[str], folder: Path, scratch: Path) -> Iterator[Server]:
    """Start `command` (with {port} and {token} filled in) and wait until it answers."""
    port, token = free_port(), secrets.token_hex(16)
    settings = scratch / "config" / "labconfig" / "default_setting_overrides.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(QUIET))
    names = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "IPYTHONDIR": "ipython",
             "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTERLAB_SETTINGS_DIR": "settings",
             "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
    own = os.environ | {name: str(scratch / place) for name, place in names.items()}
    own.pop("WORKBENCH_LAB", None)
    words = [word.format(port=port, token=token) for word in command]
    log, begun = scratch / "server.log", time.monotonic()
    with log.open("w") as out:
        process = subprocess.Popen([sys.executable, "-m", *words], cwd=folder, env=own, stdout=out,
                                   stderr=out, stdin=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}"
            while True:
                if process.poll() is not None or time.monotonic() - begun > 90:
                    raise RuntimeError(f"no server: {log.read_text()[-3000:]}")
                try:
                    urllib.request.urlopen(f"{url}/api/status?token={token}", timeout=2)
                    break
                except urllib.error.HTTPError:
                    break  # it answers, whatever it says
                except OSError:
                    time.sleep(0.1)
            yield Server(url, token, process, time.monotonic() - begun, port, log)
        finally:
            for how in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
                if process.poll() is None:
                    process.send_signal(how)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(4)


def jupyterlab(folder: Path, scratch: Path):
    """JupyterLab on a folder."""
    return server(
        ["jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1", "--ServerApp.port={port}",
         "--ServerApp.port_retries=0", "--IdentityProvider.token={token}",
         "--ServerApp.allow_root=True", f"--ServerApp.root_dir={folder}",
         "--expose-app-in-browser"], folder, scratch)


@contextlib.contextmanager
def browser(scratch: Path, **options):
    """A page of a fresh headless Chromium; JavaScript errors are collected in `page.problems`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(scratch / "profile"), executable_path=CHROMIUM, headless=True, args=FLAGS,
            viewport={"width": 1400, "height": 1150}, **options)
        try:
            page = context.pages[0]
            page.problems = []
            page.on("pageerror", lambda error: page.problems.append(str(error)))
            page.set_default_timeout(60_000)
            yield page
        finally:
            context.close()


def open_notebook(page, lab: Server, path: str) -> None:
    """Open a notebook in JupyterLab and run all its cells."""
    page.goto(f"{lab.url}/lab/tree/{path}?reset&token={lab.token}")
    page.wait_for_function("() => !!window.jupyterapp")
    page.evaluate(RUN_ALL, path)


def shot(page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SHOTS / f"{name}.png"))
