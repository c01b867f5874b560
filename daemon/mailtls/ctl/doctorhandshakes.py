"""`mailtlsctl doctor --handshakes`: random hellos, each foretold, on the site's own Postfix.

Which door a peer needs is computed from its hello (core/handshake.py), after rules that were compared with the Postfix
of Debian; this compares them with the Postfix that is here. Every hello is sent to the running service as a client
would send it, and the whole answer counts: version, cipher, another key asked for, or the alert, and the reason in
Postfix's log where that can be read. A difference is a finding: there, advice on peers may be wrong.

Nothing is changed. The log gets as many sessions from this machine's own address.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from mailtls.config import read_config
from mailtls.core.ciphersuite import Authentication
from mailtls.core.clienthello import read_hello
from mailtls.core.handshake import Negotiated, predict
from mailtls.core.handshaketrial import Trial, visits_of, with_reasons
from mailtls.core.keeperprotocol import Message
from mailtls.ctl import output
from mailtls.ctl.progress import ReadingBar
from mailtls.ctl.screen import BAD, GOOD, Screen, figure, heading, listing, plural
from mailtls.edge.grownlog import grown_log
from mailtls.edge.helloasker import answer_to
from mailtls.edge.postconf import Postconf
from mailtls.edge.randomhello import random_hello
from mailtls.edge.serviceprofile import OfferingService, offering_services
from mailtls.errors import ConfigError, StoreError

PATIENCE_S = 10.0
"""So long the log may take to have everything."""
LONG_S = 2.0
"""Seconds for one hello; usually it is milliseconds."""
FINDINGS = 1
PRINTED = 5  # kinds of misses in text; the file and --json have all
_WORDS = {
    Authentication.ANY: "accepted in TLS 1.3",
    Authentication.RSA: "accepted with an RSA certificate",
    Authentication.ECDSA: "accepted with an ECDSA certificate",
    Authentication.NONE: "accepted without a certificate",
}


class OutcomeRow(Message):
    """So many hellos were foretold to come to this, and so many of them did."""

    outcome: str
    tried: int
    agreed: int


class ServiceRow(Message):
    """One service, its certificates' kinds, and what came of the hellos there."""

    service: str
    address: str
    port: int
    certificates: tuple[str, ...]
    outcomes: tuple[OutcomeRow, ...]


class MissRow(Message):
    """One difference; `hello`: its bytes, hexadecimal."""

    service: str
    predicted: str
    came: str
    hello: str


class HandshakePage(Message):
    """What `--json` prints. `log`: where the reasons were read, null: nowhere; `kept`: the file with all misses."""

    seed: int
    tried: int
    agreed: int
    log: str | None
    services: tuple[ServiceRow, ...]
    misses: tuple[MissRow, ...] = ()
    kept: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for. `services`: their names in master.cf, none: port 25 and the doors; `logs`: Postfix's."""

    count: int
    as_json: bool = False
    config: str | None = None
    directory: str | None = None
    services: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()


def handshakes(order: Order) -> int:
    """Try the hellos at each service; 1 where any was not foretold. Raises ConfigError, PostfixError, StoreError."""
    configuration = _configuration(order)
    services = offering_services(configuration, order.services)
    seed = secrets.randbelow(1 << 32)
    trials, log = _compare(services, seed, order, _logs(configuration, order))
    misses = [one for one in trials if not one.agrees]
    page = HandshakePage(
        seed=seed, tried=len(trials), agreed=len(trials) - len(misses), log=log,
        services=tuple(_row(each, trials) for each in services), misses=tuple(_miss(one) for one in misses),
        kept=_keep(misses, configuration) if misses else None,
    )  # fmt: skip
    if order.as_json:
        output.write_json(page.model_dump_json(indent=1))
    else:
        output.write(_pages(page, Screen()))
    return FINDINGS if misses else 0


def _configuration(order: Order) -> Path:
    places = read_config(order.config).places
    usual = places.under(places.config.postfix.config_directory)
    configuration = Path(order.directory).absolute() if order.directory is not None else usual
    if not (configuration / "main.cf").is_file():
        raise ConfigError(f"{configuration}: there is no main.cf; name Postfix's directory with --config-dir")
    return configuration


def _logs(configuration: Path, order: Order) -> tuple[str, ...]:
    return (Postconf(configuration).values("maillog_file").get("maillog_file", ""), *order.logs)


# --- trying ------------------------------------------------------------------------------------------------------


def _compare(
    services: Sequence[OfferingService], seed: int, order: Order, logs: Iterable[str]
) -> tuple[list[Trial], str | None]:
    """Send the same hellos to every service, one after the other; also name the log that gave the reasons."""
    chance = Random(seed)  # noqa: S311 - chance for a test, no secret
    hellos = [random_hello(chance) for _ in range(order.count)]
    log = grown_log(logs)
    trials: list[Trial] = []
    clients: list[tuple[str, int]] = []
    try:
        with ReadingBar("handshakes") as bar:
            begun = time.monotonic()
            for hello in hellos:
                for service in services:
                    trial, client = _try(hello, service)
                    trials.append(trial)
                    clients.append(client)
                if hello is hellos[0]:
                    _warn(time.monotonic() - begun, order.count)
                if bar.callback is not None:
                    bar.callback(len(trials), len(hellos) * len(services))
        deadline = time.monotonic() + PATIENCE_S
        while (reasoned := with_reasons(trials, clients, visits_of(log.lines()))) is None:
            if time.monotonic() > deadline:
                return trials, None
            time.sleep(0.2)  # the log is written by others; there is nothing that would tell when
        return reasoned, log.name
    finally:
        log.close()


def _warn(seconds: float, count: int) -> None:
    """Say so where a round takes long: then somebody makes clients wait before he greets them."""
    if seconds > LONG_S:
        output.complain(
            f"each hello takes {seconds:.0f} s here, all {count} about {seconds * count / 60:.0f} minutes: postscreen "
            "lets this machine wait (postscreen_access_list), or Postfix waits for a DNS that does not answer; --count "
            "asks for fewer"
        )


def _try(hello: bytes, service: OfferingService) -> tuple[Trial, tuple[str, int]]:
    read = read_hello(hello)
    predicted = predict(read, service.profile) if read is not None else None
    answer, ip, port = answer_to(hello, service.entrance)
    return Trial(service.entrance.name, hello, predicted, answer), (ip, port)


# --- telling -----------------------------------------------------------------------------------------------------


def _row(service: OfferingService, trials: Iterable[Trial]) -> ServiceRow:
    tried, agreed = Counter[str](), Counter[str]()
    for one in trials:
        if one.service == service.entrance.name:
            tried[_outcome(one)] += 1
            agreed[_outcome(one)] += one.agrees
    outcomes = tuple(OutcomeRow(outcome=what, tried=n, agreed=agreed[what]) for what, n in tried.most_common())
    kinds = tuple(dict.fromkeys(key.kind.value for key in service.profile.keys))
    entrance = service.entrance
    return ServiceRow(
        service=entrance.name, address=entrance.host, port=entrance.port, certificates=kinds, outcomes=outcomes
    )


def _outcome(trial: Trial) -> str:
    if isinstance(trial.predicted, Negotiated):
        return _WORDS.get(trial.predicted.cipher.authentication, "accepted otherwise")
    return f"refused: {trial.predicted}" if trial.predicted is not None else "no hello at all"


def _miss(trial: Trial) -> MissRow:
    return MissRow(service=trial.service, predicted=trial.foretold, came=trial.came, hello=trial.hello.hex())


def _keep(misses: Iterable[Trial], configuration: Path) -> str:
    """Write what is needed to see them again into a file that only this user may read. Raises StoreError."""
    version = Postconf(configuration).values("mail_version").get("mail_version", "")
    try:
        descriptor, name = tempfile.mkstemp(prefix="mailtls-handshakes-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"Postfix {version}; one line a hello that was not answered as predicted.\n")
            file.writelines(f"{one}\n" for one in misses)
    except OSError as error:
        raise StoreError(f"the differences cannot be kept: {error.strerror}; --json prints them") from error
    return name


def _pages(page: HandshakePage, view: Screen) -> Iterator[str]:
    for row in page.services:
        shown = " and ".join(row.certificates) or "no"
        yield view.render(heading(f"Service {row.service} at {row.address} port {row.port}, {shown} certificate"))
        yield view.render(listing((_spelled(each), each.outcome) for each in row.outcomes), indent=2)
    read = f"with their reasons in {page.log}" if page.log is not None else _NO_REASONS
    if not page.misses:
        yield view.prose(f"All {plural(page.tried, 'handshake')} went as predicted, {read}.", GOOD)
        return
    yield view.render(heading(f"{plural(len(page.misses), 'handshake')} of {figure(page.tried)} not as predicted", BAD))
    kinds = Counter((miss.service, f"predicted {miss.predicted}; came {miss.came}") for miss in page.misses)
    for (service, words), times in kinds.most_common(PRINTED):
        yield view.prose(f": {words}; {plural(times, 'time')}", lead=service, indent=2)
    yield view.prose(
        "Was Postfix's configuration changed since it was last reloaded? Then first: mailtlsctl reload, and try again. "
        "Else what mailtls computes from a peer's hello may be wrong here, and its advice on doors with it. All of "
        f"them, with the bytes of each hello, are in {page.kept}: please report that file, with `postconf -n`. "
        f"Compared {read}."
    )


_NO_REASONS = (
    "without their reasons: Postfix's log could not be read, or others came from this machine meanwhile (--log names "
    "the log; smtpd_client_port_logging = yes tells clients of one address apart)"
)


def _spelled(row: OutcomeRow) -> str:
    return figure(row.tried) if row.tried == row.agreed else f"{figure(row.agreed)} of {figure(row.tried)}"
