#!/usr/bin/env bash
# pedalboard 0.9.26 (PyPI) believes the placeholder that FFmpeg writes into the header of a WAV that goes to a pipe.
#
# Expected: the two seconds that the file holds, as soundfile 0.14.0 (libsndfile 1.2.2) and PyAV 18.1.0 give them.
# Seen: `frames` is 2,147,483,647 (37 hours), and whatever is asked for behind the two seconds comes back as zeros, with
# no error: a chunk taken at random from "the file" is nearly always silence that nobody recorded.
# Fails if any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  pedalboard==0.9.26 soundfile==0.14.0 av==18.1.0 imageio-ffmpeg==0.6.0 numpy==2.2.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import subprocess
import sys

import av
import imageio_ffmpeg
import numpy as np
import soundfile
from pedalboard.io import AudioFile

path = f"{sys.argv[1]}/piped.wav"
source = ["-f", "lavfi", "-i", "sine=frequency=440:duration=2:sample_rate=16000"]
with open(path, "wb") as file:  # FFmpeg sees a pipe: it cannot go back and write the length
    encoder = subprocess.Popen([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, "-f", "wav", "-"], stdout=subprocess.PIPE)
    file.write(encoder.communicate()[0])
held = len(soundfile.read(path)[0])
with av.open(path) as container:
    decoded = sum(frame.samples for frame in container.decode(audio=0))
with AudioFile(path) as file:
    claimed = file.frames
    file.seek(1_000_000)
    behind = file.read(16_000)
print(f"soundfile {held}, PyAV {decoded}, pedalboard {claimed}; behind the end: shape {behind.shape}, peak {np.abs(behind).max()}")
assert held == decoded == 32_000
assert claimed == 2_147_483_647
assert behind.shape == (1, 16_000) and not behind.any()
print("as described")
PYTHON
