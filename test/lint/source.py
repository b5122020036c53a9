#!/usr/bin/env python3
"""House rules that neither compiler nor clang-format knows.

usage: source.py ROOT ALLOW_FILE

ALLOW_FILE names the functions that may be longer than 60 lines: `path function reason`, one a line.
An entry that no longer applies is a fault too, so the list only shrinks by itself.
"""
import pathlib
import re
import sys

import tracked

COLUMNS = 100
SCRIPT_COLUMNS = 140  # no formatter breaks the lines of these
TAB = 8
LINES = 60
FORBIDDEN = ('atoi|atol|atoll|atof|strtol|strtoll|strtoul|strtoull|sprintf|vsprintf|strcpy|strcat|'
             'strncpy|strncat|strtok|alloca|system|gets|popen|tmpnam|mktemp')
CALL = re.compile(r'(?<![\w.>])(' + FORBIDDEN + r')\s*\(')
MARKER = re.compile(r'\b(TO' r'DO|FIX' r'ME|XX' r'X)\b')
# Written in pieces, so that this file passes its own rule.
FOREIGN = re.compile('|'.join([
    r'registry\.npmjs\.' r'org', r'pypi\.' r'org', r'files\.python' r'hosted',
    r'deb\.debian\.' r'org', r'archive\.ubuntu\.' r'com', r'crates\.' r'io',
    r'proxy\.golang\.' r'org', r'gh' r'cr\.io',
    r'/wo' r'rk/(main|shared)', r'/tmp/bu' r'ild', r'/ro' r'ot/', r'/ho' r'me/[a-z]+/',
]))
TEXT = {'.c', '.h', '.py', '.mjs', '.cjs', '.js', '.jsx', '.ts', '.md', '.json', '.sh', '.build',
        '.txt', '.proto', '.css', '.html', '.yml', '.yaml', '.sql', '.service', '.conf', '.ini',
        '.tf', ''}
DATA = ('test/fuzz/corpus/', 'test/vectors/')  # as they came from elsewhere
SCRIPTS = {'.mjs', '.cjs', '.js', '.jsx', '.ts', '.css', '.html'}
WIDE = {'.md', '.json', '.svg'}  # prose and data have no columns


def strip_text(line):
    """The line without string and character literals, so that a word in a text is not a call."""
    return re.sub(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])*\'', '""', line)


def without_comments(text):
    keep_lines = lambda match: re.sub(r'[^\n]', ' ', match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*', keep_lines, text, flags=re.S)


def width(line):
    return len(line.expandtabs(TAB))


def function_name(lines, brace):
    """The name before the parameter list that ends on the line above the opening brace."""
    start = brace - 1
    while start > 0 and lines[start - 1].strip() and lines[start][:1] in ('\t', ' '):
        start -= 1
    match = re.search(r'(\w+)\(', ' '.join(lines[start:brace]))
    return match.group(1) if match else '?'


def functions(lines):
    """(name, first line, count of lines between the braces); clang-format fixes the shape."""
    brace = None
    for number, line in enumerate(lines):
        if line == '{':
            brace = number
        elif line == '}' and brace is not None:
            yield function_name(lines, brace), brace + 1, number - brace - 1
            brace = None


def check_c(text, name, allow, used):
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if re.match(r'\t* {8}', line) or re.match(r' +\t', line):
            yield number, 'tabs for the indentation, spaces only for what follows it'
    for number, line in enumerate(without_comments(text).splitlines(), 1):
        match = CALL.search(strip_text(line))
        if match:
            yield number, f'{match.group(1)} is not for this house'
    for function, number, count in functions(lines):
        if count <= LINES:
            continue
        if (name, function) in allow:
            used.add((name, function))
        else:
            yield number, f'{function} has {count} lines, more than {LINES}'


def check(path, name, allow, used):
    try:
        text = path.read_text(encoding='utf-8')
    except UnicodeDecodeError:
        yield 1, 'not UTF-8'
        return
    if text and not text.endswith('\n'):
        yield text.count('\n') + 1, 'no newline at the end'
    columns = SCRIPT_COLUMNS if path.suffix in SCRIPTS else COLUMNS
    for number, line in enumerate(text.splitlines(), 1):
        if path.suffix not in WIDE and path.name != 'LICENSE' and width(line) > columns:
            yield number, f'{width(line)} columns, more than {columns}'
        if line != line.rstrip() and path.suffix != '.md':
            yield number, 'space at the end of the line'
        if MARKER.search(line):
            yield number, 'unfinished work'
        if FOREIGN.search(line):
            yield number, 'a host or path of somebody\'s machine'
    if path.suffix in ('.c', '.h'):
        yield from check_c(text, name, allow, used)


def load_allow(path):
    allow = {}
    for line in path.read_text(encoding='utf-8').splitlines():
        if line.strip() and not line.startswith('#'):
            name, function, reason = line.split(None, 2)
            allow[(name, function)] = reason
    return allow


def self_test():
    faults = lambda text: [what for _, what in check_c(text, 'a.c', {}, set())]
    assert faults('\tstrcpy(a, b);\n')
    assert faults('        int a;\n')
    assert faults('void f(void)\n{\n' + '\t;\n' * (LINES + 1) + '}\n')
    assert not faults('/* strcpy(a) */\n\tour_strcpy(a, "gets(");\n')
    assert not faults('void f(void)\n{\n' + '\t;\n' * LINES + '}\n')
    assert MARKER.search('TO' 'DO: later') and FOREIGN.search('/ro' 'ot/x')


def main():
    root = pathlib.Path(sys.argv[1])
    allow = load_allow(pathlib.Path(sys.argv[2]))
    used = set()
    bad = 0
    self_test()
    for path in tracked.files(root):
        name = str(path.relative_to(root))
        if path.suffix not in TEXT or name.startswith(DATA):
            continue
        for number, what in check(path, name, allow, used):
            print(f'{name}:{number}: {what}')
            bad += 1
    for name, function in sorted(set(allow) - used):
        print(f'{name}: {function} is not longer than {LINES} lines: take it off the list')
        bad += 1
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
