#!/usr/bin/env bash
# MLflow's server with a PostgreSQL database on this machine, by plain processes: no root, no container, no systemd.
#
#   cluster/mlflow.sh FOLDER                  # runs until ctrl-c; the same command goes on with what is in FOLDER
#
# Both listen on the loopback address alone, on PORT (5000) and DATABASE_PORT (5432). Other machines reach MLflow by a tunnel
# (ssh -L 5000:127.0.0.1:5000 HOST).
# Needs PostgreSQL's programs (apt-get install postgresql, or PGBIN) and raysweep[cluster] (VENV, else .venv).
set -euo pipefail

if [ $# -ne 1 ]; then
  echo "usage: cluster/mlflow.sh FOLDER" >&2
  exit 2
fi
PORT=${PORT:-5000}
DATABASE_PORT=${DATABASE_PORT:-5432}
PGBIN=${PGBIN:-$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)}
VENV=${VENV:-.venv}
if [ ! -x "$PGBIN/initdb" ]; then
  echo "mlflow.sh: no initdb in '$PGBIN': install PostgreSQL (apt-get install postgresql), or name its programs' folder as PGBIN" >&2
  exit 1
fi
if [ "$(id -u)" = 0 ]; then
  echo "mlflow.sh: PostgreSQL refuses to run as root: run this as another user" >&2
  exit 1
fi
if [ ! -x "$VENV/bin/mlflow" ]; then
  echo "mlflow.sh: no mlflow in '$VENV/bin': install raysweep[cluster] there, or name the environment's folder as VENV" >&2
  exit 1
fi
listens() { (: > "/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
for name in PORT DATABASE_PORT; do
  if listens "${!name}"; then
    echo "mlflow.sh: something listens on port ${!name} already: give another one as $name" >&2
    exit 1
  fi
done

umask 077
mkdir -p "$1"
folder=$(cd "$1" && pwd)
if [ ! -s "$folder/password" ]; then
  head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$folder/password"
fi
if [ ! -f "$folder/database/PG_VERSION" ]; then
  "$PGBIN/initdb" --pgdata="$folder/database" --username=mlflow --pwfile="$folder/password" \
    --auth-local=scram-sha-256 --auth-host=scram-sha-256 --encoding=UTF8 --locale=C > "$folder/initdb.log"
fi
export PGPASSWORD
PGPASSWORD=$(cat "$folder/password")

pids=()
# shellcheck disable=SC2329  # the trap calls it
finish() {
  trap - EXIT
  # MLflow first, then the database, by the fast way: connections are ended, everything is written.
  if [ ${#pids[@]} -gt 1 ]; then kill -TERM "${pids[1]}" 2>/dev/null || true; wait "${pids[1]}" 2>/dev/null || true; fi
  if [ ${#pids[@]} -gt 0 ]; then kill -INT "${pids[0]}" 2>/dev/null || true; wait "${pids[0]}" 2>/dev/null || true; fi
}
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
trap 'exit 129' HUP
ended() {
  echo "mlflow.sh: $1 has ended; see $2:" >&2
  tail -n 5 "$2" >&2
  exit 1
}

"$PGBIN/postgres" -D "$folder/database" -p "$DATABASE_PORT" -c listen_addresses=127.0.0.1 \
  -c unix_socket_directories= >> "$folder/database.log" 2>&1 &
pids+=($!)
until "$PGBIN/pg_isready" --quiet --host=127.0.0.1 --port="$DATABASE_PORT" --username=mlflow; do
  kill -0 "${pids[0]}" 2>/dev/null || ended PostgreSQL "$folder/database.log"
  sleep 0.5
done
there=$("$PGBIN/psql" --host=127.0.0.1 --port="$DATABASE_PORT" --username=mlflow --dbname=postgres --tuples-only --no-align \
  --command="select 1 from pg_database where datname = 'mlflow'")
if [ -z "$there" ]; then
  "$PGBIN/createdb" --host=127.0.0.1 --port="$DATABASE_PORT" --username=mlflow mlflow
fi

export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
export MLFLOW_BACKEND_STORE_URI="postgresql://mlflow:$PGPASSWORD@127.0.0.1:$DATABASE_PORT/mlflow"
"$VENV/bin/mlflow" server --host 127.0.0.1 --port "$PORT" --workers 2 \
  --artifacts-destination "$folder/artifacts" >> "$folder/mlflow.log" 2>&1 &
pids+=($!)
until listens "$PORT"; do
  kill -0 "${pids[1]}" 2>/dev/null || ended MLflow "$folder/mlflow.log"
  sleep 0.5
done
echo "MLflow: http://127.0.0.1:$PORT (in a search space: tracking.uri); logs in $folder"
wait -n "${pids[@]}" || true
if kill -0 "${pids[0]}" 2>/dev/null; then ended MLflow "$folder/mlflow.log"; fi
ended PostgreSQL "$folder/database.log"
