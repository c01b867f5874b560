"""A host and a port as operators write them: names, also IDN, addresses, brackets; and what cannot be one."""

from __future__ import annotations

import pytest

from mailtls.core.probetarget import PORTS, Service, read_target


@pytest.mark.parametrize(
    ("given", "host", "port", "name", "written"),
    [
        (None, "localhost", 25, None, "localhost:25"),
        ("mx.example.com", "mx.example.com", 25, "mx.example.com", "mx.example.com:25"),
        ("MX.Example.COM.:2525", "mx.example.com", 2525, "mx.example.com", "MX.Example.COM.:2525"),
        ("192.0.2.1", "192.0.2.1", 25, None, "192.0.2.1:25"),
        ("192.0.2.1:26", "192.0.2.1", 26, None, "192.0.2.1:26"),
        ("2001:db8::1", "2001:db8::1", 25, None, "[2001:db8::1]:25"),
        ("[2001:db8::1]", "2001:db8::1", 25, None, "[2001:db8::1]:25"),
        ("[2001:db8::1]:2525", "2001:db8::1", 2525, None, "[2001:db8::1]:2525"),
        ("fe80::1%eth0", "fe80::1%eth0", 25, None, "[fe80::1%eth0]:25"),
        ("bücher.example", "xn--bcher-kva.example", 25, "xn--bcher-kva.example", "bücher.example:25"),
        ("почта.рф:465", "xn--80a1acny.xn--p1ai", 465, "xn--80a1acny.xn--p1ai", "почта.рф:465"),
    ],
)
def test_hosts_are_read(given: str | None, host: str, port: int, name: str | None, written: str) -> None:
    target = read_target(given, None)
    assert (target.host, target.port, target.name, str(target)) == (host, port, name, written)


@pytest.mark.parametrize("service", Service)
def test_the_port_tells_the_service_and_the_service_the_port(service: Service) -> None:
    assert read_target("mx.example.com", service).port == PORTS[service]
    assert read_target(f"mx.example.com:{PORTS[service]}", None).service is service


def test_an_unusual_port_speaks_smtp_unless_it_is_said_otherwise() -> None:
    assert read_target("mx.example.com:2525", None).service is Service.SMTP
    assert read_target("mx.example.com:2525", Service.IMAPS).service is Service.IMAPS


def test_what_begins_with_tls_needs_no_command() -> None:
    assert {service for service in Service if not service.starttls} == {Service.SMTPS, Service.IMAPS, Service.POP3S}


@pytest.mark.parametrize(
    "given",
    ["", " ", "mx:", "mx:0", "mx:65536", "mx:smtp", "mx:-1", "[2001:db8::1", "[mx]:25", "[2001:db8::1]25", "a b",
     "-mx", "mx..example", "x" * 64 + ".example", ".".join(["x" * 60] * 5), "http://mx", "mx/25", "\x1b[2J", "mx\0",
     "a:b:c", "mx:²"],
)  # fmt: skip
def test_what_can_be_no_host_is_one_sentence(given: str) -> None:
    with pytest.raises(ValueError, match=r"no host|no port|no name|cannot be a name|has no port") as error:
        read_target(given, None)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300
