// Ends and beginnings: SIGTERM, SIGHUP, kill -9, a second process, a full disk, a file that is none of ours.
import assert from 'node:assert/strict';
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Device, Server, ask, books, call, message, newCustomer, newOutlet, outletOf, run, tempDir, until } from './harness.mjs';
import { Wire, growth } from './wire.mjs';

const CLEAN = { code: 0, signal: null };
const RATES = ['--message-rate', '10000', '--message-burst', '10000'];

/** A directory, and servers on it one after the other. */
class Site {
  static async make(t) {
    const s = new Site();
    s.dir = await tempDir();
    t.after(async () => {
      await s.server?.kill();
      await rm(s.dir, { recursive: true });
    });
    return s;
  }

  async start(options = {}) {
    this.server = await Server.start({ dir: this.dir, ...options });
    return this.server;
  }

  async stop() {
    const began = performance.now();
    assert.deepEqual(await this.server.stop(), CLEAN);
    return performance.now() - began;
  }
}

/** Everything that can be read. */
async function everything(server) {
  const get = async (base, route) => (await call('GET', server[base] + route)).body;
  const all = {
    books: await get('outlet', '/api/books'),
    outlets: await get('outlet', '/api/chargers?retired=true&limit=1000'),
    letters: await get('outlet', '/api/dead-letters?all=true&limit=1000'),
    customers: await get('app', '/api/customers?limit=1000'),
    sessions: await get('app', '/api/sessions?limit=1000'),
    events: [],
    items: [],
    bodies: [],
  };
  for (const { outletId } of all.outlets.items) {
    all.events.push(await get('outlet', `/api/chargers/${outletId}/events?limit=1000`));
    all.items.push(await get('outlet', `/api/chargers/${outletId}/unassigned?all=true&limit=1000`));
  }
  for (const { id } of all.letters.items) all.bodies.push(await get('outlet', `/api/dead-letters/${id}`));
  return all;
}

/** A bit of everything. */
async function fill(server) {
  const ids = [];
  for (let i = 0; i < 3; i++) ids.push(await newOutlet(server, { outletCode: `F${i}`, address: 'Straße 1' }));
  const customer = await newCustomer(server, 'fill-tag');
  const gone = await newCustomer(server, 'gone-tag');
  const d = await Device.connect(server, ids[0]);
  await d.send('Charging', { rfidTag: 'ghost', powerConsumption: 3 });
  for (const tag of ['gone-tag', 'fill-tag']) {
    await d.send('CablePlugged');
    await d.send('DeviceRequestsCharging', { rfidTag: tag });
    await d.command('Charging');
    await d.send('Charging', { powerConsumption: 1.000001 });
    if (tag === 'gone-tag') await d.send('DeviceRequestsStop', { powerConsumption: 0.5 });
  }
  d.sendRaw('{"nonsense":1}');
  d.sendRaw('{"nonsense":2}');
  await d.send('Charging', { powerConsumption: 0.25 });
  const [letter] = (await call('GET', `${server.outlet}/api/dead-letters`)).body.items;
  await call('POST', `${server.outlet}/api/dead-letters/${letter.id}/drop`);
  const [item] = (await call('GET', `${server.outlet}/api/chargers/${ids[0]}/unassigned`)).body.items;
  const { sessionId } = await outletOf(server, ids[0]);
  await call('POST', `${server.outlet}/api/chargers/${ids[0]}/unassigned/${item.itemId}/attach`, { sessionId });
  await call('POST', `${server.outlet}/api/chargers/${ids[1]}/out-of-service`);
  await call('POST', `${server.outlet}/api/chargers/${ids[2]}/retire`);
  await call('DELETE', `${server.app}/api/customers/${gone.customerId}`);
  await call('POST', `${server.app}/api/customers/${customer.customerId}/block`);
  await d.close();
}

describe('a restart', () => {
  for (const how of ['SIGTERM', 'SIGINT', 'kill -9']) {
    test(`after ${how} everything is as it was`, async (t) => {
      const site = await Site.make(t);
      const server = await site.start();
      await fill(server);
      const was = await everything(server);
      assert.equal(was.books.balanced, true);
      if (how === 'kill -9') await server.kill();
      else {
        server.child.kill(how);
        await server.exited;
        assert.deepEqual(server.exit, CLEAN);
      }
      assert.deepEqual(await everything(await site.start()), was);
      await site.stop();
    });

    test(`commands that were not acknowledged come again after ${how}; those that were do not`, async (t) => {
      const site = await Site.make(t);
      let server = await site.start();
      const ids = [await newOutlet(server), await newOutlet(server)];
      const { customerId } = await newCustomer(server);
      const sent = [];
      for (const [i, outletId] of ids.entries()) {
        const d = await Device.connect(server, outletId, { autoAck: i === 1 });
        await d.send('CablePlugged');
        await call('POST', `${server.app}/api/chargers/start`, { customerId, outletId });
        sent.push(await d.command('Charging'));
        const waiting = i === 1 ? 0 : 1;
        const commands = `${server.gateway}/devices/${outletId}/commands`;
        await until('what waits', async () => (await call('GET', commands)).body.length === waiting);
        await d.close();
      }
      server.child.kill(how === 'kill -9' ? 'SIGKILL' : how);
      await server.exited;
      server = await site.start();
      const again = await Device.connect(server, ids[0]);
      assert.deepEqual(await again.command('Charging'), sent[0]);
      await until('it is acknowledged', async () => (await call('GET', `${server.gateway}/devices/${ids[0]}/commands`)).body.length === 0);
      assert.deepEqual((await call('GET', `${server.gateway}/devices/${ids[1]}/commands`)).body, []);
      assert.equal((await again.send('Charging', { powerConsumption: 1 })).outletState, 'Charging');
      await again.close();
      await site.stop();
    });
  }

  test('kill -9 while messages flow: what was answered is there, and all of it sent again counts once', async (t) => {
    const site = await Site.make(t);
    let server = await site.start({ args: RATES });
    const ids = [];
    for (let i = 0; i < 5; i++) ids.push(await newOutlet(server));
    const sent = new Map(ids.map((id) => [id, []]));
    for (let round = 0; round < 4; round++) {
      const devices = await Promise.all(ids.map((id) => Device.connect(server, id)));
      const flow = devices.map(async (d) => {
        while (!d.close_ && d.ws.readyState === 1) {
          const m = message(d.outletId, 'Charging', { powerConsumption: 0.001 });
          sent.get(d.outletId).push(m);
          d.sendRaw(JSON.stringify(m));
          await until('an answer or the end', () => d.close_ || d.answers.length >= 1);
          d.answered = (d.answered ?? 0) + d.answers.splice(0).length;
        }
      });
      await until('enough', () => devices.every((d) => d.answered >= 20));
      await server.kill();
      await Promise.all(flow);
      server = await site.start({ args: RATES });
    }
    for (const [id, messages] of sent) {
      const answers = [];
      for (let at = 0; at < messages.length; at += 100)
        answers.push(...(await call('POST', `${server.gateway}/devices/${id}/messages`, messages.slice(at, at + 100))).body);
      assert.ok(answers.every((a) => ['applied', 'duplicate'].includes(a.verdict)));
      // At most one of each round was without an answer.
      assert.ok(answers.filter((a) => a.verdict === 'applied').length <= 4);
      assert.equal(Math.round((await outletOf(server, id)).totalPowerConsumption * 1000), messages.length);
    }
    assert.equal((await books(server)).balanced, true);
    await site.stop();
  });
});

describe('SIGTERM', () => {
  test('lets go what is under way: sockets 1001, streams and polls ended, answers given, exit 0', async (t) => {
    const site = await Site.make(t);
    const server = await site.start({ args: RATES });
    const ids = [];
    for (let i = 0; i < 10; i++) ids.push(await newOutlet(server));
    const quiet = await newOutlet(server);
    const devices = await Promise.all(ids.map((id) => Device.connect(server, id)));
    const stream = await Wire.open(server.outlet);
    stream.send('GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until('the stream', () => stream.text.includes('retry:'));
    const poll = call('GET', `${server.gateway}/devices/${quiet}/commands?wait=60`);
    await until('the poll', async () => (await server.metrics()).get('evcharge_gateway_devices_polling') === 1);
    const idle = await Wire.open(server.app);
    idle.send('GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until('an answer', () => idle.text.includes('200 OK'));
    // Messages and requests flow until there is nobody to take them.
    let posted = 0;
    const messages = `${server.gateway}/devices/${ids[1]}/messages`;
    const counts = devices.map(async (d) => {
      while (!d.close_ && d.ws.readyState === 1) {
        d.sendRaw(JSON.stringify(message(d.outletId, 'Charging', { powerConsumption: 0.001 })));
        await new Promise((done) => setTimeout(done, 1));
      }
      await d.closed;
      return d.answers.filter((a) => a.verdict === 'applied').length;
    });
    const posts = (async () => {
      for (;;) {
        const r = await call('POST', messages, message(ids[1], 'Charging', { powerConsumption: 1 })).catch(() => null);
        if (r?.status !== 200) return r?.status;
        posted++;
      }
    })();
    await until('they flow', () => posted > 20 && devices.every((d) => d.answers.length > 20));
    const took = await site.stop();
    assert.ok(took < 9000, `${took} ms`);
    const answered = await Promise.all(counts);
    for (const d of devices) assert.equal(d.close_.code, 1001);
    assert.deepEqual((await poll).body, [], 'the poll was answered');
    assert.match(stream.text, /\r\n0\r\n\r\n$/, 'the stream was ended, not cut');
    await until('the idle connection ends', () => idle.isClosed);
    assert.ok([undefined, 503].includes(await posts));
    assert.ok(server.logs.some((l) => l.event === 'server.draining'));
    assert.equal(server.logs.at(-1).event, 'server.stopped');
    // Whatever was acknowledged is there.
    const next = await site.start();
    for (const [i, id] of ids.entries()) {
      const total = Math.round((await outletOf(next, id)).totalPowerConsumption * 1000);
      assert.ok(total >= answered[i] + (i === 1 ? posted * 1000 : 0), `outlet ${i}: ${total}`);
    }
    assert.equal((await books(next)).balanced, true);
    await site.stop();
  });

  test('does not wait for who does not go on: a half request, a device that does not close', async (t) => {
    const site = await Site.make(t);
    const server = await site.start({ args: ['--drain-timeout', '2s'] });
    const half = await Wire.open(server.app);
    half.send('POST /api/customers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{');
    const head = await Wire.open(server.outlet);
    head.send('GET /api/books HT');
    const d = await Device.connect(server, await newOutlet(server));
    d.ws.pause();
    const took = await site.stop();
    assert.ok(took < 5000, `${took} ms`);
    await d.ws.terminate();
    await Promise.all([half.end(), head.end()]);
  });

  test('says on /ready that it drains, and takes no new connections', async (t) => {
    const site = await Site.make(t);
    const server = await site.start({ args: ['--drain-timeout', '5s'] });
    // A request that is half there holds the drain open.
    const half = await Wire.open(server.app);
    half.send('POST /api/customers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{');
    const asks = await Wire.open(server.app);
    asks.send('GET /ready HTTP/1.1\r\n');
    await until('both are there', async () => (await server.metrics()).get('evcharge_net_connections{listener="app"}') === 2);
    server.child.kill('SIGTERM');
    await until('it drains', () => server.logs.some((l) => l.event === 'server.draining'));
    await assert.rejects(ask('GET', `${server.app}/live`), /ECONNREFUSED/);
    asks.send('Host: localhost\r\n\r\n');
    await until('its answer', () => asks.isClosed);
    assert.match(asks.text, /^HTTP\/1\.1 503 /);
    assert.match(asks.text, /"running":"draining"/);
    half.send('}');
    await until('the half request is answered', () => half.text.includes('invalid payload'));
    assert.deepEqual(await server.exited, CLEAN);
  });
});

describe('SIGHUP', () => {
  const reloaded = (server) => server.logs.filter((l) => l.event === 'config.reloaded').length;

  async function reload(server, file, text) {
    const n = reloaded(server);
    await writeFile(file, text);
    server.child.kill('SIGHUP');
    await until('it reads the file', () => reloaded(server) > n);
  }

  test('applies what can change, warns of what cannot, and survives a bad file', async (t) => {
    const site = await Site.make(t);
    const file = path.join(site.dir, 'evcharge.conf');
    await writeFile(file, 'message-rate = 5\nmessage-burst = 5\nmax-frame = 2048\nstuck-after = 1h\n');
    const server = await site.start({ args: ['--config', file] });
    const pid = server.child.pid;
    const outletId = await newOutlet(server);
    const url = `${server.gateway}/devices/${outletId}/messages`;
    const burst = async (n) => {
      const statuses = [];
      for (let i = 0; i < n; i++) statuses.push((await call('POST', url, message(outletId, 'Charging'))).status);
      return statuses;
    };
    assert.ok((await burst(10)).includes(429));
    const d = await Device.connect(server, await newOutlet(server));
    assert.ok(!server.logs.some((l) => l.level === 'debug'));

    await reload(server, file, 'message-rate = 10000\nmessage-burst = 10000\nmax-frame = 4096\nlog-level = debug\nstuck-after = 1s\n');
    assert.ok(server.logs.some((l) => l.event === 'config.needs_restart' && l.key === 'max-frame' && l.level === 'warn'));
    await until('the new rate', async () => !(await burst(20)).includes(429));
    await (await Device.connect(server, await newOutlet(server))).close();
    await until('debug lines', () => server.logs.some((l) => l.event === 'device.connected' && l.level === 'debug'));
    await newCustomer(server, 'stuck-tag');
    await d.send('CablePlugged');
    await d.send('DeviceRequestsCharging', { rfidTag: 'stuck-tag' });
    await until('a session is stuck', async () => (await call('GET', `${server.app}/api/sessions?stuck=true`)).body.items.length === 1);

    await writeFile(file, 'message-rate = many\n');
    server.child.kill('SIGHUP');
    const line = await until('the complaint', () => server.logs.find((l) => l.event === 'config.invalid'));
    assert.match(line.error, /message-rate = "many" is not/);
    assert.ok(!(await burst(20)).includes(429), 'the old settings stay');
    assert.equal((await d.send('Charging')).verdict, 'applied', 'connections go on');
    assert.equal(server.child.pid, pid);
    assert.equal(d.close_, undefined);
    await d.close();
    await site.stop();
  });

  test('connections of an address', async (t) => {
    const site = await Site.make(t);
    const file = path.join(site.dir, 'evcharge.conf');
    await writeFile(file, 'max-connections-per-address = 100\n');
    const server = await site.start({ args: ['--config', file] });
    const open = await Promise.all([1, 2, 3].map(() => Wire.open(server.gateway)));
    await until('they are there', async () => (await server.metrics()).get('evcharge_net_connections{listener="gateway"}') === 3);
    await reload(server, file, 'max-connections-per-address = 3\n');
    const { value: w, grew } = await growth(server, async () => {
      const more = await Wire.open(server.gateway);
      await until('its refusal', () => more.isClosed);
      return more;
    });
    assert.match(w.text, /^HTTP\/1\.1 503 /);
    assert.equal(await grew('evcharge_net_connections_refused_total{listener="gateway",reason="address"}'), 1);
    assert.ok(open.every((one) => !one.isClosed));
    await Promise.all(open.map((one) => one.end()));
    await site.stop();
  });

  test('how long events are kept', async (t) => {
    const site = await Site.make(t);
    const file = path.join(site.dir, 'evcharge.conf');
    await writeFile(file, 'retain-events = 0\n');
    const server = await site.start({ args: ['--config', file] });
    await fill(server);
    assert.ok((await books(server)).events.count > 5);
    await until('they are old', () => new Promise((done) => setTimeout(done, 1200, true)));
    await reload(server, file, 'retain-events = 1s\n');
    await until('all but the newest go', async () => (await books(server)).events.count === 1);
    assert.equal((await books(server)).balanced, true);
    await site.stop();
  });
});

describe('the data directory', () => {
  const serve = (dir, ...args) => {
    const listens = ['outlet', 'app', 'gateway'].flatMap((n) => [`--${n}-listen`, '127.0.0.1:0']);
    return run(['serve', '--data', dir, ...listens, ...args]);
  };
  const database = async (dir) => path.join(dir, (await readdir(dir)).find((name) => name.endsWith('.db')));

  test('is one process\'s: a second is told whose, and the first does not notice', async (t) => {
    const site = await Site.make(t);
    const server = await site.start();
    const outletId = await newOutlet(server);
    const r = await serve(site.dir);
    assert.equal(r.code, 1);
    assert.match(r.stderr, new RegExp(`another process \\(pid ${server.child.pid}\\) holds`));
    assert.equal((await outletOf(server, outletId)).outletId, outletId);
    await newOutlet(server);
    await server.kill();
    await site.start(); // and after a kill -9 it is free
    await site.stop();
  });

  for (const [what, change, words] of [
    ['of a newer version', (bytes) => bytes.writeUInt32BE(9999, 60), /newer|version 9999/],
    ['that is none', (bytes) => bytes.fill('x', 0, 4096), /not a database|damaged/],
    ['that was cut short', (bytes) => bytes.subarray(0, bytes.length / 2), /cut short|damaged/],
    ['of another program', (bytes) => bytes.writeUInt32BE(1, 68), /not a database of evcharge/],
  ]) {
    test(`a file ${what} is refused in words, and left as it is`, async (t) => {
      const site = await Site.make(t);
      await fill(await site.start());
      await site.stop();
      const file = await database(site.dir);
      const bytes = await readFile(file);
      const changed = change(bytes);
      await writeFile(file, Buffer.isBuffer(changed) ? changed : bytes);
      const before = await readFile(file);
      const r = await serve(site.dir);
      assert.equal(r.code, 1, r.stderr);
      assert.match(r.stderr, words);
      assert.deepEqual(await readFile(file), before);
    });
  }

  test('cannot be a file, or of somebody else', async (t) => {
    const site = await Site.make(t);
    const file = path.join(site.dir, 'file');
    await writeFile(file, '');
    const r = await serve(file);
    assert.equal(r.code, 1);
    assert.match(r.stderr, /[Nn]ot a directory/);
  });

  test('a port that is taken is named', async (t) => {
    const site = await Site.make(t);
    const server = await site.start();
    const other = await tempDir();
    const port = server.ports()[1];
    const r = await serve(other, '--app-listen', `127.0.0.1:${port}`);
    assert.equal(r.code, 1);
    assert.match(r.stderr, new RegExp(`port ${port}: Address already in use`));
    await rm(other, { recursive: true });
    await site.stop();
  });
});

describe('a disk that is full', () => {
  let site;
  let dir;
  before(async () => (dir = await tempDir()));
  after(() => rm(dir, { recursive: true }));

  test('writes are answered 503, reads go on, and nothing that was acknowledged is lost', async (t) => {
    site = { dir };
    // No file of the process may grow beyond 2 MB.
    let server = await Server.start({ dir, args: RATES, fileBlocks: 4096 });
    t.after(() => server.kill());
    const outletId = await newOutlet(server);
    const other = await newOutlet(server);
    const d = await Device.connect(server, other);
    await d.send('CablePlugged');
    const url = `${server.gateway}/devices/${outletId}/messages`;
    const taken = [];
    let refusals = 0;
    let energy = 0;
    let refusal;
    for (let i = 0; refusals < 20; i++) {
      const garbage = `${i} ${'x'.repeat(10_000)}`;
      const r = await call('POST', url, garbage);
      const report = await call('POST', url, message(outletId, 'Charging', { powerConsumption: 0.001 }));
      if (r.status === 200) taken.push(garbage);
      if (report.status === 200) energy++;
      for (const one of [r, report]) assert.ok([200, 503].includes(one.status), one.text);
      refusals = r.status === 503 && report.status === 503 ? refusals + 1 : 0;
      refusal = r;
      assert.ok(i < 3000, 'it is full some time');
    }
    assert.ok(taken.length > 10);
    // Smaller writes may still fit: until the smallest does not.
    for (let n = 0, status = 0; status !== 503; n++) {
      status = (await call('POST', `${server.outlet}/api/chargers/${other}/${n % 2 ? 'in' : 'out-of'}-service`)).status;
      assert.ok(n < 3000, 'it is full some time');
    }
    const { outOfService } = await outletOf(server, other);
    assert.match(refusal.headers.get('retry-after'), /^\d+$/);
    assert.match(refusal.body.detail, /not stored|nothing was stored/);
    // Every kind of write is refused, and in words.
    for (const [method, to, body] of [
      ['POST', `${server.outlet}/api/chargers/${other}/${outOfService ? 'in' : 'out-of'}-service`],
      ['PATCH', `${server.outlet}/api/chargers/${other}`, { outletCode: 'no' }],
      ['POST', `${server.app}/api/customers`, { address: 'a', email: 'a@b', paymentMethod: 'c' }],
    ]) {
      const r = await call(method, to, body);
      assert.equal(r.status, 503, r.text);
      assert.match(r.body.detail, /nothing was stored/);
    }
    // A device by socket is told to come again; no answer says that it was taken.
    d.answers.length = 0;
    d.sendRaw(JSON.stringify(message(other, 'Charging', { powerConsumption: 1 })));
    await d.closed;
    assert.deepEqual([d.close_.code, d.answers], [1013, []]);
    // Reads go on.
    assert.equal(Math.round((await outletOf(server, outletId)).totalPowerConsumption * 1000), energy);
    assert.equal((await call('GET', `${server.outlet}/api/dead-letters?limit=1`)).status, 200);
    assert.equal((await books(server)).balanced, true);
    assert.equal((await call('GET', `${server.app}/api/customers`)).status, 200);
    await until('it is not ready', async () => {
      assert.equal((await call('POST', url, 'x'.repeat(10_000))).status, 503);
      return (await call('GET', `${server.app}/ready`)).status === 503;
    });
    assert.ok(server.logs.some((l) => l.event === 'store.failing'));
    assert.ok((await server.metrics()).get('evcharge_jobs_failed_total') > 0);
    assert.ok((await server.metrics()).get('evcharge_gateway_unanswered_total') > 0);
    assert.deepEqual(await server.stop(), CLEAN);
    // There is room again.
    server = await Server.start({ dir, args: RATES });
    const total = Math.round((await outletOf(server, outletId)).totalPowerConsumption * 1000);
    assert.equal(total, energy);
    const { outletCode, ...rest } = await outletOf(server, other);
    assert.deepEqual([outletCode, rest.outOfService], ['A1', outOfService]);
    const kept = new Set();
    for (let before = ''; before !== null; ) {
      const page = (await call('GET', `${server.outlet}/api/dead-letters?limit=1000${before && `&before=${before}`}`)).body;
      for (const l of page.items) kept.add((await call('GET', `${server.outlet}/api/dead-letters/${l.id}`)).body.body);
      before = page.next;
    }
    assert.deepEqual(taken.filter((text) => !kept.has(text)), []);
    assert.equal((await books(server)).balanced, true);
    assert.equal((await call('GET', `${server.app}/ready`)).status, 200);
    assert.equal((await call('POST', `${server.gateway}/devices/${other}/messages`, message(other, 'Charging'))).status, 200);
    assert.deepEqual(await server.stop(), CLEAN);
  });
});
