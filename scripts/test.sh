#!/usr/bin/env bash
# Installs what is missing, builds everything, checks style and runs all tests, those of threads under ThreadSanitizer too,
# and a minute of fuzzing. Arguments go to ctest.
AXLSTM_MORE_PACKAGES=(clang libclang-rt-dev)
. "$(dirname "$0")/setup.sh"

say "Checking style and include rules"
"$REPO/scripts/check_style.sh" "$PYTHON"

# Warnings are errors where the compiler is known: in continuous integration.
build ci -DAXLSTM_BUILD_BENCH=ON -DAXLSTM_TEST_PYTHON="$PYTHON" -DAXLSTM_WERROR="$([ -n "${CI:-}" ] && echo ON || echo OFF)"

say "Running the tests"
cd "$REPO/build/ci"
ctest --output-on-failure -E '^golden$' "$@"
say "Comparing with the released code's tensors"
ctest -V -R '^golden$' > golden.log || { tail -40 golden.log; die "the golden comparison failed; its whole output: build/ci/golden.log"; }
sed -n 's/^[0-9]*: //; /golden file/,/^\[  PASSED/p' golden.log

"$REPO/scripts/sanitize.sh" thread
"$REPO/scripts/fuzz.sh" 60
