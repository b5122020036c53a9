// A small imitation of the original Outlet Backend and App Backend, by what is known of their behaviour on the wire:
// read-modify-write of whole rows without conditions, messages deleted before they are handled, events of one session
// after the other. Only what the swap tests need, and no better than it was.
import { randomUUID } from 'node:crypto';
import {
  BatchGetItemCommand,
  BatchWriteItemCommand,
  PutItemCommand,
  QueryCommand,
  ScanCommand,
} from '@aws-sdk/client-dynamodb';
import {
  GetRecordsCommand,
  GetShardIteratorCommand,
  ListShardsCommand,
  PutRecordsCommand,
} from '@aws-sdk/client-kinesis';
import {
  DeleteMessageCommand,
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
} from '@aws-sdk/client-sqs';
import protobuf from 'protobufjs';

const PREFIX = 'ev-charging_';
export const NAMES = {
  events: `${PREFIX}charging-events_stream`,
  deadLetters: `${PREFIX}charging-events-dead-letters_stream`,
  customers: `${PREFIX}customer_table`,
  byTag: `${PREFIX}customer-rfidTag_index`,
  outlets: `${PREFIX}charger-outlet_table`,
  sessions: `${PREFIX}charging-session_table`,
  byCustomer: `${PREFIX}active-charging-sessions_index`,
  outletLeases: `${PREFIX}charging-event-checkpoints-outlet-backend_table`,
  appLeases: `${PREFIX}charging-event-checkpoints-app-backend_table`,
  items: `${PREFIX}evcharge-items_table`,
  messages: `${PREFIX}device-to-outlet-backend_queue`,
  deadMessages: `${PREFIX}device-to-outlet-backend_dead-letters_queue`,
  commands: `${PREFIX}outlet-backend-to-device_queue`,
};

const { root } = protobuf.parse(
  `
  syntax = "proto3";
  message Timestamp { int64 seconds = 1; int32 nanos = 2; }
  message EventSessionProto {
    string sessionId = 1; string rfidTag = 2; Timestamp periodStart = 3; Timestamp periodEnd = 4; double powerConsumption = 5;
  }
  message ChargingEventProto { string initiator = 1; string outletId = 2; string outletState = 3; EventSessionProto recentSession = 4; }
`,
  { keepCase: true },
);
const Event = root.lookupType('ChargingEventProto');

const stamp = (iso) => ({ seconds: Math.floor(Date.parse(iso) / 1000), nanos: (Date.parse(iso) % 1000) * 1e6 });
const iso = (t) =>
  new Date(Number(t.seconds ?? 0) * 1000 + Math.floor((t.nanos ?? 0) / 1e6)).toISOString().replace('.000Z', 'Z');

/** { initiator, outletId, outletState, recentSession: { sessionId?, rfidTag, periodStart, periodEnd?, powerConsumption } } */
export function encodeEvent(e) {
  const s = e.recentSession;
  const session = {
    sessionId: s.sessionId ?? '',
    rfidTag: s.rfidTag,
    periodStart: stamp(s.periodStart),
    powerConsumption: s.powerConsumption,
  };
  if (s.periodEnd) session.periodEnd = stamp(s.periodEnd);
  return Buffer.from(Event.encode(Event.fromObject({ ...e, recentSession: session })).finish());
}

/** What the original makes of a record; throws where it would have died. */
export function decodeEvent(bytes) {
  const e = Event.decode(bytes);
  const s = e.recentSession;
  if (!s?.periodStart || !['AppBackend', 'OutletBackend'].includes(e.initiator))
    throw new Error('the original dies of this record');
  return {
    initiator: e.initiator,
    outletId: e.outletId,
    outletState: e.outletState,
    recentSession: {
      ...(s.sessionId ? { sessionId: s.sessionId } : {}),
      rfidTag: s.rfidTag,
      periodStart: iso(s.periodStart),
      ...(s.periodEnd ? { periodEnd: iso(s.periodEnd) } : {}),
      powerConsumption: s.powerConsumption,
    },
  };
}

const NUMBERS = new Set(['maxPower', 'powerConsumption', 'totalChargingSessions', 'totalPowerConsumption']);
const FIELDS = {
  [NAMES.outlets]: [
    'outletId',
    'chargerGroupId',
    'outletCode',
    'address',
    'maxPower',
    'outletState',
    'sessionId',
    'rfidTag',
    'startTime',
    'endTime',
    'powerConsumption',
    'totalChargingSessions',
    'totalPowerConsumption',
  ],
  [NAMES.sessions]: [
    'sessionId',
    'customerId',
    'rfidTag',
    'outletId',
    'outletState',
    'purchaseChannel',
    'startTime',
    'endTime',
    'powerConsumption',
  ],
  [NAMES.customers]: ['customerId', 'rfidTag', 'address', 'email', 'paymentMethod'],
};
const OPTIONAL = new Set(['sessionId', 'endTime']);

/** Rows as the original sees them: the fields it knows, and none that it does not. */
export class Rows {
  constructor(dynamodb) {
    this.dynamodb = dynamodb;
  }

  async get(table, key, id) {
    const answer = await this.dynamodb.send(
      new BatchGetItemCommand({ RequestItems: { [table]: { Keys: [{ [key]: { S: id } }] } } }),
    );
    const item = answer.Responses[table][0];
    if (!item) throw new Error(`value with key AttrMap(Map(${key} -> String(${id}))) not found`);
    const row = {};
    for (const field of FIELDS[table]) {
      const value = item[field];
      if (value === undefined && OPTIONAL.has(field) && !(table === NAMES.sessions && field === 'sessionId')) continue;
      if (value === undefined) throw new Error(`field '${field}' not found in Map(…)`);
      row[field] = NUMBERS.has(field) ? Number(value.N) : value.S;
      if (row[field] === undefined || Number.isNaN(row[field]))
        throw new Error(`${table}.${field} has the wrong type: ${JSON.stringify(value)}`);
    }
    return row;
  }

  /** The whole row, without a condition: what the original does not know is gone. */
  async put(table, row) {
    const item = {};
    for (const field of FIELDS[table])
      if (row[field] !== undefined) item[field] = NUMBERS.has(field) ? { N: String(row[field]) } : { S: row[field] };
    await this.dynamodb.send(
      new BatchWriteItemCommand({ RequestItems: { [table]: [{ PutRequest: { Item: item } }] } }),
    );
  }

  async query(table, index, key, value) {
    const answer = await this.dynamodb.send(
      new QueryCommand({
        TableName: table,
        IndexName: index,
        KeyConditionExpression: `${key} = :v0`,
        ExpressionAttributeValues: { ':v0': { S: value } },
      }),
    );
    return answer.Items;
  }
}

/** The lease table of a backend, by the rows that zio-kinesis writes and reads. */
export class Leases {
  constructor(dynamodb, table) {
    Object.assign(this, { dynamodb, table });
  }

  /** As worker1 left them: { shard: checkpoint }. A clean end releases them. */
  async put(checkpoints, { released = false, counter = 7 } = {}) {
    for (const [shard, checkpoint] of Object.entries(checkpoints)) {
      const Item = {
        leaseKey: { S: shard },
        leaseCounter: { N: String(counter) },
        checkpoint: { S: checkpoint },
        checkpointSubSequenceNumber: { N: '0' },
        ...(released ? {} : { leaseOwner: { S: 'worker1' } }),
        ...(/^\d/.test(checkpoint) ? { ownerSwitchesSinceCheckpoint: { N: '0' } } : {}),
      };
      await this.dynamodb.send(new PutItemCommand({ TableName: this.table, Item }));
    }
  }

  /** { shard: { counter, checkpoint, owner? } }; throws where the refresh of the original would have failed. */
  async get() {
    const { Items } = await this.dynamodb.send(new ScanCommand({ TableName: this.table, ConsistentRead: true }));
    const rows = Items.map((i) => {
      const sub = i.checkpointSubSequenceNumber?.N;
      if (i.leaseKey?.S === undefined || i.leaseCounter?.N === undefined) throw new Error('a lease without its key');
      if (i.checkpoint?.S !== undefined && sub === undefined) throw new Error('a checkpoint without its sub-sequence');
      if (i.parentShardIds && !i.parentShardIds.SS) throw new Error('parents that are no set');
      if (i.leaseOwner && i.leaseOwner.S === undefined) throw new Error('an owner that is no text');
      const owner = i.leaseOwner?.S;
      return [i.leaseKey.S, { counter: Number(i.leaseCounter.N), checkpoint: i.checkpoint?.S, sub, owner }];
    });
    return Object.fromEntries(rows);
  }

  /** Where a backend that takes them goes on; fails if somebody still has one. */
  async released() {
    const rows = Object.entries(await this.get());
    for (const [shard, { owner }] of rows) if (owner !== undefined) throw new Error(`${shard} is still ${owner}'s`);
    return Object.fromEntries(rows.map(([shard, { checkpoint }]) => [shard, checkpoint ?? 'TRIM_HORIZON']));
  }
}

/**
 * Reads the stream, all shards, each record once: from where it stood when this was made (LATEST), from its beginning
 * (TRIM_HORIZON), or behind the checkpoints of a lease table ({ shard: checkpoint }).
 */
class Reader {
  static async open(kinesis, from = 'LATEST') {
    const r = new Reader();
    r.kinesis = kinesis;
    const { Shards } = await kinesis.send(new ListShardsCommand({ StreamName: NAMES.events }));
    r.iterators = await Promise.all(
      Shards.map(async ({ ShardId }) => {
        const checkpoint = typeof from === 'string' ? from : (from[ShardId] ?? 'TRIM_HORIZON');
        const type = /^\d+$/.test(checkpoint)
          ? { ShardIteratorType: 'AFTER_SEQUENCE_NUMBER', StartingSequenceNumber: checkpoint }
          : { ShardIteratorType: checkpoint };
        const at = { StreamName: NAMES.events, ShardId, ...type };
        return (await kinesis.send(new GetShardIteratorCommand(at))).ShardIterator;
      }),
    );
    return r;
  }

  async next() {
    const records = [];
    for (const [i, iterator] of this.iterators.entries()) {
      if (!iterator) continue;
      const answer = await this.kinesis.send(new GetRecordsCommand({ ShardIterator: iterator, Limit: 1000 }));
      this.iterators[i] = answer.NextShardIterator;
      records.push(...answer.Records);
    }
    return records.map((r) => decodeEvent(r.Data));
  }
}

class Backend {
  async open({ sqs, kinesis, dynamodb }, startAt) {
    Object.assign(this, { sqs, kinesis, dynamodb, rows: new Rows(dynamodb), problems: [] });
    this.reader = await Reader.open(kinesis, startAt);
    return this;
  }

  async putEvent(initiator, outletId, outletState, recentSession) {
    const Data = encodeEvent({ initiator, outletId, outletState, recentSession });
    await this.kinesis.send(
      new PutRecordsCommand({ StreamName: NAMES.events, Records: [{ Data, PartitionKey: randomUUID() }] }),
    );
  }

  /** One failed handler is a dead letter, or only printed; it stops nothing. */
  async attempt(fn) {
    try {
      await fn();
    } catch (e) {
      this.problems.push(e.message);
    }
  }
}

export class OriginalOutletBackend extends Backend {
  static async open(cloud, startAt) {
    const b = await new OriginalOutletBackend().open(cloud, startAt);
    b.queue = (await cloud.sqs.send(new GetQueueUrlCommand({ QueueName: NAMES.messages }))).QueueUrl;
    b.out = (await cloud.sqs.send(new GetQueueUrlCommand({ QueueName: NAMES.commands }))).QueueUrl;
    return b;
  }

  /** One turn: a message, if there is one, then the events of the other backend. How much it did. */
  async turn() {
    const { Messages = [] } = await this.sqs.send(
      new ReceiveMessageCommand({
        QueueUrl: this.queue,
        MaxNumberOfMessages: 1,
        WaitTimeSeconds: 0,
        VisibilityTimeout: 30,
      }),
    );
    for (const m of Messages) {
      await this.sqs.send(new DeleteMessageCommand({ QueueUrl: this.queue, ReceiptHandle: m.ReceiptHandle }));
      await this.attempt(() => this.#message(JSON.parse(m.Body)));
    }
    const events = (await this.reader.next()).filter((e) => e.initiator === 'AppBackend');
    for (const e of events) await this.attempt(() => this.#event(e));
    return Messages.length + events.length;
  }

  async #outlet(id, ...allowed) {
    const row = await this.rows.get(NAMES.outlets, 'outletId', id);
    if (!allowed.includes(row.outletState))
      throw new Error(`outlet state must be in one of { ${allowed.sort().join(', ')} }, is ${row.outletState}`);
    return row;
  }

  async #put(row) {
    await this.rows.put(NAMES.outlets, row);
  }

  async #tell(e, state, session) {
    await this.putEvent('OutletBackend', e.outletId, state, session);
  }

  async #message(m) {
    const sum = (row) => ({
      ...row,
      endTime: m.periodEnd,
      powerConsumption: row.powerConsumption + m.powerConsumption,
      totalPowerConsumption: row.totalPowerConsumption + m.powerConsumption,
    });
    const session = (row) => ({
      sessionId: row.sessionId,
      rfidTag: row.rfidTag,
      periodStart: row.startTime,
      periodEnd: row.endTime,
      powerConsumption: row.powerConsumption,
    });
    if (m.outletStateChange === 'Available')
      return this.#put({ ...(await this.#outlet(m.outletId, 'CablePlugged')), outletState: 'Available' });
    if (m.outletStateChange === 'CablePlugged')
      return this.#put({
        ...(await this.#outlet(m.outletId, 'Available', 'ChargingFinished')),
        outletState: 'CablePlugged',
      });
    if (m.outletStateChange === 'DeviceRequestsCharging') {
      await this.#outlet(m.outletId, 'CablePlugged');
      return this.#tell(m, 'DeviceRequestsCharging', {
        rfidTag: m.rfidTag,
        periodStart: m.periodStart,
        periodEnd: m.periodEnd,
        powerConsumption: m.powerConsumption,
      });
    }
    if (m.outletStateChange === 'Charging') {
      await this.#outlet(m.outletId, 'CablePlugged', 'Charging'); // it looks twice: once to allow, once to change
      const row = { ...sum(await this.#outlet(m.outletId, 'CablePlugged', 'Charging')), outletState: 'Charging' };
      await this.#put(row);
      return this.#tell(m, 'Charging', session(row));
    }
    if (m.outletStateChange === 'DeviceRequestsStop') {
      await this.#outlet(m.outletId, 'Charging');
      const row = { ...sum(await this.#outlet(m.outletId, 'Charging')), outletState: 'ChargingFinished' };
      await this.#put(row);
      return this.#tell(m, 'ChargingFinished', session(row));
    }
    throw new Error(`dropped: ${m.outletStateChange}`);
  }

  async #event(e) {
    const s = e.recentSession;
    if (e.outletState === 'AppDeniesCharging') {
      const row = await this.rows.get(NAMES.outlets, 'outletId', e.outletId);
      delete row.sessionId;
      return this.#put({ ...row, outletState: 'CablePlugged', rfidTag: '', startTime: new Date().toISOString() });
    }
    if (e.outletState === 'AppRequestsCharging' || e.outletState === 'Charging') {
      const row = await this.rows.get(NAMES.outlets, 'outletId', e.outletId);
      if (e.outletState === 'AppRequestsCharging' && row.outletState !== 'CablePlugged')
        return this.#tell(e, 'DeviceDeniesCharging', s);
      if (!['CablePlugged', 'Charging'].includes(row.outletState) || !s.sessionId)
        throw new Error(`cannot charge in ${row.outletState}`);
      if (e.outletState === 'AppRequestsCharging') await this.#outlet(e.outletId, 'CablePlugged', 'Charging');
      await this.#put({
        ...row,
        outletState: 'Charging',
        rfidTag: s.rfidTag,
        sessionId: s.sessionId,
        startTime: new Date().toISOString(),
        powerConsumption: 0,
        totalChargingSessions: row.totalChargingSessions + 1,
      });
      return this.#command(e, 'Charging');
    }
    if (e.outletState === 'AppRequestsStop') return this.#command(e, 'AppRequestsStop');
    throw new Error(`dropped: ${e.outletState}`);
  }

  async #command(e, state) {
    const s = e.recentSession;
    const body = {
      outletId: e.outletId,
      rfidTag: s.rfidTag,
      periodStart: s.periodStart,
      periodEnd: s.periodEnd ?? new Date().toISOString(),
      outletStateChange: state,
      powerConsumption: s.powerConsumption,
    };
    await this.sqs.send(
      new SendMessageBatchCommand({ QueueUrl: this.out, Entries: [{ Id: '0', MessageBody: JSON.stringify(body) }] }),
    );
  }
}

const LIVE = ['AppRequestsCharging', 'DeviceRequestsCharging', 'Charging', 'AppRequestsStop', 'DeviceRequestsStop'];

export class OriginalAppBackend extends Backend {
  static async open(cloud, startAt) {
    return new OriginalAppBackend().open(cloud, startAt);
  }

  async turn() {
    const events = (await this.reader.next()).filter((e) => e.initiator === 'OutletBackend');
    for (const e of events) await this.attempt(() => this.#event(e));
    return events.length;
  }

  async customer(rfidTag = randomUUID()) {
    const row = {
      customerId: randomUUID(),
      rfidTag,
      address: 'Side Street 2',
      email: 'anna@example.org',
      paymentMethod: 'invoice',
    };
    await this.rows.put(NAMES.customers, row);
    return row;
  }

  /** Start and stop by the app's HTTP routes. */
  async start(customerId, outletId) {
    const customer = await this.rows.get(NAMES.customers, 'customerId', customerId);
    const row = {
      sessionId: randomUUID(),
      customerId,
      rfidTag: customer.rfidTag,
      outletId,
      outletState: 'AppRequestsCharging',
      purchaseChannel: 'MobileApp',
      startTime: new Date().toISOString(),
      powerConsumption: 0,
    };
    await this.rows.put(NAMES.sessions, row);
    await this.putEvent('AppBackend', outletId, 'AppRequestsCharging', {
      sessionId: row.sessionId,
      rfidTag: row.rfidTag,
      periodStart: row.startTime,
      powerConsumption: 0,
    });
    return row;
  }

  async stop(sessionId) {
    const row = await this.rows.get(NAMES.sessions, 'sessionId', sessionId);
    if (row.outletState !== 'Charging')
      throw new Error('outlet state must be in one of { Charging } in order to transition into AppRequestsStop');
    await this.rows.put(NAMES.sessions, { ...row, outletState: 'AppRequestsStop' });
    await this.putEvent('AppBackend', row.outletId, 'AppRequestsStop', {
      sessionId,
      rfidTag: row.rfidTag,
      periodStart: row.startTime,
      periodEnd: row.endTime,
      powerConsumption: row.powerConsumption,
    });
  }

  async #event(e) {
    const s = e.recentSession;
    if (e.outletState === 'DeviceRequestsCharging') return this.#request(e);
    if (!s.sessionId) throw new Error('no sessionId');
    const row = await this.rows.get(NAMES.sessions, 'sessionId', s.sessionId);
    if (e.outletState === 'DeviceDeniesCharging')
      return this.rows.put(NAMES.sessions, { ...row, outletState: 'DeviceDeniesCharging' });
    const allowed =
      e.outletState === 'Charging'
        ? ['AppRequestsCharging', 'Charging']
        : ['AppRequestsStop', 'Charging', 'DeviceRequestsStop'];
    if (!allowed.includes(row.outletState))
      throw new Error(
        `outlet state must be in one of { ${allowed.join(', ')} } in order to transition into ${e.outletState}`,
      );
    await this.rows.put(NAMES.sessions, {
      ...row,
      outletState: e.outletState,
      endTime: s.periodEnd ?? new Date().toISOString(),
      powerConsumption: s.powerConsumption,
    });
  }

  async #request(e) {
    const s = e.recentSession;
    const [customer] = await this.rows.query(NAMES.customers, NAMES.byTag, 'rfidTag', s.rfidTag);
    if (!customer) return this.putEvent('AppBackend', e.outletId, 'AppDeniesCharging', s);
    const customerId = customer.customerId.S;
    const active = (await this.rows.query(NAMES.sessions, NAMES.byCustomer, 'customerId', customerId)).find(
      (i) =>
        i.outletId.S === e.outletId &&
        LIVE.includes(i.outletState.S) &&
        Date.parse(i.startTime.S) > Date.now() - 120_000,
    );
    const row = active
      ? await this.rows.get(NAMES.sessions, 'sessionId', active.sessionId.S)
      : {
          sessionId: randomUUID(),
          customerId,
          rfidTag: s.rfidTag,
          outletId: e.outletId,
          outletState: 'Charging',
          purchaseChannel: 'OutletDevice',
          startTime: s.periodStart,
          endTime: s.periodEnd,
          powerConsumption: s.powerConsumption,
        };
    await this.rows.put(NAMES.sessions, row);
    await this.putEvent('AppBackend', e.outletId, 'Charging', { ...s, sessionId: row.sessionId });
  }
}
