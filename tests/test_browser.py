"""The explorer in a real browser: Chromium against JupyterLab and against the app.

Skipped only where there is no Chromium, and then the summary says so. Needs no network: requests
to anywhere but 127.0.0.1 are refused. What was seen is kept as pictures (`browser.SHOTS`), and the
times from a key to the new picture are printed; they are never asserted.
"""
import json
import re
import shutil
import statistics
import time
from pathlib import Path

import nbformat
import pytest
from browser import CHROMIUM, ROOT, answers, browser, jupyterlab, open_notebook, server, shot

from workbench import replay, scenarios

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="NO CHROMIUM: the explorer was tested in no browser"
                       " (Debian, Ubuntu: apt-get install chromium)"),
]
TOUR = ROOT / "notebooks" / "00_tour.ipynb"
KEYS = """async ([selector, keys]) => {
  const host = document.querySelector('.wb-picture').parentElement, found = [];
  const handle = document.querySelector(selector); handle.focus();
  for (const key of keys) {
    const begun = performance.now();
    const drawn = new Promise((done, no) => {
      const seen = new MutationObserver(() => { seen.disconnect(); requestAnimationFrame(done); });
      seen.observe(host, {childList: true});
      setTimeout(() => no(new Error('no new picture after ' + key)), 20000); });
    handle.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
    await drawn; found.push(performance.now() - begun);
    await new Promise(done => setTimeout(done, 150)); }
  return found; }"""
MEASURED = "two_compiles alone=true limit.A=300 schemes=first_touch,fraction"  # 14,303 events


def told(page) -> str:
    return page.locator(".wb-picture").first.get_attribute("aria-label")


def until(page, pattern: str) -> str:
    """Wait until the picture's own description matches."""
    page.wait_for_function(
        "p => new RegExp(p).test(document.querySelector('.wb-picture')?.ariaLabel ?? '')",
        arg=pattern,
    )
    return told(page)


def handle(name: str) -> str:
    return f"[aria-label='{name} slider']"


def press(page, selector: str, *keys: str) -> None:
    page.wait_for_selector(selector)
    page.locator(selector).focus()
    for key in keys:
        page.keyboard.press(key)


def complaints(page) -> list[str]:
    """What axe-core finds inside the explorer."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context=".wb-explorer").response["violations"]
    return [f"{one['id']} ({one['impact']}): {node['html'][:160]}"
            for one in found for node in one["nodes"]]


def cell(*lines: str):
    return nbformat.v4.new_code_cell("\n".join(lines))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("chromium"), accept_downloads=True) as found:
        found.route(re.compile(r"^(?!https?://127\.0\.0\.1|data:|blob:)"),
                    lambda route: route.abort())
        yield found


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    """A folder with notebooks: the tour, one long story, one that runs long."""
    folder = tmp_path_factory.mktemp("notebooks")
    shutil.copy(TOUR, folder)
    for name, *lines in (
        ("attack", "ui = lab.explorer('exit_attack', ['first_touch', 'hand_over'])", "ui"),
        ("long", f"ui = lab.explorer({MEASURED!r}, engine='compiled')", "ui"),
        ("other", "ui = lab.explorer('shared_page')", "ui"),
    ):
        book = nbformat.v4.new_notebook(cells=[cell("from workbench import lab", *lines)])
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(book, folder / f"{name}.ipynb")
    return folder


@pytest.fixture(scope="module")
def lab(books, tmp_path_factory):
    with jupyterlab(books, tmp_path_factory.mktemp("lab")) as found:
        print(f"\nJupyterLab answers after {found.seconds:.1f} s")
        yield found
    assert found.process.poll() is not None and not answers(found.port)


def drive(page, folder: Path) -> None:
    """What a reader does, by keyboard and mouse; every number read is checked by a replay."""
    from playwright.sync_api import expect

    # starts at the end; then one event back, by button and by key
    assert "after event 15 of 15" in until(page, "after event 15 of 15")
    page.get_by_role("button", name="Back").click()
    until(page, "after event 14 of 15")
    press(page, handle("Event"), "ArrowLeft", "ArrowLeft")
    until(page, "after event 12 of 15")
    page.get_by_label("Events done").fill("15")
    page.keyboard.press("Enter")
    until(page, "after event 15 of 15")
    # a limit by keyboard: the number changes, and is the engine's; the picture changes
    before = page.locator(".wb-picture").first.inner_html()
    press(page, handle("Limit of V"), "PageDown")
    page.wait_for_function("b => document.querySelector('.wb-picture').innerHTML != b", arg=before)
    limit = int(page.get_by_label("V: pages").input_value())
    assert limit < 80
    run = replay(scenarios.exit_attack(), "hand_over", limits={"V": limit})
    until(page, rf"V 0 of {limit} \({int(run.state.failcnt[2])} refusals\)")
    # the first disagreement, with its reason
    page.get_by_role("button", name="First disagreement").click()
    until(page, "after event 10 of 15")
    page.get_by_text("hand_over: X1 -40 and V +40").wait_for()
    assert "X1 still pays" in page.locator(".wb-said").inner_text()
    # a click on a page of the map: its life under each scheme
    box = page.locator(".wb-picture").first.bounding_box()
    shape = json.loads(page.locator(".wb-picture").first.get_attribute("data-geometry"))
    scale = box["width"] / 1120
    x = box["x"] + scale * (shape["x"][0] + shape["w"] * 4 / shape["n"])
    page.mouse.click(x, box["y"] + scale * (shape["map"] + 2.5 * shape["row"]))
    until(page, "after event 4 of 15")
    expect(page.get_by_label("Follow page")).to_have_value(shape["pages"][2])
    page.locator(".wb-lives").get_by_text("V pays").first.wait_for()
    # drag through time
    y = box["y"] + scale * (shape["top"] + 20)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + scale * shape["w"] * 4 / shape["n"], y, steps=4)
    page.mouse.up()
    until(page, "after event 8 of 15")
    # play to the end
    page.get_by_role("button", name="Play").click()
    until(page, "after event 15 of 15")
    # another scheme, four nodes
    page.get_by_label("Scheme 3").select_option("every_container")
    until(page, "every_container: charged")
    page.get_by_label("NUMA nodes").select_option("4")
    until(page, "after event 15 of 15")
    page.get_by_label("V on node").select_option("3")
    page.wait_for_function("() => [...document.querySelectorAll('.wb-explorer input')]"
                           ".some(i => i.value.includes('place=X1:0,V:3'))")
    # a mistake is told, and what would be right
    page.get_by_label("Follow page").fill("librery:3")
    page.keyboard.press("Enter")
    page.get_by_text("did you mean library").wait_for()
    page.get_by_label("Follow page").fill("library:3")
    page.keyboard.press("Enter")
    page.wait_for_function("() => !document.querySelector('.wb-problem')")
    # files
    page.get_by_role("button", name="Save files").click()
    page.get_by_text("files in explorer").wait_for()
    line = (folder / "explorer" / "experiment.txt").read_text()
    assert f"limit.V={limit}" in line and "schemes=first_touch,hand_over,every_container" in line
    assert "<svg" in (folder / "explorer" / "picture.svg").read_text()
    rows = (folder / "explorer" / "summary.csv").read_text().splitlines()
    assert len(rows) == 1 + 3 * 3


def test_the_explorer_in_jupyterlab(page, lab, books):
    open_notebook(page, lab, "attack.ipynb")
    page.wait_for_selector(".wb-picture")
    shot(page, "lab_start")
    drive(page, books)
    shot(page, "lab_end")
    assert complaints(page) == []
    assert page.problems == []


def test_every_control_is_reached_by_tab(page, lab):
    names = set()
    page.locator(".wb-explorer select").first.focus()
    for _ in range(60):
        names.add(page.evaluate("() => { const e = document.activeElement; return e.ariaLabel"
                                " || (e.labels?.[0] ?? e).textContent.trim() }"))
        page.keyboard.press("Tab")
    wanted = {"Scenario", "Scheme 1", "Event slider", "Limit of V slider", "Events done",
              "▶ Play", "Step ▶", "First disagreement", "Follow page", "Experiment", "Save files"}
    assert wanted <= names


def test_the_tour(page, lab):
    """Every cell runs, the explorer appears and moves, a question is answered."""
    open_notebook(page, lab, TOUR.name)
    until(page, "shared_page under .*after event 5 of 15")  # a later cell has jumped there
    press(page, handle("Event"), "ArrowRight")
    until(page, "after event 6 of 15")
    shot(page, "tour_explorer")
    quiz = page.locator(".wb-quiz")
    quiz.scroll_into_view_if_needed()
    quiz.get_by_label("Answer").fill("4")
    page.keyboard.press("Enter")
    quiz.get_by_role("button", name="Check").click()
    quiz.get_by_text("Right: 4.").wait_for()
    shot(page, "tour_question")
    assert page.locator(".jp-RenderedText[data-mime-type*=error]").count() == 0
    assert page.problems == []


def test_times_from_key_to_picture(page, lab):
    open_notebook(page, lab, "long.ipynb")
    page.wait_for_selector(".wb-picture", timeout=120_000)
    page.wait_for_selector(handle("Limit of A"))
    time.sleep(1)
    moved = page.evaluate(KEYS, [handle("Event"), ["ArrowLeft"] * 12])
    before = told(page)
    redone = page.evaluate(KEYS, [handle("Limit of A"), ["ArrowLeft"] * 12])
    assert told(page) != before
    events = re.search(r"of ([\d,]+) \(", before)[1]
    print(f"\nkey to picture, {events} events, 2 schemes: median {statistics.median(moved):.0f} ms"
          f" (time only), {statistics.median(redone):.0f} ms (run redone); "
          f"slowest {max(moved):.0f} and {max(redone):.0f} ms")
    shot(page, "lab_long")
    assert page.problems == []


def test_a_long_run_shows_progress_and_is_cancelled(page, lab):
    open_notebook(page, lab, "other.ipynb")
    until(page, "shared_page under")
    line = page.get_by_label("Experiment")
    line.fill("evening_out size=full schemes=first_touch,fraction,hand_over,zone")  # seconds
    line.press("Enter")
    cancel = page.get_by_role("button", name="Cancel")
    cancel.wait_for(timeout=120_000)
    shot(page, "lab_progress")
    begun = page.evaluate("() => performance.now()")
    cancel.click()
    page.get_by_text("Cancelled").wait_for()
    spent = page.evaluate("() => performance.now()") - begun
    print(f"\ncancelled after {spent:.0f} ms")
    assert "shared_page under" in told(page)
    press(page, handle("Event"), "ArrowLeft")
    until(page, "after event 14 of 15")


def test_the_app(page, tmp_path):
    command = ["workbench.lab.app", "exit_attack schemes=first_touch,hand_over hide=nodes",
               "--no-browser", "--port={port}", "--token={token}"]
    with server(command, tmp_path, tmp_path / "own") as app:
        begun = time.monotonic()
        page.goto(f"{app.url}/?token={app.token}")
        until(page, "after event 15 of 15")
        print(f"\nthe app answers after {app.seconds:.1f} s, its picture after "
              f"{time.monotonic() - begun:.1f} s more")
        assert page.get_by_label("NUMA nodes").count() == 0
        press(page, handle("Limit of V"), "PageDown")
        until(page, r"V 0 of (?!80)\d+ \(")
        shot(page, "app")
        assert complaints(page) == []
        page.evaluate("() => document.querySelector('.wb-picture').removeAttribute('aria-label')")
        assert any("svg-img-alt" in found for found in complaints(page))  # it would be found
    assert app.process.poll() is not None and not answers(app.port)
