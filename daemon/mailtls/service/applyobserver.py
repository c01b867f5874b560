"""What setup says of mailtls-observer: with the ports of clients in the log, every hello is matched exactly.

Only said, never done: it is a line of the operator's own main.cf, and everything works without it.
"""

from __future__ import annotations

from collections.abc import Iterable

from mailtls.core.mastercf import Service
from mailtls.edge.postconf import Postconf

PORTS = "smtpd_client_port_logging"  # Postfix 2.5


def ports_advice(postconf: Postconf, serving: Iterable[Service]) -> tuple[str, ...]:
    """Give a note where a service does not log its clients' ports. Raises PostfixError."""
    for service in serving:
        overrides = {name: value for name, value in service.overrides.items() if name == PORTS}
        if postconf.values(PORTS, overrides=overrides).get(PORTS) != "yes":
            return (
                f"mailtls-observer is enabled, and service {service.key} does not log the ports of its clients: with "
                f"{PORTS} = yes in main.cf each hello is matched with its session exactly; mailtlsctl edit main.cf.",
            )
    return ()
