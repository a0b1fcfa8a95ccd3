#!/usr/bin/env bash
# Pre-trains under SLURM, on any number of GPUs and machines, and puts itself back into the queue until the run is finished.
#
#   sbatch --time=08:00:00 --nodes=2 --ntasks-per-node=8 scripts/slurm_pretrain.sh --config configs/pretrain/axlstm_base.yaml data.packed=/data/packed train.run_dir=runs/base
#
# One task is one GPU; srun starts them and pretrain finds the others by SLURM's variables (docs/distributed.md). The
# number may change from one submission to the next. Two minutes before its time is over SLURM sends SIGUSR1: pretrain
# saves and exits with 75, and the job is queued again under the same number. A job that is pre-empted (SIGTERM) saves too,
# and SLURM itself queues it again. Whatever happens, the same command goes on from the newest checkpoint. Add what your
# cluster needs: --account, --partition, --mail-type.
#SBATCH --job-name=axlstm
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=16
#SBATCH --mem-per-gpu=64G
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%x-%j.log
set -uo pipefail
# SLURM runs a copy of this script, so the build is found from where sbatch was called.
PRETRAIN=${PRETRAIN:-build/release/bin/pretrain}
[ -x "$PRETRAIN" ] || { echo "no $PRETRAIN here: call sbatch in the repository's folder, or set PRETRAIN" >&2; exit 2; }
[ $# -gt 0 ] || { echo "usage: sbatch [SBATCH OPTIONS] $0 --config FILE section.key=value…" >&2; exit 2; }

# --kill-on-bad-exit: when a rank fails the others end at once. srun's own code is the highest of its tasks'.
srun --kill-on-bad-exit=1 "$PRETRAIN" data.workers="${SLURM_CPUS_PER_TASK:-0}" "$@"
code=$?
if [ "$code" = 75 ]; then
  # One task of an array has the array's number as SLURM_JOB_ID: by that all of them would be queued again.
  job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
  job=${job:-${SLURM_JOB_ID:-?}}
  echo "interrupted after saving; queueing job $job again"
  scontrol requeue "$job"
fi
exit "$code"
