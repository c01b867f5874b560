"""What a service of Postfix offers in a handshake, computed from the values of its parameters.

The list of protocols is read as tls/tls_misc.c:tls_proto_mask_lims reads it, the list of ciphers is put together as
tls_set_ciphers does. What they come to in the OpenSSL of this machine, and which certificates there are, is found out
in `edge/`; the values say here what is to be asked.

Promises: `adds` says in words what one offering has beyond another, so that a door is made only for something.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from mailtls.core.offer import beyond
from mailtls.core.postfixview import Offering
from mailtls.core.protocollist import VERSIONS
from mailtls.core.serviceconduct import ENFORCE_TLS, LEVEL, USE_TLS, level_of
from mailtls.core.suite import KeyType, key_type_of

PROTOCOLS, MANDATORY_PROTOCOLS = "smtpd_tls_protocols", "smtpd_tls_mandatory_protocols"
CIPHERS, MANDATORY_CIPHERS = "smtpd_tls_ciphers", "smtpd_tls_mandatory_ciphers"
EXCLUDED, MANDATORY_EXCLUDED = "smtpd_tls_exclude_ciphers", "smtpd_tls_mandatory_exclude_ciphers"
WRAPPERMODE = "smtpd_tls_wrappermode"
ASK_CERTIFICATE, REQUIRE_CERTIFICATE = "smtpd_tls_ask_ccert", "smtpd_tls_req_ccert"
GRADES = {grade: f"tls_{grade}_cipherlist" for grade in ("high", "medium", "low", "export", "null")}
ASKED = (
    LEVEL, USE_TLS, ENFORCE_TLS, WRAPPERMODE, PROTOCOLS, MANDATORY_PROTOCOLS, CIPHERS, MANDATORY_CIPHERS, EXCLUDED,
    MANDATORY_EXCLUDED, ASK_CERTIFICATE, REQUIRE_CERTIFICATE, *GRADES.values(),
)  # fmt: skip
"""The parameters that count, the certificates' aside (`core/certificatefiles.py`)."""

SEPARATORS = re.compile(r"[\s,:]+")
_HEXADECIMAL = {"300": "SSLv3", "301": "TLSv1", "302": "TLSv1.1", "303": "TLSv1.2", "304": "TLSv1.3"}
_BY_NAME = {name.lower(): name for name in VERSIONS}
OFFERED = VERSIONS[VERSIONS.index("TLSv1") :]
"""What Debian's OpenSSL has at all."""
OLD = ("TLSv1", "TLSv1.1")
_LEVEL_ABOVE_ZERO = re.compile(r"@SECLEVEL=[1-9]")
ANONYMOUS = ("ADH-", "AECDH-")


def is_enforced(values: Mapping[str, str]) -> bool:
    """Tell whether the `mandatory` parameters are those in force (smtpd/smtpd.c:pre_jail_init)."""
    return values.get(WRAPPERMODE) == "yes" or level_of(values) == "encrypt"


def is_off(values: Mapping[str, str]) -> bool:
    """Tell whether the service speaks no TLS at all."""
    return level_of(values) == "none" and not is_enforced(values)


def versions_of(values: Mapping[str, str]) -> tuple[str, ...]:
    """Say which versions the service takes, oldest first; none where TLS is off or Postfix switches it off."""
    if is_off(values):
        return ()
    taken = _taken(values.get(MANDATORY_PROTOCOLS if is_enforced(values) else PROTOCOLS, ""))
    if _LEVEL_ABOVE_ZERO.search(cipher_list_of(values)):
        # From OpenSSL 3.0 on the digests of TLS 1.0 and 1.1 are below security level 1 (SSL_CTX_set_security_level).
        return tuple(version for version in taken if version not in OLD)
    return taken


def _taken(text: str) -> tuple[str, ...]:
    """Read a list as Postfix does: one word that it does not know switches TLS off for everybody."""
    include: set[str] = set()
    exclude: set[str] = set()
    low, high = 0, len(VERSIONS) - 1
    for word in (each for each in SEPARATORS.split(text) if each and not is_limit_without_name(each)):
        operator, version = _read_word(word)
        if version is None:
            return ()
        if operator == ">=":
            low = VERSIONS.index(version)
        elif operator == "<=":
            high = VERSIONS.index(version)
        elif version != "SSLv2":  # its bit is 0 in every OpenSSL of today, so that it says nothing
            (exclude if operator else include).add(version)
    within = VERSIONS[low : high + 1]
    return tuple(v for v in OFFERED if v in within and v not in exclude and (not include or v in include))


def is_limit_without_name(word: str) -> bool:
    """Tell whether a word sets no limit: in `>= TLSv1`, with a blank, the name is a word of its own (facts 3.2)."""
    return word in (">=", "<=")


def unknown_words(text: str) -> tuple[str, ...]:
    """Name the words of a list that Postfix does not know."""
    words = (each for each in SEPARATORS.split(text) if each and not is_limit_without_name(each))
    return tuple(word for word in words if _read_word(word)[1] is None)


def _read_word(word: str) -> tuple[str, str | None]:
    """Cut a word into its operator, which may be nothing, and its version, None where there is no such version."""
    operator = next((each for each in (">=", "<=", "!") if word.startswith(each)), "")
    name = word[len(operator) :]
    return operator, _BY_NAME.get(name.lower()) or (_hexadecimal(name) if operator in (">=", "<=") else None)


def _hexadecimal(name: str) -> str | None:
    return _HEXADECIMAL.get(name.lower().removeprefix("0x").lstrip("0"))


def cipher_list_of(values: Mapping[str, str]) -> str:
    """Put together the list that Postfix hands to OpenSSL; empty where there is no such grade.

    From Postfix 3.8 on the grades `low` and `export` mean `medium`, and their lists are empty.
    """
    enforced = is_enforced(values)
    grade = values.get(MANDATORY_CIPHERS if enforced else CIPHERS, "medium").lower()
    known = values.get(GRADES.get(grade, ""), "")
    if not known and grade in ("low", "export"):
        known = values.get(GRADES["medium"], "")
    if not known:
        return ""
    return ":".join((known, *(f"!{word}" for word in exclusions_of(values))))


def exclusions_of(values: Mapping[str, str]) -> tuple[str, ...]:
    """Name what is left out; whoever is asked for a certificate cannot stay anonymous."""
    enforced = is_enforced(values)
    written = f"{values.get(EXCLUDED, '')} {values.get(MANDATORY_EXCLUDED, '') if enforced else ''}"
    asked = values.get(ASK_CERTIFICATE) == "yes" or (enforced and values.get(REQUIRE_CERTIFICATE) == "yes")
    return (*(word for word in SEPARATORS.split(written) if word), *(("aNULL",) if asked else ()))


def offering(versions: tuple[str, ...], certificates: Iterable[KeyType], ciphers: Iterable[str]) -> Offering:
    """Put an offering together: of the ciphers only those that one of these certificates can serve, or that need none.

    Without a certificate Postfix offers no TLS; TLS 1.3's own suites are not named, every OpenSSL has them all.
    """
    kinds = tuple(kind for kind in KeyType if kind in set(certificates))
    old = any(version != "TLSv1.3" for version in versions)
    if not versions or not kinds:
        return Offering()
    served = tuple(name for name in ciphers if old and (is_anonymous(name) or key_type_of(name) in kinds))
    return Offering(versions=versions, certificates=kinds, ciphers=served)


def is_anonymous(cipher: str) -> bool:
    """Tell whether a suite shows no certificate."""
    return cipher.startswith(ANONYMOUS)


def adds(strict: Offering, door: Offering) -> tuple[str, ...]:
    """Say in clauses what a door offers that the strict service does not; anonymous suites help nobody."""
    more = beyond(door, strict)
    ciphers = [each for each in more.ciphers if not is_anonymous(each)]
    said = [f"the versions {', '.join(more.versions)}"] if more.versions else []
    said += [f"an {kind.value} certificate" for kind in more.certificates]
    said += [f"{len(ciphers)} more ciphers, such as {ciphers[-1]}"] if ciphers else []
    return tuple(said)
