#!/usr/bin/env python3
"""Dependencies point down only: checks every `#include "layer/…"` against the table of layers.

usage: includes.py ROOT
"""
import pathlib
import re
import sys

import tracked

BELOW_SERVICE = {'base', 'core', 'codec', 'port', 'service'}
ALLOWED = {
    'base': {'base'},
    'core': {'base', 'core'},
    'codec': {'base', 'core', 'codec'},
    'port': {'base', 'core', 'port'},
    'service': BELOW_SERVICE,
    'engine': BELOW_SERVICE,  # and its own directory: engines never include each other
    'net': BELOW_SERVICE | {'net'},
    'ocpp': BELOW_SERVICE | {'net', 'ocpp'},
}
ANY = {'cli', 'test', 'bench'}
INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+)"')


def layer_of(parts):
    """('src', 'engine', 'aws', 'sqs.c') -> ('engine', 'engine/aws'); ('test', …) -> ('test', …)."""
    if parts[0] != 'src':
        return parts[0], parts[0]
    own = '/'.join(parts[1:3]) if parts[1] == 'engine' else parts[1]
    return parts[1], own


def fault(parts, target):
    layer, own = layer_of(parts)
    if layer in ANY:
        return None
    if '/' not in target:
        return 'include from the source root: "layer/file.h"'
    if layer not in ALLOWED:
        return f'unknown layer {layer}'
    if target.split('/')[0] in ALLOWED[layer]:
        return None
    if layer == 'engine' and target.startswith(own + '/'):
        return None
    return f'{own} must not include {target}'


def self_test():
    """The table itself is worth nothing if a breach passes."""
    assert fault(('src', 'core', 'a.c'), 'port/clock.h')
    assert fault(('src', 'engine', 'aws', 'a.c'), 'engine/embedded/a.h')
    assert fault(('src', 'net', 'a.c'), 'a.h')
    assert not fault(('src', 'engine', 'aws', 'a.c'), 'engine/aws/b.h')
    assert not fault(('src', 'core', 'a.c'), 'base/err.h')
    assert not fault(('test', 'unit', 'a.c'), 'net/a.h')


def main():
    root = pathlib.Path(sys.argv[1])
    self_test()
    bad = 0
    for path in tracked.sources(root):
        parts = path.relative_to(root).parts
        for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), 1):
            match = INCLUDE.match(line)
            what = fault(parts, match.group(1)) if match else None
            if what:
                print(f'{path.relative_to(root)}:{number}: {what}')
                bad += 1
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
