#!/usr/bin/env bash
# xares 0.1.3 (PyPI), installed as its README says, encodes nothing and reports success.
#
# It reads audio by torchaudio.load, which since torchaudio 2.9 needs the package torchcodec; xares does not ask for it.
# The ImportError of every clip is taken for a broken clip, which is left out; warnings of that are switched off.
# Expected: an error that says what is missing.
# Seen with torchaudio 2.11.0: "Encoding …" for each split, the encoder is never called, and the mark that embeddings are ready
# is written, by which later runs skip encoding.
# Fails if any of this changes. Installs PyTorch (some 3 GB).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  xares==0.1.3 webdataset==1.0.2 torch==2.11.0 torchaudio==2.11.0
cd "$folder"
OMP_NUM_THREADS=1 venv/bin/python - > log 2>&1 <<'PYTHON' || { cat log; exit 1; }
import wave
from pathlib import Path

import torch
from xares.audiowebdataset import write_audio_tar
from xares.task import TaskConfig, XaresTask


class MeanEncoder(torch.nn.Module):
    sampling_rate, output_dim, hop_size_in_ms, asked = 16000, 1, 1000, 0

    def forward(self, audio):
        self.asked += len(audio)
        return audio.unfold(1, 16000, 16000).mean(-1, keepdim=True)


encoder, files = MeanEncoder(), []
for n in range(4):
    files.append(f"clip{n}.wav")
    with wave.open(files[-1], "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 16000))
Path("toy").mkdir()
for split in ("train", "valid", "test"):
    write_audio_tar(files, [{"label": n % 2} for n in range(4)], f"toy/{split}*.tar", num_shards=1)
Path("toy/.audio_tar_ready").touch()
task = XaresTask(TaskConfig(name="toy", env_root=".", encoder=encoder, num_encoder_workers=0, output_dim=2))
task.make_encoded_tar()
ready = task.encoded_ready_path.exists()
print(f"the encoder was asked for {encoder.asked} of 12 clips, marked as ready: {ready}")
assert encoder.asked == 0 and ready
PYTHON
tail -n 1 log
if grep -i "warn\|torchcodec" log; then
  echo "it says so now"
  exit 1
fi
echo "as described"
