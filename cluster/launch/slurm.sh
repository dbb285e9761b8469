#!/bin/bash
# A run on Slurm: Ray on every node of the allocation, the study on the first one.
#
#   sbatch cluster/launch/slurm.sh +experiment=cifar10 executor.gpus_per_trial=1
#
# Submit from the folder in which the run shall leave its files, with the project's environment active.
# A job that Slurm stops and requeues continues its run: nothing finished is lost or repeated.

#SBATCH --job-name=nas
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --gpus-per-node=4
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=nas-%j.log

set -euo pipefail

# A token keeps other users of the cluster out. It lies in the home directory, which all nodes share.
export RAY_AUTH_MODE=token
umask 077
ray get-auth-token --generate > /dev/null

# Ports of our own, and Ray's sockets on a local disk (its default, /tmp/ray), never on NFS.
nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
address="${nodes%%$'\n'*}:$((20000 + SLURM_JOB_ID % 20000))"

run="runs/slurm-$SLURM_JOB_ID"
if [ -e "$run/events.jsonl" ]; then where="resume=$run"; else where="run.dir=$run"; fi

# Counts are passed on, since Ray would take what the machine has and not what Slurm gives. The
# dashboard stays on the loopback interface of the first node: ssh -L 8265:127.0.0.1:8265 NODE
srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --kill-on-bad-exit=0 \
    ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \
    --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" \
    --dashboard-host=127.0.0.1 \
    -- python -m nas.run "$@" "$where" executor=ray executor.address="$address"
