#!/usr/bin/env bash
# Fuzzes the parsers of everything that comes from strangers. Usage: fuzz.sh [SECONDS | --executions N] [TARGET]...
# SECONDS (default 60) are divided among the targets, which run side by side on all cores; with --executions rounds of five
# minutes follow each other until at least N inputs were tried in all.
# Prints "fuzz TARGET executions=N crashes=N seconds=N" for each; exits with 1 if an input broke a promise.
AXLSTM_MORE_PACKAGES=(clang libclang-rt-dev)
. "$(dirname "$0")/setup.sh"

budget=60 unit=seconds targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --executions) unit=executions; budget=${2:?--executions needs a number}; shift ;;
    [0-9]*) budget=$1 ;;
    *) [ -d "$REPO/tests/fuzz/corpus/$1" ] || die "fuzz.sh: '$1' is none of $(ls -x "$REPO/tests/fuzz/corpus")"; targets+=("$1") ;;
  esac
  shift
done
[[ $budget =~ ^[1-9][0-9]*$ ]] || die "fuzz.sh: '$budget' is no number of $unit"
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(ls "$REPO/tests/fuzz/corpus")

build fuzz
cd "$REPO/build/fuzz"
mkdir -p artifacts logs
: > logs/summary

# What one allocation may take, in MiB: a header must not get more by claiming more.
allocation_of() {
  case $1 in
    audio) echo 600 ;;  # decoded samples, which the file really holds
    tar) echo 1100 ;;   # the window that an .xz file asks for, up to libarchive's limit of 1 GiB
    *) echo 64 ;;
  esac
}

# A minute for one input: less than that is the machine, when it has other work.
run_target() {
  local target=$1 seconds=$2 begin=$SECONDS scratch log=$PWD/logs/$1 executions crashes=0 options=()
  [ ! -e "$REPO/tests/fuzz/dictionaries/$target" ] || options+=(-dict="$REPO/tests/fuzz/dictionaries/$target")
  mkdir -p "corpus/$target"
  local seeds=("$REPO/tests/fuzz/corpus/$target")
  [ "$target" != audio ] || seeds+=("$REPO/tests/data/formats")
  scratch=$(mktemp -d -p "$([ -w /dev/shm ] && echo /dev/shm || echo /tmp)" axlstm-fuzz.XXXXXX)
  TMPDIR=$scratch LSAN_OPTIONS=suppressions=$REPO/tests/fuzz/lsan.supp:print_suppressions=0 ASAN_OPTIONS=malloc_context_size=8:quarantine_size_mb=16 \
    "bin/fuzz_$target" "${options[@]}" -max_total_time="$seconds" -timeout=60 -max_len=16384 -rss_limit_mb=2560 -malloc_limit_mb="$(allocation_of "$target")" \
    -artifact_prefix="artifacts/$target-" -print_final_stats=1 "corpus/$target" "${seeds[@]}" > "$log" 2>&1 || crashes=1
  rm -rf "$scratch"
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  echo "fuzz $target executions=${executions:-0} crashes=$crashes seconds=$((SECONDS - begin))" | tee -a logs/summary
}

# Every target for its share of so many seconds.
run_round() {
  local target share=$((($1 * $(nproc) + ${#targets[@]} - 1) / ${#targets[@]}))
  for target in "${targets[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
    run_target "$target" "$share" &
  done
  wait
}

total() { awk '{ sub("executions=", "", $3); total += $3 } END { print total + 0 }' logs/summary; }

check_crashes() {
  ! grep -q 'crashes=1' logs/summary \
    || die "An input broke a promise. Logs: build/fuzz/logs/, inputs: build/fuzz/artifacts/; build/fuzz/bin/fuzz_TARGET FILE runs
one again. Fix what it shows and add the input to tests/fuzz/corpus/"
}

say "Fuzzing ${#targets[@]} parsers: $budget $unit in all"
if [ "$unit" = seconds ]; then
  run_round "$budget"
  check_crashes
else
  while [ "$(total)" -lt "$budget" ]; do
    run_round 300
    check_crashes
  done
fi
echo "fuzz total executions=$(total)"
