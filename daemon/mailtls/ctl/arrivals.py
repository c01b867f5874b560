"""What Postfix itself told of a peer's messages, in `mailtlsctl explain`: how they came, the last, and the alarm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mailtls.core.arrival import Certificate
from mailtls.core.controlprotocol import LastArrival, MessageCount
from mailtls.ctl.known import local
from mailtls.ctl.screen import BAD, Screen, figure, heading, listing, text

SHOWN = 12  # kinds of messages
CLEARTEXT = "cleartext"
CERTIFICATES = {
    Certificate.SHOWN: "a client certificate that Postfix does not trust",
    Certificate.TRUSTED: "a trusted client certificate",
}


def arrival_lines(arrival: LastArrival | None, counts: Iterable[MessageCount], view: Screen) -> Iterator[str]:
    """Tell it, if there is anything to tell."""
    if arrival is None:
        return
    rows = _rows(counts)
    yield view.render(heading("Messages, as Postfix itself told"))
    yield view.render(listing((figure(count), words) for words, count in rows[:SHOWN]), indent=2)
    if len(rows) > SHOWN:
        yield view.prose(f"and of {len(rows) - SHOWN} more kinds; --json tells of them", indent=2)
    yield view.prose(_last(arrival), indent=2)
    if arrival.good_at is not None and arrival.good_sessions:
        sessions = f"{arrival.good_sessions} session{'s' if arrival.good_sessions > 1 else ''}"
        yield view.prose(
            f"With TLSv1.2 or later at the strict door: {sessions}, the last {local(arrival.good_at)}.", indent=2
        )
    if arrival.alarm is not None and arrival.alarm_at is not None:
        yield view.render(heading(f"Alarm, {local(arrival.alarm_at)}", BAD), text(arrival.alarm))


def _rows(counts: Iterable[MessageCount]) -> list[tuple[str, int]]:
    found: dict[str, int] = {}
    for each in counts:
        key = each.certificate if each.certificate in CERTIFICATES else ""
        certificate = f", {CERTIFICATES[Certificate(key)]}" if key else ""
        words = f"{_protection(each)} at the {each.door} door{certificate}"
        found[words] = found.get(words, 0) + each.messages
    return sorted(found.items(), key=lambda row: -row[1])


def _protection(each: LastArrival | MessageCount) -> str:
    if each.tls_version is None:
        return CLEARTEXT if each.door != "sslv3" else "what the gateway agreed on"
    return f"{each.tls_version} {each.cipher or '?'} ({each.keysize} bits)"


def _last(arrival: LastArrival) -> str:
    words = [f"The last one came {local(arrival.at)} with {_protection(arrival)}"]
    words += [f"it called itself {arrival.helo}"] if arrival.helo else []
    words += [f"the sender was of {arrival.sender_domain}"] if arrival.sender_domain else []
    words += [f"its certificate is {arrival.subject}"] if arrival.subject else []
    words += [f"fingerprint {arrival.fingerprint}"] if arrival.fingerprint else []
    return "; ".join(words) + "."
