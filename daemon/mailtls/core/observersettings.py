"""What [observer] of mailtls.toml says."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mailtls.core.packetfilter import MOST_PORTS
from mailtls.core.postfixview import Port
from mailtls.core.rule import Table


class ObserverSettings(Table):
    """Where mailtls-observer listens. It runs only where its unit was enabled; without it nothing is different."""

    ports: Annotated[tuple[Port, ...], Field(min_length=1, max_length=MOST_PORTS)] = (25, 465, 587)
    """Ports of this machine at which clients begin TLS, as the clients see them."""
