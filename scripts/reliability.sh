#!/usr/bin/env bash
# Injects every fault, measures every load and fuzzes every parser that docs/reliability.md promises something about; hours on two cores.
# Usage: reliability.sh [--ten-minutes] [--jobs N] [EXPERIMENT]...   as the table there names them; without names: all.
# --ten-minutes: a part of each. --jobs: number of faults at a time; loads are measured one after the other.
# Writes build/reliability/results and the table, build/reliability/table.md; exits with 1 if a promise was broken.
. "$(dirname "$0")/setup.sh"

count=() scale=1 executions=10000000 jobs=1
while true; do
  case ${1:-} in
    --ten-minutes) count=(--count 5) scale=0.01 executions=100000; shift ;;
    --jobs) jobs=$2; shift 2 ;;
    *) break ;;
  esac
done
faults=(kill-{pretrain,pack,extract,hear-eval,sweep} full-{pretrain,pack,extract,hear-eval,sweep}
  read-only-{pretrain,pack,extract,hear-eval,sweep} metrics no-flush read-error damage ranks signals two-processes clock locales numbers no-gpu full-output)
load=(manifest shards long-wav extract steps)
names=("$@")
[ ${#names[@]} -gt 0 ] || names=("${faults[@]}" "${load[@]/#/load-}" fuzz)

build ci -DAXLSTM_BUILD_BENCH=ON -DAXLSTM_TEST_PYTHON="$PYTHON"
output=$REPO/build/reliability bin=$REPO/build/ci/bin broken=0
mkdir -p "$output"
: > "$output/results"

run() { "$PYTHON" -B "$@" | tee -a "$output/results" || broken=1; }

for name in "${names[@]}"; do
  say "$name"
  case $name in
    fuzz) "$REPO/scripts/fuzz.sh" --executions "$executions" | tee /dev/stderr | sed -n '/^fuzz /p' >> "$output/results" || broken=1 ;;
    load-*) run "$REPO/tests/faults/load.py" --bin "$bin" --scale "$scale" "${name#load-}" ;;
    *) run "$REPO/tests/faults/run.py" --bin "$bin" --shim "$REPO/build/ci/tests/libaxlstm_fault_shim.so" "${count[@]}" --jobs "$jobs" "$name" ;;
  esac
done
"$PYTHON" -B "$REPO/tests/faults/table.py" "$output/results" | tee "$output/table.md"
exit $broken
