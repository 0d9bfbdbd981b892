"""The page of a run that goes on, served to browsers on this machine and to nobody else.

The server reads the record and nothing else; it shares nothing with the training but the
files that are there. It answers `GET` only, on the loopback address only, and only to
whoever calls it by that address: a page from elsewhere that has a name point here, or asks
across origins, is refused before anything is read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from epochwise.errors import RunError
from epochwise.report.page import Live, Policy, page
from epochwise.report.story import read_story

ADDRESS = "127.0.0.1"
"""The only address that is listened on."""

NAMES = (ADDRESS, "localhost")
"""What the server may be called by."""

PATIENCE_SECONDS = 5.0
"""How long a connection may say nothing [s]."""

SHARE = 100
"""Making a page may take one part in so many of the time, however many look at it."""


class LivePage:
    """The page of a run as of now, made anew when the record has grown.

    Args:
        folder: the run's.
        clock: a clock that never goes back [s].
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Look at a run; its page is made when it is first asked for."""
        self._folder = folder
        self._clock = clock
        self._lock = threading.Lock()
        self._made: tuple[str, bytes] | None = None
        self._rests_until = 0.0

    def version(self) -> str:
        """Return a text that differs when a newer page is to be had."""
        with self._lock:
            if self._made is not None and self._clock() < self._rests_until:
                return self._made[0]
            return self._found()

    def page(self) -> bytes:
        """Return the page.

        Raises:
            RunError: the folder is no run's any more.
        """
        with self._lock:
            found, began = self._found(), self._clock()
            if self._made is None or (found != self._made[0] and began >= self._rests_until):
                story = read_story(self._folder)
                live = Live(version=found, going=story.run.stop is None)
                self._made = found, page([story], live=live).encode()
                now = self._clock()
                self._rests_until = now + SHARE * (now - began)
            return self._made[1]

    def _found(self) -> str:
        """How long the record's files are, which only ever grow, and when they changed."""
        files = [self._folder / "run.json", self._folder / "events.jsonl"]
        files += sorted((self._folder / "series").glob("*"))
        marks = []
        for file in files:
            try:
                found = file.stat()
            except OSError:
                continue
            marks.append(f"{found.st_size}-{found.st_mtime_ns}")
        return ".".join(marks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request is not answered.

    Args:
        status: of the answer.
        sentence: for whoever reads it.
    """

    status: HTTPStatus
    sentence: str


def refusal(
    method: str, hosts: list[str], origins: list[str], fetch_sites: list[str], port: int
) -> Refusal | None:
    """Return why a request must not be answered; `None` where it may be.

    Args:
        method: of the request.
        hosts: all values of its `Host` header.
        origins: all values of `Origin`; a plain visit has none.
        fetch_sites: all values of `Sec-Fetch-Site`, which browsers add by themselves.
        port: that the server listens on.

    Example:
        >>> refusal("GET", ["127.0.0.1:8000"], [], [], 8000) is None
        True
        >>> refusal("GET", ["attacker.example:8000"], [], [], 8000).status.value
        403
    """
    ours = {f"{name}:{port}" for name in NAMES}
    if method != "GET":
        return Refusal(status=HTTPStatus.METHOD_NOT_ALLOWED, sentence="Only GET is answered.")
    if len(hosts) != 1 or hosts[0].lower() not in ours:
        return Refusal(
            status=HTTPStatus.FORBIDDEN, sentence="This server answers to its own address only."
        )
    if len(origins) > 1 or any(origin != f"http://{hosts[0].lower()}" for origin in origins):
        return Refusal(status=HTTPStatus.FORBIDDEN, sentence="Other origins are not answered.")
    if any(site not in ("same-origin", "none") for site in fetch_sites):
        return Refusal(status=HTTPStatus.FORBIDDEN, sentence="Other sites are not answered.")
    return None


class LiveServer(ThreadingHTTPServer):
    """Serves a `LivePage` on the loopback address.

    Args:
        live: the page.
        port: to listen on; 0 for any that is free.

    Raises:
        RunError: the port is taken.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, live: LivePage, port: int = 0) -> None:
        """Listen; `serve_forever` answers."""
        self.live = live
        try:
            super().__init__((ADDRESS, port), _Visit)
        except (OSError, OverflowError) as error:
            raise RunError(
                f"port={port} cannot be listened on: {error}.",
                "use port=0 for any free one, or another number from 1024 to 65535.",
            ) from error

    @property
    def address(self) -> str:
        """Where a browser finds the page."""
        return f"http://{ADDRESS}:{self.server_port}/"


class _Visit(BaseHTTPRequestHandler):
    """One connection."""

    server: LiveServer
    server_version = "Epochwise"
    sys_version = ""
    timeout = PATIENCE_SECONDS

    def parse_request(self) -> bool:
        """Read the head of a request; one that must not be answered goes no further."""
        if not super().parse_request():
            return False
        refused = refusal(
            self.command,
            self.headers.get_all("Host", []),
            self.headers.get_all("Origin", []),
            self.headers.get_all("Sec-Fetch-Site", []),
            self.server.server_port,
        )
        if refused is not None:
            self._refuse(refused)
        return refused is None

    def do_GET(self) -> None:
        """Answer the page or its version."""
        try:
            match self.path:
                case "/":
                    self._answer(HTTPStatus.OK, "text/html", self.server.live.page())
                case "/version":
                    version = self.server.live.version().encode()
                    self._answer(HTTPStatus.OK, "text/plain", version)
                case _:
                    self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"There is no such page.")
        except RunError as error:
            self._answer(HTTPStatus.GONE, "text/plain", str(error).encode())

    def send_error(
        self, code: int, message: str | None = None, explain: str | None = None
    ) -> None:
        """Answer what cannot be understood, repeating nothing of it."""
        del message, explain
        self.close_connection = True
        self._answer(HTTPStatus(code), "text/plain", HTTPStatus(code).phrase.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing: the terminal belongs to whoever started the server."""

    def _refuse(self, refused: Refusal) -> None:
        self.close_connection = True
        self._answer(refused.status, "text/plain", refused.sentence.encode())

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", f"{kind}; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Content-Security-Policy", f"{Policy(live=True)}; frame-ancestors 'none'"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET")
        self.end_headers()
        self.wfile.write(body)
