"""A service's list of TLS protocols, examined: every trap of the syntax, and what the list comes to.

How Postfix reads a list: `core/offering.py`, which this asks; how it is written right: `core/protocollist.py`. The
parameter in force is the mandatory one where TLS is demanded, else the other; a bad value of the one that is not in
force is noticed by nothing (facts 3.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mailtls.core.doctorfinding import EDIT_MAIN, DoctorFinding
from mailtls.core.doctorservice import Role, SmtpdService
from mailtls.core.offering import (
    MANDATORY_PROTOCOLS,
    OFFERED,
    OLD,
    PROTOCOLS,
    SEPARATORS,
    is_limit_without_name,
    unknown_words,
    versions_of,
)  # fmt: skip
from mailtls.core.printable import printable
from mailtls.core.protocollist import newest_needed, read_words, rewritten

LIMITS_SINCE = (3, 6)
"""The first Postfix that knows `>=` and `<=`."""
_RIGHT = {True: ">=TLSv1.2", False: "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1"}


def protocol_findings(services: Iterable[SmtpdService], version: tuple[int, ...]) -> Iterator[DoctorFinding]:
    """Examine the lists of all services of one Postfix."""
    known = [each for each in services if not each.is_off]
    for service in known:
        yield from _findings(service, version)
    yield from _unused(known, version)


def wrong_words(text: str, version: tuple[int, ...]) -> tuple[str, ...]:
    """Name the words of a list that this version of Postfix does not know."""
    words = unknown_words(text)
    if version < LIMITS_SINCE:
        words += tuple(word for word in SEPARATORS.split(text) if word.startswith((">=", "<=")))
    return tuple(dict.fromkeys(words))


def _active(service: SmtpdService) -> str:
    return MANDATORY_PROTOCOLS if service.is_enforced else PROTOCOLS


def _right(text: str, version: tuple[int, ...]) -> str:
    new, old = rewritten(text)
    return new if version >= LIMITS_SINCE else old


def _findings(service: SmtpdService, version: tuple[int, ...]) -> Iterator[DoctorFinding]:
    parameter = _active(service)
    text = service.values.get(parameter, "")
    if wrong := wrong_words(text, version):
        yield _invalid("protocols_invalid", service, parameter, text, wrong, version)
        return
    if said := _otherwise(text):
        yield _finding("protocols_not_as_meant", service, parameter, said, _meant(text, version))
    taken = versions_of(service.values)
    if not taken:
        yield _finding(
            "protocols_none", service, parameter, f"{parameter} = {printable(text, 200)} leaves no version that this "
            "OpenSSL has.", _RIGHT[version >= LIMITS_SINCE],
        )  # fmt: skip
    elif service.matters and not said:
        yield from _range(service, parameter, taken, version)


def _range(
    service: SmtpdService, parameter: str, taken: tuple[str, ...], version: tuple[int, ...]
) -> Iterator[DoctorFinding]:
    modern = [each for each in taken if each not in OLD]
    newer = version >= LIMITS_SINCE
    if not modern:
        said = f"{', '.join(taken)} is all that {service.key} takes."
        yield _finding("protocols_too_old", service, parameter, said, ">=TLSv1" if newer else "!SSLv2, !SSLv3")
    elif modern == ["TLSv1.3"] and service.role is Role.MX:
        said = f"TLSv1.3 is all that {service.key} takes."
        yield _finding("protocols_too_strict", service, parameter, said, _RIGHT[newer])
    elif "TLSv1.3" not in modern:
        said = f"{service.key} takes {', '.join(taken)}, and no TLSv1.3."
        yield _finding("protocols_without_tls13", service, parameter, said, _RIGHT[newer])


def _otherwise(text: str) -> str:
    """Say what a list that Postfix accepts does not say although it looks as if; nothing where all is plain."""
    words = [word for word in SEPARATORS.split(text) if word]
    shown = printable(text, 200)
    taken = ", ".join(versions_of({"smtpd_tls_security_level": "may", PROTOCOLS: text})) or "nothing"
    if any(is_limit_without_name(word) for word in words):
        return f"In `{shown}` a blank stands behind >= or <=, so that no limit is set: Postfix takes {taken}."
    included = [word for word in words if word[0] not in "!<>"]
    if included and all(word.lower() == "sslv2" for word in included) and len(included) == len(words):
        return f"`{shown}` looks like SSLv2 only; no OpenSSL of today has it, and Postfix takes {taken}."
    if included and any(word.startswith("!") for word in words):
        return f"`{shown}` both names versions and excludes some: only what it names is left, {taken}."
    return ""


def _meant(text: str, version: tuple[int, ...]) -> str:
    """Say how it is written that means what was most likely meant."""
    words = [word.right or "" for word in read_words(text)]
    named = [word for word in words if word and word[0] not in "!<>"]
    floor = next((each for each in OFFERED if each in named), None)
    if floor is not None and any(word.startswith("!") for word in words):
        return _right(f">={floor}", version)
    return _right(text, version)


def _invalid(
    name: str, service: SmtpdService, parameter: str, text: str, wrong: tuple[str, ...], version: tuple[int, ...]
) -> DoctorFinding:
    spelled = {word.seen: word.right for word in read_words(text) if word.right}
    told = ", ".join(
        f"`{printable(word, 60)}`" + (f" (written {right})" if (right := spelled.get(word)) not in (None, word) else "")
        for word in wrong[:4]
    )
    needed = newest_needed(text) if version < LIMITS_SINCE else None
    said = f"{parameter} = {printable(text, 200)}: Postfix does not know {told}{f'; {needed}' if needed else ''}."
    return _finding(name, service, parameter, said, _right(text, version))


def _unused(services: list[SmtpdService], version: tuple[int, ...]) -> Iterator[DoctorFinding]:
    """Look at the parameter that no service uses, as main.cf has it."""
    used = {_active(service) for service in services}
    for parameter in (PROTOCOLS, MANDATORY_PROTOCOLS):
        first = next((each for each in services if parameter not in each.own), None)
        text = first.values.get(parameter, "") if first is not None else ""
        if first is not None and parameter not in used and (wrong := wrong_words(text, version)):
            said = f"{parameter} = {printable(text, 200)}: Postfix does not know `{printable(wrong[0], 60)}`."
            setting = f"{parameter} = {_right(text, version)}"
            yield DoctorFinding("protocols_invalid_unused", (f"{first.directory}/main.cf",), said, setting, EDIT_MAIN)


def _finding(name: str, service: SmtpdService, parameter: str, seen: str, value: str) -> DoctorFinding:
    return DoctorFinding(
        name, (service.place(parameter),), seen, service.line(parameter, value), service.command(parameter)
    )
