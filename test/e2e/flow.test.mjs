// The whole charging flow over real sockets: both ways to start, all ways to stop, people's hands.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Device, Server, books, call, historyOf, message, newCustomer, newOutlet, outletOf, until } from './harness.mjs';

let server;
before(async () => (server = await Server.start()));
after(async () => assert.deepEqual(await server.stop(), { code: 0, signal: null }));

test('a customer charges by tag, and every figure is right', async () => {
  const outletId = await newOutlet(server);
  const { customerId } = await newCustomer(server, 'Anna-Tag-1');
  const d = await Device.connect(server, outletId);
  assert.deepEqual((await d.send('CablePlugged')).verdict, 'applied');
  const asked = await d.send('DeviceRequestsCharging', { rfidTag: 'ANNA-TAG-1' });
  assert.equal(asked.verdict, 'applied');
  const command = await d.command('Charging');
  assert.equal(command.outletId, outletId);
  for (const kwh of [0.5, 0.25, 0.000001]) {
    const a = await d.send('Charging', { rfidTag: 'anna-tag-1', powerConsumption: kwh });
    assert.deepEqual([a.verdict, a.outletState], ['applied', 'Charging']);
  }
  const [running] = await historyOf(server, customerId);
  assert.equal(running.state, 'Charging');
  assert.equal(running.powerConsumption, 0.750001);
  assert.equal((await d.send('DeviceRequestsStop', { rfidTag: 'anna-tag-1', powerConsumption: 0.1 })).outletState, 'ChargingFinished');
  assert.equal((await d.send('Available')).outletState, 'Available');
  const outlet = await outletOf(server, outletId);
  assert.equal(outlet.totalPowerConsumption, 0.850001);
  assert.equal(outlet.totalChargingSessions, 1);
  assert.equal(outlet.rfidTag, '');
  const [done] = await historyOf(server, customerId);
  assert.equal(done.state, 'ChargingFinished');
  assert.equal(done.powerConsumption, 0.850001);
  assert.ok(done.endTime >= done.startTime);
  await d.close();
});

test('the app starts and stops; the old GET stops, too', async () => {
  for (const method of ['POST', 'GET']) {
    const outletId = await newOutlet(server);
    const { customerId } = await newCustomer(server);
    const d = await Device.connect(server, outletId);
    await d.send('CablePlugged');
    const start = await call('POST', `${server.app}/api/chargers/start`, { customerId, outletId });
    assert.equal(start.status, 201);
    assert.equal(start.body.state, 'AppRequestsCharging');
    await d.command('Charging');
    const again = await call('POST', `${server.app}/api/chargers/start`, { customerId, outletId });
    assert.equal(again.body.sessionId, start.body.sessionId);
    await d.send('Charging', { powerConsumption: 1 });
    const stop = await call(method, `${server.app}/api/chargers/session/${start.body.sessionId}/stop`);
    assert.deepEqual([stop.status, stop.text], [200, '']);
    await d.command('AppRequestsStop');
    await d.send('DeviceRequestsStop', { powerConsumption: 0.5 });
    const s = await call('GET', `${server.app}/api/chargers/session/${start.body.sessionId}`);
    assert.equal(s.body.state, 'ChargingFinished');
    assert.equal(s.body.powerConsumption, 1.5);
    await d.close();
  }
});

test('an unknown tag is denied, and the device is told', async () => {
  const outletId = await newOutlet(server);
  const d = await Device.connect(server, outletId);
  await d.send('CablePlugged');
  await d.send('DeviceRequestsCharging', { rfidTag: 'nobody' });
  await d.command('AppDeniesCharging');
  assert.equal((await outletOf(server, outletId)).outletState, 'CablePlugged');
  await d.close();
});

test('a message that comes twice counts once, on one connection and on another', async () => {
  const outletId = await newOutlet(server);
  await newCustomer(server, 'twice-tag');
  let d = await Device.connect(server, outletId);
  await d.send('CablePlugged');
  await d.send('DeviceRequestsCharging', { rfidTag: 'twice-tag' });
  const m = message(outletId, 'Charging', { powerConsumption: 2 });
  d.sendRaw(JSON.stringify(m));
  await until('the first answer', () => d.answers.find((a) => a.ack === m.messageId));
  await d.close();
  d = await Device.connect(server, outletId);
  d.sendRaw(JSON.stringify(m));
  const a = await until('the second answer', () => d.answers.find((x) => x.ack === m.messageId));
  assert.equal(a.verdict, 'duplicate');
  assert.equal((await outletOf(server, outletId)).totalPowerConsumption, 2);
  await d.close();
});

test('a device without sockets posts, polls and acknowledges', async () => {
  const outletId = await newOutlet(server);
  await newCustomer(server, 'poll-tag');
  const base = `${server.gateway}/devices/${outletId}`;
  const poll = call('GET', `${base}/commands?wait=20`);
  const plugged = await call('POST', `${base}/messages`, message(outletId, 'CablePlugged'));
  assert.equal(plugged.body.verdict, 'applied');
  const both = await call('POST', `${base}/messages`, [
    message(outletId, 'DeviceRequestsCharging', { rfidTag: 'poll-tag' }),
    message(outletId, 'Charging', { powerConsumption: 0.5 }),
  ]);
  assert.deepEqual(both.body.map((a) => a.verdict), ['applied', 'applied']);
  const commands = await poll;
  assert.deepEqual(commands.body.map((c) => c.outletStateChange), ['Charging']);
  const again = await call('GET', `${base}/commands`);
  assert.deepEqual(again.body.map((c) => c.messageId), commands.body.map((c) => c.messageId));
  const ack = await call('POST', `${base}/commands/${commands.body[0].messageId}/ack`);
  assert.equal(ack.status, 204);
  assert.deepEqual((await call('GET', `${base}/commands`)).body, []);
});

test('a command that was not acknowledged comes again after a reconnect', async () => {
  const outletId = await newOutlet(server);
  await newCustomer(server, 'again-tag');
  let d = await Device.connect(server, outletId, { autoAck: false });
  await d.send('CablePlugged');
  await d.send('DeviceRequestsCharging', { rfidTag: 'again-tag' });
  const first = await d.command('Charging');
  await d.close();
  d = await Device.connect(server, outletId);
  const second = await d.command('Charging');
  assert.equal(second.messageId, first.messageId);
  await until('its acknowledgement', async () => (await call('GET', `${server.gateway}/devices/${outletId}/commands`)).body.length === 0);
  await d.close();
});

test('a new connection replaces the old, whose end does not harm it', async () => {
  const outletId = await newOutlet(server);
  const old = await Device.connect(server, outletId);
  const fresh = await Device.connect(server, outletId);
  await old.closed;
  assert.equal(old.close_.code, 1000);
  assert.equal((await fresh.send('CablePlugged')).verdict, 'applied');
  await fresh.close();
});

test('energy without a session is kept and can be attached once', async () => {
  const outletId = await newOutlet(server);
  const { customerId } = await newCustomer(server, 'late-tag');
  const d = await Device.connect(server, outletId);
  await d.send('Charging', { rfidTag: 'ghost', powerConsumption: 3 });
  await d.send('CablePlugged');
  await d.send('DeviceRequestsCharging', { rfidTag: 'late-tag' });
  const [session] = await historyOf(server, customerId);
  const items = await call('GET', `${server.outlet}/api/chargers/${outletId}/unassigned`);
  assert.equal(items.body.items.length, 1);
  assert.equal(items.body.items[0].powerConsumption, 3);
  const url = `${server.outlet}/api/chargers/${outletId}/unassigned/${items.body.items[0].itemId}/attach`;
  assert.equal((await call('POST', url, { sessionId: session.sessionId })).status, 200);
  assert.equal((await call('POST', url, { sessionId: session.sessionId })).status, 200);
  assert.equal((await call('POST', url, { sessionId: outletId })).status, 409);
  assert.equal((await historyOf(server, customerId))[0].powerConsumption, 3);
  assert.equal((await outletOf(server, outletId)).unassignedPowerConsumption, 0);
  await d.close();
});

test('a dead letter can be replayed once what it missed is there, or dropped', async () => {
  const outletId = await newOutlet(server);
  const d = await Device.connect(server, outletId);
  d.sendRaw('{"powerConsumption":1}');
  await until('the rejection', () => d.answers.find((a) => a.verdict === 'rejected'));
  const list = await call('GET', `${server.outlet}/api/dead-letters`);
  const letter = list.body.items.find((l) => l.outletId === outletId);
  assert.match(letter.detail, /missing/);
  const full = await call('GET', `${server.outlet}/api/dead-letters/${letter.id}`);
  assert.equal(full.body.body, '{"powerConsumption":1}');
  assert.equal((await call('POST', `${server.outlet}/api/dead-letters/${letter.id}/replay`, {})).body.verdict, 'rejected');
  assert.equal((await call('POST', `${server.outlet}/api/dead-letters/${letter.id}/drop`)).status, 204);
  assert.equal((await call('POST', `${server.outlet}/api/dead-letters/${letter.id}/drop`)).status, 409);
  await d.close();
});

test('events are told live, and from where a listener stopped', async () => {
  const outletId = await newOutlet(server);
  const abort = new AbortController();
  const seen = [];
  const follow = async (lastId) => {
    const r = await fetch(`${server.outlet}/api/events`, { signal: abort.signal, headers: lastId ? { 'last-event-id': lastId } : {} });
    assert.equal(r.headers.get('content-type'), 'text/event-stream');
    let text = '';
    for await (const chunk of r.body) {
      text += Buffer.from(chunk).toString();
      for (let at; (at = text.indexOf('\n\n')) >= 0; text = text.slice(at + 2)) {
        const lines = text.slice(0, at).split('\n');
        const event = Object.fromEntries(lines.map((l) => [l.slice(0, l.indexOf(':')), l.slice(l.indexOf(':') + 1).trim()]));
        if (event.data) seen.push({ id: event.id, ...JSON.parse(event.data) });
      }
    }
  };
  const first = follow().catch(() => {});
  const d = await Device.connect(server, outletId);
  await d.send('CablePlugged');
  await until('the stream is open', async () => {
    await d.send('DeviceRequestsCharging', { rfidTag: 'nobody' });
    return seen.some((e) => e.outletId === outletId && e.outletState === 'DeviceRequestsCharging');
  });
  abort.abort();
  await first;
  const resumed = await fetch(`${server.outlet}/api/events?after=0`);
  const reader = resumed.body.getReader();
  let text = '';
  while (!/id: ?1\n/.test(text)) text += Buffer.from((await reader.read()).value).toString();
  await reader.cancel();
  await d.close();
});

test('out of service refuses, in service takes, retired stays', async () => {
  const outletId = await newOutlet(server);
  await newCustomer(server, 'service-tag');
  const base = `${server.outlet}/api/chargers/${outletId}`;
  assert.equal((await call('POST', `${base}/out-of-service`)).body.outOfService, true);
  const d = await Device.connect(server, outletId);
  await d.send('CablePlugged');
  assert.equal((await d.send('DeviceRequestsCharging', { rfidTag: 'service-tag' })).verdict, 'refused');
  assert.equal((await call('POST', `${base}/in-service`)).body.outOfService, false);
  assert.equal((await d.send('DeviceRequestsCharging', { rfidTag: 'service-tag' })).verdict, 'applied');
  assert.equal((await call('POST', `${base}/retire`)).status, 409);
  assert.equal((await call('POST', `${base}/finish`, { reason: 'test' })).body.outletState, 'ChargingFinished');
  assert.equal((await call('POST', `${base}/retire`)).body.retired, true);
  await d.close();
});

test('the books balance', async () => {
  assert.equal((await books(server)).balanced, true);
});
