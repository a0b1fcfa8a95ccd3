#!/usr/bin/env python3
"""Make tests/data/formats: one second of sound in the containers and codecs that users have.

Usage: make_format_samples.py OUT_DIR

Needs ffmpeg (with libmp3lame, libopus, libvorbis) and lame, as Debian packs them. The sound is a sweep from 200 to 3,000
Hz under a slow tremolo, so that a shift by a few samples, a cut or a repetition shows. Encoded files differ in bytes from
one version of an encoder to the next, hence they are kept in the repository.
"""

import array
import math
import subprocess
import sys
import wave
from pathlib import Path

RATE = 16000
SECONDS = 1.25

# Name: arguments of ffmpeg behind the input. "-bitexact" leaves out versions and dates.
FFMPEG = {
    "mp3_vbr_no_length.mp3": ["-c:a", "libmp3lame", "-q:a", "4", "-write_xing", "0", "-id3v2_version", "0"],
    "mp3_cbr_no_length.mp3": ["-c:a", "libmp3lame", "-b:a", "48k", "-write_xing", "0", "-id3v2_version", "0"],
    "mp3_gapless.mp3": ["-c:a", "libmp3lame", "-q:a", "4"],
    "mp3_gapless_24k.mp3": ["-c:a", "libmp3lame", "-q:a", "4", "-ar", "24000"],
    "mp3_in_wav.wav": ["-c:a", "libmp3lame", "-b:a", "48k"],
    "mp2.mp2": ["-c:a", "mp2", "-b:a", "64k"],
    "mp2_in_wav.wav": ["-c:a", "mp2", "-b:a", "64k"],
    "vorbis.ogg": ["-c:a", "libvorbis", "-q:a", "3"],
    "vorbis_24k.ogg": ["-c:a", "libvorbis", "-q:a", "3", "-ar", "24000"],
    "opus.opus": ["-c:a", "libopus", "-b:a", "32k"],
    "flac.flac": ["-c:a", "flac"],
    "flac_in_ogg.oga": ["-c:a", "flac", "-f", "ogg"],
    "aac.m4a": ["-c:a", "aac", "-b:a", "48k"],
    "aac.mp4": ["-c:a", "aac", "-b:a", "48k", "-movflags", "+faststart"],
    "aac.aac": ["-c:a", "aac", "-b:a", "48k"],
    "alac.m4a": ["-c:a", "alac"],
    "alac.caf": ["-c:a", "alac"],
    "opus.webm": ["-c:a", "libopus", "-b:a", "32k"],
    "vorbis.mka": ["-c:a", "libvorbis", "-q:a", "3"],
    "mp2.ts": ["-c:a", "mp2", "-b:a", "64k"],
    "aac_fragmented.mp4": ["-c:a", "aac", "-b:a", "48k", "-movflags", "frag_keyframe+empty_moov"],
    "wma.wma": ["-c:a", "wmav2", "-b:a", "48k"],
    "ac3.ac3": ["-c:a", "ac3", "-b:a", "96k", "-ar", "32000"],
    "wavpack.wv": ["-c:a", "wavpack"],
    "tta.tta": ["-c:a", "tta"],
}


def sound() -> array.array:
    """16-bit samples of the sweep."""
    samples = array.array("h")
    for n in range(int(RATE * SECONDS)):
        t = n / RATE
        phase = 2 * math.pi * (200 * t + 0.5 * (3000 - 200) / SECONDS * t * t)
        level = 0.3 + 0.2 * math.sin(2 * math.pi * 7 * t) + 0.2 * (t > 0.6)
        samples.append(round(32767 * level * math.sin(phase)))
    return samples


def main() -> int:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    source = out / "source.wav"
    with wave.open(str(source), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(sound().tobytes())
    for name, arguments in FFMPEG.items():
        command = ["ffmpeg", "-v", "error", "-y", "-i", str(source), *arguments, "-fflags", "+bitexact", str(out / name)]
        subprocess.run(command, check=True)
    subprocess.run(["lame", "--quiet", "-V4", str(source), str(out / "mp3_lame.mp3")], check=True)
    # What a cut by copying leaves: FLAC frames of the first second, a header that tells of all.
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", str(out / "flac.flac"), "-t", "0.6", "-c", "copy", "-fflags",
                    "+bitexact", str(out / "flac_cut_by_copying.flac")], check=True)
    print(f"{len(list(out.iterdir()))} files, {sum(f.stat().st_size for f in out.iterdir())} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
