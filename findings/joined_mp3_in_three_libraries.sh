#!/usr/bin/env bash
# Two MP3s one behind the other (`cat a.mp3 b.mp3`: podcasts, speech synthesised in pieces) are read in three ways by three
# libraries, none of them right.
#
# Expected: 64,000 frames, each file's 32,000 as each of the libraries gives for it alone.
# Seen: soundfile 0.14.0 (libsndfile 1.2.2) gives the first file and ends without an error. pedalboard 0.9.26 gives the
# first file too, with its encoder's delay and padding left in (33,408). PyAV 18.1.0 raises InvalidDataError between the
# files, after the first one's frames.
# Fails if any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  soundfile==0.14.0 pedalboard==0.9.26 av==18.1.0 imageio-ffmpeg==0.6.0 numpy==2.2.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import subprocess
import sys
from pathlib import Path

import av
import imageio_ffmpeg
import soundfile
from pedalboard.io import AudioFile

one, two = Path(sys.argv[1], "one.mp3"), Path(sys.argv[1], "two.mp3")
source = ["-f", "lavfi", "-i", "sine=frequency=440:duration=2:sample_rate=16000,volume=2"]
subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, "-c:a", "libmp3lame", "-q:a", "4", str(one)], check=True)
two.write_bytes(one.read_bytes() * 2)


def by_av(path):
    frames = 0
    with av.open(str(path)) as container:
        try:
            for frame in container.decode(audio=0):
                frames += frame.samples
        except av.error.InvalidDataError:
            return frames, "InvalidDataError"
    return frames, None


def by_pedalboard(path):
    with AudioFile(str(path)) as file:
        return file.read(file.frames).shape[1]


for path in (one, two):
    print(path.name, "soundfile", len(soundfile.read(path)[0]), "pedalboard", by_pedalboard(path), "PyAV", by_av(path))
assert len(soundfile.read(one)[0]) == 32_000 and by_av(one) == (32_000, None)
assert len(soundfile.read(two)[0]) == 32_000
assert by_pedalboard(two) == 33_408
frames, failure = by_av(two)
assert failure == "InvalidDataError" and frames < 34_000
print("as described")
PYTHON
