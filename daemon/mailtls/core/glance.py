"""The glance: most questions of Postfix need no reading, since whatever else they say, the answer is DUNNO.

At the strict door a session with TLS 1.3, or with TLS 1.2 where nobody is asked for more, can neither miss a floor nor
be a downgrade, and makes use of no waiver. So one pattern over the raw bytes decides, at a tenth of what reading costs.

Promises: what passes is one whole question that `delegation.read_request` reads, and that `verdict.judge` answers with
DUNNO. What does not pass is read; that is never wrong, only slower. So the pattern is strict: the attributes in the
order in which Postfix sends them (smtpd/smtpd_check.c check_policy_service, 3.7 to 3.12), each at most once, none that
is not known here, and the door named by `policy_context`, as `setup` writes it.

SECURITY: strangers' texts stand in the question. Every repetition is possessive: nothing is ever tried twice.
"""

from __future__ import annotations

import re
from dataclasses import fields

from mailtls.core.delegation import LONGEST_NUMBER, NUMBERS
from mailtls.core.smtpfacts import SmtpFacts, Stage
from mailtls.core.tlsversion import TLS12
from mailtls.core.verdict import Snapshot

LONGEST = 4_096
"""Bytes of a question that is glanced at; they may be kept unread. An honest one has well below a thousand."""

_ORDER = [item.name for item in fields(SmtpFacts) if item.name != "protocol_state"]
_FIXED = {"sasl_method": "", "sasl_username": "", "policy_context": "mailtls-strict"}
_DATA, _END_OF_MESSAGE = Stage.DATA, Stage.END_OF_MESSAGE


def _line(name: str, versions: str) -> str:
    """Give the pattern of one line: as it has to be, or else anything (`.` is no line break), or no line at all."""
    if name == "encryption_protocol":
        return f"{name}=(?:{versions})\n"
    if name in _FIXED:
        return f"{name}={_FIXED[name]}\n"
    value = f"[0-9]{{0,{LONGEST_NUMBER}}}+" if name in NUMBERS else ".*+"
    return f"(?:{name}={value}\n)?+"


def _pattern(versions: str) -> re.Pattern[bytes]:
    """Give the pattern of a question with one of these versions; its group takes part at DATA only."""
    begin = "request=smtpd_access_policy\nprotocol_state=(?:(DATA)|END-OF-MESSAGE)\n"
    return re.compile((begin + "".join(_line(name, versions) for name in _ORDER) + "\n").encode())


_TLS13_ONLY, _TLS12_TOO = _pattern(r"TLSv1\.3"), _pattern(r"TLSv1\.[23]")


class Glance:
    """Goes by one `snapshot`."""

    __slots__ = ("_match", "snapshot")

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        required = [*snapshot.required_of_peers.values(), *snapshot.required_of_domains.values()]
        lowest = {need.lowest for need in required} | {phase.lowest for phase in snapshot.phases}
        self._match = (_TLS12_TOO if max(lowest, default=0) <= TLS12 else _TLS13_ONLY).fullmatch

    def passes(self, question: bytes) -> Stage | None:
        """Give the stage of a question that is answered DUNNO; None: it has to be read. With the empty line at its end.

        The stage is DATA or END_OF_MESSAGE.
        """
        if len(question) > LONGEST or b"\0" in question:
            return None
        found = self._match(question)
        if found is None:
            return None
        return _DATA if found.lastindex else _END_OF_MESSAGE
