#!/usr/bin/env bash
# A Ray cluster on machines that you reach by SSH. From the repository's root:
#
#   cluster/machines.sh start HEAD [WORKER ...]      # installs nothing: each machine has raysweep in ~/env (see docs)
#   cluster/machines.sh stop  HEAD [WORKER ...]
#
# Names are as ssh takes them (user@host). Ray listens on the machines' own network, which should be closed to others; every port
# asks for the token in ~/.ray/auth_token, which is made here where there is none, and copied to each machine over SSH. The
# dashboard listens on the head's loopback.
set -euo pipefail

SSH=${SSH:-ssh -o BatchMode=yes}
VENV=${VENV:-env}                        # in the home of each machine
PORT=${PORT:-6379}
DASHBOARD=${DASHBOARD:-8265}
TEMP=${TEMP:-/tmp/ray}
MARK=RAYSWEEP_CLUSTER=$TEMP:$PORT
OPTIONS=${OPTIONS:-}                     # further ones of `ray start`, such as --num-gpus=4

usage() {
  echo "usage: cluster/machines.sh start|stop HEAD [WORKER ...]" >&2
  exit 2
}

on() {                                   # on MACHINE: runs the script on standard input there
  # shellcheck disable=SC2086  # SSH is a command with options
  $SSH "$1" bash -s
}

prepare() {
  printf 'umask 077; mkdir -p ~/.ray; cat > ~/.ray/auth_token <<"TOKEN"\n%s\nTOKEN\nchmod 600 ~/.ray/auth_token\n' "$token" | on "$1"
}

start() {
  if [ ! -s ~/.ray/auth_token ]; then
    (umask 077; mkdir -p ~/.ray; head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > ~/.ray/auth_token)
  fi
  chmod 600 ~/.ray/auth_token
  token=$(cat ~/.ray/auth_token)
  for machine in "$@"; do prepare "$machine"; done
  local head=$1 address
  shift
  # The address that the workers see: the first of the head's that is no loopback.
  address=${ADDRESS:-$(echo 'hostname -I' | on "$head" | awk '{print $1}')}
  common=". ~/$VENV/bin/activate; export $MARK RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0; ulimit -n 65536 2>/dev/null || true"
  echo "$common; ray start --head --node-ip-address=$address --port=$PORT --dashboard-host=127.0.0.1 \
--dashboard-port=$DASHBOARD --temp-dir=$TEMP $OPTIONS" | on "$head"
  for machine in "$@"; do
    echo "$common; ray start --address=$address:$PORT --temp-dir=$TEMP $OPTIONS" | on "$machine"
  done
  cat <<TEXT

The cluster runs. From here:
  ssh -N -L $DASHBOARD:127.0.0.1:$DASHBOARD $head &
  raysweep doctor SPACE --address http://127.0.0.1:$DASHBOARD
  raysweep submit SPACE --address http://127.0.0.1:$DASHBOARD
TEXT
}

stop() {
  local head=$1
  shift
  for machine in "$@" "$head"; do        # the head last
    # Processes of this cluster alone, by what they were started with: `ray stop` would end every Ray of the machine.
    on "$machine" <<STOP
tree() { for pid in "\$@"; do echo "\$pid"; tree \$(pgrep -P "\$pid"); done; }
pids=\$(tree \$(grep -slF "$MARK" /proc/[0-9]*/environ | cut -d/ -f3))
kill \$pids 2>/dev/null || true
for _ in 1 2 3 4 5 6 7 8 9 10; do
  kill -0 \$pids 2>/dev/null || exit 0
  sleep 1
done
kill -9 \$pids 2>/dev/null || true
STOP
  done
}

[ $# -ge 2 ] || usage
command=$1
shift
case $command in
  start) start "$@" ;;
  stop) stop "$@" ;;
  *) usage ;;
esac
