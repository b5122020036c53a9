#!/usr/bin/env python3
"""Line coverage of the pure layers, from what gcov wrote: `coverage.py BUILD LIMIT LAYER...`.

Runs gcov over the objects of each layer's library and counts each source line once, however many
objects hold it.  Exit status 1 if a layer is below LIMIT percent.
"""
import gzip
import json
import pathlib
import subprocess
import sys


def lines_of(build, layer):
    """{(file, line): was it run} of src/LAYER."""
    lines = {}
    for notes in sorted(pathlib.Path(build).glob(f"src/{layer}/**/*.gcno")):
        data = notes.with_suffix(".gcda")
        if not data.exists():
            continue
        out = subprocess.run(
            ["gcov", "--json-format", "--stdout", data.name],
            cwd=data.parent, capture_output=True, check=True).stdout
        if out[:2] == b"\x1f\x8b":
            out = gzip.decompress(out)
        for document in out.decode().splitlines():
            for source in json.loads(document)["files"]:
                # Not what protoc-c wrote.
                if f"src/{layer}/" not in source["file"] or ".pb-c." in source["file"]:
                    continue
                for line in source["lines"]:
                    key = (source["file"].split("src/")[-1], line["line_number"])
                    lines[key] = lines.get(key, False) or line["count"] > 0
    return lines


def main():
    build, limit, layers = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
    failed = False
    for layer in layers:
        lines = lines_of(build, layer)
        run = sum(lines.values())
        percent = 100 * run / len(lines) if lines else 0
        failed = failed or percent < limit
        print(f"coverage: src/{layer} {percent:.1f} % of {len(lines)} lines (at least {limit:g} %)")
        for (name, number), was_run in sorted(lines.items()):
            if not was_run:
                print(f"  not run: {name}:{number}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
