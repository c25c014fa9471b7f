"""Who is let in to a page that this machine serves.

Where a page is served to this machine only, it may be opened without the token, though nothing else may be
had so; where other machines reach it, everything asks for the token. What comes from another origin, or under
another name of this machine, is refused: a page somewhere else must not drive a robot here.
"""

import hmac
import http
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Door:
    """token: a secret.  is_local: the page is served to this machine only, at `address`.
    policy: what a browser may run of the page, see `document.policy_of`.
    """

    token: str
    is_local: bool
    address: str
    policy: str

    def refusal(self, request: Request) -> Response | None:
        """Why there is no answer to a request for '/', a websocket or data; None: it is welcome."""
        path, host = urlsplit(request.path).path, request.headers.get("Host", "")
        if self.is_local and urlsplit(f"//{host}").hostname not in (*LOCAL_NAMES, self.address):
            return self.text(403, "not under this name")
        token = query_of(request).get("token", "")
        may_enter = hmac.compare_digest(token.encode(errors="replace"), self.token.encode())
        if path == "/":
            return None if may_enter or self.is_local else self.text(403, "not without the token")
        origin = request.headers.get("Origin")
        if not may_enter or (origin is not None and urlsplit(origin).netloc != host):
            return self.text(403, "not from there, or not without the token")
        return None

    def text(self, code: int, text: str) -> Response:
        """A page, or one line of why not."""
        return self.data(text.encode(), "text/html; charset=utf-8" if code == 200 else "text/plain", code)

    def data(self, body: bytes, kind: str = "application/octet-stream", code: int = 200) -> Response:
        """kind: the body's type, as MIME names it."""
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Connection": "close",
            "Content-Security-Policy": self.policy,
            "X-Frame-Options": "DENY",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        return Response(code, http.HTTPStatus(code).phrase, Headers(headers), body)


def query_of(request: Request) -> Mapping[str, str]:
    """The fields of a request's address, the first of each."""
    return {name: values[0] for name, values in parse_qs(urlsplit(request.path).query).items()}
