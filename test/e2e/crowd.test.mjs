// A thousand connections at once, a hundred times: nothing lost, nothing doubled, the metrics add up.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { Server, books, message, newOutlet, outletOf, until } from './harness.mjs';

const CONNECTIONS = 1000;
const ROUNDS = 100;

let server;
before(async () => (server = await Server.start({ args: ['--message-rate', '100000', '--message-burst', '100000'] })));
after(async () => assert.equal((await server.stop()).code, 0));

/** A connection that sends one text and gives the verdict of its answer. */
async function connect(outletId) {
  const ws = new WebSocket(server.deviceUrl(outletId));
  const waiting = [];
  ws.on('message', (data) => {
    const m = JSON.parse(String(data));
    if ('verdict' in m) waiting.shift()(m);
    else ws.send(JSON.stringify({ ack: m.messageId }));
  });
  await new Promise((done, failed) => ws.once('open', done).once('error', failed));
  return {
    send: (text) => new Promise((done) => (waiting.push(done), ws.send(text))),
    close: () => new Promise((done) => (ws.once('close', done), ws.close())),
  };
}

function count(answers) {
  const n = {};
  for (const { verdict } of answers) n[verdict] = (n[verdict] ?? 0) + 1;
  return n;
}

test(`${CONNECTIONS} devices send at once, ${ROUNDS} times`, async () => {
  const ids = [];
  for (let i = 0; i < CONNECTIONS; i++) ids.push(await newOutlet(server, { outletCode: `C${i}` }));
  const devices = await Promise.all(ids.map(connect));
  const before = await server.metrics();
  for (let round = 0; round < ROUNDS; round++) {
    const answers = await Promise.all(
      devices.map((d, i) => d.send(JSON.stringify(message(ids[i], 'Charging', { powerConsumption: 0.001 })))),
    );
    assert.deepEqual(count(answers), { applied: CONNECTIONS });
  }
  const after_ = await server.metrics();
  const grew = (name) => (after_.get(name) ?? 0) - (before.get(name) ?? 0);
  assert.equal(grew('evcharge_gateway_messages_total{by="websocket"}'), CONNECTIONS * ROUNDS);
  assert.equal(grew('evcharge_gateway_answers_total{verdict="applied"}'), CONNECTIONS * ROUNDS);
  assert.equal(grew('evcharge_gateway_unanswered_total'), 0);
  assert.equal((await outletOf(server, ids[0])).totalPowerConsumption, ROUNDS / 1000);
  const b = await books(server);
  assert.equal(b.balanced, true);
  assert.equal(Math.round(b.outlets.totalPowerConsumption * 1000), CONNECTIONS * ROUNDS);
  await Promise.all(devices.map((d) => d.close()));
  await until('all are gone', async () => (await server.metrics()).get('evcharge_gateway_devices_connected') === 0);
});

test(`one message posted by ${CONNECTIONS} connections at once counts once, 100 times`, async () => {
  const outletId = await newOutlet(server);
  const agent = new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const url = new URL(`${server.gateway}/devices/${outletId}/messages`);
  const post = (text) =>
    new Promise((done, failed) => {
      const req = http.request(url, { method: 'POST', agent, headers: { 'content-type': 'application/json' } }, (res) => {
        let body = '';
        res.on('data', (d) => (body += d)).on('end', () => done({ status: res.statusCode, body }));
      });
      req.on('error', failed).end(text);
    });
  const before = await books(server);
  for (let round = 0; round < ROUNDS; round++) {
    const text = JSON.stringify(message(outletId, 'Charging', { powerConsumption: 1 }));
    const answers = await Promise.all(Array.from({ length: CONNECTIONS }, () => post(text)));
    assert.ok(answers.every((a) => a.status === 200));
    const n = count(answers.map((a) => JSON.parse(a.body)));
    assert.deepEqual(n, { applied: 1, duplicate: CONNECTIONS - 1 });
  }
  assert.equal((await outletOf(server, outletId)).totalPowerConsumption, ROUNDS);
  const b = await books(server);
  assert.equal(b.balanced, true);
  assert.equal(Math.round(b.outlets.totalPowerConsumption - before.outlets.totalPowerConsumption), ROUNDS);
  agent.destroy();
});
