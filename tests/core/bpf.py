"""A machine for classic BPF, as the kernel's documentation has it (Documentation/networking/filter.rst).

Written after the document, not after the program that it runs: of what it does not know it makes an error.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailtls.core.packetfilter import Instruction

KIND_OF_PACKET = 0xFFFFFFFF & (-0x1000 + 4)
_SIZES = {0x00: 4, 0x08: 2, 0x10: 1}


def run(program: Sequence[Instruction], packet: bytes, kind: int = 0) -> int:
    """Run the program over a packet of this kind (0: to this host); give what it returns. No steps go back."""
    a = x = place = 0
    for _ in range(len(program)):
        code, when_true, when_false, value = program[place]
        place += 1
        match code & 0x07:
            case 0x00:  # BPF_LD
                a = kind if value == KIND_OF_PACKET else _load(code, packet, value + (x if code & 0xE0 == 0x40 else 0))
                if a < 0:
                    return 0
            case 0x01:  # BPF_LDX: an immediate, or the header length of IPv4
                assert code in (0x01, 0xB1)
                x = value if code == 0x01 else 4 * (_load(0x30, packet, value) & 0x0F)
            case 0x04:  # BPF_ALU
                operand = x if code & 0x08 else value
                a = {0x00: a + operand, 0x50: a & operand, 0x70: a >> operand}[code & 0xF0] & 0xFFFFFFFF
            case 0x05:  # BPF_JMP
                holds = {0x10: a == value, 0x20: a > value, 0x30: a >= value, 0x40: bool(a & value)}[code & 0xF0]
                place += when_true if holds else when_false
            case 0x06:
                return value
            case 0x07:  # BPF_MISC
                assert code == 0x07
                x = a
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")
    raise AssertionError("the program has no end")


def _load(code: int, packet: bytes, at: int) -> int:
    """Load from the packet; -1 behind its end, where the kernel drops the packet."""
    assert code & 0xE0 in (0x20, 0x40)
    size = _SIZES[code & 0x18]
    return int.from_bytes(packet[at : at + size], "big") if at + size <= len(packet) else -1
