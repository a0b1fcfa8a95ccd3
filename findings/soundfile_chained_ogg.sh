#!/usr/bin/env bash
# soundfile 0.14.0 (PyPI, libsndfile 1.2.2) and miniaudio 1.71 read the first link of a chained Ogg and say nothing of the
# others.
#
# Ogg streams may follow each other in one file (RFC 3533, section 4): recordings of internet radio, joined files.
# Expected: 6 seconds of two links of 3, as PyAV 18.1.0 gives them (to a block of Vorbis), or a warning.
# Seen: 3 seconds from both, no error, no warning; `soundfile.info` reports 3 seconds too.
# Fails if any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  soundfile==0.14.0 miniaudio==1.71 av==18.1.0 imageio-ffmpeg==0.6.0 numpy==2.2.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import subprocess
import sys
from pathlib import Path

import av
import imageio_ffmpeg
import miniaudio
import soundfile

one, two = Path(sys.argv[1], "one.ogg"), Path(sys.argv[1], "two.ogg")
source = ["-f", "lavfi", "-i", "sine=frequency=440:duration=3:sample_rate=44100"]
subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, "-c:a", "libvorbis", str(one)], check=True)
two.write_bytes(one.read_bytes() * 2)
with av.open(str(two)) as container:
    decoded = sum(frame.samples for frame in container.decode(audio=0))
read, told = len(soundfile.read(two)[0]), soundfile.info(two).frames
mini = miniaudio.vorbis_read_file(str(two)).num_frames
print(f"PyAV {decoded}, soundfile {read} (info {told}), miniaudio {mini}")
assert 264_600 <= decoded < 264_600 + 2_048
assert read == told == mini == 132_300
print("as described")
PYTHON
