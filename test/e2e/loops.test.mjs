// Several gateway loops at one port: connections spread, and nothing that a device relies on depends on where they land.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Device, Server, ask, call, message, newCustomer, newOutlet, outletOf, tempDir, until } from './harness.mjs';
import { Wire, exchange, growth } from './wire.mjs';

const LOOPS = 3;
const DEVICES = 60; // that one of three loops gets none of them happens once in 10^10 times
const HOPS = 16; // of three connections each

/** Starts a server with three loops for a group of tests; it ends with code 0. */
function withServer(args = []) {
  const it = {};
  before(async () => (it.server = await Server.start({ args: ['--gateway-loops', String(LOOPS), ...args] })));
  after(async () => assert.deepEqual(await it.server.stop(), { code: 0, signal: null }));
  return it;
}

/** Devices of each loop. */
async function perLoop(server) {
  const m = await server.metrics();
  return Array.from({ length: LOOPS }, (_, i) => m.get(`evcharge_gateway_loop_devices{loop="${i}"}`));
}

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

async function openAll(server, n, options) {
  const ids = [];
  for (let i = 0; i < n; i++) ids.push(await newOutlet(server, { outletCode: `L${i}` }));
  return Promise.all(ids.map((id) => Device.connect(server, id, options)));
}

async function start(server, outletId, customerId) {
  const r = await call('POST', `${server.app}/api/chargers/start`, { customerId, outletId });
  assert.equal(r.status, 201, r.text);
  return r.body.sessionId;
}

async function stop(server, sessionId) {
  const r = await call('POST', `${server.app}/api/chargers/session/${sessionId}/stop`);
  assert.equal(r.status, 200, r.text);
}

async function expectReplaced(d) {
  await d.closed;
  assert.deepEqual([d.close_.code, d.close_.reason], [1000, 'replaced by a new connection']);
}

/** One that has not come yet. */
const isNew = (seen) => (c) => !seen.has(c.messageId);

describe('three loops', () => {
  const it = withServer();

  test('share the connections, and each command reaches its device, once', async () => {
    const { server } = it;
    const devices = await openAll(server, DEVICES);
    const loops = await perLoop(server);
    assert.equal(sum(loops), DEVICES);
    assert.ok(loops.every((n) => n > 0), `all loops have devices: ${loops}`);
    assert.equal((await server.metrics()).get('evcharge_gateway_devices_connected'), DEVICES);
    await Promise.all(devices.map((d) => d.send('CablePlugged')));
    const sessions = await Promise.all(
      devices.map(async (d) => start(server, d.outletId, (await newCustomer(server)).customerId)),
    );
    await Promise.all(devices.map((d) => d.command('Charging')));
    await Promise.all(devices.map((d) => d.send('Charging', { powerConsumption: 1 })));
    await Promise.all(sessions.map((s) => stop(server, s)));
    await Promise.all(devices.map((d) => d.command('AppRequestsStop')));
    for (const d of devices) {
      assert.deepEqual(d.commands.map((c) => [c.outletId, c.outletStateChange]), [
        [d.outletId, 'Charging'],
        [d.outletId, 'AppRequestsStop'],
      ]);
      assert.equal((await outletOf(server, d.outletId)).totalPowerConsumption, 1);
    }
    await Promise.all(devices.map((d) => d.close()));
    await until('all are gone', async () => sum(await perLoop(server)) === 0);
  });

  test('a device that hops between them loses nothing, and its old connections are closed', async () => {
    const { server } = it;
    const outletId = await newOutlet(server);
    const { customerId } = await newCustomer(server);
    const before_ = await perLoop(server);
    const visited = new Set();
    const seen = new Set();
    let d = await Device.connect(server, outletId);
    let sent = 0;
    let session;
    await d.send('CablePlugged');
    for (let hop = 0; hop < HOPS; hop++) {
      for (let i = 0; i < 2; i++) {
        const left = d;
        d = await Device.connect(server, outletId);
        await expectReplaced(left);
        (await perLoop(server)).forEach((n, k) => n > before_[k] && visited.add(k));
      }
      const old = d;
      // A command is decided while the device is on its way: it may come by either connection, or by both.
      const [fresh] = await Promise.all([
        Device.connect(server, outletId),
        session ? stop(server, session) : start(server, outletId, customerId).then((s) => (session = s)),
      ]);
      d = fresh;
      await expectReplaced(old);
      const wanted = hop % 2 === 0 ? 'Charging' : 'AppRequestsStop';
      const command = await until(`${wanted} at hop ${hop}`, () =>
        [...old.commands, ...d.commands].find((c) => isNew(seen)(c) && c.outletStateChange === wanted),
      );
      seen.add(command.messageId);
      if (wanted === 'Charging') {
        assert.equal((await d.send('Charging', { powerConsumption: 0.5 })).verdict, 'applied');
        sent += 0.5;
      } else {
        await d.send('DeviceRequestsStop');
        await d.send('Available');
        await d.send('CablePlugged');
        session = undefined;
      }
      for (const c of [old, d]) {
        const ids = c.commands.map((x) => x.messageId);
        assert.deepEqual(ids, [...ids].sort(), 'commands come in the order of their ids on each connection');
        assert.equal(new Set(ids).size, ids.length, 'and once');
      }
      (await perLoop(server)).forEach((n, i) => n > before_[i] && visited.add(i));
    }
    assert.equal(seen.size, HOPS);
    assert.equal(visited.size, LOOPS, `it has been on all loops: ${[...visited]}`);
    assert.equal((await outletOf(server, outletId)).totalPowerConsumption, sent);
    await until('one connection is left', async () => sum(await perLoop(server)) === 1);
    await d.close();
  });

  test('of many connections of a device at once, one stays', async () => {
    const { server } = it;
    const outletId = await newOutlet(server);
    const { grew } = await growth(server, async () => {
      const all = await Promise.all(Array.from({ length: 20 }, () => Device.connect(server, outletId)));
      const open = () => all.filter((d) => !d.close_);
      await until('the others are closed', () => open().length === 1);
      assert.equal((await open()[0].send('CablePlugged')).verdict, 'applied');
      assert.ok(all.every((d) => !d.close_ || d.close_.code === 1000));
      await open()[0].close();
    });
    assert.equal(await grew('evcharge_gateway_replaced_total'), 19);
  });

  test('a command ends the newest poll, wherever it waits, and the older polls end empty', async () => {
    const { server } = it;
    const outletId = await newOutlet(server);
    const { customerId } = await newCustomer(server);
    const url = `${server.gateway}/devices/${outletId}`;
    await ask('POST', `${url}/messages`, { body: message(outletId, 'CablePlugged') });
    const polls = Array.from({ length: 12 }, () => ask('GET', `${url}/commands?wait=20`));
    await until('one poll is left', async () => (await server.metrics()).get('evcharge_gateway_devices_polling') === 1);
    await start(server, outletId, customerId);
    const answers = (await Promise.all(polls)).map((r) => r.body.map((c) => c.outletStateChange));
    assert.equal(answers.filter((a) => a.length > 0).length, 1);
    assert.deepEqual(answers.flat(), ['Charging']);
  });

  test('each answers for the whole server', async () => {
    const { server } = it;
    const d = await Device.connect(server, await newOutlet(server));
    for (let i = 0; i < 20; i++) {
      assert.equal((await ask('GET', `${server.gateway}/live`)).status, 200);
      assert.equal((await ask('GET', `${server.gateway}/ready`)).body.ready, true);
      assert.match((await ask('GET', `${server.gateway}/metrics`)).text, /^evcharge_gateway_devices_connected 1$/m);
    }
    await d.close();
  });
});

describe('the limits count over all loops', () => {
  const it = withServer(['--max-connections', '8', '--message-rate', '1', '--message-burst', '30']);

  test('connections', async () => {
    const { server } = it;
    const all = await Promise.all(Array.from({ length: 8 }, () => Wire.open(server.gateway)));
    const opened = 'evcharge_net_connections{listener="gateway"}';
    await until('all are taken', async () => (await server.metrics()).get(opened) === 8);
    for (let i = 0; i < 6; i++) assert.equal((await exchange(server.gateway, '')).status, 503);
    await Promise.all(all.map((w) => w.end()));
    await until('all are gone', async () => (await server.metrics()).get(opened) === 0);
    assert.equal((await ask('GET', `${server.gateway}/live`)).status, 200);
  });

  test('messages of a device, whatever connections it sends them by', async () => {
    const { server } = it;
    const outletId = await newOutlet(server);
    const url = `${server.gateway}/devices/${outletId}/messages`;
    const began = performance.now();
    let taken = 0;
    for (let i = 0; i < 60; i++) {
      const r = await ask('POST', url, { body: message(outletId, 'Charging', { powerConsumption: 0.001 }) });
      assert.ok(r.status === 200 || r.status === 429);
      taken += r.status === 200;
    }
    const seconds = (performance.now() - began) / 1000;
    assert.ok(taken >= 30, `${taken} were taken`);
    assert.ok(taken <= 30 + seconds + 1, `${taken} in ${seconds} s`);
  });
});

describe('SIGHUP', () => {
  test('changes the limits of every loop', async () => {
    const dir = await tempDir();
    const file = path.join(dir, 'evcharge.conf');
    const write = (n) => writeFile(file, `max-connections-per-address = ${n}\n`);
    await write(3);
    const server = await Server.start({ args: ['--gateway-loops', String(LOOPS), '--config', file] });
    const opened = async () => (await server.metrics()).get('evcharge_net_connections{listener="gateway"}');
    const all = await Promise.all([1, 2, 3].map(() => Wire.open(server.gateway)));
    await until('all are taken', async () => (await opened()) === 3);
    for (let i = 0; i < 6; i++) assert.equal((await exchange(server.gateway, '')).status, 503);
    await write(40);
    server.child.kill('SIGHUP');
    await until('it is reloaded', () => server.logs.find((l) => l.event === 'config.reloaded'));
    // Each loop hears of it by itself; one that has not yet would refuse.
    await until('all loops have heard', async () => {
      const more = await Promise.all(Array.from({ length: 30 }, () => Wire.open(server.gateway)));
      all.push(...more);
      await until('they are taken or refused', async () => {
        const refused = all.filter((w) => w.isClosed).length;
        return (await opened()) === all.length - refused;
      });
      const ok = more.every((w) => !w.isClosed);
      if (!ok) await Promise.all(more.map((w) => w.end()));
      return ok;
    });
    await Promise.all(all.map((w) => w.end()));
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });
});

describe('SIGTERM', () => {
  test('is answered on every loop: what was taken in has its answer, and nothing else counts', async () => {
    const dir = await tempDir();
    const args = ['--gateway-loops', String(LOOPS), '--message-rate', '100000', '--message-burst', '100000'];
    let server = await Server.start({ dir, args });
    const devices = await openAll(server, DEVICES);
    assert.ok((await perLoop(server)).every((n) => n > 0));
    for (const d of devices)
      for (let i = 0; i < 200; i++) d.sendRaw(JSON.stringify(message(d.outletId, 'Charging', { powerConsumption: 0.001 })));
    await until('some are answered', () => sum(devices.map((d) => d.answers.length)) > 1000);
    server.child.kill('SIGTERM');
    await Promise.all(devices.map((d) => d.closed));
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    assert.ok(devices.every((d) => d.close_.code === 1001), 'all are told that the server goes away');
    server = await Server.start({ dir, args });
    for (const d of devices) {
      const kept = Math.round((await outletOf(server, d.outletId)).totalPowerConsumption * 1000);
      assert.equal(d.answers.filter((a) => a.verdict === 'applied').length, kept);
    }
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });
});
