// The commands for people, each against a running server: what they print, and their exit codes.
import assert from 'node:assert/strict';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Server, newCustomer, newOutlet, outletOf, run, tempDir, until } from './harness.mjs';

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/;
const NOBODY = '00000000-0000-4000-8000-000000000001';

function urls(server) {
  return { EVCHARGE_OUTLET_URL: server.outlet, EVCHARGE_APP_URL: server.app, EVCHARGE_GATEWAY_URL: server.gateway };
}

/** Runs a command against the server; it must succeed. */
async function cli(server, ...args) {
  const r = await run(args, { env: urls(server) });
  assert.equal(r.code, 0, `evcharge ${args.join(' ')}: ${r.stderr}`);
  return r.stdout;
}

async function fails(server, code, words, ...args) {
  const r = await run(args, { env: urls(server) });
  assert.equal(r.code, code, `evcharge ${args.join(' ')}: ${r.stdout}${r.stderr}`);
  assert.match(r.stderr, words);
  assert.equal(r.stderr.trimEnd().split('\n').length, 1, 'a problem is one line');
  assert.equal(r.stdout, '');
}

describe('against a running server', () => {
  let server;
  before(async () => {
    server = await Server.start();
  });
  after(async () => {
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });

  test('an outlet is added, changed, taken out of service and retired', async () => {
    const added = await cli(server, 'outlet', 'add', '--group', NOBODY, '--code', 'C1', '--address', 'Straße 1', '--max-power', '22000');
    const id = UUID.exec(added)[0];
    assert.match(await cli(server, 'outlet', 'show', id), /^code +C1$/m);
    await cli(server, 'outlet', 'change', id, '--address', 'Lane 2', '--max-power=11000');
    assert.equal((await outletOf(server, id)).maxPower, 11000);
    assert.match(await cli(server, 'outlet', 'out-of-service', id), /^out of service +yes$/m);
    assert.doesNotMatch(await cli(server, 'outlet', 'in-service', id), /out of service/);
    assert.match(await cli(server, 'outlet', 'list'), new RegExp(`^OUTLET .*\\n(.*\\n)*${id} .*Lane 2$`, 'm'));
    assert.match(await cli(server, 'outlet', 'retire', id), /^retired +yes$/m);
    assert.doesNotMatch(await cli(server, 'outlet', 'list'), new RegExp(id));
    assert.match(await cli(server, 'outlet', 'list', '--retired'), new RegExp(id));
  });

  test('a customer is added, blocked, given another tag and erased', async () => {
    const person = ['--address', 'a', '--email', 'e@example.org', '--payment', 'card'];
    const added = await cli(server, 'customer', 'add', '--tag', 'Cli-Tag', ...person);
    const id = UUID.exec(added)[0];
    assert.match(await cli(server, 'customer', 'block', id), /^blocked +yes$/m);
    assert.doesNotMatch(await cli(server, 'customer', 'unblock', id), /blocked/);
    assert.match(await cli(server, 'customer', 'tag', id, 'cli-tag-2'), /^tag +cli-tag-2$/m);
    assert.match(await cli(server, 'customer', 'change', id, '--email', 'f@example.org'), /f@example\.org/);
    assert.match(await cli(server, 'customer', 'list'), /cli-tag-2/);
    assert.equal(await cli(server, 'customer', 'erase', id), 'erased\n');
    await fails(server, 1, /\(404\)$/m, 'customer', 'show', id);
  });

  test('a session by tag, message by message, and its traces everywhere', async () => {
    const outlet = await newOutlet(server);
    const customer = await newCustomer(server, 'cli-driver');
    const send = (...args) => cli(server, 'send', outlet, ...args);
    assert.match(await send('CablePlugged'), /^applied .*CablePlugged/m);
    await send('DeviceRequestsCharging', '--tag', 'cli-driver');
    await until('the session runs', async () => (await outletOf(server, outlet)).outletState === 'Charging');
    assert.match(await send('Charging', '--tag', 'cli-driver', '--energy', '1.5', '--message-id', 'cli-1'), /^applied/m);
    assert.match(await send('DeviceRequestsStop', '--tag', 'cli-driver', '--energy', '0.25'), /ChargingFinished/);
    const history = await cli(server, 'customer', 'history', customer.customerId);
    assert.match(history, /ChargingFinished .*1\.750 kWh/);
    const session = UUID.exec(history.split('\n')[1])[0];
    assert.match(await cli(server, 'session', 'show', session), /^energy +1\.750 kWh$/m);
    assert.match(await cli(server, 'session', 'list'), new RegExp(session));
    assert.doesNotMatch(await cli(server, 'session', 'list', '--live'), new RegExp(session));
    assert.match(await cli(server, 'outlet', 'events', outlet), /OutletBackend +ChargingFinished/);
    await fails(server, 1, /\(409\)$/m, 'session', 'stop', session);
  });

  test('a session by app is started, listed as live, stopped and finished', async () => {
    const outlet = await newOutlet(server);
    const customer = await newCustomer(server, 'cli-app');
    await cli(server, 'send', outlet, 'CablePlugged');
    const session = UUID.exec(await cli(server, 'session', 'start', customer.customerId, outlet))[0];
    await until('it runs', async () => (await outletOf(server, outlet)).outletState === 'Charging');
    assert.match(await cli(server, 'session', 'list', '--live'), new RegExp(session));
    assert.equal(await cli(server, 'session', 'stop', session), 'asked to stop\n');
    assert.match(await cli(server, 'outlet', 'finish', outlet, '--reason', 'no device there'), /ChargingFinished/);
    await until('the session is over', async () => /^state +ChargingFinished$/m.test(await cli(server, 'session', 'show', session)));
  });

  test('energy of nobody is listed and attached to a session', async () => {
    const outlet = await newOutlet(server);
    await newCustomer(server, 'cli-attach');
    await cli(server, 'send', outlet, 'CablePlugged');
    await cli(server, 'send', outlet, 'DeviceRequestsCharging', '--tag', 'cli-attach');
    await until('it runs', async () => (await outletOf(server, outlet)).outletState === 'Charging');
    const session = (await outletOf(server, outlet)).sessionId;
    await cli(server, 'send', outlet, 'Charging', '--tag', 'somebody-else', '--energy', '0.125');
    const items = await cli(server, 'outlet', 'unassigned', outlet);
    assert.match(items, /0\.125 kWh +somebody-else/);
    const item = /^[0-9a-f]{32}/m.exec(items)[0];
    await cli(server, 'outlet', 'attach', outlet, item, session);
    assert.doesNotMatch(await cli(server, 'outlet', 'unassigned', outlet), new RegExp(item));
    assert.match(await cli(server, 'outlet', 'unassigned', outlet, '--all'), new RegExp(`${item}.*yes +${session}`));
  });

  test('what is rejected is a dead letter, shown, replayed and dropped', async () => {
    const outlet = await newOutlet(server);
    const sent = await run(['send', outlet, '--file', '-'], { env: urls(server), input: '{"no":"message \\u001b[2J"}' });
    assert.equal(sent.code, 1);
    assert.match(sent.stdout, /^rejected/m);
    const list = await cli(server, 'deadletters', 'list');
    const letter = /^[0-9a-f]{32}/m.exec(list)[0];
    assert.match(await cli(server, 'deadletters', 'show', letter), /^body +\{"no"/m);
    assert.match(await cli(server, 'deadletters', 'replay', letter), /^verdict +rejected$/m);
    assert.equal(await cli(server, 'deadletters', 'drop', letter), 'dropped\n');
    await fails(server, 1, /\(409\)$/m, 'deadletters', 'drop', letter);
    assert.doesNotMatch(await cli(server, 'deadletters', 'list'), new RegExp(letter));
    assert.match(await cli(server, 'deadletters', 'list', '--all'), new RegExp(letter));
  });

  test('several messages of a file are sent at once', async () => {
    const outlet = await newOutlet(server);
    const dir = await tempDir();
    const file = path.join(dir, 'messages.json');
    const now = new Date().toISOString();
    const base = { outletId: outlet, rfidTag: '', periodStart: now, periodEnd: now, powerConsumption: 0 };
    const one = (outletStateChange, messageId) => ({ ...base, outletStateChange, messageId });
    await writeFile(file, JSON.stringify([one('CablePlugged', 'a'), one('Available', 'b')]));
    const out = await cli(server, 'send', outlet, '--file', file);
    assert.equal(out.match(/^applied/gm).length, 2);
    await rm(dir, { recursive: true });
  });

  test('--json is what the server said', async () => {
    const outlet = await newOutlet(server);
    assert.deepEqual(JSON.parse(await cli(server, 'outlet', 'show', outlet, '--json')), await outletOf(server, outlet));
  });

  test('a list goes on over pages up to its limit', async () => {
    for (let i = 0; i < 4; i++) await newOutlet(server, { outletCode: `P${i}` });
    const count = async (limit) => (await cli(server, 'outlet', 'list', '--limit', limit)).trimEnd().split('\n').length - 1;
    assert.equal(await count('3'), 3);
    const all = await count('100000');
    assert.ok(all >= 4);
    assert.equal(all, JSON.parse(await cli(server, 'outlet', 'list', '--json', '--limit', '1000')).items.length);
  });

  test('problems are told in the words of the server', async () => {
    await fails(server, 1, /\(404\)$/m, 'outlet', 'show', NOBODY);
    await fails(server, 1, /\(422\)$/m, 'outlet', 'show', 'no-uuid');
    const add = ['outlet', 'add', '--group', NOBODY, '--code', 'x', '--address', 'x'];
    await fails(server, 1, /maxPower .*\(422\)$/m, ...add, '--max-power', '-1');
    await fails(server, 1, /\(40[04]\)$|\(422\)$/m, 'outlet', 'show', '../../live');
  });

  test('faults of use end with 2', async () => {
    await fails(server, 2, /did you mean show\?/, 'outlet', 'shwo', NOBODY);
    await fails(server, 2, /did you mean --limit\?/, 'outlet', 'list', '--limt', '3');
    await fails(server, 2, /is missing/, 'outlet', 'show');
    await fails(server, 2, /nothing to change/, 'outlet', 'change', NOBODY);
    await fails(server, 2, /no number/, 'outlet', 'add', '--max-power', 'much');
    await fails(server, 2, /no outletStateChange/, 'send', NOBODY, 'Dancing');
    await fails(server, 2, /http:\/\//, 'outlet', 'list', '--outlet', 'ftp://x');
    await fails(server, 2, /did you mean session\?/, 'sesion');
  });

  test('every command explains itself', async () => {
    const names = 'serve demo simulate outlet customer session send events deadletters backup provision config';
    for (const name of names.split(' ')) {
      const r = await run([name, '--help']);
      assert.equal(r.code, 0, name);
      assert.match(r.stdout, new RegExp(`evcharge ${name}`));
    }
    assert.match((await run(['--help'])).stdout, /simulate/);
    assert.match((await run(['--version'])).stdout, /^evcharge \d+\.\d+\.\d+\n$/);
  });

  test('a simulated fleet is in the books to the milliwatt-hour', async () => {
    const out = await cli(server, 'simulate', '--outlets', '30', '--for', '4', '--speed', '200', '--connections-live', '5', '--json');
    const sum = JSON.parse(out);
    assert.equal(sum.differing, 0);
    assert.equal(sum.balanced, true);
    assert.equal(sum.rejected, 0);
    assert.equal(sum.protocolFaults, 0);
    assert.equal(sum.serverMwh, sum.acknowledgedMwh);
    assert.ok(sum.sessions > 20 && sum.acknowledgedMwh > 1_000_000, out);
    assert.ok(sum.connects > 30, 'connections were lost and made again');
    await cli(server, 'simulate', '--outlets', '30', '--for', '1', '--speed', '200', '--reuse', '--seed', '2');
  });
});

describe('events', () => {
  test('are followed across a restart of the server, each once', async () => {
    const dir = await tempDir();
    let server = await Server.start({ dir });
    const ports = server.ports();
    const outlet = await newOutlet(server);
    await newCustomer(server, 'follower');
    const cycle = async () => {
      await cli(server, 'send', outlet, 'CablePlugged');
      await cli(server, 'send', outlet, 'DeviceRequestsCharging', '--tag', 'follower');
      await until('it runs', async () => (await outletOf(server, outlet)).outletState === 'Charging');
      await cli(server, 'send', outlet, 'ChargingFinished', '--tag', 'follower', '--energy', '1');
      await cli(server, 'send', outlet, 'Available');
      return JSON.parse(await cli(server, 'outlet', 'events', outlet, '--json', '--limit', '1000')).items.map((e) => e.seq).reverse();
    };
    const first = await cycle();
    const following = run(['events', '--json', '--after', '0', '--count', String(2 * first.length)], { env: urls(server) });
    const followed = async () => (await server.metrics()).get('evcharge_events_sent_total') >= first.length;
    await until('the follower has heard the first half', followed);
    await server.kill();
    server = await Server.start({ dir, ports });
    const all = await cycle();
    const r = await following;
    assert.equal(r.code, 0, r.stderr);
    const got = r.stdout.trimEnd().split('\n').map((line) => JSON.parse(line).seq);
    assert.deepEqual(got, all.slice(0, got.length));
    assert.equal(got.length, 2 * first.length);
    await server.stop();
    await rm(dir, { recursive: true });
  });

  test('end with 1 when nobody is there', async () => {
    const r = await run(['events', '--outlet', 'http://127.0.0.1:1']);
    assert.equal(r.code, 1);
    assert.match(r.stderr, /connect/i);
  });
});

describe('credentials', () => {
  test('a token opens a server that always asks, and is of no use once revoked', async () => {
    const dir = await tempDir();
    const created = await run(['config', 'token', 'create', 'tests', '--data', dir]);
    assert.equal(created.code, 0, created.stderr);
    const token = created.stdout.trim();
    const tokenFile = path.join(dir, 'token');
    await writeFile(tokenFile, `${token}\n`);
    assert.equal((await stat(path.join(dir, 'credentials'))).mode & 0o777, 0o600);
    assert.ok(!(await readFile(path.join(dir, 'credentials'), 'utf8')).includes(token));
    const server = await Server.start({ dir, args: ['--auth', 'always'] });
    await fails(server, 1, /\(401\)$/m, 'outlet', 'list');
    await cli(server, 'outlet', 'list', '--token-file', tokenFile);
    const byVariable = await run(['outlet', 'list'], { env: { ...urls(server), EVCHARGE_TOKEN: token } });
    assert.equal(byVariable.code, 0, byVariable.stderr);
    assert.match((await run(['config', 'token', 'list', '--data', dir])).stdout, /^tests /);
    assert.equal((await run(['config', 'token', 'revoke', 'tests', '--data', dir])).code, 0);
    const list = () => run(['outlet', 'list', '--token-file', tokenFile], { env: urls(server) });
    await until('the server notices', async () => (await list()).code === 1);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    await rm(dir, { recursive: true });
  });
});

describe('backup', () => {
  test('a copy of a running server is verified, restored, and has the same books', async () => {
    const server = await Server.start();
    const dir = await tempDir();
    const file = path.join(dir, 'copy.db');
    const outlet = await newOutlet(server);
    await cli(server, 'send', outlet, 'CablePlugged');
    await cli(server, 'send', outlet, 'Charging', '--tag', 'x', '--energy', '2.5');
    await cli(server, 'backup', 'create', file, '--data', server.dir);
    await cli(server, 'backup', 'verify', file);
    await fails(server, 1, /exist/, 'backup', 'create', file, '--data', server.dir);
    const target = path.join(dir, 'restored');
    await cli(server, 'backup', 'restore', file, '--data', target);
    await fails(server, 1, /./, 'backup', 'restore', file, '--data', target);
    await cli(server, 'backup', 'restore', file, '--data', target, '--force');
    await writeFile(path.join(dir, 'garbage'), 'no database');
    await fails(server, 1, /./, 'backup', 'verify', path.join(dir, 'garbage'));
    await server.stop();
    const restored = await Server.start({ dir: target });
    assert.equal((await outletOf(restored, outlet)).totalPowerConsumption, 2.5);
    assert.deepEqual(await restored.stop(), { code: 0, signal: null });
    await rm(dir, { recursive: true });
  });
});

describe('config', () => {
  test('prints what it was given, from every source, and checks it', async () => {
    const dir = await tempDir();
    const file = path.join(dir, 'evcharge.conf');
    await writeFile(file, 'message-rate = 2\nmessage-burst = 20\n');
    const r = await run(['config', 'print', '--config', file, '--log-level=debug'], { env: { EVCHARGE_MESSAGE_RATE: '3' } });
    assert.equal(r.code, 0, r.stderr);
    assert.match(r.stdout, /^message-rate = 3$/m);
    assert.match(r.stdout, /^message-burst = 20$/m);
    assert.match(r.stdout, /^log-level = debug$/m);
    await writeFile(file, r.stdout);
    assert.equal((await run(['config', 'check', '--config', file])).code, 0);
    const bad = await run(['config', 'check', '--app-listen', '0.0.0.0:80']);
    assert.equal(bad.code, 1);
    assert.match(bad.stderr, /not loopback/);
    const unknown = await run(['serve', '--config', path.join(dir, 'evcharge.conf'), '--mesage-rate', '1']);
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /did you mean --message-rate\?/);
    await rm(dir, { recursive: true });
  });
});
