"""Checks the arrows between the folders: who may include whom, and where third-party headers may appear.

Usage: check_includes.py FILE... (paths relative to the repository)
"""

import re
import sys
from pathlib import Path

# Component → components that it may include, beside itself and options.h and architecture.h of all components. A
# component stands above those that it includes.
ALLOWED = {
    "core": set(),
    "audio": {"core"},
    "io": {"core"},
    "launch": {"core"},
    "hear": {"core"},
    "metrics": {"core"},
    "ops": {"core"},
    "runtime": {"core"},
    "features": {"core", "audio"},
    "nn": {"core", "ops"},
    "model": {"core", "ops", "nn", "runtime"},
    "data": {"core", "audio", "features", "hear"},
    "config": {"core", "model"},
    "checkpoints": {"core", "io"},
    "distributed": {"core", "launch", "runtime"},
    "objective": {"core", "io", "config", "data", "model", "nn"},
    "train": {"core", "io", "config", "data", "metrics", "model", "objective", "checkpoints", "runtime", "distributed"},
    "embed": {"core", "audio", "io", "features", "data", "model", "runtime", "config", "checkpoints", "hear"},
    "downstream": {"core", "io", "audio", "features", "config", "model", "hear", "metrics", "embed"},
    "report": {"core", "hear"},
    "sweep": {"core", "config", "hear", "report"},
    "suite": {"core", "config", "hear", "embed", "downstream", "report", "runtime", "train", "distributed",
              "launch", "model", "checkpoints", "data", "audio", "metrics", "objective"},
}
# Free of LibTorch: these components whole, and in every component the files that hold plain values and facts.
TORCH_FREE_COMPONENTS = {
    "core", "audio", "io", "launch", "hear", "config", "report", "sweep", "data/lists", "data/shards"
}
TORCH_FREE_FILES = {"options", "architecture", "architectures"}
# A configuration is made of the components' plain values.
CONFIG_MAY_INCLUDE = re.compile(r"(axlstm/)?(core/\w+|config/\w+|\w+/(options|architecture))\.h")
THIRD_PARTY = re.compile(r"^(spdlog|fmt|CLI|yaml-cpp|nlohmann|sndfile|soxr|archive|png|omp|xxhash|hwy)\b")
LIBTORCH = re.compile(r"^(torch|ATen|c10)/")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')


def component_of(path: Path) -> str | None:
    """The folder of include/axlstm or src that a file belongs to, such as "data" or "data/lists"."""
    parts = path.parts[:-1]
    if parts[:2] == ("include", "axlstm"):
        return "/".join(parts[2:])
    return "/".join(parts[1:]) if parts[0] == "src" else None


def problems(path: Path) -> list[str]:
    """What a file includes against the rules, as 'file:line: reason'."""
    place = component_of(path)
    component = place and place.split("/")[0]
    torch_free = place in TORCH_FREE_COMPONENTS or component in TORCH_FREE_COMPONENTS or path.stem in TORCH_FREE_FILES
    public = path.parts[0] == "include"
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        name, where = match.group(1), f"{path}:{number}"
        if path.parts[0] == "kernels" and (LIBTORCH.match(name) or name.startswith("axlstm/")):
            found.append(f"{where}: device code includes CUDA headers only, not {name}")
        if path.parts[0] != "apps" and re.match(r"apps/|cli\.h", name):
            found.append(f"{where}: nothing includes apps/")
        if not component:
            continue
        if public and THIRD_PARTY.match(name):
            found.append(f"{where}: {name} belongs in a .cpp, not in a public header")
        if public and name == "torch/torch.h":
            found.append(f"{where}: torch/torch.h costs every includer half a minute; take torch/types.h or one module's header")
        if torch_free and LIBTORCH.match(name):
            found.append(f"{where}: {place}/{path.stem} is free of LibTorch")
        target = re.match(rf"(axlstm/)?({'|'.join(ALLOWED)})/", name)
        plain = re.fullmatch(r"axlstm/\w+/(options|architecture)\.h", name)
        if public and target and not target.group(1):
            found.append(f"{where}: {name} is not installed; a public header takes public ones only")
        if target and not plain and target.group(2) != component and target.group(2) not in ALLOWED[component]:
            found.append(f"{where}: {component} must not include {target.group(2)} ({name})")
        if component == "config" and target and not CONFIG_MAY_INCLUDE.match(name):
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
