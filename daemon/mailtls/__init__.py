"""mailtls: adaptive TLS for the mail that comes in to Postfix."""

__version__ = "0.1.0"
