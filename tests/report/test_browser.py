"""What a reader sees: the page in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import PLAN, keep, page_of, read_page

from epochwise.counting.plan import Plan
from epochwise.events import EpochDone, Evaluated, Event, IterationsDone
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


OUT_OF_SIGHT = """() => [...document.querySelectorAll("body *")].filter((one) => {
  const { left, right, width } = one.getBoundingClientRect();
  if (one.closest("details:not([open]) > :not(summary)")) return false;
  const scrolls = one.matches(".scroll") && one.scrollWidth > one.clientWidth;
  return scrolls || (width && (left < -0.5 || right > innerWidth + 0.5));
}).map((one) => `${one.tagName} ${one.className} ${one.textContent.slice(0, 40)}`)"""

LABELS = """() => [...epochwise.drawn.values()].filter(({ spec }) => spec.id === "loss")
  .map(({ u }) => {
    const axis = u.axes[1];
    u.ctx.font = axis.font[0];
    const widths = axis._values.map((text) => u.ctx.measureText(text ?? "").width);
    return [axis._splits, axis._values, Math.max(...widths) / devicePixelRatio <= axis._size];
  })[0]"""


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
        page.wait_for_selector("html[data-drawn]", timeout=120_000)
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


@pytest.mark.parametrize("factor", [1e6, 1e12, -1e6, 1e-9, 1e9])
def test_the_labels_of_an_axis_are_right_at_any_size(
    opened: Any, tmp_path: Path, factor: float
) -> None:
    """L37: each says its own value, no two the same, and there is room for the widest."""

    def scaled() -> Iterator[Event]:
        for event in events_of(PLAN, updates={"adam": PLAN.iterations}):
            match event:
                case IterationsDone():
                    losses = tuple(loss * factor for loss in event.losses)
                    yield replace(event, losses=losses, metrics=larger(event.metrics))
                case Evaluated() | EpochDone():
                    yield replace(event, metrics=larger(event.metrics))
                case _:
                    yield event

    def larger(metrics: Mapping[str, float]) -> dict[str, float]:
        return {name: factor * value for name, value in metrics.items()}

    path = keep(tmp_path / "run", events=scaled()) / "report.html"
    path.write_text(page_of(path.parent), encoding="utf-8")
    shown = opened(path)
    for _ in range(2 if factor > 0 else 1):  # nothing negative has a logarithm
        splits, texts, has_room = shown.evaluate(LABELS)
        told = [(value, text) for value, text in zip(splits, texts, strict=True) if text]
        assert len(told) >= 3
        assert [float(text.replace(",", "")) for _, text in told] == pytest.approx(
            [value for value, _ in told], abs=1e-6 * abs(factor)
        )
        assert len({text for _, text in told}) == len(told)
        assert has_room
        shown.locator("[data-section=loss] .log button").click()


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


@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_nothing_sticks_out_of_a_screen(opened: Any, tmp_path: Path, locale: str) -> None:
    """L37: no text, chart or table is off a phone's screen; rows that do not fit are cards."""
    tested = {"loss": 123456.75, "accuracy": 0.9, "top_5_accuracy": 0.99}
    names = ["first", "a name that is as long as people make them", "third"]
    folders = [keep(tmp_path / name, test=tested) for name in names]
    compared = tmp_path / "compared.html"
    compared.write_text(page([read_story(folder) for folder in folders]), encoding="utf-8")
    alone = tmp_path / "alone.html"
    alone.write_text(page_of(folders[1]), encoding="utf-8")
    for path in (alone, compared):
        shown = opened(path, locale=locale)
        for width in (1600, 768, 390, 320):
            shown.set_viewport_size({"width": width, "height": 800})
            shown.wait_for_function(
                "(width) => [...epochwise.drawn.values()].every("
                "({ u }) => u.width >= 220 && u.width <= width)",
                arg=width,
            )
            shown.wait_for_function(f"() => !({OUT_OF_SIGHT})().length", timeout=120_000)
        for details in shown.locator("details").all():
            details.locator("summary").first.click()
        shown.wait_for_function(f"() => !({OUT_OF_SIGHT})().length", timeout=120_000)
        assert shown.locator("table.cards .label").first.is_visible()


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
