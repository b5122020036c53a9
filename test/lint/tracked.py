"""The files a lint looks at: those Git knows or would add, or all where there is no repository."""
import pathlib
import subprocess

SKIP = {'.git', 'node_modules'}


def files(root):
    root = pathlib.Path(root)
    try:
        text = subprocess.run(
            ['git', '-c', f'safe.directory={root.resolve()}', '-C', root, 'ls-files', '-z',
             '--cached', '--others', '--exclude-standard'],
            check=True, capture_output=True, text=True).stdout
        names = [root / name for name in text.split('\0') if name]
    except (OSError, subprocess.CalledProcessError):  # a release archive: no Git, no repository
        names = [path for path in root.rglob('*')
                 if not SKIP & set(path.relative_to(root).parts)
                 and not path.relative_to(root).parts[0].startswith('build')]
    return sorted(path for path in names if path.is_file() and not path.is_symlink())


def sources(root):
    return [path for path in files(root) if path.suffix in ('.c', '.h')]
