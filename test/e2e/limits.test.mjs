// Every limit: what happens at it, one below it, and the counter that tells.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { Device, Server, Witness, books, call, message, newOutlet, outletOf, until } from './harness.mjs';
import { Wire, closeCode, exchange, frame, growth, openDevice, request } from './wire.mjs';

const aborted = (listener, reason) => `evcharge_net_aborted_total{listener="${listener}",reason="${reason}"}`;
const refused = (listener, reason) => `evcharge_net_connections_refused_total{listener="${listener}",reason="${reason}"}`;
const held = (reason) => `evcharge_gateway_held_total{reason="${reason}"}`;

/** Starts a server for a group of tests; it ends with code 0. */
function withServer(args) {
  const it = {};
  before(async () => (it.server = await Server.start({ args })));
  after(async () => assert.deepEqual(await it.server.stop(), { code: 0, signal: null }));
  return it;
}

/** Sends n reports of 0.001 kWh at once; the answers come in the order sent, all applied. */
async function flood(d, n) {
  const began = performance.now();
  const ids = [];
  for (let i = 0; i < n; i++) {
    const m = message(d.outletId, 'Charging', { powerConsumption: 0.001 });
    ids.push(m.messageId);
    d.sendRaw(JSON.stringify(m));
  }
  await until('all answers', () => d.answers.length >= n || d.close_);
  assert.deepEqual(d.answers.map((a) => a.ack), ids);
  assert.ok(d.answers.every((a) => a.verdict === 'applied'));
  return performance.now() - began;
}

describe('the length of a frame', () => {
  const it = withServer(['--max-frame', '1024']);

  test('1,024 bytes are taken, 1,025 are not (1009), whole or in pieces', async () => {
    const { server } = it;
    const outletId = await newOutlet(server);
    const text = (n) => JSON.stringify(message(outletId, 'Charging', { powerConsumption: 1 })).padEnd(n);
    const d = await Device.connect(server, outletId);
    d.sendRaw(text(1024));
    assert.equal((await until('its answer', () => d.answers[0])).verdict, 'applied');
    const { grew } = await growth(server, async () => {
      d.sendRaw(text(1025));
      await d.closed;
    });
    assert.equal(d.close_.code, 1009);
    assert.equal(await grew(aborted('gateway', 'ws_too_big')), 1);
    const w = await openDevice(server, outletId);
    const whole = text(1025);
    w.send(frame(1, whole.slice(0, 500), { fin: false }));
    w.send(frame(0, whole.slice(500, 1000), { fin: false }));
    w.send(frame(0, whole.slice(1000)));
    await until('the end', () => w.isClosed);
    assert.equal(closeCode(w.bytes), 1009);
    assert.equal((await outletOf(server, outletId)).totalPowerConsumption, 1);
  });
});

describe('the rate of a device', () => {
  const it = withServer(['--message-rate', '100', '--message-burst', '100']);

  test('by WebSocket it is held back, and nothing is lost', async () => {
    const { server } = it;
    const d = await Device.connect(server, await newOutlet(server));
    const other = await Device.connect(server, await newOutlet(server));
    const { value: took, grew } = await growth(server, async () => {
      const all = flood(d, 300);
      // Nobody else waits for that.
      await other.send('CablePlugged');
      assert.ok(d.answers.length < 300);
      return all;
    });
    assert.ok(took >= 1900, `200 above the burst take two seconds, not ${took} ms`);
    assert.ok((await grew(held('rate'))) >= 1);
    assert.equal((await outletOf(server, d.outletId)).totalPowerConsumption, 0.3);
    await d.close();
    await other.close();
  });

  test('by HTTP it is told 429 and when to come again, and nothing of it is taken', async () => {
    const { server } = it;
    const outletId = await newOutlet(server);
    const url = `${server.gateway}/devices/${outletId}/messages`;
    const batch = () => Array.from({ length: 100 }, () => message(outletId, 'Charging', { powerConsumption: 0.001 }));
    let taken = 0;
    const { value: refusal, grew } = await growth(server, async () => {
      for (let i = 0; ; i++) {
        const r = await call('POST', url, batch());
        if (r.status === 429) return r;
        assert.equal(r.status, 200);
        taken += r.body.length;
        assert.ok(i < 10);
      }
    });
    assert.equal(refusal.body.status, 429);
    assert.match(refusal.body.detail, /too many/);
    assert.equal(refusal.headers.get('retry-after'), '1');
    assert.ok((await grew('evcharge_gateway_posts_refused_total{reason="rate"}')) >= 1);
    assert.equal(Math.round((await outletOf(server, outletId)).totalPowerConsumption * 1000), taken);
    const another = await newOutlet(server);
    assert.equal((await call('POST', `${server.gateway}/devices/${another}/messages`, message(another, 'CablePlugged'))).status, 200);
    await until('its turn again', async () => (await call('POST', url, message(outletId, 'Charging'))).status === 200);
  });
});

describe('connections', () => {
  const it = withServer(['--max-connections', '8', '--max-connections-per-address', '5']);

  test('the sixth of an address is answered 503, another listener does not mind, and a place is given again', async () => {
    const { server } = it;
    const first = await Promise.all([1, 2, 3, 4, 5].map(() => Wire.open(server.gateway)));
    const { value: sixth, grew } = await growth(server, () => exchange(server.gateway, ''));
    assert.equal(sixth.status, 503);
    assert.ok(sixth.headers.includes('Retry-After: 5'));
    assert.equal(await grew(refused('gateway', 'address')), 1);
    assert.equal((await call('GET', `${server.app}/live`)).status, 200);
    await first[0].end();
    const next = await until('a place', async () => {
      const r = await exchange(server.gateway, request('GET', '/live'));
      return r.status === 200 && r;
    });
    assert.equal(next.status, 200);
    await Promise.all(first.map((w) => w.end()));
  });

  test('addresses together may not have more than all', async () => {
    const { server } = it;
    await until('the gateway is quiet', async () => (await server.metrics()).get('evcharge_net_connections{listener="gateway"}') === 0);
    // All of 127.0.0.0/8 is this machine.
    const open = [];
    for (const [address, n] of [['127.0.0.1', 5], ['127.0.0.3', 3]])
      for (let i = 0; i < n; i++) open.push(await Wire.open(server.gateway, { localAddress: address }));
    const { value: ninth, grew } = await growth(server, () => exchange(server.gateway, '', { localAddress: '127.0.0.4' }));
    assert.equal(ninth.status, 503);
    assert.equal(await grew(refused('gateway', 'max')), 1);
    await Promise.all(open.map((w) => w.end()));
    await until('a place', async () => (await exchange(server.gateway, request('GET', '/live'))).status === 200);
  });
});

describe('answers outstanding', () => {
  const it = withServer(['--max-outstanding', '4', '--message-rate', '10000', '--message-burst', '10000']);

  test('beyond them the connection is read no further; all are answered in order', async () => {
    const { server } = it;
    const d = await Device.connect(server, await newOutlet(server));
    const { grew } = await growth(server, () => flood(d, 400));
    assert.ok((await grew(held('outstanding'))) >= 10);
    assert.equal((await outletOf(server, d.outletId)).totalPowerConsumption, 0.4);
    await d.close();
  });
});

describe('silence', () => {
  const it = withServer(['--ping-interval', '1s', '--idle-timeout', '4s']);

  test('who answers pings stays until it is idle (1000), who does not is cut, who speaks stays', async () => {
    const { server } = it;
    const ids = [await newOutlet(server), await newOutlet(server), await newOutlet(server)];
    const { value: speaker, grew } = await growth(server, async () => {
      const dead = await openDevice(server, ids[0]);
      const idle = await Device.connect(server, ids[1]);
      const began = performance.now();
      let pings = 0;
      idle.ws.on('ping', () => pings++);
      const talks = await Device.connect(server, ids[2]);
      const cut = until('the dead is cut', () => dead.isClosed);
      while (!idle.close_) {
        await talks.send('Charging');
        await new Promise((done) => setTimeout(done, 20));
      }
      await cut;
      assert.equal(closeCode(dead.bytes), 0, 'by its missing pong, not by idleness');
      assert.equal(idle.close_.code, 1000);
      assert.ok(pings >= 2);
      assert.ok(performance.now() - began >= 3900);
      return talks;
    });
    assert.equal(await grew(aborted('gateway', 'ping_timeout')), 1);
    assert.equal(await grew(aborted('gateway', 'ws_idle')), 1);
    assert.equal((await speaker.send('CablePlugged')).verdict, 'applied');
    await speaker.close();
  });
});

describe('streams of events', () => {
  const it = withServer(['--ping-interval', '5s']);

  test('the 101st is answered 503; when one ends another may come; the others go on', async () => {
    const { server } = it;
    const streams = [];
    for (let i = 0; i < 100; i++) {
      const w = await Wire.open(server.outlet);
      w.send('GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
      streams.push(w);
    }
    await until('all are open', () => streams.every((w) => w.text.includes('retry:')));
    const { value: more, grew } = await growth(server, () => exchange(server.outlet, request('GET', '/api/events')));
    assert.equal(more.status, 503);
    assert.match(more.text, /retry-after: 5/i);
    assert.match(more.body, /too many streams/);
    assert.equal(await grew('evcharge_events_refused_total'), 1);
    await streams.pop().end();
    const w = await until('a place', async () => {
      const next = await Wire.open(server.outlet);
      next.send('GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await until('its answer', () => next.text.includes('\r\n\r\n'));
      if (next.text.startsWith('HTTP/1.1 200')) return next;
      await next.end();
      return null;
    });
    streams.push(w);
    const outletId = await newOutlet(server);
    await call('POST', `${server.gateway}/devices/${outletId}/messages`, [
      message(outletId, 'CablePlugged'),
      message(outletId, 'DeviceRequestsCharging', { rfidTag: 'nobody' }),
    ]);
    await until('everybody hears of it', () => streams.every((s) => s.text.includes(outletId)));
    await Promise.all(streams.map((s) => s.end()));
    await until('they are gone', async () => (await server.metrics()).get('evcharge_events_subscribers') === 0);
  });
});

describe('a device that connects again and again', () => {
  const it = withServer(['--message-rate', '10000', '--message-burst', '10000']);

  test('200 times while its messages flow: nothing lost or doubled, the old ends harm nothing', async () => {
    const { server } = it;
    const witness = await Witness.start(server);
    const outletId = await newOutlet(server);
    const unanswered = new Map();
    let n = 0;
    const { grew } = await growth(server, async () => {
      for (let round = 0; round < 200; round++) {
        const d = await Device.connect(server, outletId);
        d.ws.on('message', (data) => {
          const a = JSON.parse(String(data));
          if (!a.ack) return;
          assert.ok(['applied', 'duplicate'].includes(a.verdict), String(data));
          unanswered.delete(a.ack);
        });
        for (const text of unanswered.values()) d.sendRaw(text);
        for (let i = 0; i < 5; i++, n++) {
          const m = message(outletId, 'Charging', { powerConsumption: 0.001 });
          unanswered.set(m.messageId, JSON.stringify(m));
          d.sendRaw(unanswered.get(m.messageId));
        }
        // Half of them wait for an answer; none is closed by the device.
        if (round % 2 === 0) await until('an answer', () => d.answers.length > 0 || d.close_);
      }
      const last = await Device.connect(server, outletId);
      last.ws.on('message', (data) => unanswered.delete(JSON.parse(String(data)).ack));
      for (const text of unanswered.values()) last.sendRaw(text);
      await until('all answers', () => unanswered.size === 0);
      assert.equal((await last.send('CablePlugged')).verdict, 'applied');
      assert.equal(last.close_, undefined);
      await until('the old ones are gone', async () => (await server.metrics()).get('evcharge_gateway_devices_connected') === 2);
      await last.close();
    });
    assert.equal(await grew('evcharge_gateway_replaced_total'), 200);
    assert.equal(Math.round((await outletOf(server, outletId)).totalPowerConsumption * 1000), n);
    await witness.stop();
    assert.equal((await books(server)).balanced, true);
  });

  test('an old connection that closes late and brutally takes nothing from the new one', async () => {
    const { server } = it;
    const outletId = await newOutlet(server);
    const old = await openDevice(server, outletId);
    old.socket.pause();
    const fresh = await Device.connect(server, outletId);
    old.socket.resetAndDestroy();
    await once(old.socket, 'close').catch(() => {});
    await until('the old is gone', async () => (await server.metrics()).get('evcharge_gateway_devices_connected') === 1);
    await newCustomerAndStart(server, fresh);
    await fresh.close();
  });
});

/** The new connection gets its commands. */
async function newCustomerAndStart(server, d) {
  const { body: customer } = await call('POST', `${server.app}/api/customers`, { address: 'a', email: 'a@b', paymentMethod: 'c' });
  await d.send('CablePlugged');
  await call('POST', `${server.app}/api/chargers/start`, { customerId: customer.customerId, outletId: d.outletId });
  await d.command('Charging');
}
