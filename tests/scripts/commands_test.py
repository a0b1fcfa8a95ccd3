"""What the documentation says of commands is so: docs/commands.md has the programs' options, and the commands in the
pages' shell blocks are accepted.

Usage: commands_test.py BIN
"""

import re
import shlex
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
sys.dont_write_bytecode = True
import commands_reference as reference  # noqa: E402

BIN = Path()
PAGE = ROOT / "docs/commands.md"
SECTIONS_OF_SWEEPS = {"sweep"}  # read by `sweep --list`
KEYS = set(re.findall(r"^\| `([a-z_]+\.\w+)` \|", (ROOT / "docs/config.md").read_text(), re.MULTILINE))
FILE = re.compile(r"\.(h|cpp|md|py|csv|json|jsonl|yaml|npy|pkl|txt|wav|pt|safetensors)$")
TIMEOUT_S = 30
OPENED = ("classification.encoder=",)  # keys whose file --dump-config opens; the pages name files that a reader has


def pages() -> list[Path]:
    """Of the clone: all but what is built, and the history of changes."""
    names = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    found = [ROOT / name for name in names] or [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), ROOT / "python/README.md"]
    return [page for page in found if page.name != "CHANGELOG.md" and page.exists()]


def shell_lines(text: str) -> list[tuple[int, str]]:
    """The commands of ```sh blocks with the numbers of their lines; lines that end in \\ are joined."""
    lines, inside, joined, start = [], False, "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip().startswith("```"):
            inside = line.strip() == "```sh"
        elif inside:
            start = start if joined else number
            joined += line.strip().removesuffix("\\")
            if not line.endswith("\\"):
                lines.append((start, joined))
                joined = ""
    return lines


def inline_code(text: str) -> list[tuple[int, str]]:
    """What stands between backticks outside of blocks, with the numbers of the lines."""
    outside = re.sub(r"^( *```).*?^\1$", lambda block: "\n" * block[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL)
    spans = re.finditer(r"(?<!`)`([^`]+)`(?!`)", outside)
    return [(outside.count("\n", 0, span.start()) + 1, " ".join(span[1].replace("\\|", "|").split())) for span in spans]


def simple_commands(line: str) -> list[list[str]]:
    """The words of each command of a line with pipes, && and ;, without its comment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    commands: list[list[str]] = [[]]
    for word in lexer:
        if re.fullmatch(r"[|&;]+", word):
            commands.append([])
        else:
            commands[-1].append(word)
    return [command for command in commands if command]


class Checker:
    """Compares command lines with what programs and scripts take."""

    def __init__(self) -> None:
        self.help = {one.command: one for one in reference.all_help(BIN, PAGE.read_text())}
        self.programs = {command for command in self.help if " " not in command}

    def faults(self, words: list[str]) -> list[str]:
        for place, word in enumerate(words):
            name = Path(word).name
            if name in self.programs:
                return self.faults_of_program(name, words[place + 1 :])
            if name == "slurm_pretrain.sh":
                return self.faults_of_program("pretrain", words[place + 1 :])
            if re.fullmatch(r"(\./)?(scripts|tests)/[\w/]+\.(py|sh)", word):
                return faults_of_script(ROOT / word, words[place + 1 :])
            if word == "-m" and words[place + 1].startswith("axlstm."):
                return faults_of_script(python_module(words[place + 1]), words[place + 2 :])
        return []

    def faults_of_program(self, program: str, arguments: list[str], run: bool = True) -> list[str]:
        """With `run` the program is asked about its configuration too."""
        arguments = [word for word in arguments if "…" not in word]
        command = program
        if arguments and f"{program} {arguments[0]}" in self.help:
            command = f"{program} {arguments.pop(0)}"
        options = self.help[command].options()
        given = [word.partition("=")[0] for word in arguments if word.startswith("-") and len(word) > 1]
        faults = [f"{command} has no option {name}" for name in given if name not in options]
        faults += [f"there is no {word}" for word in arguments if word.startswith("configs/") and not (ROOT / word).exists()]
        assignments = [word for word in arguments if re.match(r"[a-z_]+\.\w+=", word)]
        faults += faults_of_keys([word.partition("=")[0] for word in assignments])
        return faults or (self.faults_of_configuration(command, arguments, assignments) if run else [])

    def faults_of_configuration(self, command: str, arguments: list[str], assignments: list[str]) -> list[str]:
        """What the program itself says of the file and the values, if it can be asked to do no more."""
        how = next((name for name in ("--dump-config", "--list") if name in self.help[command].options()), None)
        files = [arguments[place + 1] for place, word in enumerate(arguments[:-1]) if word in ("-c", "--config")]
        if how is None or not (files or assignments):
            return []
        config = [word for name in files for word in ("--config", name)]
        values = [word for word in assignments if not word.startswith(OPENED)]
        call = [str(BIN / command), how, *config, *values]
        result = subprocess.run(call, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        return [] if result.returncode == 0 else [f"`{' '.join(call[1:])}` ends with {result.returncode}: {result.stderr.strip()}"]


def faults_of_keys(keys: list[str]) -> list[str]:
    others = [key for key in keys if key not in KEYS and key.partition(".")[0] not in SECTIONS_OF_SWEEPS]
    return [f"docs/config.md has no key {key}" for key in others]


def python_module(name: str) -> Path:
    path = ROOT / "python" / name.replace(".", "/")
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def faults_of_script(path: Path, arguments: list[str]) -> list[str]:
    """Scripts are read, not run: most need packages."""
    if not path.exists():
        return [f"there is no {path.relative_to(ROOT)}"]
    files = path.parent.glob("*.py") if path.name == "__main__.py" else [path]
    text = "\n".join(file.read_text() for file in files)
    given = [word.partition("=")[0] for word in arguments if word.startswith("--")]
    return [f"{path.relative_to(ROOT)} has no option {name}" for name in given if not re.search(rf"{name}\b", text)]


class CommandsTest(unittest.TestCase):
    maxDiff = None
    checker: Checker

    @classmethod
    def setUpClass(cls) -> None:
        cls.checker = Checker()

    def test_the_page_has_the_options_of_the_programs(self) -> None:
        page = PAGE.read_text()
        self.assertEqual(page, reference.with_reference(page, BIN), "write it anew: scripts/commands_reference.py")

    def test_the_page_names_every_program(self) -> None:
        built = {file.name for file in BIN.iterdir() if file.is_file() and not file.suffix}
        self.assertEqual(built, set(reference.programs_of(PAGE.read_text())), "the first table of docs/commands.md")

    def test_commands_of_the_pages_are_accepted(self) -> None:
        faults, checked = [], 0
        for page in pages():
            for number, line in shell_lines(page.read_text()):
                for words in simple_commands(line):
                    faults += [f"{page.relative_to(ROOT)}:{number}: {fault}" for fault in self.checker.faults(words)]
                    checked += 1
        self.assertGreater(checked, 50, "commands found")
        self.assertEqual(faults, [])

    def test_commands_and_keys_in_sentences_and_tables_exist(self) -> None:
        faults, checked = [], 0
        sections = {key.partition(".")[0] for key in KEYS}
        for page in pages():
            for number, code in inline_code(page.read_text()):
                found: list[str] = []
                key = re.fullmatch(r"([a-z]+)\.[a-z]\w*(?==|$)[^ ]*", code)
                if code.split(" ")[0] in self.checker.programs and " --" in code:
                    program, *arguments = simple_commands(code)[0]
                    found = self.checker.faults_of_program(program, arguments, run=False)
                elif key and key[1] in sections and not FILE.search(code) and not code.endswith(".key=value"):
                    found = faults_of_keys([code.partition("=")[0]])
                else:
                    continue
                faults += [f"{page.relative_to(ROOT)}:{number}: `{code}`: {fault}" for fault in found]
                checked += 1
        self.assertGreater(checked, 200, "commands and keys found")
        self.assertEqual(faults, [])

    def test_faults_are_found(self) -> None:
        for line, fault in {
            "pretrain --nprocs 2": "pretrain has no option --nprocs",
            "x | build/release/bin/extract --stream --kinds scene": "extract has no option --kinds",
            "hear-eval report --seeds 3 scores": "hear-eval report has no option --seeds",
            "mpirun -np 2 pretrain --config configs/none.yaml": "there is no configs/none.yaml",
            "pack data.roots=audio": "docs/config.md has no key data.roots",
            "pretrain model.size=enormous": "model.size",
            "sweep --config configs/ablation/table5_quick.yaml model.size=enormous": "model.size",
            "python3 scripts/scaling.py --ranck 1": "scripts/scaling.py has no option --ranck",
            "python -m axlstm.hear --devices cuda": "python/axlstm/hear.py has no option --devices",
            "scripts/none.sh": "there is no scripts/none.sh",
        }.items():
            found = [fault for words in simple_commands(line) for fault in self.checker.faults(words)]
            self.assertEqual(len(found), 1, (line, found))
            self.assertIn(fault, found[0])

    def test_lines_of_shell_blocks(self) -> None:
        text = "a\n```sh\none \\\n  two  # three\nfour | five && six\n```\n  ```sh\n  seven\n  ```\n```cpp\neight\n```\n"
        lines = shell_lines(text)
        self.assertEqual([number for number, _ in lines], [3, 5, 8])
        self.assertEqual([simple_commands(line) for _, line in lines], [[["one", "two"]], [["four"], ["five"], ["six"]], [["seven"]]])

    def test_code_in_sentences(self) -> None:
        text = "a `b --c` and `d\ne`\n```sh\n`f`\n```\n| `g\\|h` |\n"
        self.assertEqual(inline_code(text), [(1, "b --c"), (1, "d e"), (6, "g|h")])

    def test_help_in_parts(self) -> None:
        printed = (
            "Does it.\nUsage: /path/tool [OPTIONS] [SUBCOMMAND]\n\nOptions:\n"
            "  -h,--help                   Print\n"
            "  --memory INT:INT in [1 - 16]=2\n                              Of all\n"
            "[Option Group: Others]\n  Options:\n    --input s16le|f32le [s16le] Format\n    --no-file{false}            None\n"
            "\nSubcommands:\n  report                      Scores\n                              Example: x\n"
        )
        parsed = reference.parse_help("tool", printed)
        self.assertEqual(parsed.usage, "tool [OPTIONS] [SUBCOMMAND]")
        self.assertEqual(parsed.options(), {"-h", "--help", "--memory", "--input", "--no-file"})
        self.assertEqual(parsed.sections["Options:"][1], reference.Entry("--memory INT:INT in [1 - 16]=2", "Of all"))
        self.assertEqual(parsed.sections["Options:"][2], reference.Entry("--input s16le|f32le [s16le]", "Format", "Others"))
        self.assertEqual(parsed.subcommands(), ["report"])
        with self.assertRaisesRegex(ValueError, "outside of any section"):
            reference.parse_help("tool", "Usage: tool\nstray\n")


if __name__ == "__main__":
    BIN = Path(sys.argv.pop(1)).resolve()
    unittest.main()
