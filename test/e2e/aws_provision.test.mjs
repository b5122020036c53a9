// `evcharge provision` against programs that stand in for AWS, looked at by AWS's own clients.
import { DescribeTableCommand, DeleteTableCommand } from '@aws-sdk/client-dynamodb';
import { CreateStreamCommand, DescribeStreamSummaryCommand } from '@aws-sdk/client-kinesis';
import { GetQueueAttributesCommand, GetQueueUrlCommand, SetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { run, until } from './harness.mjs';
import { resources } from './hcl.mjs';
import { Cloud, StandIn, awsEnv } from './standins.mjs';

const NOTE = /^evcharge: \S+evcharge-items_table: this endpoint knows no timeToLive\n$/; // dynalite has none
const MESSAGES_IN = 'device-to-outlet-backend_queue';

const provision = (env, ...args) => run(['provision', '--engine', 'aws', ...args], { env });

/** The plan as JSON, by name. */
async function plan(env, ...args) {
  const r = await provision(env, '--plan', '--json', ...args);
  const parsed = JSON.parse(r.stdout);
  return { code: r.code, ...parsed, by: new Map(parsed.resources.map((x) => [x.name, x])) };
}

const settings = (resource, field = 'found') => Object.fromEntries(resource.settings.map((s) => [s.name, s[field]]));

async function queueUrl(cloud, name) {
  return (await cloud.sqs.send(new GetQueueUrlCommand({ QueueName: name }))).QueueUrl;
}

async function queueAttributes(cloud, name) {
  const QueueUrl = await queueUrl(cloud, name);
  return (await cloud.sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }))).Attributes;
}

async function tableOf(cloud, name) {
  return (await cloud.dynamodb.send(new DescribeTableCommand({ TableName: name }))).Table;
}

const shape = (keys, attributes) => ({
  key: keys.map((k) => `${k.KeyType} ${k.AttributeName} ${attributes.find((a) => a.AttributeName === k.AttributeName).AttributeType}`),
});

for (const kinesis of ['kinesalite', 'kinesis-local']) {
  describe(`with ${kinesis}`, () => {
    let cloud;
    before(async () => {
      cloud = await Cloud.start({ kinesis });
    });
    after(() => cloud.stop());

    test('the plan of an empty account creates everything, and creates nothing', async () => {
      for (let i = 0; i < 2; i++) {
        const p = await plan(cloud.env);
        assert.equal(p.code, 0);
        assert.equal(p.region, 'eu-west-1');
        assert.equal(p.resources.length, 12);
        assert.ok(p.resources.every((r) => r.action === 'create' && r.settings.every((s) => s.found === null)));
      }
    });

    test('without a terminal nothing is created unless --yes says so', async () => {
      const r = await provision(cloud.env);
      assert.equal(r.code, 2);
      assert.equal(r.stderr, 'evcharge: no terminal to ask on: --yes creates, --plan only shows\n');
      assert.equal((await plan(cloud.env)).resources[0].action, 'create');
    });

    test('everything is created', async () => {
      const r = await provision(cloud.env, '--yes');
      assert.equal(r.code, 0, r.stderr);
      assert.match(r.stderr, NOTE);
      assert.equal(r.stdout.match(/^created /gm).length, 12);
    });

    test('queues are as the clients of AWS see them', async () => {
      for (const name of ['device-to-outlet-backend', 'outlet-backend-to-device']) {
        const a = await queueAttributes(cloud, `ev-charging_${name}_queue`);
        const dead = await queueAttributes(cloud, `ev-charging_${name}_dead-letters_queue`);
        assert.equal(a.VisibilityTimeout, '30');
        assert.equal(a.MessageRetentionPeriod, '1209600');
        assert.equal(a.ReceiveMessageWaitTimeSeconds, '10');
        const policy = JSON.parse(a.RedrivePolicy);
        assert.equal(policy.deadLetterTargetArn, dead.QueueArn);
        assert.equal(Number(policy.maxReceiveCount), 1000);
        assert.equal(dead.MessageRetentionPeriod, '1209600');
        assert.equal(dead.RedrivePolicy, undefined);
      }
    });

    test('streams are', async () => {
      for (const [name, shards] of [['charging-events', 4], ['charging-events-dead-letters', 1]]) {
        const StreamName = `ev-charging_${name}_stream`;
        const s = (await cloud.kinesis.send(new DescribeStreamSummaryCommand({ StreamName }))).StreamDescriptionSummary;
        assert.equal(s.StreamStatus, 'ACTIVE');
        assert.equal(s.OpenShardCount, shards);
        assert.equal(s.RetentionPeriodHours, 24);
      }
    });

    test('tables are', async () => {
      const wanted = {
        'charging-event-checkpoints-outlet-backend_table': [['HASH leaseKey S'], 4],
        'charging-event-checkpoints-app-backend_table': [['HASH leaseKey S'], 4],
        customer_table: [['HASH customerId S'], 0, 'customer-rfidTag_index', ['HASH rfidTag S'], ['customerId']],
        'charger-outlet_table': [['HASH outletId S'], 0],
        'charging-session_table': [
          ['HASH sessionId S'], 0, 'active-charging-sessions_index', ['HASH customerId S'],
          ['outletId', 'outletState', 'sessionId', 'startTime'],
        ],
        'evcharge-items_table': [['HASH pk S', 'RANGE sk S'], 0, 'evcharge-items_index', ['HASH gpk S', 'RANGE gsk S'], 'ALL'],
      };
      for (const [name, [key, units, index, indexKey, projected]] of Object.entries(wanted)) {
        const t = await tableOf(cloud, `ev-charging_${name}`);
        assert.equal(t.TableStatus, 'ACTIVE');
        assert.deepEqual(shape(t.KeySchema, t.AttributeDefinitions).key, key);
        assert.equal(t.ProvisionedThroughput.ReadCapacityUnits, units);
        assert.equal(t.ProvisionedThroughput.WriteCapacityUnits, units);
        assert.equal(t.BillingModeSummary?.BillingMode ?? 'PROVISIONED', units === 0 ? 'PAY_PER_REQUEST' : 'PROVISIONED');
        assert.equal(t.GlobalSecondaryIndexes?.length ?? 0, index ? 1 : 0);
        if (!index) continue;
        const [x] = t.GlobalSecondaryIndexes;
        assert.equal(x.IndexName, `ev-charging_${index}`);
        assert.deepEqual(shape(x.KeySchema, t.AttributeDefinitions).key, indexKey);
        assert.equal(x.Projection.ProjectionType, projected === 'ALL' ? 'ALL' : 'INCLUDE');
        assert.deepEqual(x.Projection.NonKeyAttributes?.toSorted() ?? 'ALL', projected);
      }
    });

    test('again: nothing is created, and the time to live that this endpoint lacks is named', async () => {
      const r = await provision(cloud.env, '--yes');
      assert.equal(r.code, 0, r.stderr);
      assert.match(r.stderr, NOTE);
      assert.equal(r.stdout.match(/^as wanted /gm).length, 12);
    });

    test('what differs is shown with exit code 3, and left alone', async () => {
      const QueueUrl = await queueUrl(cloud, `ev-charging_${MESSAGES_IN}`);
      const change = (Attributes) => cloud.sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes }));
      await change({ MessageRetentionPeriod: '86400', VisibilityTimeout: '31' });
      for (const word of ['--plan', '--yes']) {
        const r = await provision(cloud.env, word);
        assert.equal(r.code, 3);
        assert.match(r.stdout, new RegExp(`^differs +queue +ev-charging_${MESSAGES_IN}$`, 'm'));
        assert.match(r.stdout, /_queue: MessageRetentionPeriod is 86400, wanted is 1209600\n/);
        assert.match(r.stdout, /_queue: VisibilityTimeout is 31, wanted is 30\n/);
        assert.equal(r.stdout.match(/, wanted is /g).length, 2);
      }
      const p = await plan(cloud.env);
      assert.equal(p.code, 3);
      const queue = p.by.get(`ev-charging_${MESSAGES_IN}`);
      assert.equal(queue.action, 'differs');
      assert.deepEqual(queue.settings.filter((s) => !s.good).map((s) => s.name), ['MessageRetentionPeriod', 'VisibilityTimeout']);
      assert.equal((await queueAttributes(cloud, `ev-charging_${MESSAGES_IN}`)).VisibilityTimeout, '31');
      await change({ MessageRetentionPeriod: '1209600', VisibilityTimeout: '30' });
      assert.equal((await plan(cloud.env)).code, 0);
    });

    test('what is missing is created beside what is there', async () => {
      await cloud.dynamodb.send(new DeleteTableCommand({ TableName: 'ev-charging_charger-outlet_table' }));
      const isGone = async () => (await plan(cloud.env)).by.get('ev-charging_charger-outlet_table').action === 'create';
      await until('the table is gone', isGone);
      const r = await provision(cloud.env, '--yes', '--json');
      assert.equal(r.code, 0, r.stderr);
      const created = JSON.parse(r.stdout).resources.filter((x) => x.created);
      assert.deepEqual(created.map((x) => x.name), ['ev-charging_charger-outlet_table']);
    });

    test('another prefix is another system; several processes create it at once', async () => {
      const all = await Promise.all([1, 2, 3].map(() => provision(cloud.env, '--yes', '--json', '--prefix', 'other_')));
      for (const r of all) {
        assert.equal(r.code, 0, r.stderr);
        const { resources: found } = JSON.parse(r.stdout);
        assert.equal(found.length, 12);
        assert.ok(found.every((x) => x.action === 'none' && x.name.startsWith('other_')));
      }
      assert.equal((await tableOf(cloud, 'other_customer_table')).TableStatus, 'ACTIVE');
    });
  });
}

describe('with services that are slow', () => {
  let cloud;
  before(async () => {
    cloud = await Cloud.start({ ms: 1500 });
  });
  after(() => cloud.stop());

  test('what somebody else has begun to create is waited for', async () => {
    await cloud.kinesis.send(new CreateStreamCommand({ StreamName: 'ev-charging_charging-events_stream', ShardCount: 4 }));
    assert.equal((await plan(cloud.env)).by.get('ev-charging_charging-events_stream').action, 'wait');
    const r = await provision(cloud.env, '--yes', '--json');
    assert.equal(r.code, 0, r.stderr);
    const stream = JSON.parse(r.stdout).resources.find((x) => x.name === 'ev-charging_charging-events_stream');
    assert.equal(stream.action, 'none');
    assert.equal(stream.created, false);
  });

  test('waiting has a limit, and the next run goes on', async () => {
    const late = await provision(cloud.env, '--yes', '--timeout', '1', '--prefix', 'late_');
    assert.equal(late.code, 1);
    assert.match(late.stderr, /^evcharge: late_\S+: cannot be used yet; run it again\n$/);
    assert.equal((await provision(cloud.env, '--yes', '--prefix', 'late_')).code, 0);
  });
});

// --- The same in Terraform ---

function keyText(body, hash, range) {
  const type = (name) => body.blocks.find((b) => b.type === 'attribute' && b.body.name === name).body.type;
  return [hash, range].filter(Boolean).map((name) => `${name} ${type(name)}`).join(', ');
}

function tableSettings(body) {
  const found = { key: keyText(body, body.hash_key, body.range_key) };
  for (const { type, body: b } of body.blocks) {
    if (type === 'global_secondary_index') {
      const include = b.non_key_attributes ? ` ${b.non_key_attributes.join(', ')}` : '';
      found.index = `${b.name} (${keyText(body, b.hash_key, b.range_key)}) ${b.projection_type}${include}`;
    } else if (type === 'ttl') {
      if (b.enabled) found.timeToLive = b.attribute_name;
    } else {
      assert.equal(type, 'attribute');
    }
  }
  const provisioned = body.billing_mode === 'PROVISIONED';
  found.capacity = provisioned ? `${body.read_capacity} read, ${body.write_capacity} write` : 'on demand';
  return found;
}

function queueSettings(body, nameOf) {
  const found = { MessageRetentionPeriod: String(body.message_retention_seconds) };
  if (body.visibility_timeout_seconds) found.VisibilityTimeout = String(body.visibility_timeout_seconds);
  if (body.receive_wait_time_seconds) found.ReceiveMessageWaitTimeSeconds = String(body.receive_wait_time_seconds);
  if (body.redrive_policy) {
    found.deadLetterQueue = nameOf.get(body.redrive_policy.deadLetterTargetArn.reference.replace(/\.arn$/, ''));
    found.maxReceiveCount = String(body.redrive_policy.maxReceiveCount);
  }
  return found;
}

const streamSettings = (body) => ({ OpenShardCount: String(body.shard_count), RetentionPeriodHours: String(body.retention_period) });

test('Terraform describes what provision creates', async () => {
  const kinds = { aws_sqs_queue: queueSettings, aws_kinesis_stream: streamSettings, aws_dynamodb_table: tableSettings };
  const text = await readFile(new URL('../../deploy/aws/main.tf', import.meta.url), 'utf8');
  const described = resources(text, Object.keys(kinds), { 'var.prefix': 'tf_' });
  const nameOf = new Map(described.map((r) => [`${r.type}.${r.label}`, r.body.name]));
  const cloud = await Cloud.start();
  try {
    const p = await plan(cloud.env, '--prefix', 'tf_');
    assert.deepEqual([...nameOf.values()].toSorted(), [...p.by.keys()].toSorted());
    for (const r of described)
      assert.deepEqual(kinds[r.type](r.body, nameOf), settings(p.by.get(r.body.name), 'wanted'), r.body.name);
  } finally {
    await cloud.stop();
  }
});

// --- What goes wrong ---

/** A service that answers every call with what fn(operation) says. */
async function service(fn) {
  const server = http.createServer((req, res) => {
    req.resume().on('end', () => {
      const [status, body] = fn(req.headers['x-amz-target'].split('.').at(-1));
      res.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(body));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => new Promise((done) => server.close(done).closeAllConnections()) };
}

describe('what goes wrong is told in one line', () => {
  let cloud;
  before(async () => {
    cloud = await Cloud.start();
  });
  after(() => cloud.stop());

  async function fails(code, words, env, ...args) {
    const r = await provision(env, ...args);
    assert.equal(r.code, code, r.stdout + r.stderr);
    assert.match(r.stderr, words);
    assert.equal(r.stderr.trimEnd().split('\n').length, 1);
    assert.equal(r.stdout, '');
  }

  test('a permission that is missing, with the resource and the action', async () => {
    for (const denied of ['DescribeTable', 'CreateTable']) {
      const s = await service((operation) =>
        operation === denied
          ? [400, { __type: 'com.amazon.coral.service#AccessDeniedException', Message: 'User: arn:aws:iam::1:user/x is not authorized' }]
          : [400, { __type: 'com.amazonaws.dynamodb.v20120810#ResourceNotFoundException', message: 'Requested resource not found' }],
      );
      const words = new RegExp(`^evcharge: ev-charging_\\S+outlet-backend_table: the permission dynamodb:${denied} is missing$`, 'm');
      await fails(1, words, { ...cloud.env, AWS_ENDPOINT_URL_DYNAMODB: s.url }, '--yes');
      await s.close();
    }
  });

  test('what is being deleted is not created', async () => {
    const Table = { TableStatus: 'DELETING', AttributeDefinitions: [], KeySchema: [] };
    const s = await service((operation) => (operation === 'DescribeTable' ? [200, { Table }] : [500, {}]));
    const env = { ...cloud.env, AWS_ENDPOINT_URL_DYNAMODB: s.url };
    const p = await plan(env, '--prefix', 'stuck_');
    assert.equal(p.code, 3);
    assert.equal(p.by.get('stuck_customer_table').action, 'stuck');
    await fails(1, /_table: is being deleted; run it again when it is gone$/m, env, '--yes', '--prefix', 'stuck_');
    assert.equal((await plan(env, '--prefix', 'stuck_')).by.get('stuck_charging-events_stream').action, 'create');
    await s.close();
  });

  test('an answer that is something else', async () => {
    const s = await service(() => [200, { hello: 'world' }]);
    const env = { ...cloud.env, AWS_ENDPOINT_URL_DYNAMODB: s.url };
    await fails(1, /_table: DescribeTable was answered with something else$/m, env, '--plan');
    await s.close();
  });

  test('no keys, no region, nobody there', async () => {
    const { AWS_ACCESS_KEY_ID: _, ...env } = cloud.env;
    await fails(1, /NoCredentials|no .*keys|credential/i, { ...env, AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' }, '--plan');
    await fails(1, /region/, { ...cloud.env, AWS_REGION: '', AWS_DEFAULT_REGION: '' }, '--plan');
    const gone = await StandIn.start('fauxqs');
    await gone.stop();
    await fails(1, /_queue: GetQueueUrl: /, awsEnv({ sqs: gone.url, kinesis: gone.url, dynamodb: gone.url }), '--plan');
  });

  test('a region and a profile by option', async () => {
    assert.equal((await plan({ ...cloud.env, AWS_REGION: '' }, '--region', 'eu-north-1')).region, 'eu-north-1');
    await fails(1, /nobody|profile/, cloud.env, '--plan', '--profile', 'nobody');
  });

  test('words that are wrong', async () => {
    for (const words of [['--plan'], ['--plan', '--engine', 'embedded']]) {
      const r = await run(['provision', ...words], { env: cloud.env });
      assert.equal(r.code, 2);
      assert.match(r.stderr, /^evcharge: --engine aws is wanted/);
    }
    await fails(2, /--plan and --yes/, cloud.env, '--plan', '--yes');
    await fails(2, /--prefix wants/, cloud.env, '--plan', '--prefix', 'a b');
    await fails(2, /--prefix wants/, cloud.env, '--plan', '--prefix', 'x'.repeat(25));
    await fails(2, /--timeout wants/, cloud.env, '--plan', '--timeout', '0');
    await fails(2, /region/, cloud.env, '--plan', '--region', 'not a region');
    await fails(2, /unknown option --pln \(did you mean --plan\?\)/, cloud.env, '--pln');
  });

  test('on a terminal it asks, and only `y` creates', async () => {
    for (const [answer, words, action] of [['n', /nothing was created/, 'create'], ['y', /created +table/, 'none']]) {
      const line = `'${process.env.EVCHARGE_BIN}' provision --engine aws --prefix asked_`;
      const env = { ...process.env, ...cloud.env };
      const child = spawn('script', ['-qec', line, '/dev/null'], { env, stdio: ['pipe', 'pipe', 'inherit'] });
      let text = '';
      child.stdout.on('data', (d) => {
        text += d;
        if (text.endsWith('[y/N] ')) child.stdin.write(`${answer}\n`);
      });
      const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
      const [code] = await once(child, 'close');
      clearTimeout(timer);
      assert.match(text, /^to create +table +asked_customer_table\r$/m);
      assert.match(text, /Create what is missing \(12\) in eu-west-1\?/);
      assert.match(text, words);
      assert.equal(code, answer === 'y' ? 0 : 1);
      assert.equal((await plan(cloud.env, '--prefix', 'asked_')).by.get('asked_customer_table').action, action);
    }
  });
});
