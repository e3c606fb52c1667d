"""A throw-away server for one page: on loopback alone, under a path that nobody can guess, for GET and nothing else."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_LOOPBACK = "127.0.0.1"
_TOKEN_BYTES = 32
_TIMEOUT_S = 10.0


class PageServer(ThreadingHTTPServer):
    """Serves `page` at `url` until it is closed."""

    daemon_threads = True

    def __init__(self, page: bytes) -> None:
        """Listen on a port that the system chooses. Raises OSError if there is none."""
        super().__init__((_LOOPBACK, 0), _Handler)
        self.page = page
        self.path = f"/{secrets.token_urlsafe(_TOKEN_BYTES)}/"
        self.hosts = {f"{_LOOPBACK}:{self.server_port}", f"localhost:{self.server_port}"}

    @property
    def url(self) -> str:
        """Where the page is; whoever has the path can fetch it, and with it the bundle, but no key."""
        return f"http://{_LOOPBACK}:{self.server_port}{self.path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is none of the user's business."""


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = _TIMEOUT_S
    server_version = "ncipher"
    sys_version = ""

    def do_GET(self) -> None:
        """The page, to a request that names this host and the path."""
        # Another host's name that was made to point here must not fetch the page (DNS rebinding).
        if self.headers.get("Host") not in self.server.hosts:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        elif not hmac.compare_digest(self.path.encode(), self.server.path.encode()):
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(self.server.page)))
            self.end_headers()
            self.wfile.write(self.server.page)

    def end_headers(self) -> None:
        """Every answer stays out of caches, frames and other pages."""
        for name, value in (
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", "frame-ancestors 'none'"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Content-Type-Options", "nosniff"),
        ):
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: the path must not reach a log."""


@contextmanager
def page_server(page: bytes) -> Iterator[PageServer]:
    """A server that is closed at the end of the block; `serve_forever` runs it."""
    with PageServer(page) as server:
        yield server
