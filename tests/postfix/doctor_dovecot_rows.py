"""The doctor's table for a machine with Dovecot, which its own doveconf reads; and for what stands beside both.

Settings are those of the Dovecot of this machine: 2.3 and 2.4 name certificates differently.
"""

from __future__ import annotations

import re
import shutil
import subprocess

from .doctor_rows import NONE, TYPICAL_MASTER, ids
from .doctor_site import Row

DOVECOT = "etc/dovecot/dovecot.conf"
LMTP = """\
service lmtp {
  unix_listener {root}/queue/private/dovecot-lmtp {
    mode = 0600
  }
}
"""


def version() -> tuple[int, ...] | None:
    """Say which Dovecot is here; None: none."""
    if shutil.which("doveconf") is None or shutil.which("dovecot") is None:
        return None
    said = subprocess.run(["dovecot", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(each) for each in found.groups()) if found else None


VERSION = version() or (2, 3, 0)
NEW = VERSION >= (2, 4)
HEAD = f"dovecot_config_version = {'.'.join(map(str, VERSION))}\ndovecot_storage_version = 2.4.0\n" if NEW else ""


def certificate(file: str = "rsa.pem", key: str = "rsa.key") -> str:
    """Name certificate and key as this version does."""
    if NEW:
        return f"ssl_server_cert_file = {{pki}}/{file}\nssl_server_key_file = {{pki}}/{key}\n"
    return f"ssl_cert = <{{pki}}/{file}\nssl_key = <{{pki}}/{key}\n"


def dovecot(name: str, text: str, *found: str, says: tuple[str, ...] = (), pair: str | None = None) -> Row:
    """Write Dovecot's file: a sound one with more in it."""
    whole = f"{HEAD}protocols = imap lmtp\nssl = required\n{certificate() if pair is None else pair}{text}"
    return Row(f"dovecot: {name}", found=ids(*found), files={DOVECOT: whole}, says=says)


DOVECOT_ROWS = (
    dovecot("sound", "ssl_min_protocol = TLSv1.2\n"),
    dovecot("sound: TLS 1.0 for one network", "remote 10.0.0.0/8 {\n  ssl_min_protocol = TLSv1\n"
            "  ssl_cipher_list = ALL:@SECLEVEL=0\n}\n") if not NEW else dovecot("sound: nothing more", ""),
    dovecot("sound: a list of ciphers", "ssl_cipher_list = ECDHE+AESGCM:!aNULL\n"),
    Row("dovecot: sound, with Postfix and rspamd", {
        "virtual_transport": "lmtp:unix:private/dovecot-lmtp", "smtpd_milters": "inet:127.0.0.1:11332"}, NONE,
        master=TYPICAL_MASTER, files={DOVECOT: f"{HEAD}protocols = imap lmtp\n{certificate()}{LMTP}"}),
    dovecot("TLSv9", "ssl_min_protocol = TLSv9\n", "dovecot_protocols_invalid", says=("TLSv9",)),
    dovecot("SSLv2", "ssl_min_protocol = SSLv2\n", "dovecot_protocols_invalid"),
    dovecot("no such cipher", "ssl_cipher_list = FOOBAR\n", "dovecot_ciphers_invalid", says=("FOOBAR",)),
    dovecot("no such curve", "ssl_curve_list = P-1\n", "dovecot_curves_invalid"),
    dovecot("no such certificate", "", "certificate_missing", "dovecot_config_broken",
            pair=certificate("nope.pem")),
    dovecot("no certificate in it", "", "certificate_broken", pair=certificate("empty.pem")),
    dovecot("another's key", "", "key_mismatch", pair=certificate("rsa.pem", "other.key")),
    dovecot("signed by itself", "", "certificate_self_signed", pair=certificate("lonely.crt", "lonely.key")),
    dovecot("an unknown setting", "ssl_frobnicate = yes\n", "dovecot_config_broken", says=("ssl_frobnicate",)),
    dovecot("ssl = maybe", "ssl = maybe\n", "dovecot_config_broken"),
    dovecot("no TLS", "ssl = no\n", "dovecot_ssl_off"),
    Row("dovecot: its socket is not the one of Postfix", {"virtual_transport": "lmtp:unix:private/dovecot-lmtp"},
        ids("dovecot_lmtp_missing"), files={DOVECOT: f"{HEAD}protocols = imap lmtp\n{certificate()}"},
        says=("private/dovecot-lmtp",)),
    Row("dovecot: does not run", {"virtual_transport": "lmtp:unix:private/dovecot-lmtp"},
        ids("lmtp_socket_missing"), files={DOVECOT: f"{HEAD}protocols = imap lmtp\n{certificate()}{LMTP}"}),
    Row("dovecot: OpenSSL is held down", found=ids("openssl_limits"), files={
        DOVECOT: f"{HEAD}protocols = imap\n{certificate()}",
        "etc/ssl/openssl.cnf": "[system_default_sect]\nMinProtocol = TLSv1.2\nCipherString = DEFAULT@SECLEVEL=2\n"}),
)  # fmt: skip

OLD_NAMES = (
    dovecot("the list with SSLv2", "ssl_protocols = !SSLv2 !SSLv3\n",
            "dovecot_config_broken" if NEW else "dovecot_protocols_obsolete", says=("ssl_protocols",)),
    dovecot("the list without SSLv2", "ssl_protocols = !SSLv3\n",
            "dovecot_config_broken" if NEW else "dovecot_protocols_obsolete"),
)  # fmt: skip

TLSA = ("_25._tcp.mx.example.test", "TLSA")
JAIL = "etc/fail2ban/jail.conf"
STS_DNS = {("example.test", "MX"): ("10 mx.example.test.",), ("_mta-sts.example.test", "TXT"): ('"v=STSv1; id=1;"',)}
STS = "version: STSv1\r\nmode: enforce\r\nmx: {}\r\nmax_age: 604800\r\n"

NEIGHBOUR_ROWS = (
    Row("openssl: held down where nobody follows it", found=NONE,
        files={"etc/ssl/openssl.cnf": "[x]\nMinProtocol = TLSv1.3\n"}),
    Row("courier: sound", found=NONE, files={"etc/courier/imapd-ssl": 'TLS_PROTOCOL="TLSv1.2++"\n'}),
    Row("courier: as installed", found=NONE, files={
        "etc/courier/imapd-ssl": '# TLS_PROTOCOL="SSL3"\nTLS_STARTTLS_PROTOCOL="$TLS_PROTOCOL"\n'}),
    Row("courier: old versions", found=ids("courier_protocol_old"), files={"etc/courier/imapd-ssl": "TLS_PROTOCOL=TLS1\n"}),
    Row("courier: SSL23", found=ids("courier_protocol_invalid"), files={"etc/courier/pop3d-ssl": "TLS_PROTOCOL=SSL23\n"}),
    Row("courier: built with GnuTLS", found=ids("courier_protocol_unused"), files={
        "etc/courier/imapd-ssl": "TLS_PROTOCOL=TLSv1.2++\n", "usr/bin/couriertls": "..gnutls_handshake.."}),
    Row("fail2ban: as installed", found=NONE, files={JAIL: "[DEFAULT]\nenabled = false\n[postfix]\nmode = more\n"}),
    Row("fail2ban: the usual jail", found=NONE, files={
        JAIL: "[DEFAULT]\nenabled = false\n[postfix]\nmode = more\n", "etc/fail2ban/jail.local": "[postfix]\nenabled = true\n"}),
    Row("fail2ban: aggressive", found=ids("fail2ban_aggressive"), says=("jail.local",), files={
        JAIL: "[postfix]\nmode = more\n", "etc/fail2ban/jail.local": "[postfix]\nenabled = true\nmode = aggressive\n"}),
    Row("fail2ban: ddos in the filter", found=ids("fail2ban_aggressive"), files={
        "etc/fail2ban/jail.d/x.conf": "[mine]\nenabled = true\nfilter = postfix[mode=ddos]\n"}),
    Row("dane: a record that fits neither", found=ids("dane_mismatch"), dns={TLSA: ("3 1 1 " + "ab" * 32,)}),
    Row("dane: usage 1", found=ids("dane_unusable"), dns={TLSA: ("1 1 1 " + "ab" * 32,)}),
    Row("mx: the DNS knows it by the name of its certificate", {"myhostname": "server1.internal.test"}, NONE,
        dns={("example.test", "MX"): ("10 mx.example.test.",), ("mx.example.test", "A"): ("127.0.0.1",)}),
    Row("mx: the DNS knows it by another name", found=ids("certificate_name"), says=("mx9.example.test",),
        dns={("example.test", "MX"): ("10 mx9.example.test.",), ("mx9.example.test", "A"): ("127.0.0.1",)}),
    Row("mx: another machine", found=NONE,
        dns={("example.test", "MX"): ("10 mx9.example.test.",), ("mx9.example.test", "A"): ("192.0.2.25",)}),
    Row("mta-sts: it fits", found=NONE, dns=STS_DNS, policy=STS.format("*.example.test")),
    Row("mta-sts: another host", found=ids("mta_sts_name"), dns=STS_DNS, policy=STS.format("mx2.example.test")),
    Row("mta-sts: not this host's domain", found=NONE, dns={("_mta-sts.example.test", "TXT"): ('"v=STSv1; id=1;"',)},
        policy=STS.format("mx9.example.test")),
    Row("mta-sts: signed by itself", {
        "smtpd_tls_cert_file": "{pki}/lonely.crt", "smtpd_tls_key_file": "{pki}/lonely.key"},
        ids("certificate_self_signed", "mta_sts_certificate"), dns=STS_DNS, policy=STS.format("mx.example.test")),
)  # fmt: skip
