"""Put films and pictures into a page as data URIs."""

import base64
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import Markup

KINDS = {".mp4": "video/mp4", ".png": "image/png"}
MAX_FILE_BYTES, MAX_TOTAL_BYTES = 32 << 20, 192 << 20


def data_uri(kind: str, content: bytes) -> Markup:
    """Bytes as a data URI; it contains only base64, so a page need not escape (and copy) it."""
    return Markup(f"data:{kind};base64,{base64.b64encode(content).decode()}")


@dataclass
class Inlined:
    """The contents of one page so far; `left_out` names the files that were left out, and why."""

    num_bytes: int = 0
    left_out: list[str] = field(default_factory=list)

    def uri(self, folder: Path, name: str) -> Markup | None:
        """The file's data URI; None, with a line in `left_out`, if it cannot be shown.

        This is so for a file that is missing, outside the folder or too large.
        """
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()) or path.suffix not in KINDS:
            return self._leave_out(f"{folder}: the film {name!r} is no mp4 or png inside the folder")
        if not path.is_file():
            return self._leave_out(f"{path}: there is no such film")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES or self.num_bytes + size > MAX_TOTAL_BYTES:
            return self._leave_out(f"{path}: {size / 1e6:.1f} MB more would make the page too large")
        self.num_bytes += size
        return data_uri(KINDS[path.suffix], path.read_bytes())

    def _leave_out(self, why: str) -> None:
        self.left_out.append(why)
