"""The live page is for browsers on this machine that call it by its own address."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pages import PLAN, keep

from epochwise.errors import RunError
from epochwise.events import IterationsDone
from epochwise.record import Recorder, RunFolder, Tally
from epochwise.report import LivePage, LiveServer
from staged import FakeClock, events_of, header_of, weights

ROUTES = ("/", "/version", "/nothing", "/../run.json", "//", "/?x=1")

METHODS = (
    *("POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT"),
    *("PROPFIND", "get", "GETX", "M-SEARCH"),
)

HOSTS = (
    *("example.com", "example.com:{port}", "evil.localhost:{port}", "localhost.evil:{port}"),
    *("127.0.0.1.nip.io:{port}", "127.0.0.1.evil:{port}", "evil127.0.0.1:{port}"),
    *("127.0.0.1", "localhost", "127.0.0.1:80", "localhost:443", "127.0.0.1:{other}"),
    *("127.0.0.2:{port}", "127.1:{port}", "0.0.0.0:{port}", "0:{port}", "2130706433:{port}"),
    *("0x7f000001:{port}", "0177.0.0.1:{port}", "127.0.0.1.:{port}", "localhost.:{port}"),
    *("[::1]:{port}", "[::ffff:127.0.0.1]:{port}", "[::]:{port}", "::1", "10.0.0.1:{port}"),
    *(
        "192.168.0.1:{port}",
        "169.254.169.254:{port}",
        "",
        " ",
        ":{port}",
        "user@localhost:{port}",
    ),
    *(
        "localhost:{port}@evil",
        "localhost:{port}/",
        "localhost:{port},evil",
        "localhost:0{port}",
    ),
    *("localhost:{port}#", "localhost :{port}", "http://localhost:{port}", "lоcalhost:{port}"),
)

ORIGINS = (
    *("null", "http://evil", "https://evil", "http://evil:{port}", "http://localhost"),
    *("http://127.0.0.1", "https://127.0.0.1:{port}", "http://127.0.0.1:{other}", "file://"),
    *("http://127.0.0.1.evil:{port}", "http://127.0.0.1:{port}.evil", "http://[::1]:{port}"),
    *(
        "http://127.0.0.1:{port}/",
        "http://127.0.0.1:{port} http://evil",
        "ws://127.0.0.1:{port}",
    ),
    *("chrome-extension://abc", "http://user@127.0.0.1:{port}", "http://localhost:{port}"),
    *("HTTP://127.0.0.1:{port}", "*"),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server of a run's page, answering in a thread."""
    folder = keep(tmp_path_factory.mktemp("runs") / "run")
    with LiveServer(LivePage(folder)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server: LiveServer, request: str) -> tuple[int, dict[str, str], bytes]:
    """Send bytes as they are; return status, headers and body."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=60) as link:
        link.sendall(request.encode("utf-8"))
        link.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: link.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


def get(server: LiveServer, route: str = "/", method: str = "GET", **headers: str) -> Any:
    """Ask as a browser on this machine would, unless told otherwise."""
    port = server.server_port
    sent = {"Host": "127.0.0.1:{port}"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    lines = [
        f"{name}: {value.format(port=port, other=port + 1)}" for name, value in sent.items()
    ]
    return ask(server, "\r\n".join([f"{method} {route} HTTP/1.1", *lines, "", ""]))


def test_the_page_is_served_to_its_own_address(server: LiveServer) -> None:
    """By number and by name, as a plain visit and as the page's own question."""
    for host in ("127.0.0.1:{port}", "localhost:{port}", "LocalHost:{port}"):
        status, headers, body = get(server, Host=host)
        assert status == 200
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert b'id="live"' in body
    assert get(server, Origin="http://127.0.0.1:{port}", Sec_Fetch_Site="same-origin")[0] == 200
    assert get(server, "/version", Sec_Fetch_Site="none")[0] == 200


def test_there_are_as_many_variants_as_promised() -> None:
    """40 names and 20 origins, each another one."""
    assert len(set(HOSTS)) == len(HOSTS) == 40
    assert len(set(ORIGINS)) == len(ORIGINS) == 20


@pytest.mark.parametrize("host", HOSTS)
def test_another_name_is_refused_on_every_route(server: LiveServer, host: str) -> None:
    """A name that was pointed to this machine gets nothing (DNS rebinding)."""
    for route in ROUTES:
        status, _, body = get(server, route, Host=host)
        assert status in (400, 403)
        assert b"run" not in body.lower()


@pytest.mark.parametrize("origin", ORIGINS)
def test_another_origin_is_refused_on_every_route(server: LiveServer, origin: str) -> None:
    """A page from elsewhere that is open in the same browser gets nothing."""
    for route in ROUTES:
        status, _, body = get(server, route, Origin=origin)
        assert status == 403
        assert body == b"Other origins are not answered."


@pytest.mark.parametrize("method", METHODS)
def test_another_method_is_refused_on_every_route(server: LiveServer, method: str) -> None:
    """Nothing can be changed, because nothing but reading is understood."""
    for route in ROUTES:
        status, headers, _ = get(server, route, method)
        assert status == 405
        assert headers["Allow"] == "GET"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "", "none, cross-site"])
def test_another_site_is_refused_without_an_origin_too(server: LiveServer, site: str) -> None:
    """Images and scripts are asked for without an origin; browsers tell their site."""
    for route in ROUTES:
        assert get(server, route, Sec_Fetch_Site=site)[0] == 403


@pytest.mark.parametrize(
    "request_text",
    [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: 127.0.0.1:{port}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        + "Origin: http://127.0.0.1:{port}\r\n" * 2
        + "\r\n",
        "GET / HTTP/9.9\r\nHost: 127.0.0.1:{port}\r\n\r\n",
        "\x16\x03\x01 / \r\n\r\n",
        "GET " + "/" * 70_000 + " HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
        "GET / HTTP/1.1\r\n" + "A: b\r\n" * 200 + "Host: 127.0.0.1:{port}\r\n\r\n",
    ],
)
def test_what_is_no_proper_request_gets_nothing(server: LiveServer, request_text: str) -> None:
    """No name, two names, other protocols, endless lines: none brings the page."""
    answered = ask_anything(server, request_text.replace("{port}", str(server.server_port)))

    assert b"page-data" not in answered


def ask_anything(server: LiveServer, request: str) -> bytes:
    """Return whatever comes back, a closed connection included."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=60) as link:
        try:
            link.sendall(request.encode("latin-1"))
            link.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: link.recv(65536), b""))
        except ConnectionError:
            return b""


def test_only_two_routes_lead_somewhere(server: LiveServer) -> None:
    """No file of the folder can be had, however it is asked for."""
    for route in ("/nothing", "/../run.json", "/run.json", "/?x=1", "/%2e%2e/run.json"):
        assert get(server, route)[0] == 404


def test_every_answer_forbids_what_the_page_does_not_need(server: LiveServer) -> None:
    """Refusals too carry the policy, and none may be framed, kept or guessed about."""
    for route, status in (("/", 200), ("/version", 200), ("/nothing", 404)):
        found, headers, _ = get(server, route)
        assert found == status
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Content-Security-Policy" in get(server, Host="evil")[1]


def test_nothing_but_the_loopback_address_is_listened_on(server: LiveServer) -> None:
    """Other machines cannot even connect."""
    assert server.socket.getsockname()[0] == "127.0.0.1"


def test_a_port_that_cannot_be_had_is_told_with_a_remedy(
    server: LiveServer, tmp_path: Path
) -> None:
    """One that is taken, and one that there is not: a sentence, at once."""
    for port in (server.server_port, 70_000):
        with pytest.raises(RunError, match=r"use port=0") as raised:
            LiveServer(LivePage(tmp_path), port)
        assert f"port={port} " in str(raised.value)


class TestLivePage:
    """Making the page anew, counted with a clock of the test's own."""

    def test_the_page_moves_on_with_the_record(self, tmp_path: Path) -> None:
        """A new version when the record has grown, and only then."""
        clock = FakeClock()
        with Recorder(RunFolder.create(tmp_path / "run"), header_of(PLAN)) as recorder:
            events = list(events_of(PLAN, segment=16))
            for event in events[:3]:
                recorder.on_event(event)
            live = LivePage(tmp_path / "run", clock=clock)
            first, before = live.page(), live.version()
            assert live.version() == before

            for event in events[3:9]:
                recorder.on_event(event)

            assert live.version() != before
            second = live.page()
        assert b'data-state="going"' in first
        assert first != second
        assert b'data-fact="ledger.16.epochs"' in second

    def test_the_end_of_the_run_is_told(self, tmp_path: Path) -> None:
        """The page says that it will not move any more."""
        live = LivePage(keep(tmp_path / "run"))

        assert b'data-state="ended"' in live.page()

    def test_making_it_takes_a_hundredth_of_the_time_at_most(self, tmp_path: Path) -> None:
        """After a page that took 1 s the next is made 100 s later, whoever asks."""
        folder = keep(tmp_path / "run", closed=False)
        clock = FakeClock()

        def slow_clock() -> float:
            clock.now += 1.0  # each page reads it twice: before and after it is made
            return clock.now

        live = LivePage(folder, clock=slow_clock)
        first = live.page()
        with (folder / "events.jsonl").open("ab") as file:
            file.write(b"\n")

        assert all(live.page() == first for _ in range(40))
        clock.now += 100
        assert live.page() != first

    def test_looking_writes_nothing(self, tmp_path: Path) -> None:
        """The folder is byte for byte as it was, down to the times of its files."""
        folder = keep(tmp_path / "run")
        before = {
            path: (path.stat().st_mtime_ns, path.read_bytes())
            for path in folder.rglob("*")
            if path.is_file()
        }

        live = LivePage(folder)
        live.page()
        live.version()

        after = {
            path: (path.stat().st_mtime_ns, path.read_bytes())
            for path in folder.rglob("*")
            if path.is_file()
        }
        assert after == before


def test_the_live_page_moves_on_in_a_browser_while_the_run_does(
    chromium: Any, tmp_path: Path
) -> None:
    """Numbers and charts grow with the record, zoom and language stay, and the end is told."""
    events = list(events_of(PLAN, segment=4))
    tally = Tally()
    context = chromium.new_context(locale="zh-CN")
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda one: told.append(one.text) if one.type == "error" else None)
    page.on("pageerror", lambda error: told.append(str(error)))
    state = """() => {
      const chart = epochwise.drawn.get("0/loss");
      const run = document.querySelector("[data-fact='done.iterations']");
      return [run.value, Math.max(...chart.u.data[0]), document.documentElement.lang,
        document.getElementById("live").dataset.state];
    }"""

    with Recorder(RunFolder.create(tmp_path / "run"), header_of(PLAN)) as recorder:

        def go_on(until: int) -> None:
            while events and events[0].position.iterations_done <= until:
                event = events.pop(0)
                if isinstance(event, IterationsDone):
                    event = replace(event, seconds=0.5)
                tally.on_event(event)
                recorder.on_event(event)

        go_on(32)
        with LiveServer(LivePage(tmp_path / "run")) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            page.goto(server.address)
            page.wait_for_selector("html[data-drawn]")
            assert page.evaluate(state) == ["32", 32, "zh-CN", "going"]

            go_on(64)
            page.wait_for_selector("html[data-renewed='1']", timeout=120_000)
            assert page.evaluate(state) == ["64", 64, "zh-CN", "going"]

            go_on(80)
            recorder.write_weights(weights())
            recorder.close(tally.run())
            page.wait_for_selector("#live[data-state=ended]", timeout=240_000)
            assert page.evaluate(state) == ["80", 80, "zh-CN", "ended"]
            server.shutdown()
            thread.join()
    context.close()
    assert told == []
