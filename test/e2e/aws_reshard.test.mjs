// The stream of events is resharded under a steady flow: a shard is split and two are merged while outlets charge, and a
// second process comes along. Nothing is lost, counted twice, or read before what came before it; the lease tables say
// what the original and the KCL expect of ended shards and their children.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import {
  DescribeStreamSummaryCommand,
  ListShardsCommand,
  MergeShardsCommand,
  SplitShardCommand,
} from '@aws-sdk/client-kinesis';
import { AwsWorld, deviceMessage, NAMES } from './aws.mjs';
import { call, newCustomer, newOutlet, until } from './harness.mjs';
import { decodeEvent } from './original.mjs';

const OUTLETS = 12;
const REPORTS = 2;
const LOOK_MS = 150;
const LIMIT_MS = 40_000; // of one step: the stream's stand-in is slow on a busy machine


let world, first;

before(async () => {
  world = await AwsWorld.start({ kinesis: 'kinesis-local' });
  first = await world.serve('outlet,app');
});
after(() => world?.stop());

// --- What is seen from outside, again and again ---

/** Looks at all tables from time to time; what must hold at any moment is checked at each look. */
class Eye {
  static open() {
    const e = new Eye();
    e.outlets = new Map();
    e.sessions = new Map();
    e.leases = {};
    e.looks = 0;
    e.wrong = [];
    e.run = e.#go();
    e.run.catch(() => {}); // for close, which waits for it
    return e;
  }

  async #go() {
    while (!this.closed) {
      await this.#look();
      this.looks++;
      await new Promise((done) => setTimeout(done, LOOK_MS));
    }
  }

  async #look() {
    const [outlets, sessions, outletLeases, appLeases] = await Promise.all(
      [NAMES.outlets, NAMES.sessions, NAMES.outletLeases, NAMES.appLeases].map((table) => world.rows(table)),
    );
    this.outlets = new Map(outlets.map((o) => [o.outletId, o]));
    for (const s of sessions) this.#session(s);
    this.leases = { outlet: byKey(outletLeases), app: byKey(appLeases) };
    for (const [table, leases] of Object.entries(this.leases))
      for (const lease of leases.values()) this.#lease(table, lease, leases);
  }

  /** The App learns the sums by the stream: in order, so they grow, and what has ended stays so. */
  #session(s) {
    const was = this.sessions.get(s.sessionId);
    if (was && was.powerConsumption > s.powerConsumption)
      this.wrong.push(`session ${s.sessionId}: ${was.powerConsumption}, then ${s.powerConsumption}`);
    if (was?.outletState === 'ChargingFinished' && s.outletState !== 'ChargingFinished')
      this.wrong.push(`session ${s.sessionId}: had ended, then ${s.outletState}`);
    this.sessions.set(s.sessionId, s);
  }

  /** Nobody has read anything of a shard before its parents were read to their ends. */
  #lease(table, lease, leases) {
    const untouched = lease.checkpoint === 'TRIM_HORIZON' && lease.leaseOwner === undefined;
    for (const parent of lease.parentShardIds ?? [])
      if (!untouched && leases.get(parent)?.checkpoint !== 'SHARD_END')
        this.wrong.push(`${table}: ${lease.leaseKey} at ${lease.checkpoint}, ${parent} at ${leases.get(parent)?.checkpoint}`);
  }

  async close() {
    this.closed = true;
    await this.run;
    assert.deepEqual(this.wrong, []);
  }
}

const byKey = (rows) => new Map(rows.map((r) => [r.leaseKey, r]));

// --- The flow ---

/** An outlet and its customer that charge again and again until they are told to stop. */
class Cycler {
  static async create(n) {
    const c = new Cycler();
    c.tag = `reshard-${n}`;
    [c.outletId] = await Promise.all([newOutlet(first), newCustomer(first, c.tag)]);
    c.cycles = 0;
    c.wh = 0; // what was sent and is to be counted: each message once
    c.sums = new Map(); // by session
    c.messages = 0;
    return c;
  }

  start(eye) {
    this.eye = eye;
    this.run = this.#go();
    this.run.catch(() => {}); // for whoever waits for it
  }

  async #go() {
    while (!this.stopped) {
      await this.#cycle();
      this.cycles++;
    }
  }

  /** One message in three comes twice. */
  async #send(change, { wh = 0, ...more } = {}) {
    const n = ++this.messages;
    const messageId = `${this.tag}-${n}`;
    const m = deviceMessage(this.outletId, change, { kwh: wh / 1000, n: n % 50, messageId, ...more });
    await world.send(...(n % 3 === 0 ? [m, m] : [m]));
    this.wh += wh;
  }

  #row(what, holds) {
    const row = () => this.eye.outlets.get(this.outletId);
    return until(`${this.tag}: ${what}, it is ${row()?.outletState}`, () => row() && holds(row()) && row(), LIMIT_MS);
  }

  async #cycle() {
    const { tag: rfidTag } = this;
    await this.#send('CablePlugged');
    await this.#row('plugged', (o) => o.outletState === 'CablePlugged');
    await this.#send('DeviceRequestsCharging', { rfidTag });
    const { sessionId } = await this.#row('charging', (o) => o.outletState === 'Charging');
    let sum = 0;
    for (let i = 1; i <= REPORTS; i++) {
      await this.#send('Charging', { rfidTag, wh: 100 + i });
      sum += 100 + i;
    }
    await this.#row('reports', (o) => wh(o.powerConsumption) === sum);
    await this.#send('DeviceRequestsStop', { rfidTag, wh: 50 });
    await this.#row('finished', (o) => o.outletState === 'ChargingFinished');
    this.sums.set(sessionId, sum + 50);
    await this.#send('Available');
    await this.#row('unplugged', (o) => o.outletState === 'Available');
  }
}

const wh = (kwh) => Math.round(kwh * 1000);

// --- Shards ---

async function shards() {
  return (await world.cloud.kinesis.send(new ListShardsCommand({ StreamName: NAMES.events }))).Shards;
}

const range = ({ HashKeyRange: r }) => [BigInt(r.StartingHashKey), BigInt(r.EndingHashKey)];
const isOpen = (s) => s.SequenceNumberRange.EndingSequenceNumber == null;
const place = (key) => BigInt(`0x${createHash('md5').update(key).digest('hex')}`);
const parentsOf = (s) => [s.ParentShardId, s.AdjacentParentShardId].filter(Boolean).sort();

async function settled() {
  await until('the stream is active', async () => {
    const { StreamDescriptionSummary: s } = await world.cloud.kinesis.send(
      new DescribeStreamSummaryCommand({ StreamName: NAMES.events }),
    );
    return s.StreamStatus === 'ACTIVE';
  });
}

const falls = (c, s) => range(s)[0] <= place(c.outletId) && place(c.outletId) <= range(s)[1];

/** The shard with most of the outlets, where to cut it so that both halves have some, and two others side by side. */
function plan(all, cyclers) {
  const within = (s) => cyclers.filter((c) => falls(c, s)).map((c) => place(c.outletId));
  const split = all.reduce((a, b) => (within(b).length > within(a).length ? b : a));
  const places = within(split).sort((a, b) => (a < b ? -1 : 1));
  const at = all.indexOf(split) < 2 ? 2 : 0;
  return { split, cut: places[places.length >> 1], left: all[at], right: all[at + 1] };
}

/** Each has ended a cycle more, and is in the next one. */
const cycleEach = (cyclers) => {
  const from = cyclers.map((c) => c.cycles);
  return until('a cycle of each outlet', () => cyclers.every((c, i) => c.cycles > from[i]), 2 * LIMIT_MS);
};

/** A third of them have ended a cycle more. */
const cycleSome = (cyclers) => {
  const all = () => cyclers.reduce((n, c) => n + c.cycles, 0);
  const from = all();
  return until('some cycles', () => all() >= from + cyclers.length / 3, LIMIT_MS);
};

/** The last sequence number of each shard that has records; all are of our outlets. */
async function streamed(ids) {
  const last = new Map();
  for (const r of await world.records()) {
    const e = decodeEvent(r.data);
    assert.ok(ids.has(e.outletId));
    last.set(r.shard, r.sequence);
  }
  return last;
}

test('a split and a merge while outlets charge, and a second process', async () => {
  const before = (await shards()).sort((a, b) => (range(a)[0] < range(b)[0] ? -1 : 1));
  assert.equal(before.length, 4);
  const cyclers = await Promise.all(Array.from({ length: OUTLETS }, (_, n) => Cycler.create(n)));
  const { split, cut, left, right } = plan(before, cyclers);
  const eye = Eye.open();
  for (const c of cyclers) c.start(eye);
  const failed = Promise.race(cyclers.map((c) => c.run)).then(() => assert.fail('a flow ended by itself'));
  failed.catch(() => {});
  const flowing = (work) => Promise.race([work, failed]);

  await flowing(cycleEach(cyclers));
  const StreamName = NAMES.events;
  await world.cloud.kinesis.send(
    new SplitShardCommand({ StreamName, ShardToSplit: split.ShardId, NewStartingHashKey: String(cut) }),
  );
  await settled();
  const second = await world.serve('outlet,app');
  await flowing(cycleSome(cyclers));
  await world.cloud.kinesis.send(
    new MergeShardsCommand({ StreamName, ShardToMerge: left.ShardId, AdjacentShardToMerge: right.ShardId }),
  );
  await settled();
  const now = await shards();
  const children = now.filter((s) => parentsOf(s).length > 0);
  assert.deepEqual(
    children.map(parentsOf).sort((a, b) => b.length - a.length),
    [[left.ShardId, right.ShardId].sort(), [split.ShardId], [split.ShardId]],
  );
  await flowing(cycleEach(cyclers));
  await flowing(
    until('the second process reads shards, too', async () => {
      const owners = new Set([...eye.leases.outlet.values()].map((l) => l.leaseOwner).filter(Boolean));
      return owners.size === 2;
    }, LIMIT_MS),
  );

  for (const c of cyclers) c.stopped = true;
  await Promise.all(cyclers.map((c) => c.run));
  const sums = new Map(cyclers.flatMap((c) => [...c.sums]));
  await until('all sessions have ended with all that was sent', () =>
    [...sums].every(([id, sum]) => {
      const s = eye.sessions.get(id);
      return s?.outletState === 'ChargingFinished' && wh(s.powerConsumption) === sum;
    }),
  );
  assert.equal(eye.sessions.size, sums.size);
  for (const c of cyclers) {
    const o = await world.outlet(c.outletId);
    assert.equal(wh(o.totalPowerConsumption), c.wh, c.tag);
    assert.equal(o.totalChargingSessions, c.cycles, c.tag);
    assert.equal([...c.sums.values()].reduce((a, b) => a + b, 0), c.wh, c.tag);
  }
  const { body: books } = await call('GET', `${first.outlet}/api/books`);
  assert.equal(books.balanced, true, JSON.stringify(books));

  // What they leave behind when they end: nothing of theirs, and each shard read to its end.
  const exits = await Promise.all([first.stop(), second.stop()]);
  assert.deepEqual(exits.map((e) => e.code), [0, 0]);
  await eye.close();
  const last = await streamed(new Set(cyclers.map((c) => c.outletId)));
  for (const s of children)
    assert.equal(last.has(s.ShardId), cyclers.some((c) => falls(c, s)), `records in ${s.ShardId}`);
  for (const table of [NAMES.outletLeases, NAMES.appLeases]) {
    const leases = byKey(await world.rows(table));
    assert.deepEqual([...leases.keys()].sort(), now.map((s) => s.ShardId).sort(), table);
    for (const s of now) {
      const lease = leases.get(s.ShardId);
      const wanted = isOpen(s) ? (last.get(s.ShardId) ?? 'TRIM_HORIZON') : 'SHARD_END';
      assert.equal(lease.checkpoint, wanted, `${table}: ${s.ShardId}`);
      assert.equal(lease.leaseOwner, undefined, `${table}: ${s.ShardId}`);
      assert.deepEqual([...(lease.parentShardIds ?? [])].sort(), parentsOf(s), `${table}: ${s.ShardId}`);
    }
  }
  assert.deepEqual(await world.take('messages'), []);
  assert.deepEqual(await world.take('deadMessages'), []);
});
