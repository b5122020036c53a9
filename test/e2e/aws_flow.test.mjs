// Every flow of the original (start by tag and by app, denials, reports, stops, cables) through one outlet and one app
// process of ours on the stand-ins, with devices that somebody else's gateway feeds: each row, record and message field
// by field, as the original's code would read it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { AwsWorld, deviceMessage, NAMES } from './aws.mjs';
import { call, historyOf, newCustomer, newOutlet, outletOf, until } from './harness.mjs';
import { Rows } from './original.mjs';

let world, outletSide, appSide, original;

before(async () => {
  world = await AwsWorld.start();
  [outletSide, appSide] = await Promise.all([world.serve('outlet'), world.serve('app')]);
  original = new Rows(world.cloud.dynamodb);
});
after(() => world?.stop());

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/;

const state = (id, wanted) =>
  until(`outlet in ${wanted}`, async () => {
    const row = await world.outlet(id);
    return row.outletState === wanted && row;
  });
const sessionIn = (id, wanted) =>
  until(`session in ${wanted}`, async () => {
    const row = await world.session(id);
    return row?.outletState === wanted && row;
  });
const eventsOf = (id, n) =>
  until(`${n} events`, async () => {
    const events = await world.events(id);
    return events.length >= n && events;
  });

/** Plugged, and charging for a customer's tag; what was seen on the way. */
async function charging(tag) {
  const outletId = await newOutlet(outletSide);
  const customer = await newCustomer(appSide, tag);
  await world.send(deviceMessage(outletId, 'CablePlugged'));
  await state(outletId, 'CablePlugged');
  await world.send(deviceMessage(outletId, 'DeviceRequestsCharging', { rfidTag: tag, n: 1 }));
  const row = await state(outletId, 'Charging');
  const [command] = await world.commands(1);
  return { outletId, customer, row, command, sessionId: row.sessionId };
}

test('a new outlet is a row as the original registers it', async () => {
  const outletId = await newOutlet(outletSide);
  const row = await world.outlet(outletId);
  assert.match(row.startTime, TIME);
  assert.deepEqual(await original.get(NAMES.outlets, 'outletId', outletId), {
    outletId,
    chargerGroupId: '86c911e2-bbf3-42c8-8925-f9d380c1f329',
    outletCode: 'A1',
    address: 'Main Street 1',
    maxPower: 22000,
    outletState: 'Available',
    rfidTag: '',
    startTime: row.startTime,
    powerConsumption: 0,
    totalChargingSessions: 0,
    totalPowerConsumption: 0,
  });
});

test('start by tag, reports, stop by tag, and the cable drawn', async () => {
  const tag = 'flow-1-tag';
  const { outletId, customer, row, command, sessionId } = await charging(tag);
  const request = deviceMessage(outletId, 'DeviceRequestsCharging', { rfidTag: tag, n: 1 });

  // The command, in the original's JSON with our messageId behind it.
  assert.deepEqual(
    { ...command, messageId: undefined },
    { ...request, outletStateChange: 'Charging', messageId: undefined },
  );
  assert.match(command.messageId, /^\S{1,64}$/);
  // The rows, as the original reads them.
  assert.match(sessionId, UUID);
  assert.equal(row.rfidTag, tag);
  assert.equal(row.powerConsumption, 0);
  assert.equal(row.totalChargingSessions, 1);
  const session = await until('the session', () => world.session(sessionId));
  assert.deepEqual(await original.get(NAMES.sessions, 'sessionId', sessionId), {
    sessionId,
    customerId: customer.customerId,
    rfidTag: tag,
    outletId,
    outletState: 'Charging',
    purchaseChannel: 'OutletDevice',
    startTime: session.startTime,
    ...(session.endTime === undefined ? {} : { endTime: session.endTime }),
    powerConsumption: 0,
  });
  // The events: asked, approved, and begun with no energy.
  const began = await eventsOf(outletId, 3);
  const asked = began.find((e) => e.outletState === 'DeviceRequestsCharging');
  assert.deepEqual(asked, {
    initiator: 'OutletBackend',
    outletId,
    outletState: 'DeviceRequestsCharging',
    recentSession: {
      rfidTag: tag,
      periodStart: request.periodStart,
      periodEnd: request.periodEnd,
      powerConsumption: 0,
    },
  });
  const approved = began.find((e) => e.initiator === 'AppBackend');
  assert.deepEqual(approved, {
    initiator: 'AppBackend',
    outletId,
    outletState: 'Charging',
    recentSession: {
      sessionId,
      rfidTag: tag,
      periodStart: request.periodStart,
      periodEnd: request.periodEnd,
      powerConsumption: 0,
    },
  });
  const begun = began.find((e) => e.initiator === 'OutletBackend' && e.outletState === 'Charging');
  assert.equal(begun.recentSession.sessionId, sessionId);
  assert.equal(begun.recentSession.powerConsumption, 0);

  // Two reports, one of them twice under one identity of the sender.
  await world.send(deviceMessage(outletId, 'Charging', { rfidTag: tag, kwh: 1.5, n: 2, messageId: 'r1' }));
  await until('the first report', async () => (await world.outlet(outletId)).powerConsumption === 1.5);
  await world.send(deviceMessage(outletId, 'Charging', { rfidTag: tag, kwh: 1.5, n: 2, messageId: 'r1' }));
  await world.send(deviceMessage(outletId, 'Charging', { rfidTag: tag, kwh: 0.75, n: 3, messageId: 'r2' }));
  const charged = await until('the second report', async () => {
    const now = await world.outlet(outletId);
    return now.powerConsumption === 2.25 && now;
  });
  assert.equal(charged.totalPowerConsumption, 2.25);
  // When we got it: a device's clock decides nothing.
  assert.match(charged.endTime, TIME);
  assert.ok(Math.abs(Date.parse(charged.endTime) - Date.now()) < 60_000);
  await until('the sum in the session', async () => (await world.session(sessionId)).powerConsumption === 2.25);

  await world.send(deviceMessage(outletId, 'DeviceRequestsStop', { rfidTag: tag, kwh: 0.25, n: 4 }));
  const finished = await state(outletId, 'ChargingFinished');
  assert.equal(finished.totalPowerConsumption, 2.5);
  const ended = await sessionIn(sessionId, 'ChargingFinished');
  assert.equal(ended.powerConsumption, 2.5);
  assert.match(ended.endTime, TIME);
  const last = (await world.events(outletId)).filter((e) => e.outletState === 'ChargingFinished');
  assert.ok(last.length >= 1);
  for (const e of last) {
    assert.equal(e.recentSession.sessionId, sessionId);
    assert.equal(e.recentSession.powerConsumption, 2.5);
  }

  await world.send(deviceMessage(outletId, 'Available', { n: 5 }));
  const idle = await state(outletId, 'Available');
  assert.equal(idle.sessionId, undefined);
  assert.equal(idle.endTime, undefined);
  assert.equal(idle.rfidTag, '');
  assert.equal(idle.powerConsumption, 0);
  assert.deepEqual(
    (await historyOf(appSide, customer.customerId)).map((s) => [s.sessionId, s.state, s.powerConsumption]),
    [[sessionId, 'ChargingFinished', 2.5]],
  );
  assert.equal((await outletOf(outletSide, outletId)).totalPowerConsumption, 2.5);
});

test('an unknown tag is denied by the app', async () => {
  const outletId = await newOutlet(outletSide);
  await world.send(deviceMessage(outletId, 'CablePlugged'));
  await state(outletId, 'CablePlugged');
  await world.send(deviceMessage(outletId, 'DeviceRequestsCharging', { rfidTag: 'nobody', n: 1 }));
  const events = await eventsOf(outletId, 2);
  const denial = events.find((e) => e.initiator === 'AppBackend');
  assert.equal(denial.outletState, 'AppDeniesCharging');
  assert.equal(denial.recentSession.sessionId, undefined);
  assert.equal(denial.recentSession.rfidTag, 'nobody');
  await until(
    'the request is answered',
    async () => (await outletOf(outletSide, outletId)).outletState === 'CablePlugged',
  );
  assert.equal((await world.outlet(outletId)).outletState, 'CablePlugged');
  // The devices of somebody else's gateway never saw a denial: none is sent to them.
  assert.deepEqual(await world.take('commands'), []);
});

test('start and stop by the app', async () => {
  const outletId = await newOutlet(outletSide);
  const customer = await newCustomer(appSide, 'flow-3-tag');
  await world.send(deviceMessage(outletId, 'CablePlugged'));
  await state(outletId, 'CablePlugged');
  const started = await call('POST', `${appSide.app}/api/chargers/start`, {
    customerId: customer.customerId,
    outletId,
  });
  assert.equal(started.status, 201, started.text);
  assert.equal(started.body.state, 'AppRequestsCharging');
  const { sessionId } = started.body;
  const [begin] = await world.commands(1);
  assert.equal(begin.outletStateChange, 'Charging');
  assert.equal(begin.rfidTag, 'flow-3-tag');
  assert.equal(begin.powerConsumption, 0);
  assert.equal((await state(outletId, 'Charging')).sessionId, sessionId);
  const session = await sessionIn(sessionId, 'Charging'); // without waiting for a first report
  assert.equal(session.purchaseChannel, 'MobileApp');

  await world.send(deviceMessage(outletId, 'Charging', { rfidTag: 'flow-3-tag', kwh: 3, n: 2 }));
  await until('the report', async () => (await world.session(sessionId)).powerConsumption === 3);
  const stop = await call('GET', `${appSide.app}/api/chargers/session/${sessionId}/stop`);
  assert.equal(stop.status, 200, stop.text);
  const [end] = await world.commands(1);
  assert.equal(end.outletStateChange, 'AppRequestsStop');
  assert.equal((await world.outlet(outletId)).outletState, 'Charging'); // as the original knows it
  await sessionIn(sessionId, 'AppRequestsStop');
  await world.send(deviceMessage(outletId, 'DeviceRequestsStop', { rfidTag: 'flow-3-tag', kwh: 1, n: 3 }));
  assert.equal((await state(outletId, 'ChargingFinished')).totalPowerConsumption, 4);
  assert.equal((await sessionIn(sessionId, 'ChargingFinished')).powerConsumption, 4);
});

test('a start that the outlet cannot do is denied', async () => {
  const outletId = await newOutlet(outletSide); // no cable
  const customer = await newCustomer(appSide, 'flow-4-tag');
  const { body } = await call('POST', `${appSide.app}/api/chargers/start`, {
    customerId: customer.customerId,
    outletId,
  });
  await sessionIn(body.sessionId, 'DeviceDeniesCharging');
  assert.equal((await world.outlet(outletId)).outletState, 'Available');
  assert.equal((await world.outlet(outletId)).totalChargingSessions, 0);
});

test('unplugged while charging: finished with what was reported', async () => {
  const { outletId, sessionId } = await charging('flow-5-tag');
  await world.send(deviceMessage(outletId, 'Charging', { rfidTag: 'flow-5-tag', kwh: 2, n: 2 }));
  await until('the report', async () => (await world.outlet(outletId)).totalPowerConsumption === 2);
  await world.send(deviceMessage(outletId, 'Available', { n: 3 }));
  await state(outletId, 'Available');
  assert.equal((await sessionIn(sessionId, 'ChargingFinished')).powerConsumption, 2);
});

test('what cannot be used is moved to the dead letters with its reason', async () => {
  const outletId = await newOutlet(outletSide);
  const bad = [
    '{"outletId":',
    JSON.stringify(deviceMessage(outletId, 'Exploded')),
    JSON.stringify(deviceMessage('00000000-0000-4000-8000-000000000000', 'CablePlugged')),
  ];
  await world.send(...bad);
  await world.send(deviceMessage(outletId, 'CablePlugged')); // and the queue goes on
  await state(outletId, 'CablePlugged');
  const letters = [];
  await until('three dead letters', async () => {
    letters.push(...(await world.take('deadMessages', { attributes: true })));
    return letters.length >= 3;
  });
  assert.deepEqual(letters.map((m) => m.Body).sort(), [...bad].sort());
  for (const m of letters) {
    assert.ok(m.MessageAttributes.evchargeReason.StringValue.length > 0);
    assert.match(m.MessageAttributes.evchargeIdentity.StringValue, /^[0-9a-f]{32}$/);
    assert.match(m.MessageAttributes.evchargeAt.StringValue, /^\d{19}$/);
  }
});
