#!/usr/bin/env bash
# samplerate 0.2.4 (PyPI, libsamplerate) returns one sample too few of clips whose resampled length is a whole number.
#
# Ten seconds at 44,100 or 22,050 Hz are 160,000 samples at 16,000 Hz, by any rounding.
# Expected: 160,000 samples, as soxr 1.1.0 and samplerate's own `linear` converter give them.
# Seen: 159,999 from `sinc_best`, `sinc_medium` and `sinc_fastest`; of one second, two of the three give 15,999. No error, no
# warning. Where frames are counted as length / hop + 1, a spectrogram of hop 160 is one frame short, and clips of one
# length that were resampled by different tools do not fit into one batch. 48,000 Hz, whose ratio is a whole number, is
# right.
# Fails if any of this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check samplerate==0.2.4 soxr==1.1.0 numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy
import samplerate
import soxr

SINC = ("sinc_best", "sinc_medium", "sinc_fastest")
draw = numpy.random.default_rng(0)


def lengths(rate: int, seconds: int) -> dict[str, int]:
    clip = (draw.standard_normal(rate * seconds) * 0.1).astype(numpy.float32)
    found = {name: len(samplerate.resample(clip, 16_000 / rate, name)) for name in (*SINC, "linear")}
    found["soxr"] = len(soxr.resample(clip, rate, 16_000))
    print(f"{seconds} s at {rate} Hz: {found}")
    return found


for rate in (44_100, 22_050):
    ten = lengths(rate, 10)
    assert [ten[name] for name in SINC] == [159_999] * 3
    assert ten["linear"] == ten["soxr"] == 160_000
one = lengths(44_100, 1)
assert [one[name] for name in SINC] == [16_000, 15_999, 15_999] and one["soxr"] == 16_000
assert set(lengths(48_000, 10).values()) == {160_000}
print("as described")
PYTHON
