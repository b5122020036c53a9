// What the aws engine costs and bears, beside the original's way of working and beside what DynamoDB's stand-in does by
// itself in the same minute.
//
//   node bench/aws.mjs BUILD_DIR [MESSAGES] [OUTLETS]
//
// Costs are counted on the wire by a meter between the process and the stand-ins: every call, SQS requests of 64 KB,
// Kinesis payload units of 25 KB, and DynamoDB's capacity units as DynamoDB itself reports them on each answer. The
// original is a small imitation of its read-modify-write (test/e2e/original.mjs) that makes the calls it made. Both get
// the same messages. Shard hours, storage and traffic are the same for both and left out.
import { spawnSync } from 'node:child_process';
import http from 'node:http';
import { performance } from 'node:perf_hooks';
import path from 'node:path';
import process from 'node:process';

const [, , build, messagesWanted = '10000', outletsWanted = '200'] = process.argv;
const MESSAGES = Number(messagesWanted);
const OUTLETS = Number(outletsWanted);
const ORIGINAL_MESSAGES = Math.min(MESSAGES, 400); // one at a time, as it works
const IN_FLIGHT = 16;
process.env.EVCHARGE_BIN = path.resolve(build, 'evcharge');
const { AwsWorld, deviceMessage, NAMES } = await import('../test/e2e/aws.mjs');
const { newCustomer, newOutlet, until } = await import('../test/e2e/harness.mjs');
const { OriginalAppBackend, OriginalOutletBackend } = await import('../test/e2e/original.mjs');

// US dollars per million, on demand, us-east-1, November 2026; what matters is their ratio.
const PRICES = { sqs: 0.4, kinesisUnit: 0.014, write: 0.625, read: 0.125 };

/** Passes everything on and counts it. */
class Meter {
  static async start(upstreams) {
    const m = new Meter();
    m.upstreams = upstreams;
    m.agent = new http.Agent({ keepAlive: true, maxSockets: 128 });
    m.server = http.createServer((req, res) => m.#serve(req, res).catch(() => res.destroy()));
    await new Promise((done) => m.server.listen(0, '127.0.0.1', done));
    m.url = `http://127.0.0.1:${m.server.address().port}`;
    m.reset();
    return m;
  }

  reset() {
    this.calls = {};
    this.sqs = this.kinesisUnits = this.writes = this.reads = 0;
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
    this.agent.destroy();
  }

  async #serve(req, res) {
    const chunks = [];
    for await (const c of req) chunks.push(c);
    let body = Buffer.concat(chunks);
    const [prefix, operation] = req.headers['x-amz-target'].split('.');
    const service = { AmazonSQS: 'sqs', Kinesis_20131202: 'kinesis', DynamoDB_20120810: 'dynamodb' }[prefix];
    const request = JSON.parse(body);
    this.calls[operation] = (this.calls[operation] ?? 0) + 1;
    if (service === 'dynamodb') body = Buffer.from(JSON.stringify({ ...request, ReturnConsumedCapacity: 'TOTAL' }));
    const answer = await this.#forward(req, service, body);
    if (service === 'sqs') this.sqs += Math.max(1, Math.ceil(Math.max(body.length, answer.body.length) / 65536));
    if (operation === 'PutRecords')
      for (const r of request.Records)
        this.kinesisUnits += Math.ceil((Buffer.byteLength(r.Data, 'base64') + r.PartitionKey.length) / 25600);
    if (service === 'dynamodb') this.#capacity(operation, answer);
    delete answer.headers['x-amz-crc32']; // it would not fit the answer without the capacity
    res.writeHead(answer.status, { ...answer.headers, 'content-length': String(answer.body.length) });
    res.end(answer.body);
  }

  #capacity(operation, answer) {
    const value = JSON.parse(answer.body || '{}');
    const units = [value.ConsumedCapacity ?? []].flat().reduce((n, c) => n + c.CapacityUnits, 0);
    if (['UpdateItem', 'PutItem', 'DeleteItem', 'BatchWriteItem'].includes(operation)) this.writes += units;
    else this.reads += units;
  }

  #forward(req, service, body) {
    const { hostname, port } = new URL(this.upstreams[service]);
    const headers = {
      ...req.headers,
      host: `${hostname}:${port}`,
      'content-length': String(body.length),
      connection: 'keep-alive',
    };
    return new Promise((done, failed) => {
      const up = http.request({ hostname, port, method: 'POST', path: '/', headers, agent: this.agent }, (answer) => {
        const chunks = [];
        answer.on('data', (c) => chunks.push(c));
        answer.on('end', () => {
          const { connection, 'transfer-encoding': coding, ...rest } = answer.headers;
          done({ status: answer.statusCode, headers: rest, body: Buffer.concat(chunks) });
        });
      });
      up.on('error', failed);
      up.end(body);
    });
  }

  /** Per million device messages. */
  bill(messages) {
    const million = 1e6 / messages;
    const calls = Object.values(this.calls).reduce((a, b) => a + b, 0);
    const price =
      this.sqs * PRICES.sqs +
      this.kinesisUnits * PRICES.kinesisUnit +
      this.writes * PRICES.write +
      this.reads * PRICES.read;
    return {
      calls: calls * million,
      sqs: this.sqs * million,
      kinesisUnits: this.kinesisUnits * million,
      writes: this.writes * million,
      reads: this.reads * million,
      dollars: (price * million) / 1e6,
      byOperation: { ...this.calls },
    };
  }
}

/** 95 % reports, 5 % whole cycles (unplug, plug, ask): shuffled over the outlets, each outlet's in order of its own. */
function* load(outlets, n) {
  for (let i = 0; i < n; i++) {
    const o = outlets[(i * 7919) % outlets.length];
    o.n = (o.n ?? 0) + 1;
    if (o.n % 60 === 0)
      yield deviceMessage(o.id, 'DeviceRequestsStop', { rfidTag: o.tag, kwh: 0.001, n: o.n, messageId: `s${o.n}` });
    else if (o.n % 60 === 1 && o.n > 1) yield deviceMessage(o.id, 'CablePlugged', { n: o.n, messageId: `p${o.n}` });
    else if (o.n % 60 === 2 && o.n > 2)
      yield deviceMessage(o.id, 'DeviceRequestsCharging', { rfidTag: o.tag, n: o.n, messageId: `a${o.n}` });
    else yield deviceMessage(o.id, 'Charging', { rfidTag: o.tag, kwh: 0.001, n: o.n, messageId: `r${o.n}` });
  }
}

async function fleet(world, server, n) {
  const outlets = [];
  for (let i = 0; i < n; i++) {
    const tag = `b${String(i).padStart(13, '0')}`;
    const id = await newOutlet(server);
    await newCustomer(server, tag);
    outlets.push({ id, tag });
  }
  await world.send(...outlets.map((o) => deviceMessage(o.id, 'CablePlugged', { messageId: 'plug' })));
  const count = async (wanted) => (await world.rows(NAMES.outlets)).filter((r) => r.outletState === wanted).length;
  await until('all cables', async () => (await count('CablePlugged')) === n, 60_000);
  await world.send(
    ...outlets.map((o) => deviceMessage(o.id, 'DeviceRequestsCharging', { rfidTag: o.tag, messageId: 'ask' })),
  );
  await until('all charging', async () => (await count('Charging')) === n, 120_000);
  await world.take('commands');
  return outlets;
}

const milli = (kwh) => Math.round(kwh * 1000);

const LOOK_MS = 250; // each look reads both tables, which is work for the stand-in as well

/** Waits until every message's energy is in outlets and sessions; fails if it is there twice. */
async function settled(world, kwh, limitMs) {
  const end = performance.now() + limitMs;
  const sum = async (table, field) => milli((await world.rows(table)).reduce((n, r) => n + r[field], 0));
  for (;;) {
    const outlets = await sum(NAMES.outlets, 'totalPowerConsumption');
    const sessions = await sum(NAMES.sessions, 'powerConsumption');
    if (outlets > milli(kwh)) throw new Error(`more energy than was sent: ${outlets}`);
    if (outlets === milli(kwh) && sessions === outlets) return;
    if (performance.now() > end) throw new Error(`${outlets} in outlets, ${sessions} in sessions, not ${milli(kwh)}`);
    await new Promise((done) => setTimeout(done, LOOK_MS));
  }
}

/** Through eight senders, so that the queue is not what is waited for. */
async function sendAll(world, messages) {
  const part = Math.ceil(messages.length / 8);
  const parts = Array.from({ length: 8 }, (_, i) => messages.slice(i * part, (i + 1) * part));
  await Promise.all(parts.map((p) => world.send(...p)));
}

async function limit(world) {
  const TableName = 'limit';
  await world.createTable(TableName, 'outletId');
  const done = spawnSync(path.resolve(build, 'bench/bench_ddb'), [TableName, '500', '8000', String(IN_FLIGHT)], {
    env: { ...process.env, ...world.env },
    encoding: 'utf8',
  });
  if (done.status !== 0) throw new Error(done.stderr);
  return Number(/rate (\d+)/.exec(done.stdout)[1]);
}

/** Energy of the messages, in kWh: what outlets and sessions must show in the end. */
const energy = (messages) => messages.reduce((n, m) => n + m.powerConsumption, 0);

/** Through `count` processes of both roles; throughput without the meter, costs with it. */
async function ours(count, metered) {
  const world = await AwsWorld.start();
  let meter;
  try {
    const rate = metered ? undefined : await limit(world);
    const env = {};
    if (metered) {
      meter = await Meter.start({
        sqs: world.env.AWS_ENDPOINT_URL_SQS,
        kinesis: world.env.AWS_ENDPOINT_URL_KINESIS,
        dynamodb: world.env.AWS_ENDPOINT_URL_DYNAMODB,
      });
      for (const s of ['SQS', 'KINESIS', 'DYNAMODB']) env[`AWS_ENDPOINT_URL_${s}`] = meter.url;
    }
    const servers = await Promise.all(Array.from({ length: count }, () => world.serve('outlet,app', { env })));
    const outlets = await fleet(world, servers[0], OUTLETS);
    const messages = [...load(outlets, MESSAGES)];
    meter?.reset();
    const began = performance.now();
    await sendAll(world, messages);
    await settled(world, energy(messages), 180_000);
    const seconds = (performance.now() - began) / 1000;
    return { seconds, perSecond: MESSAGES / seconds, limit: rate, bill: meter?.bill(MESSAGES) };
  } finally {
    await world.stop();
    await meter?.stop();
  }
}

async function theirs() {
  const world = await AwsWorld.start();
  const meter = await Meter.start({
    sqs: world.env.AWS_ENDPOINT_URL_SQS,
    kinesis: world.env.AWS_ENDPOINT_URL_KINESIS,
    dynamodb: world.env.AWS_ENDPOINT_URL_DYNAMODB,
  });
  try {
    // The rows are made by ours, then the originals take over, each through the meter.
    const server = await world.serve('outlet,app', {});
    const outlets = await fleet(world, server, Math.min(OUTLETS, 50));
    await server.stop();
    const messages = [...load(outlets, ORIGINAL_MESSAGES)];
    const metered = world.cloud.clientsAt(meter.url);
    const outletSide = await OriginalOutletBackend.open(metered, 'LATEST');
    const appSide = await OriginalAppBackend.open(metered, 'LATEST');
    meter.reset();
    let handled = 0;
    for (const m of messages) {
      await world.send(m);
      // Its polls of the stream are once a second, whatever comes: here, once for each message is left out of the bill.
      handled += await outletSide.turn();
      handled += await appSide.turn();
    }
    while ((await outletSide.turn()) + (await appSide.turn()) > 0) handled++;
    const { GetRecords = 0, ReceiveMessage = 0 } = meter.calls;
    meter.calls.GetRecords = 0; // time's, not the messages'; ours are counted
    meter.calls.ReceiveMessage = Math.min(ReceiveMessage, messages.length); // one for each message, none for empty polls
    meter.sqs -= ReceiveMessage - meter.calls.ReceiveMessage;
    return { bill: meter.bill(messages.length), polls: GetRecords, handled };
  } finally {
    await world.stop();
    await meter.stop();
  }
}

const number = (n) => n.toLocaleString('en-US', { maximumFractionDigits: 0 });

function print(name, b) {
  const columns = [b.calls, b.sqs, b.kinesisUnits, b.writes, b.reads].map(number);
  console.log(`| ${[name, ...columns, b.dollars.toFixed(2)].join(' | ')} |`);
}

const alone = await ours(1, false);
const ratio = alone.perSecond / alone.limit;
console.log(
  `${number(alone.perSecond)} device messages/s end to end, one process; the stand-in alone:` +
    ` ${number(alone.limit)} conditional writes/s; ratio ${ratio.toFixed(2)} (target 0.35)`,
);
const one = (await ours(1, true)).bill;
const two = (await ours(2, true)).bill;
const original = (await theirs()).bill;
console.log('\nPer million device messages, and US dollars at list prices:\n');
console.log(
  '| | calls | SQS requests | Kinesis units | write units | read units | $ |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |',
);
print('original', original);
print('evcharge, one process', one);
print('evcharge, two processes', two);
const percent = (part, whole) => `${((100 * part) / whole).toFixed(0)} %`;
for (const [name, b] of Object.entries({ 'one process': one, 'two processes': two })) {
  const calls = percent(b.calls, original.calls);
  console.log(`${name}: ${calls} of the calls (target 20), ${percent(b.dollars, original.dollars)} of the price (target 70)`);
}
console.log(`\nprices per million: ${JSON.stringify(PRICES)}`);
for (const [name, b] of [
  ['original', original],
  ['one process', one],
  ['two processes', two],
])
  console.log(`calls, ${name}: ${JSON.stringify(b.byOperation)}`);
