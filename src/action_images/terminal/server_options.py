"""Options of a command for connecting to a policy server."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from action_images.errors import ActionImagesError
from action_images.policies import ServerAccess
from action_images.terminal.paths import GivenFile

LONGEST_TOKEN_FILE, SHORTEST_TOKEN = 4096, 16


@dataclass(frozen=True)
class ServerOptions:
    """For a policy server at ws://HOST:PORT."""

    token_file: GivenFile | None = None
    """A file with the token that the server requires."""
    actions: Literal["matrix", "pose", "euler", "delta"] | None = None
    """Format of actions (docs/serving.md) to request, also assumed of a server that names none; matrix if
    not given."""

    def access(self) -> ServerAccess:
        """The options with the token read from its file."""
        token = None if self.token_file is None else read_token(self.token_file)
        return ServerAccess(token, self.actions)


def read_token(path: Path) -> str:
    """The token in a file; raises ActionImagesError if the file holds no valid one."""
    if path.stat().st_size > LONGEST_TOKEN_FILE or len(token := path.read_text().strip()) < SHORTEST_TOKEN:
        raise ActionImagesError(
            f"{path}: a token is one line of {SHORTEST_TOKEN} or more characters; "
            f"make one with: openssl rand -hex 32 > {path}"
        )
    return token
