#!/usr/bin/env bash
# xares 0.1.3 (PyPI, webdataset 1.0.2) loses the crops of a clip but the first of each batch, and says nothing.
#
# A task with crop_length cuts its clips in sequence (X-ARES's Free Music Archive task: 30 s in crops of 10 s). All crops of
# a clip in one batch are stored under one key; the reader takes the second for an error, and the handler goes on.
# Expected: 12 crops of four clips of 30 s to train and test with, as the encoder was asked for.
# Seen: the encoder is asked for 12, the archive holds 12, 4 are read; no error, no warning.
# Fails if any of this changes. Needs FFmpeg's libraries; installs PyTorch (some 3 GB).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  xares==0.1.3 webdataset==1.0.2 torch==2.11.0 torchaudio==2.11.0 torchcodec==0.17.0
cd "$folder"
OMP_NUM_THREADS=1 venv/bin/python - > log 2>&1 <<'PYTHON' || { cat log; exit 1; }
import tarfile
import wave
from pathlib import Path

import numpy
import torch
from xares.audiowebdataset import create_embedding_webdataset, write_audio_tar
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
        file.writeframes(numpy.full(30 * 16000, 1000 * n, "<i2").tobytes())
Path("toy").mkdir()
for split in ("train", "valid", "test"):
    write_audio_tar(files, [{"label": n % 2} for n in range(4)], f"toy/{split}*.tar", num_shards=1)
Path("toy/.audio_tar_ready").touch()
task = XaresTask(TaskConfig(name="toy", env_root=".", encoder=encoder, crop_length=10, num_encoder_workers=0, output_dim=2))
task.make_encoded_tar()
(archive,) = task.encoded_tar_dir.glob("*test*.tar")
with tarfile.open(archive) as tar:
    stored = sum(name.endswith(".npy") for name in tar.getnames())
loader = create_embedding_webdataset(
    [str(task.encoded_tar_path_of_split["test"])], num_workers=0, label_processor=lambda sample: sample["label"]
)
read = sum(len(names) for *_, names in loader)
print(f"asked for {encoder.asked // 3} a split, stored {stored}, read {read}")
assert (encoder.asked // 3, stored, read) == (12, 12, 4)
PYTHON
tail -n 1 log
if grep -i "warn\|duplicate" log; then
  echo "it says so now"
  exit 1
fi
echo "as described"
