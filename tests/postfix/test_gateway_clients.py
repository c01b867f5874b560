"""Other people's TLS at the gateway: real sending servers, and Java's own TLS, each restricted to what it once could.

The gateway is asked at its own port here; how peers are led to it is another test's subject.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailtls.edge.nss import capability

from .instance import why_not
from .sendingservers import hand_in, postfix_sender, send_with_exim, send_with_java, why_no_exim, why_no_java
from .test_gateway import House, house

pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=why_not() or ""),
    pytest.mark.skipif(capability() is not None, reason=capability() or ""),
]

LARGE = 5_000_000


@pytest.fixture(scope="module")
def common() -> Iterator[House]:
    with house() as made:
        yield made


def taken(made: House, source: str, agreed: str) -> None:
    """Hold that this client got in with this, and that Postfix queued its mail as coming from it."""
    made.postfix.wait_for(rf"mailtls-backend/smtpd.*: \w+: client=unknown\[{re.escape(source)}\]")
    assert made.says(rf"established from \[{re.escape(source)}\]:\d+: {re.escape(agreed)} ")


@pytest.mark.parametrize(
    ("source", "protocols", "ciphers", "agreed"),
    [
        ("127.0.9.101", "TLSv1", "AES128-SHA", "TLSv1 with cipher AES128-SHA"),
        ("127.0.9.102", "TLSv1.2", "AES256-SHA", "TLSv1.2 with cipher AES256-SHA"),
    ],
)
def test_postfix_as_the_sending_server_delivers(
    common: House, source: str, protocols: str, ciphers: str, agreed: str
) -> None:
    with postfix_sender(common.door.port, source, protocols, ciphers) as sender:
        hand_in(sender, LARGE)
        sender.wait_for(r"smtp\[\d+\]: .* status=sent \(250 ")
    taken(common, source, agreed)
    common.postfix.wait_for(r"qmgr.*size=5\d{6}")


PRIORITIES = "NONE:+VERS-{version}:+{cipher}:+RSA:+SHA1:+COMP-NULL:%COMPAT:%NO_EXTENSIONS"
EXIM = {
    "127.0.9.111": ("TLS1.0", "3DES-CBC", "TLSv1 with cipher DES-CBC3-SHA"),
    "127.0.9.112": ("TLS1.0", "ARCFOUR-128", "TLSv1 with cipher RC4-SHA"),
    "127.0.9.113": ("TLS1.1", "AES-128-CBC", "TLSv1.1 with cipher AES128-SHA"),
}


@pytest.mark.parametrize("source", EXIM)
def test_exim_as_the_sending_server_delivers(common: House, source: str) -> None:
    """Debian's Exim has GnuTLS, which still knows 3DES and RC4."""
    if (reason := why_no_exim()) is not None:
        pytest.skip(reason)
    version, cipher, agreed = EXIM[source]
    priorities = PRIORITIES.format(version=version, cipher=cipher)
    said = send_with_exim(common.postfix.directory / source, common.door.port, source, priorities, 300_000)
    assert re.search(r"=> b@example.test .* C=\"250 ", said), said
    taken(common, source, agreed)


JAVA = {
    "127.0.9.121": ("SSLv3", "TLS_RSA_WITH_AES_128_CBC_SHA", LARGE, "SSLv3 with cipher AES128-SHA"),
    "127.0.9.122": ("SSLv3", "SSL_RSA_WITH_3DES_EDE_CBC_SHA", 500_000, "SSLv3 with cipher DES-CBC3-SHA"),
    "127.0.9.123": ("SSLv3", "SSL_RSA_WITH_RC4_128_SHA", LARGE, "SSLv3 with cipher RC4-SHA"),
    "127.0.9.124": ("SSLv2Hello,SSLv3", "SSL_RSA_WITH_RC4_128_MD5", 500_000, "SSLv3 with cipher RC4-MD5"),
    "127.0.9.125": ("SSLv2Hello,TLSv1", "SSL_RSA_WITH_3DES_EDE_CBC_SHA", 500_000, "TLSv1 with cipher DES-CBC3-SHA"),
    "127.0.9.126": ("TLSv1", "SSL_RSA_WITH_RC4_128_SHA", 500_000, "TLSv1 with cipher RC4-SHA"),
}


def test_javas_own_tls_delivers_with_sslv3_enabled_again(common: House, tmp_path: Path) -> None:
    """One virtual machine, six clients: SSLv3 and TLS 1.0 with AES, 3DES and RC4, and hellos in the format of SSLv2."""
    if (reason := why_no_java()) is not None:
        pytest.skip(reason)
    clients = [(ip, protocols, suite, size) for ip, (protocols, suite, size, _) in JAVA.items()]
    answers = send_with_java(tmp_path, common.door.port, clients)
    for ip, (*_, agreed) in JAVA.items():
        assert re.search(r" 250 2\.0\.0 Ok: queued as", answers[ip]), f"{ip}: {answers[ip]}"
        taken(common, ip, agreed)
