"""The Python package as a user has it: a wheel, installed into a fresh environment, beside what `extract` writes.

Usage: python_package_test.py REPOSITORY LIBRARY PROGRAMS
LIBRARY is a libaxlstm_torch.so that is built already, so that the wheel need not compile it again. The environment sees
this Python's torch.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

try:
    import numpy
    import scikit_build_core  # noqa: F401
    import torch
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

repository, library, programs = (Path(argument).resolve() for argument in sys.argv[1:4])
inside = len(sys.argv) > 4  # the fresh environment, whose Python runs this file once more
scratch = Path(sys.argv[4] if inside else tempfile.mkdtemp(prefix="axlstm-python-"))


TOY_MODULE = """
import torch


class Model(torch.nn.Module):
    sample_rate, scene_embedding_size, timestamp_embedding_size = 22050, 4, 4

    def __init__(self, kind):
        super().__init__()
        self.kind = kind


def load_model(path=""):
    return Model(path)


def get_timestamp_embeddings(audio, model):
    if model.kind == "fails":
        raise ValueError("it is Monday")
    steps = audio.unfold(1, 1024, 1024)
    values = torch.stack([steps.mean(-1), steps.std(-1), steps.amax(-1), steps.amin(-1)], -1)
    times = torch.arange(values.shape[1]) * 1024e3 / model.sample_rate
    return values[: -1 if model.kind == "short" else None], times.expand(len(audio), -1)


def get_scene_embeddings(audio, model):
    return get_timestamp_embeddings(audio, model)[0].mean(1)
"""


def with_events(scenes, folder):
    """The same clips as a task of events: each clip's label from 0.1 to 0.9 s."""
    shutil.copytree(scenes, folder)
    metadata = json.loads((folder / "task_metadata.json").read_text())
    metadata |= {"task_name": "events", "embedding_type": "event", "prediction_type": "multilabel",
                 "evaluation": ["event_onset_200ms_fms"]}
    (folder / "task_metadata.json").write_text(json.dumps(metadata))
    for split in metadata["splits"]:
        clips = json.loads((folder / f"{split}.json").read_text())
        events = {clip: [{"label": label, "start": 100.0, "end": 900.0} for label in labels] for clip, labels in clips.items()}
        (folder / f"{split}.json").write_text(json.dumps(events))


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def install():
    """A fresh environment with the wheel; returns its Python."""
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check",
        "-C", f"cmake.define.AXLSTM_TORCH_LIBRARY={library}", "-w", scratch, repository / "python")
    run(sys.executable, "-m", "venv", scratch / "venv")
    (packages,) = (scratch / "venv" / "lib").glob("python*/site-packages")
    (packages / "torch_of_the_tests.pth").write_text(str(Path(torch.__file__).parent.parent) + "\n")
    run(scratch / "venv" / "bin" / "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check",
        *scratch.glob("*.whl"))
    return scratch / "venv" / "bin" / "python"


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # A small model with weights, from a short training.
        cls.run_dir = scratch / "run"
        run(programs / "pretrain", "--config", repository / "configs" / "quickstart" / "pretrain.yaml", "--quiet",
            f"data.root={repository}/tests/data/audio", "train.max_steps=2", "train.device=cpu", f"train.run_dir={cls.run_dir}")
        cls.encoder = axlstm.load(cls.run_dir, device="cpu")

    def test_comes_from_the_wheel(self):
        self.assertIn(str(scratch), axlstm.__file__)

    def test_threads_spin_as_in_the_programs(self):
        """What libgomp says that it read, and what is left for programs started later."""
        def bound(**environment):
            kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
            done = subprocess.run([sys.executable, "-c", "import axlstm, os; print('left:', os.environ.get('GOMP_SPINCOUNT'))"],
                                  env=kept | {"OMP_DISPLAY_ENV": "VERBOSE"} | environment, capture_output=True, text=True, check=True)
            return re.findall(r"GOMP_SPINCOUNT = '(\d+)'|left: (\w+)", done.stderr + done.stdout)

        self.assertEqual(bound(), [("10000", ""), ("", "None")])
        self.assertEqual(bound(GOMP_SPINCOUNT="77"), [("77", ""), ("", "77")])
        self.assertEqual(bound(OMP_WAIT_POLICY="passive"), [("0", ""), ("", "None")])

    def test_numbers_are_those_of_extract(self):
        wave = (0.1 * torch.randn(41234, generator=torch.Generator().manual_seed(1))).clamp(-1, 1)
        samples = (wave * 32767).round().to(torch.int16)
        folder = scratch / "clips"
        folder.mkdir()
        import wave as wav

        with wav.open(str(folder / "a.wav"), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(samples.numpy().tobytes())
        run(programs / "extract", "--quiet", "--device", "cpu", "--kind", "timestamp", "--model", self.run_dir, "--output",
            scratch / "embeddings", folder)
        (written,) = (scratch / "embeddings").rglob("*.npy")
        clip = self.encoder.encode(samples.float() / 32768)
        self.assertTrue(numpy.array_equal(numpy.load(written), clip.timestamps.numpy()))
        torch.testing.assert_close(clip.timestamps.mean(0), clip.scene)
        self.assertTrue(torch.equal(self.encoder.encode((samples.float() / 32768).numpy()).scene, clip.scene))
        others = self.encoder.encode_all([torch.randn(500), samples.float() / 32768, torch.randn(70000)])
        self.assertTrue(torch.equal(others[1].timestamps, clip.timestamps))

    def test_keeps_hears_rules(self):
        model = axlstm.load_model(str(self.run_dir), device="cpu")
        self.assertIsInstance(model, torch.nn.Module)
        self.assertIn(model.sample_rate, (16000, 22050, 32000, 44100, 48000))
        audio = torch.rand(3, model.sample_rate * 2) * 2 - 1
        timestamps, times = axlstm.get_timestamp_embeddings(audio, model)
        scenes = axlstm.get_scene_embeddings(audio, model)
        self.assertEqual(scenes.shape, (3, model.scene_embedding_size))
        self.assertEqual(timestamps.shape, (3, times.shape[1], model.timestamp_embedding_size))
        self.assertEqual({scenes.dtype, timestamps.dtype}, {torch.float32})
        self.assertTrue((times[:, 1:] > times[:, :-1]).all())
        self.assertTrue((times == times[0]).all())
        self.assertLessEqual(times.max(), 2000)
        torch.testing.assert_close(model(audio), scenes)

    def test_embeddings_can_train_a_head(self):
        head = torch.nn.Linear(self.encoder.scene_embedding_size, 2)
        head(self.encoder.encode(torch.randn(16000)).scene).sum().backward()
        self.assertTrue(head.weight.grad.abs().sum() > 0)

    def test_state_dict_has_plain_tensors(self):
        weights = axlstm.state_dict(self.run_dir)
        self.assertEqual(weights["blocks.0.norm.weight"].shape, (96,))
        with self.assertRaisesRegex(FileNotFoundError, "nowhere"):
            axlstm.state_dict(scratch / "nowhere")

    def test_classifier_says_what_classify_says(self):
        (task,) = (repository / "tests" / "data" / "hear" / "tasks").iterdir()
        run_dir = scratch / "classifier"
        run(programs / "finetune", "--quiet", f"classification.encoder={self.run_dir}", f"data.task={task}", "optim.global_batch=16",
            "train.max_steps=2", "train.device=cpu", "eval.resamples=0", f"train.run_dir={run_dir}")
        classifier = axlstm.load_classifier(run_dir, device="cpu")
        files = sorted((task / "16000" / "test").iterdir())[:4]
        written = json.loads(run(programs / "classify", "--quiet", "--device", "cpu", "--format", "json", "--model", run_dir, *files))
        for file, entry in zip(files, written):
            ours = classifier.classify(file, top=5)
            self.assertEqual([label for label, _ in ours], [row["label"] for row in entry["labels"]])
            for (_, probability), row in zip(ours, entry["labels"]):
                self.assertAlmostEqual(probability, row["probability"], places=5)
        self.assertTrue(classifier.exclusive)
        torch.testing.assert_close(classifier.probabilities([torch.randn(50000)]).sum(), torch.tensor(1.0))
        with self.assertRaisesRegex(RuntimeError, "no classifier"):
            axlstm.load_classifier(self.run_dir)

    def test_log_mel_is_what_the_encoder_sees(self):
        log_mel = self.encoder.log_mel(torch.randn(16000))
        self.assertEqual(log_mel.shape, (101, 80))
        with self.assertRaisesRegex(RuntimeError, "no log-mel"):
            axlstm.load("naive").log_mel(torch.randn(16000))

    def test_operators_have_gradients(self):
        q, k, v = (torch.randn(1, 5, 2, 8, requires_grad=True) for _ in range(3))
        i, f = torch.randn(1, 5, 2), torch.randn(1, 5, 2)
        axlstm.ops.mlstm(q, k, v, i, f).sum().backward()
        self.assertTrue(q.grad.isfinite().all() and q.grad.abs().sum() > 0)

    def hear(self, *arguments):
        """python -m axlstm.hear, in a folder with a module of our own."""
        (scratch / "toy_module.py").write_text(TOY_MODULE)
        command = [sys.executable, "-m", "axlstm.hear", *(str(argument) for argument in arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=scratch, check=False)

    def test_tasks_come_out_as_extract_writes_them(self):
        tasks = scratch / "tasks"
        shutil.copytree(repository / "tests" / "data" / "hear" / "tasks", tasks)
        (scenes,) = tasks.iterdir()
        with_events(scenes, tasks / "events-v1-full")
        ours, theirs = scratch / "hear_ours", scratch / "hear_theirs"
        run(programs / "extract", "--quiet", "--device", "cpu", "--model", self.run_dir, "--output", ours, *sorted(tasks.iterdir()))
        for text in ("files embedded", "is there"):  # a second time nothing is done
            done = self.hear("axlstm", tasks, theirs, "--model", self.run_dir, "--device", "cpu", "--batch", "3")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(text, done.stdout)
        files = sorted(path.relative_to(ours) for path in ours.rglob("*") if path.is_file() and not path.name.endswith(".lock"))
        self.assertGreater(len(files), 10)
        for file in files:
            expected, found = ours / file, theirs / file
            self.assertEqual(expected.read_bytes().replace(b"hear_ours", b"hear_theirs"), found.read_bytes(), file)

    def test_any_module_is_embedded_and_scored(self):
        task = next(iter(sorted((repository / "tests" / "data" / "hear" / "tasks").iterdir())))
        output = scratch / "toy"
        done = self.hear("toy_module", task, output, "--rate", "16000")
        self.assertEqual(done.returncode, 0, done.stderr)
        run(programs / "hear-eval", "--quiet", "--grid", "faster", "--grid-points", "1", "--output", scratch / "toy_scores", output)

    def test_modules_and_tasks_that_do_not_fit_are_named(self):
        tasks = repository / "tests" / "data" / "hear" / "tasks"
        for arguments, text in (
            (("json", tasks, "out"), "json lacks load_model"),
            (("no_such_module", tasks, "out"), "no_such_module"),
            (("toy_module", scratch / "nowhere", "out"), "nowhere"),
            (("toy_module", tasks, "out"), "22050"),  # no such folder, and no --rate
            (("toy_module", tasks, "out", "--rate", "16000", "--model", "short"), "embeddings"),
            (("toy_module", tasks, "out", "--rate", "16000", "--model", "fails"), "it is Monday"),
        ):
            done = self.hear(*arguments)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(text, done.stderr)

    def test_an_exported_encoder_goes_through_extract(self):
        from axlstm import export

        class Steps(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = torch.nn.Conv1d(1, 6, 400, stride=320)

            def forward(self, x):
                return torch.tanh(self.conv(x.unsqueeze(1))).transpose(1, 2)

        torch.manual_seed(0)
        steps = Steps()
        export.export(export.Encoder(steps, "steps", min_samples=400, first_ms=12.5), scratch / "steps")
        encoder = axlstm.load(f"module:{scratch / 'steps'}", device="cpu")
        self.assertEqual((encoder.sample_rate, encoder.scene_embedding_size), (16000, 6))
        wave = 0.1 * torch.randn(12345)
        with torch.no_grad():
            wanted = steps(wave[None])[0]
        clip = encoder.encode(wave)
        torch.testing.assert_close(clip.timestamps, wanted, rtol=1e-5, atol=1e-6)
        self.assertEqual(clip.times_ms[:2].tolist(), [12.5, 32.5])
        file = next(iter((repository / "tests" / "data" / "audio").rglob("*.flac")))
        run(programs / "extract", "--quiet", "--device", "cpu", "--model", f"module:{scratch / 'steps'}", "--output", scratch / "exported", file)
        (written,) = (scratch / "exported").rglob("*.npy")
        samples, _ = axlstm.decode(file, 16000)
        self.assertTrue(numpy.allclose(numpy.load(written), encoder.encode(samples).scene.numpy(), atol=1e-6))
        with self.assertRaises(FileExistsError):
            export.export(export.Encoder(steps, "steps", min_samples=400), scratch / "steps")

    def test_a_module_may_see_kaldis_filterbank(self):
        from axlstm import export

        class Patches(torch.nn.Module):
            def forward(self, x):  # [B, frames, 128]
                return x.unfold(1, 16, 16).mean(-1)

        fbank = {"window": "hanning", "remove_mean": True, "mean": -4.2677393, "std": 9.1379948}
        export.export(export.Encoder(Patches(), "patches", min_samples=2800, step_ms=160, kaldi_fbank=fbank), scratch / "patches")
        wave = 0.1 * torch.randn(20000)
        wanted = Patches()(axlstm.ops.kaldi_fbank(wave[None], **fbank))[0]
        clip = axlstm.load(f"module:{scratch / 'patches'}", device="cpu").encode(wave)
        torch.testing.assert_close(clip.timestamps, wanted)

    def test_a_graph_that_is_wrong_at_other_lengths_is_refused(self):
        from axlstm import export

        class Frozen(torch.nn.Module):
            def forward(self, x):
                if x.shape[1] > 20000:  # tracing keeps one of the two
                    x = 2 * x
                return x.unfold(1, 320, 320).mean(-1, keepdim=True)

        with self.assertRaisesRegex(export.ExportError, "differs from the model.*1 × 160000"):
            export.export(export.Encoder(Frozen(), "frozen", min_samples=320), scratch / "frozen")
        self.assertFalse((scratch / "frozen").exists())

    def test_hear_modules_are_exported_too(self):
        (scratch / "toy_module.py").write_text(TOY_MODULE)
        command = [sys.executable, "-m", "axlstm.export", "hear:toy_module", "toy_exported"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=scratch, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(axlstm.load(f"module:{scratch / 'toy_exported'}", device="cpu").sample_rate, 22050)
        done = subprocess.run([*command[:3], "no_such_model", "x"], capture_output=True, text=True, cwd=scratch, check=False)
        self.assertEqual((done.returncode, "wav2vec2" in done.stderr), (1, True))

    def test_sound_files_are_decoded(self):
        file = next(iter((repository / "tests" / "data" / "audio").rglob("*.flac")))
        own, rate = axlstm.decode(file)
        other, other_rate = axlstm.decode(file, 8000)
        self.assertEqual((own.ndim, other_rate), (1, 8000))
        self.assertAlmostEqual(len(own) / rate, len(other) / 8000, places=3)
        self.assertTrue(torch.equal(axlstm.resample(own, rate, 8000), other))
        self.assertTrue(torch.equal(axlstm.resample(own, rate, rate), own))
        loud = axlstm.resample(8 * own, rate, 8000)  # nothing is clipped
        self.assertTrue(torch.equal(loud, 8 * other))
        with self.assertRaisesRegex(RuntimeError, "nowhere.wav"):
            axlstm.decode(scratch / "nowhere.wav")

    def test_mistakes_are_named(self):
        for call, kind, text in (
            (lambda: axlstm.load(scratch / "nowhere"), RuntimeError, "nowhere"),
            (lambda: axlstm.load(self.run_dir, device="tpu"), RuntimeError, "device is 'tpu'"),
            (lambda: axlstm.load("naive", layout="released"), RuntimeError, "HEAR-naive"),
            (lambda: axlstm.load_model(), ValueError, "AXLSTM_MODEL"),
            (lambda: axlstm.get_scene_embeddings(torch.randn(100), self.encoder), ValueError, r"\(100,\)"),
            (lambda: axlstm.get_scene_embeddings(torch.randn(1, 100), torch.nn.Linear(1, 1)), TypeError, "Linear"),
            (lambda: self.encoder.encode(torch.randn(2, 100)), RuntimeError, r"\[samples\]"),
            (lambda: self.encoder.encode(torch.randn(0)), RuntimeError, r"\[samples\]"),
            (lambda: axlstm.resample(torch.randn(2, 100), 8000, 16000), RuntimeError, r"\[2, 100\]"),
            (lambda: axlstm.resample(torch.randn(100), 8000, 0), RuntimeError, "above 0"),
            (lambda: axlstm.resample(torch.randn(100), 0, 8000), RuntimeError, "above 0"),
        ):
            with self.assertRaisesRegex(kind, text):
                call()


if __name__ == "__main__":
    if not inside:
        try:
            sys.exit(subprocess.run([install(), __file__, *sys.argv[1:4], scratch], check=False).returncode)
        finally:
            shutil.rmtree(scratch)
    import axlstm

    unittest.main(argv=sys.argv[:1])
