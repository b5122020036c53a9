// What every end-to-end test needs: a server process of its own, HTTP calls, devices by the `ws` package.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import path from 'node:path';
import WebSocket from 'ws';

const bin = process.env.EVCHARGE_BIN;
if (!bin) throw new Error('EVCHARGE_BIN is not set: run the tests by ./dev test');

const LIMIT_MS = 20_000;

// What a failed test left running ends with the tests.
const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

/** Waits until fn gives something true; fails after a limit. */
export async function until(what, fn, limitMs = LIMIT_MS) {
  const end = Date.now() + limitMs;
  for (;;) {
    const value = await fn();
    if (value) return value;
    if (Date.now() > end) throw new Error(`never happened: ${what}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}

export async function tempDir() {
  return mkdtemp(path.join(tmpdir(), 'evcharge-e2e-'));
}

/** Runs the executable to its end. */
export async function run(args, { env = {}, input } = {}) {
  const child = spawn(bin, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (d) => (stdout += d));
  child.stderr.on('data', (d) => (stderr += d));
  child.stdin.on('error', () => {}); // it may have ended before it read its input
  child.stdin.end(input ?? '');
  const timer = setTimeout(() => child.kill('SIGKILL'), 3 * LIMIT_MS);
  const [code, signal] = await once(child, 'close');
  clearTimeout(timer);
  return { code, signal, stdout, stderr };
}

/**
 * A server on free ports. options: { dir, args, env, ports, roles: those it plays if not all, host: where it listens,
 * headers: for its metrics, ca: its certificate, fileBlocks: the longest file it may write, in blocks of 512 bytes }
 */
export class Server {
  static async start(options = {}) {
    const s = new Server();
    s.ownDir = options.dir === undefined;
    s.dir = options.dir ?? (await tempDir());
    const ports = options.ports ?? [0, 0, 0];
    const args = ['serve', '--data', s.dir];
    ['outlet', 'app', 'gateway'].forEach((name, i) => args.push(`--${name}-listen`, `${options.host ?? '127.0.0.1'}:${ports[i]}`));
    s.logs = [];
    s.options = options;
    const limited = ['sh', '-c', `ulimit -f ${options.fileBlocks}; exec "$0" "$@"`];
    const [command, ...words] = [...(options.fileBlocks ? limited : []), bin, ...args, ...(options.args ?? [])];
    s.child = spawn(command, words, {
      env: { ...process.env, ...(options.env ?? {}) },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    running.add(s.child);
    s.exited = once(s.child, 'exit').then(([code, signal]) => (s.exit = { code, signal }));
    createInterface({ input: s.child.stderr }).on('line', (line) => s.#log(line));
    await until('the server listens', () => {
      if (s.exit) throw new Error(`the server ended: ${JSON.stringify(s.exit)}\n${s.logs.map((l) => l.raw).join('\n')}`);
      return (options.roles ?? ['outlet', 'app', 'gateway']).every((role) => s[role]);
    });
    return s;
  }

  #log(raw) {
    let entry = {};
    try {
      entry = JSON.parse(raw);
    } catch {
      // not a log line of ours: kept as it is (a sanitizer's report, for one)
    }
    this.logs.push({ ...entry, raw });
    if (entry.event === 'server.listening') this[entry.name] = entry.url.replace('//0.0.0.0:', '//127.0.0.1:');
  }

  /** SIGTERM; the directory goes, too, if it is the server's own. */
  async stop() {
    if (!this.exit) this.child.kill('SIGTERM');
    await this.exited;
    if (this.ownDir) await rm(this.dir, { recursive: true, force: true });
    return this.exit;
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.exited;
  }

  ports() {
    return ['outlet', 'app', 'gateway'].map((name) => Number(new URL(this[name]).port));
  }

  async metrics() {
    const { headers = {}, ca } = this.options;
    const { text } = await ask('GET', `${this.outlet ?? this.app ?? this.gateway}/metrics`, { headers, ca });
    const values = new Map();
    for (const line of text.split('\n')) {
      if (line === '' || line.startsWith('#')) continue;
      const at = line.lastIndexOf(' ');
      values.set(line.slice(0, at), Number(line.slice(at + 1)));
    }
    return values;
  }

  deviceUrl(outletId) {
    return `${this.gateway.replace('http', 'ws')}/devices/${outletId}`;
  }
}

/** One HTTP call; the answer's JSON (or text) is in body. */
export async function call(method, url, body, headers = {}) {
  const response = await fetch(url, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    body: body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
  });
  const text = await response.text();
  let parsed = text;
  try {
    parsed = JSON.parse(text);
  } catch {
    // text is an answer, too
  }
  return { status: response.status, headers: response.headers, body: parsed, text };
}

/** The same without fetch: any header may be set, a certificate be trusted, and no connection is kept. */
export async function ask(method, url, { body, headers = {}, ...tls } = {}) {
  const client = url.startsWith('https:') ? https : http;
  const req = client.request(url, { method, headers, agent: false, ...tls });
  req.end(body === undefined || typeof body === 'string' ? body : JSON.stringify(body));
  const [res] = await once(req, 'response');
  let text = '';
  for await (const chunk of res.setEncoding('utf8')) text += chunk;
  let parsed = text;
  try {
    parsed = JSON.parse(text);
  } catch {
    // text is an answer, too
  }
  return { status: res.statusCode, headers: new Headers(res.headers), body: parsed, text };
}

export async function newOutlet(server, extra = {}) {
  const r = await call('POST', `${server.outlet}/api/chargers`, {
    chargerGroupId: '86c911e2-bbf3-42c8-8925-f9d380c1f329',
    outletCode: 'A1',
    address: 'Main Street 1',
    maxPower: 22000,
    outletState: 'Available',
    ...extra,
  });
  if (r.status !== 201) throw new Error(`no outlet: ${r.status} ${r.text}`);
  return r.body.outletId;
}

export async function newCustomer(server, rfidTag) {
  const r = await call('POST', `${server.app}/api/customers`, {
    rfidTag,
    address: 'Side Street 2',
    email: 'anna@example.org',
    paymentMethod: 'invoice',
  });
  if (r.status !== 201) throw new Error(`no customer: ${r.status} ${r.text}`);
  return r.body;
}

let lastId = 0;
export function message(outletId, outletStateChange, extra = {}) {
  const now = new Date();
  return {
    outletId,
    rfidTag: '',
    periodStart: new Date(now - 60_000).toISOString(),
    periodEnd: now.toISOString(),
    outletStateChange,
    powerConsumption: 0,
    messageId: `m-${process.pid}-${++lastId}`,
    ...extra,
  };
}

/** A device on a WebSocket: answers and commands are kept as they come. */
export class Device {
  static async connect(server, outletId, options = {}) {
    const d = new Device();
    d.outletId = outletId;
    d.answers = [];
    d.commands = [];
    d.ws = new WebSocket(options.url ?? server.deviceUrl(outletId), options.ws ?? {});
    d.closed = new Promise((done) => {
      d.ws.on('close', (code, reason) => done((d.close_ = { code, reason: String(reason) })));
    });
    d.ws.on('error', (e) => (d.error = e));
    d.ws.on('message', (data) => {
      const m = JSON.parse(String(data));
      if ('verdict' in m) d.answers.push(m);
      else d.commands.push(m);
      if (options.autoAck !== false && m.messageId && !('verdict' in m)) d.ws.send(JSON.stringify({ ack: m.messageId }));
    });
    await Promise.race([new Promise((done) => d.ws.on('open', done)), d.closed]);
    return d;
  }

  sendRaw(text) {
    this.ws.send(text);
  }

  /** Sends and waits for the answer. */
  async send(outletStateChange, extra = {}) {
    const m = message(this.outletId, outletStateChange, extra);
    this.ws.send(JSON.stringify(m));
    return until(`an answer to ${outletStateChange}`, () => this.answers.find((a) => a.ack === m.messageId));
  }

  async command(outletStateChange) {
    return until(`command ${outletStateChange}`, () => this.commands.find((c) => c.outletStateChange === outletStateChange));
  }

  async close() {
    this.ws.close();
    await this.closed;
  }
}

/** A device that goes on charging whatever others do; all its messages must be applied. */
export class Witness {
  static async start(server) {
    const w = new Witness();
    w.outletId = await newOutlet(server);
    w.device = await Device.connect(server, w.outletId);
    w.n = 0;
    w.slowestMs = 0;
    w.run = w.#go();
    return w;
  }

  async #go() {
    while (!this.stopped) {
      const began = performance.now();
      const a = await this.device.send('Charging', { powerConsumption: 0.001 });
      if (a.verdict !== 'applied') throw new Error(`the witness was disturbed: ${JSON.stringify(a)}`);
      this.n++;
      this.slowestMs = Math.max(this.slowestMs, performance.now() - began);
      this.device.answers.length = 0;
      await new Promise((done) => setTimeout(done, 10));
    }
  }

  /** The number of messages, each of 0.001 kWh. */
  async stop() {
    this.stopped = true;
    await this.run;
    await this.device.close();
    return this.n;
  }
}

export async function outletOf(server, outletId) {
  return (await call('GET', `${server.outlet}/api/chargers/${outletId}`)).body;
}

export async function historyOf(server, customerId) {
  return (await call('GET', `${server.app}/api/customers/${customerId}/charging-history`)).body;
}

export async function books(server) {
  return (await call('GET', `${server.outlet}/api/books`)).body;
}
