#!/usr/bin/env python3
"""Make the recorded audio in tests/data from Debian packages.

Usage: make_test_audio.py OUT_DIR [--root ROOT]

ROOT is where the packages are installed ("/", the default) or unpacked:

    for p in sonic-pi-samples asterisk-core-sounds-{en,es,fr,it,ru}-g722; do
        apt-get download $p && dpkg-deb -x ${p}_*.deb ROOT
    done

Needs ffmpeg with libopus, libvorbis, libmp3lame and libsoxr (Debian's has them). It writes

    OUT_DIR/audio/                               clips to pre-train on
    OUT_DIR/hear/tasks/instruments-v1-full/      a scene task in hear-preprocess's layout
    OUT_DIR/manifest.csv                         per clip: length, licence, source

Every run selects the same clips. What the task validates and tests on is kept out of the pre-training
clips, near-duplicates included. Only samples that the copyright file lists as CC0 by name are used.
"""

import argparse
import array
import csv
import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

TASK = "instruments-v1-full"
TASK_RATE, MUSIC_RATE = 16000, 48000
SPLITS = {"train": 0.6, "valid": 0.2, "test": 0.2}
CC0 = "CC0-1.0"
SAMPLES, PROMPTS = "usr/share/sonic-pi/samples", "usr/share/asterisk/sounds"

# language: (voice folder, licence that the copyright file gives for it)
VOICES = {
    "en": ("en_US_f_Allison", "CC-BY-SA-3.0"),
    "es": ("es_MX_f_Allison", "CC-BY-SA-3.0"),
    "fr": ("fr_CA_f_June", "CC-BY-SA-3.0"),
    "it": ("it_IT_m_Carlo", "CC-BY-3.0"),
    "ru": ("ru_RU_f_IvrvoiceRU", "CC-BY-3.0"),
}
SPEECH_CLIPS, SPEECH_TASK_CLIPS = 25, 5  # per language

# class: (pattern of the file stem, most one-second excerpts per file). Recordings that sound the same
# throughout give several; of a single stroke only the onset is typical.
CLASSES = {
    "ambience": (r"ambi_", 4),
    "bass": (r"bass_", 2),
    "bass_drum": (r"bd_|drum_bass|drum_heavy_kick|elec_(hollow|soft)_kick", 1),
    "cymbal": (r"drum_(cymbal|splash)|elec_cymbal", 2),
    "guitar": (r"guit_", 6),
    "loop": (r"loop_(?!tabla)", 4),
    "snare": (r"sn_|drum_snare|elec_(\w+_)?snare", 1),
    "tabla": (r"tabla_", 1),
}
EXCERPT_S = 1.0

FOLDERS = {  # prefix of the file stem: folder of the pre-training clip
    "ambi": "ambience", "bass": "bass", "bd": "drums", "drum": "drums", "elec": "electronic", "guit": "guitar",
    "loop": "loops", "misc": "effects", "perc": "percussion", "sn": "drums", "tabla": "tabla", "vinyl": "effects",
}
SEQUENCES = {"drums": 16, "electronic": 8, "tabla": 16}  # clips made by playing short samples one after another

# pre-training clips kept in other formats than Ogg/Opus: stem -> (suffix, rate, channels)
OTHER_FORMATS = {
    "loop_garzul": (".mp3", 44100, 2), "perc_till": (".flac", 44100, 1), "elec_chime": (".wav", 16000, 1),
    "loop_amen_full": (".ogg", 44100, 2), "vinyl_rewind": (".ogg", 22050, 1),
}
ENCODERS = {
    ".opus": ["-c:a", "libopus", "-vbr", "on"],
    ".ogg": ["-c:a", "libvorbis", "-q:a", "1"],
    ".mp3": ["-c:a", "libmp3lame", "-b:a", "64k"],
    ".flac": ["-c:a", "flac", "-compression_level", "12", "-metadata_header_padding", "0"],
    ".wav": ["-c:a", "pcm_s16le"],
}


@dataclass(frozen=True)
class Source:
    """One file of a package."""
    path: Path
    label: str  # folder of the pre-training clip or class of the task
    licence: str


def ffmpeg(arguments: list[str], data: bytes = b"") -> bytes:
    command = ["ffmpeg", "-v", "error", "-y", *arguments]
    result = subprocess.run(command, input=data, capture_output=True)
    if result.returncode:
        sys.exit(f"make_test_audio: {' '.join(command)}: {result.stderr.decode(errors='replace').strip()}")
    return result.stdout


def decode(path: Path, rate: int, channels: int = 1) -> array.array:
    """Read a file as interleaved 16-bit samples."""
    kind = ["-f", "g722"] if path.suffix == ".g722" else []
    # soxr dithers 16-bit output with random noise, so it gets to write floats.
    resample = f"aresample={rate}:resampler=soxr:osf=flt,aformat=s16"
    return array.array("h", ffmpeg([*kind, "-i", str(path), "-ac", str(channels), "-af", resample, "-f", "s16le", "-"]))


def fade(samples: array.array, rate: int, start: bool) -> array.array:
    """Fade the 10 ms next to a cut, so that it does not click: the end and, if wanted, the start."""
    n = min(rate // 100, len(samples) // 2)
    for i in range(n):
        samples[-1 - i] = samples[-1 - i] * i // n
        if start:
            samples[i] = samples[i] * i // n
    return samples


def rms(samples: array.array) -> float:
    return (sum(x * x for x in samples) / max(1, len(samples))) ** 0.5 / 32768


def ordered(names: list[str], salt: str) -> list[str]:
    """An order that looks random but depends on the names alone."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{salt}/{name}".encode()).digest())


def family(stem: str) -> str:
    """The name that near-duplicates share: tabla_ghe1 and tabla_ghe2, drum_snare_hard and drum_snare_soft."""
    stem = re.sub(r"_(lo|mid|hi|glass(?=_hum)|haunted)(?=_)", "", stem)
    return re.sub(r"(_full|_hard|_soft|_hit|(?<!_)\d+)(?=_c$|$)", "", stem)


def cc0_samples(root: Path) -> dict[str, Path]:
    """The samples that the copyright file lists by name as CC0."""
    copyright_file = root / "usr/share/doc/sonic-pi-samples/copyright"
    if not copyright_file.is_file():
        sys.exit(f"make_test_audio: {copyright_file} is missing: is sonic-pi-samples installed or unpacked there?")
    found = {}
    for stanza in copyright_file.read_text(encoding="utf-8").split("\n\n"):
        name = re.match(r"Files:\s+etc/samples/(\w+)\.flac\n", stanza)
        path = root / SAMPLES / f"{name[1]}.flac" if name else None
        if path and path.is_file() and re.search(r"^License: CC0$", stanza, re.MULTILINE):
            found[name[1]] = path
    return dict(sorted(found.items()))


def prompts(root: Path, language: str, folders: list[str], low: float, high: float, count: int) -> list[Path]:
    """Prompts of one voice between two durations in seconds (g722 has 8000 bytes a second)."""
    voice = root / PROMPTS / VOICES[language][0]
    found = [p for folder in folders for p in (voice / folder).glob("*.g722")]
    paths = {p.relative_to(voice).as_posix(): p for p in found if low <= p.stat().st_size / 8000 <= high}
    if len(paths) < count:
        sys.exit(f"make_test_audio: {voice}: {len(paths)} prompts found, {count} needed")
    return [paths[name] for name in ordered(list(paths), language)[:count]]


def excerpts(samples: array.array, most: int) -> list[array.array]:
    """Cut a task clip's source into one-second excerpts, leaving out the quiet ones."""
    size, least = int(EXCERPT_S * TASK_RATE), int(0.3 * TASK_RATE)
    if len(samples) < least:  # a single short stroke: silence follows it
        samples = samples + array.array("h", bytes(2 * (least - len(samples))))
    pieces = []
    for start in range(0, max(1, len(samples) - size // 2), size):
        piece = samples[start:start + size]
        if rms(piece) > 0.005:
            pieces.append(fade(piece, TASK_RATE, start > 0) if len(samples) > size else piece)
    return [pieces[i * len(pieces) // most] for i in range(most)] if len(pieces) > most else pieces


def split_by_family(clips: Counter[str]) -> dict[str, str]:
    """Map each family of one class to a split, largest first, filling whichever split lacks most clips."""
    missing = {split: share * clips.total() for split, share in SPLITS.items()}
    assigned = {}
    for name in sorted(ordered(list(clips), "split"), key=lambda name: -clips[name]):
        assigned[name] = max(missing, key=lambda split: missing[split])
        missing[assigned[name]] -= clips[name]
    return assigned


class Writer:
    """Encodes clips below one folder and keeps the manifest."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows: list[tuple[str, str, str, str]] = []

    def write(self, path: str, samples: array.array, rate: int, channels: int, sources: list[Source]) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        bitrate = ["-b:a", "24k" if "/speech/" in path else "32k"] if target.suffix == ".opus" else []
        ffmpeg(["-f", "s16le", "-ar", str(rate), "-ac", str(channels), "-i", "-", *ENCODERS[target.suffix], *bitrate,
                "-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact", str(target)], samples.tobytes())
        names = " ".join(re.sub(r".*/(samples|sounds)/", "", s.path.as_posix()) for s in sources)
        self.rows.append((path, f"{len(samples) / rate / channels:.3f}", sources[0].licence, names))

    def manifest(self) -> None:
        with open(self.root / "manifest.csv", "w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(("path", "seconds", "licence", "source"))
            table.writerows(sorted(self.rows))


def make_task(writer: Writer, root: Path, samples: dict[str, Path]) -> set[str]:
    """Write the task; return the stems of the samples that it validates and tests on."""
    folder = f"hear/tasks/{TASK}"
    labels: dict[str, dict[str, list[str]]] = {split: {} for split in SPLITS}
    held_out: set[str] = set()

    def add(split: str, name: str, piece: array.array, source: Source) -> None:
        writer.write(f"{folder}/{TASK_RATE}/{split}/{name}", piece, TASK_RATE, 1, [source])
        labels[split][name] = [source.label]

    for label, (pattern, most) in CLASSES.items():
        pieces = {s: excerpts(decode(p, TASK_RATE), most) for s, p in samples.items() if re.match(pattern, s)}
        split_of = split_by_family(Counter(family(stem) for stem, parts in pieces.items() for _ in parts))
        for stem, parts in pieces.items():
            split = split_of[family(stem)]
            if split != "train":
                held_out.add(stem)
            for i, piece in enumerate(parts):
                name = f"{stem}.flac" if most == 1 else f"{stem}-{i}.flac"
                add(split, name, piece, Source(samples[stem], label, CC0))

    for language, (_, licence) in VOICES.items():
        # Single words; the pre-training clips come from another folder.
        words = prompts(root, language, ["digits", "letters", "phonetic"], 0.5, 1.2, SPEECH_TASK_CLIPS)
        for split, path in zip(("train", "train", "train", "valid", "test"), words):
            name = f"speech_{language}_{path.parent.name}_{path.stem}.flac"
            add(split, name, decode(path, TASK_RATE), Source(path, "speech", licence))

    metadata = {
        "task_name": "instruments", "version": "v1", "mode": "full", "default_mode": "full",
        "embedding_type": "scene", "prediction_type": "multiclass", "split_mode": "trainvaltest",
        "splits": list(SPLITS), "sample_duration": None, "evaluation": ["top1_acc", "mAP"],
        "use_scoring_for_early_stopping": True,
    }
    target = writer.root / folder
    for name, content in {"task_metadata": metadata, **{s: dict(sorted(t.items())) for s, t in labels.items()}}.items():
        (target / f"{name}.json").write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
    rows = [f"{i},{label}\n" for i, label in enumerate(sorted({*CLASSES, "speech"}))]
    (target / "labelvocabulary.csv").write_text("".join(["idx,label\n", *rows]), encoding="utf-8")
    return held_out


def make_audio(writer: Writer, root: Path, samples: dict[str, Path]) -> None:
    """Write the pre-training clips: long samples, sequences of short ones, prompts in five languages."""
    assert OTHER_FORMATS.keys() <= samples.keys(), "a sample of the task is also in OTHER_FORMATS"
    short: dict[str, list[tuple[Source, array.array]]] = {folder: [] for folder in SEQUENCES}
    for stem, path in samples.items():
        source = Source(path, FOLDERS[stem.split("_")[0]], CC0)
        suffix, rate, channels = OTHER_FORMATS.get(stem, (".opus", MUSIC_RATE, 1))
        clip, second = decode(path, rate, channels), rate * channels
        if len(clip) < second:
            short.get(source.label, []).append((source, clip))  # for a sequence, if its folder has any
            continue
        if len(clip) > 10 * second:
            clip = fade(clip[:10 * second], rate, start=False)
        writer.write(f"audio/music/{source.label}/{stem}{suffix}", clip, rate, channels, [source])

    for folder, count in SEQUENCES.items():
        choose = random.Random(folder)
        for number in range(count):
            beat = choose.randrange(MUSIC_RATE // 8, MUSIC_RATE // 3)
            line, used = array.array("h"), []
            for _ in range(choose.randrange(3, 6) * MUSIC_RATE // beat):
                source, clip = choose.choice(short[folder])
                note = fade(clip[:beat], MUSIC_RATE, start=False)
                line.extend(note + array.array("h", bytes(2 * (beat - len(note)))))
                used.append(source)
            path = f"audio/music/{folder}/sequence_{number:02d}.opus"
            writer.write(path, line, MUSIC_RATE, 1, list(dict.fromkeys(used)))

    for language, (_, licence) in VOICES.items():
        for path in prompts(root, language, ["."], 2.0, 9.9, SPEECH_CLIPS):
            target = f"audio/speech/{language}/{path.stem}.opus"
            writer.write(target, decode(path, 16000), 16000, 1, [Source(path, language, licence)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument("--root", type=Path, default=Path("/"), help="where the packages are installed or unpacked")
    arguments = parser.parse_args()
    if not shutil.which("ffmpeg"):
        sys.exit("make_test_audio: ffmpeg is needed (apt-get install ffmpeg)")
    for made in ("audio", f"hear/tasks/{TASK}"):
        if (arguments.out / made).exists():
            sys.exit(f"make_test_audio: {arguments.out / made} exists; remove it first")
    samples = cc0_samples(arguments.root)
    writer = Writer(arguments.out)
    held_out = make_task(writer, arguments.root, samples)
    make_audio(writer, arguments.root, {s: p for s, p in samples.items() if s not in held_out})
    writer.manifest()


if __name__ == "__main__":
    main()
