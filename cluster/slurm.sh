#!/usr/bin/env bash
# One sweep as a Slurm job: a Ray cluster on the job's nodes for as long as it runs. From the repository's root:
#
#   sbatch --nodes=2 cluster/slurm.sh search_spaces/quickstart.yaml storage=/scratch/$USER/quickstart ...
#
# `storage` and `data.store` have to be on a file system that all nodes share, or at a URI. The sweep ends with everything saved
# two minutes before its time is over, or on `scancel --signal=TERM --batch JOB`; the same sbatch goes on with what is left.
#SBATCH --job-name=raysweep
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --open-mode=append
#SBATCH --output=raysweep-%j.log
##SBATCH --gpus-per-node=4

set -euo pipefail

if [ $# -eq 0 ]; then
  echo "usage: sbatch cluster/slurm.sh SPACE [key=value ...]" >&2
  exit 2
fi

# The environment that has raysweep: VENV, else .venv beside this job's working directory.
# shellcheck disable=SC1091
. "${VENV:-.venv}/bin/activate"

# A token of this job alone; a node is shared with others, and whoever reaches Ray without one runs programs as you.
umask 077
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname -I | awk '{print $1}')
# Ports from the job's number, so that two jobs on one node do not meet.
port=$((20000 + SLURM_JOB_ID % 20000))
folder=${TMPDIR:-/tmp}/ray-$SLURM_JOB_ID
resources=(--num-cpus="${SLURM_CPUS_PER_TASK:-1}")
if [ -n "${SLURM_GPUS_ON_NODE:-}" ]; then
  resources+=(--num-gpus="$SLURM_GPUS_ON_NODE")
fi

# `exec` and `--block`: Ray's processes are those of the Slurm step, and end with it, whatever happens here.
started=()
srun --nodes=1 --ntasks=1 --nodelist="$head" --export=ALL \
  ray start --head --block --node-ip-address="$address" --port="$port" --include-dashboard=false \
  --temp-dir="$folder" "${resources[@]}" &
started+=($!)
export RAY_ADDRESS="$address:$port"
for node in "${nodes[@]:1}"; do
  srun --nodes=1 --ntasks=1 --nodelist="$node" --export=ALL \
    ray start --block --address="$RAY_ADDRESS" --temp-dir="$folder" "${resources[@]}" &
  started+=($!)
done

# All nodes, before the sweep looks at what they have.
python - "${#nodes[@]}" <<'PYTHON'
import sys, time
import ray
until = time.monotonic() + 300
while True:
    try:
        ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
        break
    except ConnectionError:
        if time.monotonic() > until:
            sys.exit("Ray's head did not start within 5 minutes: see the log above")
        time.sleep(2)
while sum(node["Alive"] for node in ray.nodes()) < int(sys.argv[1]):
    if time.monotonic() > until:
        sys.exit(f"not all {sys.argv[1]} nodes joined within 5 minutes: is the network between them open?")
    time.sleep(1)
PYTHON

# In the background and waited for: only so does bash pass on the signal while the sweep runs.
raysweep run "$@" &
sweep=$!
trap 'kill -TERM "$sweep" 2>/dev/null || true' TERM INT
status=0
wait "$sweep" || status=$?
if kill -0 "$sweep" 2>/dev/null; then    # the first wait ended with the signal, the sweep ends a moment later
  status=0
  wait "$sweep" || status=$?
fi
kill -TERM "${started[@]}" 2>/dev/null || true
wait "${started[@]}" 2>/dev/null || true
exit "$status"
