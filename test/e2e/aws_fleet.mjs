// Devices behind a gateway that is not ours: what they say goes into the queue of messages, some of it twice; commands
// they find in the other queue.  Each reckons for itself what it has used.  And what must be true once all is quiet.
import assert from 'node:assert/strict';
import { ScanCommand } from '@aws-sdk/client-dynamodb';
import { ListShardsCommand } from '@aws-sdk/client-kinesis';
import { DeleteMessageBatchCommand, GetQueueAttributesCommand, ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import { deviceMessage, NAMES } from './aws.mjs';
import { Rng, mwh } from './crash_fleet.mjs';
import { newCustomer, newOutlet, outletOf, until } from './harness.mjs';

const SENDING = 4; // batches on their way at once
const ASK_MS = 4_000; // then a device presents its tag again
const ASKS = 15;

class FleetDevice {
  constructor(fleet, n, outletId, customer) {
    Object.assign(this, { fleet, n, outletId, customer, rng: new Rng(fleet.seed * 1000 + n) });
    this.sent = 0; // distinct messages
    this.again = []; // reports to be sent a second time, after others; what changes the state is repeated at once
    this.mwh = 0;
    this.cycles = 0;
    this.begun = []; // periodStarts of the commands to charge
  }

  /** Resolves when the queue has it. Two of one millisecond would have no order. */
  async post(state, kwh = 0, n = this.n) {
    const messageId = `f${this.fleet.seed}-${this.n}-${++this.sent}`;
    const m = deviceMessage(this.outletId, state, { rfidTag: state === 'Available' ? '' : this.customer.rfidTag, kwh, n, messageId });
    this.mwh += mwh(kwh);
    const all = [m, ...this.again.splice(0)];
    if (this.rng.below(8) === 0) (state === 'Charging' ? this.again : all).push(m);
    await Promise.all(all.map((one) => this.fleet.send(one)));
    const sentAt = Date.now();
    await until('the next millisecond', () => Date.now() > sentAt);
  }

  async #begin() {
    const n = (this.fleet.minute += 1); // names the request, over all devices
    const { periodStart } = deviceMessage(this.outletId, 'Charging', { n });
    const askedAt = Date.now();
    // A command that is repeated, since the tag was presented again, has the time at which charging began.
    const told = () => this.begun.some((at) => at === periodStart || Date.parse(at) >= askedAt);
    for (let i = 0; i < ASKS; i++) {
      await this.post('DeviceRequestsCharging', 0, n);
      this.fleet.asked += i > 0;
      const late = Date.now() + ASK_MS;
      await until('a command', () => told() || Date.now() > late);
      if (told()) return;
    }
    const row = await this.fleet.world.outlet(this.outletId);
    throw new Error(`outlet ${this.outletId} was never told to charge: ${JSON.stringify(row)}`);
  }

  async cycle(reports) {
    await this.post('CablePlugged');
    await this.#begin();
    for (let left = reports; left > 0; ) {
      const burst = Math.min(left, 1 + this.rng.below(10));
      await Promise.all(Array.from({ length: burst }, () => this.post('Charging', (1 + this.rng.below(500)) / 1000)));
      left -= burst;
    }
    await this.post('DeviceRequestsStop', (1 + this.rng.below(500)) / 1000);
    await this.post('Available');
    this.cycles++;
  }

  async run({ cycles, reports }) {
    while (!this.fleet.stopping && this.cycles < cycles) await this.cycle(reports);
  }
}

export class Fleet {
  /** The outlets and customers are made through processes of ours. */
  static async start(world, outletSide, appSide, { devices, seed = 1 }) {
    const f = new Fleet();
    Object.assign(f, { world, seed, minute: 0, asked: 0, posted: 0, waiting: [], sending: 0 });
    f.devices = await Promise.all(
      Array.from({ length: devices }, async (_, n) => {
        const outletId = await newOutlet(outletSide);
        return new FleetDevice(f, n, outletId, await newCustomer(appSide, `fleet-${seed}-${n}`));
      }),
    );
    f.byOutlet = new Map(f.devices.map((d) => [d.outletId, d]));
    f.listening = f.#listen();
    f.listening.catch(() => {}); // told by `end`
    return f;
  }

  /** Until `stopping` is set, or as often as is said. */
  async run({ cycles = Infinity, reports }) {
    await Promise.all(this.devices.map((d) => d.run({ cycles, reports })));
    await Promise.all(this.devices.flatMap((d) => d.again.splice(0).map((m) => this.send(m))));
  }

  async end() {
    this.over = true;
    await this.listening;
  }

  send(message) {
    return new Promise((done, failed) => {
      this.waiting.push({ message, done, failed });
      this.#flush();
    });
  }

  async #flush() {
    if (this.sending === SENDING) return;
    this.sending++;
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, 10);
      try {
        await this.world.send(...batch.map((b) => b.message));
        this.posted += batch.length;
        batch.forEach((b) => b.done());
      } catch (e) {
        batch.forEach((b) => b.failed(e));
      }
    }
    this.sending--;
  }

  async #listen() {
    const QueueUrl = this.world.urls.commands;
    const { sqs } = this.world.cloud;
    while (!this.over) {
      const { Messages = [] } = await sqs.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 1 }));
      if (Messages.length === 0) continue;
      for (const m of Messages.map((each) => JSON.parse(each.Body)))
        if (m.outletStateChange === 'Charging') this.byOutlet.get(m.outletId)?.begun.push(m.periodStart);
      const Entries = Messages.map((m, i) => ({ Id: String(i), ReceiptHandle: m.ReceiptHandle }));
      await sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }));
    }
  }

  figures() {
    const of = (fn) => this.devices.reduce((sum, d) => sum + fn(d), 0);
    return { messages: of((d) => d.sent), posted: this.posted, sessions: of((d) => d.cycles), askedAgain: this.asked };
  }

  /** What does not agree with the devices' reckoning, or is in limbo. */
  async differences(outletSide) {
    const { world } = this;
    const [outlets, sessions, items] = await Promise.all([NAMES.outlets, NAMES.sessions, NAMES.items].map((t) => world.rows(t)));
    const found = [];
    const byId = new Map(outlets.map((o) => [o.outletId, o]));
    for (const row of [...outlets, ...sessions])
      if (row.unsent !== undefined || row.unsentSince !== undefined) found.push(`unsent: ${row.sessionId ?? row.outletId}`);
    for (const s of sessions)
      if (s.outletState !== 'ChargingFinished' && (s.outletState !== 'DeviceDeniesCharging' || s.powerConsumption > 0))
        found.push(`session ${s.sessionId} is ${s.outletState}`);
    for (const i of items)
      if (/^(parked|letter|live)#/.test(i.pk) || /^parked#/.test(i.sk)) found.push(`item ${i.pk} ${i.sk}`);
    for (const d of this.devices) {
      const row = byId.get(d.outletId);
      const ours = sessions.filter((s) => s.outletId === d.outletId).reduce((sum, s) => sum + mwh(s.powerConsumption), 0);
      const unassigned = mwh((await outletOf(outletSide, d.outletId)).unassignedPowerConsumption);
      const loose = items.filter((i) => /^item#/.test(i.pk) && i.outletId === d.outletId).reduce((sum, i) => sum + i.mwh, 0);
      if (row.outletState !== 'Available') found.push(`outlet ${d.outletId} is ${row.outletState}`);
      if (mwh(row.totalPowerConsumption) !== d.mwh) found.push(`outlet ${d.outletId}: ${mwh(row.totalPowerConsumption)} mWh, not ${d.mwh}`);
      if (ours + unassigned !== d.mwh) found.push(`outlet ${d.outletId}: sessions ${ours} + unassigned ${unassigned} are not ${d.mwh}`);
      if (loose !== unassigned) found.push(`outlet ${d.outletId}: items ${loose} mWh, unassigned ${unassigned}`);
    }
    return found;
  }

  /** All queues are read to their end, and everything agrees. What is wrong is told if it stays. */
  async settle(outletSide, limitMs) {
    let found;
    const queue = each(100, () => inQueue(this.world, 'messages'));
    await until('the queue is empty', async () => (await queue()).all === 0, limitMs);
    const agrees = each(300, async () => (found = await this.differences(outletSide)).length === 0);
    await until('all agrees', agrees, limitMs).catch(() => {});
    assert.deepEqual(found.slice(0, 20), []);
    assert.equal((await inQueue(this.world, 'deadMessages')).all, 0);
    assert.deepEqual(await this.world.records(NAMES.deadLetters), []);
  }
}

export async function inQueue(world, queue) {
  const AttributeNames = ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'];
  const { Attributes } = await world.cloud.sqs.send(new GetQueueAttributesCommand({ QueueUrl: world.urls[queue], AttributeNames }));
  const [waiting, inHand] = AttributeNames.map((name) => Number(Attributes[name]));
  return { waiting, inHand, all: waiting + inHand };
}

/** For `until`, where a look costs more than 5 ms of somebody's time. */
export function each(ms, look) {
  let next = 0;
  return async () => {
    if (Date.now() < next) return false;
    const value = await look();
    next = Date.now() + ms;
    return value;
  };
}

export const workerOf = (server) => server.logs.find((l) => l.event === 'aws.started').worker;

const OF_LEASES = [
  ...['leaseKey', 'leaseOwner', 'leaseCounter', 'checkpoint', 'checkpointSubSequenceNumber'],
  ...['ownerSwitchesSinceCheckpoint', 'parentShardIds', 'parentShardId'],
];

/** The rows of a lease table; fails where zio-kinesis or the KCL could not read one. */
export async function leasesOf(world, table) {
  const { Items } = await world.cloud.dynamodb.send(new ScanCommand({ TableName: table, ConsistentRead: true }));
  return Items.map((i) => {
    const text = JSON.stringify(i);
    assert.deepEqual(Object.keys(i).filter((k) => !OF_LEASES.includes(k)), [], text);
    assert.match(i.leaseKey.S, /^shardId-\d{12}$/);
    assert.match(i.leaseCounter.N, /^\d+$/);
    assert.match(i.checkpoint.S, /^(\d{40,64}|TRIM_HORIZON|SHARD_END)$/, text);
    assert.match(i.checkpointSubSequenceNumber.N, /^\d+$/, text);
    assert.match(i.ownerSwitchesSinceCheckpoint.N, /^\d+$/, text);
    assert.ok(i.leaseOwner === undefined || i.leaseOwner.S.length > 0, text);
    assert.ok(i.parentShardIds === undefined || i.parentShardIds.SS.length > 0, text);
    assert.deepEqual(i.parentShardId, i.parentShardIds, text); // the one name is zio-kinesis's, the other the KCL's
    return {
      key: i.leaseKey.S,
      owner: i.leaseOwner?.S,
      counter: Number(i.leaseCounter.N),
      checkpoint: i.checkpoint.S,
      parents: i.parentShardIds?.SS ?? [],
    };
  });
}

export async function shardIds(world) {
  const { Shards } = await world.cloud.kinesis.send(new ListShardsCommand({ StreamName: NAMES.events }));
  return Shards.map((s) => s.ShardId).sort();
}

/** Every shard that is not read to its end is held by one of these processes. */
export async function heldBy(world, table, servers) {
  const [rows, shards] = await Promise.all([leasesOf(world, table), shardIds(world)]);
  const names = servers.map(workerOf);
  return shards.every((id) => rows.some((r) => r.key === id && (r.checkpoint === 'SHARD_END' || names.includes(r.owner))));
}

/**
 * SIGTERM, as a service manager sends it. The long polls on the stand-in end when something comes in (on AWS they may
 * take 20 s), so that it is given the plug of an outlet that is plugged in anyhow.
 */
export async function stopGracefully(world, server, outletId) {
  let n = 0;
  const stopped = server.stop();
  while (server.exit === undefined) {
    if (outletId) await world.send(deviceMessage(outletId, 'CablePlugged', { messageId: `nudge-${n++}` }));
    const next = Date.now() + 200;
    await until('the process ends, or the next nudge', () => server.exit !== undefined || Date.now() > next);
  }
  await stopped;
  assert.deepEqual(server.exit, { code: 0, signal: null }, server.logs.slice(-20).map((l) => l.raw).join('\n'));
}
