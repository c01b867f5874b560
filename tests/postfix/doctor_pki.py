"""Certificates for the doctor's rows: an authority, an intermediate, and leaves of every kind of trouble.

Made once with openssl(1). What is expired is so because the row's clock says so: leaves live 90 days.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

HOST = "mx.example.test"
LEAF_DAYS = 90
_LEAVES = (
    # name, key, names, days
    ("rsa", ("rsa:2048",), f"DNS:{HOST},DNS:mail.example.test"),
    ("ecdsa", ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"), f"DNS:{HOST}"),
    ("wild", ("rsa:2048",), "DNS:*.example.test"),
    ("idn", ("rsa:2048",), "DNS:mx.xn--bcher-kva.example"),
    ("other", ("rsa:2048",), "DNS:www.example.test"),
    ("short", ("rsa:1024",), f"DNS:{HOST}"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pki:
    """A directory with NAME.key, NAME.crt (the leaf alone), NAME.pem (with its chain), NAME.all (key and chain)."""

    directory: Path

    @property
    def authority(self) -> Path:
        """The root that rows trust."""
        return self.directory / "root.crt"


def make_pki(directory: Path) -> Pki:
    """Make everything."""
    make = _Maker(directory)
    make.self_signed("root", "/CN=Test Root", ("-addext", "basicConstraints=critical,CA:TRUE"), days=3650)
    make.signed("middle", "rsa:2048", "/CN=Test Intermediate", "root", "basicConstraints=critical,CA:TRUE", days=3650)
    for name, key, names in _LEAVES:
        make.signed(name, *key, f"/CN={HOST}", "middle", f"subjectAltName={names}", days=LEAF_DAYS)
        make.chain(name, name, "middle")
    make.self_signed("lonely", f"/CN={HOST}", ("-addext", f"subjectAltName=DNS:{HOST}"), days=LEAF_DAYS)
    make.self_signed("own-root", "/CN=Own Root", ("-addext", "basicConstraints=critical,CA:TRUE"), days=3650)
    make.signed("private", "rsa:2048", f"/CN={HOST}", "own-root", f"subjectAltName=DNS:{HOST}", days=LEAF_DAYS)
    make.chain("private", "private", "own-root")
    make.write("rsa-unordered.pem", "rsa.crt", "root.crt", "middle.crt")
    make.write("rsa-cert-first.all", "rsa.crt", "rsa.key", "middle.crt")
    make.write("rsa-keys-only.all", "rsa.key", "ecdsa.key", "ecdsa.crt", "middle.crt")
    make.write("both.all", "rsa.key", "rsa.crt", "middle.crt", "ecdsa.key", "ecdsa.crt", "middle.crt")
    make.openssl("pkey", "-in", "rsa.key", "-aes128", "-passout", "pass:secret", "-out", "locked.key")
    make.openssl("dhparam", "-dsaparam", "-out", "dh1024.pem", "1024")
    make.openssl("dhparam", "-dsaparam", "-out", "dh2048.pem", "2048")
    (directory / "junk.pem").write_text("-----BEGIN NOTHING-----\nhello\n-----END NOTHING-----\n")
    (directory / "empty.pem").write_text("")
    (directory / "rsa-open.key").write_text((directory / "rsa.key").read_text())
    (directory / "rsa-open.key").chmod(0o644)
    return Pki(directory)


class _Maker:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True)

    def self_signed(self, name: str, subject: str, extensions: tuple[str, ...], *, days: int) -> None:
        self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-days", str(days), "-keyout",
                     f"{name}.key", "-out", f"{name}.crt", *extensions)  # fmt: skip
        self.write(f"{name}.pem", f"{name}.crt")
        (self.directory / f"{name}.key").chmod(0o600)

    def signed(self, name: str, key: str, *rest: str, days: int) -> None:
        *options, subject, issuer, extension = rest
        self.openssl("req", "-newkey", key, *options, "-nodes", "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (self.directory / f"{name}.ext").write_text(f"{extension}\n")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{issuer}.crt", "-CAkey", f"{issuer}.key",
                     "-CAcreateserial", "-days", str(days), "-extfile", f"{name}.ext", "-out", f"{name}.crt")  # fmt: skip
        (self.directory / f"{name}.key").chmod(0o600)

    def chain(self, name: str, leaf: str, *issuers: str) -> None:
        self.write(f"{name}.pem", f"{leaf}.crt", *(f"{each}.crt" for each in issuers))
        self.write(f"{name}.all", f"{leaf}.key", f"{leaf}.crt", *(f"{each}.crt" for each in issuers))

    def write(self, name: str, *parts: str) -> None:
        path = self.directory / name
        path.write_text("".join((self.directory / part).read_text() for part in parts))
        path.chmod(0o600)
