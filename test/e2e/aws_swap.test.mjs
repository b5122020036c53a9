// The runbook of docs/swap.md in both directions, in the middle of sessions: the original's backends (by an imitation of
// them) and ours one after the other on the same tables, queues, stream and leases. Whatever either leaves behind, the
// other reads, and no energy is lost or counted twice.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { ListShardsCommand, PutRecordsCommand } from '@aws-sdk/client-kinesis';
import { AwsWorld, deviceMessage, NAMES } from './aws.mjs';
import { call, historyOf, outletOf, run, until } from './harness.mjs';
import { decodeEvent, encodeEvent, Leases, OriginalAppBackend, OriginalOutletBackend, Rows } from './original.mjs';

const vectors = async (name) => JSON.parse(await readFile(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8'));

const REQUEST_TIMEOUT_MS = 6000;

/** A world with the original's backends and what looks at it as they do. */
async function originalWorld() {
  const w = await AwsWorld.start();
  const { dynamodb, kinesis } = w.cloud;
  const { Shards } = await kinesis.send(new ListShardsCommand({ StreamName: NAMES.events }));
  w.shards = Shards.map((s) => s.ShardId);
  w.rowsOf = new Rows(dynamodb);
  w.leases = { outlet: new Leases(dynamodb, NAMES.outletLeases), app: new Leases(dynamodb, NAMES.appLeases) };
  return w;
}

/** Turns of the original's backends until nothing more happens. */
async function quiet(...backends) {
  for (let idle = 0; idle < 2; ) {
    let n = 0;
    for (const b of backends) n += await b.turn();
    idle = n === 0 ? idle + 1 : 0;
  }
}

/** The same until something is so. */
const turning = (what, backends, fn) =>
  until(what, async () => {
    for (const b of backends) await b.turn();
    return fn();
  });

async function newRow(world) {
  const outletId = randomUUID();
  await world.rowsOf.put(NAMES.outlets, {
    outletId,
    chargerGroupId: randomUUID(),
    outletCode: 'A1',
    address: 'Main Street 1',
    maxPower: 22000,
    outletState: 'Available',
    rfidTag: '',
    startTime: new Date().toISOString(),
    powerConsumption: 0,
    totalChargingSessions: 0,
    totalPowerConsumption: 0,
  });
  return outletId;
}

/** All rows and records are such that the original's code reads them. */
async function allReadable(world) {
  for (const [table, key] of [
    [NAMES.outlets, 'outletId'],
    [NAMES.sessions, 'sessionId'],
    [NAMES.customers, 'customerId'],
  ])
    for (const row of await world.rows(table)) await world.rowsOf.get(table, key, row[key]);
  for (const r of await world.records()) decodeEvent(r.data);
  await Promise.all([world.leases.outlet.get(), world.leases.app.get()]);
}

/** SIGTERM and drain: the runbook's steps when ours goes; meanwhile() goes on until it has ended. */
async function leave(world, server, role, meanwhile) {
  const stopped = server.stop();
  while (meanwhile && !server.exit) {
    await meanwhile();
    await new Promise((done) => setTimeout(done, 200));
  }
  assert.deepEqual(await stopped, { code: 0, signal: null });
  const done = await run(['drain', '--engine', 'aws', '--role', role, '--force'], { env: world.env });
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stdout, /^nothing is unsent; \d+ rows had effects and were sent\n$/);
  await allReadable(world);
  return world.leases[role].released();
}

const horizon = (world) => Object.fromEntries(world.shards.map((s) => [s, 'TRIM_HORIZON']));
const sums = (row) => [row.outletState, row.powerConsumption, row.totalPowerConsumption, row.totalChargingSessions];

describe('swaps', { concurrency: true }, () => {
  describe('the Outlet Backend', () => {
    let world, apps;
    before(async () => (world = await originalWorld()));
    after(() => world?.stop());

    test('ours in, in the middle of a session, and out in the middle of another', async () => {
      const { cloud, rowsOf } = world;
      apps = await OriginalAppBackend.open(cloud);
      let outlets = await OriginalOutletBackend.open(cloud);
      const tag = randomUUID();
      await apps.customer(tag);
      const outletId = await newRow(world);
      const outlet = () => rowsOf.get(NAMES.outlets, 'outletId', outletId);
      const session = (id) => rowsOf.get(NAMES.sessions, 'sessionId', id);
      const device = (state, n, kwh = 0) => deviceMessage(outletId, state, { rfidTag: tag, n, kwh });

      // The original's both: a session by tag, with a report.
      for (const m of [device('CablePlugged', 0), device('DeviceRequestsCharging', 1), device('Charging', 2, 1.5)]) {
        await world.send(m);
        await quiet(outlets, apps);
      }
      const first = (await outlet()).sessionId;
      assert.deepEqual(sums(await outlet()), ['Charging', 1.5, 1.5, 1]);
      assert.equal((await session(first)).powerConsumption, 1.5);
      await world.leases.outlet.put(horizon(world), { released: true }); // it ended before its first checkpoint

      // Ours in. What came meanwhile is in the queue.
      await world.send(device('Charging', 3, 0.75));
      const ours = await world.serve('outlet', { args: ['--drain-timeout', '25s'] });
      await turning('the report', [apps], async () => (await session(first)).powerConsumption === 2.25);
      assert.deepEqual(sums(await outlet()), ['Charging', 2.25, 2.25, 1]);
      await allReadable(world);
      await world.send(device('DeviceRequestsStop', 4, 0.25));
      await turning('its end', [apps], async () => (await session(first)).outletState === 'ChargingFinished');
      assert.equal((await session(first)).powerConsumption, 2.5);
      assert.deepEqual(sums(await outlet()), ['ChargingFinished', 2.5, 2.5, 1]);

      // The next one starts with ours, and ends with the original.
      await world.send(device('CablePlugged', 5));
      await until('plugged', async () => (await outlet()).outletState === 'CablePlugged');
      await world.send(device('DeviceRequestsCharging', 6));
      const second = await turning('charging', [apps], async () => {
        const row = await outlet();
        return row.outletState === 'Charging' && row.sessionId;
      });
      assert.notEqual(second, first);
      await world.send(device('Charging', 7, 3));
      await until('its report', async () => (await outlet()).powerConsumption === 3);
      let n = 8;
      const report = () => world.send(device('Charging', n++, 0.125));
      outlets = await OriginalOutletBackend.open(cloud, await leave(world, ours, 'outlet', report));
      // Each report was ours to count, or is the original's.
      const sum = () => 3 + 0.125 * (n - 8);
      assert.ok((await outlet()).powerConsumption <= sum());
      await report();
      await quiet(outlets, apps);
      assert.deepEqual(sums(await outlet()), ['Charging', sum(), 2.5 + sum(), 2]);
      await world.send(device('DeviceRequestsStop', n, 0.5));
      await quiet(outlets, apps);
      const all = sum() + 0.5;
      assert.deepEqual(sums(await outlet()), ['ChargingFinished', all, 2.5 + all, 2]);
      const ended = await session(second);
      assert.deepEqual([ended.outletState, ended.powerConsumption], ['ChargingFinished', all]);

      // And one of its own, at the same outlet.
      await world.send(device('CablePlugged', n + 1));
      await quiet(outlets, apps);
      await world.send(device('DeviceRequestsCharging', n + 2));
      await quiet(outlets, apps);
      await world.send(device('DeviceRequestsStop', n + 3, 1));
      await quiet(outlets, apps);
      const third = (await outlet()).sessionId;
      assert.deepEqual(sums(await outlet()), ['ChargingFinished', 1, 3.5 + all, 3]);
      assert.equal((await session(third)).powerConsumption, 1);
      assert.equal((await world.rows(NAMES.sessions)).length, 3);
      assert.deepEqual([apps.problems, outlets.problems], [[], []]);
    });
  });

  describe('the App Backend', () => {
    let world;
    before(async () => (world = await originalWorld()));
    after(() => world?.stop());

    test('ours in, in the middle of a session, and out in the middle of another', async () => {
      const { cloud, rowsOf } = world;
      const outlets = await OriginalOutletBackend.open(cloud);
      let apps = await OriginalAppBackend.open(cloud);
      const tag = randomUUID();
      const { customerId } = await apps.customer(tag);
      const outletId = await newRow(world);
      const outlet = () => rowsOf.get(NAMES.outlets, 'outletId', outletId);
      const session = (id) => rowsOf.get(NAMES.sessions, 'sessionId', id);
      const device = (state, n, kwh = 0) => deviceMessage(outletId, state, { rfidTag: tag, n, kwh });
      const turns = async (...messages) => {
        for (const m of messages) {
          await world.send(m);
          await quiet(outlets, apps);
        }
      };
      const answers = async () => (await world.events(outletId)).filter((e) => e.initiator === 'AppBackend');

      // The original's both: one session over, one under way.
      await turns(device('CablePlugged', 0), device('DeviceRequestsCharging', 1));
      await turns(device('Charging', 1, 1.5), device('DeviceRequestsStop', 2, 0.5));
      const first = (await outlet()).sessionId;
      await turns(device('CablePlugged', 3), device('DeviceRequestsCharging', 4));
      const asked = Date.now();
      await turns(device('Charging', 5, 1.5));
      const second = (await outlet()).sessionId;
      const before = await session(first);
      assert.deepEqual([before.outletState, before.powerConsumption], ['ChargingFinished', 2]);
      assert.equal((await session(second)).powerConsumption, 1.5);
      await world.leases.app.put(horizon(world), { released: true }); // it ended before its first checkpoint

      // Ours in: it reads all of that once more, and does no harm.
      const answered = (await answers()).length;
      await until('the requests are too old to be answered', () => Date.now() > asked + REQUEST_TIMEOUT_MS);
      await world.send(device('Charging', 6, 0.75));
      await quiet(outlets);
      const ours = await world.serve('app', { args: ['--request-timeout', `${REQUEST_TIMEOUT_MS}ms`] });
      await turning('the report', [outlets], async () => (await session(second)).powerConsumption === 2.25);
      const verdicts = async (v) => (await ours.metrics()).get(`evcharge_app_verdicts_total{verdict="${v}"}`);
      await until('both requests were read', async () => (await verdicts('refused')) === 2);
      assert.equal(await verdicts('rejected'), 0);
      assert.equal((await answers()).length, answered, 'a request is answered once');
      assert.deepEqual(await session(first), before);
      assert.deepEqual((await world.rows(NAMES.sessions)).map((s) => s.sessionId).sort(), [first, second].sort());
      assert.deepEqual(sums(await outlet()), ['Charging', 2.25, 4.25, 2]);

      // Its customer, its history, its running session: stopped by our API.
      const stop = await call('GET', `${ours.app}/api/chargers/session/${second}/stop`);
      assert.equal(stop.status, 200, stop.text);
      const isStop = (c) => c.outletStateChange === 'AppRequestsStop';
      await turning('the device is told', [outlets], async () =>
        (await world.take('commands')).map((m) => JSON.parse(m.Body)).some(isStop),
      );
      await world.send(device('DeviceRequestsStop', 7, 0.25));
      await turning('its end', [outlets], async () => (await session(second)).outletState === 'ChargingFinished');
      assert.deepEqual(
        (await historyOf(ours, customerId)).map((s) => [s.sessionId, s.state, s.powerConsumption]).sort(),
        [[first, 'ChargingFinished', 2], [second, 'ChargingFinished', 2.5]].sort(),
      );

      // A session by our app, and by a tag that its index finds; the latter ends with the original.
      await world.send(device('CablePlugged', 8));
      await quiet(outlets);
      const started = await call('POST', `${ours.app}/api/chargers/start`, { customerId, outletId });
      assert.equal(started.status, 201, started.text);
      const third = started.body.sessionId;
      await turning('it charges', [outlets], async () => (await outlet()).sessionId === third);
      await world.send(device('DeviceRequestsStop', 9, 1));
      await turning('it ends', [outlets], async () => (await session(third)).outletState === 'ChargingFinished');
      assert.equal((await session(third)).powerConsumption, 1);
      await world.send(device('CablePlugged', 10), device('DeviceRequestsCharging', 11));
      const fourth = await turning('charging by tag', [outlets], async () => {
        const row = await outlet();
        return row.outletState === 'Charging' && row.sessionId;
      });
      await world.send(device('Charging', 12, 3));
      await turning('its report', [outlets], async () => (await session(fourth)).powerConsumption === 3);
      await allReadable(world);

      // The original in again, behind our checkpoints.
      apps = await OriginalAppBackend.open(cloud, await leave(world, ours, 'app'));
      const events = (await answers()).length;
      await quiet(apps, outlets);
      assert.equal((await answers()).length, events, 'no request is answered again');
      await turns(device('Charging', 13, 0.5), device('DeviceRequestsStop', 14, 0.5));
      const ended = await session(fourth);
      assert.deepEqual([ended.outletState, ended.powerConsumption], ['ChargingFinished', 4]);
      assert.deepEqual(sums(await outlet()), ['ChargingFinished', 4, 9.5, 4]);
      assert.deepEqual([apps.problems, outlets.problems], [[], []]);
    });
  });

  describe('what the original left', { concurrency: true }, () => {
    let world, ours, startedAt;
    const left = {};
    const tag = randomUUID();

    const putAt = async (shard, e) => {
      const Records = [{ Data: encodeEvent(e), PartitionKey: randomUUID(), ExplicitHashKey: world.hashKeys[shard] }];
      const put = await world.cloud.kinesis.send(new PutRecordsCommand({ StreamName: NAMES.events, Records }));
      assert.equal(put.Records[0].ShardId, shard);
      return put.Records[0].SequenceNumber;
    };
    const startOf = (outletId) => ({
      initiator: 'AppBackend',
      outletId,
      outletState: 'AppRequestsCharging',
      recentSession: { sessionId: randomUUID(), rfidTag: tag, periodStart: new Date().toISOString(), powerConsumption: 0 },
    });
    /** A plugged outlet, and a start for it on a shard. */
    const asked = async (shard) => {
      const outletId = await newRow(world);
      const row = await world.rowsOf.get(NAMES.outlets, 'outletId', outletId);
      await world.rowsOf.put(NAMES.outlets, { ...row, outletState: 'CablePlugged' });
      return { outletId, sequence: await putAt(shard, startOf(outletId)) };
    };

    before(async () => {
      world = await originalWorld();
      const { Shards } = await world.cloud.kinesis.send(new ListShardsCommand({ StreamName: NAMES.events }));
      world.hashKeys = Object.fromEntries(Shards.map((s) => [s.ShardId, s.HashKeyRange.StartingHashKey]));
      assert.ok(world.shards.length >= 2);
      const checkpoints = horizon(world);
      const [marked, unmarked] = world.shards;
      left.handled = await asked(marked);
      left.after = await asked(marked);
      left.first = await asked(unmarked);
      checkpoints[marked] = left.handled.sequence;
      await world.leases.outlet.put(checkpoints);
      left.leases = await world.leases.outlet.get();
      startedAt = Date.now();
      ours = await world.serve('outlet,app', { args: ['--drain-timeout', '1s'] });
    });
    after(async () => {
      try {
        await endsClean();
      } finally {
        await world?.stop();
      }
    });

    /** Free rows with counters and checkpoints that have gone on, as the original reads them. */
    async function endsClean() {
      assert.deepEqual(await ours.stop(), { code: 0, signal: null });
      await allReadable(world);
      const { id, row: unreadable } = left.unreadable;
      assert.deepEqual(await world.outlet(id), unreadable);
      const rows = await world.leases.outlet.get();
      await world.leases.outlet.released();
      for (const [shard, row] of Object.entries(rows)) {
        assert.ok(row.counter > left.leases[shard].counter, shard);
        assert.match(row.checkpoint, /^(\d{20,}|TRIM_HORIZON)$/);
        assert.equal(row.sub, '0');
      }
      const [marked, unmarked] = world.shards;
      assert.ok(BigInt(rows[marked].checkpoint) >= BigInt(left.after.sequence));
      assert.ok(BigInt(rows[unmarked].checkpoint) >= BigInt(left.first.sequence));
    }

    test('leases of a worker that died are taken once they expire, and read from their checkpoints', async () => {
      const taken = new Map();
      await until(
        'all leases are ours',
        async () => {
          for (const [shard, { owner }] of Object.entries(await world.leases.outlet.get()))
            if (owner !== 'worker1' && !taken.has(shard)) taken.set(shard, Date.now() - startedAt);
          return taken.size === world.shards.length;
        },
        35_000,
      );
      // One may be stolen from whoever seems to be alive; for the others it is waited until the counter stood still.
      const times = [...taken.values()].sort((a, b) => a - b);
      assert.ok(times.slice(1).every((ms) => ms >= 10_000), `${times}`);
      for (const { outletId } of [left.after, left.first])
        await until('it was started', async () => (await world.outlet(outletId)).outletState === 'Charging');
      const { outletId } = left.handled;
      assert.deepEqual(sums(await world.rowsOf.get(NAMES.outlets, 'outletId', outletId)), ['CablePlugged', 0, 0, 0]);
      await allReadable(world);
    });

    /** An item of the vectors as DynamoDB returns it, with an id and an outlet of its own. */
    const putVector = async (name, key) => {
      const { items } = await vectors('dynamodb_items');
      const { table, itemAsDynamoDBReturnsIt: item } = items.find((i) => i.name === name);
      const mine = { ...item, outletId: { S: randomUUID() }, [key]: { S: randomUUID() } };
      await world.putItem(table, mine);
      return { id: mine[key].S, item: mine };
    };

    const OUTLETS = [
      // name, the message, then: state, sum, total, sessions, is the session still named?
      ['outlet_registered', ['CablePlugged', 0], ['CablePlugged', 0, 0, 0], false],
      ['outlet_cable_plugged', ['Available', 0], ['Available', 0, 0, 0], false],
      ['outlet_charging', ['Charging', 1.5], ['Charging', 1.5, 1.5, 1], true],
      ['outlet_reported', ['Charging', 1.5], ['Charging', 2.734, 2.734, 1], true],
      ['outlet_reported', ['DeviceRequestsStop', 0.001], ['ChargingFinished', 1.235, 1.235, 1], true],
      ['outlet_reported', ['Available', 0], ['Available', 0, 1.234, 1], false],
      ['outlet_finished', ['CablePlugged', 0], ['CablePlugged', 0, 12.75, 1], false],
      ['outlet_replugged_stale', ['Available', 0], ['Available', 0, 12.75, 1], false],
      ['outlet_reset_by_denial', ['Available', 0], ['Available', 0, 12.75, 1], false],
    ];
    for (const [name, [change, kwh], expected, hasSession] of OUTLETS)
      test(`the row ${name}, then ${change}`, async () => {
        const { id, item } = await putVector(name, 'outletId');
        await world.send(deviceMessage(id, change, { rfidTag: item.rfidTag.S, kwh }));
        await until('it is taken over', async () => (await world.outlet(id)).version !== undefined);
        const row = await world.rowsOf.get(NAMES.outlets, 'outletId', id);
        assert.deepEqual(sums(row), expected);
        assert.equal(row.sessionId, hasSession ? item.sessionId.S : undefined);
        assert.equal(row.rfidTag, hasSession ? item.rfidTag.S : '');
        assert.equal(row.maxPower, 22000);
      });

    test('a report at a row whose session is over adds to no session', async () => {
      const { id, item } = await putVector('outlet_replugged_stale', 'outletId');
      await world.send(deviceMessage(id, 'Charging', { rfidTag: item.rfidTag.S, kwh: 2 }));
      await until('it is taken over', async () => (await world.outlet(id)).version !== undefined);
      const row = await world.rowsOf.get(NAMES.outlets, 'outletId', id);
      assert.deepEqual([row.outletState, row.sessionId, row.totalChargingSessions], ['CablePlugged', undefined, 1]);
      assert.equal(row.totalPowerConsumption, 14.75);
      assert.equal((await outletOf(ours, id)).unassignedPowerConsumption, 2);
    });

    test('the row outlet_number_forms, with more energy than can be counted, is left alone', async () => {
      const { id } = await putVector('outlet_number_forms', 'outletId');
      left.unreadable = { id, row: await world.outlet(id) };
      await world.send(deviceMessage(id, 'CablePlugged'));
      const answer = await call('GET', `${ours.outlet}/api/chargers/${id}`);
      assert.ok(answer.status >= 500, `${answer.status} ${answer.text}`);
    });

    const eventOf = (sessionId, item, outletState, powerConsumption) =>
      encodeEvent({
        initiator: 'OutletBackend',
        outletId: item.outletId.S,
        outletState,
        recentSession: {
          sessionId,
          rfidTag: item.rfidTag.S,
          periodStart: item.startTime.S,
          periodEnd: item.endTime?.S,
          powerConsumption,
        },
      });

    const SESSIONS = [
      // name, the event, then: state and sum
      ['session_app_requested', ['Charging', 0], ['Charging', 0]],
      ['session_app_requested', ['DeviceDeniesCharging', 0], ['DeviceDeniesCharging', 0]],
      ['session_rfid', ['Charging', 1.5], ['Charging', 1.5]],
      ['session_reported', ['Charging', 2], ['Charging', 2]],
      ['session_reported', ['ChargingFinished', 3], ['ChargingFinished', 3]],
      ['session_stop_requested', ['ChargingFinished', 1.5], ['ChargingFinished', 1.5]],
      ['session_device_denied', ['Charging', 1.5], ['Charging', 1.5]],
    ];
    for (const [name, [state, kwh], expected] of SESSIONS)
      test(`the row ${name}, then ${state}`, async () => {
        const { id, item } = await putVector(name, 'sessionId');
        await world.putRecords(eventOf(id, item, state, kwh));
        await until('it is taken over', async () => (await world.session(id)).version !== undefined);
        const row = await world.rowsOf.get(NAMES.sessions, 'sessionId', id);
        assert.deepEqual([row.outletState, row.powerConsumption], expected);
        for (const field of ['customerId', 'outletId', 'rfidTag', 'purchaseChannel'])
          assert.equal(row[field], item[field].S, field);
      });

    test('the row session_finished is final for events without eventId', async () => {
      const { id, item } = await putVector('session_finished', 'sessionId');
      const before = await world.session(id);
      await world.putRecords(eventOf(id, item, 'Charging', 13));
      await until('a dead letter', async () =>
        (await call('GET', `${ours.outlet}/api/dead-letters`)).body.items.some((l) => l.outletId === item.outletId.S),
      );
      assert.deepEqual(await world.session(id), before);
    });

    test('the row customer is found by its tag', async () => {
      const { items } = await vectors('dynamodb_items');
      const { itemAsDynamoDBReturnsIt: item } = items.find((i) => i.name === 'customer');
      await world.putItem(NAMES.customers, item);
      const outletId = randomUUID();
      const periodStart = new Date().toISOString();
      const recentSession = { rfidTag: item.rfidTag.S, periodStart, powerConsumption: 0 };
      await world.putRecords(
        encodeEvent({ initiator: 'OutletBackend', outletId, outletState: 'DeviceRequestsCharging', recentSession }),
      );
      const answer = await until('an answer', async () =>
        (await world.events(outletId)).find((e) => e.initiator === 'AppBackend'),
      );
      assert.equal(answer.outletState, 'Charging');
      const { sessionId } = answer.recentSession;
      const row = await world.rowsOf.get(NAMES.sessions, 'sessionId', sessionId);
      assert.equal(row.customerId, item.customerId.S); // its state is the outlet's to say, which does not exist
    });
  });
});
