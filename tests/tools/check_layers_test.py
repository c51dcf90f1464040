#!/usr/bin/env python3
"""Proves that tools/check_layers.py finds what it is there for: one small good tree, and one breach at a time put into it.
Argument: the path of check_layers.py. SPDX-License-Identifier: MIT"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECKER = pathlib.Path(sys.argv.pop()).resolve()

GOOD = {
    "base/CMakeLists.txt": "ffzero_add_stage(base SOURCES error.cpp)",
    "base/error.hpp": "",
    "base/error.cpp": '#include "ffzero/base/error.hpp"',
    "map/CMakeLists.txt": "ffzero_add_stage(map SOURCES a.cpp\n  DEPENDS base LINK fmt::fmt)",
    "map/a.cpp": '#include "ffzero/map/adjoint_map.hpp"\n#include "ffzero/base/error.hpp"',
    "map/forward_map.hpp": "#include <vector>",
    "map/adjoint_map.hpp": '#include "ffzero/map/forward_map.hpp"',
    "map/mesh/CMakeLists.txt": "ffzero_add_stage(map_mesh SOURCES mesh.cpp DEPENDS map)",
    "map/mesh/mesh.cpp": '#include "ffzero/map/adjoint_map.hpp"',
    "vote/CMakeLists.txt": "ffzero_add_stage(vote SOURCES vote.cpp DEPENDS base)",
    "vote/vote.cpp": '#include "ffzero/base/error.hpp"',
    "device/CMakeLists.txt": "ffzero_add_stage(device SOURCES noisy.cpp DEPENDS map)",
    "device/noisy.hpp": '#include "ffzero/map/forward_map.hpp"',
    "device/noisy.cpp": '#include "ffzero/device/noisy.hpp"',
}


def check(changes):
    """Exit code and output of the checker on the good tree with `changes` laid over it (None removes a file)."""
    with tempfile.TemporaryDirectory() as root:
        for name, text in {**GOOD, **changes}.items():
            if text is not None:
                file = pathlib.Path(root) / "src" / "ffzero" / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
        done = subprocess.run([sys.executable, CHECKER, root], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout


class CheckLayers(unittest.TestCase):
    def expect_breach(self, changes, *words):
        code, output = check(changes)
        self.assertEqual(code, 1, output)
        for word in words:
            self.assertIn(word, output)

    def test_accepts_a_good_tree(self):
        self.assertEqual(check({})[0], 0, check({})[1])

    def test_refuses_an_include_upward(self):
        self.expect_breach({"base/error.hpp": '#include "ffzero/map/forward_map.hpp"'}, "'base' may not include 'map'")

    def test_refuses_an_include_of_a_sibling(self):
        self.expect_breach({"vote/vote.cpp": '#include "ffzero/map/forward_map.hpp"'}, "'vote' may not include 'map'")

    def test_refuses_an_include_of_a_nested_sibling(self):
        self.expect_breach({"map/a.cpp": '#include "ffzero/map/mesh/mesh.cpp"'}, "'map' may not include 'map/mesh'")

    def test_refuses_the_adjoint_in_a_device(self):
        self.expect_breach({"device/noisy.cpp": '#include "ffzero/map/adjoint_map.hpp"'}, "forward-only code reaches", "device/noisy.cpp")

    def test_refuses_the_adjoint_behind_another_header(self):
        self.expect_breach(
            {"map/helper.hpp": '#include "ffzero/map/adjoint_map.hpp"', "device/noisy.hpp": '#include "ffzero/map/helper.hpp"'},
            "device/noisy.cpp -> device/noisy.hpp -> map/helper.hpp -> map/adjoint_map.hpp",
        )

    def test_refuses_json_and_toml_below_the_door(self):
        self.expect_breach({"map/a.cpp": "#include <nlohmann/json.hpp>"}, "map/a.cpp", "<nlohmann/json.hpp>")
        self.expect_breach({"vote/vote.cpp": "#include <toml++/toml.h>"}, "vote/vote.cpp", "<toml++/toml.h>")

    def test_refuses_a_circle_within_a_folder(self):
        one, other = '#include "ffzero/base/one.hpp"', '#include "ffzero/base/other.hpp"'
        self.expect_breach({"base/one.cpp": one + "\n" + other, "base/one.hpp": "", "base/other.hpp": one}, "base/one -> base/other -> base/one")
        self.assertEqual(check({"base/one.cpp": one + "\n" + other, "base/one.hpp": "", "base/other.hpp": ""})[0], 0)

    def test_refuses_a_folder_without_a_level(self):
        self.expect_breach({"misc/util.hpp": ""}, "folder 'misc' has no level")

    def test_refuses_a_folder_without_a_stage(self):
        self.expect_breach({"vote/CMakeLists.txt": None}, "no ffzero_add_stage")

    def test_refuses_a_dependency_that_cmake_does_not_name(self):
        self.expect_breach({"vote/CMakeLists.txt": "ffzero_add_stage(vote SOURCES vote.cpp LINK base)"}, "files include 'base'")

    def test_refuses_a_dependency_that_no_file_includes(self):
        self.expect_breach({"vote/CMakeLists.txt": "ffzero_add_stage(vote SOURCES vote.cpp DEPENDS base tensor)"}, "names 'tensor'")

    def test_refuses_an_include_of_nothing(self):
        self.expect_breach({"vote/vote.cpp": '#include "ffzero/base/gone.hpp"'}, "does not exist")

    def test_refuses_an_empty_tree(self):
        with tempfile.TemporaryDirectory() as root:
            self.assertEqual(subprocess.run([sys.executable, CHECKER, root], capture_output=True, check=False).returncode, 1)


if __name__ == "__main__":
    unittest.main()
