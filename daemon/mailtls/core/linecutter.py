"""From blocks of bytes, cut anywhere, to whole lines.

A line without its end waits until the end comes, however the blocks were cut; a line of more than `LONGEST_LINE` bytes
is given without the rest, so that memory is bounded whatever a file holds. NUL bytes in front of a line are left out:
a crash leaves them, and so does a program that goes on writing at its old offset into a file truncated under it.
"""

from __future__ import annotations

LONGEST_LINE = 1 << 20  # bytes


class LineCutter:
    """Cuts one stream. `pending`: bytes since the last line end; `cut`: how many lines were too long."""

    __slots__ = ("_carry", "cut", "pending")

    def __init__(self) -> None:
        self._carry = b""
        self.pending = 0
        self.cut = 0

    def feed(self, block: bytes) -> list[bytes]:
        """Return the lines that this block completes, in order, without their ends (LF or CR LF)."""
        lines = block.split(b"\n")
        if len(lines) == 1:
            self._keep(block)
            return []
        lines[0] = self._completed(lines[0])
        rest = lines.pop()
        self._carry, self.pending = b"", 0
        self._keep(rest)
        if b"\r" in block or lines[0].endswith(b"\r"):
            lines = [line[:-1] if line.endswith(b"\r") else line for line in lines]
        if b"\0" in block:
            lines = [line.lstrip(b"\0") for line in lines]
        return lines

    def finish(self) -> list[bytes]:
        """Return what waits for an end that will not come any more: one line, or none."""
        rest, self._carry, self.pending = self._carry, b"", 0
        return [rest.removesuffix(b"\r")] if rest else []

    def _keep(self, block: bytes) -> None:
        self.pending += len(block)
        room = LONGEST_LINE - len(self._carry)
        if room > 0:
            self._carry += (block if self._carry else block.lstrip(b"\0"))[:room]

    def _completed(self, end: bytes) -> bytes:
        line = self._carry + end if self._carry else end
        if len(line) <= LONGEST_LINE:
            return line
        self.cut += 1
        return line[:LONGEST_LINE]
