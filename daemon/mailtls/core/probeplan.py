"""Which question comes next: a probe as a generator that yields questions and is sent answers.

It knows no connection and no clock. What it learns it writes into a `Probed` at once, so that nothing is lost where
whoever asks has to stop. The newest version comes first: a server that answers nothing at all is found out early.
Whatever a server answers, the questions have an end: each one that was answered with a suite or a group leaves that
out of the next.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TypeVar

from mailtls.core.ciphersuite import BY_NUMBER, Authentication, KeyExchange
from mailtls.core.clienthello import EXTENDED_MASTER_SECRET, SESSION_TICKET, ClientHello
from mailtls.core.handshake import HANDSHAKE_FAILURE, PROTOCOL_VERSION
from mailtls.core.hellowriter import RENEGOTIATION_INFO
from mailtls.core.probed import Naming, Order, Probed, Shown
from mailtls.core.probequestion import (
    CURVES,
    ECDSA_SIGNATURES,
    GROUPS,
    RSA_SIGNATURES,
    UNHEARD_OF,
    Ask,
    Shake,
    Shaken,
    authenticated,
    exchanged,
    few_suites_of,
    hello_of,
    sslv2_hello,
    suites_of,
)
from mailtls.core.serveralert import alert_name
from mailtls.core.serverhello import ServerAnswer
from mailtls.core.suite import KeyType
from mailtls.core.tlsversion import SSLV2, SSLV3, TLS10, TLS11, TLS12, TLS13, name_of

Asked = Ask | Shake
Told = ServerAnswer | Shaken
_T = TypeVar("_T")
Asking = Generator[Asked, Told, _T]

STEPS = (
    *(name_of(version) for version in (TLS13, TLS12, TLS11, TLS10, SSLV3, SSLV2)),
    "certificates", "groups", "server names", "full handshakes",
)  # fmt: skip
"""The steps in their order, as `Ask.step` names them."""
_CERTIFICATES, _GROUPS, _NAMES, _HANDSHAKES = STEPS[-4:]
_LOT = 40  # suites to a server that minds long lists
_INSUFFICIENT = 71  # insufficient_security


def probe_plan(probed: Probed, server_name: str | None, *, starttls: bool) -> Asking[None]:
    """Ask all there is to ask, with this name where one is to be given; what is learned is in `probed`."""
    for version in (TLS13, TLS12, TLS11, TLS10, SSLV3):
        yield from _version(probed, version, server_name)
    yield from _sslv2(probed)
    yield from _certificates(probed, server_name)
    yield from _groups(probed, server_name)
    yield from _naming(probed, server_name)
    yield from _handshakes(probed, server_name, starttls)


def _ask(step: str, hello: ClientHello) -> Asking[ServerAnswer]:
    answer = yield Ask(step, hello)
    if not isinstance(answer, ServerAnswer):
        raise TypeError("a hello is answered with a ServerAnswer")
    return answer


def _shake(shake: Shake) -> Asking[Shaken]:
    shaken = yield shake
    if not isinstance(shaken, Shaken):
        raise TypeError("a handshake is answered with a Shaken")
    return shaken


def _refusal(answer: ServerAnswer) -> str:
    if answer.accepted:
        return f"answers with {name_of(answer.version or 0)}"
    if answer.alert is not None:
        return alert_name(answer.alert)
    return answer.fault or "closes the connection"


# --- versions and their suites ---------------------------------------------------------------------------------------


def _version(probed: Probed, version: int, name: str | None) -> Asking[None]:
    """Learn whether a version is offered, and all its suites in the server's order of choice."""
    found, step = probed.found(version), name_of(version)
    whole, few = suites_of(version), few_suites_of(version)
    lots = [whole]
    answer = first = yield from _ask(step, hello_of(version, whole, name))
    with_key = version == TLS13 and not first.accepted and first.alert != PROTOCOL_VERSION
    if with_key or not _plain(first):  # the long hello may be what it minds, or that no key came along
        answer = yield from _ask(step, hello_of(version, few, name, with_key=with_key))
        rest = whole[len(few) :]
        lots = [few, *(rest[at : at + _LOT] for at in range(0, len(rest), _LOT))]
    if not _plain(answer) and not answer.fault and version != TLS13:  # or what it chooses does not work
        lots = _by_class(whole)
        for lot in (exchanged(few, KeyExchange.ECDHE), exchanged(few, KeyExchange.RSA)):
            if lot and not answer.accepted:
                answer = yield from _ask(step, hello_of(version, lot, name))
    if answer.version != version or answer.cipher not in whole:
        found.said = _refusal(first)
        found.offered = None if answer.fault and version > SSLV3 else False
        return
    found.offered = True
    in_parts = len(lots) > 1
    for lot in lots:
        in_parts = (yield from _drain(probed, version, name, lot, with_key)) or in_parts
    yield from _order(probed, version, name, with_key)
    if in_parts and found.order is Order.SERVER:
        found.suites, known = [], tuple(found.suites)
        yield from _exhaust(probed, version, name, known, with_key)
        found.suites += [number for number in known if number not in found.suites]


def _plain(answer: ServerAnswer) -> bool:
    """Tell whether an answer leaves nothing open: a choice, or a refusal that names version or suites as its reason."""
    return answer.accepted or answer.alert in (PROTOCOL_VERSION, HANDSHAKE_FAILURE, _INSUFFICIENT)


def _drain(probed: Probed, version: int, name: str | None, lot: tuple[int, ...], with_key: bool) -> Asking[bool]:
    """Learn which suites of a lot are taken; tell whether that was only to be learned in parts.

    A server may choose a suite that does not work there, as Dovecot 2.3 does with Diffie-Hellman and no parameters for
    it: it then breaks off, and the suites of other kinds have to be asked for without that one.
    """
    last = yield from _exhaust(probed, version, name, lot, with_key)
    left = tuple(number for number in lot if number not in probed.found(version).suites)
    parts = _by_class(left)
    if last is None or _plain(last) or last.fault or len(parts) < 2:
        return False
    for part in parts:
        yield from _exhaust(probed, version, name, part, with_key)
    return True


def _exhaust(
    probed: Probed, version: int, name: str | None, lot: tuple[int, ...], with_key: bool
) -> Asking[ServerAnswer | None]:
    """Offer suites, and again without what was chosen, until nothing is; give the refusal, None: nothing was left."""
    found, left = probed.found(version), list(lot)
    while left:
        answer = yield from _ask(name_of(version), hello_of(version, tuple(left), name, with_key=with_key))
        if answer.version != version or answer.cipher not in left:
            return answer
        found.suites.append(answer.cipher)
        left.remove(answer.cipher)
        _note(probed, answer)
    return None


def _by_class(numbers: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Divide suites by key exchange and authentication."""
    classes: dict[tuple[KeyExchange, Authentication], list[int]] = {}
    for number in numbers:
        suite = BY_NUMBER[number]
        classes.setdefault((suite.key_exchange, suite.authentication), []).append(number)
    return [tuple(part) for part in classes.values()]


def _order(probed: Probed, version: int, name: str | None, with_key: bool) -> Asking[None]:
    """Offer the suites the other way round: whoever chooses the same first one has an order of its own."""
    found = probed.found(version)
    if len(found.suites) < 2:
        found.order = Order.ONE
        return
    turned = tuple(reversed(found.suites))
    answer = yield from _ask(name_of(version), hello_of(version, turned, name, with_key=with_key))
    if answer.cipher == found.suites[0]:
        found.order = Order.SERVER
    elif answer.cipher == turned[0]:
        found.order = Order.CLIENT


def _note(probed: Probed, answer: ServerAnswer) -> None:
    """Keep what a ServerHello tells by the way."""
    probed.asks_certificate = probed.asks_certificate or answer.asks_certificate
    suite = BY_NUMBER.get(answer.cipher or 0)
    # Without a certificate OpenSSL takes a smaller prime, on purpose (ssl/t1_lib.c ssl_get_auto_dh).
    if answer.prime_bits is not None and suite is not None and suite.authentication is not Authentication.NONE:
        probed.prime_bits = min(answer.prime_bits, probed.prime_bits or answer.prime_bits)
    if answer.version is not None and TLS10 <= answer.version <= TLS12:
        probed.tickets[answer.version] = SESSION_TICKET in answer.extensions
        probed.secure_renegotiation = RENEGOTIATION_INFO in answer.extensions
        probed.extended_master_secret = EXTENDED_MASTER_SECRET in answer.extensions


def _sslv2(probed: Probed) -> Asking[None]:
    found = probed.found(SSLV2)
    answer = yield from _ask(name_of(SSLV2), sslv2_hello())
    found.offered = answer.version == SSLV2
    found.suites = list(answer.sslv2_kinds)
    found.said = "" if found.offered else _refusal(answer)


# --- certificates ----------------------------------------------------------------------------------------------------

_KINDS = (
    (KeyType.ECDSA, Authentication.ECDSA, ECDSA_SIGNATURES),
    (KeyType.RSA, Authentication.RSA, RSA_SIGNATURES),
)


def _certificates(probed: Probed, name: str | None) -> Asking[None]:
    """Ask for a certificate of each kind; where only TLS 1.3 is offered, it can be seen by a full handshake alone."""
    version = probed.newest_in_clear
    for kind, way, signatures in _KINDS:
        suites = authenticated(probed.found(version).suites, way) if version is not None else ()
        if version is not None and suites:
            answer = yield from _ask(_CERTIFICATES, hello_of(version, suites, name))
            if answer.chain:
                probed.certificates.append(Shown(kind, version, answer.chain))
                continue
        if probed.takes_newest:
            hello = hello_of(TLS13, suites_of(TLS13), name, signatures=signatures, with_key=True)
            answer = yield from _ask(_CERTIFICATES, hello)
            if answer.version == TLS13:
                probed.certificates.append(Shown(kind, TLS13))


# --- groups ----------------------------------------------------------------------------------------------------------


def _groups(probed: Probed, name: str | None) -> Asking[None]:
    if probed.takes_newest:
        yield from _newest_groups(probed, name)
    version = probed.newest_in_clear
    suites = exchanged(probed.found(version).suites, KeyExchange.ECDHE) if version is not None else ()
    if version is not None and suites:
        free = authenticated(suites, Authentication.RSA) or authenticated(suites, Authentication.NONE)
        yield from _curves(probed, version, free or suites, name, bound=not free)


def _newest_groups(probed: Probed, name: str | None) -> Asking[None]:
    left, chosen = list(GROUPS), probed.groups.setdefault(TLS13, [])
    while left:
        answer = yield from _ask(_GROUPS, hello_of(TLS13, suites_of(TLS13), name, groups=tuple(left)))
        if answer.group not in left:
            break
        chosen.append(answer.group)
        left.remove(answer.group)
    for group in left if not chosen else ():  # it wants a key to come along
        answer = yield from _ask(_GROUPS, hello_of(TLS13, suites_of(TLS13), name, groups=(group,), with_key=True))
        if answer.group == group:
            chosen.append(group)
    if chosen:
        probed.groups_whole.add(TLS13)


def _curves(probed: Probed, version: int, suites: tuple[int, ...], name: str | None, *, bound: bool) -> Asking[None]:
    """Learn the curves up to TLS 1.2. `bound`: the only certificate is ECDSA, and its curve must be offered, too."""
    left, chosen = list(CURVES), probed.groups.setdefault(version, [])
    while left:
        answer = yield from _ask(_GROUPS, hello_of(version, suites, name, groups=tuple(left)))
        if answer.group not in left:
            break
        chosen.append(answer.group)
        left.remove(answer.group)
    whole = not bound
    for curve in left if bound else ():  # with all that were found, among them that of the certificate
        answer = yield from _ask(_GROUPS, hello_of(version, suites, name, groups=(curve, *chosen)))
        if answer.group == curve:
            chosen.append(curve)
            whole = True  # the client's order counts, so that no other has been passed over
    if whole:
        probed.groups_whole.add(version)


# --- names and full handshakes ---------------------------------------------------------------------------------------


def _naming(probed: Probed, name: str | None) -> Asking[None]:
    """Ask without a name, and with one that nobody has: whether another certificate comes, or none."""
    version = probed.newest_in_clear
    if version is None or version == SSLV3:
        return
    suites = tuple(probed.found(version).suites)
    usual = yield from _ask(_NAMES, hello_of(version, suites, name))
    nameless = usual
    if name is not None:
        nameless = yield from _ask(_NAMES, hello_of(version, suites))
    unknown = yield from _ask(_NAMES, hello_of(version, suites, UNHEARD_OF))
    if not usual.accepted:
        return
    if not nameless.accepted:
        probed.naming = Naming.NEEDED
    elif not unknown.accepted:
        probed.naming = Naming.REFUSES_UNKNOWN
    elif usual.chain[:1] != nameless.chain[:1] or usual.chain[:1] != unknown.chain[:1]:
        probed.naming = Naming.CHOOSES
    else:
        probed.naming = Naming.IGNORED


def _handshakes(probed: Probed, name: str | None, starttls: bool) -> Asking[None]:
    """Do what only a whole handshake shows: tickets of TLS 1.3, its certificate, and a command behind STARTTLS."""
    if not any(version >= TLS10 for version in probed.offered):
        return
    newest = TLS13 if probed.takes_newest else None
    shaken = yield from _shake(Shake(_HANDSHAKES, newest, name))
    if newest is not None and shaken.ticket is not None:
        probed.tickets[TLS13] = shaken.ticket
    if newest is not None and shaken.certificate:
        _place_certificate(probed, shaken.certificate)
    if starttls and not shaken.version:
        probed.injection = shaken.fault
    elif starttls:
        again = yield from _shake(Shake(_HANDSHAKES, newest, name, injects=True))
        probed.obeyed, probed.injection = again.obeyed, again.fault


def _place_certificate(probed: Probed, certificate: bytes) -> None:
    """Give the only certificate that TLS 1.3 has its content; where there are two, it is not known whose this is."""
    unseen = [shown for shown in probed.certificates if not shown.chain]
    if len(unseen) == 1 and all(certificate != shown.chain[0] for shown in probed.certificates if shown.chain):
        place = probed.certificates.index(unseen[0])
        probed.certificates[place] = replace(unseen[0], chain=(certificate,))
