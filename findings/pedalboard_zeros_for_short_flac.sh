#!/usr/bin/env bash
# pedalboard 0.9.26 (PyPI) gives zeros for a FLAC that is shorter than its header says, even for the part that is there.
#
# `ffmpeg -t 1 -c copy` cuts a FLAC without decoding it; the new file keeps the old number of samples in its header.
# Expected: the second that is there, as PyAV 18.1.0 and miniaudio 1.71 give it, or an error.
# Seen: read whole, three seconds of zeros and no error; read in pieces of a second, one second of sound, then zeros.
# Fails if any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  pedalboard==0.9.26 miniaudio==1.71 av==18.1.0 imageio-ffmpeg==0.6.0 numpy==2.2.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import subprocess
import sys

import av
import imageio_ffmpeg
import miniaudio
import numpy as np
from pedalboard.io import AudioFile

whole, cut = f"{sys.argv[1]}/whole.flac", f"{sys.argv[1]}/cut.flac"
ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error"]
subprocess.run([*ffmpeg, "-f", "lavfi", "-i", "anoisesrc=duration=3:sample_rate=44100:seed=1", whole], check=True)
subprocess.run([*ffmpeg, "-i", whole, "-t", "1", "-c", "copy", cut], check=True)
with av.open(cut) as container:
    decoded = sum(frame.samples for frame in container.decode(audio=0))
mini = miniaudio.flac_read_file_s16(cut).num_frames
with AudioFile(cut) as file:
    at_once = file.read(file.frames)[0]
with AudioFile(cut) as file:
    seconds = [file.read(44_100)[0] for _ in range(3)]
sound = [int(np.count_nonzero(second)) for second in seconds]
print(f"PyAV {decoded}, miniaudio {mini}; pedalboard: {len(at_once)} at once, of them not 0: {np.count_nonzero(at_once)}; "
      f"by seconds, not 0: {sound}")
assert 44_100 <= decoded < 50_000 and mini == decoded
assert len(at_once) == 132_300 and not at_once.any()
assert sound[0] > 40_000 and sound[2] == 0
print("as described")
PYTHON
