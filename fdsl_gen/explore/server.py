"""The server behind the page: of this machine only, and only for who has the token.

Any page that the user's browser shows could send requests to a port of the machine. So a request
must name this host (against DNS that is turned to 127.0.0.1), come from no other origin, and hold
the token that stands in the address printed on the terminal. No path from a request is opened.
"""

import hmac
import json
import secrets
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from fdsl_gen.core.errors import FdslError
from fdsl_gen.explore import controls
from fdsl_gen.explore.drawing import Drawer, Superseded

HOST = "127.0.0.1"
_MOST_BYTES = 64 << 10  # of a request
_FILES = {"page.html": "text/html", "page.js": "text/javascript", "page.css": "text/css"}
_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:",
    "referrer-policy": "no-referrer",  # the address holds the token
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}


class Guard:
    """Answers only requests of the page itself.

    Args:
        app: what answers them.
        token: that a request must have, as ``?token=`` or in the header ``x-token``.
        port: where the server listens.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app = app
        self._token = token
        self._hosts = {f"{HOST}:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(Request(scope))
        answer: ASGIApp = self._app if refusal is None else JSONResponse({"error": refusal}, 403)
        await answer(scope, receive, send)

    def _refusal(self, request: Request) -> str | None:
        if request.headers.get("host") not in self._hosts:
            return "this page is at 127.0.0.1 only"
        origin = request.headers.get("origin")
        if origin is not None and origin not in {f"http://{host}" for host in self._hosts}:
            return "another page may not ask"
        if request.url.path in ("/page.js", "/page.css"):  # the same for everybody
            return None
        given = request.headers.get("x-token") or request.query_params.get("token", "")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return "open the address that fdsl-gen explore printed: its token is missing"
        return None


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    content = Path(__file__).with_name(name).read_bytes()

    async def answer(_: Request) -> Response:
        return Response(content, media_type=_FILES[name], headers=_HEADERS)

    return answer


def _asked(function: Callable[[dict[str, Any]], Any]) -> Callable[[Request], Awaitable[Response]]:
    """An answer to a request whose body is a JSON object, worked out in a thread."""

    async def answer(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _MOST_BYTES:
                return JSONResponse({"error": "the request is too long"}, 413)
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict):
            return JSONResponse({"error": "the request is no JSON object"}, 400)
        try:
            found = await run_in_threadpool(function, asked)
        except Superseded:
            return JSONResponse({"superseded": True})
        except FdslError as error:
            return JSONResponse({"error": str(error)}, 400)
        if isinstance(found, bytes):
            return Response(found, media_type="image/png", headers=_HEADERS)
        return JSONResponse(found, headers=_HEADERS)

    return answer


def application(token: str, port: int, first: str, drawer: Drawer) -> Guard:
    """The page and what it asks for.

    Args:
        token: that requests must have.
        port: where the server listens.
        first: name of the recipe that the page shows first.
        drawer: what draws for it.
    """

    def start(_: dict[str, Any]) -> dict[str, Any]:
        return {"first": first, "names": controls.names()}

    def turned(asked: dict[str, Any]) -> list[dict[str, Any]]:
        recipe, _ = controls.recipe_from({"name": asked.get("name")})
        return controls.controls_of(recipe.name)

    routes = [
        Route("/", _file("page.html")),
        Route("/page.js", _file("page.js")),
        Route("/page.css", _file("page.css")),
        Route("/start", _asked(start), methods=["POST"]),
        Route("/controls", _asked(turned), methods=["POST"]),
        Route("/grid", _asked(drawer.grid), methods=["POST"]),
        Route("/image", _asked(drawer.image), methods=["POST"]),
        Route("/sheet", _asked(drawer.sheet), methods=["POST"]),
    ]
    return Guard(Starlette(routes=routes), token, port)


class _Server(uvicorn.Server):
    """Ends at once on Ctrl-C: what is being drawn is given up, open connections are cut."""

    def __init__(self, app: ASGIApp, drawer: Drawer) -> None:
        super().__init__(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        self._drawer = drawer

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._drawer.close()
        super().handle_exit(sig, frame)


def serve(listener: socket.socket, token: str, first: str) -> None:
    """Answer until a signal ends it.

    Args:
        listener: bound to a port of this machine.
        token: that requests must have.
        first: name of the recipe that the page shows first.
    """
    drawer = Drawer()
    app = application(token, listener.getsockname()[1], first, drawer)
    _Server(app, drawer).run(sockets=[listener])


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)
