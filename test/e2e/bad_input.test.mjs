// Whatever a peer sends: it is told clearly, it is counted, nothing is lost, and nobody else notices.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Device, Server, Witness, books, call, message, newCustomer, newOutlet, outletOf, until } from './harness.mjs';
import { Wire, closeCode, exchange, frame, growth, openDevice, request } from './wire.mjs';

const NOBODY = '00000000-0000-4000-8000-000000000001';

let server;
let witness;
before(async () => {
  server = await Server.start({
    args: [
      ...['--message-rate', '100000', '--message-burst', '100000', '--max-outstanding', '4096'],
      ...['--ping-interval', '2s', '--idle-timeout', '60s'],
    ],
  });
  witness = await Witness.start(server);
});
after(async () => {
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

const answers4xx = (listener) => `evcharge_net_http_answers_total{listener="${listener}",class="4xx"}`;
const aborted = (listener, reason) => `evcharge_net_aborted_total{listener="${listener}",reason="${reason}"}`;

/** A problem document of that status, with words for people. */
function isProblem(answer, status, words) {
  assert.equal(answer.status, status, answer.text.slice(0, 200));
  const type = answer.headers.get ? answer.headers.get('content-type') : answer.headers.find((l) => /^content-type:/i.test(l));
  assert.match(String(type), /application\/problem\+json$/);
  const body = typeof answer.body === 'string' ? JSON.parse(answer.body) : answer.body;
  assert.equal(body.status, status);
  assert.equal(body.type, 'about:blank');
  assert.ok(body.title.length > 0 && body.detail.length > 0, answer.text);
  if (words) assert.match(body.detail, words);
  return body;
}

describe('what is no HTTP', () => {
  const cases = [
    ['bytes of no protocol', '\x00\x01\x02garbage\r\n\r\n', 400, 'bad_request'],
    ['words', 'hello there\r\n\r\n', 400, 'bad_request'],
    ['a TLS handshake on a plain port', Buffer.from('16030100a5010000a10303', 'hex'), 400, 'bad_request'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505, 'bad_request'],
    ['no Host', 'GET /live HTTP/1.1\r\n\r\n', 400, 'bad_request'],
    ['two Hosts', 'GET /live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400, 'bad_request'],
    ['a bare line feed', 'GET /live HTTP/1.1\nHost: a\n\n', 400, 'bad_request'],
    ['a header without colon', 'GET /live HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n', 400, 'bad_request'],
    ['a NUL in a header', 'GET /live HTTP/1.1\r\nHost: a\r\nx: \0\r\n\r\n', 400, 'bad_request'],
    ['a NUL in the path', 'GET /api/\0 HTTP/1.1\r\nHost: localhost\r\n\r\n', 400, 'bad_request'],
    ['two lengths', 'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd', 400, 'bad_request'],
    ['a length and chunks', 'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n', 400, 'bad_request'],
    ['a negative length', 'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n', 400, 'bad_request'],
    ['a chunk of no size', 'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 400, 'bad_request'],
    ['an unknown method', request('BREW', '/live'), 501, 'bad_request'],
    ['a header of 9 kB', request('GET', '/live', { headers: [`x: ${'a'.repeat(9000)}`] }), 431, 'head_too_big'],
    ['200 headers', request('GET', '/live', { headers: Array.from({ length: 200 }, (_, i) => `x${i}: 1`) }), 431, 'head_too_big'],
    ['a target without end', `GET /${'a'.repeat(9000)}`, 414, 'head_too_big'],
    ['a body of 102,401 bytes', request('POST', '/api/chargers', { body: 'x'.repeat(102401) }), 413, 'body_too_big'],
  ];
  for (const listener of ['outlet', 'app', 'gateway']) {
    for (const [what, bytes, status, reason] of cases) {
      test(`${what} on the ${listener} listener: ${status}`, async () => {
        const { value, grew } = await growth(server, () => exchange(server[listener], bytes));
        isProblem(value, status);
        assert.match(value.text, /\r\nConnection: close\r\n/);
        assert.equal(await grew(aborted(listener, reason)), 1);
      });
    }
  }

  test('a body of exactly 102,400 bytes is read', async () => {
    const body = ' '.repeat(102400 - 2) + '{}';
    isProblem(await call('POST', `${server.outlet}/api/chargers`, body), 400, /missing/);
  });

  test('a body announced as too long is refused before it is sent', async () => {
    const w = await Wire.open(server.outlet);
    w.send('POST /api/chargers HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n');
    await until('the refusal', () => w.isClosed);
    assert.match(w.text, /^HTTP\/1\.1 413 /);
  });

  test('a chunked body is refused where it becomes too long', async () => {
    const w = await Wire.open(server.outlet);
    w.send('POST /api/chargers HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n');
    for (let i = 0; i < 11; i++) w.send(`2710\r\n${'x'.repeat(10000)}\r\n`);
    await until('the refusal', () => w.isClosed);
    assert.match(w.text, /^HTTP\/1\.1 413 /);
  });
});

describe('paths', () => {
  for (const path of [
    ...['/%2e%2e/etc/passwd', '/api/../../etc/passwd', '/api/charg%65rs', '/api/chargers/%00', '/api/chargers/%zz/events'],
    ...['/api/chargers/', '/API/CHARGERS', '/api/chargers;x=1', '/api\\chargers', '/'],
  ]) {
    test(`${path} is no route`, async () => {
      const { value, grew } = await growth(server, () => exchange(server.outlet, request('GET', path)));
      isProblem(value, 404);
      assert.equal(await grew('evcharge_api_requests_total{api="outlet",status="4xx"}'), 1);
    });
  }
  test('empty segments inside a path are passed over, as of old', async () => {
    assert.equal((await exchange(server.outlet, request('GET', '//api///chargers'))).status, 200);
  });
  for (const [listener, method, path, allow] of [
    ['outlet', 'DELETE', '/api/chargers', 'GET, HEAD, POST, OPTIONS'],
    ['app', 'PUT', '/api/customers', 'GET, HEAD, POST, OPTIONS'],
    ['outlet', 'POST', '/live', 'GET, HEAD, OPTIONS'],
    ['gateway', 'GET', `/devices/${NOBODY}/messages`, 'POST'],
    ['gateway', 'DELETE', `/devices/${NOBODY}/commands`, 'GET'],
  ]) {
    test(`${method} ${path} is answered 405 with what is allowed`, async () => {
      const r = await call(method, server[listener] + path);
      isProblem(r, 405);
      assert.equal(r.headers.get('allow'), allow);
    });
  }
});

describe('bodies of the APIs', () => {
  const good = { chargerGroupId: NOBODY, outletCode: 'B1', address: 'Main Street 1', maxPower: 22000, outletState: 'Available' };
  const cases = [
    ['nothing', '', 400, /invalid payload Unexpected end of input/],
    ['half a document', '{"chargerGroupId":', 400, /invalid payload/],
    ['words', 'this payload will fail', 400, /invalid payload \(expected '{' got 't'\)/],
    ['an array', '[]', 400, /invalid payload/],
    ['a number', '7', 400, /invalid payload/],
    ['a wrong type', JSON.stringify({ ...good, outletCode: 5 }), 400, /outletCode/],
    ['null', JSON.stringify({ ...good, address: null }), 400, /address/],
    ['a key twice', JSON.stringify(good).replace('{', '{"outletCode":"x",'), 400, /duplicate/],
    ['invalid UTF-8', Buffer.from(JSON.stringify(good).replace('B1', '\xff'), 'latin1'), 400, /UTF-8/],
    ['an overlong encoding', Buffer.from(JSON.stringify(good).replace('B1', '\xc0\xaf'), 'latin1'), 400, /UTF-8/],
    ['a surrogate in UTF-8', Buffer.from(JSON.stringify(good).replace('B1', '\xed\xa0\x80'), 'latin1'), 400, /UTF-8/],
    ['too deep a nesting', JSON.stringify(good).replace('{', `{"x":${'['.repeat(5000)}${']'.repeat(5000)},`), 400, /deep/],
    ['a raw control character', JSON.stringify(good).replace('B1', 'B\n1'), 400, /invalid payload/],
    ['a number beyond all', JSON.stringify(good).replace('22000', '1e400'), 422, /maxPower/],
    ['a negative power', JSON.stringify({ ...good, maxPower: -1 }), 422, /maxPower/],
    ['no power at all', JSON.stringify({ ...good, maxPower: 0 }), 422, /maxPower/],
    ['a text too long', JSON.stringify({ ...good, outletCode: 'x'.repeat(65) }), 422, /outletCode/],
    ['a NUL in a text', JSON.stringify({ ...good, address: 'a\u0000b' }), 422, /address/],
  ];
  for (const [what, body, status, words] of cases) {
    test(`${what}: ${status}`, async () => {
      const outlets = (await books(server)).outlets.count;
      const { value, grew } = await growth(server, () => call('POST', `${server.outlet}/api/chargers`, body));
      isProblem(value, status, words);
      assert.equal(await grew('evcharge_api_requests_total{api="outlet",status="4xx"}'), 1);
      assert.equal((await books(server)).outlets.count, outlets);
    });
  }
  test('every problem is named at once', async () => {
    const r = await call('POST', `${server.outlet}/api/chargers`, { ...good, outletCode: '', address: '', maxPower: -5 });
    const body = isProblem(r, 422);
    assert.deepEqual(body.problems.map((p) => p.field), ['outletCode', 'address', 'maxPower']);
    assert.ok(body.problems.every((p) => p.text.length > 0));
  });
  for (const query of [
    ...['limit=0', 'limit=1001', 'limit=x', 'limit=-1', 'limit=1e400', 'limit=99999999999999999999', 'limit=%zz'],
    ...['after=x', 'state=Nonsense', 'group=x', 'retired=maybe'],
  ]) {
    test(`?${query} is refused by name`, async () => {
      const body = isProblem(await call('GET', `${server.outlet}/api/chargers?${query}`), 422);
      assert.deepEqual(body.problems.map((p) => p.field), [query.split('=')[0]]);
    });
  }
});

/** What a device may get wrong: [what, change of a good message or whole text, reason, detail]. */
const READ = /cannot be read/;
const wrongMessages = [
  ['half a document', '{"outletId":', READ, /Unexpected end/],
  ['nothing', '', READ, /Unexpected end/],
  ['words', 'hello', READ, /expected '{'/],
  ['a wrong type', { rfidTag: 5 }, READ, /rfidTag/],
  ['a missing key', { rfidTag: undefined }, READ, /rfidTag\(missing\)/],
  ['a key twice', (m) => JSON.stringify(m).replace('{', '{"rfidTag":"",'), READ, /duplicate/],
  ['a key twice, once escaped', (m) => JSON.stringify(m).replace('{', '{"\\u0072fidTag":"",'), READ, /duplicate/],
  ['an unknown state', { outletStateChange: 'Nonsense' }, READ, /Nonsense/],
  ['a state that is not a device\'s', { outletStateChange: 'AppRequestsStop' }, /not one that a device may send/],
  ['a tag too long', { rfidTag: 'x'.repeat(65) }, READ, /rfidTag/],
  ['a messageId too long', { messageId: 'x'.repeat(65) }, READ, /messageId/],
  ['an empty messageId', { messageId: '' }, READ, /messageId/],
  ['the year 1600', { periodStart: '1600-01-01T00:00:00Z' }, READ, /periodStart/],
  ['the year 9999', { periodEnd: '9999-12-31T23:59:59Z' }, READ, /periodEnd/],
  ['the year +10000', { periodEnd: '+10000-01-01T00:00:00Z' }, READ, /periodEnd/],
  ['the 30th of February', { periodStart: '2023-02-30T00:00:00Z' }, READ, /periodStart/],
  ['no date at all', { periodStart: 'yesterday' }, READ, /periodStart/],
  ['negative energy', { powerConsumption: -0.001 }, /powerConsumption must be from 0/],
  ['100,001 kWh', { powerConsumption: 100001 }, /powerConsumption must be from 0/],
  ['1e400 kWh', (m) => JSON.stringify(m).replace('"powerConsumption":0', '"powerConsumption":1e400'), /powerConsumption must be from 0/],
  ['infinite energy', { powerConsumption: 'Infinity' }, /powerConsumption/],
  ['energy that is none', { powerConsumption: 'NaN' }, /powerConsumption/],
  ['another outlet', { outletId: NOBODY }, /not that of the connection/],
];

function textOf(change, outletId) {
  const m = message(outletId, 'Charging');
  if (typeof change === 'string') return change;
  if (typeof change === 'function') return change(m);
  return JSON.stringify({ ...m, ...change });
}

describe('messages of devices', () => {
  for (const by of ['frame', 'post']) {
    for (const [what, change, reason, detail] of wrongMessages) {
      test(`${what} in a ${by} is rejected with words, and kept`, async () => {
        const outletId = await newOutlet(server);
        const text = textOf(change, outletId);
        const { value: answer, grew } = await growth(server, async () => {
          if (by === 'post') return (await call('POST', `${server.gateway}/devices/${outletId}/messages`, text)).body;
          const d = await Device.connect(server, outletId);
          d.sendRaw(text);
          const a = await until('the answer', () => d.answers[0]);
          // The same connection goes on.
          assert.equal((await d.send('CablePlugged')).verdict, 'applied');
          await d.close();
          return a;
        });
        assert.equal(answer.verdict, 'rejected');
        assert.match(answer.reason, reason);
        if (detail) assert.match(answer.reason, detail);
        assert.equal(await grew('evcharge_gateway_answers_total{verdict="rejected"}'), 1);
        const { items } = (await call('GET', `${server.outlet}/api/dead-letters?limit=1000`)).body;
        const letters = items.filter((l) => l.outletId === outletId);
        assert.equal(letters.length, 1);
        assert.equal((await call('GET', `${server.outlet}/api/dead-letters/${letters[0].id}`)).body.body, text);
        assert.equal((await outletOf(server, outletId)).totalPowerConsumption, 0);
      });
    }
  }

  test('what is no message counts as such, what is another outlet\'s as that', async () => {
    const outletId = await newOutlet(server);
    const d = await Device.connect(server, outletId);
    const { grew } = await growth(server, async () => {
      d.sendRaw('{');
      d.sendRaw(JSON.stringify(message(NOBODY, 'Charging')));
      await until('both answers', () => d.answers.length === 2);
    });
    assert.equal(await grew('evcharge_gateway_bad_frames_total{reason="undecodable"}'), 1);
    assert.equal(await grew('evcharge_gateway_bad_frames_total{reason="wrong_outlet"}'), 1);
    await d.close();
  });

  test('invalid UTF-8 in a post is rejected and its bytes are kept', async () => {
    const outletId = await newOutlet(server);
    const bytes = Buffer.from('{"rfidTag":"\xff\xfe"}', 'latin1');
    const r = await call('POST', `${server.gateway}/devices/${outletId}/messages`, bytes);
    assert.equal(r.body.verdict, 'rejected');
    assert.match(r.body.reason, /UTF-8/);
    const list = (await call('GET', `${server.outlet}/api/dead-letters?limit=1000`)).body.items.find((l) => l.outletId === outletId);
    const letter = (await call('GET', `${server.outlet}/api/dead-letters/${list.id}`)).body;
    assert.deepEqual(Buffer.from(letter.bodyBase64, 'base64'), bytes);
  });

  test('an outlet that does not exist', async () => {
    const d = await Device.connect(server, NOBODY);
    const a = await d.send('CablePlugged');
    assert.deepEqual([a.verdict, a.reason, a.outletState], ['rejected', 'no such outlet', null]);
    await d.close();
    isProblem(await call('GET', `${server.gateway}/devices/${NOBODY}/commands`), 404);
  });

  test('states out of order are answered, and the energy is counted', async () => {
    const outletId = await newOutlet(server);
    const { customerId } = await newCustomer(server, 'order-tag');
    const d = await Device.connect(server, outletId);
    const verdicts = [];
    for (const [state, extra] of [
      ['Available', {}], // is so already
      ['DeviceRequestsStop', { powerConsumption: 1 }],
      ['Charging', { powerConsumption: 2 }],
      ['ChargingFinished', { powerConsumption: 4 }],
      ['DeviceDeniesCharging', { powerConsumption: 8 }],
      ['CablePlugged', { powerConsumption: 16 }],
      ['CablePlugged', {}],
      ['DeviceRequestsCharging', { rfidTag: 'order-tag', powerConsumption: 32 }],
      ['Available', { powerConsumption: 64 }], // unplugged while charging
    ]) {
      const a = await d.send(state, extra);
      verdicts.push(a.verdict);
      assert.ok(['applied', 'duplicate'].includes(a.verdict), JSON.stringify(a));
    }
    assert.equal(verdicts.at(-1), 'applied');
    const outlet = await outletOf(server, outletId);
    assert.equal(outlet.totalPowerConsumption, 127);
    assert.equal(outlet.outletState, 'Available');
    const history = (await call('GET', `${server.app}/api/customers/${customerId}/charging-history`)).body;
    assert.equal(history.length, 1);
    assert.equal(history[0].state, 'ChargingFinished');
    assert.equal(history[0].powerConsumption + outlet.unassignedPowerConsumption, 127);
    await d.close();
  });

  test('a request before its plug waits, and is applied when the plug comes', async () => {
    const outletId = await newOutlet(server);
    await newCustomer(server, 'early-tag');
    const d = await Device.connect(server, outletId);
    assert.equal((await d.send('DeviceRequestsCharging', { rfidTag: 'early-tag' })).verdict, 'later');
    await d.send('CablePlugged');
    await d.command('Charging');
    await until('the session', async () => (await outletOf(server, outletId)).outletState === 'Charging');
    await d.close();
  });

  test('batches: not JSON 400, too many 422, one bad message spoils no other', async () => {
    const outletId = await newOutlet(server);
    const url = `${server.gateway}/devices/${outletId}/messages`;
    isProblem(await call('POST', url, '[{'), 400);
    isProblem(await call('POST', url, `[${Array(101).fill('{}')}]`), 422);
    isProblem(await call('POST', url, '['.repeat(50000)), 400, /deep/);
    assert.deepEqual((await call('POST', url, '[]')).body, []);
    const good = message(outletId, 'Charging', { powerConsumption: 1 });
    const mixed = await call('POST', url, [good, 5, message(NOBODY, 'Charging'), message(outletId, 'Charging', { powerConsumption: 2 })]);
    assert.deepEqual(mixed.body.map((a) => a.verdict), ['applied', 'rejected', 'rejected', 'applied']);
    assert.equal((await outletOf(server, outletId)).totalPowerConsumption, 3);
  });

  for (const [what, method, path, status] of [
    ['an outletId that is none', 'POST', '/devices/x/messages', 422],
    ['an outletId that is none, by socket', 'GET', '/devices/x', 422],
    ['a wait that is too long', 'GET', `/devices/${NOBODY}/commands?wait=61`, 422],
    ['a wait that is no number', 'GET', `/devices/${NOBODY}/commands?wait=-1`, 422],
    ['an acknowledgement of nothing', 'POST', `/devices/${NOBODY}/commands/x/ack`, 422],
    ['no such thing of a device', 'POST', `/devices/${NOBODY}/nothing`, 404],
    ['no upgrade', 'GET', `/devices/${NOBODY}`, 426],
  ]) {
    test(`${what}: ${status}`, async () => {
      const { value, grew } = await growth(server, () => call(method, server.gateway + path, method === 'POST' ? '{}' : undefined));
      isProblem(value, status);
      assert.equal(await grew(answers4xx('gateway')), 1);
    });
  }

  test('acknowledgements of commands that never were are counted, and end nothing', async () => {
    const outletId = await newOutlet(server);
    const d = await Device.connect(server, outletId);
    const { grew } = await growth(server, async () => {
      d.sendRaw('{"ack":"nonsense"}');
      d.sendRaw(JSON.stringify({ ack: 'f'.repeat(18) }));
      assert.equal((await d.send('CablePlugged')).verdict, 'applied');
    });
    assert.equal(await grew('evcharge_gateway_bad_acknowledgements_total'), 2);
    await d.close();
  });
});

describe('frames', () => {
  const NORMAL = JSON.stringify({ ack: 'x' });
  const cases = [
    ['a message of 16,385 bytes', (w) => w.send(frame(1, 'x'.repeat(16385))), 1009, 'ws_too_big'],
    [
      'a message that grows beyond the limit',
      (w) => w.send(frame(1, 'x'.repeat(10000), { fin: false })).send(frame(0, 'x'.repeat(10000))),
      ...[1009, 'ws_too_big'],
    ],
    ['a length of 2^63', (w) => w.send(Buffer.from([0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4])), 0, null],
    ['invalid UTF-8', (w) => w.send(frame(1, Buffer.from('{"a":"\xff"}', 'latin1'))), 1007, 'ws_bad_utf8'],
    ['an unmasked frame', (w) => w.send(frame(1, NORMAL, { mask: false })), 1002, 'ws_protocol'],
    ['an opcode that is none', (w) => w.send(frame(3, NORMAL)), 1002, 'ws_protocol'],
    ['a continuation of nothing', (w) => w.send(frame(0, NORMAL)), 1002, 'ws_protocol'],
    ['a ping of 126 bytes', (w) => w.send(frame(9, 'x'.repeat(126))), 1002, 'ws_protocol'],
    ['a close of one byte', (w) => w.send(frame(8, 'x')), 1002, 'ws_protocol'],
    ['a close code that is none', (w) => w.send(frame(8, Buffer.from([3, 237]))), 1002, 'ws_protocol'],
    ['HTTP in place of frames', (w) => w.send('GET / HTTP/1.1\r\n\r\n'), 1002, 'ws_protocol'],
  ];
  for (const [what, send, code, reason] of cases) {
    test(`${what} ends the connection${code ? ` with ${code}` : ''}`, async () => {
      const outletId = await newOutlet(server);
      const w = await openDevice(server, outletId);
      const { grew } = await growth(server, async () => {
        send(w);
        await until('the end', () => w.isClosed);
      });
      if (code) assert.equal(closeCode(w.bytes), code);
      else assert.ok([1002, 1009].includes(closeCode(w.bytes)));
      if (reason) assert.equal(await grew(aborted('gateway', reason)), 1);
    });
  }

  test('a binary frame ends the connection with 1003 and words', async () => {
    const d = await Device.connect(server, await newOutlet(server));
    const { grew } = await growth(server, async () => {
      d.ws.send(Buffer.from('{}'));
      await d.closed;
    });
    assert.deepEqual(d.close_, { code: 1003, reason: 'text frames only' });
    assert.equal(await grew('evcharge_gateway_bad_frames_total{reason="binary"}'), 1);
  });

  test('what was sent before a broken frame is not lost', async () => {
    const outletId = await newOutlet(server);
    const w = await openDevice(server, outletId);
    w.send(Buffer.concat([frame(1, JSON.stringify(message(outletId, 'Charging', { powerConsumption: 5 }))), frame(3, '')]));
    await until('the end', () => w.isClosed);
    await until('its energy', async () => (await outletOf(server, outletId)).totalPowerConsumption === 5);
  });

  for (const [what, change, status] of [
    ['version 12', (h) => h.replace('Version: 13', 'Version: 12'), 426],
    ['no key', (h) => h.replace(/Sec-WebSocket-Key: .*\r\n/, ''), 400],
    ['a key that is none', (h) => h.replace(/Key: .*\r\n/, 'Key: x\r\n'), 400],
    ['a path that is no device', (h) => h.replace(/devices\/[^ ]*/, 'devices/x'), 422],
    ['a path that is nothing', (h) => h.replace(/devices\/[^ ]*/, 'nothing'), 404],
    ['a wrong token', (h) => h.replace('\r\n\r\n', '\r\nAuthorization: Bearer nonsense\r\n\r\n'), 401],
  ]) {
    test(`a handshake with ${what}: ${status}`, async () => {
      const head =
        `GET /devices/${NOBODY} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
      const w = await Wire.open(server.gateway);
      const { grew } = await growth(server, async () => {
        w.send(change(head));
        await until('the refusal', () => w.text.includes('}'));
      });
      assert.match(w.text, new RegExp(`^HTTP/1\\.1 ${status} `));
      assert.match(w.text, /problem\+json/);
      assert.equal(await grew(answers4xx('gateway')), 1);
      await w.end();
    });
  }
});

describe('tokens that are wrong', () => {
  for (const [what, headers] of [
    ['nonsense', { authorization: 'Bearer nonsense' }],
    ['no scheme', { authorization: 'nonsense' }],
    ['a secret of 8 kB', { authorization: `Bearer ${'x'.repeat(4000)}` }],
    ['Basic without colon', { authorization: `Basic ${Buffer.from('x').toString('base64')}` }],
    ['Basic that is no base64', { authorization: 'Basic ***' }],
  ]) {
    test(`${what} is refused even where none is needed`, async () => {
      for (const listener of ['outlet', 'app']) {
        const { value, grew } = await growth(server, () => call('GET', `${server[listener]}/api/openapi.json`, undefined, headers));
        isProblem(value, 401);
        assert.match(value.headers.get('www-authenticate'), /^Bearer /);
        assert.equal(await grew('evcharge_api_refused_total{why="wrong"}'), 1);
      }
      const { value, grew } = await growth(server, () => call('GET', `${server.gateway}/devices/${NOBODY}/commands`, undefined, headers));
      isProblem(value, 401);
      assert.match(value.headers.get('www-authenticate'), /^Basic .*Bearer /);
      assert.equal(await grew('evcharge_gateway_refused_total'), 1);
    });
  }
});

// The longest waits, side by side.
describe('peers that do not go on', { concurrency: true }, () => {
  test('a head that comes a byte at a time ends after its time', async () => {
    const w = await Wire.open(server.app);
    const { grew } = await growth(server, async () => {
      w.send('GET /live HTTP/1.1\r\nHost: localhost\r\n');
      const drip = setInterval(() => w.send('x'), 500);
      await until('the end', () => w.isClosed);
      clearInterval(drip);
    });
    assert.match(w.text, /^HTTP\/1\.1 408 /);
    assert.ok((await grew(aborted('app', 'head_timeout'))) >= 1);
  });

  test('a connection that says nothing ends after its time', async () => {
    const w = await Wire.open(server.outlet);
    const { grew } = await growth(server, () => until('the end', () => w.isClosed));
    assert.ok((await grew(aborted('outlet', 'head_timeout'))) >= 1);
  });

  test('a device that answers no ping is closed, one that does is not', async () => {
    const dead = await openDevice(server, await newOutlet(server));
    const alive = await Device.connect(server, await newOutlet(server));
    const { grew } = await growth(server, () => until('the end of the dead', () => dead.isClosed));
    assert.ok(dead.bytes.includes(Buffer.from([0x89, 0])), 'it was pinged');
    assert.ok((await grew(aborted('gateway', 'ping_timeout'))) >= 1);
    assert.equal((await alive.send('CablePlugged')).verdict, 'applied');
    await alive.close();
  });
});

test('a device that reads no answers is read no further, then cut, and nothing is lost or doubled', async () => {
  const outletId = await newOutlet(server);
  const w = await openDevice(server, outletId);
  w.socket.pause();
  const reports = [];
  // Each ping is worth a pong, which fills what holds the answers to come.
  const pings = Buffer.concat(Array.from({ length: 1000 }, () => frame(9, 'x'.repeat(125))));
  const connected = async () => (await server.metrics()).get('evcharge_gateway_devices_connected');
  const others = (await connected()) - 1;
  const { grew } = await growth(server, () =>
    until('it is cut', async () => {
      if (w.socket.writableLength < 1 << 19) {
        reports.push(message(outletId, 'Charging', { powerConsumption: 0.001 }));
        w.send(frame(1, JSON.stringify(reports.at(-1)))).send(pings);
      }
      return (await connected()) === others;
    }),
  );
  // It is not read either, so that its pongs are missing long before 30 s without a byte have passed.
  assert.equal(await grew(aborted('gateway', 'ping_timeout')), 1);
  await w.end();
  // It connects again and sends all that it has no answer for.
  const verdicts = [];
  for (const m of reports) verdicts.push((await call('POST', `${server.gateway}/devices/${outletId}/messages`, m)).body.verdict);
  assert.deepEqual([verdicts[0], verdicts.at(-1)], ['duplicate', 'applied']);
  assert.ok(verdicts.every((v) => ['applied', 'duplicate'].includes(v)));
  assert.equal(Math.round((await outletOf(server, outletId)).totalPowerConsumption * 1000), reports.length);
  assert.equal((await books(server)).balanced, true);
});

test('a reader of events that stops goes on without a gap when it reads again', async () => {
  const outletId = await newOutlet(server);
  await newCustomer(server, 'reader-tag');
  const d = await Device.connect(server, outletId);
  await d.send('CablePlugged');
  await d.send('DeviceRequestsCharging', { rfidTag: 'reader-tag' });
  const w = await Wire.open(server.outlet);
  w.send('GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await until('the stream', () => w.text.includes('retry:'));
  w.socket.pause();
  const { grew } = await growth(server, async () => {
    const url = `${server.gateway}/devices/${outletId}/messages`;
    for (let n = 0; ((await server.metrics()).get('evcharge_events_fell_behind_total') ?? 0) === 0; n++) {
      const batch = Array.from({ length: 100 }, () => message(outletId, 'Charging', { rfidTag: 'reader-tag', powerConsumption: 0.001 }));
      await call('POST', url, batch);
      assert.ok(n < 2000, 'it falls behind some time');
    }
  });
  assert.ok((await grew('evcharge_events_fell_behind_total')) >= 1);
  w.socket.resume();
  const last = (await call('GET', `${server.outlet}/api/chargers/${outletId}/events?limit=1`)).body.items[0].seq;
  await until('the last event', () => w.text.includes(`id: ${last}\n`), 60_000);
  const seqs = [...w.text.matchAll(/^id: (\d+)$/gm)].map((m) => Number(m[1]));
  for (let i = 1; i < seqs.length; i++) assert.equal(seqs[i], seqs[i - 1] + 1);
  await w.end();
  await d.close();
});

test('through all of it the witness was served, and the books balance', async () => {
  const n = await witness.stop();
  assert.ok(n > 100, `${n} messages`);
  assert.ok(witness.slowestMs < 5000, `${witness.slowestMs} ms`);
  assert.equal(Math.round((await outletOf(server, witness.outletId)).totalPowerConsumption * 1000), n);
  assert.equal((await books(server)).balanced, true);
});
