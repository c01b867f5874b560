"""A mail server as sites have them, and servers of all ages that send to it from addresses of their own.

The strict door has an ECDSA certificate and nothing below TLS 1.2. The others are in a network of their own inside
the machine, behind a veth pair, so that Postfix and nftables see them as what they are: strangers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.system.machine import Machine

HERE = "198.51.100.1"
OLD = "198.51.100.66"  # stopped at TLS 1.0
PLAIN = "198.51.100.67"  # breaks on any STARTTLS, and sends without it where none is offered
RSA_ONLY = "198.51.100.68"  # TLS 1.2, and knows no ECDSA
MODERN = "198.51.100.69"
KINDS = {OLD: "old", PLAIN: "plain", RSA_ONLY: "rsa", MODERN: "modern"}

HARDEN = """
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=mx.example.test \\
    -keyout /etc/postfix/ecdsa.key -out /etc/postfix/ecdsa.pem 2>/dev/null
chmod 600 /etc/postfix/ecdsa.key
postconf -e smtpd_tls_cert_file=/etc/postfix/ecdsa.pem smtpd_tls_key_file=/etc/postfix/ecdsa.key \\
    'smtpd_tls_protocols=>=TLSv1.2' smtpd_tls_loglevel=1 smtpd_peername_lookup=no
systemctl restart postfix
"""
CONNECT = f"""
ip netns list | grep -q strangers && exit 0
ip netns add strangers
ip link add outside type veth peer name inside netns strangers
ip address add {HERE}/24 dev outside
ip link set outside up
ip -n strangers link set inside up
for address in {" ".join(KINDS)}; do ip -n strangers address add $address/24 dev inside; done
"""
# What the strangers do. Where STARTTLS is offered they insist on it.
CLIENT = """
import json, smtplib, ssl, sys
host, source, kind = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
if kind == "old":
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1
if kind == "rsa":
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256:AES128-GCM-SHA256")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
answer = {"delivered": False, "tls": None, "why": ""}
try:
    client = smtplib.SMTP(host, 25, "stranger.example", 30, (source, 0))
    client.ehlo()
    if client.has_extn("starttls"):
        if kind == "plain":
            raise ConnectionError("the firewall between us breaks STARTTLS")
        client.starttls(context=context)
        answer["tls"] = client.sock.version()
        client.ehlo()
    client.sendmail("stranger@example.org", ["root@mx.example.test"], "Subject: a trial\\n\\nfrom a stranger\\n")
    answer["delivered"] = True
    client.quit()
except (OSError, smtplib.SMTPException) as error:
    answer["why"] = str(error)
print(json.dumps(answer))
"""


@dataclass(frozen=True)
class Sent:
    """What became of one message; `tls`: the version, None where it went without."""

    delivered: bool
    tls: str | None
    why: str


def harden(machine: Machine) -> None:
    """Make Postfix a strict one."""
    machine.script(HARDEN)
    connect(machine)


def connect(machine: Machine) -> None:
    """Plug the strangers in; at every boot anew."""
    machine.script(CONNECT)


def send(machine: Machine, source: str) -> Sent:
    """Let one of the strangers send a message."""
    entered = ("ip", "netns", "exec", "strangers", "python3", "-W", "ignore", "-c", CLIENT, HERE, source, KINDS[source])
    return Sent(**json.loads(machine.says(*entered)))
