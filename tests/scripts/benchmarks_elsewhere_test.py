"""The package's encoders in mteb (MAEB) and X-ARES, on small tasks made here: nothing is downloaded.

Usage: benchmarks_elsewhere_test.py REPOSITORY LIBRARY PROGRAMS
Tests of a package that is not installed are skipped. To run them, in an environment with the torch that LIBRARY is built for:
pip install "mteb[audio]==2.26.24" xares==0.1.3 torchaudio==2.11.0    # torchaudio of torch's version; audio needs FFmpeg
"""

import importlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest
import wave
from pathlib import Path

INSTALL = 'pip install "mteb[audio]==2.26.24" xares==0.1.3 torchaudio of torch\'s version'
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def failure(*modules):
    """Why these cannot be imported, or None."""
    try:
        for module in modules:
            importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as reason:  # OSError: torchaudio of another torch
        return f"{reason}; {INSTALL}"
    return None


no_mteb = failure("mteb", "torchcodec")
no_xares = failure("torchaudio", "torchcodec", "xares.task")
if no_mteb and no_xares:
    print(f"skipped: {no_mteb}\nskipped: {no_xares}")
    sys.exit(77)

import numpy  # noqa: E402
import torch  # noqa: E402

repository, library, programs = (Path(argument).resolve() for argument in sys.argv[1:4])
scratch = Path(tempfile.mkdtemp(prefix="axlstm-elsewhere-"))


def tone(number, seconds, rate):
    """One of two kinds of sound, each a little different."""
    generator = torch.Generator().manual_seed(number)
    samples = torch.arange(int(seconds * rate)) / rate
    pitch = (300, 2500)[number % 2] * (1 + 0.02 * torch.rand(1, generator=generator).item())
    return 0.3 * torch.sin(6.2832 * pitch * samples) + 0.01 * torch.randn(len(samples), generator=generator)


def write_wav(path, *channels, rate):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((len(channels), 2, rate, 0, "NONE", ""))
        file.writeframes((torch.stack(channels, 1) * 32767).round().to(torch.int16).numpy().tobytes())
    return path


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


def setUpModule():
    """The package beside the library, and a small model with weights."""
    shutil.copytree(repository / "python" / "axlstm", scratch / "package" / "axlstm")
    (scratch / "package" / "axlstm" / "lib").mkdir()
    (scratch / "package" / "axlstm" / "lib" / "libaxlstm_torch.so").symlink_to(library)
    sys.path.insert(0, str(scratch / "package"))
    run(programs / "pretrain", "--config", repository / "configs" / "quickstart" / "pretrain.yaml", "--quiet",
        f"data.root={repository}/tests/data/audio", "train.max_steps=2", "train.device=cpu", f"train.run_dir={scratch}/run")
    os.environ["AXLSTM_MODEL"] = str(scratch / "run")


def tearDownModule():
    shutil.rmtree(scratch)


@unittest.skipIf(no_mteb, no_mteb)
class Maeb(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        import axlstm.mteb
        import datasets
        import mteb

        datasets.disable_progress_bars()
        cls.ours, cls.mteb, cls.datasets = axlstm.mteb, mteb, datasets
        cls.encoder = axlstm.load(scratch / "run", device="cpu")
        # Of several lengths, at three rates, some with two channels.
        cls.files = []
        for n in range(12):
            rate, seconds = (16000, 44100, 22050)[n % 3], (0.3, 1.0, 1.7, 2.31)[n % 4]
            channels = [tone(n, seconds, rate), 0.3 * tone(n + 2, seconds, rate)][: 1 + n % 2]
            cls.files.append(write_wav(scratch / "clips" / f"{n:02}.wav", *channels, rate=rate))
        run(programs / "extract", "--quiet", "--device", "cpu", "--model", scratch / "run", "--output", scratch / "extracted",
            scratch / "clips")
        written = sorted((scratch / "extracted").rglob("*.npy"))
        cls.expected = numpy.stack([numpy.load(file) for file in written])

    def setUp(self):
        self.model = self.ours.load(scratch / "run", device="cpu")
        self.given, encode = [], self.model.encode

        def watched(*arguments, **options):
            self.given.append(encode(*arguments, **options))
            return self.given[-1]

        self.model.encode = watched

    def sounds(self, numbers, **columns):
        rows = {"audio": [str(self.files[n]) for n in numbers], **columns}
        return self.datasets.Dataset.from_dict(rows).cast_column("audio", self.datasets.Audio())

    def task(self, base, kind, main_score, category, load):
        description = self.mteb.TaskMetadata(
            name=f"Toy{kind}", description="made here", reference=None, dataset={"path": "toy", "revision": "1"}, type=kind,
            category=category, modalities=["audio"], eval_splits=["test"], eval_langs=["eng-Latn"], main_score=main_score,
            date=None, domains=None, task_subtypes=None, license=None, annotations_creators=None, dialect=None,
            sample_creation=None, bibtex_citation="",
        )
        body = {"metadata": description, "input_column_name": "audio", "load_data": load}
        return type(f"Toy{kind}", (base,), body)()

    def classification(self):
        def load(task, **_):
            numbers = range(12)
            split = self.sounds(numbers, label=[n % 2 for n in numbers])
            task.dataset = self.datasets.DatasetDict({"train": split, "test": split})
            task.data_loaded = True

        from mteb.abstasks import AbsTaskClassification

        return self.task(AbsTaskClassification, "AudioClassification", "accuracy", "a2c", load)

    def evaluate(self, task, **options):
        options = {"encode_kwargs": {"batch_size": 5, "show_progress_bar": False}, "cache": None, "co2_tracker": False} | options
        return self.mteb.evaluate(options.pop("model", self.model), [task], show_progress_bar=False, **options).task_results[0]

    def test_classification_sees_what_extract_writes(self):
        result = self.evaluate(self.classification())
        self.assertEqual(result.get_score(), 1.0)
        self.assertEqual(len(self.given), 2)
        self.assertTrue(numpy.array_equal(self.given[1], self.expected))

    def test_batches_and_workers_do_not_change_numbers(self):
        for options in ({"encode_kwargs": {"batch_size": 1}}, {"encode_kwargs": {"batch_size": 12}, "num_proc": 2}):
            self.evaluate(self.classification(), **options)
            self.assertTrue(numpy.array_equal(self.given[-1], self.expected))

    def test_clustering(self):
        def load(task, **_):
            task.dataset = self.datasets.DatasetDict({"test": self.sounds(range(12), labels=[n % 2 for n in range(12)])})
            task.data_loaded = True

        from mteb.abstasks import AbsTaskClustering

        task = self.task(AbsTaskClustering, "AudioClustering", "v_measure", "a2c", load)
        task.max_fraction_of_documents_to_embed = None
        task.max_document_to_embed = 12
        self.evaluate(task)
        (given,) = self.given  # in an order drawn by mteb
        self.assertEqual(sorted(map(bytes, given)), sorted(map(bytes, self.expected)))

    def test_retrieval(self):
        def load(task, **_):
            task.corpus = {"test": self.sounds(range(8), id=[f"d{n}" for n in range(8)])}
            task.queries = {"test": self.sounds((5, 2), id=["q0", "q1"])}
            task.relevant_docs = {"test": {"q0": {"d5": 1}, "q1": {"d2": 1}}}
            task.data_loaded = True

        from mteb.abstasks import AbsTaskRetrieval

        result = self.evaluate(self.task(AbsTaskRetrieval, "Any2AnyRetrieval", "ndcg_at_10", "a2a", load))
        self.assertEqual(result.scores["test"][0]["hit_rate_at_1"], 1.0)
        rows = {bytes(row) for given in self.given for row in given}
        self.assertEqual(rows, {bytes(row) for row in self.expected[:8]})

    def test_metadata_opens_the_model(self):
        meta = self.ours.meta(scratch / "run", device="cpu")
        self.assertEqual((meta.name, meta.embed_dim, meta.modalities), ("axlstm/run", self.encoder.scene_embedding_size, ["audio"]))
        cache = self.mteb.ResultCache(scratch / "cache")
        self.assertEqual(self.evaluate(self.classification(), model=meta, cache=cache).get_score(), 1.0)
        (stored,) = (scratch / "cache").rglob("model_meta.json")
        self.assertEqual(stored.parent.name, meta.revision)
        other = f"random:{repository}/configs/quickstart/pretrain.yaml"
        self.assertNotEqual(self.ours.meta(other, device="cpu").revision, meta.revision)
        self.assertEqual(self.ours.meta(other, device="cpu", model_name="us/tiny").name, "us/tiny")
        with self.assertRaisesRegex(ValueError, "its metadata says"):
            meta.model_copy(update={"loader_kwargs": {"model": other, "device": "cpu"}}).load_model()

    def test_mistakes_are_named(self):
        loader = torch.utils.data.DataLoader
        task = self.classification()
        place = {"task_metadata": task.metadata, "hf_split": "test", "hf_subset": "default", "show_progress_bar": False}
        clip = {"audio": {"array": numpy.zeros(100), "sampling_rate": 16000}}
        nothing = {"audio": {"array": numpy.zeros(0), "sampling_rate": 16000}}
        with self.assertRaisesRegex(ValueError, "ToyAudioClassification, default, test, among clips 2 to 3"):
            self.model.encode(loader([clip, clip, clip, nothing], batch_size=2), **place)
        with self.assertRaisesRegex(ValueError, "this task has text"):
            self.model.encode(loader([{"text": "a dog"}]), **place)
        with self.assertRaisesRegex(ValueError, "int8"):
            self.model.encode(loader([clip]), precision="int8", **place)


@unittest.skipIf(no_xares, no_xares)
class Xares(unittest.TestCase):
    def config(self, clips, encoder, **options):
        """A task of these clips and numbers as labels, in archives as xares wants them."""
        from xares.audiowebdataset import write_audio_tar
        from xares.task import TaskConfig

        root = Path(tempfile.mkdtemp(dir=scratch))
        files = [str(write_wav(root / "clips" / f"c{n}.wav", clip, rate=16000)) for n, clip in enumerate(clips)]
        (root / "toy").mkdir()
        for split in ("train", "valid", "test"):
            write_audio_tar(files, [{"label": n % 2} for n in range(len(files))], str(root / "toy" / f"{split}*.tar"), num_shards=1)
        (root / "toy" / ".audio_tar_ready").touch()
        return TaskConfig(name="toy", env_root=root, encoder=encoder, num_encoder_workers=0, num_training_workers=0,
                          label_processor=lambda sample: sample["label"], output_dim=2, eval_weight=len(files), **options)

    def embedded(self, task):
        """Clip → embeddings [S, W] that xares has stored for the test split."""
        (archive,) = task.encoded_tar_dir.glob("wds-encoded-test*.tar")
        with tarfile.open(archive) as tar:
            members = [member for member in tar if member.name.endswith(".npy")]
            return {member.name.split(".")[0]: numpy.load(io.BytesIO(tar.extractfile(member).read())) for member in members}

    def test_xares_finds_and_accepts_the_encoder(self):
        import axlstm
        from xares.audio_encoder_checker import check_audio_encoder
        from xares.utils import attr_from_py_path

        encoder = attr_from_py_path("axlstm/xares.py", endswith="Encoder")()  # as xares.run does
        self.assertTrue(check_audio_encoder(encoder))
        self.assertAlmostEqual(encoder.hop_size_in_ms, axlstm.load(scratch / "run").encode(torch.zeros(16000)).times_ms[1].item())

    def test_a_task_sees_what_the_encoder_gives(self):
        import axlstm
        import axlstm.xares
        from xares.task import XaresTask

        encoder = axlstm.xares.AxlstmEncoder(str(scratch / "run"), device="cpu")
        clips = [tone(n, 0.5 if n < 8 else (0.5, 1.2)[n % 2], 16000) for n in range(12)]
        task = XaresTask(self.config(clips, encoder, batch_size_encode=4, epochs=30, learning_rate=0.01))
        (mlp, weight), (neighbours, _) = task.run()
        self.assertEqual((mlp, neighbours, weight), (1.0, 1.0, 12))
        plain = axlstm.load(scratch / "run", device="cpu")
        found = self.embedded(task)
        self.assertEqual(len(found), 12)
        for n, clip in enumerate(clips):
            samples = (clip * 32767).round() / 32768
            padded = torch.nn.functional.pad(samples, (0, max(map(len, clips[n // 4 * 4 :][:4])) - len(samples)))
            self.assertTrue(numpy.array_equal(found[f"c{n}{n // 4}"], plain.encode(padded).timestamps.numpy()), n)

    def test_another_model_gets_scores_of_its_own(self):
        import axlstm.xares
        from xares.task import XaresTask

        config = self.config([tone(n, 0.5, 16000) for n in range(4)], axlstm.xares.AxlstmEncoder(str(scratch / "run"), device="cpu"))
        first = XaresTask(config)
        first.make_encoded_tar()
        config.encoder = axlstm.xares.AxlstmEncoder(f"random:{repository}/configs/quickstart/pretrain.yaml", device="cpu")
        second = XaresTask(config)
        second.make_encoded_tar()
        self.assertFalse(numpy.array_equal(self.embedded(first)["c00"], self.embedded(second)["c00"]))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
