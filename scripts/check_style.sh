#!/usr/bin/env bash
# Formatting (clang-format 14.0.6), the include rules and the list of licences. Usage: check_style.sh [PYTHON] [--fix]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
clang_format=$(dirname "$(command -v "$python")")/clang-format
mapfile -t sources < <(git ls-files --cached --others --exclude-standard '*.h' '*.cpp' '*.cu' '*.cuh')
[ ${#sources[@]} -gt 0 ] || { echo "git lists no sources here: is this a clone, and does git trust it?" >&2; exit 1; }
if [ "${2:-}" = --fix ]; then
  "$clang_format" -i "${sources[@]}"
else
  "$clang_format" --dry-run --Werror "${sources[@]}"
fi
"$python" scripts/check_includes.py "${sources[@]}"
"$python" scripts/check_licenses.py
