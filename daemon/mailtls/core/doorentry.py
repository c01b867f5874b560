"""A door's entry in master.cf, derived from the service that takes mail from the world.

A door is that service once more, at a port of its own: the same chroot and limits, the same filters, milters and
restrictions. What differs is its TLS, and that it trusts nobody: no network of the site's, no AUTH, no client
certificate, no XCLIENT. Whoever stands in its tables is asked the site's own client restrictions, everybody else gets
a 450.

The gateway's clients (level sslv3) come by a UNIX socket: TLS is over by then, and a PROXY header says who they are.

SECURITY: a value of the site's is copied as it is written, `$name` with it. What would end our entry, or begin another
option, is refused (`ValueError`, a sentence).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mailtls.core import milterentry
from mailtls.core.cause import Door
from mailtls.core.configfile import WHITE
from mailtls.core.doorcertificate import DoorCertificate, certificate_options
from mailtls.core.endpoint import parse_endpoint
from mailtls.core.hook import CLASS as ASKING
from mailtls.core.hook import DOOR_STAGES, NO_HOOKS, Hooks, door_hooks
from mailtls.core.level import Level
from mailtls.core.mastercf import MasterCf, Option, Service, parse_master_cf
from mailtls.core.offering import (
    ASK_CERTIFICATE,
    CIPHERS,
    EXCLUDED,
    MANDATORY_CIPHERS,
    MANDATORY_EXCLUDED,
    MANDATORY_PROTOCOLS,
    PROTOCOLS,
    REQUIRE_CERTIFICATE,
    WRAPPERMODE,
    exclusions_of,
)
from mailtls.core.postfixlog import BEHIND_GATEWAY
from mailtls.core.secondlock import WAIVED
from mailtls.core.serviceconduct import LEVEL
from mailtls.core.smtpfacts import CONTEXT

TURNED_AWAY = "check_client_access static:{450 4.7.1 Service temporarily not available for your address}"
"""A 450 for everybody else. `defer` would answer 4.3.2, which reads as a fault of the server's own."""
CLASSES, CLIENT_RESTRICTIONS = "smtpd_restriction_classes", "smtpd_client_restrictions"
DELAY_REJECT, SASL, SSL_OPTIONS = "smtpd_delay_reject", "smtpd_sasl_auth_enable", "tls_ssl_options"
KEYWORDS, MAPS = "smtpd_discard_ehlo_keywords", "smtpd_discard_ehlo_keyword_address_maps"
SNI_MAPS, CURVES, CURVE_GRADE = "tls_server_sni_maps", "tls_eecdh_auto_curves", "smtpd_tls_eecdh_grade"
MEDIUM_LIST = "tls_medium_cipherlist"
RESTRICTIONS = tuple(
    f"smtpd_{stage}_restrictions" for stage in ("client", "helo", "sender", "relay", "recipient", "data", "end_of_data")
)
WRITTEN = (CLASSES, CLIENT_RESTRICTIONS, KEYWORDS, SSL_OPTIONS, *DOOR_STAGES, *milterentry.WRITTEN)
"""The parameters whose values are copied as they are written."""
ASKED = (DELAY_REJECT, SASL, SNI_MAPS, CURVES, CURVE_GRADE, *RESTRICTIONS, CLASSES, KEYWORDS, MAPS)
"""The parameters whose effective values decide what is written."""
FINAL = frozenset({"permit", "reject", "defer"})
LOWEST_LIST = "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH"
SPLIT = re.compile(r"[\s,]+")
LOGIN_MISMATCH = "sender_login_mismatch"
BACKEND = "mailtls-sslv3"
"""The name of the service behind the gateway; master makes it in `public/` below the queue directory."""
UPSTREAM_PROXY, POLICY_CONTEXT = "smtpd_upstream_proxy_protocol", "smtpd_policy_service_policy_context"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a door is derived from.

    `service` is the smtpd entry, `listens` the name of the entry that clients connect to, which is another one behind
    postscreen. `values` are effective values with `$name` followed, `written` values as they are written, `builtin`
    Postfix's own defaults; `instance` is syslog_name without the entry's own.
    """

    service: Service
    listens: str
    values: Mapping[str, str]
    written: Mapping[str, str]
    builtin: Mapping[str, str]
    instance: str = "postfix"


@dataclass(frozen=True, slots=True)
class DoorPlan:
    """What a door shall be: level, port, its two tables, and the certificate it needs beside the service's own."""

    level: Level
    port: int
    tables: tuple[str, str]
    certificate: DoorCertificate | None = None
    hooks: Hooks = NO_HOOKS


def door_name(listens: str, port: int) -> str:
    """Name the entry of a door that clients connect to: the same addresses, another port. Raises ValueError."""
    host = parse_endpoint(listens).host
    return f"{f'[{host}]' if ':' in host else host}:{port}" if host else str(port)


_BEHIND_GATEWAY_OPTIONS = {
    UPSTREAM_PROXY: "haproxy", LEVEL: "none", WRAPPERMODE: "no", POLICY_CONTEXT: f"{CONTEXT}{Level.SSLV3}",
}  # fmt: skip


def door_options(origin: Origin, plan: DoorPlan) -> dict[str, str]:
    """Give every `-o` that makes a door of the service, by name."""
    if plan.level is Level.SSLV3:
        return {
            "syslog_name": f"{origin.instance}/{BEHIND_GATEWAY}",
            **_trusting_nobody(origin),
            **_BEHIND_GATEWAY_OPTIONS,
            **_asking(origin, plan, _second_lock(origin, plan.tables)),
        }
    return {
        "syslog_name": f"{origin.instance}/mailtls-{plan.level}",
        **_trusting_nobody(origin),
        **_tls(origin, plan),
        **_asking(origin, plan, _second_lock(origin, plan.tables)),
    }


def _asking(origin: Origin, plan: DoorPlan, lock: dict[str, str]) -> dict[str, str]:
    """Let the door ask the policy service and tell the milter as well, where the port-25 service does."""
    if plan.hooks.milter:
        lock = {**lock, **milterentry.door_milter(plan.level, origin.written)}
    hooks = door_hooks(plan.hooks, Door(plan.level.value), origin.written)
    return {**lock, CLASSES: _joined(lock[CLASSES], ASKING), **hooks} if hooks else lock


def _trusting_nobody(origin: Origin) -> dict[str, str]:
    return {
        "mynetworks": "",
        **_without_auth(origin),
        ASK_CERTIFICATE: "no",
        REQUIRE_CERTIFICATE: "no",
        "smtpd_authorized_xclient_hosts": "",
        "smtpd_authorized_xforward_hosts": "",
    }


def _without_auth(origin: Origin) -> dict[str, str]:
    """Refuse AUTH; where senders are checked against logins it has to stay switched on.

    With smtpd_sasl_auth_enable=no Postfix skips `reject_sender_login_mismatch` (smtpd/smtpd_check.c: "ignored: no SASL
    support"), and strangers could write in the names of the site's users. A keyword that is hidden refuses the command
    as well (smtpd/smtpd_sasl_proto.c); tables of keywords would replace it, so that they are not asked here.
    """
    if origin.values.get(SASL) != "yes" or not checks_logins(origin):
        return {SASL: "no"}
    own = SPLIT.sub(",", origin.written.get(KEYWORDS, "").strip(WHITE))
    return {KEYWORDS: f"{own},auth" if own else "auth", MAPS: ""}


def checks_logins(origin: Origin) -> bool:
    """Tell whether a restriction compares senders with logins, in the classes of the site too."""
    classes = SPLIT.split(origin.values.get(CLASSES, ""))
    return any(LOGIN_MISMATCH in origin.values.get(name, "") for name in (*RESTRICTIONS, *classes))


def _tls(origin: Origin, plan: DoorPlan) -> dict[str, str]:
    options = {SSL_OPTIONS: _joined(origin.written.get(SSL_OPTIONS, ""), "NO_TICKET")}
    if plan.certificate is not None:
        options |= certificate_options(origin.values, plan.certificate)
        if origin.values.get(SNI_MAPS):
            options[SNI_MAPS] = ""  # a chain chosen by name would hide the certificate that the door is for
    return options | _lowest(origin) if plan.level is Level.LEGACY else options


def _lowest(origin: Origin) -> dict[str, str]:
    """Go as low as this OpenSSL does (facts 6.3): in both parameters, since `encrypt` looks at the mandatory ones."""
    anonymous = "aNULL" if "anull" in (each.lower() for each in exclusions_of(origin.values)) else ""
    builtin = {name: origin.builtin[name] for name in (CURVES, CURVE_GRADE) if _is_changed(origin, name)}
    return {
        PROTOCOLS: ">=TLSv1", MANDATORY_PROTOCOLS: ">=TLSv1", CIPHERS: "medium", MANDATORY_CIPHERS: "medium",
        EXCLUDED: anonymous, MANDATORY_EXCLUDED: "", MEDIUM_LIST: LOWEST_LIST, "tls_preempt_cipherlist": "no",
        **builtin,
    }  # fmt: skip


def _is_changed(origin: Origin, name: str) -> bool:
    return name in origin.builtin and origin.values.get(name) != origin.builtin[name]


def _joined(own: str, word: str) -> str:
    words = [each for each in SPLIT.split(own) if each]
    return ",".join(words if word in words else (*words, word))


def _second_lock(origin: Origin, tables: tuple[str, str]) -> dict[str, str]:
    """Let in by the tables alone; those who stand there meet the site's own client restrictions."""
    own = origin.written.get(CLIENT_RESTRICTIONS, "").strip(f"{WHITE},")
    words = [word for word in SPLIT.split(own) if word]
    ended = bool(words) and words[-1].lower() in FINAL
    lock = {
        CLASSES: _joined(origin.written.get(CLASSES, ""), WAIVED),
        WAIVED: own if ended else ", ".join((*((own,) if own else ()), "permit")),
        CLIENT_RESTRICTIONS: ", ".join((*(f"check_client_access {table}" for table in tables), TURNED_AWAY)),
    }
    # With `no` the 450 would be the greeting: nobody could see whether the door's TLS works.
    return lock if origin.values.get(DELAY_REJECT) == "yes" else {**lock, DELAY_REJECT: "yes"}


# --- as text -----------------------------------------------------------------------------------------------------


def door_text(origin: Origin, plan: DoorPlan) -> str:
    """Write the entry, without a line end. Raises ValueError with a sentence."""
    ours = door_options(origin, plan)
    _private, unprivileged, chroot, wakeup, limit = origin.service.fields[2:7]
    inet = plan.level is not Level.SSLV3
    name = door_name(origin.listens, plan.port) if inet else BACKEND
    fields = (name, "inet" if inet else "unix", "n", unprivileged, chroot, wakeup, limit, "smtpd")
    kept = _kept(origin.service, ours)
    return "\n  ".join((" ".join(fields), *kept, *(f"-o {assignment(name, value)}" for name, value in ours.items())))


def _kept(service: Service, ours: Mapping[str, str]) -> list[str]:
    """Give the words of the entry that stay, an option on a line; what we set ourselves is left out."""
    options: dict[int, Option] = {option.start: option for option in service.options}
    kept, skip_to = [], 0
    for word in service.arguments:
        if word.start < skip_to:
            continue
        option = options.get(word.start)
        if option is None:
            kept.append(word.text)
            continue
        skip_to = option.end
        if option.name not in ours:
            kept.append(_one_line(service.line.text[option.start : option.end]))
    return kept


def _one_line(text: str) -> str:
    return " ".join(text.split())


def assignment(name: str, value: str) -> str:
    """Write one `-o`: in braces where the value has blanks (since Postfix 3.0). Raises ValueError."""
    if "\n" in value or not is_balanced(value):
        raise ValueError(f"the value of {name} cannot be written into master.cf: its braces do not pair off")
    return f"{{ {name} = {value} }}" if any(each in WHITE for each in value) else f"{name}={value}"


def is_balanced(value: str) -> bool:
    """Tell whether every brace has its other half."""
    depth = 0
    for char in value:
        depth += {"{": 1, "}": -1}.get(char, 0)
        if depth < 0:
            return False
    return depth == 0


# --- drift -------------------------------------------------------------------------------------------------------


def differences(master: MasterCf, key: str, wanted: str) -> tuple[str, ...]:
    """Say in clauses how the entry `key` differs from the text that it should have; nothing where it means the same."""
    now, meant = master.find(key), parse_master_cf(wanted + "\n").find(key)
    if meant is None:
        raise ValueError(f"{wanted!r} is no entry {key}")
    if now is None:
        return ("it is not there",)
    same = now.fields == meant.fields
    said = [] if same else [f"its fields are {' '.join(now.fields)} and should be {' '.join(meant.fields)}"]
    for name in dict.fromkeys((*now.overrides, *meant.overrides)):
        old, new = now.overrides.get(name), meant.overrides.get(name)
        if old != new:
            said.append(f"-o {name} is {_shown(old)} and should be {_shown(new)}")
    return tuple(said)


def _shown(value: str | None) -> str:
    return "not there" if value is None else repr(value)
