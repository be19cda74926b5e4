#!/bin/sh
# Installs the Windflow agent, or a hub, as a service of this machine.
#
#   sh install.sh --hub URL --token-stdin    installs the agent and enrolls it
#   sh install.sh hub                        installs a hub
#   sh install.sh --help                     says the rest
#
# What is trusted: the table below, which the hub fills in when it serves this
# file, or the digest given with --sha256. An agent that is not one of these is
# never run and never installed, however it was fetched. Whoever runs this file
# must know where it is from: the command that `windflow-hub token create`
# prints checks that by this file's own digest.
#
# Everything is in functions, and only the last line calls one: a file that was
# cut off somewhere does nothing.
#
# shellcheck disable=SC2015 # `a && b || fail` is meant: either may fail
set -eu

# Lines of: platform, SHA-256, size in bytes.
AGENTS=''

# Where things go. Only BIN moves, when /usr/local cannot be written to.
BIN=/usr/local/bin
LIB=/usr/local/lib/windflow
ETC=/etc/windflow
STATE=/var/lib/windflow-agent
DATA=/var/lib/windflow-hub
MARK='# Written by the install.sh of Windflow and replaced by it.'

# Exit codes.
USAGE=64 PLATFORM=65 NOT_ROOT=66 DOWNLOAD=67 DISTRUST=68 CONFLICT=69 SERVICE=70 REFUSED=71 TIMEOUT=72 DISK=73

help() {
  cat <<'TEXT'
Usage: sh install.sh [agent] --hub URL (--token-stdin | --token-file FILE | --token TOKEN) [OPTION...]
       sh install.sh [agent | hub] --uninstall [--purge]
       sh install.sh --container --hub URL
       sh install.sh hub [OPTION...]

The agent:
  --hub URL           the hub's address; may be repeated
  --token-stdin       read the enrollment token from standard input
  --token-file FILE   read it from FILE, which is deleted once it has served
  --token TOKEN       the token; others on this machine may see it: prefer the two above
  --name NAME         this host's name at the hub; its host name if left out
  --label KEY=VALUE   a label of this host; may be repeated
  --transport WAY     auto, websocket or quic
  --proxy URL         an HTTP proxy on the way to the hub
  --engine ADDRESS    unix:///PATH or tcp://HOST:PORT; found by itself if left out
  --reenroll          replace the identity that this host has
  --sha256 DIGEST     the agent's SHA-256, for a copy of this script that no hub has filled in
  --agent-file FILE   install this agent instead of the hub's
  --require-docker    fail where no engine is found
  --allow-downgrade   replace a newer agent
  --no-wait           do not wait until the agent is connected
  --wait SECONDS      how long to wait for the hub, 30 if left out
  --container         print a compose file instead, and change nothing

The hub:
  --hub-file FILE     the program; the windflow-hub beside this script if left out
  --listen ADDR:PORT  0.0.0.0:8443 if left out
  --engine ADDRESS    unix:///PATH or none; found by itself if left out

Both:
  --adopt             take over files that this script did not put there
  --service KIND      systemd, openrc or none; found by itself if left out
  --dry-run           say what would be done, and change nothing
  --print-unit        print the service's file, and change nothing
  --porcelain         print one line RESULT key=value... at the end
  --uninstall         remove what this script installed; with --purge its identity or data too

Exit codes: 0 done, or nothing to do; 64 usage; 65 this platform; 66 not root; 67 download; 68 not the program that was
expected, or no way to know; 69 conflict with what is installed; 70 the service does not start; 71 the hub refused the
token; 72 not connected in time; 73 disk or permission.
TEXT
}

main() {
  # A trace would show the token.
  { set +x; } 2>/dev/null
  set -f
  umask 077
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  export PATH LC_ALL=C
  unset IFS CDPATH
  trap 'finish $?' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  parse "$@"
  # Nothing below reads what is left on standard input, least of all this file.
  [ "$token_from" = stdin ] || exec </dev/null
  case $action in
    container) print_compose ;;
    print-unit)
      listen=${listen:-0.0.0.0:8443}
      detect_service
      case $service in
        openrc) "${what}_openrc" ;;
        *) "${what}_unit" ;;
      esac
      ;;
    uninstall)
      need_root "$@"
      uninstall
      ;;
    *)
      need_root "$@"
      detect_service
      "install_$what"
      ;;
  esac
}

# --- the command line ---------------------------------------------------------

parse() {
  what=agent action=install hubs='' labels='' token_from='' token_file='' token='' name='' transport='' proxy=''
  engine='' reenroll='' sha256='' agent_file='' hub_file='' require_docker='' allow_downgrade='' wait=30 listen=''
  adopt='' service='' dry_run='' porcelain='' purge='' work='' secrets='' status=''
  [ $# -gt 0 ] || {
    help >&2
    exit $USAGE
  }
  case $1 in
    agent | hub)
      what=$1
      shift
      ;;
  esac
  while [ $# -gt 0 ]; do
    case $1 in
      --*=*)
        value=${1#*=} option=${1%%=*}
        shift
        set -- "$option" "$value" "$@"
        ;;
    esac
    case $1 in
      --hub | --token | --token-file | --name | --label | --transport | --proxy | --engine | --sha256 | --agent-file | \
        --hub-file | --listen | --wait | --service)
        [ $# -ge 2 ] || fail $USAGE "$1 needs a value"
        take "$1" "$2"
        shift 2
        ;;
      *)
        take_flag "$1"
        shift
        ;;
    esac
  done
  manifest=$ETC/$what.manifest
  check_arguments
}

take() {
  case $1 in
    --hub)
      harmless "$2" || fail $USAGE "that is no address of a hub: use --hub https://HOST:PORT"
      case $2 in
        https://?* | http://?*) hubs="$hubs ${2%/}" ;;
        *) fail $USAGE "the hub's address must begin with https:// or http://" ;;
      esac
      ;;
    --token) token=$2 token_from=argument ;;
    --token-file) token_file=$2 token_from=file ;;
    --name) name=$2 ;;
    --label)
      case $2 in
        *' '* | *'
'*) fail $USAGE "a label has no spaces" ;;
        ?*=*) labels="$labels $2" ;;
        *) fail $USAGE "a label is KEY=VALUE" ;;
      esac
      ;;
    --transport)
      case $2 in
        auto | websocket | quic) transport=$2 ;;
        *) fail $USAGE "--transport is auto, websocket or quic" ;;
      esac
      ;;
    --proxy) proxy=$2 ;;
    --engine)
      harmless "$2" || fail $USAGE "that is no address of an engine"
      case $2 in
        unix:///?* | tcp://?*:?* | none) engine=$2 ;;
        *) fail $USAGE "--engine is unix:///PATH or tcp://HOST:PORT" ;;
      esac
      ;;
    --sha256) sha256=$2 ;;
    --agent-file) agent_file=$2 ;;
    --hub-file) hub_file=$2 ;;
    --listen)
      harmless "$2" || fail $USAGE "that is nowhere to listen: use ADDRESS:PORT"
      listen=$2
      ;;
    --wait)
      case $2 in
        '' | *[!0-9]*) fail $USAGE "--wait is a number of seconds" ;;
      esac
      wait=$2
      ;;
    --service)
      case $2 in
        systemd | openrc | none) service=$2 ;;
        *) fail $USAGE "--service is systemd, openrc or none" ;;
      esac
      ;;
  esac
}

take_flag() {
  case $1 in
    --token-stdin) token_from=stdin ;;
    --reenroll) reenroll=yes ;;
    --require-docker) require_docker=yes ;;
    --allow-downgrade) allow_downgrade=yes ;;
    --no-wait) wait=0 ;;
    --adopt) adopt=yes ;;
    --dry-run) dry_run=yes ;;
    --porcelain) porcelain=yes ;;
    --purge) purge=yes ;;
    --uninstall) action=uninstall ;;
    --container) action=container ;;
    --print-unit) action=print-unit ;;
    -y | --non-interactive) ;; # It never asks.
    -h | --help)
      help
      exit 0
      ;;
    *) fail $USAGE "'$1' is not known; --help lists what is" ;;
  esac
}

check_arguments() {
  [ -z "$purge" ] || [ "$action" = uninstall ] || fail $USAGE "--purge belongs to --uninstall"
  if [ "$token_from" = stdin ] && ! script_is_file; then
    fail $USAGE "--token-stdin cannot be used while this script comes in on standard input: save it to a file first"
  fi
  if [ -n "$sha256" ]; then
    case $sha256 in
      *[!0-9a-f]*) fail $USAGE "--sha256 is 64 digits, 0 to 9 and a to f" ;;
    esac
    [ ${#sha256} -eq 64 ] || fail $USAGE "--sha256 is 64 digits, 0 to 9 and a to f"
  fi
}

# Whether nothing in $1 means something to a shell, to systemd or to OpenRC.
harmless() {
  case $1 in
    '' | *[!]A-Za-z0-9:/._~,@[-]*) return 1 ;;
  esac
}

script_is_file() { [ -f "$0" ] && [ -r "$0" ]; }

need_root() {
  [ "$(id -u)" -ne 0 ] || return 0
  [ -z "$dry_run" ] || return 0
  if has sudo && script_is_file; then
    trap - EXIT
    exec sudo -- sh "$0" "$@"
  fi
  fail $NOT_ROOT "root is needed: save this script to a file and run it with sudo, or as root"
}

# --- saying and ending --------------------------------------------------------

say() { printf 'windflow-install: %s\n' "$*" >&2; }
step() { say "$*"; }
has() { command -v "$1" >/dev/null 2>&1; }

fail() {
  code=$1
  shift
  say "$*"
  status=failed
  exit "$code"
}

# The end, whatever it is: nothing half-done stays behind.
finish() {
  trap - EXIT HUP INT TERM
  [ -z "$work" ] || rm -rf "$work"
  [ -z "$secrets" ] || rm -rf "$secrets"
  [ "$1" -ne 0 ] || status=${status:-done}
  [ -z "$porcelain" ] || printf 'RESULT status=%s code=%s what=%s service=%s\n' "${status:-failed}" "$1" "$what" "${service:-none}"
  exit "$1"
}

# --- this machine -------------------------------------------------------------

detect_platform() {
  system=$(uname -s) machine=$(uname -m)
  case $system-$machine in
    Linux-x86_64 | Linux-amd64) platform=linux-x86_64 ;;
    Linux-aarch64 | Linux-arm64) platform=linux-aarch64 ;;
    *) fail $PLATFORM "there is no agent for $system on $machine" ;;
  esac
}

# systemctl alone says nothing: it is in containers too.
detect_service() {
  [ -z "$service" ] || return 0
  if [ -d /run/systemd/system ]; then
    service=systemd
  elif [ -e /run/openrc/softlevel ] && has openrc-run; then
    service=openrc
  else
    service=none
  fi
}

detect_engine() {
  [ -n "$engine" ] || engine=$(recorded engine)
  if [ -z "$engine" ] && [ ! -S /var/run/docker.sock ] && [ -S /run/podman/podman.sock ]; then
    engine=unix:///run/podman/podman.sock
  fi
  case $engine in
    unix://*) engine_socket=${engine#unix://} ;;
    '') engine_socket=/var/run/docker.sock ;;
    none) fail $USAGE "an agent without an engine has nothing to carry" ;;
    *) return 0 ;;
  esac
  [ ! -S "$engine_socket" ] || return 0
  [ -z "$require_docker" ] || fail $PLATFORM "there is no engine at $engine_socket: install Docker first"
  say "no engine at $engine_socket yet; the agent will use it as soon as it is there"
}

# Chooses the folder for programs, on the file system where they will stay.
choose_bin() {
  kept=$(recorded bin)
  [ -z "$kept" ] || BIN=$kept
  mkdir -p "$BIN" 2>/dev/null && [ -w "$BIN" ] && probe "$BIN" && return 0
  [ -z "$kept" ] || fail $DISK "$BIN cannot be written to"
  BIN=/opt/windflow/bin LIB=/opt/windflow/lib
  mkdir -p "$BIN" 2>/dev/null && probe "$BIN" || fail $DISK "neither /usr/local nor /opt can be written to"
  chmod 755 /opt/windflow "$BIN"
}

# A read-only file system is writable by its mode bits.
probe() { (: >"$1/.windflow-install.probe") 2>/dev/null && rm -f "$1/.windflow-install.probe"; }

make_work() {
  # What a killed run left.
  find "$BIN" -maxdepth 1 -name '.windflow-install.*' -mmin +60 -exec rm -rf {} + 2>/dev/null || :
  work=$(mktemp -d "$BIN/.windflow-install.XXXXXX") || fail $DISK "$BIN cannot be written to"
}

# $1 bytes, three times over: the download, the new program and the one before.
need_room() {
  free=$(df -Pk "$BIN" | { read -r _ && read -r _ _ _ free _ && echo "$free"; }) || return 0
  [ $(($1 * 3 / 1024)) -le "$free" ] || fail $DISK "the disk is too full: $BIN needs $(($1 * 3 / 1024)) KiB and has $free KiB"
}

# --- the agent ----------------------------------------------------------------

install_agent() {
  detect_platform
  read_token
  choose_expected
  detect_engine
  check_conflicts
  if [ -n "$dry_run" ]; then
    plan
    plan_identity
    return 0
  fi
  choose_bin
  changed=
  check_foreign "$BIN/windflow-agent" "$(service_file windflow-agent)"
  make_work
  obtain_agent
  record agent
  place_agent
  enroll
  save_proxies
  write_service windflow-agent
  start_service windflow-agent
  await_connection
}

read_token() {
  case $token_from in
    stdin) IFS= read -r token || [ -n "$token" ] || fail $USAGE "there is no token on standard input" ;;
    file)
      # The run before has used it up.
      [ -e "$token_file" ] || [ ! -e "$STATE/identity/state.json" ] || return 0
      { IFS= read -r token <"$token_file"; } 2>/dev/null || [ -n "$token" ] || fail $USAGE "there is no token in $token_file"
      ;;
    '')
      token=${WINDFLOW_TOKEN-}
      unset WINDFLOW_TOKEN
      ;;
  esac
  exec </dev/null
  [ -n "$token" ] || return 0
  case $token in
    *[!A-Za-z0-9_]*) fail $USAGE "the token is not whole: it has letters, digits and _ only" ;;
    wfe1_*_*_*_* | WFE1_*_*_*_*) ;;
    *) fail $USAGE "that is no enrollment token: it begins with wfe1_" ;;
  esac
  token_id=${token#*_}
  token_id=$(printf %s "${token_id%%_*}" | tr '[:upper:]' '[:lower:]')
}

# The digest that the agent must have, from somewhere that counts.
choose_expected() {
  expected=$sha256 size=0
  [ -z "$expected" ] || return 0
  if [ -n "$agent_file" ]; then
    [ -f "$agent_file" ] || fail $USAGE "there is no file $agent_file"
    expected=$(digest_of "$agent_file")
    return 0
  fi
  [ -n "$AGENTS" ] || fail $DISTRUST "this copy of the script knows no agent's digest, so nothing that it fetched could" \
    "be trusted: use the command that the hub prints, or give --sha256 or --agent-file"
  expected=$(printf '%s\n' "$AGENTS" | while read -r on digest bytes; do
    [ "$on" != "$platform" ] || echo "$digest $bytes"
  done)
  [ -n "$expected" ] || fail $PLATFORM "this hub has no agent for $platform: its administrator can add one" \
    "(windflow-hub serve --agent-dir), or give --agent-file"
  size=${expected#* } expected=${expected% *}
}

check_conflicts() {
  enrolled=
  [ ! -e "$STATE/identity/state.json" ] || enrolled=yes
  must_enroll=
  if [ -z "$enrolled" ]; then
    [ -n "$token" ] || fail $USAGE "a token is needed: make one at the hub (windflow-hub token create) and use --token-stdin"
    must_enroll=yes
  elif [ -n "$token" ] && [ "$(recorded token)" != "$token_id" ]; then
    [ -n "$reenroll" ] || fail $CONFLICT "this host is enrolled already: leave the token out to upgrade the agent, or add" \
      "--reenroll to replace the host's identity"
    must_enroll=yes
  fi
  [ -z "$must_enroll" ] || [ -n "$hubs" ] || hubs=${WINDFLOW_HUB:+" $WINDFLOW_HUB"}
  [ -z "$must_enroll" ] || [ -n "$hubs" ] || fail $USAGE "the hub's address is needed: --hub https://HOST:PORT"
  [ -n "$hubs" ] || [ -n "$agent_file" ] || fail $USAGE "the hub's address is needed: --hub https://HOST:PORT"
}

# Files of these names that are somebody else's.
check_foreign() {
  [ -z "$adopt" ] || return 0
  for path in "$@"; do
    [ -e "$path" ] || [ -L "$path" ] || continue
    listed "$path" && continue
    fail $CONFLICT "$path was not put there by this script: remove it, or run again with --adopt"
  done
}

plan() {
  say "would install the $what for $platform, SHA-256 $expected, to $BIN"
  say "would run it as a service of $service"
  status=planned
}

plan_identity() {
  if [ -n "$must_enroll" ]; then
    say "would enroll this host at$hubs"
  else
    say "would keep this host's identity"
  fi
}

obtain_agent() {
  new=
  if [ -f "$BIN/windflow-agent" ] && [ "$(digest_of "$BIN/windflow-agent")" = "$expected" ]; then
    return 0
  fi
  new=$work/windflow-agent
  if [ -n "$agent_file" ]; then
    need_room "$(wc -c <"$agent_file")"
    cp "$agent_file" "$new" || fail $DISK "$agent_file cannot be copied to $BIN"
  else
    need_room "$size"
    first=${hubs# }
    first=${first%% *}
    step "fetching the agent from $first"
    fetch "$first/download/agent/$platform" "$new"
  fi
  [ "$(digest_of "$new")" = "$expected" ] || fail $DISTRUST "what was fetched is not the agent that was expected" \
    "(SHA-256 $expected): nothing was installed. Was the hub upgraded meanwhile? Then make a new command there"
  chmod 755 "$new"
  new_version=$("$new" --version 2>/dev/null) || fail $PLATFORM "the agent for $platform does not run on this machine"
  refuse_downgrade
}

refuse_downgrade() {
  [ -z "$allow_downgrade" ] && [ -x "$BIN/windflow-agent" ] || return 0
  old_version=$("$BIN/windflow-agent" --version 2>/dev/null) || return 0
  older "${new_version##* }" "${old_version##* }" || return 0
  fail $CONFLICT "this host has the newer $old_version, the hub has $new_version: upgrade the hub, or add --allow-downgrade"
}

# Whether version $1 comes before version $2.
older() {
  left=${1%%[-+]*}. right=${2%%[-+]*}.
  while [ -n "$left$right" ]; do
    a=${left%%.*} b=${right%%.*}
    case ${a:-0}${b:-0} in
      *[!0-9]*) return 1 ;;
    esac
    [ "${a:-0}" -eq "${b:-0}" ] || {
      [ "${a:-0}" -lt "${b:-0}" ]
      return
    }
    left=${left#*.} right=${right#*.}
  done
  return 1
}

place_agent() {
  [ -n "$new" ] || return 0
  step "installing $new_version to $BIN"
  place "$new" "$BIN/windflow-agent"
  changed=yes
}

# Puts the program $1 in the place of $2 in one step; the one before stays
# beside it.
place() {
  if [ -f "$2" ] && [ ! -L "$2" ]; then
    ln -f "$2" "$2.previous" 2>/dev/null || cp -p "$2" "$2.previous" || fail $DISK "$2 cannot be kept"
  fi
  chmod 755 "$1"
  mv -f "$1" "$2" || fail $DISK "$2 cannot be written"
  ! has restorecon || restorecon -F "$2" 2>/dev/null || :
}

enroll() {
  [ -n "$must_enroll" ] || return 0
  step "enrolling at$hubs"
  [ -z "$enrolled" ] || stop_service windflow-agent
  secrets=$(mktemp -d /run/windflow-install.XXXXXX 2>/dev/null) || secrets=$(mktemp -d "$work/secrets.XXXXXX")
  printf '%s\n' "$token" >"$secrets/token" || fail $DISK "the token cannot be handed to the agent"
  set -- enroll --state-dir "$STATE" --token-file "$secrets/token" --wait "$wait"
  for hub in $hubs; do set -- "$@" --hub "$hub"; done
  for label in $labels; do set -- "$@" --label "$label"; done
  [ -z "$name" ] || set -- "$@" --name "$name"
  [ -z "$transport" ] || set -- "$@" --transport "$transport"
  [ -z "$proxy" ] || set -- "$@" --proxy "$proxy"
  [ -z "$reenroll" ] || set -- "$@" --reenroll
  code=0
  "$BIN/windflow-agent" "$@" >&2 || code=$?
  case $code in
    0) ;;
    2) fail $USAGE "the token is not whole: copy all of it" ;;
    3) fail $REFUSED "the hub refused the token; its audit log says why. Make a new one there" ;;
    4) fail $TIMEOUT "the hub was not reached; run the same command again once it can be. Nothing is started yet" ;;
    5) fail $DISTRUST "whoever answered is not the hub that made the token: nothing was sent to it" ;;
    6) fail $CONFLICT "this host is enrolled already, or its state directory is in use" ;;
    *) fail 1 "the agent could not enroll (its exit code was $code)" ;;
  esac
  rm -rf "$secrets"
  secrets=
  [ "$token_from" != file ] || rm -f "$token_file"
  must_enroll=
  changed=yes
  record agent
}

# The proxies that brought the agent here are what its service will need.
save_proxies() {
  [ ! -e "$ETC/agent.env" ] && [ -z "$proxy" ] || return 0
  found=
  for variable in HTTPS_PROXY https_proxy HTTP_PROXY http_proxy ALL_PROXY all_proxy NO_PROXY no_proxy; do
    eval "value=\${$variable-}"
    [ -n "$value" ] || continue
    case $value in
      *[!]A-Za-z0-9:/._~,*@%[-]*) fail $USAGE "$variable has characters that no proxy needs" ;;
    esac
    found="$found$variable=$value
"
  done
  [ -n "$found" ] || return 0
  printf '%s' "$found" | put "$ETC/agent.env" 600
  changed=yes
}

await_connection() {
  if [ -z "$changed" ]; then
    say "no change: this host runs this agent already"
    status=unchanged
    return 0
  fi
  status=installed
  if [ "$service" = none ]; then
    say "no service manager was found. Have the agent run at every start by:"
    say "  $BIN/windflow-agent run${engine:+ --engine $engine}"
    return 0
  fi
  [ "$wait" -gt 0 ] || return 0
  step "waiting for the connection"
  waited=0
  while [ "$waited" -le "$wait" ]; do
    case $(agent_says state) in
      connected)
        say "connected. Its fingerprint, to compare with the hub's: $(agent_says fingerprint_words)"
        return 0
        ;;
      pending)
        say "an administrator of the hub has to approve this host. Its fingerprint there must be: $(agent_says fingerprint_words)"
        status=pending
        return 0
        ;;
      refused | quarantined) break ;;
    esac
    sleep 1
    waited=$((waited + 1))
  done
  "$BIN/windflow-agent" status >&2 || :
  fail $TIMEOUT "the agent is installed and running, but not connected; it goes on trying. See: windflow-agent doctor"
}

agent_says() { "$BIN/windflow-agent" status --output json 2>/dev/null | sed -n "s/^ *\"$1\": \"\([^\"]*\)\".*/\1/p" | head -n 1; }

# --- fetching and checking ----------------------------------------------------

# $1 to the file $2. Certificates are not looked at on purpose: what is fetched
# counts only if it has the expected digest.
fetch() {
  try=1
  while :; do
    code=0
    fetch_once "$1" "$2" || code=$?
    [ $code -ne 0 ] || return 0
    [ $code -ne $DISK ] || fail $DISK "the disk is full, or $BIN cannot be written to"
    [ $try -lt 3 ] || fail $DOWNLOAD "$1 cannot be fetched: check the address, the port and proxies on the way"
    sleep $try
    try=$((try + 1))
  done
}

fetch_once() {
  [ -z "$proxy" ] || export https_proxy="$proxy" http_proxy="$proxy"
  code=0
  if has curl; then
    curl -fsS --insecure --proto =http,https --connect-timeout 10 --max-time 300 -o "$2" "$1" || code=$?
    [ $code -ne 23 ] || return $DISK
  elif has wget; then
    # The -T of busybox's wget crashes with https.
    bounded wget -q --no-check-certificate -O "$2" "$1" || code=$?
    room_left || return $DISK
  else
    fail $DOWNLOAD "neither curl nor wget is here: install one of them, or give --agent-file"
  fi
  return $code
}

bounded() {
  if has timeout; then timeout 300 "$@"; else "$@"; fi
}

room_left() { (printf '%4096s' . >"$work/room") 2>/dev/null && rm -f "$work/room"; }

digest_of() {
  if has sha256sum; then
    sha256sum <"$1" | cut -c 1-64
  elif has shasum; then
    shasum -a 256 <"$1" | cut -c 1-64
  elif has openssl; then
    openssl dgst -sha256 -r <"$1" | cut -c 1-64
  else
    fail $DISTRUST "nothing here computes SHA-256: install sha256sum or openssl"
  fi
}

# --- what was installed -------------------------------------------------------

# The manifest's value of $1, from the run before.
recorded() { [ ! -f "$manifest" ] || sed -n "s/^$1 //p" "$manifest" | head -n 1; }
listed() { [ -f "$manifest" ] && grep -q -F -x "file $1" "$manifest"; }

# Writes the manifest anew, before the first file that it names is there.
record() {
  mkdir -p "$ETC" && chmod 755 "$ETC" || fail $DISK "$ETC cannot be made"
  {
    echo "# What install.sh put here. Read by --uninstall and by windflow-agent uninstall."
    echo "service $service"
    echo "bin $BIN"
    "record_$1"
  } | put "$manifest" 644
}

# Standard input becomes the file $1 with mode $2, in one step. Fails where it
# says so already.
put() {
  cat >"$1.new" && chmod "$2" "$1.new" || fail $DISK "$1 cannot be written"
  if [ -f "$1" ] && [ "$(digest_of "$1")" = "$(digest_of "$1.new")" ]; then
    rm -f "$1.new"
  else
    mv -f "$1.new" "$1" || fail $DISK "$1 cannot be written"
  fi
}

record_agent() {
  # A token is on record before it is used, unless it replaces an identity: a
  # run that was cut off can then be repeated.
  kept=$(recorded token)
  [ -z "$token" ] || [ -n "$must_enroll" ] && [ -n "$enrolled" ] || kept=$token_id
  [ -z "$kept" ] || echo "token $kept"
  [ -z "$engine" ] || echo "engine $engine"
  echo "file $BIN/windflow-agent"
  echo "file $BIN/windflow-agent.previous"
  [ "$service" = none ] || echo "file $(service_file windflow-agent)"
  echo "config $ETC/agent.env"
  echo "state $STATE"
}

uninstall() {
  case $what in
    agent) kept_state=$STATE ;;
    hub) kept_state=$DATA ;;
  esac
  if [ -n "$dry_run" ]; then
    plan_removal
    return 0
  fi
  status=uninstalled
  if [ ! -f "$manifest" ]; then
    say "nothing is installed here by this script"
    [ -z "$purge" ] || purge_state
    return 0
  fi
  service=$(recorded service)
  BIN=$(recorded bin)
  stop_service "windflow-$what"
  disable_service "windflow-$what"
  sed -n 's/^file //p' "$manifest" | while read -r path; do rm -f "$path" "$path.new"; done
  sed -n 's/^folder //p' "$manifest" | while read -r path; do rmdir "$path" 2>/dev/null || :; done
  [ "$service" != systemd ] || ! has systemctl || systemctl daemon-reload || :
  find "$BIN" -maxdepth 1 -name '.windflow-install.*' -exec rm -rf {} + 2>/dev/null || :
  [ -z "$purge" ] || purge_state
  rm -f "$manifest" "$manifest.new" "$ETC/$what.env.new"
  rmdir "$ETC" 2>/dev/null || :
  [ "$BIN" != /opt/windflow/bin ] || rmdir "$BIN" "${BIN%/*}" 2>/dev/null || :
  say "the $what is removed"
  [ -n "$purge" ] || say "its state is kept in $kept_state; --uninstall --purge removes that too"
  [ "$what" = hub ] || say "the hub still lists this host: windflow-hub environment remove NAME"
}

plan_removal() {
  status=planned
  if [ -f "$manifest" ]; then
    service=$(recorded service)
    say "would stop the service windflow-$what and remove:"
    sed -n 's/^file /  /p' "$manifest" >&2
  else
    say "nothing is installed here by this script"
  fi
  if [ -n "$purge" ]; then
    say "would remove $kept_state with all that is in it"
  else
    say "would keep $kept_state"
  fi
}

purge_state() {
  rm -rf "$kept_state"
  rm -f "$ETC/$what.env"
  user=$(recorded user)
  [ -z "$user" ] || userdel "$user" 2>/dev/null || deluser "$user" 2>/dev/null || say "the user $user could not be removed"
  rmdir "$ETC" 2>/dev/null || :
}

# --- services -----------------------------------------------------------------

service_file() {
  case $service in
    systemd) echo "/etc/systemd/system/$1.service" ;;
    openrc) echo "/etc/init.d/$1" ;;
  esac
}

write_service() {
  [ "$service" != none ] || return 0
  file=$(service_file "$1")
  before=$([ ! -f "$file" ] || digest_of "$file")
  mkdir -p "${file%/*}"
  case $service in
    systemd) "${what}_unit" | put "$file" 644 ;;
    openrc) "${what}_openrc" | put "$file" 755 ;;
  esac
  [ "$before" = "$(digest_of "$file")" ] || {
    changed=yes
    [ "$service" != systemd ] || systemctl daemon-reload || fail $SERVICE "systemd does not read $file"
  }
}

start_service() {
  case $service in
    systemd)
      systemctl --quiet enable "$1" 2>/dev/null || fail $SERVICE "systemd does not enable $1"
      [ -n "$changed" ] || ! systemctl --quiet is-active "$1" || return 0
      step "starting the service $1"
      systemctl restart "$1" || {
        journalctl -u "$1" -n 30 --no-pager -o cat >&2 2>/dev/null || :
        fail $SERVICE "the service $1 does not start: its last words are above"
      }
      ;;
    openrc)
      rc-update -q add "$1" default 2>/dev/null || fail $SERVICE "OpenRC does not enable $1"
      [ -n "$changed" ] || ! rc-service -q "$1" status >/dev/null 2>&1 || return 0
      step "starting the service $1"
      rc-service -q "$1" restart >&2 || {
        tail -n 30 "/var/log/$1.log" >&2 2>/dev/null || :
        fail $SERVICE "the service $1 does not start: its last words are above"
      }
      ;;
    none) return 0 ;;
  esac
  changed=yes
}

stop_service() {
  case $service in
    systemd) ! has systemctl || systemctl stop "$1" 2>/dev/null || : ;;
    openrc) ! has rc-service || rc-service -q "$1" stop >/dev/null 2>&1 || : ;;
  esac
}

disable_service() {
  case $service in
    systemd)
      ! has systemctl || systemctl --quiet disable "$1" 2>/dev/null || :
      ! has systemctl || systemctl reset-failed "$1" 2>/dev/null || :
      ;;
    openrc)
      ! has rc-update || rc-update -q del "$1" default >/dev/null 2>&1 || :
      rm -f "/var/log/$1.log"
      ;;
  esac
}

# The agent runs as root without a single capability: whoever may use the
# engine's socket is root on this machine anyway, and root owns that socket.
agent_unit() {
  capabilities='' home=yes
  case ${engine_socket-} in
    # Somebody else's engine, in a folder that only they can enter.
    /run/user/* | /home/*) capabilities=CAP_DAC_OVERRIDE home=read-only ;;
  esac
  cat <<UNIT
$MARK
# Changes belong into a drop-in: systemctl edit windflow-agent
[Unit]
Description=Windflow agent
Wants=network-online.target docker.service
After=network-online.target docker.service
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=$BIN/windflow-agent run${engine:+ --engine $engine}
EnvironmentFile=-$ETC/agent.env
StateDirectory=windflow-agent
StateDirectoryMode=0700
UMask=0077
Restart=always
RestartSec=2
# 6: not enrolled, copied from another machine, or running already
RestartPreventExitStatus=6
WatchdogSec=60
TimeoutStopSec=10
LimitNOFILE=65536
MemoryMax=512M
TasksMax=256
NoNewPrivileges=yes
CapabilityBoundingSet=$capabilities
$(hardening $home)

[Install]
WantedBy=multi-user.target
UNIT
}

hub_unit() {
  cat <<UNIT
$MARK
# Changes belong into $ETC/hub.env, or a drop-in: systemctl edit windflow-hub
[Unit]
Description=Windflow hub
Wants=network-online.target
After=network-online.target docker.service postgresql.service
StartLimitIntervalSec=0

[Service]
User=windflow
Group=windflow
${docker_group:+SupplementaryGroups=$docker_group
}ExecStart=$BIN/windflow-hub serve --listen $listen${engine:+ --engine $engine}
EnvironmentFile=-$ETC/hub.env
StateDirectory=windflow-hub
StateDirectoryMode=0700
UMask=0077
Restart=always
RestartSec=2
TimeoutStopSec=45
LimitNOFILE=65536
TasksMax=4096
NoNewPrivileges=yes
CapabilityBoundingSet=$(low_port)
AmbientCapabilities=$(low_port)
$(hardening yes)

[Install]
WantedBy=multi-user.target
UNIT
}

# Ports below 1024 are the only thing for which a hub needs a privilege.
low_port() {
  [ "${listen##*:}" -ge 1024 ] 2>/dev/null || echo CAP_NET_BIND_SERVICE
}

hardening() {
  cat <<UNIT
ProtectSystem=strict
ProtectHome=$1
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UNIT
}

agent_openrc() {
  cat <<SCRIPT
#!/sbin/openrc-run
$MARK
description="Windflow agent"
supervisor=supervise-daemon
command=$BIN/windflow-agent
command_args="run${engine:+ --engine $engine}"
respawn_delay=2
respawn_max=0
output_log=/var/log/windflow-agent.log
error_log=/var/log/windflow-agent.log
umask=077
set -a
[ ! -r $ETC/agent.env ] || . $ETC/agent.env
set +a
depend() {
  use net dns docker
  after firewall
}
start_pre() {
  checkpath --directory --mode 0700 $STATE
  checkpath --file --mode 0600 /var/log/windflow-agent.log
}
SCRIPT
}

hub_openrc() {
  cat <<SCRIPT
#!/sbin/openrc-run
$MARK
description="Windflow hub"
supervisor=supervise-daemon
command=$BIN/windflow-hub
command_args="serve --listen $listen${engine:+ --engine $engine}"
command_user=windflow:windflow
respawn_delay=2
respawn_max=0
output_log=/var/log/windflow-hub.log
error_log=/var/log/windflow-hub.log
umask=077
set -a
[ ! -r $ETC/hub.env ] || . $ETC/hub.env
set +a
depend() {
  use net dns docker postgresql
  after firewall
}
start_pre() {
  checkpath --directory --mode 0700 --owner windflow:windflow $DATA
  checkpath --file --mode 0600 --owner windflow:windflow /var/log/windflow-hub.log
}
SCRIPT
}

# --- containers ---------------------------------------------------------------

print_compose() {
  [ -n "$hubs" ] || fail $USAGE "the hub's address is needed: --hub https://HOST:PORT"
  hub_arguments=''
  for hub in $hubs; do hub_arguments="$hub_arguments, \"--hub\", \"$hub\""; done
  status=printed
  say "save this as compose.yaml, the token beside it as windflow-token (mode 0600), and run: docker compose up -d"
  say "the image is made from the project's Dockerfile: docker build --target agent --tag windflow-agent ."
  cat <<COMPOSE
services:
  windflow-agent:
    image: windflow-agent
    restart: unless-stopped
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    # The token is used at the first start only.
    command: ["run", "--state-dir", "/state"$hub_arguments, "--token-file", "/run/secrets/windflow-token"]
    secrets: [windflow-token]
    volumes:
      - ${engine_socket:-/var/run/docker.sock}:/var/run/docker.sock
      # The host's identity. Without this volume each new container is a new host.
      - state:/state
secrets:
  windflow-token:
    file: ./windflow-token
volumes:
  state:
COMPOSE
}

# --- the hub ------------------------------------------------------------------

install_hub() {
  detect_platform
  [ -n "$listen" ] || listen=$(recorded listen)
  [ -n "$listen" ] || listen=0.0.0.0:8443
  [ -n "$engine" ] || engine=$(recorded engine)
  find_hub
  docker_group=''
  [ "$engine" = none ] || [ ! -S /var/run/docker.sock ] || docker_group=$(stat -c %G /var/run/docker.sock)
  [ "$docker_group" != root ] && [ "$docker_group" != UNKNOWN ] || docker_group=''
  if [ -n "$dry_run" ]; then
    expected=$(digest_of "$hub_file")
    plan
    return 0
  fi
  choose_bin
  changed=
  check_foreign "$BIN/windflow-hub" "$LIB/windflow-hub" "$(service_file windflow-hub)"
  make_work
  make_user
  record hub
  place_hub
  write_service windflow-hub
  start_service windflow-hub
  await_hub
}

find_hub() {
  beside=.
  ! script_is_file || beside=$(dirname -- "$0")
  for place in "$hub_file" "$beside/windflow-hub" "$beside/target/release/windflow-hub"; do
    [ -n "$place" ] && [ -f "$place" ] || continue
    hub_file=$place
    return 0
  done
  fail $USAGE "windflow-hub is not beside this script: build it (make build), or say where it is with --hub-file"
}

make_user() {
  made_user=$(recorded user)
  id windflow >/dev/null 2>&1 && return 0
  step "making the user windflow"
  if has useradd; then
    useradd --system --user-group --home-dir "$DATA" --no-create-home --shell /usr/sbin/nologin windflow
  else
    addgroup -S windflow && adduser -S -D -H -h "$DATA" -s /sbin/nologin -G windflow windflow
  fi >&2 || fail $DISK "the user windflow cannot be made"
  made_user=windflow
}

record_hub() {
  [ -z "$made_user" ] || echo "user $made_user"
  echo "listen $listen"
  [ -z "$engine" ] || echo "engine $engine"
  for file in "$BIN/windflow-hub" "$LIB/windflow-hub" "$LIB/windflow-hub.previous"; do echo "file $file"; done
  for on in linux-x86_64 linux-aarch64; do
    echo "file $LIB/agents/$on/windflow-agent"
    echo "file $LIB/agents/$on/windflow-agent.previous"
    echo "folder $LIB/agents/$on"
  done
  echo "folder $LIB/agents"
  echo "folder $LIB"
  [ "$service" = none ] || echo "file $(service_file windflow-hub)"
  echo "config $ETC/hub.env"
  echo "state $DATA"
}

place_hub() {
  need_room "$(wc -c <"$hub_file")"
  place_copy "$hub_file" "$LIB/windflow-hub"
  [ -L "$BIN/windflow-hub" ] && [ "$(readlink "$BIN/windflow-hub")" = "$LIB/windflow-hub" ] || {
    rm -f "$BIN/windflow-hub"
    ln -s "$LIB/windflow-hub" "$BIN/windflow-hub" || fail $DISK "$BIN cannot be written to"
  }
  from=$(dirname -- "$hub_file")
  for on in linux-x86_64 linux-aarch64; do
    if [ -f "$from/agents/$on/windflow-agent" ]; then
      place_copy "$from/agents/$on/windflow-agent" "$LIB/agents/$on/windflow-agent"
    elif [ "$on" = "$platform" ] && [ -f "$from/windflow-agent" ]; then
      place_copy "$from/windflow-agent" "$LIB/agents/$on/windflow-agent"
    fi
  done
  [ -d "$LIB/agents" ] || say "no windflow-agent beside $hub_file: this hub will have no agent to hand out"
}

place_copy() {
  if [ -f "$2" ] && [ "$(digest_of "$1")" = "$(digest_of "$2")" ]; then
    return 0
  fi
  mkdir -p "${2%/*}" && chmod 755 "$LIB" "${2%/*}" || fail $DISK "${2%/*} cannot be made"
  [ ! -d "$LIB/agents" ] || chmod 755 "$LIB/agents"
  step "installing $2"
  cp "$1" "$work/copy" || fail $DISK "the disk is full, or $BIN cannot be written to"
  place "$work/copy" "$2"
  changed=yes
}

await_hub() {
  status=installed
  [ -n "$changed" ] || {
    say "no change: this machine runs this hub already"
    status=unchanged
    return 0
  }
  if [ "$service" = none ]; then
    say "no service manager was found. Have the hub run at every start, as the user windflow, by:"
    say "  $BIN/windflow-hub serve --listen $listen${engine:+ --engine $engine}"
    return 0
  fi
  [ "$wait" -gt 0 ] || return 0
  step "waiting for the hub"
  waited=0
  until "$BIN/windflow-hub" --data-dir "$DATA" health >/dev/null 2>&1; do
    [ "$waited" -lt "$wait" ] || {
      hub_log | tail -n 30 >&2
      fail $TIMEOUT "the hub is installed, but not ready; its last words are above. See: windflow-hub doctor"
    }
    sleep 1
    waited=$((waited + 1))
  done
  say "the hub is ready: https://$(uname -n):${listen##*:}"
  for address in $(hostname -I 2>/dev/null); do
    case $address in
      *:*) ;;
      *) say "  or https://$address:${listen##*:}" ;;
    esac
  done
  show_certificate
  # There is a code only until the hub has its first user.
  code=$("$BIN/windflow-hub" --data-dir "$DATA" setup-code 2>/dev/null) || code=''
  if [ -n "$code" ]; then
    say "set it up there with the code $code, or run: windflow-hub user add NAME --role administrator --password-stdin"
  fi
}

# What a browser shows of a certificate that it does not know.
show_certificate() {
  [ -f "$DATA/tls/cert.pem" ] && has base64 || return 0
  ! grep -q '^WINDFLOW_TLS_CERT=' "$ETC/hub.env" 2>/dev/null || return 0
  digest=$(sed '/^-----/d' "$DATA/tls/cert.pem" | base64 -d | sha256sum) || return 0
  say "its certificate is self-signed, so browsers warn of it; its SHA-256 fingerprint is ${digest%% *}"
}

hub_log() {
  case $service in
    systemd) journalctl -u windflow-hub -n 200 --no-pager -o cat 2>/dev/null ;;
    openrc) tail -n 200 /var/log/windflow-hub.log 2>/dev/null ;;
  esac || :
}

main "$@"
