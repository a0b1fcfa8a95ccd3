# Sourced by quickstart.sh and test.sh: installs what is missing on Debian 12 or 13 or Ubuntu 24.04 and names it.
# Sets REPO, TORCH_ROOT, ARROW_ROOT and PYTHON. Safe to repeat; a second time it only checks.
#
#   AXLSTM_CACHE   where LibTorch, the Python environment and ccache live, shared by all clones (default ~/.cache/axlstm)
#   ARROW_ROOT     a folder with Arrow's C++ headers and libraries of yours, instead of the Python package pyarrow
#   TORCH_ROOT     a LibTorch ≥ 2.8 of yours (a CPU build too): then none is downloaded
set -euo pipefail
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
AXLSTM_CACHE=${AXLSTM_CACHE:-$HOME/.cache/axlstm}
[ -z "${TORCH_ROOT:-}" ] || TORCH_ROOT=$(realpath "$TORCH_ROOT")
export CCACHE_DIR=${CCACHE_DIR:-$AXLSTM_CACHE/ccache} CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-10G}
export CCACHE_BASEDIR=$REPO CCACHE_NOHASHDIR=1  # clones in other folders hit the same cache
mkdir -p "$AXLSTM_CACHE"
[ -n "${AXLSTM_MORE_PACKAGES+set}" ] || AXLSTM_MORE_PACKAGES=()  # a script sets it before, for tools of its own

say() { printf '\n== %s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

PACKAGES=("${AXLSTM_MORE_PACKAGES[@]}" g++ cmake ninja-build ccache pkg-config git python3 python3-venv
  libyaml-cpp-dev libcli11-dev libspdlog-dev libgtest-dev libsndfile1-dev libmpg123-dev libsoxr-dev libarchive-dev libhwy-dev nlohmann-json3-dev libpng-dev libxxhash-dev)
# For several processes on the CPU, and for MP4, WebM, AAC and the like; the build does without, and not every release of
# the systems has them.
OPTIONAL=(libgloo-dev libavformat-dev libavcodec-dev libswresample-dev)

is_installed() { dpkg-query -W -f '${Status}' "$1" 2> /dev/null | grep -q 'ok installed'; }

install_packages() {
  local missing=() package
  for package in "${PACKAGES[@]}"; do
    is_installed "$package" || missing+=("$package")
  done
  if [ ${#missing[@]} = 0 ]; then
    [ "$(id -u)" = 0 ] && command -v apt-cache > /dev/null || return 0
    for package in "${OPTIONAL[@]}"; do
      is_installed "$package" || ! apt-cache show "$package" > /dev/null 2>&1 || missing+=("$package")
    done
  fi
  [ ${#missing[@]} -gt 0 ] || return 0
  say "Installing Debian packages: ${missing[*]}"
  command -v apt-get > /dev/null || die "No apt-get here. Install the equivalents of: ${missing[*]}"
  local sudo=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null || die "Installing needs root, and there is no sudo. As root: apt-get install ${missing[*]}"
    sudo=(sudo)
  fi
  "${sudo[@]}" apt-get update -qq
  for package in "${OPTIONAL[@]}"; do
    is_installed "$package" || ! apt-cache show "$package" > /dev/null 2>&1 || missing+=("$package")
  done
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > "$AXLSTM_CACHE/apt.log" 2>&1 \
    || { tail -20 "$AXLSTM_CACHE/apt.log"; die "apt-get failed; the whole log: $AXLSTM_CACHE/apt.log"; }
}

# The folder of a Python package.
folder_of() { "$PYTHON" -c 'import importlib.util, sys; print(importlib.util.find_spec(sys.argv[1]).submodule_search_locations[0])' "$1"; }

# A virtual environment with the packages of the requirements files, whose hashes pip compares; built under a lock, marked
# when whole.
install_python() {
  local requirements=("$REPO/scripts/requirements.txt") venv=$AXLSTM_CACHE/venv mark file
  [ -n "${TORCH_ROOT:-}" ] || requirements+=("$REPO/scripts/requirements-torch.txt")
  mark=$venv/.axlstm-$(cat "${requirements[@]}" <(echo "${TORCH_ROOT:-wheel}") | sha256sum | cut -c1-16)
  PYTHON=$venv/bin/python
  if [ ! -e "$mark" ]; then
    if [ -n "${TORCH_ROOT:-}" ]; then
      say "Installing tools into $venv"
    else
      say "Installing LibTorch (a download of 5 GB, once) and tools into $venv"
    fi
    (
      flock 9
      [ -e "$mark" ] && exit 0
      "$PYTHON" -m pip --version > /dev/null 2>&1 || python3 -m venv --clear "$venv"  # missing or half made
      for file in "${requirements[@]}"; do
        "$PYTHON" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r "$file"
      done
      touch "$mark"
    ) 9> "$AXLSTM_CACHE/venv.lock"
  fi
  TORCH_ROOT=${TORCH_ROOT:-$(folder_of torch)}
  ARROW_ROOT=${ARROW_ROOT:-$(folder_of pyarrow)}
}

# build PRESET [CMake arguments]: configures and builds in build/PRESET, with as many jobs as memory allows (2 GB each).
build() {
  local preset=$1 memory_jobs jobs
  shift
  memory_jobs=$(($(awk '/MemAvailable/ {print $2}' /proc/meminfo) / 2000000 + 1))
  jobs=$(nproc)
  [ "$jobs" -le "$memory_jobs" ] || jobs=$memory_jobs
  say "Building in build/$preset with $jobs jobs (the first time about 15 minutes on two cores)"
  (cd "$REPO" && cmake --preset "$preset" -DTORCH_ROOT="$TORCH_ROOT" -DARROW_ROOT="$ARROW_ROOT" "$@" > "build-$preset.log" 2>&1) \
    || { tail -30 "$REPO/build-$preset.log"; die "CMake failed; the whole log: build-$preset.log"; }
  grep 'axlstm:' "$REPO/build-$preset.log" || true
  cmake --build "$REPO/build/$preset" -j "$jobs"
}

install_packages
install_python
