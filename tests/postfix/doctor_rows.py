"""The doctor's table: configurations of Postfix, sound and broken, each with exactly what must be found.

The broken ones are the rows of the facts that were measured (what `postfix check` lets through), and what operators
wrote about; a sound one has no error and no warning, and the notes that it has are named.
"""

from __future__ import annotations

from .doctor_site import MASTER, SOUND, Row

STOCK_NOTES = frozenset({"certificate_self_signed", "certificate_rsa_only", "loglevel_zero", "port_logging_off"})
STOCK_MASTER = MASTER.split("submission inet")[0] + "cleanup unix n - y - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n"
STOCK = """\
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
biff = no
append_dot_mydomain = no
readme_directory = no
compatibility_level = 3.6
smtpd_tls_cert_file={pki}/lonely.crt
smtpd_tls_key_file={pki}/lonely.key
smtpd_tls_security_level=may
smtp_tls_CApath=/etc/ssl/certs
smtp_tls_security_level=may
smtp_tls_session_cache_database = TYPE:${data_directory}/smtp_scache
smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
myhostname = mx.example.test
mydestination = $myhostname, localhost
mynetworks = 127.0.0.0/8 [::1]/128
inet_interfaces = all
queue_directory = {root}/queue
data_directory = {root}/data
"""
MOZILLA = """\
queue_directory = {root}/queue
data_directory = {root}/data
myhostname = mx.example.test
smtpd_use_tls = yes
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_cert_file = {pki}/rsa.pem
smtpd_tls_key_file = {pki}/rsa.key
smtpd_tls_mandatory_protocols = !SSLv2, !SSLv3, !TLSv1, !TLSv1.1
smtpd_tls_protocols = !SSLv2, !SSLv3, !TLSv1, !TLSv1.1
smtpd_tls_mandatory_ciphers = medium
smtpd_tls_loglevel = 1
smtpd_client_port_logging = yes
smtpd_tls_dh1024_param_file = {pki}/dh2048.pem
tls_medium_cipherlist = ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256
tls_preempt_cipherlist = no
"""
TYPICAL_MASTER = """\
smtp      inet  n       -       y       -       1       postscreen
smtpd     pass  -       -       y       -       -       smtpd
dnsblog   unix  -       -       y       -       0       dnsblog
tlsproxy  unix  -       -       y       -       0       tlsproxy
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_tls_auth_only=yes
  -o { smtpd_client_restrictions = permit_sasl_authenticated, reject }
submissions inet n      -       y       -       -       smtpd
  -o syslog_name=postfix/submissions
  -o smtpd_tls_wrappermode=yes
  -o smtpd_sasl_auth_enable=yes
[::1]:10027 inet n      -       y       -       -       smtpd
  -o smtpd_tls_security_level=none
  -o smtpd_milters=
cleanup   unix  n       -       y       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
"""
DOORS_MASTER = MASTER + """\
10125 inet n - y - - smtpd
  -o syslog_name=postfix/mailtls-legacy-rsa
  -o smtpd_tls_chain_files={pki}/both.all
  -o tls_ssl_options=NO_TICKET
10225 inet n - y - - smtpd
  -o syslog_name=postfix/mailtls-legacy
  -o smtpd_tls_protocols=>=TLSv1
  -o { tls_medium_cipherlist = aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH }
  -o tls_ssl_options=NO_TICKET
"""
NONE: frozenset[str] = frozenset()


def ids(*names: str) -> frozenset[str]:
    """Name what must be found."""
    return frozenset(names)


def one(name: str, parameter: str, value: str | None, *found: str, says: tuple[str, ...] = ()) -> Row:
    """Change one parameter."""
    return Row(name, {parameter: value}, ids(*found), says=says)


def protocols(name: str, value: str, *found: str, says: tuple[str, ...] = ()) -> Row:
    """Change the list of protocols, as it counts on port 25."""
    return one(f"protocols: {name}", "smtpd_tls_protocols", value, *found, says=says)


CERTIFICATES: dict[str, str | None] = {
    "smtpd_tls_eccert_file": None,
    "smtpd_tls_eckey_file": None,
}


def rsa(name: str, file: str, key: str, *found: str, after_days: float = 1, says: tuple[str, ...] = ()) -> Row:
    """Show another RSA certificate, beside the ECDSA one."""
    main = {"smtpd_tls_cert_file": f"{{pki}}/{file}", "smtpd_tls_key_file": f"{{pki}}/{key}"}
    return Row(f"certificate: {name}", main, ids(*found), after_days=after_days, says=says)


def chains(name: str, value: str, *found: str) -> Row:
    """Use smtpd_tls_chain_files alone."""
    without = dict.fromkeys(("smtpd_tls_cert_file", "smtpd_tls_key_file", *CERTIFICATES))
    return Row(f"chain files: {name}", {**without, "smtpd_tls_chain_files": value}, ids(*found))


def entry(name: str, text: str, *found: str, says: tuple[str, ...] = ()) -> Row:
    """Put an entry into master.cf."""
    return Row(f"master.cf: {name}", found=ids(*found), master=MASTER + text, says=says)


def table(name: str, spelled: str, *found: str, files: dict[str, str] | None = None) -> Row:
    """Set the discard table on port 25 alone."""
    master = MASTER.replace("-  smtpd\n", f"-  smtpd\n  -o smtpd_discard_ehlo_keyword_address_maps={spelled}\n", 1)
    return Row(f"table: {name}", found=ids(*found), master=master, files=files or {})


SOUND_ROWS = (
    Row("sound: both kinds of certificates", found=NONE),
    Row("sound: Debian 12 as installed", text=STOCK.replace("TYPE", "btree"), master=STOCK_MASTER, found=STOCK_NOTES),
    Row("sound: Debian 13 as installed", text=STOCK.replace("TYPE", "lmdb"), master=STOCK_MASTER, found=STOCK_NOTES),
    Row("sound: Mozilla intermediate", text=MOZILLA, found=ids("certificate_rsa_only")),
    Row("sound: postscreen, submission, rspamd", {
        "smtpd_milters": "inet:127.0.0.1:11332", "milter_default_action": "accept", "smtpd_sasl_type": "dovecot",
        "smtpd_sasl_path": "private/auth", "postscreen_greet_action": "enforce", "smtpd_tls_protocols": ">=TLSv1.2",
        "smtpd_tls_mandatory_protocols": ">=TLSv1.2", "smtpd_tls_mandatory_ciphers": "high",
    }, NONE, master=TYPICAL_MASTER),
    Row("sound: a machine that only sends", {
        "inet_interfaces": "loopback-only", "smtpd_tls_security_level": None, "smtpd_tls_loglevel": "0"}, NONE,
        master=STOCK_MASTER),
    Row("sound: a port 25 of the loopback", found=NONE, master=MASTER + "[::1]:25 inet n - y - - smtpd\n"
        "  -o smtpd_tls_security_level=none\n"),
    Row("sound: with the doors of mailtls", found=NONE, master=DOORS_MASTER),
    protocols("sound: exclusions", "!SSLv2, !SSLv3"),
    protocols("sound: SSLv2 excluded does no harm", "!SSLv2,!SSLv3,!TLSv1,!TLSv1.1"),
    protocols("sound: hexadecimal limit", ">=0303"),
    protocols("sound: any case, colons", "!sslv3:!tlsv1"),
    one("sound: exclude lists of panels", "smtpd_tls_exclude_ciphers", "aNULL, eNULL, EXPORT, DES, RC4, MD5, PSK, 3DES"),
    one("sound: high ciphers", "smtpd_tls_ciphers", "high"),
    one("sound: tickets off", "tls_ssl_options", "NO_TICKET, NO_COMPRESSION"),
    chains("sound: both in one file", "{pki}/both.all"),
    chains("sound: one file each", "{pki}/rsa.all, {pki}/ecdsa.all"),
    chains("sound: key and certificate in two files", "{pki}/rsa.key, {pki}/rsa.pem, {pki}/ecdsa.all"),
    rsa("sound: a wildcard", "wild.pem", "wild.key"),
    Row("sound: an international name", {
        "myhostname": "mx.xn--bcher-kva.example", "smtpd_tls_cert_file": "{pki}/idn.pem",
        "smtpd_tls_key_file": "{pki}/idn.key", **CERTIFICATES}, ids("certificate_rsa_only")),
    Row("sound: an IPv6 literal as a port's address", found=NONE,
        master=MASTER + "[::1]:25 inet n - y - - smtpd\n"),
    table("sound: a cidr table", "cidr:{root}/etc/postfix/c", files={"etc/postfix/c": "192.0.2.0/24 starttls\n"}),
    table("sound: inline", "inline:{{192.0.2.7=starttls}}"),
    Row("sound: ten thousand lines", text="".join(f"{k} = {v}\n" for k, v in SOUND.items())
        + "queue_directory = {root}/queue\ndata_directory = {root}/data\n" + "# nothing at all\n" * 10_000),
    Row("sound: DANE that fits", found=NONE, dns={("_25._tcp.mx.example.test", "TLSA"): ()}),
)  # fmt: skip

PROTOCOL_ROWS = (
    protocols("TLSv9", "!SSLv2, TLSv9", "protocols_invalid", says=("TLSv9",)),
    protocols("TLSv1.0", "TLSv1.0", "protocols_invalid", says=("written TLSv1",)),
    protocols(">=TLSv1.0", ">=TLSv1.0", "protocols_invalid"),
    protocols("all", "all", "protocols_invalid"),
    protocols(">=TLSv1.4", ">=TLSv1.4", "protocols_invalid"),
    protocols("excludes what there is not", "!TLSv9", "protocols_invalid"),
    protocols("a typing slip", "!SSLv2, !SLSv3", "protocols_invalid"),
    protocols("SSLv2 alone is everything", "SSLv2", "protocols_not_as_meant"),
    protocols("mixed", "!SSLv2, !SSLv3, TLSv1.2", "protocols_not_as_meant", says=("only what it names is left",)),
    protocols("mixed, of one", "!TLSv1, TLSv1.2", "protocols_not_as_meant"),
    protocols("a blank behind the limit", ">= TLSv1.2", "protocols_not_as_meant", says=("blank",)),
    protocols("SSLv3 alone", "SSLv3", "protocols_none"),
    protocols("everything excluded", "!SSLv3 !TLSv1 !TLSv1.1 !TLSv1.2 !TLSv1.3", "protocols_none"),
    protocols("limits crossed", "<=TLSv1.2 >=TLSv1.3", "protocols_none"),
    protocols("TLS 1.3 alone", ">=TLSv1.3", "protocols_too_strict"),
    protocols("nothing above TLS 1.1", "<=TLSv1.1", "protocols_too_old"),
    protocols("no TLS 1.3", "!SSLv2, !SSLv3, !TLSv1.3", "protocols_without_tls13"),
    Row("protocols: bad where TLS is demanded", {"smtpd_tls_mandatory_protocols": "TLSv1.0"}, ids("protocols_invalid")),
    Row("protocols: bad where nobody looks", {"smtpd_tls_mandatory_protocols": "TLSv1.0"},
        ids("protocols_invalid_unused"), master=STOCK_MASTER),
    entry("protocols of one service", "[::]:587 inet n - y - - smtpd\n  -o smtpd_tls_protocols=TLSv1.0\n"
          "  -o smtpd_tls_security_level=may\n", "protocols_invalid", says=("[::]:587/inet",)),
)  # fmt: skip

CIPHER_ROWS = (
    one("ciphers: no such grade", "smtpd_tls_ciphers", "lowest", "ciphers_grade_invalid"),
    one("ciphers: null", "smtpd_tls_ciphers", "null", "weakened_for_all", "ciphers_weak", "ciphers_too_few"),
    one("ciphers: a list of nothing", "tls_medium_cipherlist", "FOOBAR", "ciphers_none", says=("no cipher match",)),
    one("ciphers: all excluded", "smtpd_tls_exclude_ciphers", "ALL", "ciphers_none"),
    one("ciphers: only anonymous", "tls_medium_cipherlist", "aNULL", "ciphers_none"),
    one("ciphers: without encryption", "tls_medium_cipherlist", "HIGH:eNULL", "ciphers_weak"),
    one("ciphers: a security level", "tls_medium_cipherlist", "HIGH:MEDIUM:@SECLEVEL=2", "ciphers_security_level"),
    one("ciphers: CHACHA20 alone", "tls_medium_cipherlist", "ECDHE+CHACHA20", "ciphers_too_few"),
    one("ciphers: too many excluded", "smtpd_tls_exclude_ciphers", "ECDHE", "ciphers_too_few"),
)  # fmt: skip

CERTIFICATE_ROWS = (
    rsa("no such file", "nope.pem", "rsa.key", "certificate_missing"),
    Row("certificate: a relative name that is not in the queue directory", {
        "smtpd_tls_cert_file": "etc/rsa.pem", "smtpd_tls_key_file": "{pki}/rsa.key"}, ids("certificate_missing"),
        says=("/queue/etc/rsa.pem",)),
    rsa("no such key", "rsa.pem", "nope.key", "key_missing"),
    rsa("an empty file", "empty.pem", "rsa.key", "certificate_broken"),
    rsa("no PEM", "junk.pem", "rsa.key", "certificate_broken"),
    rsa("no key in it", "rsa.pem", "rsa.crt", "key_broken"),
    rsa("another's key", "rsa.pem", "other.key", "key_mismatch"),
    rsa("a key with a pass phrase", "rsa.pem", "locked.key", "key_encrypted"),
    rsa("a key that all may read", "rsa.pem", "rsa-open.key", "key_readable"),
    rsa("without its intermediate", "rsa.crt", "rsa.key", "chain_incomplete"),
    rsa("a chain out of order", "rsa-unordered.pem", "rsa.key", "chain_out_of_order"),
    rsa("for another name", "other.pem", "other.key", "certificate_name", says=("www.example.test",)),
    rsa("signed by itself", "lonely.crt", "lonely.key", "certificate_self_signed"),
    rsa("of an authority of one's own", "private.pem", "private.key", "authority_unknown"),
    rsa("of 1024 bits", "short.pem", "short.key", "key_short"),
    rsa("both expired", "rsa.pem", "rsa.key", "certificate_expired", after_days=100),
    rsa("both about to expire", "rsa.pem", "rsa.key", "certificate_expires_soon", after_days=80),
    rsa("of the future", "rsa.pem", "rsa.key", "certificate_not_yet", after_days=-2),
    Row("certificate: ECDSA alone", {
        "smtpd_tls_cert_file": "{pki}/ecdsa.pem", "smtpd_tls_key_file": "{pki}/ecdsa.key", **CERTIFICATES},
        ids("certificate_ecdsa_only"), says=("no RSA certificate",)),
    Row("certificate: RSA alone", CERTIFICATES, ids("certificate_rsa_only")),
    Row("certificate: none at all", {"smtpd_tls_cert_file": None, "smtpd_tls_key_file": None, **CERTIFICATES},
        ids("certificate_none")),
    Row("certificate: the word none", {"smtpd_tls_cert_file": "none", **CERTIFICATES}, ids("certificate_off")),
    Row("certificate: chain files beside a pair", {"smtpd_tls_chain_files": "{pki}/both.all"}, ids("chain_files_win")),
    chains("the key not first", "{pki}/rsa-cert-first.all", "chain_files_order"),
    chains("two keys in a row", "{pki}/rsa-keys-only.all", "chain_files_order"),
    chains("a missing file", "{pki}/both.all, {pki}/nope.pem", "certificate_missing"),
    chains("ECDSA alone", "{pki}/ecdsa.all", "certificate_ecdsa_only"),
)  # fmt: skip

SETTING_ROWS = (
    one("level: mayy", "smtpd_tls_security_level", "mayy", "level_invalid"),
    one("level: none", "smtpd_tls_security_level", "none", "tls_off"),
    one("level: demanded on port 25", "smtpd_tls_security_level", "encrypt", "tls_demanded"),
    one("no level at all", "smtpd_tls_security_level", None, "tls_off"),
    one("STARTTLS hidden", "smtpd_discard_ehlo_keywords", "chunking, STARTTLS", "starttls_hidden"),
    one("authorities: missing", "smtpd_tls_CAfile", "{pki}/nope.pem", "ca_file_broken"),
    one("digest: unknown", "smtpd_tls_fingerprint_digest", "foo", "digest_unknown"),
    one("OpenSSL's file: a relative name", "tls_config_file", "nope.cnf", "openssl_file_missing", says=("whole path",)),
    one("DH: missing", "smtpd_tls_dh1024_param_file", "{pki}/nope.pem", "dh_file_broken"),
    one("DH: 1024 bits", "smtpd_tls_dh1024_param_file", "{pki}/dh1024.pem", "dh_too_small"),
    one("options: unknown", "tls_ssl_options", "NO_TICKET FOO", "tls_option_unknown", says=("FOO",)),
    one("loglevel: 0", "smtpd_tls_loglevel", "0", "loglevel_zero"),
    one("loglevel: 3", "smtpd_tls_loglevel", "3", "loglevel_high"),
    one("client ports not logged", "smtpd_client_port_logging", "no", "port_logging_off"),
    one("OpenSSL's file: missing", "tls_config_file", "{pki}/nope.cnf", "openssl_file_missing"),
    one("a bad time", "smtpd_timeout", "abc", "value_invalid", says=("a time",)),
    one("a bad yes or no", "smtpd_tls_received_header", "maybe", "value_invalid"),
    one("a bad number", "smtpd_hard_error_limit", "many", "value_invalid"),
    one("a parameter that is none", "smtpd_tls_protocol", ">=TLSv1.2", "parameter_unknown"),
    Row("a parameter twice", text="".join(f"{k} = {v}\n" for k, v in SOUND.items()) + "smtpd_tls_loglevel = 01\n"
        "queue_directory = {root}/queue\ndata_directory = {root}/data\n", found=ids("parameter_twice")),
    Row("junk in main.cf", text="this is junk\n", found=ids("postfix_config_broken"), says=("missing '='",)),
    one("a number of all programs", "default_process_limit", "many", "postfix_config_broken",
        says=("bad numerical configuration: default_process_limit = many",)),
    one("a user that is not there", "mail_owner", "nosuchuser", "postfix_config_broken", says=("nosuchuser",)),
    Row("an international name as nobody may write it", {
        "myhostname": "mx.bücher.example", "smtpd_tls_cert_file": "{pki}/idn.pem",
        "smtpd_tls_key_file": "{pki}/idn.key", **CERTIFICATES}, ids("postfix_config_broken", "certificate_rsa_only"),
        says=("myhostname: bad parameter value",)),
    one("an interface that is not there", "inet_interfaces", "192.0.2.1", "postfix_config_broken", says=("192.0.2.1",)),
    one("a value that names itself", "smtpd_banner", "$smtpd_banner", "postfix_config_broken"),
    one("a milter without a kind", "smtpd_milters", "/run/milter.sock", "milter_invalid", says=("inet:HOST:PORT",)),
    one("a milter of no kind", "smtpd_milters", "unix:run/a tcp:localhost:1", "milter_invalid", says=("`tcp:localhost:1`",)),
    one("a milter without a port", "smtpd_milters", "inet:localhost:", "milter_invalid", says=("a port is missing",)),
    one("a milter that is not closed", "smtpd_milters", "{ inet:localhost:1, connect_timeout=1s", "milter_invalid"),
    Row("sound: milters that are forgiven", {"smtpd_milters": "/run/milter.sock", "milter_default_action": "accept"}),
    one("sound: milters of all kinds", "smtpd_milters", "inet:[::1]:11332, unix:run/a { local:b, command_timeout=3s }"),
    Row("an unbalanced brace", {"smtpd_banner": "${myhostname"}, ids("postfix_config_broken")),
    entry("too few fields", "2525 inet n - y\n", "postfix_config_broken"),
    entry("blanks in an option", "[::]:587 inet n - y - - smtpd\n  -o smtpd_tls_protocols = >=TLSv1.2\n", "option_broken"),
    Row("sound: an instance without ports of its own", {"master_service_disable": "inet"},
        master=MASTER + "192.0.2.1:3027 inet n - y - - smtpd\n"),
    Row("all ports off but one that is of another machine", {"master_service_disable": "!192.0.2.1:3027/inet inet"},
        ids("listener_not_here"), master=MASTER + "192.0.2.1:3027 inet n - y - - smtpd\n"),
    Row("sound: a port of another machine that is off", {"master_service_disable": "192.0.2.1:3027/inet"},
        master=MASTER + "192.0.2.1:3027 inet n - y - - smtpd\n"),
    entry("a host that is none", "nosuch.invalid:3027 inet n - y - - smtpd\n", "listener_unknown",
          says=("nosuch.invalid does not resolve",)),
    entry("an address of another machine", "192.0.2.1:3027 inet n - y - - smtpd\n", "listener_not_here",
          says=("no address 192.0.2.1",)),
    entry("a port that has no number", "nosuchport inet n - y - - smtpd\n", "listener_unknown", says=("nosuchport",)),
    entry("a port beyond all", "70000 inet n - y - - smtpd\n", "listener_unknown", says=("65535",)),
    entry("no such program", "2526 inet n - y - - nosuchd\n", "program_missing"),
    Row("TLS is off behind a proxy", found=ids("tls_off"), master=MASTER + "127.0.0.1:25 inet n - y - - smtpd\n"
        "  -o smtpd_upstream_proxy_protocol=haproxy\n  -o smtpd_tls_security_level=none\n"),
    Row("people log in without TLS", found=ids("passwords_in_clear"), says=("submission/inet takes passwords",),
        master=MASTER.replace("level=encrypt", "level=none")),
    Row("people log in without TLS, as main.cf has it", {"smtpd_tls_security_level": None},
        ids("tls_off", "passwords_in_clear"), master=MASTER.replace("  -o smtpd_tls_security_level=encrypt\n", "")),
    Row("sound: people log in behind a proxy that speaks TLS", master=MASTER.replace(
        "level=encrypt", "level=none\n  -o smtpd_upstream_proxy_protocol=haproxy")),
    Row("sound: nobody logs in where there is no TLS", master=MASTER.replace("level=encrypt", "level=none").replace(
        "auth_enable=yes", "auth_enable=no")),
    entry("an entry twice", "smtp inet n - y - - smtpd\n", "service_twice"),
    Row("a global table hides STARTTLS from people", {
        "smtpd_discard_ehlo_keyword_address_maps": "inline:{ 192.0.2.7=starttls }"}, ids("discard_map_for_people")),
    table("missing", "lmdb:{root}/etc/postfix/nope", "discard_table_broken"),
    table("an empty file for a database", "lmdb:{root}/etc/postfix/e", "discard_table_broken",
          files={"etc/postfix/e.lmdb": ""}),
    table("cidr missing", "cidr:{root}/etc/postfix/nope", "discard_table_broken"),
    table("texthash with a duplicate", "texthash:{root}/etc/postfix/t", "discard_table_broken",
          files={"etc/postfix/t": "192.0.2.7 starttls\n192.0.2.7 starttls\n"}),
    table("a bad rule", "cidr:{root}/etc/postfix/c", "discard_table_rules",
          files={"etc/postfix/c": "192.0.2.0/33 starttls\n"}),
    table("no such type", "nosuch:{root}/x", "discard_table_broken"),
    table("no type", "{root}/etc/postfix/x", "discard_table_broken"),
    table("several, the last one dead", "inline:{{192.0.2.7=starttls}},lmdb:{root}/etc/postfix/nope", "discard_table_broken"),
    table("a pipe with a dead member", "pipemap:{inline:{a=b},lmdb:{root}/etc/postfix/nope}", "discard_table_broken"),
    table("a union with a dead member", "unionmap:{inline:{a=b},cidr:{root}/etc/postfix/nope}", "discard_table_broken"),
    table("sound: a union of two that live", "unionmap:{inline:{a=b},inline:{c=d}}"),
    table("that fails", "fail:temp", "discard_table_broken"),
    table("another program", "socketmap:unix:/nowhere:x", "discard_table_network"),
    one("certificates by name: no table", "tls_server_sni_maps", "lmdb:{root}/etc/postfix/nope", "sni_table_broken"),
    Row("tickets of a service with another certificate", {
        "smtpd_tls_cert_file": "{pki}/ecdsa.pem", "smtpd_tls_key_file": "{pki}/ecdsa.key", **CERTIFICATES},
        ids("certificate_ecdsa_only", "tickets_between_services"), says=("submission/inet shows an RSA",),
        master=MASTER.replace("postfix/submission\n", "postfix/submission\n  -o smtpd_tls_chain_files={pki}/both.all\n")),
    Row("an LMTP socket that is not there", {"virtual_transport": "lmtp:unix:private/somebody"},
        ids("lmtp_socket_missing")),
    Row("a second instance that is broken", {"multi_instance_directories": "{root}/etc/postfix-out"},
        ids("protocols_invalid"), files={
            "etc/postfix-out/main.cf": "".join(f"{k} = {v}\n" for k, v in SOUND.items())
            + "queue_directory = {root}/queue\ndata_directory = {root}/data\nsmtpd_tls_protocols = TLSv1.0\n",
            "etc/postfix-out/master.cf": STOCK_MASTER}, says=("postfix-out",)),
)  # fmt: skip

ROWS = (*SOUND_ROWS, *PROTOCOL_ROWS, *CIPHER_ROWS, *CERTIFICATE_ROWS, *SETTING_ROWS)
