// docs/http-api.md, route by route: shapes, headers, order of keys, what contradicts, lists to their end.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { Device, Server, books, call, historyOf, message, newCustomer, newOutlet, outletOf, until } from './harness.mjs';
import { exchange, request } from './wire.mjs';

const NOBODY = '00000000-0000-4000-8000-000000000001';
const GROUP = '86c911e2-bbf3-42c8-8925-f9d380c1f329';
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

let server;
before(async () => (server = await Server.start({ args: ['--stuck-after', '1s', '--message-rate', '1000', '--message-burst', '1000'] })));
after(async () => {
  assert.equal((await books(server)).balanced, true);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

/** What the original sends with a success, in this order, before the length. */
const ORIGINAL_HEADERS = ['accept: application/json', 'content-type: application/json', 'access-control-allow-methods: "POST, GET"'];
const OUTLET_KEYS = [
  ...['outletId', 'chargerGroupId', 'outletCode', 'address', 'maxPower', 'outletState', 'rfidTag', 'startTime', 'powerConsumption'],
  ...['totalChargingSessions', 'totalPowerConsumption', 'unassignedPowerConsumption', 'outOfService', 'retired'],
];
const SESSION_KEYS = ['sessionId', 'customerId', 'outletId', 'state', 'purchaseChannel', 'startTime', 'powerConsumption'];

async function refused(status, words, method, url, body) {
  const r = await call(method, url, body);
  assert.equal(r.status, status, `${method} ${url}: ${r.text}`);
  assert.equal(r.headers.get('content-type'), 'application/problem+json');
  assert.equal(r.body.status, status);
  assert.match(r.body.detail, words);
  return r.body;
}

/** All pages of a list, `limit` rows at a time, by the cursor of each. */
async function pages(url, cursor, limit = 1) {
  const all = [];
  for (let next = null, n = 0; ; n++) {
    const glue = url.includes('?') ? '&' : '?';
    const r = await call('GET', `${url}${glue}limit=${limit}${next === null ? '' : `&${cursor}=${encodeURIComponent(next)}`}`);
    assert.equal(r.status, 200, r.text);
    assert.deepEqual(Object.keys(r.body), ['items', 'next']);
    assert.ok(r.body.items.length <= limit);
    all.push(...r.body.items);
    if (r.body.next === null) return all;
    assert.equal(r.body.items.length, limit);
    next = r.body.next;
    assert.ok(n < 10_000, 'there is an end');
  }
}

/** A session that runs. */
async function charging(tag, extra = {}) {
  const outletId = extra.outletId ?? (await newOutlet(server));
  const customer = extra.customer ?? (await newCustomer(server, tag));
  const d = await Device.connect(server, outletId);
  await d.send('CablePlugged');
  await d.send('DeviceRequestsCharging', { rfidTag: customer.rfidTag });
  await d.command('Charging');
  const { sessionId } = await until('the session', async () => {
    const o = await outletOf(server, outletId);
    return o.sessionId && o;
  });
  return { outletId, customer, sessionId, d };
}

describe('what all listeners have', () => {
  for (const listener of ['outlet', 'app', 'gateway']) {
    test(`/live, /ready and /metrics of the ${listener} listener`, async () => {
      const live = await exchange(server[listener], request('GET', '/live'));
      assert.equal(live.text, 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
      const ready = await call('GET', `${server[listener]}/ready`);
      assert.equal(ready.status, 200);
      assert.equal(ready.text, '{"ready":true,"checks":{"store":"ok","load":"ok","running":"ok"}}');
      const metrics = await call('GET', `${server[listener]}/metrics`);
      assert.equal(metrics.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
      assert.match(metrics.text, /^evcharge_build_info\{version="[0-9.]+"\} 1$/m);
      for (const line of metrics.text.trimEnd().split('\n'))
        assert.match(line, /^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{([a-z_]+="[^"]*",?)+\})? -?[0-9.e+-]+)$/);
      const head = await exchange(server[listener], request('HEAD', '/metrics'));
      assert.match(head.text, /^HTTP\/1\.1 200 OK\r\n[^]*Content-Length: \d{4,}\r\n[^]*\r\n\r\n$/);
      assert.equal(head.body, '');
    });
  }
  test('OPTIONS names the methods', async () => {
    const r = await exchange(server.outlet, request('OPTIONS', '/api/chargers'));
    assert.equal(r.status, 204);
    assert.ok(r.headers.includes('allow: GET, HEAD, POST, OPTIONS'));
  });
});

describe('POST /api/chargers as the original answers it', async () => {
  const vectors = JSON.parse(await readFile(new URL('../vectors/http_post_chargers.json', import.meta.url), 'utf8'));
  // What we refuse although the original did not look.
  const stricter = { maxPower_negative: /maxPower/, empty_strings: /outletCode.*address/, maxPower_overflow: /maxPower/ };
  for (const v of vectors.cases) {
    test(v.name, async () => {
      const headers = v.requestBody === '' ? ['Content-Length: 0'] : [];
      const r = await exchange(server.outlet, request('POST', '/api/chargers', { body: v.requestBody, headers }));
      if (stricter[v.name]) {
        assert.equal(r.status, 422);
        assert.match(JSON.parse(r.body).detail, stricter[v.name]);
        return;
      }
      assert.equal(r.status, v.status, r.text);
      if (v.status === 400) {
        assert.equal(JSON.parse(r.body).detail, v.responseBody);
        return;
      }
      assert.deepEqual(r.headers, [...ORIGINAL_HEADERS, `Content-Length: ${r.body.length}`, 'Connection: close']);
      const { outletId } = JSON.parse(r.body);
      assert.match(outletId, UUID);
      assert.equal(r.body, v.responseBody.replace('<uuid>', outletId));
    });
  }
});

describe('outlets', () => {
  test('one as it is made, looked at, and changed', async () => {
    const outletId = await newOutlet(server, { outletCode: 'Ä-1', maxPower: 0.5 });
    const url = `${server.outlet}/api/chargers/${outletId}`;
    const o = (await call('GET', url)).body;
    assert.deepEqual(Object.keys(o), OUTLET_KEYS);
    assert.match(o.startTime, TIME);
    assert.deepEqual({ ...o, startTime: '' }, {
      ...{ outletId, chargerGroupId: GROUP, outletCode: 'Ä-1', address: 'Main Street 1', maxPower: 0.5, outletState: 'Available' },
      ...{ rfidTag: '', startTime: '', powerConsumption: 0, totalChargingSessions: 0, totalPowerConsumption: 0 },
      ...{ unassignedPowerConsumption: 0, outOfService: false, retired: false },
    });
    const changed = (await call('PATCH', url, { outletCode: 'B2', maxPower: 7400.5 })).body;
    assert.deepEqual(changed, { ...o, outletCode: 'B2', maxPower: 7400.5 });
    const moved = { address: 'x', chargerGroupId: NOBODY };
    assert.deepEqual((await call('PATCH', url, moved)).body, { ...changed, ...moved });
    assert.equal((await call('PATCH', url, {})).status, 200);
    assert.equal((await call('GET', `${server.outlet}/api/chargers/${outletId.toUpperCase()}`)).body.outletId, outletId);
  });

  test('what is wrong is named, all of it', async () => {
    const url = `${server.outlet}/api/chargers/${await newOutlet(server)}`;
    const wrong = { outletCode: '', address: 'x'.repeat(257), maxPower: 1000001 };
    const body = await refused(422, /outletCode.*address.*maxPower/, 'PATCH', url, wrong);
    assert.deepEqual(body.problems.map((p) => p.field), ['outletCode', 'address', 'maxPower']);
    await refused(400, /chargerGroupId/, 'PATCH', url, { chargerGroupId: 'x' });
    await refused(404, /no such outlet/, 'GET', `${server.outlet}/api/chargers/${NOBODY}`);
    const bad = await refused(422, /not in UUID format/, 'GET', `${server.outlet}/api/chargers/nonsense`);
    assert.deepEqual(bad.problems, [{ field: 'outletId', text: 'is not in UUID format' }]);
    for (const action of ['out-of-service', 'in-service', 'retire', 'finish'])
      await refused(404, /no such outlet/, 'POST', `${server.outlet}/api/chargers/${NOBODY}/${action}`);
    await refused(404, /no such outlet/, 'PATCH', `${server.outlet}/api/chargers/${NOBODY}`, {});
    await refused(404, /no such outlet/, 'GET', `${server.outlet}/api/chargers/${NOBODY}/events`);
    await refused(404, /no such outlet/, 'GET', `${server.outlet}/api/chargers/${NOBODY}/unassigned`);
    await refused(405, /other methods/, 'DELETE', url);
  });

  test('lists by state, group and retirement, page by page', async () => {
    const group = 'aaaaaaaa-0000-4000-8000-000000000001';
    const ids = [];
    for (let i = 0; i < 7; i++) ids.push(await newOutlet(server, { chargerGroupId: group, outletCode: `L${i}` }));
    const d = await Device.connect(server, ids[0]);
    await d.send('CablePlugged');
    await newCustomer(server, 'list-tag');
    await d.send('DeviceRequestsCharging', { rfidTag: 'nobody-at-all' });
    await call('POST', `${server.outlet}/api/chargers/${ids[1]}/retire`);
    const base = `${server.outlet}/api/chargers`;
    const found = async (query, limit) => (await pages(`${base}?group=${group}${query}`, 'after', limit)).map((o) => o.outletId);
    const sorted = (list) => [...list].sort();
    const present = sorted(ids.filter((id) => id !== ids[1]));
    for (const limit of [1, 2, 3, 6, 7, 1000]) assert.deepEqual(await found('', limit), present);
    assert.deepEqual(await found('&retired=true'), sorted(ids));
    assert.deepEqual(await found('&state=CablePlugged'), [ids[0]]);
    assert.deepEqual(await found('&state=Charging'), []);
    assert.deepEqual(await found('&state=Available&retired=true'), sorted(ids.slice(1)));
    const everything = await pages(base, 'after');
    assert.equal(everything.length, new Set(everything.map((o) => o.outletId)).size);
    assert.equal(everything.length + 1, (await books(server)).outlets.count, 'all but the retired one');
    await d.close();
  });

  test('out of service, in service, finish and retire', async () => {
    const { outletId, sessionId, d } = await charging('life-tag');
    const url = `${server.outlet}/api/chargers/${outletId}`;
    await refused(409, /charging/, 'POST', `${url}/retire`);
    assert.equal((await call('POST', `${url}/out-of-service`)).body.outOfService, true);
    assert.equal((await d.send('Charging', { powerConsumption: 2 })).verdict, 'applied', 'a running session goes on');
    await refused(409, /does not run/, 'POST', `${url}/finish`, { sessionId: NOBODY });
    const finished = await call('POST', `${url}/finish`, { sessionId, reason: 'test' });
    const keys = [...OUTLET_KEYS.slice(0, 6), 'sessionId', 'rfidTag', 'startTime', 'endTime', ...OUTLET_KEYS.slice(8)];
    assert.deepEqual(Object.keys(finished.body), keys);
    assert.deepEqual([finished.body.outletState, finished.body.powerConsumption], ['ChargingFinished', 2]);
    await refused(409, /does not run/, 'POST', `${url}/finish`);
    assert.equal((await call('POST', `${url}/in-service`)).body.outOfService, false);
    assert.equal((await call('POST', `${url}/retire`)).body.retired, true);
    assert.equal((await call('POST', `${url}/retire`)).status, 200);
    const late = await d.send('DeviceRequestsStop', { powerConsumption: 0.5 });
    assert.notEqual(late.verdict, 'rejected');
    assert.equal((await outletOf(server, outletId)).totalPowerConsumption, 2.5, 'energy counts even then');
    await d.close();
  });

  test('events: newest first, page by page, with their shape', async () => {
    const { outletId, sessionId, d } = await charging('event-tag');
    for (const kwh of [1, 2, 4]) await d.send('Charging', { powerConsumption: kwh });
    await d.send('DeviceRequestsStop');
    const url = `${server.outlet}/api/chargers/${outletId}/events`;
    const all = (await call('GET', url)).body.items;
    assert.deepEqual(await pages(url, 'before'), all);
    assert.deepEqual(await pages(url, 'before', 2), all);
    assert.deepEqual(all.map((e) => e.seq), all.map((e) => e.seq).sort((a, b) => b - a));
    assert.deepEqual(all.map((e) => [e.initiator, e.outletState, e.recentSession.powerConsumption]).reverse(), [
      ['OutletBackend', 'DeviceRequestsCharging', 0],
      ['AppBackend', 'Charging', 0],
      ['OutletBackend', 'Charging', 0],
      ['OutletBackend', 'Charging', 1],
      ['OutletBackend', 'Charging', 3],
      ['OutletBackend', 'Charging', 7],
      ['OutletBackend', 'ChargingFinished', 7],
    ]);
    assert.deepEqual(Object.keys(all[0]), ['seq', 'at', 'initiator', 'outletId', 'outletState', 'recentSession', 'eventId']);
    assert.deepEqual(Object.keys(all[0].recentSession), ['sessionId', 'rfidTag', 'periodStart', 'periodEnd', 'powerConsumption']);
    assert.ok(all.slice(0, -1).every((e) => e.recentSession.sessionId === sessionId));
    await d.close();
  });

  test('unassigned items, page by page, and each attached once', async () => {
    const { outletId, sessionId, d } = await charging('item-tag');
    for (let i = 1; i <= 5; i++) await d.send('Charging', { rfidTag: 'ghost', powerConsumption: i });
    const url = `${server.outlet}/api/chargers/${outletId}/unassigned`;
    const all = (await call('GET', url)).body.items;
    assert.equal(all.length, 5);
    assert.deepEqual(await pages(url, 'after'), all);
    assert.deepEqual(Object.keys(all[0]), ['itemId', 'outletId', 'at', 'powerConsumption', 'rfidTag', 'attached']);
    assert.deepEqual([all[0].rfidTag, all[0].attached], ['ghost', false]);
    for (const item of all.slice(0, 2)) assert.equal((await call('POST', `${url}/${item.itemId}/attach`, { sessionId })).status, 200);
    const again = await call('POST', `${url}/${all[0].itemId}/attach`, { sessionId });
    assert.equal(again.status, 200);
    assert.equal(again.body.outletId, outletId, 'an outlet, the second time as well');
    assert.deepEqual(Object.keys(again.body).sort(), Object.keys(await outletOf(server, outletId)).sort());
    await refused(409, /attached/, 'POST', `${url}/${all[0].itemId}/attach`, { sessionId: NOBODY });
    await refused(422, /no session that the outlet knows/, 'POST', `${url}/${all[2].itemId}/attach`, { sessionId: NOBODY });
    await refused(404, /no such item/, 'POST', `${url}/${'0'.repeat(32)}/attach`, { sessionId });
    await refused(422, /32 hex/, 'POST', `${url}/x/attach`, { sessionId });
    await refused(400, /sessionId\(missing\)/, 'POST', `${url}/${all[2].itemId}/attach`, {});
    assert.equal((await pages(url, 'after')).length, 3);
    const withAttached = await pages(`${url}?all=true`, 'after');
    assert.deepEqual(withAttached.map((i) => i.sessionId ?? null), [sessionId, sessionId, null, null, null]);
    await d.send('DeviceRequestsStop');
    const session = (await call('GET', `${server.app}/api/chargers/session/${sessionId}`)).body;
    const o = await outletOf(server, outletId);
    assert.deepEqual([session.powerConsumption, o.unassignedPowerConsumption, o.totalPowerConsumption], [3, 12, 15]);
    await d.close();
  });
});

describe('dead letters', () => {
  test('page by page, newest first; dropped ones only with all=true', async () => {
    const outletId = await newOutlet(server);
    const url = `${server.outlet}/api/dead-letters`;
    for (let i = 0; i < 5; i++) await call('POST', `${server.gateway}/devices/${outletId}/messages`, `{"nonsense":${i}}`);
    const all = (await call('GET', `${url}?limit=1000`)).body.items;
    assert.equal(all.length, 5);
    assert.deepEqual(Object.keys(all[0]), ['id', 'seq', 'channel', 'outletId', 'at', 'reason', 'detail', 'status']);
    assert.deepEqual([all[0].channel, all[0].outletId, all[0].status], ['device-message', outletId, 'open']);
    assert.deepEqual(await pages(url, 'before'), all);
    const whole = (await call('GET', `${url}/${all[0].id}`)).body;
    assert.deepEqual(whole, { ...all[0], body: '{"nonsense":4}' });
    assert.equal((await call('POST', `${url}/${all[0].id}/drop`)).status, 204);
    await refused(409, /not open/, 'POST', `${url}/${all[0].id}/drop`);
    await refused(409, /not open/, 'POST', `${url}/${all[0].id}/replay`);
    await refused(404, /no such dead letter/, 'POST', `${url}/${'0'.repeat(32)}/drop`);
    await refused(422, /32 hex/, 'GET', `${url}/x`);
    assert.equal((await pages(url, 'before')).length, 4);
    const every = await pages(`${url}?all=true`, 'before', 2);
    assert.deepEqual(every.map((l) => l.status), ['dropped', 'open', 'open', 'open', 'open']);
  });

  test('the same garbage again is one letter', async () => {
    const outletId = await newOutlet(server);
    for (let i = 0; i < 3; i++) await call('POST', `${server.gateway}/devices/${outletId}/messages`, 'the same');
    const all = (await call('GET', `${server.outlet}/api/dead-letters?limit=1000`)).body.items;
    assert.equal(all.filter((l) => l.outletId === outletId).length, 1);
  });
});

describe('customers', () => {
  const KEYS = ['customerId', 'rfidTag', 'address', 'email', 'paymentMethod'];

  test('made with a tag, as the original answers', async () => {
    const body = JSON.stringify({ customerId: NOBODY, rfidTag: 'With-Tag', address: 'Süd 1', email: 'a@b', paymentMethod: 'card' });
    const r = await exchange(server.app, request('POST', '/api/customers', { body }));
    assert.equal(r.status, 201);
    const text = Buffer.from(r.body, 'latin1').toString('utf8');
    assert.deepEqual(r.headers, [...ORIGINAL_HEADERS, `Content-Length: ${r.body.length}`, 'Connection: close']);
    const { customerId } = JSON.parse(text);
    assert.notEqual(customerId, NOBODY);
    assert.equal(text, `{"customerId":"${customerId}","rfidTag":"with-tag","address":"Süd 1","email":"a@b","paymentMethod":"card"}`);
    const got = await exchange(server.app, request('GET', `/api/customers/${customerId}`));
    assert.equal(got.body, r.body);
    assert.deepEqual(got.headers.slice(0, 3), ORIGINAL_HEADERS);
  });

  test('made without a tag gets one; a tag in any case is taken once', async () => {
    const without = await newCustomer(server);
    assert.match(without.rfidTag, UUID);
    assert.deepEqual(Object.keys(without), KEYS);
    assert.match((await newCustomer(server, null)).rfidTag, UUID);
    await newCustomer(server, 'Taken-Once');
    const again = { rfidTag: 'TAKEN-once', address: 'a', email: 'a@b', paymentMethod: 'c' };
    await refused(409, /another customer/, 'POST', `${server.app}/api/customers`, again);
    const body = await refused(422, /rfidTag.*address.*email.*paymentMethod/, 'POST', `${server.app}/api/customers`, {
      ...{ rfidTag: 'x'.repeat(65), address: '', email: 'nobody', paymentMethod: '\u0007' },
    });
    assert.deepEqual(body.problems.map((p) => p.field), ['rfidTag', 'address', 'email', 'paymentMethod']);
    await refused(400, /email\(missing\)/, 'POST', `${server.app}/api/customers`, { address: 'a', paymentMethod: 'c' });
  });

  test('changed, blocked, given another tag, and erased', async () => {
    const c = await newCustomer(server, 'first-card');
    const url = `${server.app}/api/customers/${c.customerId}`;
    assert.deepEqual((await call('PATCH', url, { email: 'new@b', rfidTag: 'not-here' })).body, { ...c, email: 'new@b' });
    const now = (await call('GET', url)).body;
    const blocked = await call('POST', `${url}/block`);
    assert.deepEqual(blocked.body, { ...now, blocked: true });
    assert.equal((await call('POST', `${url}/block`)).status, 200);
    // Neither the card nor the app starts anything now.
    const outletId = await newOutlet(server);
    const d = await Device.connect(server, outletId);
    await d.send('CablePlugged');
    await d.send('DeviceRequestsCharging', { rfidTag: 'first-card' });
    await d.command('AppDeniesCharging');
    await refused(403, /blocked/, 'POST', `${server.app}/api/chargers/start`, { customerId: c.customerId, outletId });
    assert.deepEqual((await call('POST', `${url}/unblock`)).body, now);
    // The new card is this customer's, the old one nobody's.
    const other = await newCustomer(server, 'other-card');
    await refused(409, /another customer/, 'PUT', `${url}/tag`, { rfidTag: 'OTHER-card' });
    assert.equal((await call('PUT', `${url}/tag`, { rfidTag: 'Second-Card' })).body.rfidTag, 'second-card');
    assert.equal((await call('PUT', `${url}/tag`, { rfidTag: 'SECOND-card' })).status, 200);
    await newCustomer(server, 'first-card');
    assert.match((await call('PUT', `${server.app}/api/customers/${other.customerId}/tag`)).body.rfidTag, UUID);
    await d.send('DeviceRequestsCharging', { rfidTag: 'second-CARD' });
    await d.command('Charging');
    await d.send('Charging', { powerConsumption: 1 });
    const [session] = await historyOf(server, c.customerId);
    await refused(409, /live/, 'DELETE', url);
    await d.send('DeviceRequestsStop');
    assert.equal((await call('DELETE', url)).status, 204);
    await refused(404, /no such customer/, 'GET', url);
    await refused(404, /no such customer/, 'GET', `${url}/charging-history`);
    await refused(404, /no such customer/, 'DELETE', url);
    const kept = (await call('GET', `${server.app}/api/chargers/session/${session.sessionId}`)).body;
    assert.deepEqual(Object.keys(kept).includes('customerId'), false);
    assert.equal(kept.powerConsumption, 1);
    await newCustomer(server, 'second-card'); // free again
    await d.close();
  });

  test('lists page by page', async () => {
    const all = await pages(`${server.app}/api/customers`, 'after');
    assert.equal(all.length, (await books(server)).customers.count);
    assert.deepEqual(all.map((c) => c.customerId), all.map((c) => c.customerId).sort());
    assert.deepEqual(await pages(`${server.app}/api/customers`, 'after', 3), all);
  });

  test('what is no customer', async () => {
    for (const [method, tail, body] of [
      ...[['GET', ''], ['PATCH', '', {}], ['DELETE', ''], ['POST', '/block'], ['POST', '/unblock'], ['PUT', '/tag', {}]],
      ['GET', '/charging-history'],
    ]) {
      await refused(404, /no such customer/, method, `${server.app}/api/customers/${NOBODY}${tail}`, body);
      const p = await refused(422, /^customer is not in UUID format$/, method, `${server.app}/api/customers/x${tail}`, body);
      assert.deepEqual(p.problems, [{ field: 'customerId', text: 'is not in UUID format' }]);
    }
  });
});

describe('sessions', () => {
  test('started and stopped by app, as the original answers', async () => {
    const outletId = await newOutlet(server);
    const { customerId } = await newCustomer(server);
    const d = await Device.connect(server, outletId);
    await d.send('CablePlugged');
    const body = JSON.stringify({ customerId, outletId, sessionId: NOBODY, purchaseChannel: 'Telepathy' });
    const r = await exchange(server.app, request('POST', '/api/chargers/start', { body }));
    assert.equal(r.status, 201);
    assert.deepEqual(r.headers.slice(0, 3), ORIGINAL_HEADERS);
    const s = JSON.parse(r.body);
    assert.deepEqual(Object.keys(s), SESSION_KEYS);
    assert.match(s.sessionId, UUID);
    assert.notEqual(s.sessionId, NOBODY);
    assert.match(s.startTime, TIME);
    assert.equal(r.body, JSON.stringify({ ...s, powerConsumption: 'KWH' }).replace('"KWH"', '0.0'));
    assert.deepEqual([s.state, s.purchaseChannel], ['AppRequestsCharging', 'MobileApp']);
    await d.command('Charging');
    await d.send('Charging', { powerConsumption: 1.5 });
    const got = await exchange(server.app, request('GET', `/api/chargers/session/${s.sessionId}`));
    assert.deepEqual(got.headers.slice(0, 3), ORIGINAL_HEADERS);
    assert.deepEqual(JSON.parse(got.body).state, 'Charging');
    assert.match(got.body, /,"powerConsumption":1\.5\}$/);
    const stop = await exchange(server.app, request('GET', `/api/chargers/session/${s.sessionId}/stop`));
    assert.equal(stop.text, `HTTP/1.1 200 OK\r\n${ORIGINAL_HEADERS.join('\r\n')}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
    await d.command('AppRequestsStop');
    assert.equal((await call('POST', `${server.app}/api/chargers/session/${s.sessionId}/stop`)).status, 200, 'a repeat is fine');
    await refused(409, /./, 'POST', `${server.app}/api/sessions/${s.sessionId}/close`);
    await d.send('DeviceRequestsStop', { powerConsumption: 0.5 });
    const done = (await call('GET', `${server.app}/api/chargers/session/${s.sessionId}`)).body;
    assert.deepEqual(Object.keys(done), [...SESSION_KEYS.slice(0, 6), 'endTime', 'powerConsumption']);
    assert.deepEqual([done.state, done.powerConsumption], ['ChargingFinished', 2]);
    await refused(409, /over|ended/, 'GET', `${server.app}/api/chargers/session/${s.sessionId}/stop`);
    await refused(409, /over|ended/, 'POST', `${server.app}/api/chargers/session/${s.sessionId}/stop`);
    await d.close();
  });

  test('what cannot be started, or is no session', async () => {
    const outletId = await newOutlet(server);
    const { customerId } = await newCustomer(server);
    const start = `${server.app}/api/chargers/start`;
    await refused(404, /no such customer/, 'POST', start, { customerId: NOBODY, outletId });
    await refused(404, /no such outlet/, 'POST', start, { customerId, outletId: NOBODY });
    await refused(400, /customerId\(missing\)/, 'POST', start, { outletId });
    await refused(400, /outletId/, 'POST', start, { customerId, outletId: 'x' });
    for (const [method, path] of [
      ['GET', '/api/chargers/session/ID'],
      ['GET', '/api/chargers/session/ID/stop'],
      ['POST', '/api/chargers/session/ID/stop'],
      ['POST', '/api/sessions/ID/close'],
    ]) {
      await refused(404, /no such session/, method, server.app + path.replace('ID', NOBODY));
      await refused(422, /^session is not in UUID format$/, method, server.app + path.replace('ID', 'x'));
    }
  });

  test('a start without a cable is denied by the outlet', async () => {
    const outletId = await newOutlet(server);
    const { customerId } = await newCustomer(server);
    const r = await call('POST', `${server.app}/api/chargers/start`, { customerId, outletId });
    assert.equal(r.status, 201);
    const denied = (await call('GET', `${server.app}/api/chargers/session/${r.body.sessionId}`)).body;
    assert.equal(denied.state, 'DeviceDeniesCharging');
    assert.equal((await outletOf(server, outletId)).totalChargingSessions, 0);
  });

  test('the history, by Link to its end, newest first', async () => {
    const outletId = await newOutlet(server);
    const customer = await newCustomer(server, 'history-tag');
    for (let i = 1; i <= 5; i++) {
      const { d } = await charging('', { outletId, customer });
      await d.send('Charging', { powerConsumption: i });
      await d.send('DeviceRequestsStop');
      await d.send('Available');
      await d.close();
    }
    const base = `/api/customers/${customer.customerId}/charging-history`;
    const whole = await exchange(server.app, request('GET', base));
    assert.deepEqual(whole.headers, [...ORIGINAL_HEADERS, `Content-Length: ${whole.body.length}`, 'Connection: close']);
    const all = JSON.parse(whole.body);
    assert.deepEqual(all.map((s) => s.powerConsumption), [5, 4, 3, 2, 1]);
    assert.ok(all.every((s) => s.purchaseChannel === 'OutletDevice' && s.customerId === customer.customerId));
    for (const limit of [1, 2, 5]) {
      const read = [];
      for (let at = `${base}?limit=${limit}`; at; ) {
        const r = await call('GET', server.app + at);
        assert.equal(r.status, 200);
        assert.ok(r.body.length <= limit);
        read.push(...r.body);
        const link = r.headers.get('link');
        if (link) assert.match(link, /^<\/[^>]+>; rel="next"$/);
        at = link && /^<([^>]+)>/.exec(link)[1];
        assert.ok(read.length <= 5);
      }
      assert.deepEqual(read, all);
    }
    await refused(422, /limit/, 'GET', `${server.app}${base}?limit=0`);
    await refused(422, /before/, 'GET', `${server.app}${base}?before=yesterday`);
    const early = await call('GET', `${server.app}${base}?before=${all[2].startTime}`);
    assert.deepEqual(early.body.map((s) => s.powerConsumption), [2, 1]);
  });

  test('lists: all, live and stuck, page by page', async () => {
    const quiet = await charging('quiet-tag');
    const all = await pages(`${server.app}/api/sessions`, 'before');
    assert.equal(all.length, (await books(server)).sessions.count);
    assert.deepEqual(all.map((s) => s.startTime), all.map((s) => s.startTime).sort().reverse());
    const live = await pages(`${server.app}/api/sessions?live=true`, 'before');
    const over = ['ChargingFinished', 'DeviceDeniesCharging'];
    assert.deepEqual(live, all.filter((s) => !over.includes(s.state)));
    assert.ok(live.some((s) => s.sessionId === quiet.sessionId));
    await until('it is stuck', async () => {
      const stuck = await pages(`${server.app}/api/sessions?stuck=true`, 'before');
      return stuck.some((s) => s.sessionId === quiet.sessionId);
    });
    await quiet.d.send('Charging', { powerConsumption: 1 });
    const stuck = await pages(`${server.app}/api/sessions?stuck=true`, 'before');
    assert.ok(!stuck.some((s) => s.sessionId === quiet.sessionId), 'it was heard of');
    await quiet.d.send('DeviceRequestsStop');
    await quiet.d.close();
  });
});

test('the books have their shape, and add up', async () => {
  const b = await books(server);
  assert.deepEqual(Object.keys(b), [
    ...['outlets', 'sessions', 'customers', 'events', 'commands', 'deadLetters', 'parked', 'unassignedItems', 'balanced'],
  ]);
  assert.equal(b.balanced, true);
  const outlets = await pages(`${server.outlet}/api/chargers?retired=true`, 'after', 1000);
  const total = (key) => Math.round(outlets.reduce((sum, o) => sum + o[key], 0) * 1e6);
  assert.equal(total('totalPowerConsumption'), Math.round(b.outlets.totalPowerConsumption * 1e6));
  assert.equal(total('unassignedPowerConsumption'), Math.round(b.outlets.unassignedPowerConsumption * 1e6));
  const sessions = await pages(`${server.app}/api/sessions`, 'before', 1000);
  const charged = sessions.reduce((sum, s) => sum + s.powerConsumption, 0);
  assert.equal(Math.round(charged * 1e6), Math.round(b.sessions.powerConsumption * 1e6));
  assert.equal(Math.round((b.sessions.powerConsumption + b.unassignedItems.powerConsumption) * 1e6), total('totalPowerConsumption'));
});

describe('devices without sockets', () => {
  test('answers have their keys in order, single or in an array', async () => {
    const outletId = await newOutlet(server);
    const url = `${server.gateway}/devices/${outletId}/messages`;
    const m = message(outletId, 'CablePlugged');
    const one = await call('POST', url, m);
    assert.equal(one.text, `{"ack":"${m.messageId}","verdict":"applied","reason":null,"outletState":"CablePlugged"}`);
    assert.equal(one.headers.get('content-type'), 'application/json');
    const array = await call('POST', url, [m]);
    const again = { ack: m.messageId, verdict: 'duplicate', reason: 'this message was handled before', outletState: 'CablePlugged' };
    assert.equal(array.text, JSON.stringify([again]));
    const anonymous = await call('POST', url, { ...m, messageId: undefined });
    assert.equal(anonymous.body.ack, null);
  });

  test('a poll waits for the first command, a newer poll ends an older, time ends both', async () => {
    const outletId = await newOutlet(server);
    const url = `${server.gateway}/devices/${outletId}/commands`;
    assert.equal((await call('GET', url)).text, '[]');
    const began = performance.now();
    assert.equal((await call('GET', `${url}?wait=1`)).text, '[]');
    assert.ok(performance.now() - began >= 900);
    const older = call('GET', `${url}?wait=60`);
    await until('it waits', async () => (await server.metrics()).get('evcharge_gateway_devices_polling') === 1);
    const newer = call('GET', `${url}?wait=60`);
    assert.equal((await older).text, '[]');
    const { customerId } = await newCustomer(server);
    await call('POST', `${server.gateway}/devices/${outletId}/messages`, message(outletId, 'CablePlugged'));
    await call('POST', `${server.app}/api/chargers/start`, { customerId, outletId });
    const [command] = (await newer).body;
    assert.deepEqual(Object.keys(command), [
      ...['outletId', 'rfidTag', 'periodStart', 'periodEnd', 'outletStateChange', 'powerConsumption', 'messageId'],
    ]);
    assert.equal((await call('POST', `${url}/${command.messageId}/ack`)).status, 204);
    assert.equal((await call('POST', `${url}/${command.messageId}/ack`)).status, 204, 'a repeat is fine');
    assert.equal((await call('GET', url)).text, '[]');
  });
});
