// What the tests of the aws engine share: stand-ins with everything provisioned, processes of ours in some roles, and
// what is looked at from outside by the SDK.
import assert from 'node:assert/strict';
import {
  CreateTableCommand,
  GetItemCommand,
  PutItemCommand,
  ScanCommand,
  waitUntilTableExists,
} from '@aws-sdk/client-dynamodb';
import {
  GetRecordsCommand,
  GetShardIteratorCommand,
  ListShardsCommand,
  PutRecordsCommand,
} from '@aws-sdk/client-kinesis';
import {
  DeleteMessageBatchCommand,
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
} from '@aws-sdk/client-sqs';
import { randomUUID } from 'node:crypto';
import { run, Server, until } from './harness.mjs';
import { decodeEvent, NAMES } from './original.mjs';
import { Cloud } from './standins.mjs';

export { NAMES };

/** A row as plain values: numbers for N, strings for S, bytes for B. */
export const plain = (item) =>
  item &&
  Object.fromEntries(
    Object.entries(item).map(([k, v]) => [
      k,
      v.N !== undefined ? Number(v.N) : (v.S ?? v.B ?? v.SS ?? v.BOOL ?? v.L ?? v.M),
    ]),
  );

export class AwsWorld {
  /** options: of Cloud.start, and { provision: false } for an empty cloud. */
  static async start({ provision = true, ...options } = {}) {
    const w = new AwsWorld();
    w.servers = [];
    w.cloud = await Cloud.start(options);
    w.env = w.cloud.env;
    try {
      if (provision) await w.provision();
    } catch (e) {
      await w.stop();
      throw e;
    }
    return w;
  }

  async provision() {
    const done = await run(['provision', '--engine', 'aws', '--yes'], { env: this.env });
    assert.equal(done.code, 0, `${done.stdout}\n${done.stderr}`);
    this.urls = {};
    for (const name of ['messages', 'deadMessages', 'commands'])
      this.urls[name] = (await this.cloud.sqs.send(new GetQueueUrlCommand({ QueueName: NAMES[name] }))).QueueUrl;
  }

  /** A process of ours. roles: 'outlet,app,gateway' or some of them; env goes over the world's own. */
  async serve(roles = 'outlet,app,gateway', { args = [], env = {}, ...options } = {}) {
    const s = await Server.start({
      ...options,
      roles: roles.split(','),
      args: ['--engine', 'aws', '--role', roles, '--log-level', 'info', ...args],
      env: { ...this.env, ...env },
    });
    this.servers.push(s);
    return s;
  }

  async stop() {
    await Promise.all(this.servers.map((s) => s.stop()));
    await this.cloud.stop();
  }

  // --- DynamoDB ---

  async createTable(TableName, AttributeName) {
    const key = {
      AttributeDefinitions: [{ AttributeName, AttributeType: 'S' }],
      KeySchema: [{ AttributeName, KeyType: 'HASH' }],
    };
    await this.cloud.dynamodb.send(new CreateTableCommand({ TableName, BillingMode: 'PAY_PER_REQUEST', ...key }));
    await waitUntilTableExists(
      { client: this.cloud.dynamodb, maxWaitTime: 20, minDelay: 0.1, maxDelay: 0.2 },
      { TableName },
    );
  }

  async row(table, key, id) {
    const { Item } = await this.cloud.dynamodb.send(
      new GetItemCommand({ TableName: table, Key: { [key]: { S: id } }, ConsistentRead: true }),
    );
    return plain(Item);
  }

  outlet(id) {
    return this.row(NAMES.outlets, 'outletId', id);
  }

  session(id) {
    return this.row(NAMES.sessions, 'sessionId', id);
  }

  async rows(table) {
    const items = [];
    let start;
    do {
      const page = await this.cloud.dynamodb.send(
        new ScanCommand({ TableName: table, ExclusiveStartKey: start, ConsistentRead: true }),
      );
      items.push(...page.Items.map(plain));
      start = page.LastEvaluatedKey;
    } while (start);
    return items;
  }

  /** An item as it stands in DynamoDB's JSON, for what the original left behind. */
  async putItem(table, item) {
    await this.cloud.dynamodb.send(new PutItemCommand({ TableName: table, Item: item }));
  }

  // --- SQS ---

  /** Device messages as another gateway, or the original's, would put them: objects, or text as it is. */
  async send(...messages) {
    for (let i = 0; i < messages.length; i += 10) {
      const Entries = messages
        .slice(i, i + 10)
        .map((m, n) => ({ Id: String(n), MessageBody: typeof m === 'string' ? m : JSON.stringify(m) }));
      const { Failed = [] } = await this.cloud.sqs.send(
        new SendMessageBatchCommand({ QueueUrl: this.urls.messages, Entries }),
      );
      assert.deepEqual(Failed, []);
    }
  }

  /** All that is in a queue now, taken out of it. */
  async take(queue, { attributes = false } = {}) {
    const QueueUrl = this.urls[queue];
    const all = [];
    for (;;) {
      const { Messages = [] } = await this.cloud.sqs.send(
        new ReceiveMessageCommand({
          QueueUrl,
          MaxNumberOfMessages: 10,
          WaitTimeSeconds: 0,
          MessageAttributeNames: attributes ? ['All'] : undefined,
        }),
      );
      if (Messages.length === 0) return all;
      const Entries = Messages.map((m, i) => ({ Id: String(i), ReceiptHandle: m.ReceiptHandle }));
      await this.cloud.sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }));
      all.push(...Messages);
    }
  }

  /** Commands for devices, until n have come. */
  async commands(n) {
    const all = [];
    await until(`${n} commands, there are ${all.length}`, async () => {
      all.push(...(await this.take('commands')).map((m) => JSON.parse(m.Body)));
      return all.length >= n;
    });
    return all;
  }

  // --- Kinesis ---

  /** Every record of a stream, shard by shard: { shard, sequence, key, data }. */
  async records(stream = NAMES.events) {
    const { Shards } = await this.cloud.kinesis.send(new ListShardsCommand({ StreamName: stream }));
    const all = [];
    for (const { ShardId } of Shards) {
      const at = { StreamName: stream, ShardId, ShardIteratorType: 'TRIM_HORIZON' };
      let { ShardIterator } = await this.cloud.kinesis.send(new GetShardIteratorCommand(at));
      while (ShardIterator) {
        const page = await this.cloud.kinesis.send(new GetRecordsCommand({ ShardIterator, Limit: 10000 }));
        all.push(
          ...page.Records.map((r) => ({
            shard: ShardId,
            sequence: r.SequenceNumber,
            key: r.PartitionKey,
            data: Buffer.from(r.Data),
            at: r.ApproximateArrivalTimestamp,
          })),
        );
        ShardIterator = page.Records.length > 0 ? page.NextShardIterator : null;
      }
    }
    return all;
  }

  /** The events of an outlet as the original decodes them, in the order of their shard. Fails where it would have died. */
  async events(outletId) {
    const records = await this.records();
    return records.map((r) => decodeEvent(r.data)).filter((e) => outletId === undefined || e.outletId === outletId);
  }

  async putRecords(...datas) {
    const Records = datas.map((Data) => ({ Data, PartitionKey: randomUUID() }));
    const { FailedRecordCount } = await this.cloud.kinesis.send(
      new PutRecordsCommand({ StreamName: NAMES.events, Records }),
    );
    assert.equal(FailedRecordCount, 0);
  }
}

/** A device's message as the original's devices send it, without messageId; minute n of its day. */
export function deviceMessage(outletId, outletStateChange, { rfidTag = '', kwh = 0, n = 0, ...more } = {}) {
  const at = (m) => new Date(Date.UTC(2026, 0, 1, 10, m)).toISOString().replace('.000Z', 'Z');
  return {
    outletId,
    rfidTag,
    periodStart: at(n),
    periodEnd: at(n + 1),
    outletStateChange,
    powerConsumption: kwh,
    ...more,
  };
}
