#!/bin/sh
# Shows Windflow on this machine: starts a hub with a throw-away folder, enrolls
# one agent over a real tunnel and prints what to try, in the browser and with
# docker. Ctrl-C takes everything down again. Builds nothing: `make demo` does.
#
#   WINDFLOW_DEMO_PORT     another port than 8443
#   WINDFLOW_DEMO_PROFILE  release for the programs of a release build
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
port=${WINDFLOW_DEMO_PORT:-8443}
profile=${WINDFLOW_DEMO_PROFILE:-debug}
built=${CARGO_TARGET_DIR:-$root/target}/$profile
system_socket=/var/run/docker.sock
local_image=windflow/busybox
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
folder=
running=
engine=

say() { printf '%s\n' "$*"; }
die() {
  printf 'demo: %s\n' "$*" >&2
  exit 1
}

main() {
  find_programs
  folder=$(mktemp -d "${TMPDIR:-/tmp}/windflow-demo-XXXXXX")
  trap take_down EXIT
  trap 'exit 0' INT TERM HUP
  choose_engine
  start_hub
  start_agent
  connect_docker
  print_what_to_try
  wait_for_an_end
}

find_programs() {
  for program in windflow-hub windflow-agent; do
    [ -x "$built/$program" ] || die "$built/$program is not there: run \`make demo\`, which builds it first"
  done
}

choose_engine() {
  if answers_ping "$system_socket"; then
    socket=$system_socket
    image=busybox
    say "Docker: the engine of this machine, $system_socket"
    return
  fi
  [ "$(id -u)" -eq 0 ] || die 'no Docker engine answers here, and only root can start one: sudo tests/demo.sh'
  "$root/tests/setup.sh" demo || die 'the Docker engine could not be installed'
  socket=$folder/docker.sock
  say "Docker: this machine runs none, so a throw-away engine starts in $folder"
  mkdir "$folder/engine"
  start engine unshare --mount --net --pid --fork --kill-child=KILL --mount-proc \
    sh -c 'ip link set lo up 2>/dev/null || busybox ip link set lo up; exec "$@"' sh \
    dockerd --data-root "$folder/engine/data" --exec-root "$folder/engine/exec" \
    --pidfile "$folder/engine/pid" --host "unix://$socket" --cgroup-parent windflow-demo
  engine=${running%% *}
  wait_until 30 'the throw-away engine' answers_ping "$socket"
  load_image
  image=$local_image
}

answers_ping() {
  [ -S "$1" ] && docker_at "unix://$1" version >/dev/null 2>&1
}

docker_at() {
  host=$1
  shift
  command -v docker >/dev/null 2>&1 && DOCKER_HOST=$host timeout 10 docker "$@"
}

# One small image made from this machine's busybox: no registry is needed.
load_image() {
  mkdir -p "$folder/image/bin"
  cp "$(command -v busybox)" "$folder/image/bin/busybox"
  for name in $(busybox --list); do
    [ "$name" = busybox ] || ln -s busybox "$folder/image/bin/$name"
  done
  tar -C "$folder/image" -c . | docker_at "unix://$socket" import --change 'CMD ["sh"]' - "$local_image" >/dev/null
}

start_hub() {
  say "Hub: https://127.0.0.1:$port, its data in $folder/hub"
  start hub "$built/windflow-hub" serve --data-dir "$folder/hub" --listen "127.0.0.1:$port" --engine "unix://$socket"
  wait_until 60 'the hub' hub environment list
}

hub() {
  "$built/windflow-hub" --data-dir "$folder/hub" "$@"
}

start_agent() {
  (umask 077 && hub token create demo --uses 1 --ttl 1h --print token >"$folder/token" 2>>"$folder/agent.log")
  "$built/windflow-agent" enroll --hub "https://127.0.0.1:$port" --token-file "$folder/token" \
    --state-dir "$folder/agent" --name edge >>"$folder/agent.log" 2>&1 ||
    die "the agent was not enrolled: $(tail -n 3 "$folder/agent.log")"
  start agent "$built/windflow-agent" run --state-dir "$folder/agent" --engine "unix://$socket"
  wait_until 30 'both environments to be online' both_are_online
}

both_are_online() {
  [ "$(hub environment list --output json | grep -c '"state": *"online"')" -eq 2 ]
}

# A socket at which docker finds the edge's engine, through the hub and the
# tunnel. It needs no user: who may use the hub's own socket may use this one.
connect_docker() {
  start connect "$built/windflow-hub" --data-dir "$folder/hub" environment connect edge --socket "$folder/edge.sock"
  wait_until 30 'the socket of the edge' answers_ping "$folder/edge.sock"
}

# The code is made last, so that all of its 15 minutes are left.
print_what_to_try() {
  say ''
  hub environment list
  say ''
  say 'In the browser, create the first administrator:'
  say "  console     https://127.0.0.1:$port/ (its certificate is self-signed)"
  say "  setup code  $(hub setup-code)"
  say 'The code is valid for 15 minutes and works once. This prints a new one:'
  say "  $built/windflow-hub --data-dir $folder/hub setup-code"
  say ''
  say "On the command line, in another terminal as $(id -un), use the engine behind the agent:"
  say "  export DOCKER_HOST=unix://$folder/edge.sock"
  say '  docker ps'
  say "  docker run --rm -it $image sh"
  [ "$image" != "$local_image" ] || say "The throw-away engine has no network to pull from; $image is there."
  say ''
  say 'Ctrl-C takes everything down again.'
}

# start NAME COMMAND...: runs it with its own log and remembers its id. Ctrl-C
# reaches only this script; what it started dies with it, however it ends.
start() {
  name=$1
  shift
  setsid setpriv --pdeathsig KILL -- "$@" >"$folder/$name.log" 2>&1 </dev/null &
  running="$! $running"
}

# wait_until SECONDS WHAT COMMAND...
wait_until() {
  tries=$(($1 * 5))
  what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    for id in $running; do
      kill -0 "$id" 2>/dev/null || die "$what ended: $(tail -n 3 "$folder"/*.log)"
    done
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || die "waited too long for $what: $(tail -n 3 "$folder"/*.log)"
    sleep 0.2
  done
}

wait_for_an_end() {
  while :; do
    for id in $running; do
      kill -0 "$id" 2>/dev/null || die "one of the programs ended: $(tail -n 3 "$folder"/*.log)"
    done
    sleep 1
  done
}

take_down() {
  trap '' INT TERM HUP
  say ''
  say 'Taking everything down ...'
  # The newest first: the socket, the agent, the hub, the engine. The engine's namespaces
  # end with the process that made them, which takes no other signal.
  for id in $running; do
    [ "$id" != "$engine" ] || kill -KILL "$id" 2>/dev/null || true
    kill "$id" 2>/dev/null || continue
    tries=50
    while kill -0 "$id" 2>/dev/null && [ "$tries" -gt 0 ]; do
      tries=$((tries - 1))
      sleep 0.1
    done
    kill -KILL "$id" 2>/dev/null || true
    wait "$id" 2>/dev/null || true
  done
  find /sys/fs/cgroup -maxdepth 3 -depth -type d -path '*/windflow-demo*' -exec rmdir {} + 2>/dev/null || true
  [ -z "$folder" ] || rm -rf "$folder"
}

main "$@"
