"""The server's log in a machine-readable format: one JSON object a line."""

import json
import logging
import sys
import time
from io import TextIOBase
from typing import Any

LOG = logging.getLogger("action_images.serving")
LIBRARIES = ("websockets", "websockets.server", "asyncio", "py.warnings")
"""Loggers whose warnings go to the same log, one a second at most."""


MAX_CHARACTERS, MAX_TRACEBACK = 300, 4000
"""Limits of a text in a line, so that clients cannot fill the log."""


class Rarely(logging.Filter):
    """Passes one record a second: asyncio logs every connection that it cannot accept."""

    def __init__(self) -> None:
        super().__init__()
        self._last = float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 (a filter's argument)
        """Whether a second has passed since the last record that was let through."""
        now = time.monotonic()
        if now - self._last < 1:
            return False
        self._last = now
        return True


class JsonLines(logging.Formatter):
    """Formats time (UTC), level, event, then the event's own fields; tracebacks are not sent to clients."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line."""
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        line = {
            "time": when,
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps({name: _bounded(name, value) for name, value in line.items()}, default=str)


def _bounded(name: str, value: Any) -> Any:
    """The value, with the middle of a long text cut out: a traceback's start and end are the useful parts."""
    most = MAX_TRACEBACK if name == "traceback" else MAX_CHARACTERS
    if not isinstance(value, str) or len(value) <= most:
        return value
    half = most // 2
    return f"{value[:half]} ... {value[-half:]}"


def event(name: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event."""
    LOG.log(level, name, extra={"fields": fields})


def to_stream(stream: TextIOBase | None = None, level: int = logging.INFO) -> logging.Handler:
    """Write this log and the warnings of libraries and Python to a stream (stderr) as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)  # pyright: ignore[reportArgumentType]
    handler.setFormatter(JsonLines())
    logging.captureWarnings(True)
    for name in (LOG.name, *LIBRARIES):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(level if name == LOG.name else logging.WARNING)
        if name in LIBRARIES and not logger.filters:
            logger.addFilter(Rarely())
    return handler
