// What is bad around the aws engine: messages, records and rows that cannot be read, resources that are missing, rights
// that were taken away, keys that end, endpoints that answer nonsense or nothing. Only what is bad itself is harmed, a
// log line and /ready say what it is, nothing is lost, and all goes on when it is back.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { AwsWorld, deviceMessage, NAMES } from './aws.mjs';
import { Proxy } from './aws_proxy.mjs';
import { call, Device, newCustomer, newOutlet, until } from './harness.mjs';
import { awsEnv } from './standins.mjs';

const vectors = async (name) => JSON.parse(await readFile(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8'));
const REFUSED = /[^\t\n\r\x20-\ud7ff\ue000-\ufffd]/;
// The stand-in also refuses what needs two of JavaScript's characters: written as JSON's escapes it is the same text.
const escaped = (json) => json.replace(/[\ud800-\udfff]/g, (c) => `\\u${c.charCodeAt(0).toString(16)}`);
const QUICK_STOP = ['--drain-timeout', '1s'];

const ready = async (s) => (await call('GET', `${s.outlet ?? s.app ?? s.gateway}/ready`)).body;
const isReady = (s) => until('ready', async () => (await ready(s)).ready, 40_000);
const outletRow = (outletId, more = {}) => ({
  outletId: { S: outletId },
  chargerGroupId: { S: '86c911e2-bbf3-42c8-8925-f9d380c1f329' },
  outletCode: { S: 'A1' },
  address: { S: 'Main Street 1' },
  maxPower: { N: '22000' },
  outletState: { S: 'CablePlugged' },
  rfidTag: { S: '' },
  startTime: { S: '2026-01-01T10:00:00Z' },
  powerConsumption: { N: '0' },
  totalChargingSessions: { N: '0' },
  totalPowerConsumption: { N: '0' },
  ...more,
});

/** It still does its work: an outlet from plugged to charging and back, and its energy. */
async function works(world, server, tag) {
  const limitMs = 60_000; // beside all others, and after back-offs
  const outletId = await newOutlet(server);
  await newCustomer(server, tag);
  await world.send(deviceMessage(outletId, 'CablePlugged'));
  await until('plugged', async () => (await world.outlet(outletId)).outletState === 'CablePlugged', limitMs);
  await world.send(deviceMessage(outletId, 'DeviceRequestsCharging', { rfidTag: tag, n: 1 }));
  await until('charging', async () => (await world.outlet(outletId)).outletState === 'Charging', limitMs);
  await world.send(deviceMessage(outletId, 'DeviceRequestsStop', { rfidTag: tag, n: 2, kwh: 1 }));
  await until('finished', async () => (await world.outlet(outletId)).outletState === 'ChargingFinished', limitMs);
  const { sessionId } = await world.outlet(outletId);
  await until('its session, too', async () => (await world.session(sessionId))?.powerConsumption === 1, limitMs);
}

describe('bad surroundings', { concurrency: true }, () => {
describe('what cannot be used', { concurrency: true }, () => {
  let world, server;

  before(async () => {
    world = await AwsWorld.start();
    server = await world.serve('outlet,app,gateway', { args: QUICK_STOP });
    await isReady(server);
  });
  after(() => world?.stop());

  test('device messages, the readable and the unreadable', async () => {
    const cases = (await vectors('outlet_device_messages')).cases.map((c) => ({ ...c, json: escaped(c.json) }));
    assert.equal(cases.length, 80);
    // The outlet of the cases, as the original left it.
    await world.putItem(NAMES.outlets, outletRow('86c911e2-bbf3-42c8-8925-f9d380c1f329'));
    // SQS itself refuses some characters: those come by our gateway, which has to answer.
    const fits = cases.filter((c) => !REFUSED.test(c.json));
    for (const c of cases.filter((k) => !fits.includes(k))) {
      const { status, body } = await call('POST', `${server.gateway}/devices/86c911e2-bbf3-42c8-8925-f9d380c1f329/messages`, c.json);
      assert.deepEqual([status, typeof body.verdict], [200, 'string'], c.name);
    }
    assert.ok(fits.length >= 75);
    await world.send(...fits.map((c) => c.json));
    const letters = [];
    await until('all are decided', async () => {
      letters.push(...(await world.take('deadMessages', { attributes: true })));
      const m = await server.metrics();
      return m.get('evcharge_aws_messages_deleted_total') >= fits.length && m.get('evcharge_aws_messages_in_hand') === 0;
    });
    letters.push(...(await world.take('deadMessages', { attributes: true })));
    // Whatever the original refused or died of, and we do not read either, is a letter with the bytes as they came.
    const bodies = new Map(letters.map((m) => [m.Body, m]));
    const sent = new Set(cases.map((c) => c.json));
    for (const m of letters) {
      assert.ok(sent.has(m.Body), m.Body);
      assert.ok(m.MessageAttributes.evchargeReason.StringValue.length > 0);
    }
    const wrong = fits.filter((c) => c.original !== 'accept' && !bodies.has(c.json));
    assert.deepEqual(wrong.map((c) => [c.name, c.json]), []);
    await works(world, server, 'bad-1');
  });

  test('records on the stream', async () => {
    const edge = await vectors('charging_events_edge');
    const kpl = await vectors('kpl_aggregated');
    const bad = [
      ...edge.filter((v) => v.expect.startsWith('reject') && v.hex !== '').map((v) => Buffer.from(v.hex, 'hex')),
      ...Array.from({ length: 20 }, (_, i) => randomBytes(1 + 17 * i)),
      Buffer.from(kpl.badChecksumHex, 'hex'),
      Buffer.from('f3899ac2', 'hex'),
    ];
    await world.putRecords(...bad);
    const letters = await until('a letter of each by each backend', async () => {
      const all = await world.records(NAMES.deadLetters);
      const ours = all.map((r) => JSON.parse(r.data)).filter((l) => bad.some((b) => b.toString('base64') === l.bytes));
      return ours.length >= 2 * bad.length && ours;
    });
    assert.equal(letters.length, 2 * bad.length);
    for (const l of letters) {
      assert.deepEqual(Object.keys(l).slice(0, 4), ['partitionKey', 'data', 'error', 'stackTrace']);
      for (const v of Object.values(l).slice(0, 4)) assert.equal(typeof v, 'string');
      assert.match(l.partitionKey, /^[0-9a-f-]{36}$/);
      assert.ok(l.error.length > 0);
    }
    // Both events of a good aggregate are read, each by the backend that it is for.
    const before = (await server.metrics()).get('evcharge_app_denials_total') ?? 0;
    await world.putRecords(Buffer.from(kpl.hex, 'hex'));
    await until('the request in it is denied', async () => (await server.metrics()).get('evcharge_app_denials_total') > before);
    await works(world, server, 'bad-2');
  });

  test('rows that cannot be read harm their own inputs alone', async () => {
    const ids = ['state', 'type', 'missing'].map((_, i) => `0bad0bad-0000-4000-8000-00000000000${i}`);
    const [state, type, missing] = ids;
    await world.putItem(NAMES.outlets, outletRow(state, { outletState: { S: 'Exploded' } }));
    await world.putItem(NAMES.outlets, outletRow(type, { totalPowerConsumption: { S: 'much' } }));
    const lacking = outletRow(missing);
    delete lacking.maxPower;
    await world.putItem(NAMES.outlets, lacking);
    await world.putItem(NAMES.sessions, { sessionId: { S: ids[0] }, outletState: { N: '7' } });
    await world.putItem(NAMES.customers, { customerId: { S: ids[0] }, rfidTag: { S: 'bad-row-tag' } });
    await world.putItem(NAMES.items, { pk: { S: `outlet#${state}` }, sk: { S: 'delivery' }, owner: { N: '1' } });
    await world.send(...ids.map((id) => deviceMessage(id, 'CablePlugged')));
    await works(world, server, 'bad-3');
    for (const id of ids) {
      const r = await call('GET', `${server.outlet}/api/chargers/${id}`);
      assert.ok(r.status >= 500, `${r.status} ${r.text}`);
    }
    assert.ok((await call('GET', `${server.app}/api/chargers/session/${ids[0]}`)).status >= 500);
    assert.ok((await call('GET', `${server.app}/api/customers/${ids[0]}`)).status >= 500);
    // A tag of a customer whose row cannot be read starts nothing, and stops nobody else.
    const outletId = await newOutlet(server);
    const asked = deviceMessage(outletId, 'DeviceRequestsCharging', { rfidTag: 'bad-row-tag', n: 1 });
    await world.send(deviceMessage(outletId, 'CablePlugged'), asked);
    // Lists leave out what they cannot read.
    const listed = await call('GET', `${server.outlet}/api/chargers?limit=1000`);
    assert.equal(listed.status, 200, listed.text);
    assert.ok(listed.body.items.length > 0 && listed.body.items.every((o) => !ids.includes(o.outletId)));
    assert.equal((await call('GET', `${server.outlet}/api/books`)).status, 200);
    await works(world, server, 'bad-4');
    assert.equal(server.exit, undefined);
    assert.equal((await ready(server)).ready, true, JSON.stringify(await ready(server)));
  });
});

/** A world whose one process of ours goes through a proxy. */
async function proxied({ provision = true, env = {}, serve = true, port = 0 } = {}) {
  const world = await AwsWorld.start({ provision });
  const { AWS_ENDPOINT_URL_SQS: sqs, AWS_ENDPOINT_URL_KINESIS: kinesis, AWS_ENDPOINT_URL_DYNAMODB: dynamodb } = world.env;
  const proxy = await Proxy.start({ sqs, kinesis, dynamodb }, { secret: world.env.AWS_SECRET_ACCESS_KEY, port });
  world.proxy = proxy;
  world.through = { AWS_ENDPOINT_URL_SQS: proxy.url, AWS_ENDPOINT_URL_KINESIS: proxy.url, AWS_ENDPOINT_URL_DYNAMODB: proxy.url, ...env };
  if (serve) world.server = await world.serve('outlet,app,gateway', { env: world.through, args: QUICK_STOP });
  return world;
}

async function end(world) {
  await world?.stop();
  await world?.proxy?.stop();
}

/** /ready says 503 and names it, the log has a line that names it, /live is 200, and calls are bounded. */
async function complains(world, server, pattern, from = 0) {
  const check = await until(`${pattern} in /ready`, async () => {
    const r = await call('GET', `${server.outlet}/ready`);
    const all = JSON.stringify(r.body.checks);
    return r.status === 503 && pattern.test(all) && all;
  }).catch(async (e) => {
    throw new Error(`${e.message}: ${JSON.stringify(await ready(server))}\n${server.logs.slice(-5).map((l) => l.raw).join('\n')}`);
  });
  await until(`${pattern} in the log`, () => server.logs.slice(from).some((l) => l.event === 'aws.failing' && pattern.test(l.raw)));
  assert.equal((await call('GET', `${server.outlet}/live`)).status, 200);
  assert.equal(server.exit, undefined);
  return check;
}

/** How often the rule struck in a second, at most. */
async function bounded(world, limit) {
  const struck = () => world.proxy.counts.byFault.ruled ?? 0;
  const before = [struck(), performance.now()];
  await until('a second of it', () => performance.now() - before[1] > 1000);
  const rate = (struck() - before[0]) / ((performance.now() - before[1]) / 1000);
  assert.ok(rate <= limit, `${rate} failing calls a second`);
}

const denied = { status: 400, type: 'AccessDeniedException' };
const page = { status: 200, html: '<html>Welcome</html>' };
const onTable = (table, operations) => ({ service, operation, request }) =>
  service === 'dynamodb' && request.TableName === table && operations.includes(operation) ? denied : null;

describe('a dependency that fails', { concurrency: 1 }, () => {
  let world;
  let n = 0;
  const pending = []; // what was sent while something failed comes back when SQS shows it again: looked at in the end

  before(async () => {
    world = await proxied();
    await isReady(world.server);
  });
  after(() => end(world));

  const FAULTS = [
    ['the right to write outlets', onTable(NAMES.outlets, ['UpdateItem', 'PutItem']), /charger-outlet_table/],
    ['a way to DynamoDB, which ends each connection', ({ service }) => (service === 'dynamodb' ? 'reset' : null), /_table/],
    ['the right to receive', ({ operation }) => (operation === 'ReceiveMessage' ? denied : null), /device-to-outlet-backend_queue/],
    ['the right to read the stream', ({ operation }) => (operation === 'GetRecords' ? denied : null), /charging-events_stream/],
    ['the right to write leases', onTable(NAMES.outletLeases, ['UpdateItem']), /checkpoints-outlet-backend_table/],
    ['the right to put events', ({ operation }) => (operation === 'PutRecords' ? denied : null), /charging-events_stream/],
    ['a way to SQS, which answers as a page', ({ service }) => (service === 'sqs' ? page : null), /_queue/],
  ];

  for (const [name, rule, pattern] of FAULTS) {
    test(`without ${name}`, async () => {
      const { server, proxy } = world;
      const tag = `fault-${++n}`;
      const outletId = await newOutlet(server);
      await newCustomer(server, tag);
      const device = await Device.connect(server, outletId);
      const from = server.logs.length;
      proxy.rule = rule;
      // What comes meanwhile waits in the queue.
      await world.send(
        deviceMessage(outletId, 'CablePlugged', { messageId: 'f1' }),
        deviceMessage(outletId, 'DeviceRequestsCharging', { rfidTag: tag, n: 1, messageId: 'f2' }),
      );
      await complains(world, server, pattern, from);
      await bounded(world, 60);
      proxy.rule = undefined;
      // Rows are known to be written again by the next write in the outlet's lane.
      assert.equal((await call('PATCH', `${server.outlet}/api/chargers/${outletId}`, { address: 'Side Street 2' })).status, 200);
      await isReady(server);
      pending.push((async () => {
        await until('it charges', async () => (await world.outlet(outletId)).outletState === 'Charging', 60_000);
        await device.command('Charging');
        const answer = await device.send('DeviceRequestsStop', { rfidTag: tag, powerConsumption: 1.5 });
        assert.equal(answer.verdict, 'queued');
        const row = await until('finished', async () => {
          const now = await world.outlet(outletId);
          return now.outletState === 'ChargingFinished' && now;
        });
        assert.equal(row.totalPowerConsumption, 1.5);
        await until('the session has it', async () => (await world.session(row.sessionId))?.powerConsumption === 1.5);
        await device.close();
      })());
    });
  }

  test('nothing was lost', async () => {
    await Promise.all(pending);
    await isReady(world.server);
    assert.equal(world.proxy.counts.badSignatures, 0);
  });
});

describe('from the start on, and for a while', { concurrency: 3 }, () => {
  test('nothing is provisioned: what is missing is named, and found once it is made', async (t) => {
    const world = await proxied({ provision: false });
    t.after(() => end(world));
    const { server } = world;
    for (const name of ['device-to-outlet-backend_(dead-letters_)?queue', 'charging-events_stream', 'outlet-backend-to-device_queue'])
      await complains(world, server, new RegExp(name));
    const calls = () => world.proxy.counts.requests;
    const before = [calls(), performance.now()];
    await until('a second of it', () => performance.now() - before[1] > 1000);
    assert.ok(calls() - before[0] < 60, `${calls() - before[0]} calls`);
    await world.provision();
    await isReady(server);
    await works(world, server, 'made-1');
  });

  test('nobody listens at the endpoints', async (t) => {
    // Below the ports that connections get: nobody takes it while nobody listens.
    const port = 20_000 + (process.pid % 10_000);
    const world = await proxied({ serve: false, port });
    t.after(() => end(world));
    await world.proxy.stop();
    const server = await world.serve('outlet,app,gateway', { env: world.through, args: QUICK_STOP });
    await complains(world, server, /device-to-outlet-backend_(dead-letters_)?queue/);
    await complains(world, server, /charging-events_stream/);
    world.proxy = await Proxy.start(world.proxy.upstreams, { secret: world.env.AWS_SECRET_ACCESS_KEY, port });
    await isReady(server);
    await works(world, server, 'up-1');
  });

  test('an endpoint that never answers', async (t) => {
    const world = await proxied();
    t.after(() => end(world));
    const { server, proxy } = world;
    await isReady(server);
    proxy.rule = ({ service }) => (service === 'kinesis' ? 'silent' : null);
    await complains(world, server, /charging-events_stream/);
    proxy.rule = undefined;
    await isReady(server);
    await works(world, server, 'silent-1');
  });

  test('services that stand still for a while', async (t) => {
    const world = await AwsWorld.start();
    t.after(() => world.stop());
    const server = await world.serve('outlet,app,gateway', { args: QUICK_STOP });
    await isReady(server);
    const outletId = await newOutlet(server);
    await newCustomer(server, 'still-1');
    const device = await Device.connect(server, outletId);
    await device.send('CablePlugged');
    await device.send('DeviceRequestsCharging', { rfidTag: 'still-1' });
    await device.command('Charging');
    let kwh = 0;
    for (const standIn of world.cloud.standIns) {
      standIn.pause();
      const began = performance.now();
      const sent = Promise.all([1, 2, 3].map((n) => device.send('Charging', { rfidTag: 'still-1', powerConsumption: n })));
      await until('two seconds of silence', () => performance.now() - began > 2000);
      assert.equal((await call('GET', `${server.outlet}/live`)).status, 200);
      standIn.resume();
      for (const a of await sent) assert.equal(a.verdict, 'queued');
      kwh += 6;
    }
    await device.send('DeviceRequestsStop', { rfidTag: 'still-1', powerConsumption: 0.5 });
    const row = await until('finished', async () => {
      const now = await world.outlet(outletId);
      return now.totalPowerConsumption === kwh + 0.5 && now.outletState === 'ChargingFinished' && now;
    });
    await until('the session has it', async () => (await world.session(row.sessionId))?.powerConsumption === kwh + 0.5);
    await device.close();
  });

  /** The services take keys of this generation; a source hands out those of its own. */
  async function withKeys(t, source) {
    let accepted = 1;
    const dir = await mkdtemp(path.join(tmpdir(), 'evcharge-keys-'));
    t.after(() => rm(dir, { recursive: true, force: true }));
    const env = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' };
    const SecretAccessKey = awsEnv({}).AWS_SECRET_ACCESS_KEY;
    const keysOf = (n) => ({ AccessKeyId: `AKIDGENERATION${n}`, SecretAccessKey, Expiration: '2099-01-01T00:00:00Z' });
    const hand = await source(t, dir, env, keysOf);
    await hand(1);
    const world = await proxied({ env, serve: false });
    t.after(() => end(world));
    const expired = { status: 400, type: 'ExpiredTokenException' };
    world.proxy.rule = ({ headers }) => (headers.authorization.includes(`AKIDGENERATION${accepted}/`) ? null : expired);
    const server = await world.serve('outlet,app,gateway', { env: { ...world.through, ...env }, args: QUICK_STOP });
    await isReady(server);
    // Both go on together: it is renewed without a word.
    await hand(2);
    accepted = 2;
    await works(world, server, 'keys-1');
    // The source is late.
    const from = server.logs.length;
    accepted = 3;
    await complains(world, server, /ExpiredToken/, from);
    await hand(3);
    await isReady(server);
    await works(world, server, 'keys-2');
    assert.equal(world.proxy.counts.badSignatures, 0);
  }

  test('keys that end, from a program', (t) =>
    withKeys(t, async (_, dir, env, keysOf) => {
      const file = path.join(dir, 'keys.json');
      await writeFile(path.join(dir, 'config'), `[profile rolling]\ncredential_process = cat ${file}\n`);
      Object.assign(env, { AWS_CONFIG_FILE: path.join(dir, 'config'), AWS_PROFILE: 'rolling' });
      return (n) => writeFile(file, JSON.stringify({ Version: 1, SessionToken: `token-${n}`, ...keysOf(n) }));
    }));

  test('keys that end, from the container', (t) =>
    withKeys(t, async (_, dir, env, keysOf) => {
      let now = 1;
      const http = createServer((req, res) => res.end(JSON.stringify({ Token: `token-${now}`, ...keysOf(now) })));
      await new Promise((done) => http.listen(0, '127.0.0.1', done));
      t.after(() => new Promise((done) => (http.closeAllConnections(), http.close(done))));
      env.AWS_CONTAINER_CREDENTIALS_FULL_URI = `http://127.0.0.1:${http.address().port}/keys`;
      return async (n) => (now = n);
    }));
});
});
