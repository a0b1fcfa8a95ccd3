"""Checks the arrows between the folders: who may include whom, and where third-party headers may appear.

Usage: check_includes.py FILE... (paths relative to the repository)
"""

import re
import sys
from pathlib import Path

# Layer → project layers it may include, itself always included.
ALLOWED = {
    "core": set(),
    "audio": {"core"},
    "io": {"core"},
    "data": {"core", "audio"},
    "ops": {"core"},
    "nn": {"core", "ops"},
    "model": {"core", "ops", "nn"},
    "hear": {"core", "audio", "io", "model"},
    "train": {"core", "audio", "data", "io", "ops", "nn", "model"},
    "config": {"core", "audio", "data", "model", "train", "hear", "ops"},
    "sweep": {"core", "config", "hear"},
}
# A configuration is made of the layers' plain option structs, and of nothing else of theirs.
CONFIG_MAY_INCLUDE = re.compile(r"axlstm/(core/\w+|config/\w+|\w+/options)\.h")
THIRD_PARTY = re.compile(r"^(spdlog|fmt|CLI|yaml-cpp|nlohmann|sndfile|soxr|archive|png|omp|xxhash)\b")
LIBTORCH = re.compile(r"^(torch|ATen|c10)/")
TORCH_FREE_LAYERS = {"core", "config", "sweep"}
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')


def layer_of(path: Path) -> str | None:
    """The folder of include/axlstm or src that a file belongs to."""
    parts = path.parts
    if parts[:2] == ("include", "axlstm"):
        return parts[2]
    return parts[1] if parts[0] == "src" else None


def problems(path: Path) -> list[str]:
    """What a file includes against the rules, as 'file:line: reason'."""
    layer = layer_of(path)
    public = path.parts[0] == "include"
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        name, where = match.group(1), f"{path}:{number}"
        if path.parts[0] == "kernels" and (LIBTORCH.match(name) or name.startswith("axlstm/")):
            found.append(f"{where}: device code includes CUDA headers only, not {name}")
        if layer is None:
            continue
        if public and THIRD_PARTY.match(name):
            found.append(f"{where}: {name} belongs in a .cpp, not in a public header")
        if public and name == "torch/torch.h":
            found.append(f"{where}: torch/torch.h costs every includer half a minute; take torch/types.h or one module's header")
        if layer in TORCH_FREE_LAYERS and LIBTORCH.match(name):
            found.append(f"{where}: {layer} is free of LibTorch")
        match = re.match(r"(axlstm/)?(\w+)/", name)
        ours = match is not None and (match.group(1) is not None or match.group(2) in ALLOWED)
        target = match.group(2) if ours else None
        if public and ours and not match.group(1):
            found.append(f"{where}: {name} is not installed; a public header takes public ones only")
        if ours and target != layer and target not in ALLOWED[layer]:
            found.append(f"{where}: {layer} must not include {target} ({name})")
        if layer == "config" and ours and not CONFIG_MAY_INCLUDE.match(name):
            found.append(f"{where}: config takes the layers' options.h only, not {name}")
    return found


def main() -> int:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    found = [problem for name in sys.argv[1:] for problem in problems(Path(name))]
    print("\n".join(found) if found else f"include rules hold in {len(sys.argv) - 1} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
