"""OpenSSL's error lines: the reason's number is the key in every version, the text where there is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailtls.core.cause import Cause
from mailtls.core.openssl import cause_of, cause_of_plain, parse_error

TOO_OLD, NO_CIPHER, NO_GROUP = Cause.PEER_TOO_OLD, Cause.NO_SHARED_CIPHER, Cause.NO_SHARED_GROUP_OR_SIGALG
OUR_CERT, OUR_VERSION, ALERT = Cause.PEER_REJECTS_OUR_CERT, Cause.PEER_REJECTS_OUR_VERSION, Cause.PEER_ALERT_OTHER
ODD, CUT, NOT_TLS, OURS = Cause.BUGGY_OR_SCANNER_PEER, Cause.NETWORK_CUT, Cause.NOT_TLS, Cause.SERVER_MISCONFIGURED

# What stands in the logs of 0.9.8/1.0, of 1.1.x, and of 3.x; reason number, reason text, cause.
ERRORS = [
    ("1408A0C1:SSL routines:SSL3_GET_CLIENT_HELLO:no shared cipher:s3_srvr.c:1387:", 0x0C1, "no shared cipher", NO_CIPHER),
    ("1408A0C1:SSL routines:ssl3_get_client_hello:no shared cipher:s3_srvr.c:1417:", 0x0C1, "no shared cipher", NO_CIPHER),
    ("1417A0C1:SSL routines:tls_post_process_client_hello:no shared cipher:x.c:1:", 0x0C1, "no shared cipher", NO_CIPHER),
    ("142090C1:SSL routines:tls_early_post_process_client_hello:no shared cipher:x.c:1:", 0x0C1, "no shared cipher", NO_CIPHER),
    ("0A0000C1:SSL routines::no shared cipher:../ssl/statem/statem_srvr.c:2220:", 0x0C1, "no shared cipher", NO_CIPHER),
    ("140760FC:SSL routines:SSL23_GET_CLIENT_HELLO:unknown protocol:s23_srvr.c:640:", 0x0FC, "unknown protocol", Cause.NOT_TLS_OR_TOO_OLD),
    ("150760FC:SSL routines:SSL23_GET_CLIENT_HELLO:unknown protocol:s23_srvr.c:640:", 0x0FC, "unknown protocol", Cause.NOT_TLS_OR_TOO_OLD),
    ("1417D0FC:SSL routines:tls_process_client_hello:unknown protocol:x.c:1:", 0x0FC, "unknown protocol", TOO_OLD),
    ("142090FC:SSL routines:tls_early_post_process_client_hello:unknown protocol:x.c:1:", 0x0FC, "unknown protocol", TOO_OLD),
    ("0A0000FC:SSL routines::unknown protocol:../ssl/statem/statem_srvr.c:1633:", 0x0FC, "unknown protocol", TOO_OLD),
    ("1408A10B:SSL routines:SSL3_GET_CLIENT_HELLO:wrong version number:s3_srvr.c:960:", 0x10B, "wrong version number", NOT_TLS),
    ("1408F10B:SSL routines:ssl3_get_record:wrong version number:x.c:331:", 0x10B, "wrong version number", NOT_TLS),
    ("0A00010B:SSL routines::wrong version number:../ssl/record/ssl3_record.c:354:", 0x10B, "wrong version number", NOT_TLS),
    ("1407609C:SSL routines:SSL23_GET_CLIENT_HELLO:http request:s23_srvr.c:1:", 0x09C, "http request", NOT_TLS),
    ("1408F09C:SSL routines:ssl3_get_record:http request:x.c:321:", 0x09C, "http request", NOT_TLS),
    ("0A00009C:SSL routines::http request:../ssl/record/ssl3_record.c:345:", 0x09C, "http request", NOT_TLS),
    ("1407609B:SSL routines:SSL23_GET_CLIENT_HELLO:https proxy request:s23_srvr.c:1:", 0x09B, "https proxy request", NOT_TLS),
    ("0A00009B:SSL routines::https proxy request:x.c:1:", 0x09B, "https proxy request", NOT_TLS),
    ("14076102:SSL routines:SSL23_GET_CLIENT_HELLO:unsupported protocol:s23_srvr.c:1:", 0x102, "unsupported protocol", TOO_OLD),
    ("14209102:SSL routines:tls_early_post_process_client_hello:unsupported protocol:x.c:1685:", 0x102, "unsupported protocol", TOO_OLD),
    ("0A000102:SSL routines::unsupported protocol:../ssl/statem/statem_srvr.c:1657:", 0x102, "unsupported protocol", TOO_OLD),
    ("1417D18C:SSL routines:tls_process_client_hello:version too low:x.c:989:", 0x18C, "version too low", TOO_OLD),
    ("1420918C:SSL routines:tls_early_post_process_client_hello:version too low:x.c:1685:", 0x18C, "version too low", TOO_OLD),
    ("0A00018C:SSL routines::version too low:x.c:1:", 0x18C, "version too low", TOO_OLD),
    ("14201076:SSL routines:tls_choose_sigalg:no suitable signature algorithm:x.c:1:", 0x076, "no suitable signature algorithm", NO_GROUP),
    ("0A000076:SSL routines::no suitable signature algorithm:x.c:1:", 0x076, "no suitable signature algorithm", NO_GROUP),
    ("0A000178:SSL routines::no shared signature algorithms:x.c:1:", 0x178, "no shared signature algorithms", NO_GROUP),
    ("141F7065:SSL routines:final_key_share:no suitable key share:x.c:1:", 0x065, "no suitable key share", NO_GROUP),
    ("0A000065:SSL routines::no suitable key share:x.c:1:", 0x065, "no suitable key share", NO_GROUP),
    ("14094412:SSL routines:SSL3_READ_BYTES:sslv3 alert bad certificate:s3_pkt.c:1102:SSL alert number 42:", 1042, "sslv3 alert bad certificate", OUR_CERT),
    ("0A000412:SSL routines::sslv3 alert bad certificate:x.c:1584:SSL alert number 42:", 1042, "sslv3 alert bad certificate", OUR_CERT),
    ("0A000412:SSL routines::ssl/tls alert bad certificate:x.c:1584:SSL alert number 42:", 1042, "ssl/tls alert bad certificate", OUR_CERT),
    ("14094415:SSL routines:ssl3_read_bytes:sslv3 alert certificate expired:x.c:1:SSL alert number 45:", 1045, "sslv3 alert certificate expired", OUR_CERT),
    ("0A000415:SSL routines::sslv3 alert certificate expired:x.c:1:SSL alert number 45:", 1045, "sslv3 alert certificate expired", OUR_CERT),
    ("14094416:SSL routines:ssl3_read_bytes:sslv3 alert certificate unknown:x.c:1:SSL alert number 46:", 1046, "sslv3 alert certificate unknown", OUR_CERT),
    ("0A000416:SSL routines::ssl/tls alert certificate unknown:x.c:1:SSL alert number 46:", 1046, "ssl/tls alert certificate unknown", OUR_CERT),
    ("14094418:SSL routines:SSL3_READ_BYTES:tlsv1 alert unknown ca:s3_pkt.c:1315:SSL alert number 48:", 1048, "tlsv1 alert unknown ca", OUR_CERT),
    ("0A000418:SSL routines::tlsv1 alert unknown ca:x.c:1586:SSL alert number 48:", 1048, "tlsv1 alert unknown ca", OUR_CERT),
    ("1409442E:SSL routines:SSL3_READ_BYTES:tlsv1 alert protocol version:s3_pkt.c:1:SSL alert number 70:", 1070, "tlsv1 alert protocol version", OUR_VERSION),
    ("0A00042E:SSL routines::tlsv1 alert protocol version:x.c:1:SSL alert number 70:", 1070, "tlsv1 alert protocol version", OUR_VERSION),
    ("140943FC:SSL routines:SSL3_READ_BYTES:sslv3 alert bad record mac:s3_pkt.c:1247:SSL alert number 20:", 1020, "sslv3 alert bad record mac", ALERT),
    ("0A000410:SSL routines::sslv3 alert handshake failure:x.c:1:SSL alert number 40:", 1040, "sslv3 alert handshake failure", ALERT),
    ("0A000417:SSL routines::sslv3 alert illegal parameter:x.c:1:SSL alert number 47:", 1047, "sslv3 alert illegal parameter", ALERT),
    ("0A000419:SSL routines::tlsv1 alert access denied:x.c:1:SSL alert number 49:", 1049, "tlsv1 alert access denied", ALERT),
    ("0A00042F:SSL routines::tlsv1 alert insufficient security:x.c:1:SSL alert number 71:", 1071, "tlsv1 alert insufficient security", ALERT),
    ("14094438:SSL routines:SSL3_READ_BYTES:tlsv1 alert internal error:s3_pkt.c:1263:SSL alert number 80:", 1080, "tlsv1 alert internal error", ALERT),
    ("0A000458:SSL routines::tlsv1 unrecognized name:x.c:1:SSL alert number 112:", 1112, "tlsv1 unrecognized name", ALERT),
    ("0A000126:SSL routines::unexpected eof while reading:../ssl/record/rec_layer_s3.c:308:", 0x126, "unexpected eof while reading", CUT),
    ("0A00006C:SSL routines::bad key share:x.c:1:", 0x06C, "bad key share", ODD),
    ("141CF06C:SSL routines:tls_parse_ctos_key_share:bad key share:x.c:697:", 0x06C, "bad key share", ODD),
    ("0A0000EB:SSL routines::no application protocol:x.c:1:", 0x0EB, "no application protocol", ODD),
    ("140940F5:SSL routines:ssl3_read_bytes:unexpected record:x.c:1722:", 0x0F5, "unexpected record", ODD),
    ("0A0000F4:SSL routines::unexpected message:x.c:1:", 0x0F4, "unexpected message", ODD),
    ("0A0000C6:SSL routines::packet length too long:x.c:1:", 0x0C6, "packet length too long", ODD),
    ("0A000119:SSL routines::decryption failed or bad record mac:x.c:1:", 0x119, "decryption failed or bad record mac", ODD),
    ("14094091:SSL routines:SSL3_READ_BYTES:data between ccs and finished:s3_pkt.c:1:", 0x091, "data between ccs and finished", ODD),
    ("0A000175:SSL routines::inappropriate fallback:x.c:1:", 0x175, "inappropriate fallback", Cause.FALLBACK_SCSV),
    ("140A1175:SSL routines:SSL_BYTES_TO_CIPHER_LIST:inappropriate fallback:ssl_lib.c:1:", 0x175, "inappropriate fallback", Cause.FALLBACK_SCSV),
    ("0A00018A:SSL routines::dh key too small:x.c:1:", 0x18A, "dh key too small", Cause.DH_TOO_SMALL),
    ("0A0000BF:SSL routines::no protocols available:../ssl/statem/statem_lib.c:102:", 0x0BF, "no protocols available", OURS),
    ("0A0000EA:SSL routines::callback failed:x.c:1:", 0x0EA, "callback failed", OURS),
    ("80000002:system library::No such file or directory:../crypto/bio/bss_file.c:308:calling fopen(/x, r):", None, "No such file or directory", OURS),
    ("02001002:system library:fopen:No such file or directory:bss_file.c:356:fopen('/x','r'):", None, "No such file or directory", OURS),
    ("20074002:BIO routines:FILE_CTRL:system lib:bss_file.c:358:", None, "system lib", OURS),
    ("0480006C:PEM routines::no start line:../crypto/pem/pem_lib.c:760:Expecting: TRUSTED CERTIFICATE:", None, "no start line", OURS),
    ("05800074:x509 certificate routines::key values mismatch:../crypto/x509/x509_cmp.c:403:", None, "key values mismatch", OURS),
]  # fmt: skip


@pytest.mark.parametrize("before", ["error:", "7659:error:", "139637571163968:error:"])
@pytest.mark.parametrize(("rest", "number", "text", "cause"), ERRORS, ids=[row[0][:8] + row[2] for row in ERRORS])
def test_an_error_has_number_text_and_cause(
    before: str, rest: str, number: int | None, text: str, cause: Cause
) -> None:
    error = parse_error(before + rest)
    assert error is not None
    assert (error.number, error.text, cause_of(error)) == (number, text, cause)
    assert error.is_alert == ((number or 0) >= 1000)


@pytest.mark.parametrize(("rest", "number", "text", "cause"), ERRORS, ids=[row[0][:8] + row[2] for row in ERRORS])
def test_dovecot_prints_neither_file_nor_line(rest: str, number: int | None, text: str, cause: Cause) -> None:
    code, library, function, reason = rest.split(":")[:4]
    short = f"error:{code}:{library}:{function}:{reason}"
    behind = f": SSL alert number {(number or 0) - 1000}" if "alert number" in rest else ""
    for tail in (
        behind,
        f"{behind}, error:0A000197:SSL routines::shutdown while in init",
        f"{behind}+Connection closed",
    ):
        error = parse_error(f"SSL_accept() failed: {short}{tail}")
        assert error is not None
        assert (error.number, error.text, cause_of(error)) == (number, text, cause)


def test_the_flags_of_openssl_3_are_part_of_the_number() -> None:
    """ERR_RFLAG_COMMON: "system lib" and "PEM lib" are common to all libraries and no reasons of SSL."""
    for text, number in (
        ("error:0A080002:SSL routines::system lib", 0x80002),
        ("error:0A0C0103:SSL routines::x", 0xC0103),
    ):
        error = parse_error(text)
        assert error is not None
        assert error.number == number
        assert not error.is_alert


@pytest.mark.parametrize(
    "text",
    [
        "",
        "error",
        "error:",
        "error:xyz:SSL routines::a",
        "error:0A000102",
        "error:0A000102:SSL routines",
        "lost connection",
    ],
)
def test_what_is_no_error_of_openssl_is_none(text: str) -> None:
    assert parse_error(text) is None


PLAIN = {
    "lost connection": CUT,
    "Connection reset by peer": CUT,
    "Broken pipe": CUT,
    "Connection closed": CUT,
    "Disconnected": CUT,
    "Success": CUT,
    "Invalid argument": CUT,
    "No route to host": CUT,
    "SSL connection closed during handshake": CUT,
    "Connection timed out": Cause.TIMEOUT,
    "Operation timed out": Cause.TIMEOUT,
    "Inactivity": Cause.TIMEOUT,
    "Unknown error": Cause.UNKNOWN,
    "": Cause.UNKNOWN,
}


@pytest.mark.parametrize("text", PLAIN)
def test_words_of_errno_have_a_cause(text: str) -> None:
    assert cause_of_plain(text) is PLAIN[text]
    assert cause_of_plain(text.upper()) is PLAIN[text]


@given(st.text(max_size=200))
def test_no_text_whatever_raises(text: str) -> None:
    for words in (text, f"error:{text}", f"error:0A000102:{text}", f"error:0A000102:a:b:{text}"):
        error = parse_error(words)
        if error is not None:
            assert cause_of(error) in Cause
    assert cause_of_plain(text) in Cause
