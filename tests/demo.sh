#!/bin/sh
# Shows Windflow on this machine: builds it, starts a hub with a throw-away
# folder, enrolls one agent over a real tunnel and prints what to try. Ctrl-C
# takes everything down again.
#
#   WINDFLOW_DEMO_PORT     another port than 8443
#   WINDFLOW_DEMO_PROFILE  release for a slower build of faster programs
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
port=${WINDFLOW_DEMO_PORT:-8443}
profile=${WINDFLOW_DEMO_PROFILE:-debug}
built=${CARGO_TARGET_DIR:-$root/target}/$profile
system_socket=/var/run/docker.sock
image=windflow/busybox
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
  build
  folder=$(mktemp -d "${TMPDIR:-/tmp}/windflow-demo-XXXXXX")
  trap take_down EXIT
  trap 'exit 0' INT TERM HUP
  choose_engine
  start_hub
  start_agent
  print_what_to_try
  wait_for_an_end
}

build() {
  say 'Building the hub and the agent ...'
  # As the tests build them, so that neither has to build again.
  case $profile in
    release) set -- --release --package windflow-hub --package windflow-agent ;;
    *) set -- --workspace --bins ;;
  esac
  (cd "$root" && cargo build --locked --quiet "$@") || die 'the build failed'
}

choose_engine() {
  if answers_ping "$system_socket"; then
    socket=$system_socket
    say "Docker: the engine of this machine, $system_socket"
    return
  fi
  [ "$(id -u)" -eq 0 ] || die 'no Docker engine answers here, and only root can start one: sudo make demo'
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
  tar -C "$folder/image" -c . | docker_at "unix://$socket" import --change 'CMD ["sh"]' - "$image" >/dev/null
}

start_hub() {
  say "Hub: https://127.0.0.1:$port, its data in $folder/hub"
  start hub "$built/windflow-hub" serve --data-dir "$folder/hub" --listen "127.0.0.1:$port" --engine "unix://$socket"
  wait_until 60 'the hub' hub environment list
  password=$(head -c 18 /dev/urandom | base64 | tr '+/' '-_')
  printf '%s' "$password" | hub user add demo --role administrator --password-stdin >/dev/null
  api_token=$(hub api-token create --user demo --print token)
}

hub() {
  "$built/windflow-hub" --data-dir "$folder/hub" "$@"
}

start_agent() {
  (umask 077 && hub token create demo --uses 1 --ttl 1h --print token >"$folder/token")
  "$built/windflow-agent" enroll --hub "https://127.0.0.1:$port" --token-file "$folder/token" \
    --state-dir "$folder/agent" --name edge >>"$folder/agent.log" 2>&1 ||
    die "the agent was not enrolled: $(tail -n 3 "$folder/agent.log")"
  start agent "$built/windflow-agent" run --state-dir "$folder/agent" --engine "unix://$socket"
  wait_until 30 'the agent to be online' edge_is_online
}

edge_is_online() {
  edge | grep -q '"state":"online"'
}

edge_id() {
  edge | sed 's/.*"id":"\([^"]*\)".*/\1/'
}

# What the list says of the agent, on a line of its own.
edge() {
  hub environment list --output json | tr -d ' \n' | sed 's/},{/}\n{/g' | grep '"name":"edge"'
}

print_what_to_try() {
  (umask 077 && mkdir "$folder/docker" &&
    printf '{"HttpHeaders":{"Authorization":"Bearer %s"}}\n' "$api_token" >"$folder/docker/config.json")
  say ''
  hub environment list
  say ''
  say 'Try, in another terminal:'
  say "  export DOCKER_CONFIG=$folder/docker"
  say "  export DOCKER_HOST=tcp://127.0.0.1:$port/api/v1/environments/$(edge_id)/engine"
  say '  docker ps'
  if [ "$socket" = "$system_socket" ]; then
    say '  docker run --rm -it debian sh'
  else
    say "  docker run --rm -it $image"
    say "(The throw-away engine has no network to pull from; $image is there.)"
  fi
  say ''
  say "The console: https://127.0.0.1:$port/ (its certificate is self-signed)"
  say "Signing in: user demo, password $password"
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
  # The newest first: the agent, the hub, the engine. The engine's namespaces
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
