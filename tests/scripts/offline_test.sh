#!/usr/bin/env bash
# Configures the project and trains for two steps where there is no network. Usage: offline_test.sh SOURCE BIN TORCH_ROOT SCRATCH
# Exits with 77 (skipped) where the system does not let a user have a network namespace.
set -euo pipefail
source=$1 bin=$2 torch_root=$3 scratch=$4
if ! unshare --map-root-user --net true 2> /dev/null; then
  echo "no network namespaces for this user"
  exit 77
fi
rm -rf "$scratch"
mkdir -p "$scratch"
unshare --map-root-user --net bash -euo pipefail -c '
  interfaces=$(tail -n +3 /proc/net/dev | grep -vc " *lo:" || true)
  [ "$interfaces" = 0 ] || { echo "the namespace has $interfaces network interfaces"; exit 1; }
  cmake -S "$0" -B "$3/build" -G Ninja -DTORCH_ROOT="$2" -DAXLSTM_CUDA=OFF -DAXLSTM_BUILD_TESTS=OFF
  "$1/pretrain" data.root="$0/tests/data/audio" model.size=custom model.dim=16 model.depth=1 optim.global_batch=4 \
    train.max_steps=2 train.device=cpu train.run_dir="$3/run"
' "$source" "$bin" "$torch_root" "$scratch"
[ -e "$scratch/run/checkpoints/step-00000002/model.safetensors" ] || { echo "no checkpoint was written"; exit 1; }
