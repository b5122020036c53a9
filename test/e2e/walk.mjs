// A walk of a document for people: its commands run one after the other in a shell, its answers compared.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './harness.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const bin = process.env.EVCHARGE_BIN;
export const BUILD = './dev build';

/** The walk's steps: { command, expected } in the order of the document. */
export async function readWalk(document) {
  const steps = [];
  const text = await readFile(path.join(root, document), 'utf8');
  for (const [, block] of text.matchAll(/```console\n([\s\S]*?)```/g)) {
    for (const line of block.trimEnd().split('\n')) {
      if (line.startsWith('$ ')) steps.push({ command: line.slice(2), expected: [] });
      else steps.at(-1).expected.push(line);
    }
  }
  return steps;
}

/** `…` stands for anything but a quote, or for all of a text. */
function matches(expected, got) {
  const pattern = expected
    .split('…')
    .map((s) => s.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('[^"]*');
  return new RegExp(`^${pattern}$`).test(got);
}

/** A shell that runs one line after the other in a folder of its own, with the built executable in its place. */
export class Shell {
  static async open(env = {}) {
    const s = new Shell();
    s.dir = await mkdtemp(path.join(tmpdir(), 'evcharge-walk-'));
    await symlink(path.join(root, 'dev'), path.join(s.dir, 'dev'));
    // The build is that of this test run; what the walk prints is the path after `./dev build`.
    await writeFile(path.join(s.dir, 'place.sh'), `mkdir -p build && ln -s '${bin}' build/evcharge\n`);
    s.child = spawn('bash', ['--norc', '-m'], { cwd: s.dir, env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    s.out = '';
    s.child.stdout.on('data', (d) => (s.out += d));
    s.child.stderr.on('data', (d) => (s.errors = (s.errors ?? '') + d));
    await s.run('. ./place.sh');
    return s;
  }

  async run(command) {
    const mark = `--- ${Math.random()} ---`;
    const from = this.out.length;
    this.child.stdin.write(`${command}\necho; echo '${mark}'\n`);
    await until(`the end of: ${command}`, () => this.out.includes(mark));
    const got = this.out.slice(from, this.out.indexOf(mark)).split('\n').filter((l) => l !== '');
    this.out = this.out.slice(0, from);
    return got;
  }

  async close() {
    this.child.stdin.end('kill -9 %% 2>/dev/null; exit\n');
    await once(this.child, 'close');
    await rm(this.dir, { recursive: true, force: true });
  }
}

export async function listens() {
  const ok = async (port) => fetch(`http://127.0.0.1:${port}/live`).then((r) => r.ok, () => false);
  return (await ok(8080)) && (await ok(8081)) && (await ok(8082));
}

export async function silent() {
  return fetch('http://127.0.0.1:8082/live').then(() => false, () => true);
}

/** `serve` is the command that starts the server. */
export async function walk(shell, steps, serve, after = async () => {}) {
  for (const [i, { command, expected }] of steps.entries()) {
    if (command === BUILD) continue; // done by whoever runs this test
    const got = await shell.run(command);
    if (command === serve) await until('the server listens', listens);
    assert.equal(got.length, expected.length, `${command}\n${got.join('\n')}`);
    expected.forEach((e, k) => assert.ok(matches(e, got[k]), `${command}\nexpected ${e}\n     got ${got[k]}`));
    await after(i, command);
  }
  await until('the server ends', silent);
}
