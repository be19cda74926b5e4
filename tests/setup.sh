#!/bin/sh
# Installs what the tests need on a Debian machine and prints what it found.
#
#   tests/setup.sh          everything `make test` needs
#   tests/setup.sh demo     only what `make demo` needs
#   tests/setup.sh lint     only what `make check` needs
#
# Safe to run again: what is there already is left alone, and no package that
# this machine has is upgraded. Nothing that it installs is started, now or at
# the next boot.
# The second Docker engine is unpacked below WINDFLOW_TESTBED (by default
# target/testbed) and never installed.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
testbed=${WINDFLOW_TESTBED:-${CARGO_TARGET_DIR:-$root/target}/testbed}
newer=$testbed/engine-26
newer_suite=trixie
newer_packages='docker.io docker-cli docker-compose docker-buildx containerd'
policy=/usr/sbin/policy-rc.d
lock=/var/lock/windflow-setup.lock
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export DEBIAN_FRONTEND=noninteractive

say() { printf 'setup: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

main() {
  case ${1:-test} in
    test)
      lock_machine
      install_missing dockerd:docker.io iptables:iptables ip:iproute2 busybox:busybox-static setpriv:util-linux \
        nginx:nginx-light haproxy:haproxy caddy:caddy apache2:apache2-bin curl:curl wget:wget dash:dash \
        docker-registry:docker-registry faketime:faketime sqlite3:sqlite3 "$(postgres_program):postgresql" \
        node:nodejs npm:npm chromium:chromium aiosmtpd:python3-aiosmtpd slapd:slapd ldapmodify:ldap-utils redis-server:redis-server redis-cli:redis-tools
      check_node
      install_optional podman:podman
      unpack_newer_engine
      unpack_openrc
      print_table
      ;;
    demo)
      lock_machine
      install_missing dockerd:docker.io iptables:iptables busybox:busybox-static
      install_missing docker:docker-cli
      ;;
    lint)
      lock_machine
      install_missing shellcheck:shellcheck node:nodejs npm:npm
      check_node
      ;;
    *) die "unknown part '$1'; use test, demo or lint" ;;
  esac
}

# The console's tools refuse an older one.
check_node() {
  version=$(node --version 2>/dev/null) || die "node is missing: the console is built with Node.js 20.19 or later"
  rest=${version#v}
  major=${rest%%.*}
  rest=${rest#*.}
  if [ "$major" -lt 20 ] || { [ "$major" -eq 20 ] && [ "${rest%%.*}" -lt 19 ]; }; then
    die "Node.js $version is too old: the console is built with 20.19 or later"
  fi
}

# One set-up at a time on a machine: apt refuses a second one.
lock_machine() {
  [ "$(id -u)" -eq 0 ] || return 0
  exec 9>"$lock"
  flock 9
}

# Each argument is PROGRAM:PACKAGE. Installs the packages whose program is not
# there, in one go.
install_missing() {
  wanted=$(packages_without_program "$@")
  [ -n "$wanted" ] || return 0
  need_root "$wanted"
  update_lists
  hold_services
  say "installing:$wanted"
  # shellcheck disable=SC2086 # a list of package names
  apt-get install --yes --quiet --no-install-recommends --no-upgrade $wanted >&2 || die "apt-get install failed"
  disable_services
  release_services
}

# As above, but a package that cannot be had only costs the tests that use it.
install_optional() {
  wanted=$(packages_without_program "$@")
  [ -n "$wanted" ] || return 0
  [ "$(id -u)" -eq 0 ] || {
    say "skipped, needs root: apt-get install$wanted"
    return 0
  }
  update_lists
  hold_services
  say "installing, optional:$wanted"
  # shellcheck disable=SC2086 # a list of package names
  apt-get install --yes --quiet --no-install-recommends --no-upgrade $wanted >&2 ||
    say "SKIPPED, not to be had here:$wanted"
  disable_services
  release_services
}

packages_without_program() {
  for pair in "$@"; do
    has "${pair%%:*}" || printf ' %s' "${pair#*:}"
  done
}

# Debian keeps PostgreSQL's programs out of the path.
postgres_program() {
  for program in /usr/lib/postgresql/*/bin/initdb; do
    [ -x "$program" ] && {
      echo "$program"
      return
    }
  done
  echo initdb
}

need_root() {
  [ "$(id -u)" -eq 0 ] || die "something is missing and needs root: apt-get install --no-install-recommends$1"
}

lists_updated=
update_lists() {
  [ -z "$lists_updated" ] || return 0
  has apt-get || die "apt-get is missing: these tests set themselves up on Debian only"
  say "apt-get update"
  apt-get update --quiet >&2 || say "apt-get update failed; going on with the lists of before"
  lists_updated=yes
}

# Debian starts what it installs; a policy that says no keeps it from that. A
# policy that was there before comes back afterwards.
hold_services() {
  [ ! -e "$policy" ] || mv "$policy" "$policy.windflow"
  trap release_services EXIT
  trap 'exit 130' INT TERM
  enabled_before=/$(enabled_units | tr '\n' '/')
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
}

release_services() {
  rm -f "$policy"
  [ ! -e "$policy.windflow" ] || mv "$policy.windflow" "$policy"
  trap - EXIT
}

# Debian also has what it installs started at the next boot.
disable_services() {
  has systemctl || return 0
  for unit in $(enabled_units | sort); do
    case $enabled_before in
      *"/$unit/"*) ;;
      *) systemctl --quiet disable "$unit" >/dev/null 2>&1 || say "left enabled: $unit" ;;
    esac
  done
}

enabled_units() { find /etc/systemd/system -type l -path '*.wants/*' -exec basename {} ';' 2>/dev/null; }

unpack_newer_engine() {
  [ ! -e "$newer/complete" ] || return 0
  has apt-get || die "apt-get is missing: the second Docker engine cannot be fetched"
  work=$testbed/fetch
  rm -rf "$work" "$newer"
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/sources" "$work/debs" "$work/tree"
  newer_source >"$work/sources/newer.sources"
  [ -s "$work/sources/newer.sources" ] || die "no Debian source found below /etc/apt to derive $newer_suite from"
  say "fetching Docker 26 from $newer_suite into $newer"
  private_apt update || die "the package lists of $newer_suite cannot be had"
  # shellcheck disable=SC2086 # a list of package names
  (cd "$work/debs" && private_apt download $newer_packages) || die "the packages of $newer_suite cannot be had"
  for deb in "$work"/debs/*.deb; do
    dpkg -x "$deb" "$work/tree"
  done
  mkdir -p "$newer/bin" "$newer/cli-plugins"
  for program in usr/sbin/dockerd usr/sbin/docker-proxy usr/bin/docker usr/bin/containerd usr/bin/containerd-shim-runc-v2; do
    mv "$work/tree/$program" "$newer/bin/"
  done
  mv "$work/tree/usr/libexec/docker/cli-plugins/"* "$newer/cli-plugins/"
  rm -rf "$work"
  "$newer/bin/dockerd" --version >/dev/null || die "the unpacked engine does not run on this machine"
  : >"$newer/complete"
}

# OpenRC beside systemd would change how this machine boots: its files go into a
# folder that only the machines of the tests see.
unpack_openrc() {
  [ ! -e "$testbed/openrc/complete" ] || return 0
  rm -rf "$testbed/openrc" "$testbed/fetch-openrc"
  mkdir -p "$testbed/openrc/usr" "$testbed/fetch-openrc"
  say "fetching OpenRC into $testbed/openrc"
  update_lists
  (cd "$testbed/fetch-openrc" && apt-get --quiet -o APT::Sandbox::User=root download openrc libeinfo1 librc1 >&2) ||
    die "the packages of OpenRC cannot be had"
  for deb in "$testbed"/fetch-openrc/*.deb; do
    dpkg -x "$deb" "$testbed/openrc"
  done
  # Where /sbin and /lib are links into /usr, these folders must not hide them.
  for folder in bin sbin lib; do
    [ ! -d "$testbed/openrc/$folder" ] || {
      cp -a "$testbed/openrc/$folder" "$testbed/openrc/usr/"
      rm -rf "${testbed:?}/openrc/$folder"
    }
  done
  rm -rf "$testbed/fetch-openrc"
  : >"$testbed/openrc/complete"
}

# apt with sources, lists and cache of its own: the machine's are not touched.
private_apt() {
  apt-get --quiet -o APT::Sandbox::User=root -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/sources" \
    -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" "$@" >&2
}

# The machine's own Debian entry with the suite replaced, in deb822 form.
newer_source() {
  # shellcheck source=/dev/null
  . /etc/os-release
  cat /etc/apt/sources.list.d/*.sources 2>/dev/null | awk -v own="${VERSION_CODENAME:?}" -v suite="$newer_suite" '
    BEGIN { RS = ""; FS = "\n" }
    !done && ("\n" $0) ~ ("\nSuites:[^\n]*[ \t]" own "([ \t\n]|$)") {
      for (i = 1; i <= NF; i++) {
        if ($i ~ /^Suites:/) print "Suites: " suite
        else if ($i !~ /^#/) print $i
      }
      done = 1
    }'
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | awk -v own="${VERSION_CODENAME:?}" -v suite="$newer_suite" '
    !done && /^deb / {
      options = ""
      if (match($0, /\[[^]]*\]/)) {
        options = substr($0, RSTART + 1, RLENGTH - 2)
        sub(/\[[^]]*\][ \t]*/, "")
      }
      if ($3 != own) next
      printf "\nTypes: deb\nURIs: %s\nSuites: %s\nComponents: main\n", $2, suite
      if (match(options, /signed-by=[^ ]+/)) print "Signed-By: " substr(options, RSTART + 10, RLENGTH - 10)
      done = 1
    }'
}

print_table() {
  row part found
  row ---- -----
  row 'Docker Engine (Debian)' "$(version_of dockerd --version)"
  row 'Docker Engine (26)' "$(version_of "$newer/bin/dockerd" --version)"
  row 'Docker CLI (26)' "$(version_of "$newer/bin/docker" --version)"
  row Compose "$(version_of "$newer/cli-plugins/docker-compose" version)"
  row Buildx "$(version_of "$newer/cli-plugins/docker-buildx" version)"
  row runc "$(version_of runc --version)"
  row Podman "$(version_of podman --version)"
  row iptables "$(version_of iptables --version)"
  row iproute2 "$(version_of ip -V)"
  row OpenRC "$([ ! -e "$testbed/openrc/complete" ] || echo "in $testbed/openrc")"
  row busybox "$(version_of busybox --help)"
  row PostgreSQL "$(version_of "$(postgres_program)" --version)"
  row Registry "$(version_of docker-registry --version)"
  row OpenLDAP "$(version_of slapd -VV)"
  row nginx "$(version_of nginx -v)"
  row HAProxy "$(version_of haproxy -v)"
  row Caddy "$(version_of caddy version)"
  row Apache "$(version_of apache2 -v)"
  row aiosmtpd "$(version_of aiosmtpd --version)"
  row Node.js "$(version_of node --version)"
  row Chromium "$(version_of chromium --version)"
}

row() { printf '%-24s %s\n' "$1" "$2"; }

version_of() {
  has "$1" || {
    echo 'not there'
    return
  }
  "$@" 2>&1 | head -n 1
}

main "$@"
