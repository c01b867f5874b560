"""What the port-25 service of Postfix does by itself, as `setup` found it, and the file that tells the keeper.

The keeper's entries are unions with it (facts 1.1: a match replaces smtpd_discard_ehlo_keywords). The file has the keys
of [postfix] in mailtls.toml and stands in its place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from mailtls.core.mapentry import tables_of

KEYWORDS = "smtpd_discard_ehlo_keywords"
MAPS = "smtpd_discard_ehlo_keyword_address_maps"
LEVEL = "smtpd_tls_security_level"
USE_TLS, ENFORCE_TLS = "smtpd_use_tls", "smtpd_enforce_tls"
ASKED = (KEYWORDS, MAPS, LEVEL, USE_TLS, ENFORCE_TLS)
SPLIT = str.maketrans(",", " ")
HEAD = """\
# Written by mailtls-apply setup: what Postfix does by itself on port 25. mailtls-keeper reads this in place of the
# section [postfix] of mailtls.toml. Do not edit it; after a change of Postfix's configuration run: mailtlsctl setup
"""


@dataclass(frozen=True, slots=True)
class ServiceConduct:
    """What the service hides from everybody, the operator's own tables, and its TLS level: none, may or encrypt."""

    discard_keywords: tuple[str, ...]
    discard_maps: tuple[str, ...]
    security_level: str


def conduct_of(values: Mapping[str, str], without: tuple[str, ...] = ()) -> ServiceConduct:
    """Read the service's effective values, `$name` followed; tables `without` are ours and left out."""
    tables = tables_of(values.get(MAPS, ""))
    return ServiceConduct(
        tuple(values.get(KEYWORDS, "").translate(SPLIT).split()),
        tuple(table for table in tables if table not in without),
        _level(values),
    )


def _level(values: Mapping[str, str]) -> str:
    """Read the level; where it is empty the parameters of before Postfix 2.3 count (smtpd/smtpd.c:pre_jail_init)."""
    level = values.get(LEVEL, "").strip().lower()
    if level:
        return level if level in ("none", "may") else "encrypt"
    if values.get(ENFORCE_TLS) == "yes":
        return "encrypt"
    return "may" if values.get(USE_TLS) == "yes" else "none"


def conduct_text(conduct: ServiceConduct, config_directory: str, table_type: str) -> str:
    """Write the file, TOML."""
    values = {
        "config_directory": config_directory,
        "table_type": table_type,
        "discard_keywords": list(conduct.discard_keywords),
        "discard_maps": list(conduct.discard_maps),
        "security_level": conduct.security_level,
    }
    return HEAD + "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())
