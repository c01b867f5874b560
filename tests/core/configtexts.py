"""Configuration files of Postfix as people write them, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n"])
NAMES = st.sampled_from(["myhostname", "smtpd_tls_protocols", "mydestination", "x_own"])
WORDS = st.text(alphabet="abc,=#{}$: \t\xe9\udcff", max_size=12)
FILLERS = st.sampled_from(["", "  ", "\t", "# comment", "  # indented comment", "#smtp inet n - y - - smtpd", "\x0b"])
OPTIONS = st.sampled_from(
    [
        "-o smtpd_tls_security_level=may",
        "-o { smtpd_banner = $myhostname {x} }",
        "-osyslog_name=postfix/x",
        "-o smtpd_discard_ehlo_keyword_address_maps=cidr:/own",
        "-o smtpd_discard_ehlo_keyword_address_maps=",
        "-o { smtpd_discard_ehlo_keyword_address_maps = }",
        "-v",
    ]
)


@st.composite
def main_lines(draw: st.DrawFn) -> str:
    """Write one logical line of main.cf, perhaps over several physical ones."""
    lines = [draw(NAMES) + draw(st.sampled_from([" = ", "=", " =", "\t=\t"])) + draw(WORDS)]
    for _ in range(draw(st.integers(0, 2))):
        lines += [draw(FILLERS) for _ in range(draw(st.integers(0, 1)))]
        lines.append(draw(st.sampled_from([" ", "\t", "    "])) + draw(WORDS))
    return "".join(line + draw(ENDS) for line in lines)


@st.composite
def master_lines(draw: st.DrawFn) -> str:
    """Write one entry of master.cf, its options anywhere."""
    service = draw(st.sampled_from(["smtp      inet", "192.0.2.1:25 inet", "submission inet", "smtpd pass"]))
    lines = [f"{service}  n - y\t- - smtpd"]
    for _ in range(draw(st.integers(0, 3))):
        lines += [draw(FILLERS) for _ in range(draw(st.integers(0, 1)))]
        option = draw(OPTIONS)
        if draw(st.booleans()):
            lines.append(f"  {option}")
        else:
            lines[-1] = lines[-1] + f" {option}" if not lines[-1].lstrip().startswith("#") else lines[-1]
    return "".join(line + draw(ENDS) for line in lines)


def files(lines: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Put lines together, with comments and blank lines between them, and perhaps no line end at the end."""
    filler = st.tuples(FILLERS, ENDS).map("".join)
    text = st.lists(st.one_of(lines, filler), max_size=6).map("".join)
    return st.tuples(text, st.booleans()).map(lambda both: both[0].rstrip("\r\n") if both[1] else both[0])
