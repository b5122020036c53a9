// kill -9 at seeded moments under load, restart on the same directory and ports, and in the end: every acknowledged
// message counted once, every session's sum that of its device, the books balanced, the file whole.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { CrashDevice, CrashListener, CrashPoster, Rng, Site } from './crash_fleet.mjs';
import { Server, books, call, newCustomer, newOutlet, run, tempDir, until } from './harness.mjs';

const ARGS = ['--message-rate', '100000', '--message-burst', '100000', '--stop-timeout', '1h', '--command-timeout', '1h'];
const LIMIT_MS = 60_000;

async function makeFleet(site, rng, { devices, posters }) {
  const peers = [];
  for (let i = 0; i < devices; i++) {
    const outletId = await newOutlet(site.server, { outletCode: `K${i}` });
    peers.push(new CrashDevice(site, new Rng(rng.below(2 ** 31)), outletId, await newCustomer(site.server, `kill-tag-${i}`)));
  }
  for (let i = 0; i < posters; i++) peers.push(new CrashPoster(site, new Rng(rng.below(2 ** 31)), await newOutlet(site.server)));
  return peers;
}

/** A start that is killed while it opens the directory or soon after. */
async function killWhileStarting(options, ms) {
  const args = ['serve', '--data', options.dir, ...options.args];
  ['outlet', 'app', 'gateway'].forEach((name, i) => args.push(`--${name}-listen`, `127.0.0.1:${options.ports[i]}`));
  const child = spawn(process.env.EVCHARGE_BIN, args, { stdio: 'ignore' });
  const timer = setTimeout(() => child.kill('SIGKILL'), ms);
  const [code, signal] = await once(child, 'exit');
  clearTimeout(timer);
  assert.deepEqual({ code, signal }, { code: null, signal: 'SIGKILL' });
}

/** Kills the server some moment after so many further acknowledgements, and starts it again. */
async function round(site, rng, options) {
  const target = site.acks + 1 + rng.below(options.acks);
  await until('acknowledgements', () => site.acks >= target || site.failed, LIMIT_MS);
  if (site.failed) throw site.failed;
  await new Promise((done) => setTimeout(done, rng.below(10))); // not always just after an answer
  const server = site.server;
  site.server = null;
  await server.kill();
  assert.deepEqual(server.exit, { code: null, signal: 'SIGKILL' });
  while (rng.below(8) === 0) await killWhileStarting(options, rng.below(60));
  const began = performance.now();
  site.up(await Server.start(options));
  return performance.now() - began;
}

async function settle(site, peers, running, listener) {
  site.killing = false;
  site.stopping = true;
  listener.stop();
  await Promise.all(running);
  const balanced = async () => (await books(site.server)).balanced;
  assert.equal(await balanced(), true);
  const differences = async () => (await Promise.all(peers.map((p) => p.differences()))).flat();
  assert.deepEqual(await differences(), []);
  for (const p of peers) assert.deepEqual(Object.keys(await p.repeat()), ['duplicate']);
  assert.deepEqual(await differences(), []);
  assert.deepEqual(await listener.differences(), []);
  assert.equal(await balanced(), true);
  assert.deepEqual((await call('GET', `${site.server.outlet}/api/dead-letters?all=true`)).body.items, []);
}

function figures(peers, site, listener, starts) {
  const of = (fn) => peers.reduce((sum, p) => sum + (fn(p) ?? 0), 0);
  return {
    messages: of((p) => p.all?.length) + of((p) => p.sent?.flat().length),
    sentAgain: site.again,
    sessions: of((p) => p.sessions?.length),
    commandsThatCameAgain: of((p) => p.recame),
    events: listener.seen.length,
    slowestStartMs: Math.round(Math.max(...starts)),
  };
}

async function play(site, dir, options) {
  const rng = new Rng(options.seed);
  site.up(await Server.start({ dir, args: ARGS }));
  const again = { dir, args: ARGS, ports: site.server.ports(), acks: options.acks };
  const peers = await makeFleet(site, rng, options);
  const listener = new CrashListener(site);
  const running = [...peers, listener].map((p) => p.run().catch((e) => (site.failed ??= e)));
  const starts = [];
  site.end = () => (listener.stop(), Promise.all(peers.map((p) => p.end?.())));
  for (let i = 0; i < options.rounds; i++) starts.push(await round(site, rng, again));
  await settle(site, peers, running, listener);
  if (site.failed) throw site.failed;
  return figures(peers, site, listener, starts);
}

/** The whole test; options: rounds, devices, posters, acks (before a kill, at most), seed. Gives its figures. */
export async function killAndCount(options) {
  const dir = await tempDir();
  const site = new Site();
  try {
    const f = await play(site, dir, options);
    await site.end();
    assert.deepEqual(await site.server.stop(), { code: 0, signal: null });
    const verified = await run(['backup', 'verify', path.join(dir, 'evcharge.db')]);
    assert.deepEqual([verified.code, verified.stderr], [0, '']);
    return f;
  } finally {
    const server = site.server;
    site.stopping = true;
    site.close();
    if (server && !server.exit) await server.kill();
    await site.end?.();
    await rm(dir, { recursive: true });
  }
}
