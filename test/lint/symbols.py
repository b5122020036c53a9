#!/usr/bin/env python3
"""Fails when a pure library reaches for anything outside itself and the libraries below it.

usage: symbols.py --allow base|core|codec ARCHIVE [--lower ARCHIVE...]

The functional core knows no clock, no socket, no heap and no randomness; an undefined symbol in
its archive is the one place where a breach of that cannot hide.
"""
import argparse
import re
import subprocess
import sys

# What compilers insert by themselves, and the few functions of libc without state.
COMMON = [
    r'memcpy|memset|memmove|memcmp|memchr|strlen|__assert_fail',
    r'__(memcpy|memset|memmove)_chk|__stack_chk_fail|__stack_chk_guard',
    r'_GLOBAL_OFFSET_TABLE_|__tls_get_addr',
    r'__(asan|ubsan|tsan|sanitizer|sancov|gcov|llvm)_\w+|__start___\w+|__stop___\w+',
]
ALLOW = {
    'base': COMMON + [r'v?snprintf|__v?snprintf_chk|strtod'],
    'core': COMMON,
    # The readers' libraries work on memory alone; both take the arena as their allocator or free
    # what they took before they return.
    'codec': COMMON + [r'protobuf_c_\w+', r'json_(object|tokener|c|global)_\w+|array_list_\w+',
                       r'lh_\w+'],
}


def nm(archive, flag):
    # -f posix: "name type value size"; archive members give header lines ending in a colon.
    text = subprocess.run(['nm', '-f', 'posix', flag, archive], check=True,
                          capture_output=True, text=True).stdout
    return {line.split()[0] for line in text.splitlines() if line and not line.endswith(':')}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--allow', choices=sorted(ALLOW), required=True)
    parser.add_argument('archive')
    parser.add_argument('--lower', nargs='*', default=[])
    args = parser.parse_args()

    allowed = re.compile('|'.join(f'(?:{pattern})' for pattern in ALLOW[args.allow]))
    have = set()
    for archive in [args.archive, *args.lower]:
        have |= nm(archive, '--defined-only')
    bad = sorted(name for name in nm(args.archive, '-u') - have if not allowed.fullmatch(name))
    for name in bad:
        print(f'{args.archive}: {args.allow} must not use {name}')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
