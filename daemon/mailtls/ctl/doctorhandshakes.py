"""`mailtlsctl doctor --handshakes`: random hellos, each foretold, on the site's own Postfix."""

from __future__ import annotations

from mailtls.errors import ConfigError


def handshakes(count: int, *, as_json: bool, config: str | None, directory: str | None) -> int:
    """Try `count` hellos; return the exit status. Raises ConfigError."""
    raise ConfigError("--handshakes is not served by this version")
