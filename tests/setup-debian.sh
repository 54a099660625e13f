#!/bin/sh
# Installs the Debian packages that the tests need, if something is missing. Run as root, or with sudo at hand.
# Does nothing, quickly, when all is there.
set -eu

missing=""
need() { # need PACKAGE COMMAND…: the package, unless the command works
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

need git git --version
need git-lfs git-lfs version
need curl curl --version
need openssh-client sh -c 'command -v ssh-keygen'
need gnupg gpg --version
need strace strace -V
# A node from elsewhere brings its npm, and Debian's would conflict with it.
command -v node >/dev/null 2>&1 || need npm npm --version
need python3-venv python3 -c 'import ensurepip, venv'
# The git hosts that pushes are tested with. Programs in sbin are on few people's PATH.
need openssh-server test -x /usr/sbin/sshd
need gitolite3 sh -c 'command -v gitolite'
need nginx-light test -x /usr/sbin/nginx
need fcgiwrap test -x /usr/sbin/fcgiwrap
need openssl openssl version
# A mail server that mails are delivered by. It wants to be root.
need opensmtpd sh -c 'command -v smtpd'

[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    as_root="sudo -n"
fi
if ! command -v apt-get >/dev/null 2>&1 || { [ -n "$as_root" ] && ! $as_root true 2>/dev/null; }; then
    echo "The tests need:$missing. Install them; on Debian or Ubuntu: sudo apt-get install$missing" >&2
    exit 1
fi

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
clean='rm -f "$log"'
# Packages of servers would start them, or fail to in a container; the tests start their own.
if [ ! -e "$policy" ]; then
    clean="$clean; $as_root rm -f $policy"
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
fi
# The folder of the log is known only when the trap runs, and the rest now.
# shellcheck disable=SC2064
trap "$clean" EXIT
echo "Installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# $missing is a list of words; another apt-get may hold the lock for a while.
# shellcheck disable=SC2086
if ! { $as_root apt-get -o DPkg::Lock::Timeout=300 update &&
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends $missing; } >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    echo "apt-get could not install:$missing" >&2
    exit 1
fi
