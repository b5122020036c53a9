// A way to AWS that is bad on purpose: between our process and the stand-ins, it delays, resets, throttles, fails, loses
// answers after the effect, lets parts of batches fail, damages answers; all by a seed. It recomputes every signature
// from what came over the wire, since the stand-ins believe everything.
import { createHash, createHmac } from 'node:crypto';
import http from 'node:http';

const LIMIT_BYTES = 16 << 20;

const sha256 = (data) => createHash('sha256').update(data).digest('hex');
const hmac = (key, data) => createHmac('sha256', key).update(data).digest();

const AUTHORIZATION = new RegExp(
  '^AWS4-HMAC-SHA256 Credential=([^/]+)/(\\d{8})/([^/]+)/([^/]+)/aws4_request, ?' +
    'SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$',
);

/** What Authorization should have been, by the specification of signature version 4; null if it is right. */
export function wrongSignature(method, url, headers, body, secret) {
  const parts = AUTHORIZATION.exec(headers.authorization ?? '');
  if (!parts) return `no signature: ${headers.authorization}`;
  const [, , day, region, service, signedNames, signature] = parts;
  const names = signedNames.split(';');
  if (names.join(';') !== [...names].sort().join(';')) return `headers out of order: ${signedNames}`;
  for (const needed of ['host', 'x-amz-date', 'x-amz-target', 'content-type'])
    if (!names.includes(needed)) return `${needed} is not signed`;
  if (headers['x-amz-security-token'] && !names.includes('x-amz-security-token')) return 'the token is not signed';
  for (const name of names) if (headers[name] === undefined) return `${name} is signed and was not sent`;
  const canonical = names.map((n) => `${n}:${headers[n].trim().replace(/ +/g, ' ')}\n`).join('');
  const { pathname, searchParams } = new URL(url, 'http://x');
  searchParams.sort();
  const request = [method, pathname, searchParams.toString(), canonical, signedNames, sha256(body)].join('\n');
  const scope = `${day}/${region}/${service}/aws4_request`;
  const date = headers['x-amz-date'];
  if (!date.startsWith(day)) return `${date} is not of ${day}`;
  const text = ['AWS4-HMAC-SHA256', date, scope, sha256(request)].join('\n');
  const key = [day, region, service, 'aws4_request'].reduce((k, part) => hmac(k, part), `AWS4${secret}`);
  const right = createHmac('sha256', key).update(text).digest('hex');
  return right === signature ? null : `should be ${right}, is ${signature}`;
}

/** The same numbers for the same seed (mulberry32). */
export function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const SERVICES = { AmazonSQS: 'sqs', Kinesis_20131202: 'kinesis', DynamoDB_20120810: 'dynamodb' };

const THROTTLES = {
  sqs: ['com.amazonaws.sqs#RequestThrottled', 400],
  kinesis: ['ProvisionedThroughputExceededException', 400],
  dynamodb: ['com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException', 400],
};

// Which operations take several entries: where they stand in the request, and how a failure of some is told.
const BATCHES = {
  SendMessageBatch: ['Entries', failSqs],
  DeleteMessageBatch: ['Entries', failSqs],
  ChangeMessageVisibilityBatch: ['Entries', failSqs],
  PutRecords: ['Records', failRecords],
  BatchWriteItem: [null, null], // see #partlyItems
};

function failSqs(answer, kept, dropped) {
  const failed = dropped.map((e) => ({
    Id: e.Id,
    Code: 'ServiceUnavailable',
    Message: 'ordered by the test',
    SenderFault: false,
  }));
  return { ...answer, Failed: [...(answer.Failed ?? []), ...failed] };
}

/** The records of the answer stand where they stood in the request. */
function failRecords(answer, kept, dropped, entries) {
  const failure = { ErrorCode: 'ProvisionedThroughputExceededException', ErrorMessage: 'ordered by the test' };
  const written = [...answer.Records];
  return {
    ...answer,
    Records: entries.map((e) => (dropped.includes(e) ? failure : written.shift())),
    FailedRecordCount: (answer.FailedRecordCount ?? 0) + dropped.length,
  };
}

/**
 * `rule`, if it is set, is asked first: ({ service, operation, request, headers }) => null for what the faults say, or
 * { status, type } for an error, { status, html }, 'reset', or 'silent' for no answer at all.
 * Faults are shares of requests: { delay, delayMs, reset, lost, error, throttle, partial, garbage, expired }.
 *  reset: the connection ends before anything happened; lost: after it happened; error: a 500 or 503.
 */
export class Proxy {
  static async start(upstreams, { secret, seed = 1, faults = {}, port = 0 } = {}) {
    const p = new Proxy();
    Object.assign(p, { upstreams, secret, faults, random: random(seed) });
    p.counts = { requests: 0, badSignatures: 0, byFault: {}, byOperation: {} };
    p.complaints = [];
    p.agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
    p.server = http.createServer((req, res) => p.#serve(req, res).catch((e) => p.#broken(res, e)));
    p.server.keepAliveTimeout = 30_000;
    await new Promise((done) => p.server.listen(port, '127.0.0.1', done));
    p.url = `http://127.0.0.1:${p.server.address().port}`;
    return p;
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
    this.agent.destroy();
  }

  /** From now on; {} for none. */
  setFaults(faults) {
    this.faults = faults;
  }

  #broken(res, error) {
    this.complaints.push(String(error.stack ?? error));
    if (!res.headersSent) res.writeHead(502);
    res.end();
  }

  #count(fault) {
    this.counts.byFault[fault] = (this.counts.byFault[fault] ?? 0) + 1;
  }

  /** At most one fault a request, so that its share is what was asked for; null, too, if there is nothing to harm. */
  #choose({ service, operation }) {
    let at = this.random();
    for (const fault of ['reset', 'lost', 'error', 'throttle', 'partial', 'garbage', 'expired']) {
      const share = this.faults[fault] ?? 0;
      if (at >= share) {
        at -= share;
        continue;
      }
      const fits = (fault !== 'partial' || BATCHES[operation]) && (fault !== 'garbage' || service === 'dynamodb');
      return fits ? fault : null;
    }
    return null;
  }

  async #serve(req, res) {
    const chunks = [];
    let size = 0;
    for await (const chunk of req) {
      size += chunk.length;
      if (size > LIMIT_BYTES) throw new Error('a request without end');
      chunks.push(chunk);
    }
    const body = Buffer.concat(chunks);
    const [prefix, operation] = (req.headers['x-amz-target'] ?? '.').split('.');
    const service = SERVICES[prefix];
    if (!service) throw new Error(`no such service: ${req.headers['x-amz-target']}`);
    this.counts.requests++;
    this.counts.byOperation[operation] = (this.counts.byOperation[operation] ?? 0) + 1;
    const wrong = wrongSignature(req.method, req.url, req.headers, body, this.secret);
    if (wrong) {
      this.counts.badSignatures++;
      this.complaints.push(`${operation}: ${wrong}`);
      return this.#answer(res, 403, { __type: 'InvalidSignatureException', message: wrong });
    }
    if (this.random() < (this.faults.delay ?? 0)) {
      this.#count('delay');
      await new Promise((done) => setTimeout(done, this.random() * (this.faults.delayMs ?? 50)));
    }
    const ruled = this.rule?.({ service, operation, request: JSON.parse(body), headers: req.headers });
    if (ruled) return this.#obey(ruled, res);
    const fault = this.#choose({ service, operation });
    if (fault) this.#count(fault);
    return this.#apply(fault, { req, res, body, service, operation });
  }

  #obey(ruled, res) {
    this.#count('ruled');
    if (ruled === 'silent') return undefined; // until the other end has had enough
    if (ruled === 'reset') return res.destroy();
    if (ruled.html === undefined) return this.#answer(res, ruled.status, { __type: ruled.type, message: 'by the rule' });
    res.writeHead(ruled.status, { 'content-type': 'text/html' });
    return res.end(ruled.html);
  }

  async #apply(fault, call) {
    const { res, service } = call;
    if (fault === 'reset') return res.destroy();
    if (fault === 'error')
      return this.#answer(res, this.random() < 0.5 ? 500 : 503, { __type: 'InternalFailure', message: 'ordered' });
    if (fault === 'throttle') {
      const [type, status] = THROTTLES[service];
      return this.#answer(res, status, { __type: type, message: 'ordered by the test' });
    }
    if (fault === 'expired')
      return this.#answer(res, 400, { __type: 'ExpiredTokenException', message: 'ordered by the test' });
    if (fault === 'partial') return this.#partly(call);
    const answer = await this.#forward(call, call.body);
    if (fault === 'lost') return res.destroy();
    if (fault === 'garbage') {
      // Its checksum no longer holds, which a client must notice; of the others nothing would tell.
      answer.body = Buffer.concat([answer.body.subarray(0, answer.body.length >> 1), Buffer.from('#')]);
      answer.headers['content-length'] = String(answer.body.length);
    }
    return this.#pass(res, answer);
  }

  async #partly(call) {
    const request = JSON.parse(call.body);
    if (call.operation === 'BatchWriteItem') return this.#partlyItems(call, request);
    const [key, fail] = BATCHES[call.operation];
    const entries = request[key];
    const dropped = entries.filter(() => this.random() < 0.5);
    const kept = entries.filter((e) => !dropped.includes(e));
    let answer = {
      status: 200,
      headers: { 'content-type': call.req.headers['content-type'] },
      body: '{"Records":[],"Successful":[]}',
    };
    if (kept.length > 0) answer = await this.#forward(call, Buffer.from(JSON.stringify({ ...request, [key]: kept })));
    if (answer.status !== 200) return this.#pass(call.res, answer);
    return this.#answer(call.res, 200, fail(JSON.parse(answer.body || '{}'), kept, dropped, entries));
  }

  async #partlyItems(call, request) {
    const kept = {};
    const unprocessed = {};
    for (const [table, items] of Object.entries(request.RequestItems))
      for (const item of items) ((this.random() < 0.5 ? kept : unprocessed)[table] ??= []).push(item);
    if (Object.keys(kept).length > 0) {
      const answer = await this.#forward(call, Buffer.from(JSON.stringify({ ...request, RequestItems: kept })));
      if (answer.status !== 200) return this.#pass(call.res, answer);
    }
    return this.#answer(call.res, 200, { UnprocessedItems: unprocessed });
  }

  /** As it came, but for the body; the host is the upstream's own. */
  #forward({ req, service }, body) {
    const { hostname, port } = new URL(this.upstreams[service]);
    const headers = { ...req.headers, host: `${hostname}:${port}`, 'content-length': String(body.length) };
    delete headers.connection;
    return new Promise((done, failed) => {
      const up = http.request({ hostname, port, method: 'POST', path: '/', headers, agent: this.agent }, (answer) => {
        const chunks = [];
        answer.on('data', (c) => chunks.push(c));
        answer.on('error', failed);
        answer.on('end', () =>
          done({ status: answer.statusCode, headers: { ...answer.headers }, body: Buffer.concat(chunks) }),
        );
      });
      // An idle connection that the stand-in closes just now has not brought the request there.
      const isStale = (e) => up.reusedSocket && e.code === 'ECONNRESET' && up.res == null;
      up.on('error', (e) => (isStale(e) ? this.#forward({ req, service }, body).then(done, failed) : failed(e)));
      up.end(body);
    });
  }

  #pass(res, { status, headers, body }) {
    delete headers.connection;
    delete headers['transfer-encoding'];
    headers['content-length'] = String(body.length);
    res.writeHead(status, headers);
    res.end(body);
  }

  #answer(res, status, value) {
    const body = Buffer.from(JSON.stringify(value));
    res.writeHead(status, { 'content-type': 'application/x-amz-json-1.0', 'content-length': String(body.length) });
    res.end(body);
  }
}
