"""`mailtlsctl export fail2ban`: whom fail2ban should leave alone, as a file that it reads.

Whoever has a waiver, and whoever fails over TLS without being a scanner: as mailtlsd knows them, or the keeper, or,
with `--log`, as the logs show them. Nothing is written but standard output.

SECURITY: a stranger can get onto the list by failing like an old mail server. It is therefore for the jails alone that
count failed handshakes, never for those that count guessed passwords.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_network

from mailtls.config import Places
from mailtls.core.controlprotocol import AskPeers, AskWaivers
from mailtls.core.doctorsystem import IGNORED, Jail, ignore_list
from mailtls.core.keeperprotocol import ListWaivers
from mailtls.core.printable import printable
from mailtls.ctl import UNREACHABLE, output
from mailtls.ctl.inquiry import ask_daemon, ask_keeper, places_of
from mailtls.ctl.reading import history_of
from mailtls.edge.doctorsystem import jails
from mailtls.errors import MailtlsError, UnreachableError

MOST = 5000
HEAD = f"# Written by mailtlsctl export fail2ban: old mail servers, not attackers. Put it into {IGNORED},\n"
HOW = "# then run: fail2ban-client reload\n"


def fail2ban(logs: Sequence[str], config: str | None) -> int:
    """Print the list; 3 where only the keeper could be asked. Raises ConfigError, InputError, UnreachableError."""
    places, status = places_of(config), 0
    if logs:
        found = _from_logs(logs)
    else:
        try:
            found = _from_daemon(places)
        except UnreachableError as error:
            found, status = _from_keeper(places, error), UNREACHABLE
            output.complain(f"{error}; what is printed are the keeper's waivers; --log reads logs instead")
    wanted = _in_order(found)
    known = jails(places.root)
    for place, why in known.unread:
        output.complain(f"{place} was not read: {why}; jails that are named there alone are missing from this list")
    output.write((HEAD, HOW, ignore_list(wanted, _names(known.found)) or "# There is nobody to leave alone.\n"))
    return status


def _from_logs(logs: Sequence[str]) -> tuple[str, ...]:
    from mailtls.core.diagnosis import diagnose

    return tuple(peer.ip for peer in diagnose(history_of(logs, None, None)).peers if peer.outage)


def _from_daemon(places: Places) -> tuple[str, ...]:
    waived = tuple(waiver.network for waiver in ask_daemon(places, AskWaivers()).waivers or ())
    known = ask_daemon(places, AskPeers(failing=True, limit=MOST)).peers or ()
    return (*waived, *(peer.ip for peer in known if peer.state == "failing"))


def _from_keeper(places: Places, unreachable: UnreachableError) -> tuple[str, ...]:
    try:
        return tuple(waiver.network for waiver in ask_keeper(places, ListWaivers()).waivers)
    except MailtlsError as error:
        raise UnreachableError(f"{unreachable}; nor can the keeper be asked: {error}; --log reads logs") from error


def _in_order(found: Iterable[str]) -> tuple[str, ...]:
    """Put addresses and networks in order, each once."""
    networks = {ip_network(each, strict=False) for each in found}
    ordered = sorted(networks, key=lambda each: (each.version, each.network_address, each.prefixlen))
    return tuple(str(each.network_address) if each.prefixlen == each.max_prefixlen else str(each) for each in ordered)


def _names(known: Iterable[Jail]) -> tuple[str, ...]:
    """Name the jails that would ban them; the usual one where none of those that are on would."""
    return tuple(printable(jail.name, 60) for jail in known if jail.bans_failures)
