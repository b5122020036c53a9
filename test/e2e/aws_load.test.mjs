// Two outlet and two app processes share queue and shards under load; one of each is killed and another started. In the
// end every message counted once, nothing is in limbo, and the living hold all shards. Then they stop as they should.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { AwsWorld, NAMES } from './aws.mjs';
import { each, Fleet, heldBy, inQueue, leasesOf, stopGracefully, workerOf } from './aws_fleet.mjs';
import { books, newOutlet, until } from './harness.mjs';

const DEVICES = 60;
// A killed process's messages come back after 30 s; its shards are taken after 20 s to 40 s.
const LIMIT_MS = 60_000;

let world, outletSides, appSides, fleet;

const serve = (role) => world.serve(role, { args: ['--sweep-interval', '2s'] });

before(async () => {
  world = await AwsWorld.start();
  [outletSides, appSides] = await Promise.all(
    ['outlet', 'app'].map((role) => Promise.all([serve(role), serve(role)])),
  );
  fleet = await Fleet.start(world, outletSides[0], appSides[0], { devices: DEVICES });
});
after(async () => {
  if (fleet) fleet.stopping = true;
  await fleet?.end().catch(() => {});
  await world?.stop();
});

/** Takes the process with the most shards out of the list; the second of two finds its share within 20 s, or later. */
async function victimOf(table, servers) {
  const rows = await leasesOf(world, table);
  const held = (s) => rows.filter((r) => r.owner === workerOf(s)).length;
  servers.sort((a, b) => held(a) - held(b));
  assert.ok(held(servers.at(-1)) > 0, `nobody holds a shard in ${table}`);
  return servers.pop();
}

const taken = (table, servers) =>
  until(`${table} is taken over`, each(200, () => fleet.failed || heldBy(world, table, servers)), LIMIT_MS);

test('killed and replaced under load, every message counts once', async () => {
  const began = performance.now();
  const seconds = () => Number(((performance.now() - began) / 1000).toFixed(1));
  const load = fleet.run({ reports: 10 });
  load.catch((e) => (fleet.failed = e));
  await until('sessions', () => fleet.failed || fleet.figures().sessions >= DEVICES / 2, LIMIT_MS);

  const outletGone = await victimOf(NAMES.outletLeases, outletSides);
  const appGone = await victimOf(NAMES.appLeases, appSides);
  await Promise.all([outletGone.kill(), appGone.kill()]);
  const took = { killed: seconds() };
  const before = fleet.figures().sessions;
  const [outletNew, appNew] = await Promise.all([serve('outlet'), serve('app')]);
  outletSides.push(outletNew);
  appSides.push(appNew);
  await until('more sessions', () => fleet.failed || fleet.figures().sessions >= before + DEVICES / 2, LIMIT_MS);
  fleet.stopping = true; // the cycles that have begun come to their end
  await Promise.all([taken(NAMES.outletLeases, outletSides), taken(NAMES.appLeases, appSides)]);
  took.takenOver = seconds();
  await load;
  took.loadEnded = seconds();
  await fleet.settle(outletSides[0], LIMIT_MS);
  took.settled = seconds();
  console.log(JSON.stringify({ ...fleet.figures(), took }));
  for (const [table, servers] of [[NAMES.outletLeases, outletSides], [NAMES.appLeases, appSides]])
    assert.ok(await heldBy(world, table, servers), `${table} is not held by the living`);
});

test('SIGTERM: polls end, leases are given back, nothing is in hand', async () => {
  const spare = await newOutlet(outletSides[0]);
  const counters = async (table) => new Map((await leasesOf(world, table)).map((r) => [r.key, r]));
  const stopAll = async (table, servers, outletId) => {
    const was = await counters(table);
    await Promise.all(servers.map((s) => stopGracefully(world, s, outletId)));
    for (const row of await leasesOf(world, table)) {
      assert.equal(row.owner, undefined, `${table} ${row.key}`);
      assert.ok(row.counter >= was.get(row.key).counter, 'a counter went backwards');
      assert.match(row.checkpoint, /^\d+$/, 'under load every shard had records');
    }
  };
  await Promise.all([stopAll(NAMES.outletLeases, outletSides, spare), stopAll(NAMES.appLeases, appSides)]);
  assert.equal((await inQueue(world, 'messages')).inHand, 0);
  for (const s of [...outletSides, ...appSides])
    assert.deepEqual(s.logs.filter((l) => l.level === 'error').map((l) => l.raw), []);
});

test('a process that begins where they stopped finds the books balanced', async () => {
  const both = await serve('outlet,app');
  const b = await until('the books', async () => {
    const found = await books(both);
    return found.balanced !== undefined && found;
  });
  assert.equal(b.balanced, true, JSON.stringify(b));
  assert.equal(b.outlets.count, DEVICES + 1);
  assert.equal(b.sessions.live, 0);
  assert.ok(b.sessions.count >= fleet.figures().sessions);
});
