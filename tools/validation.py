#!/usr/bin/env python3
"""Accuracy or R^2 on the validation split for every setting of a study, best median first.

  tools/validation.py STUDY      STUDY: the folder that ffzero sweep wrote

Settings are compared on what was held out from the train set (dataset.validation); the test set stays untouched until one is chosen.
SPDX-License-Identifier: MIT
"""

import collections
import json
import pathlib
import re
import statistics
import sys


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    values = collections.defaultdict(list)
    for file in sorted(pathlib.Path(sys.argv[1]).glob("runs/*/summary.json")):
        final = json.loads(file.read_text(encoding="utf-8"))["final"]
        if "validation" not in final:
            sys.exit(f"{file}: needs a validation split; got none; set dataset.validation in the study")
        values[re.sub(r"[-_ ]*seed[-_=]?\d+", "", file.parent.name)].append(final["validation"])
    if not values:
        sys.exit(f"{sys.argv[1]}: needs finished runs; got none; run ffzero sweep first")
    for setting, seen in sorted(values.items(), key=lambda entry: -statistics.median(entry[1])):
        print(f"{statistics.median(seen):.4f} ({min(seen):.4f} .. {max(seen):.4f})  {len(seen)} seeds  {setting}")


if __name__ == "__main__":
    main()
