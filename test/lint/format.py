#!/usr/bin/env python3
"""Fails when clang-format would change a source file.

usage: format.py CLANG_FORMAT ROOT
"""
import subprocess
import sys

import tracked


def main():
    clang_format, root = sys.argv[1:3]
    paths = [str(path) for path in tracked.sources(root)]
    if not paths:
        print('no sources')
        return 1
    return subprocess.run([clang_format, '--dry-run', '-Werror', *paths]).returncode


if __name__ == '__main__':
    sys.exit(main())
