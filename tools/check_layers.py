#!/usr/bin/env python3
"""Checks that the folders of src/ffzero depend one way.

  tools/check_layers.py [ROOT]     ROOT: the project (default: the one that this file is in)

A folder includes only folders on lower lines of LEVELS, siblings never include each other, the files of one folder include each other in
no circle, forward-only code never reaches the adjoint interface (not even through another header), JSON and TOML stay in the folders at the
door, and every folder's CMakeLists.txt depends on exactly what its files include. Prints one line for each breach and exits with 1, or one
line in all and exits with 0.
SPDX-License-Identifier: MIT
"""

import fnmatch
import pathlib
import re
import sys

# From the ground up; folders on one line are strangers to one another. A nested folder stands one step above its parent.
LEVELS = [
    ["base"],
    ["tensor"],
    ["dataset", "encode", "map", "head", "loss", "gradient", "update", "vote", "metric"],
    ["objective", "device"],
    ["train"],
    ["checkpoint", "export", "settings"],
    ["run"],
    ["report"],
]
NESTED = {"map/conv": "map", "map/mesh": "map"}

# What may run on a device that only answers never sees a derivative.
FORBIDDEN = {
    "map/adjoint_map.hpp": ["gradient/directional*", "device/*", "vote/*", "update/*"],
}

# Files of settings and of records are known at the door only.
FORMATS = re.compile(r'^\s*#\s*include\s*[<"]((?:nlohmann|toml\+\+)/[^>"]+)[>"]', re.MULTILINE)
FORMAT_FOLDERS = {"checkpoint", "settings", "run", "report"}

INCLUDE = re.compile(r'^\s*#\s*include\s*["<]ffzero/([^">]+)[">]', re.MULTILINE)
STAGE = re.compile(r"ffzero_add_stage\(\s*(\w+)(.*?)\)", re.DOTALL)


def level_of(folder):
    for level, folders in enumerate(LEVELS):
        if folder in folders:
            return level
    return None


def may_include(user, used):
    """True if files of folder `user` may include files of folder `used`."""
    if user == used or NESTED.get(user) == used:
        return True
    return level_of(NESTED.get(used, used)) < level_of(NESTED.get(user, user))


def folder_of(name):
    """Folder of "map/conv/conv2d.hpp": the longest known prefix; None for files outside the stages (the umbrella header)."""
    parts = pathlib.PurePosixPath(name).parts[:-1]
    for length in range(len(parts), 0, -1):
        folder = "/".join(parts[:length])
        if folder in NESTED or level_of(folder) is not None:
            return folder
    return "/".join(parts) or None


def read_includes(source):
    """File name relative to src/ffzero -> list of the project's files that it includes, in order."""
    files = [f for f in sorted(source.rglob("*")) if f.suffix in (".hpp", ".cpp")]
    return {f.relative_to(source).as_posix(): INCLUDE.findall(f.read_text(encoding="utf-8")) for f in files}


def check_folders(includes):
    for name, used_files in includes.items():
        folder = folder_of(name)
        if folder is None:
            continue
        if folder not in NESTED and level_of(folder) is None:
            yield f"src/ffzero/{name}: folder '{folder}' has no level; add it to LEVELS in tools/check_layers.py"
            continue
        for used in used_files:
            target = folder_of(used)
            if target is None:
                yield f"src/ffzero/{name}: includes ffzero/{used}, which is for users of the library; include what is needed"
            elif target not in NESTED and level_of(target) is None:
                yield f"src/ffzero/{name}: includes ffzero/{used}, a folder without a level"
            elif used not in includes:
                yield f"src/ffzero/{name}: includes ffzero/{used}, which does not exist"
            elif not may_include(folder, target):
                yield f"src/ffzero/{name}: '{folder}' may not include '{target}' (ffzero/{used}): not on a lower level"


def check_formats(source, includes):
    for name in includes:
        folder = folder_of(name)
        if folder is None or folder in FORMAT_FOLDERS:
            continue
        for used in FORMATS.findall((source / name).read_text(encoding="utf-8")):
            yield f"src/ffzero/{name}: '{folder}' may not include <{used}>: JSON and TOML belong to {', '.join(sorted(FORMAT_FOLDERS))}"


def check_circles(includes):
    """Circles between the modules (a header and its source) of one folder."""
    graph = {}
    for name, used_files in includes.items():
        module = name.rsplit(".", 1)[0].removesuffix("-inl")
        graph.setdefault(module, set()).update(
            used.rsplit(".", 1)[0].removesuffix("-inl") for used in used_files if folder_of(used) == folder_of(name)
        )
    for module in sorted(graph):
        graph[module].discard(module)
        chain = path_to(graph, module, module)
        if chain and module == min(chain):
            yield f"src/ffzero/{module}: a circle within the folder: {' -> '.join(chain)}"


def path_to(includes, start, goal):
    """Shortest chain of includes from start to goal, both included; None if there is none."""
    chains = [[start]]
    seen = {start}
    while chains:
        chain = chains.pop(0)
        for used in sorted(includes.get(chain[-1], [])):
            if used == goal:
                return chain + [used]
            if used not in seen:
                seen.add(used)
                chains.append(chain + [used])
    return None


def check_forbidden(includes):
    for goal, patterns in FORBIDDEN.items():
        for name in includes:
            if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
                chain = path_to(includes, name, goal)
                if chain:
                    yield f"src/ffzero/{name}: forward-only code reaches {goal}: {' -> '.join(chain)}"


def check_cmake(source, includes):
    """DEPENDS of each stage against what its files include: nothing missing, nothing idle, nothing upward."""
    depends = {}
    for folder in sorted({folder_of(name) for name in includes} - {None}):
        where = f"src/ffzero/{folder}/CMakeLists.txt"
        file = source / folder / "CMakeLists.txt"
        stage = STAGE.search(file.read_text(encoding="utf-8")) if file.exists() else None
        if stage is None:
            yield f"{where}: no ffzero_add_stage(...), yet the folder has sources"
            continue
        if stage.group(1) != folder.replace("/", "_"):
            yield f"{where}: the stage must be called {folder.replace('/', '_')}; got {stage.group(1)}"
        words = stage.group(2).split()
        listed = []
        for word in words[words.index("DEPENDS") + 1 :] if "DEPENDS" in words else []:
            if word in ("SOURCES", "LINK", "PRIVATE_LINK"):
                break
            listed.append(word)
        depends[folder] = [next((n for n in NESTED if n.replace("/", "_") == word), word) for word in listed]

    def reach(folder):
        found = set()
        pending = list(depends.get(folder, []))
        while pending:
            next_folder = pending.pop()
            if next_folder not in found:
                found.add(next_folder)
                pending += depends.get(next_folder, [])
        return found

    for folder, listed in depends.items():
        where = f"src/ffzero/{folder}/CMakeLists.txt"
        used = {folder_of(u) for name, us in includes.items() if folder_of(name) == folder for u in us} - {None, folder}
        for missing in sorted(used - reach(folder)):
            yield f"{where}: files include '{missing}', which DEPENDS does not name"
        for idle in sorted(set(listed) - used):
            yield f"{where}: DEPENDS names '{idle}', which no file includes"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
    source = root / "src" / "ffzero"
    includes = read_includes(source)
    if not includes:
        print(f"check_layers.py: no sources below {source}", file=sys.stderr)
        return 1
    breaches = [*check_folders(includes), *check_formats(source, includes), *check_circles(includes), *check_forbidden(includes), *check_cmake(source, includes)]
    for breach in breaches:
        print(breach)
    print(f"{len(includes)} files, {len(breaches)} breaches of the layers")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
