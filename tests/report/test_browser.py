"""What a reader sees: the page in a real browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import keep, page_of, read_page

from epochwise.plan import Plan
from epochwise.record import read_run
from epochwise.report import page, read_story
from staged import events_of, header_of

READ_FACTS = """() => Object.fromEntries(
  [...document.querySelectorAll("data[data-fact]")].map((e) => [e.dataset.fact, e.value]))"""

READ_CHARTS = """() => Object.fromEntries([...epochwise.drawn.values()].map((chart) => [
  chart.spec.id,
  {
    x: chart.u.data[0],
    y: chart.u.data.slice(1),
    colours: chart.spec.series.map((one) => one.colour),
    legend: chart.legend.textContent,
  },
]))"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of five epochs, 16 iterations each, with its page."""
    path = keep(tmp_path_factory.mktemp("runs") / "five", test={"loss": 0.25, "accuracy": 0.9})
    (path / "report.html").write_text(page_of(path), encoding="utf-8")
    return path


@pytest.fixture
def opened(chromium: Any, folder: Path) -> Any:
    """Return a function that opens the page and fails on any error it tells."""
    contexts = []
    told: list[str] = []

    def open_page(path: Path = folder / "report.html", **options: Any) -> Any:
        context = chromium.new_context(**({"locale": "en-GB"} | options))
        contexts.append(context)
        context.set_offline(True)
        page = context.new_page()
        page.on("console", lambda one: told.append(one.text) if one.type == "error" else None)
        page.on("pageerror", lambda error: told.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-drawn]", timeout=20_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert told == []


def test_the_numbers_in_the_page_are_those_that_were_written(opened: Any, folder: Path) -> None:
    """What the browser holds is what the file says, number for number."""
    facts = opened().evaluate(READ_FACTS)
    written = read_page((folder / "report.html").read_text("utf-8")).facts

    assert len(facts) > 60
    assert {name: {value} for name, value in facts.items()} == written


def test_the_charts_show_the_values_of_the_record(opened: Any, folder: Path) -> None:
    """Each loss, validation and accuracy of the record is what the chart was drawn from."""
    run = read_run(folder).run
    charts = opened().evaluate(READ_CHARTS)

    def drawn(chart: str, colour: str) -> tuple[list[float], list[float]]:
        column = charts[chart]["y"][charts[chart]["colours"].index(colour)]
        known = [
            (x, y) for x, y in zip(charts[chart]["x"], column, strict=True) if y is not None
        ]
        return [x for x, _ in known], [y for _, y in known]

    x, y = drawn("loss", "batch")
    assert x == list(range(1, 81))
    assert np.array(y, np.float32).tobytes() == run.losses.tobytes()
    for chart, name in (("loss", "val_loss"), ("metric-0", "val_accuracy")):
        assert drawn(chart, "validation") == ([16, 32, 48, 64, 80], list(run.history[name]))
    assert drawn("metric-0", "test") == ([80], [0.9])
    assert set(drawn("rate", "rate")[1]) == {0.001}


def test_the_points_are_painted_where_their_values_belong(opened: Any) -> None:
    """At the place of each validation point the canvas has its colour."""
    found = opened().evaluate("""() => [...epochwise.drawn.values()]
      .filter((chart) => chart.spec.id === "metric-0").flatMap(({ spec, u }) => {
        const series = spec.series.find((one) => one.colour === "validation");
        return series.x.map((x, i) => {
          const at = [u.valToPos(x, "x", true), u.valToPos(series.y[i], "y", true)];
          return [...u.ctx.getImageData(...at.map(Math.round), 1, 1).data];
        });
      })""")

    assert len(found) == 5
    for pixel in found:
        assert pixel == pytest.approx([0xC2, 0x57, 0x0C, 255], abs=8)


def test_every_chart_has_ink(opened: Any) -> None:
    """None of the canvases is empty."""
    inks = opened().evaluate("""() => [...epochwise.drawn.values()].map(({ u }) => {
      const { width, height } = u.ctx.canvas;
      const pixels = u.ctx.getImageData(0, 0, width, height).data;
      return pixels.filter((value, i) => i % 4 === 3 && value > 0).length;
    })""")

    assert len(inks) == 4
    assert min(inks) > 1000


@pytest.mark.parametrize(
    ("locale", "language", "seen", "unseen"),
    [
        ("en-US", "en", "Would one have been enough?", "一轮够吗？"),
        ("zh-CN", "zh-CN", "一轮够吗？", "Would one have been enough?"),
        ("zh-TW", "zh-CN", "一轮够吗？", "Would one have been enough?"),
        ("fr-FR", "en", "Would one have been enough?", "一轮够吗？"),
    ],
)
def test_the_language_is_the_browsers(
    opened: Any, locale: str, language: str, seen: str, unseen: str
) -> None:
    """Chinese for a browser that asks for it, English for all others."""
    page = opened(locale=locale)

    assert page.evaluate("document.documentElement.lang") == language
    shown = page.inner_text("main")
    assert seen in shown
    assert unseen not in shown


def test_the_language_can_be_switched(opened: Any) -> None:
    """A click changes text, legends and charts; the numbers stay."""
    page = opened()
    before = page.evaluate(READ_FACTS)

    page.click("button[data-language=zh-CN]")

    assert "一轮够吗？" in page.inner_text("main")
    assert "Would one" not in page.inner_text("main")
    assert "单批" in page.evaluate(READ_CHARTS)["loss"]["legend"]
    assert page.evaluate(READ_FACTS) == before


def test_dark_is_dark_and_light_is_light(opened: Any) -> None:
    """Page and charts take the colours that the reader's system asks for."""
    look = """() => {
      const [{ u }] = epochwise.drawn.values();
      return [getComputedStyle(document.body).backgroundColor, u.series[1].stroke(u, 1)];
    }"""

    assert opened(color_scheme="light").evaluate(look) == ["rgb(255, 255, 255)", "#a9bfd8"]
    assert opened(color_scheme="dark").evaluate(look) == ["rgb(20, 23, 27)", "#41566e"]


def test_nothing_sticks_out_of_a_screen(opened: Any) -> None:
    """The page is as wide as the screen, and so are its charts; only tables scroll."""
    page = opened()

    for width in (1600, 768, 390, 320):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_function(
            "(width) => [...epochwise.drawn.values()].every("
            "({ u }) => u.width >= 220 && u.width <= width)",
            arg=width,
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_number_can_be_asked_for_by_pointing(opened: Any) -> None:
    """The line below a chart names the iteration, its epoch and each value there."""
    page = opened()
    over = page.locator("figure[data-chart=loss] .u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function("document.querySelector('[data-section=loss] .readout').textContent")

    told = page.inner_text("[data-section=loss] .readout")
    assert "iteration 40" in told
    assert "epoch 3" in told
    assert "one batch 0.025" in told


def test_every_word_leads_to_its_meaning(opened: Any) -> None:
    """Each dotted word has a definition on hover, and a place in the glossary."""
    words = opened().evaluate("""() =>
      [...document.querySelectorAll("a.word")].map((word) => {
        const entry = document.querySelector(word.getAttribute("href"));
        return [word.title, entry?.nextSibling?.textContent];
      })""")

    assert len(words) > 20
    assert all(title and title == meaning for title, meaning in words)


def test_runs_are_compared_on_the_axis_that_was_chosen(opened: Any, tmp_path: Path) -> None:
    """Five epochs at 64 and at 250: the same lines against iterations, samples and seconds."""
    larger = Plan(samples=1_000, batch_size=250, epochs=5)
    folders = [
        keep(tmp_path / "at-64"),
        keep(
            tmp_path / "at-250",
            plan=larger,
            header=header_of(larger),
            events=events_of(larger, updates={"adam": larger.iterations}),
        ),
    ]
    path = tmp_path / "both.html"
    path.write_text(page([read_story(folder) for folder in folders]), encoding="utf-8")
    shown = opened(path)
    ends = {}
    for axis in ("iteration", "samples", "seconds"):
        shown.check(f"input[name=axis][value={axis}]")
        ends[axis] = shown.evaluate("""() => {
          const { spec, axis } = [...epochwise.drawn.values()]
            .find((chart) => chart.spec.id === "compare-metric-0"
              || chart.spec.id === "compare-0");
          return spec.series.filter((one) => one.y.length).map((one) => {
            const x = Array.isArray(one.x) ? one.x : one.x[axis];
            return x[x.length - 1];
          });
        }""")

    assert ends["iteration"] == [80, 20]
    assert ends["samples"] == [5_000, 5_000]
    assert ends["seconds"] == [
        pytest.approx(read_run(folder).run.seconds.training, rel=0.5) for folder in folders
    ]


def test_the_page_prints(opened: Any) -> None:
    """It becomes a few sheets of paper, light also where the screen is dark."""
    page = opened(color_scheme="dark")

    printed = page.pdf(format="A4")
    page.emulate_media(media="print")

    assert printed.startswith(b"%PDF")
    assert 2 <= printed.count(b"/Type /Page\n") <= 12
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)"
    )


def test_a_script_that_is_not_ours_does_not_run(opened: Any, folder: Path) -> None:
    """The policy stops it: shown by one that the page is given."""
    markup = page_of(folder)
    planted = folder / "planted.html"
    planted.write_text(
        markup.replace("</main>", "<script>document.title = 'run'</script></main>"), "utf-8"
    )
    page = opened()
    told: list[str] = []
    other = page.context.new_page()
    other.on("console", lambda message: told.append(message.text))
    other.goto(planted.as_uri())
    other.wait_for_selector("html[data-drawn]")

    assert other.title() != "run"
    assert any("Content Security Policy" in message for message in told)


def test_the_facts_read_by_the_browser_and_by_a_parser_agree(opened: Any, folder: Path) -> None:
    """The data of the charts arrives whole."""
    data = opened().evaluate("epochwise.data()")

    written = read_page((folder / "report.html").read_text("utf-8")).data
    assert json.loads(json.dumps(data)) == written
