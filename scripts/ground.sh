# The ground that scripts/test and scripts/demo stand on: Debian packages, and a virtual environment.
#
# Sourced, not run. Works on a bare Debian 12 or 13 (debootstrap --variant=minbase) as root; as a plain user it
# installs no Debian packages and says which are missing.
#
# A Postfix that is installed is left alone. One that is not is installed as Debian's "No configuration": without
# a main.cf its unit does not start, and no service is started while packages are being installed. Nothing is ever
# removed to make room: where another mail server is installed, that is said and left as it is.

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/mailtls-XXXXXXXX")
umask 022
chmod 711 "$scratch" # Postfix is not root, nor is mailtlsd
our_policy_rc_d=

export DEBIAN_FRONTEND=noninteractive

clean_up() {
    [ -z "$our_policy_rc_d" ] || rm -f "$our_policy_rc_d"
    rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say() { printf '%s\n' "$*"; }
refuse() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 2; }
am_root() { [ "$(id -u)" -eq 0 ]; }

debian_release() { (. /etc/os-release 2>/dev/null && echo "${VERSION_ID:-0}") || echo 0; }
debian_name() { (. /etc/os-release 2>/dev/null && echo "${ID:-unknown}-${VERSION_CODENAME:-${VERSION_ID:-0}}") || echo unknown; }

is_installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# missing PACKAGE...: print those that are not installed.
missing() {
    local package
    for package in "$@"; do is_installed "$package" || printf '%s ' "$package"; done
}

# install_debian PACKAGE...: install what is missing; return 1 with the reason in $why_not if that cannot be.
install_debian() {
    local wanted log=$scratch/apt.log
    wanted=$(missing "$@")
    [ -n "$wanted" ] || return 0
    why_not="not installed: ${wanted% }"
    command -v apt-get >/dev/null || return 1
    am_root || { why_not="$why_not (root could install it)"; return 1; }
    say "Installing from Debian: ${wanted% }"
    keep_services_down
    case " $wanted " in *" postfix "*)
        echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections ;;
    esac
    # shellcheck disable=SC2086  # one word a package
    if ! { lists_are_fresh && apt-get -q -y -o DPkg::Lock::Timeout=120 --no-install-recommends --no-remove install $wanted; } \
        </dev/null >"$log" 2>&1; then
        why_not="apt-get could not install ${wanted% }: $(grep -E '^(E:|W:.*Failed)' "$log" | tail -n 1)"
        ! grep -q 'remove is disabled' "$log" ||
            why_not="${wanted% } cannot stand beside another package (another mail server?), and nothing is removed for our sake"
        return 1
    fi
}

# install_postfix: Postfix with lmdb tables; one that is installed stays as it is, with the tables that it has.
install_postfix() { is_installed postfix || install_debian postfix postfix-lmdb; }

# unpack_debian PACKAGE PROGRAM: have one program of a package without installing it, for packages that bring a service
# of their own; return 1 with the reason in $why_not if that cannot be. Kept for the next run.
unpack_debian() {
    local tree program
    command -v "$2" >/dev/null && return 0
    tree=$(cache_directory)/$1-$(debian_name)
    program=$(unpacked "$tree" "$2")
    if [ -z "$program" ]; then
        why_not="no $2: apt-get could not download $1"
        command -v apt-get >/dev/null && am_root && lists_are_fresh >"$scratch/apt.log" 2>&1 || return 1
        mkdir -p "$tree"
        (cd "$tree" && rm -f ./*.deb && apt-get -q download "$1" && dpkg -x ./*.deb . && rm -f ./*.deb) \
            </dev/null >"$scratch/apt.log" 2>&1 || return 1
        program=$(unpacked "$tree" "$2")
    fi
    why_not="no $2: the package $1 of $(debian_name) does not have it"
    [ -n "$program" ] || return 1
    chmod u-s "$program"
    ln -sf "$program" "$scratch/$2" && PATH=$scratch:$PATH
}

# unpacked TREE PROGRAM: print where it is, if it is there.
unpacked() { local path; for path in "$1/usr/bin/$2" "$1/usr/sbin/$2"; do [ ! -x "$path" ] || echo "$path"; done; }

# unpack_exim: Exim's program, for a sending server, and the libraries that nobody else brings. Its package would remove
# Postfix.
unpack_exim() {
    unpack_debian exim4-daemon-light exim4 || return 1
    # shellcheck disable=SC2046  # one word a package; the second has another name from Debian 13 on
    install_debian libidn12 $(apt-cache show exim4-daemon-light | grep -o -m 1 'libgnutls-dane0[a-z0-9]*' | head -n 1)
}

# Once a run.
lists_are_fresh() { [ -e "$scratch/lists" ] || { apt-get -q update && touch "$scratch/lists"; }; }

# No service starts while packages are installed (invoke-rc.d(8)); a policy of the machine's own is kept.
keep_services_down() {
    [ -e /usr/sbin/policy-rc.d ] && return
    our_policy_rc_d=/usr/sbin/policy-rc.d
    printf '#!/bin/sh\nexit 101\n' >"$our_policy_rc_d"
    chmod 755 "$our_policy_rc_d"
}

cache_directory() {
    if [ -n "${XDG_CACHE_HOME:-}" ]; then echo "$XDG_CACHE_HOME/mailtls-test"
    elif am_root; then echo /var/cache/mailtls-test
    else echo "$HOME/.cache/mailtls-test"; fi
}

# Debian 13 has all that mailtls runs on in packages; on Debian 12 some are too old, and pip brings them.
has_debian_python_packages() { [ "$(debian_release)" -ge 13 ] 2>/dev/null; }

install_python() {
    local packages=(python3 python3-venv ca-certificates)
    ! has_debian_python_packages || packages+=(python3-pydantic python3-typer python3-rich python3-setuptools
        python3-sqlalchemy python3-greenlet python3-aiosqlite python3-prometheus-client)
    install_debian "${packages[@]}" || refuse "$why_not"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || refuse "Python 3.11 or later is needed: $(python3 -V)"
}

# make_venv NAME REQUIREMENT...: make "$scratch/venv", for this run only, in which the requirements can be imported.
# What pip installs for it is kept for the next run, keyed by release, Python, pyproject.toml and what is asked for.
make_venv() {
    local name=$1 key cache kept log=$scratch/pip.log layer=()
    shift
    ! has_debian_python_packages || layer=(--system-site-packages)
    key=$(printf '%s\n' "$(python3 -V)" "${layer[@]}" "$@" | cat - "$checkout/pyproject.toml" | sha256sum | cut -c1-12)
    cache=$(cache_directory)
    kept=$cache/$name-$(debian_name)-$key
    mkdir -p "$cache"
    exec 9>"$kept.lock"
    flock 9
    if [ ! -e "$kept/complete" ]; then
        say "Making a virtual environment in $kept"
        rm -rf "$kept"
        python3 -m venv "${layer[@]}" "$kept" >"$log" 2>&1 || refuse "python3 -m venv failed: $(tail -n 1 "$log")"
        "$kept/bin/pip" install --progress-bar off "$@" >"$log" 2>&1 </dev/null ||
            refuse "pip could not install what is needed: $(grep -i error "$log" | tail -n 1)"
        touch "$kept/complete"
    fi
    flock -u 9
    python3 -m venv --without-pip "${layer[@]}" "$scratch/venv"
    printf 'import site; site.addsitedir("%s")\n' "$(packages_of "$kept")" >"$(packages_of "$scratch/venv")/kept.pth"
    pip=$kept/bin/pip
    export PATH=$scratch/venv/bin:$kept/bin:$PATH
}

# link_milter VENV: let it import pymilter, which is bound to Debian's libmilter and has no wheel: that of the Debian
# package python3-milter, where it was made for this Python.
link_milter() {
    local found
    ! "$1/bin/python" -c 'import milter' 2>/dev/null || return 0
    for found in /usr/lib/python3/dist-packages/{milter.*.so,Milter}; do
        [ ! -e "$found" ] || ln -s "$found" "$(packages_of "$1")/"
    done
}

# link_dns VENV: let it import dnspython, which is optional: that of the Debian package python3-dnspython.
link_dns() {
    local found=/usr/lib/python3/dist-packages/dns
    ! "$1/bin/python" -c 'import dns' 2>/dev/null || return 0
    [ ! -e "$found" ] || ln -s "$found" "$(packages_of "$1")/"
}

packages_of() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

# requirements [EXTRA]: print what pyproject.toml asks for, one requirement a line.
requirements() {
    python3 - "$checkout/pyproject.toml" "$@" <<'END'
import sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))["project"]
print(*project["dependencies"], *(r for extra in sys.argv[2:] for r in project["optional-dependencies"][extra]), sep="\n")
END
}
