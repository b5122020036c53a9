#!/usr/bin/env python3
"""Counts the tests of one `meson test` run: prints `passed failed skipped`, failures on stderr.

usage: count.py TESTLOG_JSON

A test that speaks TAP counts each of its lines; any other counts one.  A program that fails without
a `not ok` of its own (a crash, a time-out, a plan not kept) is one failure more.
"""
import json
import re
import sys

LINE = re.compile(r'(not )?ok\b\s*\d*\s*-?\s*([^#]*)(#\s*(skip|todo))?', re.I)


def count(test):
    passed = failed = skipped = 0
    explain = False
    for line in test.get('stdout', '').splitlines():
        match = LINE.match(line)
        if not match:
            if explain and line.startswith('#'):  # what a failed test said about it
                print(f'    {line[1:].strip()}', file=sys.stderr)
            continue
        explain = bool(match.group(1))
        if match.group(3) and not match.group(1):
            skipped += 1
            print(f'skipped: {test["name"]}: {match.group(2).strip()}', file=sys.stderr)
        elif match.group(1):
            failed += 1
            print(f'failed: {test["name"]}: {match.group(2).strip()}', file=sys.stderr)
        else:
            passed += 1
    result = test['result']
    if result == 'SKIP' and skipped == 0:
        skipped += 1
        print(f'skipped: {test["name"]}', file=sys.stderr)
    elif result not in ('OK', 'SKIP') and failed == 0:
        failed += 1
        print(f'failed: {test["name"]}: {result.lower()}', file=sys.stderr)
    elif passed + failed + skipped == 0:
        passed = 1
    return passed, failed, skipped


def main():
    try:
        with open(sys.argv[1], encoding='utf-8') as log:
            counts = [count(json.loads(line)) for line in log if line.strip()]
    except FileNotFoundError:
        counts = []
    if not counts:
        print('failed: no test was run', file=sys.stderr)
        counts = [(0, 1, 0)]
    print(*(sum(column) for column in zip(*counts)))


if __name__ == '__main__':
    main()
