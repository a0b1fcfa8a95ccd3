#!/usr/bin/env bash
# Installs what is missing, builds everything, checks style, runs clang-tidy on what differs from AXLSTM_SINCE (the commit
# before; in continuous integration the one before the push) and all tests, those of threads under ThreadSanitizer too,
# and a minute of fuzzing. Arguments go to ctest.
AXLSTM_MORE_PACKAGES=(clang clang-tidy libclang-rt-dev)
. "$(dirname "$0")/setup.sh"

say "Checking style and include rules"
"$REPO/scripts/check_style.sh" "$PYTHON"

# Warnings are errors where the compiler is known: in continuous integration.
build ci -DAXLSTM_BUILD_BENCH=ON -DAXLSTM_TEST_PYTHON="$PYTHON" -DAXLSTM_WERROR="$([ -n "${CI:-}" ] && echo ON || echo OFF)"

since=${AXLSTM_SINCE:-HEAD~1}
if git -C "$REPO" rev-parse --quiet --verify "$since^{commit}" > /dev/null; then
  say "Running clang-tidy on what differs from $since"
  "$REPO/scripts/tidy.sh" --since "$since" --most 6  # six with LibTorch: some two minutes on two cores
fi

say "Running the tests"
cd "$REPO/build/ci"
ctest --output-on-failure -E '^golden$' "$@"
say "Comparing with the released code's tensors"
ctest -V -R '^golden$' > golden.log || { tail -40 golden.log; die "the golden comparison failed; its whole output: build/ci/golden.log"; }
sed -n 's/^[0-9]*: //; /golden file/,/^\[  PASSED/p' golden.log

"$REPO/scripts/sanitize.sh" thread
"$REPO/scripts/fuzz.sh" 60
