"""The SMTPD policy delegation protocol: Postfix asks with `name=value` lines and an empty one, and is answered so.

Sans-IO: bytes go in, in whatever pieces; questions come out, each a `SmtpFacts` or the `Malformed` that says what is
wrong with it. Sources: SMTPD_POLICY_README (attributes of Postfix 2.1 to 3.12), smtpd/smtpd_check.c
check_policy_service and check_table_result, util/attr_print_plain.c. Attributes that are not known are ignored.

Promises: as many questions come out as empty lines went in, in their order, however the bytes were cut; whoever answers
each of them, a malformed one with DUNNO, stays in step with Postfix. Answers are one line of printable ASCII.

SECURITY: HELO, sender and recipient are strangers' texts; Postfix lets no line break through, and this reader relies
on it no further than that a broken question is answered DUNNO. An attribute that we use and that comes twice is
refused: two readers might believe different ones. At most `LONGEST_REQUEST` bytes are kept, whatever comes.
BUGS: lines that end in CR LF are not the protocol: no empty line is ever seen in them, and nothing is answered.
"""

from __future__ import annotations

import re
from dataclasses import fields
from enum import StrEnum
from typing import Any

from mailtls.core.printable import printable
from mailtls.core.smtpfacts import SmtpFacts, Stage
from mailtls.core.verdict import Answer, Verdict

LONGEST_REQUEST = 64 * 1024
"""Bytes of one question. The longest honest one has a few lines of 2048 bytes, Postfix's line_length_limit."""

LONGEST_TEXT = 300
"""Characters of an answer's text: with Postfix's own words around it a reply has to fit in 512 bytes (RFC 5321)."""

END = b"\n\n"
"""What ends a question and an answer, the end of the last line with it."""
_REQUEST = "smtpd_access_policy"
_NAMES = frozenset(item.name for item in fields(SmtpFacts))
NUMBERS = frozenset(item.name for item in fields(SmtpFacts) if item.type == "int")
"""Attributes that are numbers."""
_QUOTED = frozenset({"ccert_subject", "ccert_issuer"})
_KNOWN = _NAMES | {"request"}
_STAGES = {stage.value: stage for stage in Stage}
LONGEST_NUMBER = 20
"""Digits of an unsigned long."""
_XTEXT = re.compile(rb"\+([0-9A-Fa-f]{2})")


class Malformed(StrEnum):
    """What is wrong with a question; a closed list, fit for a metric's label."""

    EMPTY = "empty"
    """No line before the empty one."""
    OVERSIZED = "oversized"
    """More than `LONGEST_REQUEST` bytes."""
    NO_ATTRIBUTE = "no_attribute"
    """A line without a name and `=`, or with a NUL byte."""
    DUPLICATE = "duplicate"
    """A known attribute came twice."""
    NOT_A_NUMBER = "not_a_number"
    """Letters where a count or size belongs."""
    OTHER_REQUEST = "other_request"
    """No `request`, or another than `smtpd_access_policy`."""


class PolicyReader:
    """Reads one connection. `pending`: bytes of a question whose end has not come."""

    __slots__ = ("_held", "_oversized")

    def __init__(self) -> None:
        self._held = bytearray()
        self._oversized = False

    @property
    def pending(self) -> int:
        """Count the bytes that are kept until the rest comes: never more than `LONGEST_REQUEST`, and one."""
        return len(self._held)

    def feed(self, data: bytes) -> list[SmtpFacts | Malformed]:
        """Take in what came, and give the questions that it completes."""
        seen = max(0, len(self._held) - 1)  # the last byte may be the first half of the end
        self._held += data
        questions: list[SmtpFacts | Malformed] = []
        begin = 0
        while True:
            if not self._oversized and self._held.startswith(b"\n", begin):
                end, after = begin, begin + 1
            else:
                end = self._held.find(END, max(seen, begin))
                after = end + len(END)
            if end < 0:
                break
            questions.append(self._question(begin, end))
            begin = after
        del self._held[:begin]
        self._bound()
        return questions

    def _question(self, begin: int, end: int) -> SmtpFacts | Malformed:
        oversized, self._oversized = self._oversized or end - begin > LONGEST_REQUEST, False
        return Malformed.OVERSIZED if oversized else read_request(bytes(self._held[begin:end]))

    def _bound(self) -> None:
        """Forget all but the last byte of what is too long: it may be the first half of the end."""
        if self._oversized or len(self._held) > LONGEST_REQUEST + 1:
            self._oversized = True
            del self._held[:-1]


def read_request(request: bytes) -> SmtpFacts | Malformed:
    """Read one question, without the empty line that ends it."""
    if not request:
        return Malformed.EMPTY
    if b"\0" in request:
        return Malformed.NO_ATTRIBUTE
    found: dict[str, str] = {}
    for line in request.decode("utf-8", "backslashreplace").split("\n"):
        name, equals, value = line.partition("=")
        if not equals or not name:
            return Malformed.NO_ATTRIBUTE
        if name in _KNOWN:
            if name in found:
                return Malformed.DUPLICATE
            found[name] = value
    return _facts(found)


def _facts(found: dict[str, str]) -> SmtpFacts | Malformed:
    if found.pop("request", "") != _REQUEST:
        return Malformed.OTHER_REQUEST
    values: dict[str, Any] = found
    values["protocol_state"] = _STAGES.get(found.get("protocol_state", ""), Stage.OTHER)
    for name in NUMBERS:
        text = found.get(name) or "0"  # what is empty is not available, as if it had not been sent
        if len(text) > LONGEST_NUMBER or not (text.isascii() and text.isdigit()):
            return Malformed.NOT_A_NUMBER
        values[name] = int(text)
    for name in _QUOTED:
        if "+" in found.get(name, ""):
            values[name] = _unquoted(found[name])
    return SmtpFacts(**values)


def _unquoted(value: str) -> str:
    """Take the xtext off (RFC 3461 4; Postfix since 2.2.11): `Wietse+20Venema`."""
    plain = _XTEXT.sub(lambda match: bytes.fromhex(match[1].decode("ascii")), value.encode())
    return plain.decode("utf-8", "backslashreplace")


_ACTIONS = {
    Answer.DUNNO: "DUNNO",
    Answer.NOTE: "DUNNO",
    Answer.STAMP: "PREPEND",
    Answer.DEFER: "DEFER",
    Answer.REJECT: "REJECT",
}


def written(verdict: Verdict) -> bytes:
    """Write the answer to one question."""
    action = _ACTIONS[verdict.answer]
    text = "" if action == "DUNNO" else one_line(verdict.text)
    return f"action={action} {text}".rstrip().encode("ascii") + END


MALFORMED = b"action=DUNNO" + END
"""The answer to whatever is malformed."""


def one_line(text: str) -> str:
    """Make a text fit for an SMTP reply or a header: what is not ASCII would need SMTPUTF8, and becomes `?`."""
    return printable(text, LONGEST_TEXT).replace("…", "...").encode("ascii", "replace").decode("ascii").strip()
