"""The server's log: one JSON object a line, so that machines can read what happened and to whom."""

import json
import logging
import sys
import time
from typing import Any, TextIO

LOG = logging.getLogger("action_images.serving")


class JsonLines(logging.Formatter):
    """time (UTC), level, event, then the event's own fields; a traceback stays in the log and goes to no
    client."""

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
        return json.dumps(line, default=str)


def event(name: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log that something happened."""
    LOG.log(level, name, extra={"fields": fields})


def to_stream(stream: TextIO | None = None, level: int = logging.INFO) -> logging.Handler:
    """Write this log, and the websocket library's warnings, to a stream (stderr) as JSON lines; returns the
    handler."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    for logger, least in ((LOG, level), (logging.getLogger("websockets"), logging.WARNING)):
        logger.addHandler(handler)
        logger.setLevel(least)
        logger.propagate = False
    return handler
