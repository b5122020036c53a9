// Devices that outlive the server: each keeps its messages until they are acknowledged, sends them again under
// the same messageId after every reconnect, and does its own accounting.  See kill.mjs.
import WebSocket from 'ws';
import { call, historyOf, message, outletOf, until } from './harness.mjs';

const LIMIT_MS = 60_000;
const WH = 1_000_000; // energies are whole thousandths of a kWh here, sums of them are kept in mWh

/** The same numbers for the same seed (mulberry32). */
export class Rng {
  constructor(seed) {
    this.s = seed >>> 0;
  }

  below(n) {
    this.s = (this.s + 0x6d2b79f5) >>> 0;
    let t = this.s;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % n;
  }
}

export const mwh = (kwh) => Math.round(kwh * WH);

/** What all peers of one server share. `server` is null while there is none. */
export class Site {
  constructor() {
    this.server = null;
    this.acks = 0; // of messages over WebSockets
    this.again = 0; // messages that were sent again after a reconnect
    this.stopping = false;
    this.killing = true;
    this.waiting = new Set();
  }

  up(server) {
    this.server = server;
    for (const wake of this.waiting) wake();
    this.waiting.clear();
  }

  async ready() {
    while (!this.server && !this.closed) await new Promise((done) => this.waiting.add(done));
    if (this.closed) throw new Error('the test is over');
    return this.server;
  }

  /** Whoever waits for the server, or calls it, waits no longer. */
  close() {
    this.closed = true;
    this.up(null);
  }

  /** An HTTP call, again and again until the server has answered it. */
  async call(method, url, body) {
    for (;;) {
      const server = await this.ready();
      try {
        const r = await call(method, url(server), body);
        if (r.status !== 503) return r;
      } catch (e) {
        if (this.closed) throw e;
        if (this.server === server) await new Promise((done) => setTimeout(done, 5));
      }
    }
  }
}

/** A message and what became of it. */
class Sent {
  constructor(m) {
    this.id = m.messageId;
    this.mwh = mwh(m.powerConsumption);
    this.text = JSON.stringify(m);
    this.times = 0;
    this.answered = new Promise((done) => (this.done = done));
  }
}

/** A charging outlet with its customer, on a WebSocket. */
export class CrashDevice {
  constructor(site, rng, outletId, customer) {
    Object.assign(this, { site, rng, outletId, customer });
    this.all = [];
    this.outbox = new Map(); // unacknowledged, in order
    this.commands = [];
    this.held = null; // the id of a command that was not acknowledged, to see it come again
    this.recame = 0;
    this.verdicts = {};
    this.sessions = []; // mWh of each, as the device reckons
  }

  /** Keeps a connection until the end. */
  async connect() {
    while (!this.over) {
      const server = await this.site.ready();
      const ws = new WebSocket(server.deviceUrl(this.outletId));
      await new Promise((closed) => {
        ws.on('open', () => this.#opened(ws));
        ws.on('message', (data) => this.#take(ws, JSON.parse(String(data))));
        ws.on('error', () => {});
        ws.on('close', closed);
      });
      this.ws = null;
      if (!this.over) await new Promise((done) => setTimeout(done, 5));
    }
  }

  #opened(ws) {
    this.ws = ws;
    for (const s of this.outbox.values()) {
      this.site.again += s.times === 1;
      this.#transmit(s);
    }
  }

  #transmit(s) {
    s.times++;
    this.ws.send(s.text);
  }

  #take(ws, m) {
    if ('verdict' in m) this.#answered(m);
    else this.#commanded(ws, m);
  }

  #answered(m) {
    const s = this.outbox.get(m.ack);
    this.verdicts[m.verdict] = (this.verdicts[m.verdict] ?? 0) + 1;
    if (!s) return;
    this.outbox.delete(m.ack);
    this.site.acks++;
    // A message that went out once was not seen before; one that did may have been, and may not.
    const may = s.times === 1 ? ['applied'] : ['applied', 'duplicate'];
    if (!may.includes(m.verdict)) this.failure ??= `${s.text} sent ${s.times} times: ${JSON.stringify(m)}`;
    s.done(m);
  }

  #commanded(ws, m) {
    if (this.held === m.messageId) this.recame++;
    const hold = this.held === null && this.site.killing && m.outletStateChange === 'Charging' && this.rng.below(8) === 0;
    if (hold) this.held = m.messageId;
    else ws.send(JSON.stringify({ ack: m.messageId }));
    if (hold) return;
    if (this.held === m.messageId) this.held = null;
    this.commands.push(m);
  }

  post(outletStateChange, kwh = 0, extra = {}) {
    const m = message(this.outletId, outletStateChange, { powerConsumption: kwh, rfidTag: this.customer.rfidTag, ...extra });
    const s = new Sent(m);
    this.all.push(s);
    this.outbox.set(s.id, s);
    if (this.ws) this.#transmit(s);
    return s;
  }

  async send(outletStateChange, kwh, extra) {
    const s = this.post(outletStateChange, kwh, extra);
    await s.answered;
    return s;
  }

  /** A command of that kind that was not there before. */
  async command(outletStateChange, from) {
    return until(
      `command ${outletStateChange} for ${this.outletId}`,
      () => {
        this.#provoke();
        return this.commands.slice(from).find((c) => c.outletStateChange === outletStateChange);
      },
      LIMIT_MS,
    );
  }

  /** What is held comes again after a reconnect; once nobody kills the server any more, that is ours to do. */
  #provoke() {
    if (this.held === null || this.held === this.provoked || this.site.killing || !this.ws) return;
    this.provoked = this.held;
    this.ws.terminate();
  }

  #kwh() {
    return (1 + this.rng.below(500)) / 1000;
  }

  async #start(from) {
    if (this.rng.below(3) > 0) {
      await this.send('DeviceRequestsCharging', 0);
    } else {
      const body = { customerId: this.customer.customerId, outletId: this.outletId };
      const r = await this.site.call('POST', (s) => `${s.app}/api/chargers/start`, body);
      if (r.status !== 201) throw new Error(`start: ${r.status} ${r.text}`);
    }
    await this.command('Charging', from);
  }

  async #report() {
    let sum = 0;
    for (let left = 3 + this.rng.below(40); left > 0; ) {
      const burst = [];
      for (let n = 1 + this.rng.below(4); n > 0 && left > 0; n--, left--) burst.push(this.post('Charging', this.#kwh()));
      for (const s of burst) await s.answered;
      sum += burst.reduce((mWh, s) => mWh + s.mwh, 0);
    }
    return sum;
  }

  async #stopByApp(from) {
    const url = (s) => `${s.app}/api/customers/${this.customer.customerId}/charging-history?limit=1`;
    const [session] = (await this.site.call('GET', url)).body;
    const r = await this.site.call('POST', (s) => `${s.app}/api/chargers/session/${session.sessionId}/stop`);
    if (r.status !== 200) throw new Error(`stop: ${r.status} ${r.text}`);
    await this.command('AppRequestsStop', from);
  }

  async #session() {
    const from = this.commands.length;
    await this.send('CablePlugged', 0, { rfidTag: '' });
    await this.#start(from);
    let sum = await this.#report();
    const how = this.rng.below(4);
    if (how === 0) await this.#stopByApp(from);
    if (how < 3) sum += (await this.send(how === 1 ? 'DeviceRequestsStop' : 'ChargingFinished', this.#kwh())).mwh;
    sum += (await this.send('Available', this.#kwh(), { rfidTag: '' })).mwh;
    this.sessions.push(sum);
  }

  async run() {
    this.connected = this.connect().catch(() => {});
    while (!this.site.stopping && !this.failure) await this.#session();
    if (this.failure) throw new Error(this.failure);
  }

  /** Gives the connection up. */
  async end() {
    this.over = true;
    this.ws?.terminate();
    await this.connected;
  }

  /** Everything that was ever sent, again: nothing of it may count. */
  async repeat() {
    await until('a connection', () => this.ws);
    this.verdicts = {};
    for (let i = 0; i < this.all.length; i += 50) {
      const some = this.all.slice(i, i + 50);
      for (const s of some) this.outbox.set(s.id, s);
      for (const s of some) this.#transmit(s);
      await until('the answers', () => this.outbox.size === 0, LIMIT_MS);
    }
    return this.verdicts;
  }

  /** What does not agree with the server's account. */
  async differences() {
    const found = [];
    const differs = (what, theirs, ours) => {
      if (theirs !== ours) found.push(`outlet ${this.outletId}: ${what} ${theirs}, not ${ours}`);
    };
    const outlet = await outletOf(this.site.server, this.outletId);
    const theirs = await this.#history();
    differs('total of mWh', mwh(outlet.totalPowerConsumption), this.all.reduce((sum, s) => sum + s.mwh, 0));
    differs('count of sessions', outlet.totalChargingSessions, this.sessions.length);
    differs('sessions of mWh', String(theirs.map((s) => mwh(s.powerConsumption)).reverse()), String(this.sessions));
    differs('sessions under way', theirs.filter((s) => s.state !== 'ChargingFinished').length, 0);
    return found;
  }

  async #history() {
    const all = [];
    for (let before = ''; ; before = `&before=${encodeURIComponent(all.at(-1).startTime)}`) {
      const url = `${this.site.server.app}/api/customers/${this.customer.customerId}/charging-history?limit=100${before}`;
      const page = (await call('GET', url)).body;
      all.push(...page);
      if (page.length < 100) return all;
    }
  }
}

/** A device without a socket and without a session: posts, and posts again until it is answered. */
export class CrashPoster {
  constructor(site, rng, outletId) {
    Object.assign(this, { site, rng, outletId });
    this.mwh = 0;
    this.sent = [];
  }

  async #post(batch) {
    const r = await this.site.call('POST', (s) => `${s.gateway}/devices/${this.outletId}/messages`, batch);
    if (r.status !== 200) throw new Error(`messages: ${r.status} ${r.text}`);
    return r.body;
  }

  async run() {
    while (!this.site.stopping) {
      const batch = Array.from({ length: 1 + this.rng.below(10) }, () =>
        message(this.outletId, 'Charging', { powerConsumption: (1 + this.rng.below(100)) / 1000 }),
      );
      const answers = await this.#post(batch);
      const odd = answers.find((a) => a.verdict !== 'applied' && a.verdict !== 'duplicate');
      if (odd) throw new Error(`a report was ${JSON.stringify(odd)}`);
      this.sent.push(batch);
      this.mwh += batch.reduce((sum, m) => sum + mwh(m.powerConsumption), 0);
    }
  }

  async repeat() {
    const verdicts = {};
    for (const batch of this.sent) {
      for (const a of await this.#post(batch)) verdicts[a.verdict] = (verdicts[a.verdict] ?? 0) + 1;
    }
    return verdicts;
  }

  async differences() {
    const outlet = await outletOf(this.site.server, this.outletId);
    const ok = mwh(outlet.totalPowerConsumption) === this.mwh && mwh(outlet.unassignedPowerConsumption) === this.mwh;
    return ok ? [] : [`outlet ${this.outletId}: ${outlet.totalPowerConsumption} kWh, not ${this.mwh} mWh`];
  }
}

/** Follows the stream of events over all restarts, from the last it has seen. */
export class CrashListener {
  constructor(site) {
    this.site = site;
    this.seen = [];
  }

  async run() {
    for (;;) {
      const server = await this.site.ready();
      if (this.site.stopping) return;
      try {
        await this.read(server, this.seen.at(-1)?.seq ?? 0, (e) => this.seen.push(e));
      } catch {
        // the server is gone; on from the last event
        await new Promise((done) => setTimeout(done, 5));
      }
    }
  }

  /** Reads until the end of the connection, or until fn returns false. */
  async read(server, after, fn) {
    this.abort = new AbortController();
    const r = await fetch(`${server.outlet}/api/events?after=${after}`, { signal: this.abort.signal });
    const decoder = new TextDecoder();
    let text = '';
    for await (const chunk of r.body) {
      text += decoder.decode(chunk, { stream: true });
      for (let at; (at = text.indexOf('\n\n')) >= 0; text = text.slice(at + 2)) {
        const data = text.slice(0, at).split('\n').find((l) => l.startsWith('data:'));
        if (data && fn(JSON.parse(data.slice(5))) === false) return;
      }
    }
  }

  stop() {
    this.abort?.abort();
  }

  /** Events that were told and are not in the store as they were told. */
  async differences() {
    const last = this.seen.at(-1)?.seq ?? 0;
    const stored = new Map();
    const found = [];
    await this.read(this.site.server, 0, (e) => (stored.set(e.seq, JSON.stringify(e)), e.seq < last));
    this.stop();
    this.seen.forEach((e, i) => {
      const told = JSON.stringify(e);
      if (stored.get(e.seq) !== told) found.push(`event ${e.seq} was told as ${told}, and is ${stored.get(e.seq)}`);
      if (i > 0 && e.seq <= this.seen[i - 1].seq) found.push(`event ${e.seq} was told after ${this.seen[i - 1].seq}`);
    });
    return found;
  }
}
