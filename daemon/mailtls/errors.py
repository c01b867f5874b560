"""Errors, sorted by whose move is next.

    MailtlsError
    ├── ConfigError      the operator's: a file or an option says something that cannot be followed
    ├── ProtocolError    the other side's: it sent what its protocol does not allow
    ├── PostfixError     Postfix said no: command, exit status and its own words
    ├── FirewallError    nftables said no, or is not there: in its own words
    ├── StoreError       memory is unavailable: a database, a full disk
    ├── InputError       a log cannot be read: missing, a directory, no permission, broken compression
    ├── UnreachableError a process of ours does not answer: not running, hung, or closed to this user
    └── RefusedError     a process of ours answered, and said no: what, why, and what to do instead

Each text is a sentence for an operator at two in the morning: what was seen, where, what was expected, what to do.
Misuse of our own functions is a plain ValueError or RuntimeError and is never caught.
"""


class MailtlsError(Exception):
    """Base of every error that an operator may see as one sentence."""


class ConfigError(MailtlsError):
    """A configuration or policy file, or an option, cannot be followed."""


class ProtocolError(MailtlsError):
    """The other side sent what its protocol does not allow."""


class PostfixError(MailtlsError):
    """Postfix refused: the text holds the command, its exit status and its own words."""


class FirewallError(MailtlsError):
    """nftables refused, or is not there: the text holds its own words, and what they usually mean."""


class StoreError(MailtlsError):
    """The store of peers, decisions and waivers is unavailable."""


class InputError(MailtlsError):
    """A log cannot be read to its end."""


class UnreachableError(MailtlsError):
    """The keeper or mailtlsd does not answer: it is not running, hangs, or this user may not speak to it."""


class RefusedError(MailtlsError):
    """The keeper or mailtlsd said no; the text is its sentence."""
