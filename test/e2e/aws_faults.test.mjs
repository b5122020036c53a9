// Ten thousand device messages while the way to AWS is bad: calls are late, cut off before or after their effect, refused,
// half done, answered with damage. In the end each message counted once, in its outlet and in its session, and nothing
// is left over anywhere.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { AwsWorld, deviceMessage, NAMES } from './aws.mjs';
import { each, inQueue } from './aws_fleet.mjs';
import { Proxy, random } from './aws_proxy.mjs';
import { mwh } from './crash_fleet.mjs';
import { call, newCustomer, newOutlet, until } from './harness.mjs';

const OUTLETS = 100;
const MESSAGES = 10_000;
const SENDING = 4; // batches on their way at once
const LIMIT_MS = 100_000; // a lost batch of messages comes back after 30 s, and may be lost again
const FAULTS = {
  delay: 0.01,
  delayMs: 100,
  reset: 0.015,
  lost: 0.01,
  error: 0.01,
  throttle: 0.01,
  partial: 0.01,
  garbage: 0.01,
  expired: 0.005,
};

let world, proxy, server;

before(async () => {
  world = await AwsWorld.start();
  const { sqs, kinesis, dynamodb } = Object.fromEntries(
    ['sqs', 'kinesis', 'dynamodb'].map((s) => [s, world.env[`AWS_ENDPOINT_URL_${s.toUpperCase()}`]]),
  );
  proxy = await Proxy.start({ sqs, kinesis, dynamodb }, { secret: world.env.AWS_SECRET_ACCESS_KEY, seed: 7 });
  const env = Object.fromEntries(['SQS', 'KINESIS', 'DYNAMODB'].map((s) => [`AWS_ENDPOINT_URL_${s}`, proxy.url]));
  server = await world.serve('outlet,app', { env, args: ['--sweep-interval', '2s', '--drain-timeout', '1s'] });
  await until('ready', async () => (await call('GET', `${server.outlet}/ready`)).status === 200);
});
after(async () => {
  await world?.stop();
  await proxy?.stop();
});

/** A device that charges: what it sent, each once. */
class Charging {
  static async start(n) {
    const c = new Charging();
    c.tag = `faults-${n}`;
    [c.outletId] = await Promise.all([newOutlet(server), newCustomer(server, c.tag)]);
    c.mwh = 0;
    c.sent = 0;
    return c;
  }

  message(change, kwh = 0) {
    const messageId = `${this.tag}-${++this.sent}`;
    this.mwh += mwh(kwh);
    return deviceMessage(this.outletId, change, { rfidTag: this.tag, kwh, n: this.sent % 50, messageId });
  }
}

/** All at once, in their order as far as a queue has one. */
async function sendAll(messages) {
  const waiting = [...messages];
  const some = async () => {
    while (waiting.length > 0) await world.send(...waiting.splice(0, 10));
  };
  await Promise.all(Array.from({ length: SENDING }, some));
}

const outlets = async () => new Map((await world.rows(NAMES.outlets)).map((row) => [row.outletId, row]));

async function allCharging(n) {
  const devices = await Promise.all(Array.from({ length: n }, (_, i) => Charging.start(i)));
  await sendAll(devices.map((d) => d.message('CablePlugged')));
  const all = (state) =>
    until(`all in ${state}`, each(200, async () => {
      const rows = await outlets();
      return devices.every((d) => rows.get(d.outletId).outletState === state);
    }), LIMIT_MS);
  await all('CablePlugged');
  await sendAll(devices.map((d) => d.message('DeviceRequestsCharging')));
  await all('Charging');
  return devices;
}

/** Reports of one Wh in turn over all devices, one in twenty twice. */
function reports(devices) {
  const rng = random(11);
  const messages = [];
  for (let i = 0; messages.length < MESSAGES - devices.length; i++) {
    const m = devices[i % devices.length].message('Charging', 0.001);
    messages.push(m);
    // Its double is next to it, or far from it.
    if (rng() < 0.05) messages.splice(rng() < 0.5 ? messages.length : Math.floor(rng() * messages.length), 0, m);
  }
  return messages;
}

/**
 * Whoever sees all of its reports counted stops; until the last has finished. The second half has a good way: a batch of
 * messages that is lost on its way to us comes back after 30 s, and each time it might be lost again.
 */
async function stopAll(devices) {
  const stopping = new Set();
  const left = () => `${devices.length - stopping.size} outlets with reports that are not counted`;
  await until('all outlets finish', each(250, async () => {
    const rows = await outlets();
    for (const d of devices)
      assert.ok(mwh(rows.get(d.outletId).totalPowerConsumption) <= d.mwh, `outlet ${d.outletId} counted twice`);
    const done = devices.filter((d) => !stopping.has(d) && mwh(rows.get(d.outletId).totalPowerConsumption) === d.mwh);
    await sendAll(done.map((d) => d.message('DeviceRequestsStop')));
    done.forEach((d) => stopping.add(d));
    if (stopping.size >= devices.length / 2) proxy.setFaults({});
    return devices.every((d) => rows.get(d.outletId).outletState === 'ChargingFinished');
  }), LIMIT_MS).catch((e) => assert.fail(`${e.message}; ${left()}`));
}

/** What is not as the devices reckon, or not at its end. */
async function differences(devices) {
  const [rows, sessions] = await Promise.all([outlets(), world.rows(NAMES.sessions)]);
  const found = [];
  for (const row of [...rows.values(), ...sessions])
    if (row.unsent !== undefined || row.unsentSince !== undefined) found.push(`unsent: ${JSON.stringify(row)}`);
  for (const d of devices) {
    const row = rows.get(d.outletId);
    const own = sessions.filter((s) => s.outletId === d.outletId);
    if (mwh(row.totalPowerConsumption) !== d.mwh) found.push(`not ${d.mwh} mWh: ${JSON.stringify(row)}`);
    if (own.length !== 1 || own[0].outletState !== 'ChargingFinished' || mwh(own[0].powerConsumption) !== d.mwh)
      found.push(`not ${d.mwh} mWh in one ended session: ${JSON.stringify(own)}`);
  }
  return found;
}

test('ten thousand messages over a bad way count once each', async () => {
  const began = performance.now();
  const seconds = () => Number(((performance.now() - began) / 1000).toFixed(1));
  const devices = await allCharging(OUTLETS);
  const took = { charging: seconds() };
  const messages = reports(devices);
  assert.ok(new Set(messages.map((m) => m.messageId)).size < messages.length - 100, 'some are sent twice');
  proxy.setFaults(FAULTS);
  const sending = sendAll(messages).then(() => (took.sent = seconds()));
  await Promise.all([sending, stopAll(devices)]);
  took.finished = seconds();
  await until('the queue is empty', each(250, async () => (await inQueue(world, 'messages')).all === 0), LIMIT_MS);
  took.empty = seconds();
  let found;
  await until('all agrees', each(500, async () => (found = await differences(devices)).length === 0), 60_000).catch(() => {});
  assert.deepEqual(found.slice(0, 10), []);
  took.agreed = seconds();
  console.log(JSON.stringify({ took, ...proxy.counts }));
  assert.deepEqual(await inQueue(world, 'deadMessages'), { waiting: 0, inHand: 0, all: 0 });
  assert.deepEqual(await world.records(NAMES.deadLetters), []);
  assert.equal(proxy.counts.badSignatures, 0);
  assert.deepEqual(proxy.complaints, []);
  for (const fault of Object.keys(FAULTS).filter((f) => f !== 'delayMs'))
    assert.ok(proxy.counts.byFault[fault] > 0, `no ${fault}`);
});
