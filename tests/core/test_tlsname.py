"""Names of groups and signatures."""

from __future__ import annotations

from mailtls.core.tlsname import group_name, signature_name


def test_what_has_a_name_is_named() -> None:
    assert [group_name(number) for number in (0x17, 0x1D, 0x11EC)] == ["P-256", "X25519", "X25519MLKEM768"]
    names = [signature_name(number) for number in (0x0403, 0x0804, 0x0201, 0x0402, 0x0101)]
    assert names == ["ECDSA-P256-SHA256", "RSA-PSS-SHA256", "RSA-SHA1", "DSA-SHA256", "RSA-MD5"]


def test_what_has_none_is_a_number() -> None:
    assert [group_name(0xBEEF), signature_name(0xEDED), signature_name(0x0909)] == ["0xBEEF", "0xEDED", "0x0909"]
