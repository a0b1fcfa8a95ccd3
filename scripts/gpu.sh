#!/usr/bin/env bash
# Builds, tests, sanitizes and times the CUDA kernels; needs a GPU. Usage: gpu.sh [--build FOLDER] [PART]...
#   test      the GPU tests
#   checks    bfloat16 with the kernels follows float32; a stopped run ends with the bytes of the unbroken one
#   sanitize  the small GPU tests under compute-sanitizer: memcheck, racecheck (initcheck does not follow what cuBLAS writes)
#   bench     the cell, its peers in Python, whole steps
# Without a part: all. --build: a folder built before (for machines that cannot install anything), else build/ci is built.
# Writes build/gpu: logs, and cells.jsonl, peers.jsonl, steps.jsonl, checks.jsonl as in docs/benchmarks. Exits with 1 if a part failed.
set -euo pipefail
folder=
if [ "${1:-}" = --build ]; then
  folder=$(realpath "$2")
  REPO=$(cd "$(dirname "$0")/.." && pwd) PYTHON=${PYTHON:-python3}
  say() { printf '\n== %s\n' "$*"; }
  die() { printf '%s\n' "$*" >&2; exit 1; }
  shift 2
fi
nvidia-smi -L 2> /dev/null || { echo "gpu.sh: no GPU here" >&2; exit 1; }
if [ -z "$folder" ]; then
  . "$(dirname "$0")/setup.sh"
  build ci -DAXLSTM_CUDA=ON -DAXLSTM_BUILD_BENCH=ON -DAXLSTM_TEST_PYTHON="$PYTHON"
  folder=$REPO/build/ci
fi
[ $# -gt 0 ] || set -- test checks sanitize bench
for part in "$@"; do
  case $part in test | checks | sanitize | bench) ;; *) die "gpu.sh: '$part' is none of test checks sanitize bench" ;; esac
done
output=$REPO/build/gpu failed=()
mkdir -p "$output"

# sanitizer TOOL SHARDS [FILTER]: in SHARDS processes side by side.
sanitizer() {
  local tool=$1 shards=$2 shard running=()
  rm -f "$output/$tool".*log
  for ((shard = 0; shard < shards; ++shard)); do
    # A report for each pair of places in the code; LibTorch's allocator would hide accesses beyond a tensor.
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$shard \
      compute-sanitizer --tool "$tool" --error-exitcode 9 --print-limit 40 --log-file "$output/$tool.$shard.log" \
      "$folder/tests/cuda_test" --gtest_filter="${3:-Small/*}" > "$output/$tool.$shard.tests.log" &
    running+=($!)
  done
  for shard in "${!running[@]}"; do
    wait "${running[shard]}" || failed+=("$tool $shard")
    echo "$tool $shard: $(grep -c '^\[       OK' "$output/$tool.$shard.tests.log" || true) tests passed; $(tail -1 "$output/$tool.$shard.log" || true)"
  done
}

for part in "$@"; do
  say "$part"
  case $part in
    test)
      "$folder/tests/cuda_test" > "$output/test.log" || failed+=(test)
      grep -E '^\[ .* \] [0-9]+ tests?[,.]' "$output/test.log" || tail -5 "$output/test.log"
      # Only an older card may skip, and only Hopper's instructions.
      ! sed '/hopper/d' "$output/test.log" | grep '^\[  SKIPPED \].*/' > /dev/null || failed+=("test (skipped)")
      ;;
    checks) "$PYTHON" "$REPO/scripts/gpu_checks.py" --bin "$folder/bin" --output "$output/checks.jsonl" || failed+=(checks) ;;
    sanitize)
      sanitizer memcheck 4
      sanitizer racecheck 16 'Small/*:-*StridedViews*'  # the same kernels; this tool is slow
      ;;
    bench)
      rm -f "$output"/{cells,peers,steps}.jsonl
      "$folder/tests/bench/bench" cells --runs 10 --json "$output/cells.jsonl" || failed+=(cells)
      "$PYTHON" "$REPO/tests/bench/peers.py" --json "$output/peers.jsonl" || failed+=(peers)
      "$folder/tests/bench/bench" steps --runs 8 --json "$output/steps.jsonl" || failed+=(steps)
      ;;
  esac
done
[ ${#failed[@]} = 0 ] || die "Failed: ${failed[*]}; logs: build/gpu"
