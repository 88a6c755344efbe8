"""A proxy before the storage that answers wrong, late, in part, or not at all, on demand."""

import http.client
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote

_KEPT_BACK = {"connection", "expect", "host", "keep-alive", "transfer-encoding"}

PASS, BUSY, FORBIDDEN, RESET, CUT, SLOW, SILENT, NO_CONDITIONS, PORTAL = (
    "pass", "503", "403", "reset", "cut", "slow", "silent", "501", "portal",
)  # fmt: skip

_ERRORS = {
    BUSY: (503, "SlowDown"),
    FORBIDDEN: (403, "AccessDenied"),
    NO_CONDITIONS: (501, "NotImplemented"),
}

PAGE = b"<!DOCTYPE html><html><head><title>Log in</title></head><body>Wi-Fi</body></html>"

Rule = Callable[[str, str, int], str]


class Proxy:
    """Passes requests on to a server, except for what ``rule`` says.

    Attributes:
        rule: called with method, path and how often that pair was asked for before; returns one of
            the names above.
        heard: method and path of every request.
        headers: of every request.
    """

    def __init__(self, port: int, scheme: str = "s3") -> None:
        self.scheme = scheme
        self.rule: Rule = lambda method, path, before: PASS
        self.heard: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.upstream = port
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def count(self, method: str, ending: str = "") -> int:
        """Requests of a method for paths with this ending."""
        return sum(m == method and path.endswith(ending) for m, path in self.heard)

    def note(self, method: str, path: str, headers: dict[str, str]) -> str:
        path = unquote(path.partition("?")[0])
        with self._lock:
            before = self.heard.count((method, path))
            self.heard.append((method, path))
            self.headers.append(headers)
        return self.rule(method, path, before)

    def close(self) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()


_SIGNED = (  # moto reads the account from it and checks nothing
    "AWS4-HMAC-SHA256 Credential=an-access-key/20260101/us-east-1/s3/aws4_request,"
    " SignedHeaders=host, Signature=0"
)


def _like_s3(headers: dict[str, str]) -> dict[str, str]:
    """The headers by which S3 says what these say to Google; the requests are the same."""
    found = {k.replace("X-Goog-Meta-", "X-Amz-Meta-"): v for k, v in headers.items()}
    found["Authorization"] = _SIGNED
    if found.pop("X-Goog-If-Generation-Match", None) == "0":
        found["If-None-Match"] = "*"
    return found


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that were killed have hung up: nothing to tell."""


def _handler(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.title(): value for name, value in self.headers.items()}
            if proxy.scheme == "gs":
                headers = _like_s3(headers)
            what = proxy.note(self.command, self.path, headers)
            if what == RESET:
                self.hang_up()
            elif what == SILENT:
                proxy.stopped.wait(30)
                self.hang_up()
            elif what == PORTAL:
                kind = {"Content-Type": "text/html", "ETag": '"page"'}
                kind["Last-Modified"] = "Wed, 25 Nov 2020 06:48:29 GMT"
                self.answer(200, kind | {"Content-Length": str(len(PAGE))}, PAGE)
            elif what in _ERRORS:
                status, code = _ERRORS[what]
                text = f"<Error><Code>{code}</Code><Message>on demand</Message></Error>"
                self.answer(status, {}, text.encode())
            else:
                if what == SLOW:
                    time.sleep(0.3)
                self.pass_on(body, headers, cut=what == CUT)

        def pass_on(self, body: bytes, headers: dict[str, str], *, cut: bool) -> None:
            upstream = http.client.HTTPConnection("127.0.0.1", proxy.upstream)
            headers = {k: v for k, v in headers.items() if k.lower() not in _KEPT_BACK}
            path, mark, query = self.path.partition("?")
            if proxy.scheme == "gs":  # which has every other character encoded
                path = quote(unquote(path))
            path += mark + query
            upstream.request(self.command, path, body, headers)
            found = upstream.getresponse()
            data = found.read()
            upstream.close()
            kept = {k: v for k, v in found.getheaders() if k.lower() not in _KEPT_BACK}
            if proxy.scheme == "gs":
                kept = {k.lower().replace("x-amz-", "x-goog-"): v for k, v in kept.items()}
            self.answer(found.status, kept, data, cut=cut)

        def answer(
            self, status: int, headers: dict[str, str], data: bytes, *, cut: bool = False
        ) -> None:
            try:
                self.send_response_only(status)
                if self.command != "HEAD":
                    headers = {k: v for k, v in headers.items() if k.lower() != "content-length"}
                    headers["Content-Length"] = str(len(data))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data[: len(data) // 2] if cut else data)
                if cut:
                    self.wfile.flush()
                    self.hang_up(reset=False)
            except OSError:  # the client has gone
                self.close_connection = True

        def hang_up(self, *, reset: bool = True) -> None:
            if reset:
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            else:
                self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = serve

    return Handler
