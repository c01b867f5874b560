"""Every line form of smtpd, postscreen and tlsproxy, 2.3 to 3.12, and what it states."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.cause import Door, Service
from mailtls.core.evidence import Evidence, Kind
from mailtls.core.postfixlog import Program, read_postscreen, read_smtpd, read_tlsproxy

# SMTPD_BUILD_NAMADDRPORT: a name or `unknown`, an address or `unknown`, and a port where the operator asked for it
CLIENTS = (
    "mx.example.net[192.0.2.1]",
    "unknown[192.0.2.1]",
    "unknown[2001:db8::1]",
    "mx-1.a_b.example.net[2001:db8:0:1:2:3:4:5]",
    "localhost[::1]",
    "unknown[unknown]",
    "mx.example.net[192.0.2.1]:40895",
    "unknown[2001:db8::1]:40895",
    "unknown[unknown]:unknown",
    "MX.Example.NET[192.0.2.1]",
    "unknown[x.x.x.x]",  # redacted by a poster
    "localhost[local]",
)

# {who} stands for each of CLIENTS; the evidence's kind and text
SMTPD = {
    "connect from {who}": (Kind.CONNECT, ""),
    "disconnect from {who}": (Kind.DISCONNECT, ""),
    "disconnect from {who} ehlo=1 starttls=0/1 commands=1/2": (Kind.DISCONNECT, "ehlo=1 starttls=0/1 commands=1/2"),
    "disconnect from {who} commands=0/0": (Kind.DISCONNECT, "commands=0/0"),
    "SSL_accept error from {who}: -1": (Kind.ACCEPT_ERROR, "-1"),
    "SSL_accept error from {who}: 0": (Kind.ACCEPT_ERROR, "0"),
    "SSL_accept error from {who}: lost connection": (Kind.ACCEPT_ERROR, "lost connection"),
    "SSL_accept error from {who}: Connection timed out": (Kind.ACCEPT_ERROR, "Connection timed out"),
    "SSL_accept error from {who}: Connection reset by peer": (Kind.ACCEPT_ERROR, "Connection reset by peer"),
    "SSL_accept error from {who}: Broken pipe": (Kind.ACCEPT_ERROR, "Broken pipe"),
    "lost connection after STARTTLS from {who}": (Kind.LOST, "STARTTLS"),
    "lost connection after CONNECT from {who}": (Kind.LOST, "CONNECT"),
    "lost connection after EHLO from {who}": (Kind.LOST, "EHLO"),
    "lost connection after UNKNOWN from {who}": (Kind.LOST, "UNKNOWN"),
    "lost connection after END-OF-MESSAGE from {who}": (Kind.LOST, "END-OF-MESSAGE"),
    "lost connection after DATA (123 bytes) from {who}": (Kind.LOST, "DATA"),
    "lost connection after BDAT (5 bytes) from {who}": (Kind.LOST, "BDAT"),
    "timeout after STARTTLS from {who}": (Kind.LOST, "STARTTLS"),
    "too many errors after AUTH from {who}": (Kind.LOST, "AUTH"),
    # 3.10 on: the queue id or NOQUEUE in front
    "NOQUEUE: lost connection after STARTTLS from {who}": (Kind.LOST, "STARTTLS"),
    "NOQUEUE: timeout after CONNECT from {who}": (Kind.LOST, "CONNECT"),
    "4A1B2C3D4E: lost connection after DATA (9 bytes) from {who}": (Kind.LOST, "DATA"),
    "4XyZ0123bCzQrSt: lost connection after RCPT from {who}": (Kind.LOST, "RCPT"),
    "4A1B2C3D4E: client={who}": (Kind.CLIENT, ""),
    "4XyZ0123bCzQrSt: client={who}, sasl_method=PLAIN, sasl_username=a": (Kind.CLIENT, ""),
    "NOQUEUE: abort: TLS from {who}: No client certificate presented": (Kind.REFUSED, "No client certificate presented"),
    "NOQUEUE: abort: TLS from {who}: Client certificate not trusted": (Kind.REFUSED, "Client certificate not trusted"),
    "warning: Refusing STARTTLS request from {who} for service smtp": (Kind.REFUSED, "New TLS session rate limit exceeded"),
    "warning: Refusing TLS service request from {who} for service smtps": (Kind.REFUSED, "New TLS session rate limit exceeded"),
    "warning: New TLS session rate limit exceeded: 4 from {who} for service 25": (Kind.REFUSED, "New TLS session rate limit exceeded"),
    "warning: Wrapper-mode request dropped from {who} for service smtps. TLS context initialization failed. For details"
    " see earlier warnings in your logs.": (Kind.SERVER_FAULT, "TLS context initialization failed"),
    'warning: {who}: invalid cipher grade: "lowest"': (Kind.SERVER_FAULT, "invalid cipher grade"),
    'warning: {who}: error setting cipher grade: "medium"': (Kind.SERVER_FAULT, "error setting cipher grade"),
    "improper command pipelining after CONNECT from {who}: \\026\\003\\001\\002": (Kind.PLAIN_PORT_HELLO, ""),
    # success: without a word of trust up to 2.4; key exchange and signatures of TLS 1.3 and SNI from 3.4 on; 3.9: raw keys
    "TLS connection established from {who}: TLSv1 with cipher RC4-SHA (128/128 bits)":
        (Kind.ESTABLISHED, "TLSv1 with cipher RC4-SHA (128/128 bits)"),
    "Anonymous TLS connection established from {who}: TLSv1.2 with cipher X (256/256 bits)":
        (Kind.ESTABLISHED, "TLSv1.2 with cipher X (256/256 bits)"),
    "Untrusted TLS connection established from {who}: SSLv3 with cipher X (128/128 bits)":
        (Kind.ESTABLISHED, "SSLv3 with cipher X (128/128 bits)"),
    "Trusted TLS connection established from {who}: TLSv1.1 with cipher X (1/1 bits)":
        (Kind.ESTABLISHED, "TLSv1.1 with cipher X (1/1 bits)"),
    "Verified TLS connection established from {who}: TLSv1.3 with cipher X (1/1 bits)":
        (Kind.ESTABLISHED, "TLSv1.3 with cipher X (1/1 bits)"),
    "Anonymous TLS connection established from {who} to mail.example.org: TLSv1.3 with cipher X (256/256 bits) key-exchange"
    " X25519 server-signature ECDSA (P-256) server-digest SHA256":
        (Kind.ESTABLISHED, "TLSv1.3 with cipher X (256/256 bits) key-exchange X25519 server-signature ECDSA (P-256)"
         " server-digest SHA256"),
    "Untrusted TLS connection established from {who}: TLSv1.3 with cipher X (256/256 bits) key-exchange ECDHE (P-256)"
    " server-signature RSA-PSS (2048 bits raw public key) server-digest SHA256":
        (Kind.ESTABLISHED, "TLSv1.3 with cipher X (256/256 bits) key-exchange ECDHE (P-256) server-signature RSA-PSS"
         " (2048 bits raw public key) server-digest SHA256"),
}  # fmt: skip


@pytest.mark.parametrize("form", SMTPD)
@pytest.mark.parametrize("who", CLIENTS)
def test_every_line_of_a_session_states_its_client(form: str, who: str) -> None:
    kind, text = SMTPD[form]
    assert read_smtpd(form.format(who=who).encode()) == Evidence(kind, who.encode(), text.encode())


# lines that name no client
NAMELESS = {
    "warning: TLS library problem: error:0A0000C1:SSL routines::no shared cipher:x.c:1:": Kind.LIBRARY,
    "warning: TLS library problem: 7659:error:1408A0C1:SSL routines:F:no shared cipher:x.c:1:": Kind.LIBRARY,
    "warning: TLS library problem: 140394823489:error:1408A0C1:SSL routines:F:no shared cipher:x.c:1:": Kind.LIBRARY,
    "discarding EHLO keywords: STARTTLS": Kind.HIDDEN,
    "discarding EHLO keywords: DSN STARTTLS CHUNKING": Kind.HIDDEN,
    # tls_server.c, tls_misc.c, tls_certkey.c, smtpd.c; newest spelling first
    'warning: Invalid TLS protocol list "TLSv9": disabling TLS support': Kind.STATEMENT,
    'warning: Invalid cipherlist "FOO": disabling TLS support': Kind.STATEMENT,  # 2.3
    'warning: cannot get RSA certificate from file "/x.pem": disabling TLS support': Kind.STATEMENT,
    'warning: cannot get ECDSA private key from file "/x.key": disabling TLS support': Kind.STATEMENT,
    "warning: cannot get RSA certificate from file /x.pem: disabling TLS support": Kind.STATEMENT,
    "warning: cannot get certificate from file /x.pem": Kind.STATEMENT,  # 2.3 to 2.5
    "warning: cannot get private key from file /x.key": Kind.STATEMENT,
    "cannot load RSA certificate and key data": Kind.STATEMENT,
    "cannot load DSA certificate and key data": Kind.STATEMENT,
    "cannot load Certificate Authority data": Kind.STATEMENT,  # 2.3
    "cannot set certificate verification paths": Kind.STATEMENT,
    "cannot load Certificate Authority data: disabling TLS support": Kind.STATEMENT,  # 2.6
    'cannot load Certification Authority data, CAfile="/x": disabling TLS support': Kind.STATEMENT,
    'cannot load Certification Authority data, CAfile="/x", CApath="/y": disabling TLS support': Kind.STATEMENT,
    "cannot set default OpenSSL certificate verification paths: disabling TLS support": Kind.STATEMENT,
    "warning: RSA private key in /x does not match public key in /y: disabling TLS support": Kind.STATEMENT,
    "warning: error loading private keys and certificates from: /x: disabling TLS support": Kind.STATEMENT,
    "warning: error loading the 'global' settings from the /x OpenSSL configuration file, disabling TLS support": Kind.STATEMENT,
    "warning: error initializing the OpenSSL library, disabling TLS support": Kind.STATEMENT,
    "warning: error allocating OpenSSL init settings, disabling TLS support": Kind.STATEMENT,
    "warning: non-default tls_config_file = x is not an absolute pathname, disabling TLS support": Kind.STATEMENT,
    "warning: no entropy for TLS key generation: disabling TLS support": Kind.STATEMENT,
    "warning: cannot allocate server SSL_CTX: disabling TLS support": Kind.STATEMENT,
    "warning: cannot allocate server SNI SSL_CTX: disabling TLS support": Kind.STATEMENT,
    "warning: Cannot allocate SSL application data index: disabling TLS support": Kind.STATEMENT,
    'warning: Digest algorithm "md5" not found: disabling TLS support': Kind.STATEMENT,  # up to 2.10
    "warning: disabling TLS support": Kind.STATEMENT,  # 2.11 on, behind the next
    'warning: Digest algorithm "md5" not found': Kind.PRELUDE,
    "warning: No server certs available. TLS won't be enabled": Kind.STATEMENT,
    "warning: error loading chain from /x: key not first": Kind.PRELUDE,
    "warning: error loading certificate (PEM object number 1) from /x": Kind.PRELUDE,
    "warning: error loading certificate chain: key at index 1 in /x does not match the certificate": Kind.PRELUDE,
    "warning: No PEM data in /x": Kind.PRELUDE,
    "warning: No certs for key at index 1 in /x": Kind.PRELUDE,
    "warning: No private key found in /x": Kind.PRELUDE,
    "warning: key at index 1 in /x does not match next certificate": Kind.PRELUDE,
    "warning: loading /x: ignoring PEM type: DH PARAMETERS": Kind.PRELUDE,
}


@pytest.mark.parametrize("message", NAMELESS)
def test_lines_without_a_client_state_a_reason_or_a_fault_of_the_server(message: str) -> None:
    evidence = read_smtpd(message.encode())
    assert evidence is not None
    assert evidence.kind is NAMELESS[message]
    assert evidence.who == b""


# loglevel 2 to 4, SASL, rejects, rate limits of other kinds: none of them states anything about TLS
NOISE = (
    "setting up TLS connection from mx.example.net[192.0.2.1]",
    "initializing the server-side TLS engine",
    'mx.example.net[192.0.2.1]: TLS cipher list "aNULL:-aNULL:ALL:+RC4:@STRENGTH"',
    "mx.example.net[192.0.2.1]: Issuing session ticket, key expiration: 1700000000",
    "mx.example.net[192.0.2.1]: Reusing old session (RFC 5077 session ticket)",
    "mx.example.net[192.0.2.1]: subject_CN=x, issuer=y, cert fingerprint=00:11",
    "SSL_accept:before/accept initialization",
    "SSL_accept:SSLv3 read client hello A",
    "SSL_accept:SSLv3/TLS write server hello",
    "SSL_accept:error in SSLv3 read client certificate A",
    "SSL_accept:error in error",
    "SSL3 alert write:fatal:handshake failure",
    "SSL3 alert read:fatal:certificate unknown",
    "SSL3 alert read:warning:close notify",
    "read from 55C0 [55D0] (11 bytes => -1 (0xFFFFFFFFFFFFFFFF))",
    "0000 16 03 01 02 00 01 00 01|fc 03 03                    ........ ...",
    "TLS SNI x from mx.example.net[192.0.2.1] not matched, using default chain",
    "warning: TLS SNI from mx.example.net[192.0.2.1] is invalid: x",
    "mx.example.net[192.0.2.1]: certificate verification failed for mx.example.net[192.0.2.1]: self-signed certificate",
    "certificate verification failed for mx.example.net[192.0.2.1]:not trusted by local or TLSA policy",
    "warning: mx.example.net[192.0.2.1]: SASL LOGIN authentication failed: UGFzc3dvcmQ6",
    "warning: hostname mx.example.net does not resolve to address 192.0.2.1",
    "warning: Connection rate limit exceeded: 61 from mx.example.net[192.0.2.1] for service smtp",
    "warning: non-SMTP command from mx.example.net[192.0.2.1]: GET / HTTP/1.1",
    "warning: unknown tls_ssl_options value \"FOO\" in \"FOO\"",
    'warning: error opening DH parameter file "/x.pem": No such file or directory -- using compiled-in defaults',
    "improper command pipelining after EHLO from mx.example.net[192.0.2.1]: QUIT\\r\\n",
    "discarding EHLO keywords: DSN CHUNKING",
    "NOQUEUE: reject: RCPT from mx.example.net[192.0.2.1]: 554 5.7.1 <x>: Relay access denied",
    "NOQUEUE: client=mx.example.net[192.0.2.1]",
    "4A1B2C3D4E: reject: RCPT from mx.example.net[192.0.2.1]: 554 <SSL_accept error from x[192.0.2.9]: -1>",
    "fatal: open dictionary: expecting \"type:name\" form",
    "table lmdb:/x(0,lock) has changed -- restarting",
    "proxy-accept: END-OF-MESSAGE: 250 2.0.0 Ok: queued as 4A1B; from=<a@b> to=<c@d> proto=ESMTP helo=<x>",
    "connect from",
    "connect from ",
    "connect from mx.example.net",
    "connect from [192.0.2.1]",
    "disconnect from ",
    "SSL_accept error from mx.example.net[192.0.2.1]",
    "SSL_accept error from ",
    "lost connection after  from ",
    "Anonymous TLS connection established from ",
    "Anonymous TLS connection established to mx.example.net[192.0.2.1]:25: TLSv1.3 with cipher X (1/1 bits)",
    "",
    ":",
)  # fmt: skip


@pytest.mark.parametrize("message", NOISE)
def test_noise_states_nothing(message: str) -> None:
    assert read_smtpd(message.encode()) is None


@pytest.mark.parametrize("name", ["a b", "x]", "[192.0.2.9]", "a" * 300, "x[192.0.2.9] from y"])
def test_a_name_that_no_resolver_may_return_is_not_taken_for_the_clients(name: str) -> None:
    evidence = read_smtpd(f"SSL_accept error from {name}[192.0.2.1]: -1".encode())
    assert evidence is None or evidence.who.endswith(b"[192.0.2.1]")


POSTSCREEN_HELLO = "PREGREET 425 after 0 from [192.0.2.1]:55302: \\026\\003\\003\\001\\244"


def test_postscreen_sees_tls_on_the_plain_port() -> None:
    assert read_postscreen(POSTSCREEN_HELLO.encode()) == Evidence(Kind.PLAIN_PORT_HELLO, b"[192.0.2.1]:55302", b"")
    ipv6 = POSTSCREEN_HELLO.replace("192.0.2.1", "2001:db8::1").replace("after 0", "after 0.12").encode()
    assert read_postscreen(ipv6) == Evidence(Kind.PLAIN_PORT_HELLO, b"[2001:db8::1]:55302", b"")


@pytest.mark.parametrize(
    "message",
    [
        "CONNECT from [192.0.2.1]:1 to [192.0.2.2]:25",
        "PASS OLD [192.0.2.1]:1",
        "DISCONNECT [192.0.2.1]:1",
        "HANGUP after 0 from [192.0.2.1]:1 in tests after SMTP handshake",
        "PREGREET 14 after 0.98 from [192.0.2.1]:1: EHLO x\\r\\n",
        "PREGREET 14 after 0.98 from [192.0.2.1]:1: EHLO \\026\\003\\r\\n",
        "BARE NEWLINE from [192.0.2.1]:1 after \\026\\003\\003",
        "COMMAND PIPELINING from [192.0.2.1]:1 after EHLO: \\026\\003",
        "NON-SMTP COMMAND from [192.0.2.1]:1 after CONNECT: \\026\\003",
        "[192.0.2.1]40895: discarding EHLO keywords: STARTTLS",
        "PREGREET ",
    ],
)
def test_the_rest_of_postscreen_says_nothing_of_tls(message: str) -> None:
    assert read_postscreen(message.encode()) is None


TLSPROXY = {
    "CONNECT from {who}": Kind.PROXY_CONNECT,
    "DISCONNECT {who}": Kind.PROXY_DISCONNECT,
    "TLS handshake failed for service=smtpd peer={who}": Kind.PROXY_FAILED,
    "Anonymous TLS connection established from {who}: TLSv1.2 with cipher X (1/1 bits)": Kind.ESTABLISHED,
    "Anonymous TLS connection established from {who} to mail.example.org: TLSv1.3 with cipher X (1/1 bits)": Kind.ESTABLISHED,
}


@pytest.mark.parametrize("form", TLSPROXY)
@pytest.mark.parametrize("who", ["[192.0.2.1]:55302", "[2001:db8::1]:55302"])
def test_tlsproxy_names_its_client_by_address_and_port(form: str, who: str) -> None:
    evidence = read_tlsproxy(form.format(who=who).encode())
    assert evidence is not None
    assert (evidence.kind, evidence.who) == (TLSPROXY[form], who.encode())


@pytest.mark.parametrize(
    "message",
    [
        "CONNECT to [192.0.2.1]:25",  # the client role, for smtp(8)
        "TLS handshake failed for service=smtp:x peer=mx.example.net[192.0.2.1]:25",
        "initializing the server-side TLS engine",
        "setting up TLS connection from [192.0.2.1]:55302",
        "SSL_accept:before/accept initialization",
        "Untrusted TLS connection established to mx.example.net[192.0.2.1]:25: TLSv1.3 with cipher X (1/1 bits)",
    ],
)
def test_the_client_role_of_tlsproxy_and_its_noise_state_nothing(message: str) -> None:
    assert read_tlsproxy(message.encode()) is None


@pytest.mark.parametrize(
    "message",
    [
        "warning: No server certs available. TLS can't be enabled",
        'warning: Invalid TLS protocol list "x": disabling TLS support',
        'cannot load Certification Authority data, CAfile="/x": disabling TLS support',
    ],
)
def test_tlsproxy_says_that_its_tls_cannot_work(message: str) -> None:
    evidence = read_tlsproxy(message.encode())
    assert evidence is not None
    assert evidence.kind is Kind.STATEMENT


PROGRAMS = {
    "postfix/smtpd": Service.SMTPD,
    "smtpd": Service.SMTPD,
    "postfix-mx2/smtpd": Service.SMTPD,
    "postfix/smtpd/badstarttls/smtpd": Service.SMTPD,
    "postfix/25/smtpd": Service.SMTPD,
    "postfix/smtps/smtpd": Service.SMTPS,
    "postfix/submissions/smtpd": Service.SMTPS,
    "postfix/465/smtpd": Service.SMTPS,
    "POSTFIX/SMTPS/smtpd": Service.SMTPS,
    "postfix/submission/smtpd": Service.SUBMISSION,
    "postfix/587/smtpd": Service.SUBMISSION,
    "postfix/submission-tls/smtpd": Service.SUBMISSION,
    "postfix/postscreen": Service.POSTSCREEN,
    "postfix/tlsproxy": Service.POSTSCREEN,
    "postfix/lmtp": Service.LMTP,
}


@pytest.mark.parametrize("tag", PROGRAMS)
def test_the_tag_tells_the_service(tag: str) -> None:
    assert Program(tag.encode()).service is PROGRAMS[tag]
    assert Program(tag.encode()).door is Door.STRICT


@pytest.mark.parametrize(
    ("tag", "door"),
    [
        ("postfix/mailtls-legacy/smtpd", Door.LEGACY),
        ("postfix/mailtls-legacy-rsa/smtpd", Door.LEGACY_RSA),
        ("postfix/mailtls-sslv3/smtpd", Door.SSLV3),
        ("mailtls-sslv3/tlsproxy", Door.SSLV3),
        ("mailtls-legacy/smtpd", Door.LEGACY),
        ("postfix/legacy/smtpd", Door.STRICT),
        ("postfix/mailtls-legacyx/smtpd", Door.STRICT),
    ],
)
def test_the_tag_tells_the_door(tag: str, door: Door) -> None:
    assert Program(tag.encode()).door is door
    assert Program(tag.encode()).service is Service.SMTPD


@given(
    st.sampled_from(["", *(form.split("{who}")[0] for form in (*SMTPD, *TLSPROXY)), "warning: ", "PREGREET "]),
    st.binary(max_size=300),
)
def test_no_message_whatever_raises(start: str, rest: bytes) -> None:
    for reader in (read_smtpd, read_postscreen, read_tlsproxy):
        evidence = reader(start.encode() + rest)
        assert evidence is None or len(evidence.who) <= 400
