#!/usr/bin/env bash
# soundfile 0.14.0 (PyPI, libsndfile 1.2.2) reads a part of an MP3 of variable rate whose header tells no length.
#
# Streams, cut files and many encoders write no Xing or Info frame. libsndfile then guesses the number of frames from the
# first MP3 frame's rate, and its reader stops there.
# Expected: all 33,408 frames of the two seconds (with the encoder's delay), as PyAV 18.1.0 and soundfile itself through a
# pipe give them. Seen: fewer than a third of them from the file, with no error and no warning.
# Fails if any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  soundfile==0.14.0 av==18.1.0 imageio-ffmpeg==0.6.0 numpy==2.2.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import subprocess
import sys

import av
import imageio_ffmpeg
import soundfile

path = f"{sys.argv[1]}/variable.mp3"
source = ["-f", "lavfi", "-i", "sine=frequency=440:duration=2:sample_rate=16000,volume=2"]
options = ["-c:a", "libmp3lame", "-q:a", "4", "-write_xing", "0"]
subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, *options, path], check=True)
with av.open(path) as container:
    decoded = sum(frame.samples for frame in container.decode(audio=0))
read = len(soundfile.read(path)[0])
print(f"libsndfile {soundfile.__libsndfile_version__}: {read} frames, PyAV: {decoded}")
assert decoded == 33_408
assert 0 < read < decoded / 3
print("as described")
PYTHON
