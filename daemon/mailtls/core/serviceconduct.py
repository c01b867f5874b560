"""What the port-25 service of Postfix does by itself, as `setup` found it, and the file that tells the keeper.

The keeper's entries are unions with it (facts 1.1: a match replaces smtpd_discard_ehlo_keywords). The file has the keys
of [postfix] in mailtls.toml and stands in its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import wrap

from mailtls.core.mapentry import tables_of
from mailtls.core.postfixview import Doorway, Offering, PostfixSettings

KEYWORDS = "smtpd_discard_ehlo_keywords"
MAPS = "smtpd_discard_ehlo_keyword_address_maps"
LEVEL = "smtpd_tls_security_level"
USE_TLS, ENFORCE_TLS = "smtpd_use_tls", "smtpd_enforce_tls"
ASKED = (KEYWORDS, MAPS, LEVEL, USE_TLS, ENFORCE_TLS)
WIDTH = 115
_PLAIN = re.compile(r'\[(?:"[A-Za-z0-9_.-]*"(?:, )?)*\]')
"""A list whose texts have no blanks, so that a line may end behind every comma."""
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
        level_of(values),
    )


def level_of(values: Mapping[str, str]) -> str:
    """Read the TLS level: none, may or encrypt.

    Where it is empty the parameters of before Postfix 2.3 count (smtpd/smtpd.c:pre_jail_init).
    """
    level = values.get(LEVEL, "").strip().lower()
    if level:
        return level if level in ("none", "may") else "encrypt"
    if values.get(ENFORCE_TLS) == "yes":
        return "encrypt"
    return "may" if values.get(USE_TLS) == "yes" else "none"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else `setup` found and made: the strict offering, the networks that get no door, the doors, and who asks."""

    strict: Offering | None = None
    own_networks: tuple[str, ...] = ()
    doors: tuple[Doorway, ...] = ()
    policy_service: bool = False
    milter: bool = False


def conduct_text(
    conduct: ServiceConduct, config_directory: str, table_type: str, around: Surroundings | None = None
) -> str:
    """Write the file, TOML: `postfixview.PostfixSettings` reads it."""
    around = around or Surroundings()
    values: dict[str, object] = {
        "config_directory": config_directory,
        "table_type": table_type,
        "discard_keywords": list(conduct.discard_keywords),
        "discard_maps": list(conduct.discard_maps),
        "security_level": conduct.security_level,
        "own_networks": list(around.own_networks),
        "policy_service": around.policy_service,
        "milter": around.milter,
    }
    tables = [] if around.strict is None else [_table("[strict]", _offering_values(around.strict))]
    for door in around.doors:
        own = {
            "level": door.level.value, "port": door.port, "addresses": list(door.addresses), "entry": door.entry,
            "trusted": door.trusted,
        }  # fmt: skip
        tables += [_table("[[doors]]", own), _table("[doors.offers]", _offering_values(door.offers))]
    return HEAD + _lines(values) + "".join(tables)


def view_text(view: PostfixSettings) -> str:
    """Write the file anew from what was read of it."""
    conduct = ServiceConduct(view.discard_keywords, view.discard_maps, view.security_level)
    around = Surroundings(view.strict, view.own_networks, view.doors, view.policy_service, view.milter)
    return conduct_text(conduct, view.config_directory, view.table_type, around)


def _offering_values(offering: Offering) -> dict[str, object]:
    kinds = [kind.value for kind in offering.certificates]
    return {"versions": list(offering.versions), "certificates": kinds, "ciphers": list(offering.ciphers)}


def _table(head: str, values: Mapping[str, object]) -> str:
    return f"\n{head}\n{_lines(values)}"


def _lines(values: Mapping[str, object]) -> str:
    """JSON's texts, numbers, lists and truth values are TOML's as well; names of ciphers are wrapped."""
    return "".join(f"{name} = {_wrapped(json.dumps(value, ensure_ascii=False))}\n" for name, value in values.items())


def _wrapped(value: str) -> str:
    if len(value) <= WIDTH or not _PLAIN.fullmatch(value):
        return value
    rows = wrap(value[1:-1], WIDTH, initial_indent="    ", subsequent_indent="    ", break_long_words=False,
                break_on_hyphens=False)  # fmt: skip
    return "\n".join(("[", *rows, "]"))
