"""The file that hands what a verdict knows to the milter: a `Snapshot` as text, and back.

One line that names the format, then one object of JSON. mailtlsd writes it whole and renames it over; the milter reads
it. A file that is broken, cut off, too large or of another version is an `Unreadable` with a sentence, never half a
snapshot: what the reader had before stays in force.

SECURITY: written by mailtlsd alone, in a directory that nobody else writes to; read as strictly as a stranger's all the
same, with a bound on its size before anything is parsed.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from mailtls.core.printable import printable
from mailtls.core.verdict import Snapshot

VERSION = 3
"""Goes up with every change of `Snapshot` or of a value in it: a milter that does not know a field must not skip it."""

LARGEST = 64 * 1024 * 1024
"""Bytes. An address with its proof takes about 75, so that this is more than half a million."""

_MAGIC = b"mailtls-verdicts "
_SNAPSHOT = TypeAdapter(Snapshot)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why the file cannot be used: a clause for the operator, behind the file's name and a colon."""

    clause: str


def write_snapshot(snapshot: Snapshot) -> bytes:
    """Write a snapshot as the whole content of the file. Raises ValueError where it is larger than `LARGEST`."""
    content = b"%s%d\n%s\n" % (_MAGIC, VERSION, _SNAPSHOT.dump_json(snapshot))
    if len(content) > LARGEST:
        raise ValueError(f"the snapshot takes {len(content)} bytes, and {LARGEST} is the most that the milter reads")
    return content


def read_snapshot(content: bytes) -> Snapshot | Unreadable:
    """Read the whole content of the file."""
    if len(content) > LARGEST:
        return Unreadable(f"it has more than {LARGEST} bytes, which mailtlsd never writes")
    heading, _, body = content.partition(b"\n")
    version = heading.removeprefix(_MAGIC)
    if not heading.startswith(_MAGIC) or not version.isdigit():
        return Unreadable("it does not begin as a file of verdicts does")
    if version != b"%d" % VERSION:
        known = f"version {printable(version.decode('ascii'), 20)}, and this mailtls-milter reads version {VERSION}"
        return Unreadable(f"it is of {known}; systemctl restart mailtls-milter mailtlsd")
    try:
        return _SNAPSHOT.validate_json(body, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        said = f"{first['msg']} at {place}" if place else first["msg"]
        return Unreadable(printable(f"it cannot be read ({said}); systemctl reload mailtlsd writes it again", 500))
