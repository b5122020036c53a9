// The documents at /api/openapi.json hold: a tour through every route and every answer that they name.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import Ajv from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { Device, Server, ask, call, newCustomer, newOutlet, until } from './harness.mjs';

const NOBODY = '00000000-0000-4000-8000-000000000001';
const NO_ITEM = '0'.repeat(32);

/** One API's document, and what of it was seen. */
class Document {
  static async fetch(base) {
    const d = new Document();
    d.base = base;
    d.json = (await call('GET', `${base}/api/openapi.json`)).body;
    d.ajv = new Ajv({ strict: false, allErrors: true, validateFormats: true });
    formats(d.ajv);
    d.ajv.addSchema({ $id: 'doc', ...d.json });
    d.seen = new Set();
    d.parameters = new Set();
    return d;
  }

  resolve(node) {
    if (!node?.$ref) return node;
    return node.$ref.split('/').slice(1).reduce((at, key) => at[key], this.json);
  }

  operation(method, template) {
    const operation = this.json.paths[template]?.[method.toLowerCase()];
    assert.ok(operation, `${method} ${template} is not documented`);
    return operation;
  }

  /** Compiles a schema of the document where it stands, so that its references lead on. */
  check(schema, value, what) {
    const validate = this.ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/components', '"doc#/components')));
    assert.ok(validate(value), `${what}: ${this.ajv.errorsText(validate.errors)}\n${JSON.stringify(value)}`);
  }

  /** One request; its answer must be one that the document has. */
  async visit(method, template, status, { params = {}, query = {}, body, headers = {}, raw } = {}) {
    const operation = this.operation(method, template);
    const at = template.replace(/\{(\w+)\}/g, (_, name) => params[name]);
    const search = Object.keys(query).length ? `?${new URLSearchParams(query)}` : '';
    const r = await ask(method, this.base + at + search, { body: raw ?? body, headers });
    const what = `${method} ${at}${search}: ${r.status} ${r.text.slice(0, 300)}`;
    assert.equal(r.status, status, what);
    const answer = this.resolve(operation.responses[status]);
    assert.ok(answer, `not documented: ${what}`);
    this.checkAnswer(answer, r, what);
    if (status < 300) this.checkRequest(operation, { query, body, headers }, what);
    this.seen.add(`${method} ${template} ${status}`);
    return r.body;
  }

  checkAnswer(answer, r, what) {
    if (!answer.content) {
      assert.equal(r.text, '', what);
      return;
    }
    const type = r.headers.get('content-type').split(';')[0];
    assert.ok(answer.content[type], `${type} is not documented: ${what}`);
    this.check(answer.content[type].schema, r.body, what);
    for (const name of Object.keys(answer.headers ?? {})) if (name !== 'Link') assert.ok(r.headers.has(name), `${name}: ${what}`);
    if (type === 'application/problem+json') assert.equal(r.body.status, r.status);
  }

  /** What a request that succeeded sent is what the document allows. */
  checkRequest(operation, { query, body, headers }, what) {
    if (body !== undefined) this.check(operation.requestBody.content['application/json'].schema, body, `request of ${what}`);
    else assert.ok(!operation.requestBody?.required, `it wants a body: ${what}`);
    const known = (operation.parameters ?? []).map((p) => this.resolve(p));
    for (const name of [...Object.keys(query), ...Object.keys(headers)]) {
      assert.ok(known.some((p) => p.name.toLowerCase() === name.toLowerCase()), `${name} is not documented: ${what}`);
      this.parameters.add(`${operation.operationId} ${name.toLowerCase()}`);
    }
  }

  *operations() {
    for (const [template, methods] of Object.entries(this.json.paths))
      for (const [method, operation] of Object.entries(methods))
        if (method !== 'parameters') yield { method: method.toUpperCase(), template, operation };
  }
}

/** Parameters that fit, so that nothing but who asks can be wrong. */
const anyParams = { outletId: NOBODY, itemId: NO_ITEM, id: NO_ITEM, customerId: NOBODY, sessionId: NOBODY };

/** 401 and 403 wherever they are documented. */
async function visitStrangers(d) {
  for (const { method, template, operation } of d.operations()) {
    if (operation.responses['401']) await d.visit(method, template, 401, { params: anyParams, headers: { authorization: 'Bearer x' } });
    if (operation.responses['403']) await d.visit(method, template, 403, { params: anyParams, headers: { origin: 'http://evil.example' } });
  }
}

/** Ids that are none, things that are not there, bodies that are none: wherever they are documented. */
async function visitMistakes(d) {
  for (const { method, template, operation } of d.operations()) {
    const has = (status) => operation.responses[status] !== undefined;
    const raw = operation.requestBody ? '{"sessionId":' : undefined;
    if (template.includes('{')) {
      const wrong = Object.fromEntries(Object.keys(anyParams).map((name) => [name, 'x']));
      const body = operation.requestBody ? goodBodies[operation.operationId] : undefined;
      assert.ok(has(404) && has(422), `${method} ${template} has ids`);
      await d.visit(method, template, 422, { params: wrong, body });
      await d.visit(method, template, 404, { params: anyParams, body });
    } else if (has(422) && method === 'GET') {
      await d.visit(method, template, 422, { query: { limit: 0, after: 'x' } });
    }
    if (operation.requestBody) {
      assert.ok(has(400), `${method} ${template} has a body`);
      await d.visit(method, template, 400, { params: anyParams, raw });
    }
  }
}

const NEW_OUTLET = { chargerGroupId: NOBODY, outletCode: 'O1', address: 'Main Street 1', maxPower: 22000, outletState: 'Available' };
const NEW_CUSTOMER = { address: 'Side Street 2', email: 'anna@example.org', paymentMethod: 'invoice' };
const goodBodies = {
  createOutlet: NEW_OUTLET,
  changeOutlet: { outletCode: 'O2' },
  finishSession: {},
  attachItem: { sessionId: NOBODY },
  replayDeadLetter: {},
  changeCustomer: { email: 'b@example.org' },
  setTag: { rfidTag: 'some-tag' },
  startSession: { customerId: NOBODY, outletId: NOBODY },
};

/** Documented, and not to be had here: the disk is not full, nothing overloaded, nothing drains. */
const ELSEWHERE = /^503$/;

function assertAllSeen(d) {
  const missing = [];
  for (const { method, template, operation } of d.operations()) {
    for (const status of Object.keys(operation.responses))
      if (!ELSEWHERE.test(status) && !d.seen.has(`${method} ${template} ${status}`)) missing.push(`${method} ${template} ${status}`);
    for (const p of (operation.parameters ?? []).map((x) => d.resolve(x)))
      if (p.in !== 'path' && !d.parameters.has(`${operation.operationId} ${p.name.toLowerCase()}`))
        missing.push(`${method} ${template} ${p.name}`);
  }
  assert.deepEqual(missing, []);
}

let server;
before(async () => (server = await Server.start({ args: ['--stuck-after', '1s'] })));
after(async () => assert.deepEqual(await server.stop(), { code: 0, signal: null }));

describe('the outlet API', () => {
  let d;
  before(async () => (d = await Document.fetch(server.outlet)));

  test('the document is OpenAPI 3.1 with schemas that can be used', () => {
    assert.match(d.json.openapi, /^3\.1\./);
    assert.equal(d.json.info.version.length > 0, true);
    for (const name of Object.keys(d.json.components.schemas)) d.ajv.compile({ $ref: `doc#/components/schemas/${name}` });
  });

  test('what all listeners have', async () => {
    for (const route of ['/live', '/ready', '/metrics', '/api/openapi.json']) await d.visit('GET', route, 200);
  });

  test('outlets', async () => {
    const outlet = await d.visit('POST', '/api/chargers', 201, { body: NEW_OUTLET });
    await d.visit('POST', '/api/chargers', 201, { body: { ...NEW_OUTLET, maxPower: '11000', outletId: null } });
    await d.visit('POST', '/api/chargers', 422, { body: { ...NEW_OUTLET, maxPower: 0 } });
    const params = { outletId: outlet.outletId };
    const at = '/api/chargers/{outletId}';
    await d.visit('GET', at, 200, { params });
    await d.visit('PATCH', at, 200, { params, body: { outletCode: 'O2', address: 'x', maxPower: 1.5, chargerGroupId: NOBODY } });
    await d.visit('PATCH', at, 200, { params, body: {} });
    await d.visit('POST', `${at}/out-of-service`, 200, { params });
    await d.visit('POST', `${at}/in-service`, 200, { params });
    const page = await d.visit('GET', '/api/chargers', 200, { query: { state: 'Available', group: NOBODY, retired: false, limit: 1 } });
    assert.ok(page.next);
    await d.visit('GET', '/api/chargers', 200, { query: { after: page.next } });
  });

  test('an outlet that charges, its events and its items', async () => {
    const outletId = await newOutlet(server);
    const params = { outletId };
    const at = '/api/chargers/{outletId}';
    await newCustomer(server, 'tour-tag');
    const device = await Device.connect(server, outletId);
    await device.send('Charging', { rfidTag: 'ghost', powerConsumption: 2 });
    await device.send('CablePlugged');
    await d.visit('POST', `${at}/finish`, 409, { params, body: {} });
    await device.send('DeviceRequestsCharging', { rfidTag: 'tour-tag' });
    await device.command('Charging');
    const running = await d.visit('GET', at, 200, { params });
    assert.equal(running.outletState, 'Charging');
    await d.visit('POST', `${at}/retire`, 409, { params });
    const items = await d.visit('GET', `${at}/unassigned`, 200, { params, query: { all: true, limit: 10 } });
    assert.equal(items.items.length, 1);
    const item = { ...params, itemId: items.items[0].itemId };
    await d.visit('POST', `${at}/unassigned/{itemId}/attach`, 422, { params: item, body: { sessionId: NOBODY } });
    await d.visit('POST', `${at}/unassigned/{itemId}/attach`, 200, { params: item, body: { sessionId: running.sessionId } });
    await d.visit('POST', `${at}/unassigned/{itemId}/attach`, 409, { params: item, body: { sessionId: NOBODY } });
    const attached = await d.visit('GET', `${at}/unassigned`, 200, { params, query: { all: true } });
    assert.equal(attached.items[0].sessionId, running.sessionId);
    const after = await d.visit('GET', `${at}/unassigned`, 200, { params, query: { after: '1-00000000000000000000000000000000' } });
    assert.deepEqual(after.items, []);
    await d.visit('POST', `${at}/finish`, 200, { params, body: { sessionId: running.sessionId, reason: 'tour' } });
    const events = await d.visit('GET', `${at}/events`, 200, { params, query: { limit: 2 } });
    assert.equal(events.items.length, 2);
    await d.visit('GET', `${at}/events`, 200, { params, query: { before: events.next } });
    await device.close();
    await d.visit('POST', `${at}/retire`, 200, { params });
    // What is retired can be looked at, and repeated.
    await d.visit('POST', `${at}/retire`, 200, { params });
    await d.visit('GET', at, 200, { params });
  });

  test('the stream of events', async () => {
    await d.visit('GET', '/api/events', 422, { query: { after: 'x' } });
    const operation = d.operation('GET', '/api/events');
    for (const [query, headers] of [['?after=0', {}], ['', { 'last-event-id': '0' }]]) {
      const abort = new AbortController();
      const r = await fetch(`${server.outlet}/api/events${query}`, { headers, signal: abort.signal });
      assert.equal(r.status, 200);
      assert.ok(operation.responses['200'].content[r.headers.get('content-type')]);
      let text = '';
      const reader = r.body.getReader();
      while (!/^data: .*\n\n/m.test(text)) text += Buffer.from((await reader.read()).value).toString();
      const [, data] = /^data: (.*)$/m.exec(text);
      d.check({ $ref: '#/components/schemas/Event' }, JSON.parse(data), 'an event of the stream');
      assert.match(text, /^id: \d+\nevent: charging-event\n/m);
      abort.abort();
      d.checkRequest(operation, { query: query ? { after: 0 } : {}, headers }, 'the stream');
    }
    d.seen.add('GET /api/events 200');
  });

  test('dead letters', async () => {
    const outletId = await newOutlet(server);
    const url = `${server.gateway}/devices/${outletId}/messages`;
    for (const bytes of ['{"a":1}', '{"a":2}', Buffer.from('{"a":"\xff"}', 'latin1')]) await call('POST', url, bytes);
    const page = await d.visit('GET', '/api/dead-letters', 200, { query: { all: true, limit: 2 } });
    await d.visit('GET', '/api/dead-letters', 200, { query: { before: page.next } });
    assert.ok((await d.visit('GET', '/api/dead-letters/{id}', 200, { params: page.items[0] })).bodyBase64);
    assert.equal((await d.visit('GET', '/api/dead-letters/{id}', 200, { params: page.items[1] })).body, '{"a":2}');
    const answer = await d.visit('POST', '/api/dead-letters/{id}/replay', 200, { params: page.items[1], body: { sessionId: null } });
    assert.equal(answer.verdict, 'rejected');
    await d.visit('POST', '/api/dead-letters/{id}/drop', 204, { params: page.items[1] });
    await d.visit('POST', '/api/dead-letters/{id}/drop', 409, { params: page.items[1] });
    await d.visit('POST', '/api/dead-letters/{id}/replay', 409, { params: page.items[1], body: {} });
  });

  test('the books', async () => {
    assert.equal((await d.visit('GET', '/api/books', 200)).balanced, true);
  });

  test('strangers and mistakes', async () => {
    await visitStrangers(d);
    await visitMistakes(d);
  });

  test('every answer that is documented was seen', () => assertAllSeen(d));
});

describe('the app API', () => {
  let d;
  before(async () => (d = await Document.fetch(server.app)));

  test('the document is OpenAPI 3.1 with schemas that can be used', () => {
    assert.match(d.json.openapi, /^3\.1\./);
    for (const name of Object.keys(d.json.components.schemas)) d.ajv.compile({ $ref: `doc#/components/schemas/${name}` });
  });

  test('what all listeners have', async () => {
    for (const route of ['/live', '/ready', '/metrics', '/api/openapi.json']) await d.visit('GET', route, 200);
  });

  test('customers', async () => {
    const at = '/api/customers/{customerId}';
    const anna = await d.visit('POST', '/api/customers', 201, { body: { ...NEW_CUSTOMER, rfidTag: 'tour-anna' } });
    const bert = await d.visit('POST', '/api/customers', 201, { body: NEW_CUSTOMER });
    await d.visit('POST', '/api/customers', 409, { body: { ...NEW_CUSTOMER, rfidTag: 'TOUR-anna' } });
    await d.visit('POST', '/api/customers', 422, { body: { ...NEW_CUSTOMER, email: 'nobody' } });
    await d.visit('GET', at, 200, { params: anna });
    await d.visit('PATCH', at, 200, { params: anna, body: { address: 'x', email: 'x@y', paymentMethod: 'card' } });
    assert.equal((await d.visit('POST', `${at}/block`, 200, { params: anna })).blocked, true);
    await d.visit('GET', at, 200, { params: anna });
    await d.visit('POST', `${at}/unblock`, 200, { params: anna });
    await d.visit('PUT', `${at}/tag`, 409, { params: bert, body: { rfidTag: 'tour-ANNA' } });
    await d.visit('PUT', `${at}/tag`, 200, { params: bert, body: { rfidTag: 'tour-bert' } });
    await d.visit('PUT', `${at}/tag`, 200, { params: bert, body: {} });
    const page = await d.visit('GET', '/api/customers', 200, { query: { limit: 1 } });
    await d.visit('GET', '/api/customers', 200, { query: { after: page.next } });
    await d.visit('DELETE', at, 204, { params: bert });
    await d.visit('GET', at, 404, { params: bert });
  });

  test('sessions', async () => {
    const outletId = await newOutlet(server);
    const customer = await newCustomer(server, 'tour-carl');
    const params = { customerId: customer.customerId };
    const device = await Device.connect(server, outletId);
    await device.send('CablePlugged');
    const body = { customerId: customer.customerId, outletId };
    await d.visit('POST', '/api/chargers/start', 400, { body: { ...body, outletId: 'x' } });
    await d.visit('POST', '/api/chargers/start', 404, { body: { ...body, outletId: NOBODY } });
    await d.visit('POST', '/api/chargers/start', 404, { body: { ...body, customerId: NOBODY } });
    await call('POST', `${server.app}/api/customers/${customer.customerId}/block`);
    await d.visit('POST', '/api/chargers/start', 403, { body });
    await call('POST', `${server.app}/api/customers/${customer.customerId}/unblock`);
    const session = await d.visit('POST', '/api/chargers/start', 201, { body });
    const at = { params: session };
    await device.command('Charging');
    await device.send('Charging', { powerConsumption: 1 });
    await d.visit('GET', '/api/chargers/session/{sessionId}', 200, at);
    await d.visit('DELETE', '/api/customers/{customerId}', 409, { params });
    await d.visit('POST', '/api/sessions/{sessionId}/close', 409, at);
    await d.visit('GET', '/api/sessions', 200, { query: { live: true, limit: 5 } });
    await until('it is stuck', async () => {
      const page = await d.visit('GET', '/api/sessions', 200, { query: { stuck: true } });
      return page.items.some((s) => s.sessionId === session.sessionId);
    });
    await d.visit('POST', '/api/chargers/session/{sessionId}/stop', 200, at);
    await d.visit('GET', '/api/chargers/session/{sessionId}/stop', 200, at);
    await device.send('DeviceRequestsStop');
    await d.visit('POST', '/api/chargers/session/{sessionId}/stop', 409, at);
    await d.visit('GET', '/api/chargers/session/{sessionId}/stop', 409, at);
    await device.send('Available');
    await device.send('CablePlugged');
    await d.visit('POST', '/api/chargers/start', 201, { body });
    const history = '/api/customers/{customerId}/charging-history';
    const [newest] = await d.visit('GET', history, 200, { params, query: { limit: 1 } });
    const older = await d.visit('GET', history, 200, { params, query: { before: newest.startTime } });
    assert.deepEqual(older.map((s) => s.sessionId), [session.sessionId]);
    const all = await d.visit('GET', '/api/sessions', 200, { query: { before: newest.startTime } });
    assert.ok(all.items.every((s) => s.startTime < newest.startTime));
    await d.visit('POST', '/api/sessions/{sessionId}/close', 200, at);
    await device.close();
  });

  test('strangers and mistakes', async () => {
    await visitStrangers(d);
    await visitMistakes(d);
  });

  test('every answer that is documented was seen', () => assertAllSeen(d));
});
