"""Plain HTTP beside the websocket: health, metrics, and authorisation."""

import hmac
import http
import logging
from collections.abc import Callable
from dataclasses import dataclass

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response

from action_images.serving.log import event
from action_images.serving.metrics import Metrics

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FULL = "the server has all the clients that it may have"


@dataclass(frozen=True)
class PlainHttp:
    """Answers requests before they become websockets; all but /healthz need the token, if there is one."""

    token: str | None
    metrics: Metrics
    is_ready: Callable[[], bool]
    is_full: Callable[[], bool]

    def respond(self, connection: ServerConnection, request: HttpRequest) -> Response | None:
        """The response; None lets the websocket's handshake continue."""
        path = request.path.partition("?")[0]
        if path == "/healthz":
            return self._health(connection)
        if not self._admits(request.headers):
            return self._unauthorized(connection)
        if path == "/metrics":
            return self._metrics(connection)
        if self.is_full():
            self.metrics.turned_away.labels("full").inc()
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, f"{FULL}\n")
        return None

    def _health(self, connection: ServerConnection) -> Response:
        if self.is_ready():
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "the policy is being opened\n")

    def _unauthorized(self, connection: ServerConnection) -> Response:
        self.metrics.turned_away.labels("token").inc()
        event("client without the token", logging.WARNING, address=str(connection.remote_address))
        sentence = "this server asks for 'Authorization: Bearer TOKEN'\n"
        response = connection.respond(http.HTTPStatus.UNAUTHORIZED, sentence)
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    def _metrics(self, connection: ServerConnection) -> Response:
        response = connection.respond(http.HTTPStatus.OK, self.metrics.text().decode())
        response.headers.pop("Content-Type", None)
        response.headers["Content-Type"] = METRICS_TYPE
        return response

    def _admits(self, headers: Headers) -> bool:
        if self.token is None:
            return True
        given = headers.get_all("Authorization")
        # openpi's client sends Api-Key instead of RFC 6750's Bearer.
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        given_bytes = token.strip().encode(errors="surrogateescape")
        right = hmac.compare_digest(given_bytes, self.token.encode())
        return right and scheme.lower() in ("bearer", "api-key")
