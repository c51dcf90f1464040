#!/usr/bin/env python3
"""Executes what a document shows: every command, every configuration, every program.

  run_document.py DOCUMENT --source DIR --build DIR [--keep DIR]

The document runs in a folder of its own that looks like a clone of the project. There `ffzero` and build/release/ffzero are the program of
the build folder, with less to do: one epoch, one seed, no report, and stand-ins of a few hundred samples for MNIST and Fashion-MNIST (the
document's DIR), so that every setting is tried in earnest but nobody waits. What downloads, installs, builds the project or takes minutes by nature
is looked at instead: the script must exist and know the options, the preset must exist.

What is what: fenced blocks by their language (sh, toml, cmake, cpp, python), indented ones by their first word. A block whose first line is a comment
with the name of a file (`# study.toml`, `// main.cpp`) is written to that file, for the commands after it. A command that must fail ends in
`# exit code N`. Python runs where the build folder holds the package; elsewhere such lines are left out, which is said. Blocks of other languages are prose. Besides: commands within a line are checked for names and options, links for their targets.
SPDX-License-Identifier: MIT
"""
import argparse
import gzip
import json
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile

PYTHON_PACKAGE = "PYTHONPATH=build/release/python"
PROGRAMS = {PYTHON_PACKAGE, "ffzero", "cmake", "ctest", "apt-get", "sudo", "git", "python3", "gnuplot", "cd", "for", "export", "mkdir", "c++", "g++"}
NOT_RUN = {"apt-get", "sudo", "git", "gnuplot", "xdg-open"}


# --- reading the document -----------------------------------------------------------------------------------------------------------

class Block:
    def __init__(self, language, line, text):
        self.language, self.line, self.text = language, line, text


def blocks_of(text):
    """Fenced and indented blocks with their languages ("" for indented ones) and first lines."""
    blocks, current, fence, blank = [], None, None, True
    for number, line in enumerate(text.splitlines(), 1):
        if fence is not None:
            if line.strip() == fence:
                blocks.append(current)
                current, fence, blank = None, None, True
            else:
                current.text += line + "\n"
            continue
        opening = re.match(r"(```+|~~~+)\s*(\S*)", line)
        if opening:
            if current:
                blocks.append(current)
            fence, current = opening.group(1), Block(opening.group(2) or "text", number + 1, "")
            continue
        indented = line.startswith("    ") and (current is not None or blank)
        if indented:
            current = current or Block("", number, "")
            current.text += line[4:] + "\n"
        elif line.strip() == "" and current is not None:
            current.text += "\n"
        elif current is not None:
            blocks.append(current)
            current = None
        blank = line.strip() == ""
    if current:
        blocks.append(current)
    for block in blocks:
        block.text = block.text.rstrip() + "\n"
        if block.language == "":
            block.language = language_of(block.text)
    return blocks


def language_of(text):
    """Of an indented block, by its first line that says something."""
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            word = line.split()[0]
            if word in PROGRAMS or re.match(r"(\./|build/|tools/|bench/|\.ci/)\S+$", word) and not re.match(r"\S+/\s", line):
                return "sh"
            return "toml" if re.match(r"(\[+[\w.]+\]+$|[\w.]+ = )", line) and not re.search(r"[Σθη]|sum |\(B", text) else "text"
    return "text"


def file_name_of(block):
    name = re.match(r"(?:#|//) ([\w./-]+\.(?:toml|cpp|hpp|c|txt|py))\b", block.text)
    return name.group(1) if name else None


# --- the folder in which it runs ----------------------------------------------------------------------------------------------------

def write_idx(path, shape, values):
    with gzip.open(path, "wb", compresslevel=1) as out:
        out.write(struct.pack(">BBBB", 0, 0, 8, len(shape)) + b"".join(struct.pack(">I", n) for n in shape) + bytes(values))


def write_stand_in(folder, train, test):
    """Four IDX files of noisy bars, one place a class: enough for a network to learn something."""
    folder.mkdir(parents=True)
    rng = random.Random(1)
    for split, count in (("train", train), ("t10k", test)):
        labels = [i % 10 for i in range(count)]
        pixels = bytearray()
        for label in labels:
            image = bytearray(rng.randbytes(28 * 28)).translate(bytes(v // 8 for v in range(256)))
            for row in range(4, 24):
                start = 28 * row + 3 + 2 * label
                image[start:start + 4] = bytes(200 + rng.randrange(50) for _ in range(4))
            pixels += image
        write_idx(folder / f"{split}-images-idx3-ubyte.gz", (count, 28, 28), pixels)
        write_idx(folder / f"{split}-labels-idx1-ubyte.gz", (count,), labels)


def write_executable(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def make_workplace(folder, source, build, document):
    # A copy, not links: documents write files, and nothing that they do may reach the source.
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=lambda at, names: {
        n for n in names if n == "__pycache__" or (pathlib.Path(at) == source and n in {"build", "runs", "install", "src", "fuzz", ".git", "CMakeLists.txt"})})
    wrapper = f"#!/bin/sh\nexec {sys.executable} {pathlib.Path(__file__).resolve()} --as \"$0\" -- \"$@\"\n"
    for name in sorted(NOT_RUN | {"ffzero", "cmake", "ctest", "python3"}):
        write_executable(folder / "bin" / name, wrapper)
    write_executable(folder / "build/release/ffzero", wrapper)
    if (build / "python/ffzero").is_dir():
        (folder / "build/release/python").symlink_to(build / "python")
    for script in ("demo.sh", "test.sh"):
        write_executable(folder / script, wrapper)
    for bench in re.findall(r"build/release/bench/(bench_\w+)", document):
        write_executable(folder / "build/release/bench" / bench, wrapper)
    for place in (folder / "data", folder / "cache/ffzero"):
        for name in ("mnist", "fashion-mnist"):
            write_stand_in(place / name, 400, 100)


# --- stand-ins for programs: this file, called by another name -----------------------------------------------------------------------

def require(condition, message):
    if not condition:
        sys.exit(f"the document names what does not exist: {message}")


def options_in(arguments):
    return [a.split("=")[0] for a in arguments if re.match(r"--?[a-z]", a)]


def check_script(script, arguments):
    path = pathlib.Path(script)
    require(path.is_file() or path.is_symlink(), script)
    text = path.read_text()
    for option in options_in(arguments):
        require(option in text, f"option {option} of {script}")


def check_preset(arguments):
    presets = json.loads(pathlib.Path("CMakePresets.json").read_text())
    kind = "buildPresets" if "--build" in arguments else "workflowPresets" if "--workflow" in arguments else "configurePresets"
    name = arguments[arguments.index("--preset") + 1]
    require(name in {p["name"] for p in presets[kind]}, f"{kind} {name}")
    known = pathlib.Path(os.environ["FFZERO_DOC_SOURCE"], "CMakeLists.txt").read_text()
    for variable in re.findall(r"-D(FFZERO_\w+)", " ".join(arguments)):
        require(variable in known, variable)


def help_of(program, command):
    said = subprocess.run([program, "help", *command], capture_output=True, text=True)
    require(said.returncode == 0, "ffzero " + " ".join(command))
    return said.stdout


def check_ffzero(program, arguments):
    command = []
    for word in arguments[:2]:
        if not re.fullmatch(r"[a-z]+", word):
            break
        if subprocess.run([program, "help", *command, word], capture_output=True).returncode != 0:
            break
        command.append(word)
    require(command or arguments[:1] == ["--version"] or arguments[:1] == ["--help"], "ffzero " + " ".join(arguments[:1]))
    known = help_of(program, command)
    for option in options_in(arguments):
        require(re.search(re.escape(option) + r"\b", known), f"ffzero {' '.join(command)} {option}")


def lightened(arguments):
    """A command line of train or sweep with less to do."""
    if arguments[:1] == ["train"] and not {"--resume", "--replay", "--help"} & set(arguments):
        words = " ".join(arguments)
        less = ["--quiet", "--no-report", "--set", "training.epochs=1", "--set", "threads=1"]
        settings = [pathlib.Path(a).read_text() for a in arguments if a.endswith(".toml") and pathlib.Path(a).is_file()]
        others = r"(mnist|function[12]|npz|csv|idx)\b"
        if not re.search(others, words) and not re.search(r"name *= *\"" + others, "".join(settings)):
            less += ["--set", "dataset.validation=" + ("4600" if "--classes" in arguments else "9200")]  # of the 10,000 glyphs
        return arguments + less
    if arguments[:1] == ["sweep"]:
        study = next(a for a in arguments if a.endswith(".toml"))
        text = pathlib.Path(study).read_text()
        text = re.sub(r"(epochs *= *)\d+", r"\g<1>1", re.sub(r"(?m)^(seeds *= *\[\d+)[^\]]*", r"\1", text))
        # The stand-ins for data have few samples.
        text = re.sub(r"(batch_size *= *)(\d+)", lambda found: found[1] + str(min(int(found[2]), 200)), text)
        if "glyphs" in text or "dataset.name" not in text:
            # In place of the study's own number, or as a key of the table that the study begins with.
            text, own = re.subn(r"(dataset\.validation *= *)\d+", r"\g<1>9200", text)
            if own == 0:
                text = re.sub(r"(?m)^base *= *\{", "base = { dataset.validation = 9200,", text)
                text = re.sub(r"(?m)^\[base\]", "[base]\ndataset.validation = 9200", text)
        light = pathlib.Path(study).with_name("light-" + pathlib.Path(study).name)
        light = pathlib.Path(light.name)
        light.write_text(text)
        return [str(light) if a == study else a for a in arguments] + ["--quiet"]
    return arguments


def stand_in(called, arguments):
    name, program = pathlib.Path(called).name, os.environ["FFZERO_DOC_PROGRAM"]
    if name == "ffzero":
        if arguments[:1] == ["reproduce"] or arguments[:2] in (["datasets", "fetch"], ["datasets", "verify"]):
            return check_ffzero(program, arguments)
        os.execv(program, [program, *lightened(arguments)])
    # Devices are programs of the examples: they answer the program for real.
    if name == "python3" and arguments and arguments[0].startswith("examples/devices/"):
        os.execv(sys.executable, [sys.executable, *arguments])
    if name == "python3":
        if arguments and arguments[0].endswith(".py"):
            return check_script(arguments[0], arguments[1:])
        os.execv(sys.executable, [sys.executable, *arguments])
    if name in ("cmake", "ctest"):
        if "--preset" in arguments:
            return check_preset(arguments) if name == "cmake" else None
        if "--install" in arguments:
            prefix = arguments[arguments.index("--prefix") + 1]
            arguments = ["--install", os.environ["FFZERO_DOC_BUILD"], "--prefix", prefix, "--component", "development"]
        elif arguments[:2] == ["--build", "build/release"]:
            target = arguments[arguments.index("--target") + 1]
            return require(any(f"add_custom_target({target} " in p.read_text() for p in pathlib.Path().glob("*/CMakeLists.txt")), target)
        elif "--build" not in arguments:
            arguments = [*arguments, "-G", "Ninja", f"-DCMAKE_CXX_COMPILER={os.environ['FFZERO_DOC_COMPILER']}", f"-DCMAKE_CXX_FLAGS=-O0 {os.environ['FFZERO_DOC_FLAGS']}"]
        real = os.environ["FFZERO_DOC_" + name.upper()]
        os.execv(real, [real, *arguments])
    if name.startswith("bench_"):
        require(pathlib.Path(f"bench/kernels/{name[6:]}_bench.cpp").exists(), name)
    return None


# --- running ------------------------------------------------------------------------------------------------------------------------

def shell_script(text, folder):
    """The block as a script: stubs for scripts of the project, `# exit code N` as a condition, DIR as the folder with data."""
    lines = []
    joined = re.sub(r"\\\n\s*", " ", text)
    for line in joined.splitlines():
        line = re.sub(r"^\$ ", "", line)
        line = re.sub(r"\bDIR\b", str(folder / "data"), line)
        expected = re.search(r"#.*\bexit code (\d+)", line)
        script = re.match(r"(?:python3 )?((?:tools|bench|\.ci)/\S+)(.*)", line)
        if expected:
            lines.append(f"code=0; {line[:expected.start()].rstrip()} || code=$?; [ $code = {expected.group(1)} ]")
        elif line.startswith(PYTHON_PACKAGE):
            lines += run_with_package(line, folder)
        elif script:
            check_script_line(script.group(1), script.group(2))
        else:
            lines.append(line)
    return "set -euo pipefail\n" + "\n".join(lines) + "\n"


def run_with_package(line, folder):
    """A line that needs the Python package: as it stands for a program that the document wrote; those of the project are only looked at."""
    program, options = re.match(r"\S+ /usr/bin/python3 (\S+)(.*)", line).groups()
    if "/" in program:
        check_script_line(program, options)
        return []
    if not (folder / "build/release/python/ffzero").is_dir():
        print(f"not run, because this build has no Python package: {line}")
        return []
    return [line]


def check_script_line(script, rest):
    check_script(script, re.sub(r"#.*", "", rest).split())


def fail(document, block, words):
    sys.exit(f"{document}:{block.line}: this does not work as it is written:\n{block.text}\n{words}")


def run_block(document, block, folder, environment):
    name = file_name_of(block)
    if name and block.language in ("toml", "cmake", "cpp", "c++", "c", "python"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(block.text)
        return "file"
    if block.language in ("sh", "bash", "shell", "console"):
        script = shell_script(block.text, folder)
    elif block.language == "toml":
        (folder / "snippet.toml").write_text(block.text)
        study = re.search(r"(?m)^(cells|seeds|\[grid\])", block.text)
        script = f"ffzero {'sweep' if study else 'train'} snippet.toml --out runs/snippet-{block.line}\n"
    elif block.language == "cmake":
        project = folder / f"snippet-{block.line}"
        project.mkdir()
        target = re.search(r"target_link_libraries\((\w+)", block.text)
        (project / "CMakeLists.txt").write_text(
            "cmake_minimum_required(VERSION 3.25)\nproject(snippet LANGUAGES CXX)\n"
            + (f"add_executable({target.group(1)} main.cpp)\n" if target else "") + block.text)
        (project / "main.cpp").write_text("int main() {}\n")
        script = (f"[ -d snippet-prefix ] || cmake --install build/release --prefix snippet-prefix\n"
                  f"cmake -S {project.name} -B {project.name}/build -DCMAKE_PREFIX_PATH=$PWD/snippet-prefix\n")
    elif block.language in ("cpp", "c++"):
        fail(document, block, "name its file in its first line (// main.cpp: ...), so that it can be compiled")
    else:
        return None
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=300)
    if done.returncode != 0:
        fail(document, block, done.stdout[-3000:])
    return "run"


def check_words(document, text, program):
    """Commands within lines, and links."""
    prose = re.sub(r"(?ms)^```.*?^```", "", text)
    for command in re.findall(r"`(?:build/release/)?ffzero ([^`]+)`", prose):
        words = command.split()
        if re.fullmatch(r"[a-z]+", words[0]):
            check_ffzero(program, words)
    for target in re.findall(r"\]\(([^)#\s]+)", prose):
        if not re.match(r"[a-z]+:", target):
            require((document.parent / target).exists(), f"link to {target}")


def main():
    if sys.argv[1:2] == ["--as"]:
        return stand_in(sys.argv[2], sys.argv[4:])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("document", type=pathlib.Path)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--cmake", default="cmake")
    parser.add_argument("--compiler", default="c++")
    parser.add_argument("--flags", default="", help="what the libraries were built with and their users must say too: sanitizers, coverage")
    parser.add_argument("--keep", type=pathlib.Path, help="run in this new folder and leave it")
    args = parser.parse_args()
    document, source, build, program = (p.resolve() for p in (args.document, args.source, args.build, args.program))
    text = document.read_text()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or pathlib.Path(temporary)
        folder.mkdir(exist_ok=True)
        make_workplace(folder, source, build, text)
        environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(folder / "cache"),
                       "FFZERO_DOC_PROGRAM": str(program), "FFZERO_DOC_BUILD": str(build),
                       "FFZERO_DOC_SOURCE": str(source), "FFZERO_DOC_CMAKE": args.cmake, "FFZERO_DOC_CTEST": "ctest", "FFZERO_DOC_COMPILER": args.compiler,
                       "FFZERO_DOC_FLAGS": args.flags}
        os.chdir(folder)
        check_words(document, text, str(program))
        done = [run_block(document.name, block, folder, environment) for block in blocks_of(text)]
        print(f"{document.name}: {done.count('run')} blocks run, {done.count('file')} files written")
        os.chdir("/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
