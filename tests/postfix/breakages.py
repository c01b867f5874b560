"""What breaks a running Postfix although `postconf` and `postfix check` are content: the tables of outcomes, as edits.

`{directory}` is the instance's own. Each row is an edit of main.cf (a line more, which wins), or of the first service of
master.cf (words behind it, or an entry more), and words that the refusal must hold: Postfix's own where it has any.
"""

from __future__ import annotations

from dataclasses import dataclass

MAPS = "smtpd_discard_ehlo_keyword_address_maps"
ANSWERS = {
    "temporary": b"12:TEMP trouble,",
    "timeout": b"12:TIMEOUT slow,",
    "permanent": b"10:PERM wrong,",
    "unknown": b"8:GRUETZI ,",
    "garbage": b"\x16\x03\x01 this is no netstring\n",
    "silence": b"",
}
"""What servers of the socketmap protocol say (socketmap_table(5)); "close" says nothing and closes."""


@dataclass(frozen=True, slots=True)
class Breakage:
    """One edit; `main` is added to main.cf, `options` to the port-25 service, `entry` to master.cf.

    `{directory}/answers-NAME`: a socket where somebody says `ANSWERS[NAME]` to every question.
    """

    name: str
    says: str
    main: str = ""
    options: str = ""
    entry: str = ""
    patience_s: float = 20.0
    """How long the trial waits for an answer (doorprobe)."""


def _table(name: str, value: str, says: str) -> Breakage:
    return Breakage(f"table: {name}", says, options=f"-o {MAPS}={value}")


def _tls(name: str, option: str, says: str) -> Breakage:
    return Breakage(f"tls: {name}", says, options=f"-o {option}")


TABLES = (
    _table("lmdb that is missing", "lmdb:{directory}/none", "is unavailable. open database"),
    _table("lmdb that is empty", "lmdb:{directory}/empty", "lmdb:"),
    _table("texthash that is missing", "texthash:{directory}/none", "No such file or directory"),
    _table("texthash with a key twice", "texthash:{directory}/twice", "duplicate entry"),
    _table("cidr that is missing", "cidr:{directory}/none", "No such file or directory"),
    _table("socketmap without a server", "socketmap:unix:{directory}/none.sock:d", "No such file or directory"),
    _table("fail:", "fail:x", "421 4.3.0"),
    _table("type that does not exist", "nosuch:x", "unsupported dictionary type"),
    _table("no type", "{directory}/none", 'expecting "type:name" form'),
    _table("socketmap without a server at a port", "socketmap:inet:127.0.0.1:1:d", "Connection refused"),
    _table("lmdb that is corrupt", "lmdb:{directory}/corrupt", "lmdb:"),
    _table("hash that is missing", "hash:{directory}/none", "hash:"),
    _table("hash that is empty", "hash:{directory}/empty", "hash:"),
    _table("hash that is corrupt", "hash:{directory}/corrupt", "hash:"),
    _table("socketmap that is in trouble", "socketmap:unix:{directory}/answers-temporary:d", "socketmap server temporary error"),
    _table("socketmap that takes too long", "socketmap:unix:{directory}/answers-timeout:d", "socketmap server timeout"),
    _table("socketmap that refuses", "socketmap:unix:{directory}/answers-permanent:d", "socketmap server permanent error"),
    _table("socketmap with an unknown answer", "socketmap:unix:{directory}/answers-unknown:d", "unknown"),
    _table("socketmap that answers garbage", "socketmap:unix:{directory}/answers-garbage:d", "lookup error"),
    _table("socketmap that hangs up", "socketmap:unix:{directory}/answers-close:d", "unexpected disconnect"),
    Breakage(
        "table: socketmap that says nothing", "there is no greeting: it took longer than 2 s",
        options=f"-o {MAPS}=socketmap:unix:{{directory}}/answers-silence:d", patience_s=2.0,
    ),
    Breakage(
        "table: socketmap outside of the chroot", "answers-temporary: No such file or directory",
        entry=f"{{first}} inet n - y - - smtpd -o {MAPS}=socketmap:unix:{{directory}}/answers-temporary:d",
    ),
    Breakage("table: empty value", "returns an empty string result", options=f"-o {MAPS}=static:{{{{}}}}"),
    _table("empty value in a file", "regexp:{directory}/valueless", "returns an empty string result"),
    _table("dead table before a good one", "lmdb:{directory}/none,static:x", "421 4.3.0"),
    Breakage(
        "table: tcp without a server", "connect to TCP map 127.0.0.1:1: Connection refused",
        options=f"-o {MAPS}=tcp:127.0.0.1:1", patience_s=2.0,
    ),
    _table("dead member of a pipe", "pipemap:{{static:x,cidr:{directory}/none}}", "421 4.3.0"),
    _table("dead member of a union", "unionmap:{{static:x,cidr:{directory}/none}}", "421 4.3.0"),
)  # fmt: skip

SETTINGS = (
    Breakage("main: junk", "missing '=' after attribute name", main="this is junk"),
    Breakage("main: unknown parameter", "unused parameter: nosuch_parameter", main="nosuch_parameter = x"),
    Breakage("main: bad time", "bad time value or unit: abc", main="smtpd_timeout = abc"),
    Breakage("main: bad boolean", "bad boolean configuration", main="smtpd_tls_received_header = maybe"),
    Breakage("main: bad number", "bad numerical configuration", main="smtpd_hard_error_limit = many"),
    Breakage("main: bad number for all", "bad numerical configuration", main="default_process_limit = many"),
    Breakage("main: unbalanced braces", "macro processing error", main="smtpd_banner = ${{x"),
    Breakage("main: recursion", "macro", main="smtpd_banner = $smtpd_banner"),
    Breakage("main: TLS level", 'Invalid TLS level "mayy"', main="smtpd_tls_security_level = mayy"),
    Breakage("main: restriction", "451 4.3.5", main="smtpd_recipient_restrictions = nosuch"),
    Breakage("main: milters", "invalid transport name: nosuch", main="smtpd_milters = nosuch:x:y"),
    Breakage("main: twice", "overriding earlier entry", main="smtpd_timeout = 30s\nsmtpd_timeout = 31s"),
    Breakage("main: queue directory", "queue_directory would change", main="queue_directory = {directory}/elsewhere"),
    Breakage("main: interfaces", "nosuch.invalid", main="inet_interfaces = nosuch.invalid"),
    Breakage("main: protocols", "ipv5", main="inet_protocols = ipv5"),
    Breakage("main: certificate, also where TLS comes first", "Wrapper-mode request dropped", main="smtpd_tls_chain_files = {directory}/empty.lmdb"),
    Breakage("main: a blank in a protocol list", "today's senders would not get in", main="smtpd_tls_protocols = >= TLSv1"),
    Breakage("main: owner", "mail_owner", main="mail_owner = nosuchuser"),
    Breakage("master: twice", "bad time value or unit: abc", entry="{first} inet n - n - - smtpd -o smtpd_timeout=abc"),
    Breakage("master: too few fields", "bad field count", entry="127.0.0.1:1 inet n -"),
    Breakage("master: bad type", 'invalid type field "inett"', entry="x inett n - n - - smtpd"),
    Breakage("master: bad flag", 'invalid chroot field "q"', entry="127.0.0.1:1 inet n - q - - smtpd"),
    Breakage("master: program", "is no program that can be run", entry="x unix n - n - - nosuchd"),
    Breakage("master: directory of a socket", "is no directory", entry="nosuch/x unix - - n - - error"),
    Breakage("master: blanks around =", "invalid \"-o smtpd_tls_protocols\" option value", options="-o smtpd_tls_protocols = x"),
    Breakage("master: unknown parameter", "unused parameter: nosuch_parameter", options="-o nosuch_parameter=x"),
    Breakage("master: bad value", "bad time value or unit: abc", options="-o smtpd_timeout=abc"),
    Breakage("master: unknown host", "nosuch.invalid does not resolve", entry="nosuch.invalid:3027 inet n - n - - smtpd"),
    Breakage("master: address of another", "192.0.2.1:3027: cannot assign", entry="192.0.2.1:3027 inet n - n - - smtpd"),
    Breakage("master: port in use", "address already in use", entry="127.0.0.1:{taken} inet n - n - - smtpd"),
    Breakage("master: port in use, other program", "address already in use", entry="127.0.0.1:{taken} inet n - n - - spawn"),
    Breakage("master: unknown port", "knows no port nosuchport", entry="127.0.0.1:nosuchport inet n - n - - smtpd"),
)  # fmt: skip

POSTSCREEN = (
    Breakage("postscreen: bad time", "bad time value or unit: abc", main="postscreen_dnsbl_ttl = abc"),
    Breakage(
        "postscreen: table",
        "postscreen_discard_ehlo_keyword_address_maps lookup error",
        main="postscreen_discard_ehlo_keyword_address_maps = cidr:{directory}/none",
    ),
)

_PAIR = "smtpd_tls_chain_files= -o smtpd_tls_cert_file"
TLS = (
    _tls("unknown protocol", "smtpd_tls_protocols=TLSv9", "Invalid TLS protocol list"),
    _tls("protocol misspelled", "smtpd_tls_protocols=>=TLSv1.0", "Invalid TLS protocol list"),
    _tls("no protocol left", "smtpd_tls_protocols=SSLv3", "the TLS handshake after STARTTLS fails"),
    _tls("cipher grade", "smtpd_tls_ciphers=lowest", 'invalid cipher grade: "lowest"'),
    _tls("cipher list", "tls_medium_cipherlist=NOSUCH", "error setting cipher grade"),
    _tls("certificate missing", "smtpd_tls_chain_files={directory}/none.pem", "error opening chain file"),
    _tls("certificate empty", "smtpd_tls_chain_files={directory}/empty.lmdb", "disabling TLS support"),
    _tls("no certificate", "smtpd_tls_chain_files=", "No server certs available"),
    _tls("CA file", "smtpd_tls_CAfile={directory}/none.pem", "cannot load Certification Authority data"),
    _tls("junk as protocols", "smtpd_tls_protocols=junk", "Invalid TLS protocol list"),
    _tls("versions that exclude each other", "{{ smtpd_tls_protocols = <=TLSv1.2, >=TLSv1.3 }}", "the TLS handshake after STARTTLS fails"),
    _tls("protocols where TLS is a must", "smtpd_tls_security_level=encrypt -o smtpd_tls_mandatory_protocols=TLSv9", "Invalid TLS protocol list"),
    _tls("key not first", "smtpd_tls_chain_files={directory}/wrong.pem", "key not first"),
    _tls("certificate file missing", f"{_PAIR}={{directory}}/none.pem", "none.pem: No such file or directory"),
    _tls("key file missing", f"{_PAIR}={{directory}}/rsa.crt -o smtpd_tls_key_file={{directory}}/none.key", "disabling TLS support"),
    _tls("key of another", f"{_PAIR}={{directory}}/rsa.crt -o smtpd_tls_key_file={{directory}}/other.key", "disabling TLS support"),
    Breakage(
        "tls: key with a passphrase", "there is no greeting: it took longer than 2 s",
        options=f"-o {_PAIR}={{directory}}/rsa.crt -o smtpd_tls_key_file={{directory}}/locked.key", patience_s=2.0,
    ),
    _tls("one pair of two", f"{_PAIR}={{directory}}/none.pem -o smtpd_tls_eccert_file={{directory}}/ecdsa.pem", "none.pem: No such file or directory"),
    _tls("certificate none", f"{_PAIR}=none", "the TLS handshake after STARTTLS fails"),
    _tls("configuration of OpenSSL", "tls_config_file={directory}/none.cnf", "disabling TLS support"),
    _tls("fingerprint digest", "smtpd_tls_fingerprint_digest=foo", "disabling TLS support"),
)  # fmt: skip

ALL = (*TABLES, *SETTINGS, *POSTSCREEN, *TLS)
