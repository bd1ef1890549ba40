"""The explorer and the questions without a browser: lines of text, histories, picture, widgets."""
import re
import time
import xml.etree.ElementTree as ET
from fractions import Fraction

import pytest

from workbench import TraceBuilder, replay, scenarios
from workbench.charts import style
from workbench.lab import Experiment, Question, drawing, explorer, film, quiz, view
from workbench.lab import questions as questions_module
from workbench.lab.experiment import experiment
from workbench.lab.history import Stopped, differences
from workbench.lab.questions import KINDS
from workbench.lab.words import difference_text, moment_text
from workbench.results import tables

LINES = (
    "shared_page schemes=first_touch,fraction,every_container at=9 page=libc:0",
    "exit_attack nodes=4 place=X1:1,V:2 limit.V=70 limit.X1=none schemes=first_touch,hand_over",
    "n_guests schemes=first_touch:lists=lru hide=schemes,line",
)


@pytest.fixture(scope="module")
def attack():
    return film(experiment("exit_attack schemes=first_touch,hand_over,every_mapping"))


# -- experiments as text -------------------------------------------------------------------------


@pytest.mark.parametrize("line", LINES)
def test_a_line_round_trips(line):
    found = Experiment.parse(line)
    assert str(found).partition(" ")[2] == line
    assert Experiment.parse(str(found)) == found


def test_a_line_carries_names_with_blanks_and_sizes_with_units():
    found = Experiment.parse("two_compiles seed=7 limit.A=1MiB page=heap%20A:3 schemes=fraction")
    assert found.limits == {"A": 256}
    assert found.page == ("heap A", 3)
    assert found.parameters == {"seed": 7}
    assert "page=heap%20A:3" in str(found)


def test_a_line_of_another_version_is_read_with_a_warning():
    found = Experiment.parse("workbench/0.0.1 shared_page schemes=none")
    assert "0.0.1" in found.other_version()
    assert not found.but(at=3).other_version()


@pytest.mark.parametrize("line, told", [
    ("", "expected workbench/VERSION"),
    ("sharedpage schemes=none", "did you mean shared_page"),
    ("shared_page schemes=frist_touch", "did you mean first_touch"),
    ("shared_page", "schemes=... is missing"),
    ("shared_page schemes=none at=soon", "at='soon'"),
    ("shared_page schemes=none pagse=3", "did you mean page"),
    ("shared_page schemes=none order=sideways", "not one of"),
    ("shared_page schemes=none limit.A=5000b", "whole pages"),
    ("shared_page schemes=none page=libc:x", "page='x'"),
    ("shared_page schemes=none,zone,fraction,hand_over,first_touch", "one to 4"),
    ("shared_page schemes", "not key=value"),
])
def test_a_wrong_line_says_what_would_be_right(line, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        Experiment.parse(line)


# -- histories -----------------------------------------------------------------------------------


def test_any_moment_is_what_a_replay_step_by_step_says(attack):
    for h in attack.histories:
        books = [(0,) * len(attack.containers)]
        books += [tuple(Fraction(int(u), k.unit) for u in k.usage) for k in h.run.walk()]
        for at in (0, 9, 15, 3, 10, 4, 14):  # back and forth
            assert h.moment(at).usage == books[at]
        assert [tuple(u[i] for u in h.usage) for i in range(len(h.times))] == books


@pytest.mark.parametrize("engine", ["interpreted", "compiled"])
def test_long_runs_are_exact_between_samples_too(engine):
    wanted = experiment("two_compiles alone=true limit.A=200 schemes=first_touch,fraction")
    made = film(wanted, engine=engine)
    story = scenarios.two_compiles(alone=True)
    for h in made.histories:
        run = replay(story, h.label, limits={"A": 200}, engine=engine)
        assert h.moment(made.events).usage == tuple(run.usage_exact().values())
        for at in (9_001, 14_000, 5, 9_000):
            k = run.state_at(at)
            assert h.moment(at).usage == tuple(Fraction(int(u), k.unit) for u in k.usage)
            assert h.moment(at).frames == k.mapped_pages


def test_the_map_says_who_pays(attack):
    for h in attack.histories:
        i = h.map_times.index(11)
        owners = h.run.owners(11).set_index(["object", "page"])["payers"]
        for row, paying in zip(attack.rows, h.payers[i], strict=True):
            names = "+".join(sorted(attack.containers[c] for c in paying))
            assert owners[row.obj, row.page] == names


def test_a_film_can_be_stopped():
    with pytest.raises(Stopped):
        film(experiment("exit_attack schemes=none"), stop=lambda: True)


# -- disagreements -------------------------------------------------------------------------------


def test_the_first_disagreement_is_found_and_explained(attack):
    walks = [[tuple(int(x) / k.unit for x in k.usage) for k in h.run.walk()]
             for h in attack.histories]
    first = next(i for i, books in enumerate(zip(*walks, strict=True), 1) if len(set(books)) > 1)
    assert next(differences(attack, "charges")) == first
    made = film(experiment("exit_attack schemes=first_touch,hand_over"))
    assert next(differences(made, "charges")) == 10
    said = difference_text(made, 10, "charges")
    assert "hand_over: X1 -40 and V +40" in said and "X1 still pays, though only V maps it" in said
    assert "victim of V with 91 points" in difference_text(made, 14, "kills")
    assert "V, charged 50 of 80 before, is refused 10 times" in difference_text(
        made, next(differences(made, "refusals")), "refusals")


def test_equal_schemes_do_not_disagree():
    made = film(experiment("shared_page third=false schemes=fraction,beancounter"))
    assert list(differences(made, "charges")) == []


def test_between_samples_the_very_event_is_found():
    made = film(experiment("two_compiles schemes=first_touch,fraction"))
    at = next(differences(made, "charges"))
    one, two = ([h.moment(t).usage for t in (at - 1, at)] for h in made.histories)
    assert one[0] == two[0] and one[1] != two[1]


# -- the picture ---------------------------------------------------------------------------------


def texts(svg: str) -> list[str]:
    return ["".join(e.itertext()) for e in ET.fromstring(svg).iter() if e.tag.endswith("text")]


def test_the_picture_is_a_pure_function_that_describes_itself(attack):
    one, two = view(attack, 10), view(attack, 10)
    assert one == two != view(attack, 9)
    root = ET.fromstring(one)
    said = moment_text(attack, [h.moment(10) for h in attack.histories])
    assert root.get("role") == "img" and root.get("aria-label") == said
    assert "hand_over: charged X1 0 of 80 and V 90 of 80 (10 refusals) pages" in said


def test_the_picture_has_the_numbers(attack):
    told = texts(view(attack, 10))
    assert "V 90 of 80, refused 10" in told
    assert {"first_touch", "hand_over", "every_mapping", "victim", "10"} <= set(told)


def test_the_balance_tips_when_a_scheme_counts_twice():
    made = film(experiment("shared_page schemes=first_touch,every_container,none"))
    told = texts(view(made, 9))
    assert {"balanced", "each frame is counted 3 times on average", "nobody pays"} <= set(told)
    beam = r'<path d="M(\S+) (\S+)L(\S+) (\S+)" stroke="#333333" stroke-width="4"'
    lean = [float(y0) - float(y1) for _, y0, _, y1 in re.findall(beam, view(made, 9))]
    assert lean[0] == 0 and lean[1] > 20 and lean[2] < -15


def test_the_page_followed_is_marked(attack):
    plain, marked = view(attack, 10), view(attack, 10, ("library", 3))
    assert len(marked) > len(plain)


def test_containers_look_as_in_the_other_charts():
    assert drawing.COLOURS == style.COLOURS and drawing.GREY == style.GREY
    found = drawing.looks(["root", *"ABCDEF"], "k")
    assert len({(x.colour, x.dash) for x in found}) == len(found)


def test_hatches_of_two_pictures_do_not_mix(attack):
    assert set(re.findall(r'id="(\w+)"', view(attack, 3, key="one"))).isdisjoint(
        re.findall(r'id="(\w+)"', view(attack, 3, key="two")))


@pytest.mark.parametrize("name", scenarios.names())
def test_every_story_can_be_drawn(name):
    if name in ("gcc2", "two_compiles"):
        return  # drawn above and in the browser
    made = film(experiment(name, ["first_touch", "zone"]))
    for at in (0, made.events // 2, made.events):
        ET.fromstring(view(made, at))


# -- the app, driven from Python -----------------------------------------------------------------


@pytest.fixture
def ui():
    return explorer("exit_attack", ["first_touch", "hand_over"]).wait()


def test_it_starts_at_the_end(ui):
    assert ui.at.value == ui.slider.value == 15
    assert "1 task killed" in ui.sentence and "wb-picture" in ui.picture.value


def test_moving_through_time(ui):
    ui.at.value = 9
    ui.wait()
    assert ui.slider.value == 9 and "after event 9 of 15" in ui.sentence
    ui.step.click()
    assert "after event 10 of 15" in ui.wait().sentence
    ui.back.click()
    ui.wait().back.click()
    assert "after event 8 of 15" in ui.wait().sentence


def test_a_limit_changes_the_run(ui):
    ui.limit_fields["V"].value = 60
    ui.wait()
    assert "limit.V=60" in ui.line.value
    expected = replay(scenarios.exit_attack(), "hand_over", limits={"V": 60})
    assert f"V 0 of 60 ({int(expected.state.failcnt[2])} refusals)" in ui.sentence
    ui.limit_fields["V"].value = ui.limit_fields["V"].max
    ui.wait()
    assert "limit.V=none" in ui.line.value
    assert ui.limit_fields["V"].description == "V: no limit"


def test_jumping_to_disagreements(ui):
    ui.jump.click()
    assert ui.wait().at.value == 10 and "V +40" in ui.note
    ui.kind.value = "kills"
    ui.next.click()
    assert ui.wait().at.value == 14 and "victim was killed" in ui.note
    ui.next.click()
    assert "do not disagree on kills after event 14" in ui.wait().note


def test_following_a_page(ui):
    ui.page.value = "library:3"
    ui.wait()
    assert "X1 still pays, though only V maps it" in ui.lives.value
    ui.page.value = "librery:3"
    with pytest.raises(ValueError, match="did you mean library"):
        ui.wait()
    assert "did you mean library" in ui.said.value and "wb-picture" in ui.picture.value


def test_mistakes_are_shown_and_leave_the_picture(ui):
    before = ui.picture.value
    ui.line.value = "exit_attack schemes=frist_touch"
    with pytest.raises(ValueError, match="did you mean first_touch"):
        ui.wait()
    assert ui.picture.value == before
    ui.at.value = 3
    assert "after event 3" in ui.wait().sentence


def test_a_line_brings_everything_back(ui):
    ui.at.value, ui.kind.value = 9, "kills"
    ui.limit_fields["V"].value = 60
    line = ui.wait().line.value
    again = explorer(line).wait()
    assert again.picture.value.count("wb-picture") == 1
    assert again.sentence == ui.sentence and again.line.value == line
    ui.line.value = "shared_page schemes=fraction at=9"
    assert "1/3" in ui.wait().sentence and ui.scenario.value == "shared_page"


def test_schemes_nodes_andplace_fields(ui):
    ui.schemes[2].value = "fraction"
    assert "fraction: charged" in ui.wait().sentence
    ui.node_count.value = 4
    ui.wait()
    assert set(ui.place_fields) == {"X1", "V"}
    ui.place_fields["V"].value = 3
    assert "place=X1:0,V:3" in ui.wait().line.value


def test_playing_reaches_the_end(ui):
    ui.play.value = True
    until = time.monotonic() + 20
    while ui.play.value and time.monotonic() < until:
        time.sleep(0.02)
    assert not ui.play.value and ui.wait().at.value == 15


def test_locked_controls_are_not_there():
    shown = explorer("shared_page", "fraction", hide=("schemes", "line")).wait()
    seen, todo = set(), [shown]
    while todo:
        widget = todo.pop()
        seen.add(widget)
        todo += getattr(widget, "children", ())
    assert shown.line not in seen and not seen & set(shown.schemes) and shown.slider in seen
    assert "hide=schemes,line" in shown.line.value
    with pytest.raises(ValueError, match="hide='slider': one of scenario"):
        explorer("shared_page", hide="slider")


def test_saving_writes_everything(ui, tmp_path):
    ui.folder.value = str(tmp_path / "out")
    ui.save.click()
    ui.wait()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"picture.svg", "experiment.txt", "summary.csv", "comparison.svg"} <= names
    assert (tmp_path / "out/experiment.txt").read_text().strip() == ui.line.value
    ET.fromstring((tmp_path / "out/picture.svg").read_text())


def test_a_long_run_can_be_cancelled_at_once(ui):
    before = ui.sentence
    ui.line.value = "two_compiles size=full schemes=first_touch,fraction,hand_over,zone"
    until = time.monotonic() + 20
    while ui.film.experiment.scenario != "two_compiles" and time.monotonic() < until:
        if ui._thread is not None and ui._done != ui._asked:
            break
        time.sleep(0.01)
    time.sleep(0.3)
    begun = time.monotonic()
    ui.cancel.click()
    said = ui.wait(10)
    assert time.monotonic() - begun < 5  # 0.3 s where nothing else runs: see the browser test
    assert said.sentence == before and "Cancelled" in ui.note


def test_what_is_seen_without_a_kernel(ui, monkeypatch):
    monkeypatch.setenv("WORKBENCH_LAB", "static")
    shown = ui._repr_mimebundle_()
    assert shown["text/plain"] == ui.sentence and "<svg" in shown["image/svg+xml"]
    monkeypatch.delenv("WORKBENCH_LAB")
    assert "application/vnd.jupyter.widget-view+json" in ui._repr_mimebundle_()


# -- questions -----------------------------------------------------------------------------------


def test_questions_are_the_same_for_a_seed_and_never_end():
    one, two, other = quiz(seed=7), quiz(seed=7), quiz(seed=8)
    assert str(one[3]) == str(two[3]) != str(other[3])
    asked = [question for question, _ in zip(one, range(10), strict=False)]
    assert [q.number for q in asked] == list(range(1, 11))
    assert [q.kind for q in asked[:5]] == list(KINDS)
    assert str(one[1_000_003]) == str(two[1_000_003])


@pytest.mark.parametrize("kind", KINDS)
def test_answers_come_from_a_replay(kind):
    """Each answer is found again by replaying under the scheme that the question names."""
    for number in range(1, 9):
        question = quiz(seed=5, kinds=kind)[number]
        assert question.check(question.answer)
        wrong = (set(question.choices) or {"77"}) - {question.answer}
        verdict = question.check(wrong.pop())
        assert not verdict and question.answer in str(verdict) and verdict.why


def test_a_bill_is_what_the_engine_charges():
    """The story of a question, typed in by hand, and replayed."""
    question = quiz(seed=2007)[1]
    assert question.asked == "Under every_mapping, how many pages is B charged now?"
    b = TraceBuilder()
    b.file("libc", 2, "/lib/libc.so.6")
    for box in "AB":
        b.task(box.lower(), b.container(box))
    b.touch_read("a", "libc")
    b.touch_read("b", "libc")
    b.unmap("a", "libc")
    b.fork("b", "b1")
    b.touch_read("b1", "libc")
    run = replay(b.build(), "every_mapping")
    assert [tables.event_text(run, i) in str(question) for i in (1, 3, 4, 5, 6)] == [True] * 5
    assert Fraction(question.answer) == run.usage_exact()["B"] == 4


@pytest.mark.parametrize("given, right", [("1/2", True), (0.5, True), ("0.50", True), (1, False)])
def test_numbers_may_be_written_as_fractions(given, right):
    question = Question(1, "bill", (), "?", (), "1/2", ("because",))
    assert bool(question.check(given)) is right


def test_answers_that_are_none():
    with pytest.raises(ValueError, match="did you mean nobody"):
        Question(1, "killed", (), "?", ("a", "nobody"), "a", ()).check("nobdy")
    with pytest.raises(ValueError, match="not a number of pages"):
        Question(1, "bill", (), "?", (), "1", ()).check("many")
    with pytest.raises(ValueError, match="did you mean bill"):
        quiz(kinds="bil")
    with pytest.raises(ValueError, match="did you mean fraction"):
        quiz(chosen=("frction",))
    with pytest.raises(IndexError, match="from 1"):
        quiz()[0]


def pressed(form, name: str) -> None:
    """Press a button of a form as a browser does (`click()` would swallow what goes wrong)."""
    todo = [form]
    while todo:
        widget = todo.pop()
        if getattr(widget, "description", "") == name:
            widget._click_handlers(widget)
            return
        todo += getattr(widget, "children", ())
    raise LookupError(name)


def test_the_form_asks_checks_and_goes_on():
    questions = quiz(seed=2007)
    form = questions_module.form(questions[1], questions)
    pressed(form, "Check")
    assert "Answer first" in form.children[-1].value
    form.children[1].value = "4"
    pressed(form, "Check")
    assert "Right: 4." in form.children[-1].value and "1 of 1 right" in form.children[-1].value
    pressed(form, "Another question")
    assert "Question 2" in form.children[0].value
    assert form.children[1].options == questions[2].choices


def test_a_question_without_widgets(monkeypatch):
    monkeypatch.setenv("WORKBENCH_LAB", "static")
    assert quiz(3)[2]._repr_mimebundle_() == {"text/plain": str(quiz(3)[2])}
    monkeypatch.delenv("WORKBENCH_LAB")
    assert "application/vnd.jupyter.widget-view+json" in quiz(3)[2]._repr_mimebundle_()
