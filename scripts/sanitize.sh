#!/usr/bin/env bash
# Runs the tests under a sanitizer. Usage: sanitize.sh thread|address [ctest arguments]
#   thread    ThreadSanitizer, on what needs no LibTorch: the library is not instrumented, so its threads would be reported
#             though they do not race
#   address   AddressSanitizer and UBSan, on all tests that run without a GPU
# Prints "sanitize NAME tests=N failures=N seconds=N" and exits with 1 if a test failed or a sanitizer reported.
. "$(dirname "$0")/setup.sh"

case ${1:-} in
  thread) preset=cpu-tsan ;;
  address) preset=cpu-asan ;;
  *) die "usage: sanitize.sh thread|address [ctest arguments]" ;;
esac
name=$1
shift
build "$preset" -DAXLSTM_TEST_PYTHON="$PYTHON"
cd "$REPO/build/$preset"

# A report ends the program with a code of its own, and so fails its test. Leaks are looked for in the parsers (fuzz.sh): LibTorch
# and Python keep memory to the end of the process.
export TSAN_OPTIONS=halt_on_error=1:exitcode=66
export ASAN_OPTIONS=detect_leaks=0:exitcode=66
export UBSAN_OPTIONS=print_stacktrace=1
begin=$SECONDS failed=0
ctest --output-on-failure "$@" | tee sanitize.log || failed=1
tests=$(sed -n 's/.*tests failed out of \([0-9]*\).*/\1/p' sanitize.log)
failures=$(sed -n 's/.*, \([0-9]*\) tests failed out of .*/\1/p' sanitize.log)
echo "sanitize $name tests=${tests:-0} failures=${failures:-1} seconds=$((SECONDS - begin))"
[ "$failed" = 0 ] || die "A test failed under the sanitizer: its output is above and in build/$preset/sanitize.log"
