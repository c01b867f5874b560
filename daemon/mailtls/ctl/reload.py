"""`mailtlsctl reload [--keep]`: reload Postfix only with files that were tried; put broken ones aside."""

from __future__ import annotations

from datetime import datetime

from mailtls.ctl.applying import Asked, ChangePage, carry_out, derive_for, site_of
from mailtls.service.applyreload import reload as reload_site

DONE = "Postfix was reloaded, and every port shows what it should."


def reload(asked: Asked, *, keep: bool, guarded: bool) -> int:
    """Reload; `keep` changes nothing and only says what is broken. Raises ConfigError."""

    def work() -> ChangePage:
        site = site_of(asked.config, asked.directory)
        derive, now = derive_for(asked, site), datetime.now().astimezone()
        notes = reload_site(site, now, keep=keep, guarded=guarded, derive=derive).notes
        return ChangePage(command="reload", notes=notes or (DONE,))

    return carry_out("reload", asked, work)
