#!/usr/bin/env python3
"""Shows that symbols.py bites: a core that asks for the time must fail, a pure one must pass.

usage: symbols_bite.py SYMBOLS_PY CC...
"""
import pathlib
import subprocess
import sys
import tempfile

PURE = 'int pure(int x);\nint pure(int x) { return x + 1; }\n'
IMPURE = '#include <time.h>\nlong impure(void);\nlong impure(void) { return (long)time(0); }\n'


def verdict(directory, name, text, symbols, cc):
    source = directory / f'{name}.c'
    archive = directory / f'lib{name}.a'
    source.write_text(text)
    subprocess.run([*cc, '-c', source, '-o', source.with_suffix('.o')], check=True)
    subprocess.run(['ar', 'rcs', archive, source.with_suffix('.o')], check=True)
    return subprocess.run([sys.executable, symbols, '--allow', 'core', str(archive)]).returncode


def main():
    symbols, *cc = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        good = verdict(directory, 'pure', PURE, symbols, cc)
        bad = verdict(directory, 'impure', IMPURE, symbols, cc)
    if good != 0 or bad == 0:
        print(f'pure code gave {good} (want 0), code that calls time() gave {bad} (want 1)')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
