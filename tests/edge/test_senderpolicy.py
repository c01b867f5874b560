"""What senders check beside TLS is asked of the DNS, and told in sentences."""

from __future__ import annotations

import pytest

from mailtls.edge.senderpolicy import checks_of


def dns(*records: str):  # type: ignore[no-untyped-def]
    return lambda name, kind: int(f"{name} {kind}" in records)


def test_dane_and_mta_sts_are_told() -> None:
    asked = dns("_25._tcp.mx.example.test TLSA", "_mta-sts.example.test TXT")
    assert checks_of(("mx.example.test",), asked) == (
        "mx.example.test has TLSA records: senders that check DANE accept no other certificate.",
        "example.test publishes MTA-STS: senders that check it accept trusted certificates only.",
    )
    assert checks_of(("mx.example.test",), dns()) == ()


def test_a_dns_that_does_not_answer_and_a_library_that_is_missing_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_name: str, _kind: str) -> int:
        raise OSError("the DNS does not answer (Timeout)")

    (said,) = checks_of(("mx.example.test",), silent)
    assert "was not looked at: the DNS does not answer (Timeout). Look: dig TLSA _25._tcp.mx.example.test" in said

    def missing(_: str) -> None:
        raise ImportError

    monkeypatch.setattr("mailtls.edge.senderpolicy.import_module", missing)
    (said,) = checks_of(("mx.example.test",))
    assert "python3-dnspython is not installed" in said
