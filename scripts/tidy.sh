#!/usr/bin/env bash
# clang-tidy with the checks of .clang-tidy, on the sources given or on those that differ from a git revision:
#
#   tidy.sh FILE...
#   tidy.sh --all [--free]                     src/ and apps/; --free: only what needs no LibTorch (some minutes)
#   tidy.sh --since REVISION [--most COUNT]    of those with LibTorch, which take most of a minute each, at most COUNT
#
# AXLSTM_BUILD names the configured build folder whose compile commands are used (build/ci). A header is checked with
# the sources that include it: a changed one brings its namesake in src/.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${AXLSTM_BUILD:-build/ci}
[ -e "$build/compile_commands.json" ] || { echo "$build is not configured: there is no compile_commands.json" >&2; exit 1; }
command -v clang-tidy > /dev/null || { echo "clang-tidy is missing: apt-get install clang-tidy" >&2; exit 1; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python3 - "$build" "$scratch" "$@" > "$scratch/files" << 'PYTHON'
"""Writes compile commands that clang understands, and prints the sources to check."""
import json, os, shlex, subprocess, sys
from pathlib import Path

build, scratch, arguments = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
root = Path.cwd()
commands, with_torch = {}, set()
for entry in json.loads((build / "compile_commands.json").read_text()):
    path = Path(os.path.relpath(entry["file"], root)).as_posix()
    if path in commands or not path.startswith(("src/", "apps/")) or not path.endswith(".cpp"):
        continue
    words, kept = iter(shlex.split(entry["command"])), []
    for word in words:
        if word == "-include":  # GCC's precompiled header
            next(words)
        elif word not in ("-fpch-preprocess", "-Winvalid-pch", "-Werror") and "ccache" not in word:
            kept.append(word)
    commands[path] = {"directory": entry["directory"], "file": entry["file"], "arguments": kept}
    if "/torch/csrc/api/include" in entry["command"]:
        with_torch.add(path)
(scratch / "compile_commands.json").write_text(json.dumps(list(commands.values())))

most = None
if arguments[:1] == ["--all"]:
    chosen = [path for path in commands if arguments[1:] != ["--free"] or path not in with_torch]
elif arguments[:1] == ["--since"]:
    most = int(arguments[arguments.index("--most") + 1]) if "--most" in arguments else None
    diff = subprocess.run(["git", "diff", "--name-only", "--diff-filter=d", arguments[1]], capture_output=True, text=True, check=True)
    chosen = []
    for path in diff.stdout.split():
        if path.endswith(".h"):
            path = path.replace("include/axlstm/", "src/", 1)[:-2] + ".cpp"
        if path in commands and path not in chosen:
            chosen.append(path)
elif arguments and not arguments[0].startswith("-"):
    chosen = [Path(os.path.relpath(path, root)).as_posix() for path in arguments]
    unknown = [path for path in chosen if path not in commands]
    if unknown:
        sys.exit(f"not among the sources of src/ and apps/ that {build} compiles: {' '.join(unknown)}")
else:
    sys.exit("tidy.sh FILE... | --all [--free] | --since REVISION [--most COUNT]")
torch = [path for path in chosen if path in with_torch]
left = torch[most:] if most is not None else []
if left:
    print(f"not checked, for they would take too long: {' '.join(left)}", file=sys.stderr)
print("\n".join(path for path in chosen if path not in left))
PYTHON
mapfile -t sources < <(sed '/^$/d' "$scratch/files")
[ ${#sources[@]} -gt 0 ] || { echo "clang-tidy: nothing to check"; exit 0; }
printf '%s\n' "${sources[@]}" | xargs -P "$(nproc)" -I {} sh -c \
  'out=$(clang-tidy -p "$1" --quiet "$2" 2> "$1/errors.$$") || { printf "%s\n" "$out"; grep -a "error:" "$1/errors.$$"; exit 1; }' \
  sh "$scratch" {} || { echo "clang-tidy found something: mend it, or say // NOLINT(check) with the reason" >&2; exit 1; }
echo "clang-tidy found nothing in ${#sources[@]} sources"
