"""Postfix's lists of TLS protocols: what is wrong with one, and how it is written right.

Grammar of tls/tls_misc.c tls_proto_mask_lims: words separated by white space, commas or colons; `NAME` includes,
`!NAME` excludes, `>=NAME` and `<=NAME` (Postfix 3.6) set the limits, where hexadecimal numbers may stand too. Names, in
any case: SSLv2 SSLv3 TLSv1 TLSv1.1 TLSv1.2 TLSv1.3. One word that Postfix does not know switches TLS off for every
client: `Invalid TLS protocol list "...": disabling TLS support` (tls/tls_server.c tls_server_init).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

VERSIONS = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
# The floor that is offered where the list does not tell what was meant: the default since Postfix 3.6.
DEFAULT_FLOOR = "TLSv1"
_BY_NAME = {name.lower(): name for name in VERSIONS}
_SEPARATORS = re.compile(r"[\s,:;\"'“”]+")
_LOOSE_NAME = re.compile(r"(tls|ssl)[ _-]?v?[._]?([0-9])(?:[._]?([0-9]))?")
_HEXADECIMAL = re.compile(r"(?:0x)?0?30[0-9a-f]")
# How people write the operators, the longer first.
_OPERATORS = ((">=", ">="), ("=>", ">="), ("≥", ">="), ("<=", "<="), ("=<", "<="), ("≤", "<="), ("!", "!"))
_OTHER_TOOLS = (("-", "!"), ("+", ""), (">", ">"), ("<", "<"))
_NOT_SEPARATORS = ";\"'“”"


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a list. `right`: how it is written right, None where nobody can tell what it means."""

    seen: str
    right: str | None

    @property
    def is_wrong(self) -> bool:
        """Tell whether Postfix does not know the word as it stands."""
        return self.right is None or self.right.lower() != self.seen.lower()


def read_words(text: str) -> list[Word]:
    """Split a list into words, each with its right spelling."""
    words: list[Word] = []
    pending = ""
    for seen in (part for part in _SEPARATORS.split(text) if part):
        if pending:
            words.append(Word(f"{pending} {seen}", _right(pending + seen)))
            pending = ""
        elif not _operator(seen)[1]:
            pending = seen
        else:
            words.append(Word(seen, _right(seen)))
    if pending:
        words.append(Word(pending, None))
    return words


def stray_characters(text: str) -> list[str]:
    """List the characters that separate nothing for Postfix although they look as if: semicolons, quotes."""
    return [char for char in _NOT_SEPARATORS if char in text]


def allowed(words: list[Word]) -> list[str]:
    """List the versions that the list means, as Postfix would compute them, oldest first."""
    include: set[str] = set()
    exclude: set[str] = set()
    low, high = 0, len(VERSIONS) - 1
    for word in words:
        operator, name = _operator(word.right or "")
        version = _BY_NAME.get(name.lower()) or _hexadecimal(name)
        if version is None:
            continue
        if operator == ">=":
            low = VERSIONS.index(version)
        elif operator == "<=":
            high = VERSIONS.index(version)
        else:
            (exclude if operator == "!" else include).add(version)
    return [v for v in VERSIONS[low : high + 1] if v not in exclude and (not include or v in include)]


def rewritten(text: str) -> tuple[str, str]:
    """Write the list right: with `>=` for Postfix 3.6 and later, and as exclusions for any version.

    Newer versions than the list meant are let in, unless it forbade them (`!TLSv1.3`, `<=TLSv1.2`); older ones than
    Postfix's own default are left out.
    """
    words = read_words(text)
    modern = VERSIONS[VERSIONS.index(DEFAULT_FLOOR) :]
    floor = next((version for version in allowed(words) if version in modern), DEFAULT_FLOOR)
    forbidden = {(word.right or "")[1:] for word in words if (word.right or "").startswith("!")}
    ceiling = next(((word.right or "")[2:] for word in words if (word.right or "").startswith("<=")), None)
    below = list(VERSIONS[: VERSIONS.index(floor)])
    above = [v for v in VERSIONS[VERSIONS.index(floor) + 1 :] if v in forbidden or _over(v, ceiling)]
    return ", ".join([f">={floor}", *(f"!{v}" for v in above)]), ", ".join(f"!{v}" for v in (*below, *above))


def newest_needed(text: str) -> str | None:
    """Say which Postfix knows every word of a list without mistakes; None where any version does."""
    words = [word.right or "" for word in read_words(text)]
    if any(word.startswith((">=", "<=")) for word in words):
        return "`>=` and `<=` need Postfix 3.6"
    if any(word.lstrip("!") == "TLSv1.3" for word in words):
        return "`TLSv1.3` needs Postfix 3.4 (or 3.3.2, 3.2.7, 3.1.10, 3.0.14)"
    if any(word.lstrip("!") in {"TLSv1.1", "TLSv1.2"} for word in words):
        return "`TLSv1.1` and `TLSv1.2` need a Postfix built with OpenSSL 1.0.1 or later"
    return None


def _operator(word: str) -> tuple[str, str]:
    for written, meant in (*_OPERATORS, *_OTHER_TOOLS):
        if word.startswith(written):
            return meant, word[len(written) :]
    return "?", word


def _right(word: str) -> str | None:
    operator, name = _operator(word)
    if operator in {">=", "<="} and _HEXADECIMAL.fullmatch(name.lower()):
        return operator + name
    loose = _LOOSE_NAME.fullmatch(name.lower())
    if loose is None:
        return None
    family, major, minor = loose.groups()
    spelled = f"{'TLSv' if family == 'tls' else 'SSLv'}{major}" + (f".{minor}" if minor and minor != "0" else "")
    version = _BY_NAME.get(spelled.lower())
    return None if version is None else _spelled(operator, VERSIONS.index(version))


def _spelled(operator: str, index: int) -> str | None:
    """Spell a word; `>` and `<`, which Postfix does not have, become `>=` and `<=` of the neighbour."""
    if operator in {">", "<"}:
        index += 1 if operator == ">" else -1
        operator += "="
    return operator.replace("?", "") + VERSIONS[index] if 0 <= index < len(VERSIONS) else None


def _hexadecimal(name: str) -> str | None:
    number = name.lower().removeprefix("0x").lstrip("0")
    return dict(zip(("300", "301", "302", "303", "304"), VERSIONS[1:], strict=True)).get(number)


def _over(version: str, ceiling: str | None) -> bool:
    top = _BY_NAME.get((ceiling or "").lower()) or _hexadecimal(ceiling or "")
    return top is not None and VERSIONS.index(version) > VERSIONS.index(top)
