#!/usr/bin/env bash
# Tries what docs/distributed.md and docs/sweeps.md promise with the real launchers, on this machine and its CPU: Open MPI, MPICH,
# torchrun, and a SLURM of three made-up nodes whose daemons live as long as this script. Needs root, as slurmd does; installs
# what is missing. Prints a line for each promise and exits with 1 if one was not kept.
# Usage: scripts/launchers.sh [FOLDER OF THE PROGRAMS, default build/ci/bin] [only rows whose name matches this]
AXLSTM_MORE_PACKAGES=(openmpi-bin mpich slurm-wlm munge)
. "$(dirname "$0")/setup.sh"
set +e
BIN=$(realpath "${1:-$REPO/build/ci/bin}")
ONLY=${2:-.}
[ -x "$BIN/pretrain" ] || die "no $BIN/pretrain: build first"
TORCHRUN=$(dirname "$PYTHON")/torchrun
WORK=$(mktemp -d /tmp/axlstm-launchers.XXXXXX)
chmod 755 "$WORK"
cd "$WORK" || exit 1
clean_up() {
  if [ -n "${SLURM_CONF:-}" ]; then
    scancel --quiet --user root 2> /dev/null
    until_true 20 sh -c '[ -z "$(squeue -h)" ]'
  fi
  local pid
  for pid in "$WORK"/*.pid; do [ ! -e "$pid" ] || kill "$(cat "$pid")" 2> /dev/null; done
  sleep 1
  [ -n "${KEEP:-}" ] || rm -rf "$WORK"
}
trap clean_up EXIT

start_slurm() {
  mkdir -p munge state spool
  chmod 700 munge
  dd if=/dev/urandom of=munge/key bs=1024 count=1 2> /dev/null
  chmod 600 munge/key
  munged --force --key-file="$WORK/munge/key" --socket="$WORK/munge.socket" --pid-file="$WORK/munged.pid" \
    --log-file="$WORK/munge/log" --seed-file="$WORK/munge/seed" || die "munged does not start"
  export SLURM_CONF=$WORK/slurm.conf
  cat > "$SLURM_CONF" << EOF
ClusterName=here
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=16817
SlurmctldPidFile=$WORK/slurmctld.pid
SlurmdPidFile=$WORK/slurmd-%n.pid
SlurmdSpoolDir=$WORK/spool/%n
StateSaveLocation=$WORK/state
SlurmctldLogFile=$WORK/slurmctld.log
SlurmdLogFile=$WORK/slurmd-%n.log
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$WORK/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=10
NodeName=n[1-3] NodeAddr=127.0.0.1 Port=[17001-17003] CPUs=8 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
EOF
  slurmctld -c || die "slurmctld does not start"
  local n
  for n in 1 2 3; do slurmd -N n$n || die "slurmd does not start"; done
  until_true 30 sh -c '[ "$(sinfo -h -t idle -o %D)" = 3 ]' || die "the nodes do not come: $(tail -3 "$WORK/slurmctld.log")"
}

until_true() { # SECONDS COMMAND…: whether it came true
  local seconds=$1 end=$((SECONDS + $1))
  shift
  until "$@" > /dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.1
  done
}

nano=(model.size=custom model.dim=16 model.depth=2 model.expansion=2 model.patch_frames=8 optim.global_batch=4 optim.base_lr=0.1
  optim.warmup_epochs=1 data.synthetic=64 data.workers=1 train.device=cpu train.log_every_steps=5 train.save_every_steps=5
  train.picture_every_steps=1000000 distributed.timeout_s=60 distributed.heartbeat_s=5)
short=("${nano[@]}" optim.epochs=2 train.max_steps=12)
endless=("${nano[@]}" optim.epochs=100000)
train() { # RUN KEYS…
  local run=$1
  shift
  set -- "$BIN/pretrain" "$@" "train.run_dir=$WORK/$run"
  printf '%q ' "$@"
}
steps() { wc -l < "$WORK/$1/metrics.jsonl" 2> /dev/null || echo 0; }
has_steps() { [ "$(steps "$1")" -ge "$2" ]; }
saved() { [ -n "$(ls -d "$WORK/$1"/checkpoints/step-* 2> /dev/null)" ]; }
same_losses() { # RUN: as those of one process
  "$PYTHON" - "$WORK/alone/metrics.jsonl" "$WORK/$1/metrics.jsonl" << 'EOF'
import json, sys
a, b = ([json.loads(line)["loss"] for line in open(name)] for name in sys.argv[1:])
sys.exit(not (len(a) == len(b) == 12 and all(abs(x - y) < 1e-4 * x for x, y in zip(a, b))))
EOF
}
says() { grep -q -- "$2" "$WORK/$1.log"; }

failures=0
row() { # NAME PROMISE FUNCTION
  [[ $1 =~ $ONLY ]] || return 0
  local start=$SECONDS
  if "$3" > "$WORK/row.log" 2>&1; then
    printf '%-22s ok      %s (%s s)\n' "$1" "$2" $((SECONDS - start))
  else
    printf '%-22s FAILED  %s (%s s)\n' "$1" "$2" $((SECONDS - start))
    failures=$((failures + 1))
    tail -5 "$WORK/row.log" "$WORK/$1.log" 2> /dev/null | sed 's/^/    /'
  fi
}

MPIRUN=(mpirun.openmpi --allow-run-as-root --oversubscribe)
run_as() { # NAME COMMAND…: a short run whose losses are those of one process
  local name=$1
  shift
  "$@" bash -c "exec $(train "$name" "${short[@]}")" > "$WORK/$name.log" 2>&1 && same_losses "$name"
}
alone() { run_as alone env; }
nproc() { eval "$(train nproc "${short[@]}") --nproc 2" > nproc.log 2>&1 && same_losses nproc && says nproc "2 ranks"; }
torchrun() { run_as torchrun "$TORCHRUN" --standalone --nproc-per-node 2 --no-python && says torchrun "2 ranks"; }
openmpi() { run_as openmpi "${MPIRUN[@]}" -n 2 && says openmpi "2 ranks on 1 machine, Gloo, started by Open MPI"; }
mpich() { run_as mpich mpirun.mpich -n 2 && says mpich "2 ranks on 1 machine, Gloo, started by the mpirun of MPICH"; }
slurm() { MASTER_ADDR=127.0.0.1 run_as srun srun -N2 -n2 && says srun "2 ranks on 1 machine, Gloo, started by SLURM"; }
slurm_pmi2() { MASTER_ADDR=127.0.0.1 run_as srun-pmi2 srun --mpi=pmi2 -n2 && says srun-pmi2 "started by SLURM"; }
slurm_host() { # n1 is no host of this machine's network
  local start=$SECONDS
  timeout 60 srun -n2 bash -c "exec $(train srun-host "${short[@]}")" > srun-host.log 2>&1
  [ $? = 1 ] && [ $((SECONDS - start)) -lt 20 ] && says srun-host "does not know the host 'n1'" && ! says srun-host "frame #"
}

batch() { # NAME SBATCH-OPTIONS… -- SCRIPT: waits for the job
  local name=$1 options=()
  shift
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  printf '#!/bin/bash\n%s\n' "$2" > "$name.sh"
  sbatch -W --parsable "${options[@]}" -o "$name.log" "$name.sh"
}
openmpi_in_slurm() { # the daemons' SLURM variables say two processes, there are four
  batch openmpi-in-slurm -N2 -n4 -- "export MASTER_ADDR=127.0.0.1; ${MPIRUN[*]} -n 4 -x MASTER_ADDR $(train openmpi-in-slurm "${short[@]}")" \
    && says openmpi-in-slurm "4 ranks" && same_losses openmpi-in-slurm
}
mpich_in_slurm() {
  batch mpich-in-slurm -N2 -n4 -- "export MASTER_ADDR=127.0.0.1; mpirun.mpich -n 4 $(train mpich-in-slurm "${short[@]}")" \
    && says mpich-in-slurm "4 ranks" && same_losses mpich-in-slurm
}
sbatch_in_step() { # the new job inherits SLURM_STEP_NUM_TASKS=3
  printf '#!/bin/bash\nenv | grep SLURM_STEP_NUM_TASKS\nexec %s\n' "$(train sbatch-in-step "${short[@]}")" > inner.sh
  srun -n3 sh -c '[ $SLURM_PROCID != 0 ] || sbatch -W -o sbatch-in-step.log inner.sh' \
    && says sbatch-in-step SLURM_STEP_NUM_TASKS=3 && says sbatch-in-step "inherited from a step" && same_losses sbatch-in-step
}
typed() { # NAME COMMAND: into the shell of an interactive step
  "$PYTHON" - "$2; echo exit code \$?" > "$1.log" 2>&1 << 'EOF'
import os, pty, select, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("srun", ["srun", "--ntasks=4", "--pty", "bash", "--norc", "-i"])
seen, typed, end = b"", False, time.monotonic() + 60
while time.monotonic() < end and b"exit code 0\r" not in seen:
    if select.select([terminal], [], [], 0.2)[0]:
        seen += os.read(terminal, 65536)
    if not typed and b"# " in seen:
        os.write(terminal, sys.argv[1].encode() + b"\n")
        typed = True
os.write(terminal, b"exit\n")
sys.stdout.buffer.write(seen)
EOF
}
interactive() {
  typed interactive "$(train interactive "${short[@]}")"
  says interactive "exit code 0" && says interactive "training alone" && same_losses interactive
}
interactive_nproc() {
  typed interactive-nproc "$(train interactive-nproc "${short[@]}") --nproc 2"
  says interactive-nproc "exit code 0" && says interactive-nproc "2 ranks" && same_losses interactive-nproc
}
interactive_srun() {
  typed interactive-srun "MASTER_ADDR=127.0.0.1 srun --overlap -n2 $(train interactive-srun "${short[@]}")"
  says interactive-srun "exit code 0" && says interactive-srun "2 ranks" && same_losses interactive-srun
}

signal_to() { # NAME SIGNAL CODE COMMAND…: saves and ends with this code
  local name=$1 signal=$2 code=$3 launcher
  shift 3
  "$@" bash -c "exec $(train "$name" "${endless[@]}" train.save_every_steps=1000000)" > "$name.log" 2>&1 &
  launcher=$!
  until_true 60 has_steps "$name" 3 || return 1
  kill "-$signal" $launcher
  wait $launcher
  local ended=$?
  echo "$name: $signal: exit code $ended"
  [ $ended = "$code" ] && saved "$name"
}
signals_openmpi() { signal_to usr1-openmpi USR1 75 "${MPIRUN[@]}" -n 2 && signal_to usr2-openmpi USR2 75 "${MPIRUN[@]}" -n 2; }
signals_mpich() { signal_to usr1-mpich USR1 75 mpirun.mpich -n 2 && signal_to term-mpich TERM 75 mpirun.mpich -n 2; }
signals_srun() { MASTER_ADDR=127.0.0.1 signal_to usr1-srun USR1 75 srun -n 2; }
signals_torchrun() { signal_to term-torchrun TERM 1 "$TORCHRUN" --standalone --nproc-per-node 2 --no-python; }
scancelled() {
  MASTER_ADDR=127.0.0.1 srun -n 2 bash -c "exec $(train scancel "${endless[@]}" train.save_every_steps=1000000)" > scancel.log 2>&1 &
  local launcher=$!
  until_true 60 has_steps scancel 3 && scancel "$(squeue -h -o %i)"
  wait $launcher
  saved scancel
}

torchrun_restarts() { # two agents; a rank of the second is killed
  local agents=() n
  for n in 0 1; do
    "$TORCHRUN" --nnodes 2 --node-rank $n --nproc-per-node 1 --max-restarts 2 --rdzv-backend c10d --rdzv-endpoint 127.0.0.1:29471 \
      --rdzv-id 7 --no-python bash -c "exec $(train torchrun-restarts "${nano[@]}" optim.epochs=40 train.max_steps=600)" > "agent$n.log" 2>&1 &
    agents+=($!)
  done
  until_true 90 has_steps torchrun-restarts 10 || return 1
  kill -KILL "$(pgrep -P "${agents[1]}" -x pretrain | head -1)"
  local start=$SECONDS code=0
  for n in 0 1; do wait "${agents[n]}" || code=1; done
  cat agent0.log agent1.log > torchrun-restarts.log
  echo "ended $((SECONDS - start)) s after the kill; failures met: $(grep -c 'worker group' torchrun-restarts.log)"
  [ $code = 0 ] && [ $((SECONDS - start)) -lt 60 ] && [ "$(steps torchrun-restarts)" = 600 ] && ! says torchrun-restarts "did not come"
}

make_sweep() { # NAME: three endless cells
  { echo "model: {size: custom, dim: 16, depth: 2, expansion: 2, patch_frames: 8}"
    echo "optim: {epochs: 100000, warmup_epochs: 1, global_batch: 4}"
    echo "data: {synthetic: 64, workers: 1}"
    echo "train: {device: cpu, save_every_steps: 1000000, picture_every_steps: 1000000}"; } > base.yaml
  printf 'sweep: {base: base.yaml, output: %s}\ncells:\n  - {name: a}\n  - {name: b}\n  - {name: c}\n' "$WORK/$1" > "$1.yaml"
  # The nodes here have no GPUs.
  "$BIN/sweep" --config "$1.yaml" --slurm --stages pretrain | sed '/gpus-per-task/d' > "$1.sh"
  array=$(sbatch --parsable -o "$1-%a.log" "$1.sh") || return 1
  local cell
  for cell in a b c; do until_true 90 has_steps "$1/cells/$cell.s0" 2 || return 1; done
}
restarts() { scontrol show job "${array}_$1" | grep -o 'Restarts=[0-9]*'; }
state() { scontrol show job "${array}_$1" | grep -o 'JobState=[A-Z]*'; }
sweep_cancelled() {
  make_sweep sweep-cancel || return 1
  scancel "$array"
  until_true 60 sh -c '[ -z "$(squeue -h)" ]' || return 1
  sleep 3 # in which a requeued task would appear
  [ -z "$(squeue -h)" ] && saved sweep-cancel/cells/a.s0 && [ "$(restarts 0) $(state 0)" = "Restarts=0 JobState=CANCELLED" ]
}
sweep_told() { # the last task has the array's id as its own
  make_sweep sweep-told || return 1
  local last
  for last in 2 1; do
    scancel --signal=USR1 --batch "${array}_$last"
    until_true 30 sh -c "scontrol show job ${array}_$last | grep -q Restarts=1" || return 1
  done
  [ "$(restarts 0) $(state 0)" = "Restarts=0 JobState=RUNNING" ]
  local kept=$?
  scancel "$array"
  return $kept
}
slurm_script() {
  local job
  job=$(MASTER_ADDR=127.0.0.1 PRETRAIN=$BIN/pretrain sbatch --parsable --gpus-per-task=0 --mem-per-gpu=0 --cpus-per-task=1 --ntasks-per-node=2 \
    -o slurm-script.log <(sed '/gpu/d' "$REPO/scripts/slurm_pretrain.sh") "${nano[@]}" optim.epochs=40 train.max_steps=600 "train.run_dir=$WORK/slurm-script") || return 1
  until_true 90 has_steps slurm-script 10 && scancel --signal=USR1 "$job"
  until_true 30 sh -c "scontrol show job $job | grep -q Restarts=1" || return 1
  # SLURM holds a requeued job back for two minutes; one that is hurried it may end as "credential revoked".
  until_true 300 sh -c "scontrol show job $job | grep -q JobState=COMPLETED" && [ "$(steps slurm-script)" = 600 ]
}
mpich_threads() { # MKL takes one thread where it sees MPI_LOCALNRANKS
  mpirun.mpich -n 2 bash -c "exec $(train mpich-threads "${short[@]}" train.threads=2)" > mpich-threads.log 2>&1 \
    && says mpich-threads "CPU (2 threads)"
}

say "Starting SLURM in $WORK"
start_slurm
say "Trying the launchers"
row alone "one process, to compare with" alone
row nproc "pretrain --nproc: losses of one process" nproc
row torchrun "torchrun: losses of one process" torchrun
row openmpi "Open MPI: losses of one process" openmpi
row mpich "MPICH: losses of one process" mpich
row mpich-threads "MPICH: train.threads holds in spite of MKL" mpich_threads
row srun "srun, two nodes: losses of one process" slurm
row srun-pmi2 "srun --mpi=pmi2 is SLURM's" slurm_pmi2
row srun-host "a node's name that nobody knows is said at once" slurm_host
row openmpi-in-slurm "Open MPI in a job of two nodes: four ranks" openmpi_in_slurm
row mpich-in-slurm "MPICH in a job of two nodes: four ranks" mpich_in_slurm
row sbatch-in-step "a job submitted from within a step trains alone" sbatch_in_step
row interactive "an interactive step trains alone and says so" interactive
row interactive-nproc "--nproc in an interactive step" interactive_nproc
row interactive-srun "srun in an interactive step" interactive_srun
row signals-openmpi "SIGUSR1 and SIGUSR2 to Open MPI's mpirun save" signals_openmpi
row signals-mpich "SIGUSR1 and SIGTERM to MPICH's mpirun save" signals_mpich
row signals-srun "SIGUSR1 to srun saves" signals_srun
row signals-torchrun "SIGTERM to torchrun saves" signals_torchrun
row scancel "scancel of a step saves" scancelled
row torchrun-restarts "torchrun with two agents: one restart, seconds" torchrun_restarts
row sweep-cancel "scancel of a sweep's array: no task comes back" sweep_cancelled
row sweep-told "a task that is told to save is queued again, the others go on" sweep_told
row slurm-script "slurm_pretrain.sh saves, queues itself again and finishes" slurm_script
[ $failures = 0 ] || die "$failures promises were not kept"
say "All promises were kept"
