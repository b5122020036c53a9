// DynamoDB, Kinesis and SQS as programs of others that stand in for them, on free ports of the loopback; with the
// environment in which our processes find them, and clients of AWS's own making to look at them from outside.
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { KinesisClient } from '@aws-sdk/client-kinesis';
import { SQSClient } from '@aws-sdk/client-sqs';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true'; // nothing here outlives a test

const REGION = 'eu-west-1';
const START_MS = 20_000;
const STOP_MS = 5_000;
const program = fileURLToPath(new URL('./standin_process.cjs', import.meta.url));

// What a failed test left running ends with the tests.
const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, fail) => (timer = setTimeout(() => fail(new Error(`not in time: ${what}`)), ms)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/**
 * One of them. kind: dynalite, fauxqs, kinesalite (fast) or kinesis-local (slow, but can reshard).
 * options: { port: 0 for a free one, ms: how long tables and streams take to come and go, shards: at most }
 */
export class StandIn {
  static async start(kind, options = {}) {
    const s = new StandIn();
    s.kind = kind;
    s.options = { ms: 50, shards: 1000, region: REGION, port: 0, ...options };
    await s.#start();
    return s;
  }

  async #start() {
    const { PATH, TMPDIR = '/tmp' } = process.env;
    this.child = fork(program, [], { env: { PATH, TMPDIR }, execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    running.add(this.child);
    this.stderr = '';
    this.child.stderr.on('data', (d) => (this.stderr = (this.stderr + d).slice(-10_000)));
    this.exited = once(this.child, 'exit').then(([code, signal]) => {
      running.delete(this.child);
      return { code, signal };
    });
    const ended = this.exited.then((exit) => {
      throw new Error(`${this.kind} ended: ${JSON.stringify(exit)}\n${this.stderr}`);
    });
    ended.catch(() => {}); // later, an end is for whoever waits for `exited`
    this.child.send({ kind: this.kind, ...this.options });
    const [{ port }] = await within(START_MS, `${this.kind} listens`, Promise.race([once(this.child, 'message'), ended]));
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
  }

  /** Ends it, with all that it held. */
  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGKILL');
    await within(STOP_MS, `${this.kind} ends`, this.exited);
  }

  /** It stands still, as a service that does not answer, until `resume`. */
  pause() {
    this.child.kill('SIGSTOP');
  }

  resume() {
    this.child.kill('SIGCONT');
  }

  /** Empty again, at the same address. */
  async restart() {
    await this.stop();
    this.options.port = this.port;
    await this.#start();
  }
}

/** The environment of a process that knows no AWS but these addresses: nothing of the machine's own gets in. */
export function awsEnv({ sqs, kinesis, dynamodb }) {
  return {
    AWS_REGION: REGION,
    AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
    AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
    AWS_SESSION_TOKEN: '',
    AWS_PROFILE: '',
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_ENDPOINT_URL: 'http://127.0.0.1:1', // whatever is not named below fails at once
    AWS_ENDPOINT_URL_SQS: sqs,
    AWS_ENDPOINT_URL_KINESIS: kinesis,
    AWS_ENDPOINT_URL_DYNAMODB: dynamodb,
  };
}

/** All three services. options: those of StandIn, and { kinesis: the kind of it } */
export class Cloud {
  static async start({ kinesis = 'kinesalite', ...options } = {}) {
    const c = new Cloud();
    const started = await Promise.allSettled(['fauxqs', kinesis, 'dynalite'].map((kind) => StandIn.start(kind, options)));
    const failed = started.find((s) => s.status === 'rejected');
    c.standIns = started.filter((s) => s.status === 'fulfilled').map((s) => s.value);
    if (failed) {
      await c.stop();
      throw failed.reason;
    }
    [c.sqsStandIn, c.kinesisStandIn, c.dynamodbStandIn] = c.standIns;
    const [sqs, kinesisUrl, dynamodb] = c.standIns.map((s) => s.url);
    c.env = awsEnv({ sqs, kinesis: kinesisUrl, dynamodb });
    c.others = [];
    Object.assign(c, c.#clients({ sqs, kinesis: kinesisUrl, dynamodb }));
    return c;
  }

  #clients({ sqs, kinesis, dynamodb }) {
    const common = {
      region: REGION,
      credentials: { accessKeyId: this.env.AWS_ACCESS_KEY_ID, secretAccessKey: this.env.AWS_SECRET_ACCESS_KEY },
      maxAttempts: 3,
    };
    return {
      // The queue's URL names a host that does not exist: calls go to the endpoint.
      sqs: new SQSClient({ ...common, endpoint: sqs, useQueueUrlAsEndpoint: false }),
      kinesis: new KinesisClient({ ...common, endpoint: kinesis, requestHandler: new NodeHttpHandler() }), // not HTTP/2
      dynamodb: new DynamoDBClient({ ...common, endpoint: dynamodb }),
    };
  }

  /** Clients of all three services at one address, such as a proxy's. */
  clientsAt(url) {
    const clients = this.#clients({ sqs: url, kinesis: url, dynamodb: url });
    this.others.push(...Object.values(clients));
    return clients;
  }

  async stop() {
    for (const client of [this.sqs, this.kinesis, this.dynamodb, ...(this.others ?? [])]) client?.destroy();
    await Promise.all(this.standIns.map((s) => s.stop()));
  }
}
