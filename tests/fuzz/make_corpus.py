"""Makes the seeds of tests/fuzz/corpus: small whole files of each format, most by the libraries that write them in practice.

Usage: make_corpus.py FOLDER   (needs numpy, safetensors and the system's libsndfile; run once, the result is in git)
"""

import bz2
import ctypes
import gzip
import io
import json
import lzma
import math
import pickle
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy
from safetensors.numpy import save

REPO = Path(__file__).resolve().parents[2]
GOLDEN = REPO / "tests/golden/hear"


def tone(frames: int, channels: int) -> numpy.ndarray:
    """A quiet sine, [frames · channels] float32."""
    return numpy.repeat(numpy.sin(numpy.arange(frames) * 0.1) * 0.1, channels).astype(numpy.float32)


class SoundInfo(ctypes.Structure):
    """libsndfile's SF_INFO."""

    _fields_ = [("frames", ctypes.c_int64)] + [(n, ctypes.c_int) for n in ("samplerate", "channels", "format", "sections", "seekable")]


def sound(path: Path, major: int, minor: int, rate: int = 16000, channels: int = 1, frames: int = 1600) -> None:
    """Writes a tone with libsndfile; `major` and `minor` are its SF_FORMAT numbers."""
    library = ctypes.CDLL("libsndfile.so.1")
    library.sf_open.restype = ctypes.c_void_p
    info = SoundInfo(0, rate, channels, major << 16 | minor, 0, 0)
    handle = ctypes.c_void_p(library.sf_open(str(path).encode(), 0x20, ctypes.byref(info)))
    if not handle:
        sys.exit(f"libsndfile cannot write {path.name}")
    samples = tone(frames, channels)
    library.sf_writef_float(handle, samples.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), ctypes.c_int64(frames))
    library.sf_close(handle)


def make_audio(folder: Path) -> None:
    sound(folder / "pcm16.wav", 0x01, 0x02)
    sound(folder / "pcm24_stereo.wav", 0x01, 0x03, rate=44100, channels=2)
    sound(folder / "float.wav", 0x01, 0x06)
    sound(folder / "ulaw.wav", 0x01, 0x10)
    sound(folder / "ima_adpcm.wav", 0x01, 0x12)
    sound(folder / "extensible.wav", 0x13, 0x02, channels=3)
    sound(folder / "wave64.w64", 0x0B, 0x02)
    sound(folder / "pcm16.flac", 0x17, 0x02)
    sound(folder / "stereo.flac", 0x17, 0x02, channels=2)
    sound(folder / "vorbis.ogg", 0x20, 0x60)
    sound(folder / "opus.ogg", 0x20, 0x64, rate=48000, frames=4800)
    sound(folder / "layer3.mp3", 0x23, 0x82, frames=3200)
    sound(folder / "pcm16.aiff", 0x02, 0x02)
    sound(folder / "pcm16.au", 0x03, 0x02)


def make_pcm(folder: Path) -> None:
    """A byte that says what is known, then raw samples or WAV as pipes carry it."""
    def wav(tag: int, channels: int, bits: int, claimed: int, body: bytes, before: bytes = b"", riff: bytes = b"RIFF") -> bytes:
        frame = channels * bits // 8
        header = struct.pack("<HHIIHH", tag, channels, 16000, 16000 * frame, frame, bits)
        return riff + b"\xff\xff\xff\xffWAVE" + before + b"fmt \x10\0\0\0" + header + b"data" + struct.pack("<I", claimed) + body

    samples, floats = struct.pack("<6h", *range(-3, 3)), struct.pack("<4f", 0.5, -1, math.nan, 0)
    notes = b"LIST" + struct.pack("<I", 5) + b"abcde\0"
    inputs = {
        "raw": b"\0" + samples,
        "stereo": b"\x12" + samples + b"h",
        "float": b"\x01" + floats,
        "pipe": b"\0" + wav(1, 1, 16, 0xFFFFFFFF, samples, notes),
        "whole": b"\0" + wav(3, 2, 32, 8, floats[:8] + notes),
        "rf64": b"\0" + wav(1, 1, 16, 0xFFFFFFFF, samples, b"ds64" + struct.pack("<IQQQI", 28, 100, 8, 4, 0), b"RF64"),
        "cut": b"\0" + wav(1, 1, 16, 100, samples)[:30],
    }
    for name, content in inputs.items():
        (folder / name).write_bytes(content)


def make_safetensors(folder: Path) -> None:
    tensors = {"blocks.0.weight": numpy.ones((2, 3), numpy.float32), "step": numpy.array(7, numpy.int64)}
    (folder / "two_tensors").write_bytes(save(tensors, {"format": "pt"}))
    (folder / "empty").write_bytes(save({}))
    many = {f"t{n}": numpy.zeros((n,), t) for n, t in enumerate((numpy.float64, numpy.float16, numpy.int32, numpy.int8, numpy.bool_))}
    (folder / "types").write_bytes(save(many))
    # What a header may claim in few bytes: 2^60 elements, sizes whose product wraps, values deep in each other.
    for name, header in {
        "claims_2_60": {"x": {"dtype": "F32", "shape": [1 << 60], "data_offsets": [0, 1 << 62]}},
        "product_wraps": {"x": {"dtype": "F32", "shape": [1 << 32, 1 << 32], "data_offsets": [0, 0]}},
        "negative": {"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
    }.items():
        text = json.dumps(header).encode()
        (folder / name).write_bytes(struct.pack("<Q", len(text)) + text)
    (folder / "header_of_2_63").write_bytes(struct.pack("<Q", 1 << 63) + b"{}")
    deep = b'{"x":{"dtype":"F32","shape":[' + b"[" * 200 + b"]" * 200 + b'],"data_offsets":[0,0]}}'
    (folder / "deep").write_bytes(struct.pack("<Q", len(deep)) + deep)


def make_pickle(folder: Path) -> None:
    rows = [["dog", "cat"], [], [7, -1, 1 << 40], ["dog"]]
    for protocol in range(2, 6):
        (folder / f"protocol{protocol}").write_bytes(pickle.dumps(rows, protocol))
    (folder / "calls_a_function").write_bytes(pickle.dumps([[print]], 2))
    (folder / "claims_4_gib").write_bytes(b"\x80\x02]X\xff\xff\xff\xff")
    (folder / "repeats_a_text").write_bytes(b"\x80\x02]](X\x10\x00\x00\x00" + b"a" * 16 + b"q\x00" + b"h\x00" * 200 + b"ea.")


def fnv1a64(data: bytes) -> int:
    state = 0xCBF29CE484222325
    for byte in data:
        state = (state ^ byte) * 0x100000001B3 % (1 << 64)
    return state


def shard(clips: list[tuple[str, str, bytes]], meta: dict) -> bytes:
    """As src/data/shard.cpp writes it."""
    out, text, records = b"AXLSHRD1", b"", []
    for name, labels, data in clips:
        out += bytes(-len(out) % 64)
        records.append([len(out), len(data) // 2, -1.0, 0.5, fnv1a64(data), len(text), len(name), len(labels), len(data)])
        out += data
        text += (name + labels).encode()
    out += bytes(-len(out) % 64)
    text_offset = len(out) + 64 * len(records)
    index = b""
    for record in records:
        record[5] += text_offset
        index += struct.pack("<QQddQQIIQ", *record)
    index += text + json.dumps(meta).encode()
    footer = struct.pack("<QQQQQ8s", len(out), text_offset, text_offset + len(text), len(records), fnv1a64(index), b"AXLSHRD1")
    return out + index + footer


def make_shard(folder: Path) -> None:
    audio = {"sample_rate": 16000, "n_fft": 400, "window": 400, "hop": 160, "mels": 80, "f_min_hz": 0, "f_max_hz": 8000}
    meta = {"format": 1, "encoding": "pcm16", "audio": audio, "source": "list.csv", "source_fingerprint": "0", "broken": 1,
            "source_begin": 0, "source_end": 3, "broken_clips": [{"id": "bad", "reason": "empty"}]}
    (folder / "two_clips.axs").write_bytes(shard([("a", "dog,cat", b"\x01\x02" * 40), ("b", "", b"\x03\x04" * 3)], meta))
    (folder / "no_clips.axs").write_bytes(shard([], meta | {"encoding": "logmel16"}))
    (folder / "clips_2_60.axs").write_bytes(b"AXLSHRD1" + bytes(120) + struct.pack("<QQQQQ8s", 64, 64, 64, 1 << 60, 0, b"AXLSHRD1"))


def archive(members: dict[str, bytes], kind: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def archive_of_links() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, target in (("hard.wav", tarfile.LNKTYPE, "a.wav"), ("soft.wav", tarfile.SYMTYPE, "hard.wav"),
                                   ("gone.wav", tarfile.SYMTYPE, "../../etc/passwd"), ("self.wav", tarfile.SYMTYPE, "self.wav")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
    return out.getvalue()


def make_tar(folder: Path) -> None:
    members = {"x/one.flac": b"AAA", "x/one.json": b'{"labels": ["dog", 3]}', "x/two.cls": b"7\n", "x/two.wav": b"BB"}
    plain = archive(members)
    (folder / "plain.tar").write_bytes(plain)
    (folder / "gnu.tar").write_bytes(archive(members | {"n" * 150 + ".wav": b"C"}, tarfile.GNU_FORMAT))
    (folder / "pax.tar").write_bytes(archive({"ä" * 90 + ".wav": b"C"}))
    (folder / "gzip.tar").write_bytes(gzip.compress(plain, mtime=0))
    (folder / "bzip2.tar").write_bytes(bz2.compress(plain))
    (folder / "xz.tar").write_bytes(lzma.compress(plain))
    (folder / "leaves.tar").write_bytes(archive({"../../up.wav": b"A", "/etc/root.wav": b"B", "a/../../c.wav": b"C"}))
    (folder / "cut_off.tar").write_bytes(plain[:700])
    (folder / "joined.tar").write_bytes(plain + archive({"x/one.flac": b"C", "y.cls": b"1", "y.1.wav": b"D", "y.2.wav": b"E"}))
    (folder / "links.tar").write_bytes(archive({"a.wav": b"A"})[:1024] + archive_of_links())
    with zipfile.ZipFile(folder / "zip.tar", "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in (members | {"__MACOSX/x/._one.flac": b"fork", "ä.wav": b"F"}).items():
            zipped.writestr(zipfile.ZipInfo(name), content)
    (folder / "zeros.tar").write_bytes(gzip.compress(archive({"long.wav": bytes(1 << 16)}), mtime=0))


def make_text(corpus: Path) -> None:
    """Formats that are text: the repository's own files, and what goes wrong in them."""
    files = {
        "csv/own": (REPO / "tests/data/manifest.csv").read_bytes()[:1500],
        "csv/audioset": b"# Segments csv created Sun Mar  5 10:54:31 2017\n# num_ytids=3\n# YTID, start_seconds, end_seconds, positive_labels\n"
        b'--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"\n--ZhevVpy1s, 50.000, 60.000, "/m/012xff"\nabc, 1.000, 11.000, "/m/0"\n',
        "csv/quoted": b'\xef\xbb\xbfid,path,start,end,label\r\n"a ""b""","x\n,y.wav",0.5,1e1,dog\r\nc,d.wav,,,\r\n',
        "csv/duration": b"path,offset,duration\n../up.wav,0,2\n/root.wav,1e300,nan\n",
        "jsonl/own": b'{"path": "a.wav", "id": "x", "start_seconds": 1, "duration": 2.5, "labels": ["dog", 3]}\n\n{"file": "b.wav", "label": null}\n',
        "jsonl/nemo": b'{"audio_filepath": "c.wav", "offset": 0.5, "duration": null, "text": "words"}\n',
        "jsonl/large_numbers": b'{"path": "a.wav", "start": 1e308, "end": 1e309}\n{"path": "b.wav", "start": -1}\n',
        "jsonl/deep": b'{"path": "a.wav", "label": ' + b"[" * 200 + b"]" * 200 + b"}\n",
        "lists/paths": b"list.txt\n# mine\na.wav\nfile:///b%20c.flac\n~/d.mp3\n",
        "lists/tabs": b'list.tsv\nFile Name\tonset\toffset\tevent_label\na.wav\t0.5\t0:01:02.5\t"x\ty"\nb.wav\t1\t2\t"z\n',
        "lists/semicolons": b"list.txt\rpath;start_ms;label\ra.wav;1500;dog\r",
        "lists/fairseq": b"list.tsv\n/\na.wav\t16000\nb/c.flac\t0\n",
        "lists/kaldi": b"wav.scp\nu1 a.wav\nu2 b c.wav\nsegments\nu1-a u1 0.5 -1\nu2-b u2 0 2\n",
        "lists/pipe": b"wav.scp\nu1 flac -c -d -s a.flac |\n",
        "lists/vggsound": b'list.txt\n--4gqARaEJE,30,"dogs, howling",test\n',
        "lists/fsd50k": b'list.txt\nfname,labels,mids,split\n64760,"Dog,Animal",/m/1,train\n',
        "lists/ssast": b'list.json\n{"info": {"a": 1}, "data": [{"wav": "a.wav", "labels": ["x", 3]}, {"wav": "b.wav", "start": "1.5"}]}',
        "lists/by_id": b'list.json\n{"one": {"wav": "a.wav", "duration": 2}, "two": {"path": {"path": "b.wav"}}}',
        "lists/array": b'list.jsonl\n["a.wav", {"audio": {"path": "b.wav"}, "label": null}]',
        "lists/two_lists": b'list.json\n{"train": [{"wav": "a.wav"}], "test": [{"wav": "b.wav"}]}',
        "lists/cut": b'list.jsonl\n{"id": "c", "start": 0.5, "duration": 4, "channel": 0, "supervisions": [{"id": "s"}], "recording": {"id": "r", "sources": [{"type": "file", "channels": [0], "source": "/a.wav"}], "sampling_rate": 16000, "num_samples": 160000, "duration": 10}, "type": "MonoCut"}\n',
        "lists/recording": b'list.json\n[{"id": "r", "sources": [{"type": "command", "source": "x"}], "duration": 10}]',
        "lists/utf16": b"list.txt\n\xff\xfep\x00a\x00t\x00h\x00\n\x00",
        "lists/gzip": b"list.csv.gz\n" + gzip.compress(b"path,label\na.wav,dog\n", mtime=0),
        "lists/gzip_bomb": b"list.csv.gz\n" + gzip.compress(bytes(1 << 22), mtime=0),
        "hear_task/multilabel": b'{"a.wav": ["dog", "cat"], "b.wav": [], "c.wav": [3]}',
        "hear_task/events": b'{"a.wav": [{"label": "dog", "start": 0.0, "end": 1250.5}], "b.wav": []}',
        "hear_task/leaves": b'{"../a.wav": ["dog"], "/etc/b.wav": ["cat"], "..": ["cat"]}',
        "hear_task/special": b'{"a.wav": [{"label": 18446744073709551615, "start": NaN, "end": -Infinity}]}',
        "hear_task/grid": (GOLDEN / "toyml-v1-full/task_metadata.json").read_bytes(),
        "hear_task/folds": (GOLDEN / "toyfold-v1-full/task_metadata.json").read_bytes(),
        "hear_task/vocabulary": (GOLDEN / "toyfold-v1-full/labelvocabulary.csv").read_bytes(),
        "hear_task/deep": b'{"a.wav": ' + b"[" * 200 + b"]" * 200 + b"}",
        "hear_scores/own": b'{"test": {"test_score": 0.5}}',
        "hear_scores/folds": b'{"aggregated_scores": {"test_score_mean": 0.25}, "test": {"test_score": NaN}}',
        "hear_scores/record": b'{"time": 1.5, "model": "m", "task": "t", "seed": 3, "grid": "fast", "grid_points": 8, "embeddings": "00", "device": "cpu"}',
        "hear_scores/wrong_numbers": b'{"model": "m", "task": "t", "seed": -1.5, "grid": "fast", "grid_points": 1e300, "embeddings": "00"}',
        "hear_scores/published": b"\n".join((REPO / "configs/hear/table2.csv").read_bytes().split(b"\n")[:5]),
        "config/tiny": (REPO / "configs/pretrain/axlstm_tiny.yaml").read_bytes().replace(b"extends:", b"# extends:"),
        "config/quickstart": (REPO / "configs/quickstart/pretrain.yaml").read_bytes(),
        "config/overrides": b"model: {size: custom, dim: 16, depth: 2}\n---\ntrain.seed=7\ndata.root=~/x y\nmask.ratio=0.5\n",
        "config/aliases": b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\ndata: {root: *c}\n",
        "config/own_alias": b"data: &a {root: *a}\n",
        "config/wrong_types": b"model: [1, 2]\ntrain: {seed: 99999999999999999999, run_dir: \"a\\x00b\"}\naudio: {mels: 1e3}\n",
        "config/deep": b"a: " + b"[" * 2000,
        "sweep/cells": b"sweep: {layouts: [time_frequency]}\ncells:\n  - {name: a, set: {model.expansion: 2}}\n  - {name: n, model: naive}\n",
        "sweep/grid": b"sweep: {seeds: [0, 1]}\nset: {model.size: custom, model.dim: 16}\ngrid: {model.depth: [1, 2], model.flip: [true, false]}\n",
        "sweep/leaves": b"cells:\n  - {name: ../../up}\n  - {name: /etc/x}\n  - {name: ..}\n",
        "sweep/table5": (REPO / "configs/ablation/table5_quick.yaml").read_bytes().replace(b"  base:", b"# base:"),
    }
    for name, content in files.items():
        (corpus / name).write_bytes(content)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    corpus = Path(sys.argv[1])
    for name in ("audio", "config", "csv", "hear_scores", "hear_task", "jsonl", "lists", "pcm", "pickle", "safetensors", "shard", "sweep", "tar", "tfevents"):
        (corpus / name).mkdir(parents=True, exist_ok=True)
    make_audio(corpus / "audio")
    make_pcm(corpus / "pcm")
    make_safetensors(corpus / "safetensors")
    make_pickle(corpus / "pickle")
    make_shard(corpus / "shard")
    make_tar(corpus / "tar")
    make_text(corpus)
    for n, tail in enumerate((b"loss: 0.5", "a **text**, ä".encode(), b"\x89PNG\r\n\x1a\n" + bytes(40))):
        (corpus / f"tfevents/{n}").write_bytes(struct.pack("<qdB", 300 * n - 1, math.inf if n else 0.5, 4) + tail)


if __name__ == "__main__":
    main()
