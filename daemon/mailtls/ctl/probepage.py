"""A probe's answer to read: versions, a matrix of suites and versions, certificates, the rest, and what is weak.

It fits 80 columns. A number in the matrix is the place in the server's own order; where the client's counts, it is x.
"""

from __future__ import annotations

from collections.abc import Iterator

from mailtls.core.probed import Naming, Order
from mailtls.core.probefinding import Weakness
from mailtls.core.probetarget import Service
from mailtls.ctl.probejson import CertificateRow, Probe, VersionRow
from mailtls.ctl.screen import ADDRESS, BAD, GOOD, HEADING, QUIET, Screen, heading, plural

_NAME, _CELL = 31, 8
_NAMINGS = {
    Naming.IGNORED: "the certificate is the same whatever name is asked for",
    Naming.CHOOSES: "the certificate depends on the name that is asked for",
    Naming.REFUSES_UNKNOWN: "names that it does not know are refused",
    Naming.NEEDED: "without a name it refuses; old senders send none",
}
_WEAK_WORDS = ("NULL", "EXP-", "EXP1024-", "DES-CBC-")


def pages(answer: Probe, view: Screen) -> Iterator[str]:
    """Print it all."""
    how = "TLS at once" if not answer.service.starttls else "STARTTLS"
    where = f"{answer.host} ({answer.address})" if answer.address not in ("", answer.host) else answer.host
    said = f" port {answer.port}, {answer.service} with {how}, {plural(answer.connections, 'connection')}"
    yield view.prose(said, lead=where, lead_style=ADDRESS)
    if any(row.offered is not None for row in answer.versions):
        yield from _versions(answer, view)
        yield from _matrix(answer, view)
        yield from _certificates(answer, view)
        yield from _rest(answer, view)
    yield from _findings(answer, view)


def _versions(answer: Probe, view: Screen) -> Iterator[str]:
    yield view.render(heading("Versions"))
    for row in answer.versions:
        old = row.version in ("SSLv2", "SSLv3")
        if row.offered:
            words, style = f"offered, {plural(len(row.ciphers), 'suite')}{_order(row)}", BAD if old else GOOD
        else:
            words, style = f"{'not offered' if row.offered is False else 'not known'}: {row.said}", ""
        yield view.prose(f"  {row.version:<9}{words}", style)


def _order(row: VersionRow) -> str:
    if row.order is Order.SERVER:
        return ", in the server's order"
    return ", in the client's order" if row.order is Order.CLIENT else ""


def _matrix(answer: Probe, view: Screen) -> Iterator[str]:
    offered = [row for row in answer.versions if row.offered and row.version != "SSLv2"]
    names = list(dict.fromkeys(name for row in reversed(offered) for name in row.ciphers))
    if names:
        columns = "".join(row.version.rjust(_CELL) for row in offered)
        yield view.render(heading("Suites"))
        yield view.prose(f"{'':<{_NAME}}{columns}", QUIET)
    for name in names:
        cells = "".join(_cell(row, name).rjust(_CELL) for row in offered)
        weak = any(name.startswith(word) or f"-{word}" in name for word in _WEAK_WORDS)
        yield view.prose(f"  {name:<{_NAME - 2}}{cells}", BAD if weak else "")
    for row in answer.versions:
        if row.offered and row.version == "SSLv2":
            yield view.prose(f"  SSLv2: {', '.join(row.ciphers) or 'none'}", BAD)


def _cell(row: VersionRow, name: str) -> str:
    if name not in row.ciphers:
        return "-"
    return "x" if row.order is not Order.SERVER else str(row.ciphers.index(name) + 1)


def _certificates(answer: Probe, view: Screen) -> Iterator[str]:
    yield view.render(heading("Certificates"))
    if not answer.certificates:
        yield view.prose("none was shown", indent=2)
    for row in answer.certificates:
        yield view.prose(_certificate(row), lead=row.kind, lead_style=HEADING, indent=2)
        if row.sha256 is not None:
            yield view.prose(f"SHA-256 {row.sha256[:32]}", QUIET, indent=4)
            yield view.prose(row.sha256[32:], QUIET, indent=12)


def _certificate(row: CertificateRow) -> str:
    if row.sha256 is None:
        return f": there is one; {row.seen_in} shows it to nobody on the way"
    if row.not_after is None:
        return f": in {row.seen_in}, which openssl(1) cannot read; {plural(row.chain, 'certificate')} came"
    signed = "signed by itself" if row.self_signed else f"signed by {row.issuer}"
    chain = "" if row.seen_in == "TLSv1.3" else f", {plural(row.chain, 'certificate')} in the chain"
    names = ", ".join(row.names[:6]) + (f" and {len(row.names) - 6} more" if len(row.names) > 6 else "")
    return f" of {row.bits} bits for {names or row.subject}, until {row.not_after:%Y-%m-%d}, {signed}{chain}"


def _rest(answer: Probe, view: Screen) -> Iterator[str]:
    yield view.render(heading("Keys and sessions"))
    for groups in answer.groups:
        more = "" if groups.complete else "; there may be others"
        yield view.prose(f"groups in {groups.version}: {', '.join(groups.groups) or 'none'}{more}", indent=2)
    if answer.dh_prime_bits is not None:
        yield view.prose(f"Diffie-Hellman prime: {answer.dh_prime_bits} bits", indent=2)
    if answer.server_names is not None:
        yield view.prose(f"server names: {_NAMINGS[answer.server_names]}", indent=2)
    for given, word in ((True, "given"), (False, "not given")):
        if listed := [version for version, ticket in answer.tickets.items() if ticket is given]:
            yield view.prose(f"session tickets {word}: {', '.join(listed)}", indent=2)
    if answer.secure_renegotiation is False:
        yield view.prose("secure renegotiation (RFC 5746) is not known to the server", BAD, indent=2)
    if answer.asks_client_certificate:
        yield view.prose("clients are asked for a certificate", indent=2)
    if answer.service.starttls:
        yield view.prose(f"a command behind STARTTLS: {_injection(answer)}", indent=2)


def _injection(answer: Probe) -> str:
    if answer.starttls_injection == "obeyed":
        return "is obeyed inside TLS"
    if answer.starttls_injection == "safe":
        return answer.starttls_detail or "is thrown away, as it must be"
    return f"not tried: {answer.starttls_detail or 'this system has no version of TLS in common with the server'}"


def _findings(answer: Probe, view: Screen) -> Iterator[str]:
    if answer.findings:
        yield view.render(heading("What is weak", BAD))
    for row in answer.findings:
        yield view.prose(f": {row.seen}: {row.matters}", lead=row.finding, lead_style=BAD, indent=2)
    if answer.findings and answer.service is Service.SMTP and _needs_old(answer):
        yield view.prose(
            "Where single peers need it, a waiver lets these in alone, and nobody else is weakened: mailtlsctl peers "
            "--failing"
        )
    if not answer.findings and answer.complete:
        yield view.render(heading("Nothing is weak.", GOOD))


def _needs_old(answer: Probe) -> bool:
    old = {Weakness.SSLV2, Weakness.SSLV3, Weakness.EXPORT, Weakness.DES}
    return any(row.finding in old for row in answer.findings)
