#!/usr/bin/env bash
# From nothing to scores: installs what is missing, builds, pre-trains a small AxLSTM on the audio in this repository,
# embeds a small real task and evaluates it against floors. The part after the build takes under five minutes on two cores.
# Usage: scripts/quickstart.sh [pretrain's section.key=value ...]
. "$(dirname "$0")/setup.sh"
cd "$REPO"
build release
bin=build/release/bin
run=runs/quickstart
task=tests/data/hear/tasks/instruments-v1-full
config=configs/quickstart/pretrain.yaml

say "Pre-training a small AxLSTM on $(find tests/data/audio -type f | wc -l) clips (a second run of this script resumes or skips it)"
"$bin/pretrain" --config "$config" "$@" train.run_dir="$run"

say "Embedding ${task##*/} with the trained model, with larger weights of ours, with random weights and with HEAR's naive features"
rm -rf "$run/embeddings"
"$bin/extract" --quiet --device cpu --model "$run" --output "$run/embeddings/pretrained" "$task"
"$bin/extract" --quiet --device cpu --model docs/weights/axlstm_tiny_e2 --output "$run/embeddings/published" "$task"
"$bin/extract" --quiet --device cpu --model "random:$config" --output "$run/embeddings/random" "$task"
"$bin/extract" --quiet --device cpu --model naive --output "$run/embeddings/naive" "$task"

say "Training HEAR's downstream models on the embeddings"
"$bin/hear-eval" --quiet "$run"/embeddings/{pretrained,published,random,naive}

"$PYTHON" scripts/quickstart_table.py "$run/embeddings" "$task"
printf '\nReconstructions, the first and the last (input, masked input, reconstruction):\n'
find "$PWD/$run/pictures" -name '*.png' | sort | sed -n '1p;$p'
printf '\nNext: docs/train.md shows how to train on your own audio.\n'
