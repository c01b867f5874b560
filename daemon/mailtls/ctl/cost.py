"""What each level costs, in a sentence about the peer: said when it is given, and wherever it stands."""

from __future__ import annotations

from mailtls.core.level import Level

COSTS: dict[Level, str] = {
    Level.LEGACY_RSA: "Protocols and ciphers stay strict for it; only the certificate is an RSA one.",
    Level.LEGACY: "Its mail is encrypted with what has known weaknesses (TLS 1.0, CBC, RSA key exchange).",
    Level.SSLV3: "Its mail is encrypted with what can be broken (SSLv3, RC4, 3DES); take it for readable.",
    Level.CLEARTEXT: "STARTTLS is hidden from it: its mail is not encrypted, and anybody on the path can read it.",
}
