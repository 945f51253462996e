"""Serve a shelf on loopback: a page, a list, and pictures of opened entries; it answers GET alone."""

import ipaddress
import json
import socket
import sys
import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from action_images.errors import ActionImagesError
from action_images.reports.viewing.page import SERVED_HEIGHT, script, served_page, style
from action_images.reports.viewing.shelf import Entry, Shelf, Wish, listed

if TYPE_CHECKING:
    from action_images.reports.viewing.viewable import Viewable

MAX_CACHE_BYTES = 64 << 20
"""Size limit of the cache of encoded pictures."""
MAX_OPEN = 4
"""The number of opened entries that are kept: their numbers, not their pictures."""
MAX_CONNECTIONS, IDLE_SECONDS = 32, 30.0
MAX_QUERY, MAX_FIELDS = 2000, 20
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content policy: the browser may load from here alone."""
FACET = "facet."
"""Prefix of a facet's name in a query."""


class Refused(Exception):
    """A refused request, with its status and a sentence."""

    def __init__(self, status: HTTPStatus, sentence: str):
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """A response."""

    kind: str
    body: bytes


class Library:
    """Opens entries of a shelf and encodes their pictures, one at a time to limit the load."""

    def __init__(self, shelf: Shelf):
        self.shelf = shelf
        self._lock = threading.RLock()
        self._opened: OrderedDict[tuple[str, str], Viewable] = OrderedDict()
        self._parts: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self._num_bytes = 0

    def list(self, wish: Wish) -> dict[str, Any]:
        """A part of the list."""
        with self._lock:
            return listed(self.shelf, wish)

    def document(self, number: int, name: str) -> dict[str, Any]:
        """The names and numbers of an entry."""
        from action_images.reports.viewing.document import document_of

        with self._lock:
            return document_of(self._open(*self._found(number, name)))

    def part(self, number: int, name: str, place: tuple[int, int, bool, int]) -> bytes:
        """Pictures of an entry; `place` is view, layer, whether spots alone, and the part's number."""
        with self._lock:
            found, entry = self._found(number, name)
            key = (entry.id, entry.version, *place)
            if key not in self._parts:
                self._remember(key, self._encoded(self._open(found, entry), place))
            self._parts.move_to_end(key)
            return self._parts[key]

    def _found(self, number: int, name: str) -> tuple[int, Entry]:
        """An entry by its number and id; by its id alone if newer entries have moved it."""
        entries = self.shelf.entries()
        if 0 <= number < len(entries) and entries[number].id == name:
            return number, entries[number]
        moved = [place for place, entry in enumerate(entries) if entry.id == name]
        if len(moved) != 1:
            raise Refused(HTTPStatus.CONFLICT, f"{name} is not there any more; choose another")
        return moved[0], entries[moved[0]]

    def _open(self, number: int, entry: Entry) -> "Viewable":
        key = (entry.id, entry.version)
        if key not in self._opened:
            self._opened[key] = self.shelf.open(number)
            while len(self._opened) > MAX_OPEN:
                self._opened.popitem(last=False)
        self._opened.move_to_end(key)
        return self._opened[key]

    def _encoded(self, viewable: "Viewable", place: tuple[int, int, bool, int]) -> bytes:
        from action_images.reports.viewing.encoded import FRAMES_IN_PART, part_of

        view, layer, over, part = place
        layers = viewable.views[view].layers if view < len(viewable.views) else ()
        if layer >= len(layers) or (over and not layers[layer].is_action):
            raise Refused(HTTPStatus.NOT_FOUND, "there are no such pictures")
        frames = layers[layer].frames
        start = part * FRAMES_IN_PART
        if not start < len(frames):
            raise Refused(HTTPStatus.NOT_FOUND, "there are no such pictures")
        indices = range(start, min(start + FRAMES_IN_PART, len(frames)))
        return part_of(frames, indices, SERVED_HEIGHT, over=over)

    def _remember(self, key: tuple[Any, ...], part: bytes) -> None:
        self._parts[key] = part
        self._num_bytes += len(part)
        while self._num_bytes > MAX_CACHE_BYTES and len(self._parts) > 1:
            _, old = self._parts.popitem(last=False)
            self._num_bytes -= len(old)


class ViewServer(ThreadingHTTPServer):
    """Serves a shelf at `address`; `host` is a name that requests may use besides addresses."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, shelf: Shelf, host: str = "127.0.0.1", port: int = 0):
        self.library, self.host = Library(shelf), host
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    @property
    def address(self) -> str:
        """The address for a browser."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{name}:{self.server_address[1]}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a new thread; connections beyond MAX_CONNECTIONS are closed."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """The same in the thread, which then frees its place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore browsers that disconnect during an answer."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection. Paths of requests are names of answers, never of files."""

    server: ViewServer  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    server_version, sys_version = "action-images", ""

    def do_GET(self) -> None:
        try:
            self._check_sender()
            answer, status = self._answer(), HTTPStatus.OK
        except Refused as error:
            answer, status = _json({"error": str(error)}), error.status
        except (ActionImagesError, OSError) as error:
            answer, status = _json({"error": str(error)}), HTTPStatus.UNPROCESSABLE_ENTITY
        except Exception:
            traceback.print_exc()
            sentence = "this is a bug; the terminal of 'action-images view' shows where"
            answer, status = _json({"error": sentence}), HTTPStatus.INTERNAL_SERVER_ERROR
        self._send(answer, status)

    def _check_sender(self) -> None:
        """Refuse pages of other origins, even if their name resolves to this address."""
        if not _is_own(self.headers.get("Host", ""), self.server.host, self.server.server_address[1]):
            raise Refused(HTTPStatus.FORBIDDEN, "this server is asked by its address alone")
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{self.headers['Host']}":
            raise Refused(HTTPStatus.FORBIDDEN, "another page may not ask this server")
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise Refused(HTTPStatus.FORBIDDEN, "another page may not ask this server")

    def _answer(self) -> Answer:
        address = urlsplit(self.path)
        if len(address.query) > MAX_QUERY:
            raise Refused(HTTPStatus.REQUEST_URI_TOO_LONG, "the question is too long")
        answer = ANSWERS.get(address.path)
        if answer is None:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")
        try:
            query = dict(parse_qsl(address.query, max_num_fields=MAX_FIELDS))
        except ValueError:
            raise Refused(HTTPStatus.BAD_REQUEST, "the question has too many fields") from None
        return answer(self.server.library, query)

    def _send(self, answer: Answer, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: one line for each part of pictures would not help."""


def _is_own(host: str, ours: str, port: int) -> bool:
    """Whether a Host header is an address, `localhost` or our name; a foreign name may also resolve here."""
    name, _, number = host.rpartition(":")
    if number != str(port):
        return False
    if name in ("localhost", ours):
        return True
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "0")
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise Refused(HTTPStatus.BAD_REQUEST, f"'{name}' is a whole number")
    return int(text)


def _json(value: Any) -> Answer:
    return Answer("application/json; charset=utf-8", json.dumps(value, allow_nan=False).encode())


def _page(library: Library, _query: Mapping[str, str]) -> Answer:
    return Answer("text/html; charset=utf-8", served_page(library.shelf.title).encode())


def _script(_library: Library, _query: Mapping[str, str]) -> Answer:
    return Answer("text/javascript; charset=utf-8", script().encode())


def _style(_library: Library, _query: Mapping[str, str]) -> Answer:
    return Answer("text/css; charset=utf-8", style().encode())


def _list(library: Library, query: Mapping[str, str]) -> Answer:
    chosen = {name.removeprefix(FACET): value for name, value in query.items() if name.startswith(FACET)}
    wish = Wish(tuple(query.get("words", "").lower().split()), chosen, _number(query, "start"))
    return _json(library.list(wish))


def _version(library: Library, _query: Mapping[str, str]) -> Answer:
    return _json({"version": library.shelf.version()})


def _document(library: Library, query: Mapping[str, str]) -> Answer:
    return _json(library.document(_number(query, "item"), query.get("id", "")))


def _part(library: Library, query: Mapping[str, str]) -> Answer:
    view, layer, over, part = (_number(query, name) for name in ("view", "layer", "over", "part"))
    body = library.part(_number(query, "item"), query.get("id", ""), (view, layer, bool(over), part))
    return Answer("application/octet-stream", body)


ANSWERS: Mapping[str, Callable[[Library, Mapping[str, str]], Answer]] = {
    "/": _page,
    "/view.js": _script,
    "/view.css": _style,
    "/list": _list,
    "/version": _version,
    "/document": _document,
    "/part": _part,
}
