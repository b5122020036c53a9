#!/usr/bin/env python3
"""Puts the parts of one OpenAPI document together and writes it as C.

usage: embed.py NAME VERSION OUTPUT.c PART.json...

Objects of the parts are merged, later parts into earlier ones; any other value that two parts give
is an error.  The array api_openapi_NAME is not NUL-terminated for its users: they have its length.
"""
import json
import pathlib
import sys


def merge(into, part, where=''):
    for key, value in part.items():
        if key not in into:
            into[key] = value
        elif isinstance(into[key], dict) and isinstance(value, dict):
            merge(into[key], value, f'{where}/{key}')
        else:
            sys.exit(f'{where}/{key} is given twice')


def unresolved(document, value):
    """References that lead nowhere."""
    if isinstance(value, list):
        return [bad for item in value for bad in unresolved(document, item)]
    if not isinstance(value, dict):
        return []
    found = [bad for item in value.values() for bad in unresolved(document, item)]
    target = document
    for step in value.get('$ref', '#').split('/')[1:]:
        target = target.get(step, {})
    if '$ref' in value and not target:
        found.append(value['$ref'])
    return found


def c_bytes(data):
    """Lines of an array's elements; a string literal would be longer than C promises to take."""
    for at in range(0, len(data), 16):
        yield '\t' + ' '.join(f'{byte},' for byte in data[at:at + 16])


def main():
    name, version, output = sys.argv[1:4]
    document = {}
    for part in sys.argv[4:]:
        merge(document, json.loads(pathlib.Path(part).read_text(encoding='utf-8')))
    document['info']['version'] = version
    bad = unresolved(document, document)
    if bad:
        sys.exit(f'{name}: no such reference: {", ".join(bad)}')
    # Bytes above 127 would not be constant in a char where it is signed.
    data = json.dumps(document, ensure_ascii=True, separators=(',', ':')).encode('ascii')
    lines = [
        '#include "net/api_openapi.h"',
        '',
        f'const char api_openapi_{name}[] = {{',
        *c_bytes(data),
        '};',
        f'const size_t api_openapi_{name}_n = sizeof(api_openapi_{name});',
        '',
    ]
    pathlib.Path(output).write_text('\n'.join(lines), encoding='utf-8')


if __name__ == '__main__':
    main()
