"""`mailtlsctl reload [--keep]`: reload Postfix only with files that were tried; put broken ones aside."""

from __future__ import annotations

from datetime import datetime

from mailtls.ctl import output
from mailtls.ctl.applying import site_of, tell
from mailtls.errors import PostfixError, RefusedError
from mailtls.service.applyreload import PutBackError
from mailtls.service.applyreload import reload as reload_site


def reload(*, keep: bool, config: str | None, directory: str | None) -> int:
    """Reload; `keep` changes nothing and only says what is broken. Raises ConfigError, RefusedError."""
    try:
        done = reload_site(site_of(config, directory), datetime.now().astimezone(), keep=keep)
    except PutBackError as error:
        output.write((error.diff,))
        raise
    except PostfixError as error:
        raise RefusedError(f"nothing was changed: {error}") from error
    tell(done, "Postfix was reloaded, and every port shows what it should.")
    return 0
