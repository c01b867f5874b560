"""A service's other TLS settings, examined: its level, its files beside certificates, logging, tickets.

`SettingFacts` holds what the disk and OpenSSL say of the files and names in them; nothing is read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mailtls.core.doctorfinding import EDIT_MASTER, DoctorFinding
from mailtls.core.doctoridentity import FileState
from mailtls.core.doctormilters import ASKED as MILTERS_ASKED
from mailtls.core.doctormilters import milter_findings
from mailtls.core.doctorservice import Role, SmtpdService
from mailtls.core.doorcertificate import CERTIFICATE, CHAIN_FILES, EC_CERTIFICATE, NO_CERTIFICATE, chains_of
from mailtls.core.printable import printable
from mailtls.core.serviceconduct import KEYWORDS, LEVEL, MAPS

CA_FILE, DIGEST, OPENSSL_FILE = "smtpd_tls_CAfile", "smtpd_tls_fingerprint_digest", "tls_config_file"
DH_FILE, OPTIONS, LOGLEVEL = "smtpd_tls_dh1024_param_file", "tls_ssl_options", "smtpd_tls_loglevel"
PORT_LOGGING, SNI_MAPS = "smtpd_client_port_logging", "tls_server_sni_maps"
AUTH, PROXY = "smtpd_sasl_auth_enable", "smtpd_upstream_proxy_protocol"
ASKED = (
    CA_FILE, DIGEST, OPENSSL_FILE, DH_FILE, OPTIONS, LOGLEVEL, PORT_LOGGING, SNI_MAPS, KEYWORDS, MAPS, AUTH, PROXY,
    *MILTERS_ASKED,
)  # fmt: skip
LEVELS = frozenset(
    {"none", "may", "encrypt", "fingerprint", "half-dane", "dane", "dane-only", "verify", "secure"}
)
"""What tls/tls_level.c knows; a server takes those above `encrypt` for `encrypt`."""
SSL_OPTIONS = frozenset(
    {
        "LEGACY_SERVER_CONNECT", "NO_TICKET", "NO_COMPRESSION", "NO_RENEGOTIATION", "PRIORITIZE_CHACHA",
        "NO_SESSION_RESUMPTION_ON_RENEGOTIATION", "ENABLE_MIDDLEBOX_COMPAT", "ENABLE_KTLS",
    }
)  # fmt: skip
"""tls/tls_misc.c ssl_op_tweaks; hexadecimal numbers are taken as well."""
SMALLEST_DH = 1024
TICKETS_BOUND_SINCE = (3, 12)
_SPLIT = re.compile(r"[\s,:]+")


@dataclass(frozen=True, slots=True)
class SettingFacts:
    """What is known of what the settings name: states of files, bits of DH parameters, digests that exist."""

    files: Mapping[str, FileState] = field(default_factory=dict)
    dh_bits: Mapping[str, int] = field(default_factory=dict)
    digests: Mapping[str, bool] = field(default_factory=dict)


def setting_findings(
    services: Iterable[SmtpdService], facts: SettingFacts, version: tuple[int, ...]
) -> Iterator[DoctorFinding]:
    """Examine all services of one Postfix."""
    known = list(services)
    for service in known:
        yield from _level(service)
        yield from _discards(service)
        yield from milter_findings(service)
        if not service.is_off:
            yield from _certificates(service)
            yield from _files(service, facts)
            yield from _options(service)
            yield from _logging(service)
    if version < TICKETS_BOUND_SINCE:
        yield from _tickets(known)


def _level(service: SmtpdService) -> Iterator[DoctorFinding]:
    level = service.values.get(LEVEL, "").strip().lower()
    if level and level not in LEVELS:
        said = f"{LEVEL} = {printable(level, 60)}: Postfix knows none, may and encrypt."
        yield _finding("level_invalid", service, LEVEL, "may", said)
    elif service.role is Role.MX and service.is_off:
        said = f"{service.key} offers no STARTTLS: {LEVEL} is {level or 'empty'}."
        yield _finding("tls_off", service, LEVEL, "may", said)
    elif service.role is Role.PEOPLE and service.is_off and _takes_passwords(service):
        said = f"{service.key} takes passwords ({AUTH} = yes) and speaks no TLS: {LEVEL} is {level or 'empty'}."
        setting = f"-o {LEVEL}=encrypt"  # in main.cf it would hold for port 25 as well
        yield DoctorFinding("passwords_in_clear", (service.entry,), said, setting, EDIT_MASTER)
    elif service.role is Role.MX and service.is_enforced:
        said = f"{service.key} takes mail from outside and demands TLS."
        yield _finding("tls_demanded", service, LEVEL, "may", said)


def _takes_passwords(service: SmtpdService) -> bool:
    """Tell whether people log in there with nobody in front of it: a proxy may speak TLS in its place."""
    return service.values.get(AUTH, "").lower() == "yes" and not service.values.get(PROXY)


def _discards(service: SmtpdService) -> Iterator[DoctorFinding]:
    words = service.values.get(KEYWORDS, "")
    if service.matters and "starttls" in words.lower().replace(",", " ").split():
        kept = ", ".join(word for word in words.replace(",", " ").split() if word.lower() != "starttls")
        said = f"{service.key} hides STARTTLS: {KEYWORDS} = {printable(words, 120)}."
        yield _finding("starttls_hidden", service, KEYWORDS, kept, said)
    tables = service.values.get(MAPS, "")
    if service.role is Role.PEOPLE and tables and MAPS not in service.own:
        said = f"{service.key} asks {printable(tables, 200)}, which is meant for port 25."
        setting = f"-o {MAPS}="
        yield DoctorFinding(
            "discard_map_for_people", (service.entry,), said, setting, EDIT_MASTER
        )


def _certificates(service: SmtpdService) -> Iterator[DoctorFinding]:
    values = service.values
    if values.get(CERTIFICATE, "").lower() == NO_CERTIFICATE and not values.get(CHAIN_FILES):
        said = f"{CERTIFICATE} = none at {service.key}."
        yield _finding("certificate_off", service, CERTIFICATE, "/etc/ssl/CERTIFICATE.pem", said)
    elif not chains_of(values):
        said = f"{service.key} speaks TLS, and no certificate is named."
        yield _finding("certificate_none", service, CHAIN_FILES, "/etc/postfix/key-and-chain.pem", said)
    elif CHAIN_FILES not in service.own and values.get(CHAIN_FILES) and (other := _named_beside(service)):
        said = f"{service.key} has both {CHAIN_FILES} and {' and '.join(other)}."
        yield _finding("chain_files_win", service, other[0], "", said)


def _named_beside(service: SmtpdService) -> list[str]:
    """Name the certificates beside chain files; an entry that sets chain files of its own means to."""
    return [name for name in (CERTIFICATE, EC_CERTIFICATE) if service.values.get(name)]


def _files(service: SmtpdService, facts: SettingFacts) -> Iterator[DoctorFinding]:
    for name, parameter in (("ca_file_broken", CA_FILE), ("openssl_file_missing", OPENSSL_FILE)):
        path = service.values.get(parameter, "")
        if facts.files.get(path) in (FileState.MISSING, FileState.BROKEN):
            why = "there is no such file" if facts.files[path] is FileState.MISSING else "it holds no certificate"
            why = why if path.startswith("/") else "Postfix wants its whole path, from / on"
            value = "" if parameter == CA_FILE else "default"
            yield _finding(name, service, parameter, value, f"{parameter} = {printable(path, 200)}: {why}.")
    digest = service.values.get(DIGEST, "")
    if facts.digests.get(digest) is False:
        yield _finding("digest_unknown", service, DIGEST, "sha256", f"{DIGEST} = {printable(digest, 60)}.")
    path = service.values.get(DH_FILE, "")
    if facts.files.get(path) in (FileState.MISSING, FileState.BROKEN):
        yield _finding("dh_file_broken", service, DH_FILE, "", f"{DH_FILE} = {printable(path, 200)} cannot be used.")
    elif 0 < facts.dh_bits.get(path, 0) <= SMALLEST_DH:
        said = f"{printable(path, 200)} holds DH parameters of {facts.dh_bits[path]} bits."
        yield _finding("dh_too_small", service, DH_FILE, "", said)


def _options(service: SmtpdService) -> Iterator[DoctorFinding]:
    words = [each for each in _SPLIT.split(service.values.get(OPTIONS, "")) if each]
    wrong = [each for each in words if each.upper() not in SSL_OPTIONS and not each.lower().startswith("0x")]
    if wrong:
        kept = ", ".join(each for each in words if each not in wrong)
        said = f"{OPTIONS}: there is no `{printable(wrong[0], 60)}`."
        yield _finding("tls_option_unknown", service, OPTIONS, kept, said)


def _logging(service: SmtpdService) -> Iterator[DoctorFinding]:
    if service.role is not Role.MX:
        return
    level = service.values.get(LOGLEVEL, "0").strip()
    if level == "0":
        yield _finding("loglevel_zero", service, LOGLEVEL, "1", f"{LOGLEVEL} is 0 at {service.key}.")
    elif level.isdigit() and int(level) > 1:
        yield _finding("loglevel_high", service, LOGLEVEL, "1", f"{LOGLEVEL} is {level} at {service.key}.")
    if service.values.get(PORT_LOGGING) == "no":
        yield _finding("port_logging_off", service, PORT_LOGGING, "yes", f"{service.key} logs no client ports.")


def _tickets(services: list[SmtpdService]) -> Iterator[DoctorFinding]:
    """Look for services of which one shows a certificate that the other lacks, while its tickets count at both."""
    giving = [s for s in services if s.matters and s.certificates and "NO_TICKET" not in s.values.get(OPTIONS, "")]
    strict = next((each for each in giving if each.role is Role.MX), None)
    if strict is None:
        return
    for other in giving:
        more = [kind.value for kind in other.certificates if kind not in strict.certificates]
        if more:
            said = f"{other.key} shows an {more[0]} certificate, {strict.key} does not, and both give session tickets."
            yield DoctorFinding(
                "tickets_between_services", (other.entry,), said, f"-o {OPTIONS}=NO_TICKET", EDIT_MASTER,
            )  # fmt: skip


def _finding(name: str, service: SmtpdService, parameter: str, value: str, seen: str) -> DoctorFinding:
    return DoctorFinding(
        name, (service.place(parameter),), seen, service.line(parameter, value), service.command(parameter)
    )
