"""Where the doors listen: the section [doors] of mailtls.toml. A change counts from the next `mailtlsctl setup` on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from mailtls.core.level import Level
from mailtls.core.postfixview import Port
from mailtls.core.rule import Table


class DoorSettings(Table):
    """Ports of this machine that nobody else uses; no peer ever sees them."""

    legacy_rsa: Port = 10125
    legacy: Port = 10225
    sslv3: Port = 10325
    sslv3_served_by: Literal["gateway", "site"] = "gateway"
    """Who serves that port: mailtls-gateway, or a program of the site's own, such as a smtpd with another OpenSSL."""

    @property
    def ports(self) -> Mapping[Level, int]:
        """Give the ports by level."""
        return {Level.LEGACY_RSA: self.legacy_rsa, Level.LEGACY: self.legacy, Level.SSLV3: self.sslv3}
