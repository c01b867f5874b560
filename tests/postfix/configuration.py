"""What a private Postfix is told: main.cf and master.cf as text.

Nothing is taken from the system's /etc/postfix. Written for Postfix 3.4 (smtpd_tls_chain_files, maillog_file) to 3.12.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .certificates import HOSTNAME, Certificate, KeyType

ADDRESS = "127.0.0.1"
DOMAIN = "example.test"

WAYS_IN = ("smtp", "smtps", "submission", "legacy", "postscreen")
"""The services that clients may connect to; each has a port of its own."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a test may choose.

    `protocols` is smtpd_tls_protocols, and its mandatory twin; `starttls_timeout_s` is how long a handshake may
    take. `hide_starttls` lists addresses to which STARTTLS is not announced. `extra` goes into main.cf, `options`
    into master.cf: further `-o` of one way in, where `{directory}` stands for the instance's own; `services` are further
    entries of master.cf.
    """

    loglevel: int = 1
    key_types: tuple[KeyType, ...] = (KeyType.ECDSA,)
    protocols: str = ">=TLSv1.2"
    port_logging: bool = False
    starttls_timeout_s: int = 20
    hide_starttls: tuple[str, ...] = ()
    extra: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    services: str = ""


def main_cf(directory: Path, settings: Settings, certificates: Sequence[Certificate]) -> str:
    """Write main.cf for an instance that lives under `directory`."""
    hidden = ", ".join(f"{{{address} = starttls}}" for address in settings.hide_starttls)
    parameters = {
        "compatibility_level": "3.6",
        "queue_directory": f"{directory}/queue",
        "data_directory": f"{directory}/data",
        "maillog_file": f"{directory}/log/mail.log",
        "maillog_file_prefixes": str(directory),
        "myhostname": HOSTNAME,
        "mydestination": DOMAIN,
        "inet_interfaces": ADDRESS,
        "inet_protocols": "ipv4",
        # Mail is accepted for example.test and thrown away.
        "mynetworks": "",
        "smtpd_relay_restrictions": "reject_unauth_destination",
        "local_recipient_maps": "",
        "alias_maps": "",
        "local_transport": "discard:",
        "default_transport": "discard:",
        "notify_classes": "",
        # No question to any DNS server: every client is `unknown[127.x.y.z]`.
        "smtpd_peername_lookup": "no",
        "smtpd_error_sleep_time": "0",
        "smtpd_client_port_logging": "yes" if settings.port_logging else "no",
        "smtpd_discard_ehlo_keyword_address_maps": f"inline:{{{hidden}}}" if hidden else "",
        "smtpd_tls_security_level": "may",
        "smtpd_tls_chain_files": ", ".join(str(certificate.chain) for certificate in certificates),
        "smtpd_tls_protocols": settings.protocols,
        "smtpd_tls_mandatory_protocols": settings.protocols,
        "smtpd_tls_loglevel": str(settings.loglevel),
        "smtpd_starttls_timeout": f"{settings.starttls_timeout_s}s",
        # Deep protocol tests make postscreen speak SMTP, and tlsproxy TLS, itself.
        "postscreen_pipelining_enable": "yes",
        "postscreen_pipelining_action": "enforce",
        "postscreen_greet_wait": "1s",
        "postscreen_access_list": "",
        "postscreen_cache_map": "",
        **settings.extra,
    }
    return "".join(f"{name} = {value}\n" for name, value in parameters.items())


SMTPD_OPTIONS = {
    "smtp": (),
    "smtps": ("syslog_name=postfix/smtps", "smtpd_tls_wrappermode=yes"),
    "submission": ("syslog_name=postfix/submission",),
    "legacy": (
        "syslog_name=postfix/mailtls-legacy",
        "smtpd_tls_protocols=>=TLSv1",
        "smtpd_tls_mandatory_protocols=>=TLSv1",
        "smtpd_tls_chain_files={directory}/rsa.pem",
        "tls_ssl_options=NO_TICKET",
    ),
}

BACKSTAGE = """\
smtpd      pass  -           -  n  -     -  smtpd
tlsproxy   unix  -           -  n  -     0  tlsproxy
dnsblog    unix  -           -  n  -     0  dnsblog
pickup     unix  n           -  n  60    1  pickup
cleanup    unix  n           -  n  -     0  cleanup
qmgr       unix  n           -  n  300   1  qmgr
tlsmgr     unix  -           -  n  1000? 1  tlsmgr
rewrite    unix  -           -  n  -     -  trivial-rewrite
bounce     unix  -           -  n  -     0  bounce
defer      unix  -           -  n  -     0  bounce
trace      unix  -           -  n  -     0  bounce
proxymap   unix  -           -  n  -     -  proxymap
error      unix  -           -  n  -     -  error
retry      unix  -           -  n  -     -  error
discard    unix  -           -  n  -     -  discard
anvil      unix  -           -  n  -     1  anvil
postlog    unix-dgram n      -  n  -     1  postlogd
"""


def master_cf(directory: Path, settings: Settings, ports: Mapping[str, int]) -> str:
    """Write master.cf: the ways in on their `ports`, and what stands behind them. No service is chrooted."""
    rows = []
    for name, options in SMTPD_OPTIONS.items():
        rows.append(f"{ADDRESS}:{ports[name]} inet n - n - - smtpd")
        options += settings.options.get(name, ())
        rows += [f"  -o {option.format(directory=directory)}" for option in options]
    rows.append(f"{ADDRESS}:{ports['postscreen']} inet n - n - 1 postscreen")
    return "\n".join(rows) + "\n" + settings.services + BACKSTAGE
