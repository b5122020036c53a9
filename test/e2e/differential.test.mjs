// Our codecs against other implementations, on random input: device messages against JSON.parse, charging
// events against protobufjs. What the other does not say (which fields are needed, what a date is) is said here
// once more, by other means than in C. A failure prints the seed and the input. The same input each time, unless
// EV_DIFF_SEED and EV_DIFF_COUNT ask for other and more.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import test from 'node:test';
import protobuf from 'protobufjs';

const tool = process.env.CODEC_TOOL;
if (!tool) throw new Error('CODEC_TOOL is not set: run the tests by ./dev test');
const seed = Number(process.env.EV_DIFF_SEED ?? 1);
const COUNT = Number(process.env.EV_DIFF_COUNT ?? 20_000);

/* --- Randomness that can be repeated (mulberry32) --- */

let state = seed >>> 0;
function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n) => Math.floor(random() * n);
const chance = (p) => random() < p;
const pick = (list) => list[below(list.length)];
const digits = (n) => Array.from({ length: n }, () => below(10)).join('');
const hex = (n) => Array.from({ length: n }, () => pick('0123456789abcdefABCDEF')).join('');
const randomBytes = (n) => Buffer.from(Array.from({ length: n }, () => below(256)));
function shuffle(list) {
  for (let i = list.length - 1; i > 0; i--) {
    const j = below(i + 1);
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
}

/** The tool's answer to each of the inputs. */
async function ask(kind, inputs) {
  const child = spawn(tool, [], { stdio: ['pipe', 'pipe', 'inherit'] });
  const out = [];
  child.stdout.on('data', (d) => out.push(d));
  child.stdin.end(inputs.map((b) => `${kind} ${b.toString('hex')}\n`).join(''));
  const [code] = await once(child, 'close');
  assert.equal(code, 0);
  const lines = Buffer.concat(out).toString().trimEnd().split('\n');
  assert.equal(lines.length, inputs.length);
  return lines;
}

/* --- What both share --- */

const STATES = [
  'Available',
  'CablePlugged',
  'DeviceRequestsCharging',
  'AppRequestsCharging',
  'AppDeniesCharging',
  'DeviceDeniesCharging',
  'Charging',
  'DeviceRequestsStop',
  'AppRequestsStop',
  'ChargingFinished',
];
const MIN_NS = -(2n ** 63n);
const MAX_NS = 2n ** 63n - 1n;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeUtf8(bytes) {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** The canonical text; groups may be shorter than usual, or longer by leading zeros. */
function uuid(text) {
  const groups = text.split('-');
  if (text.length > 36 || groups.length !== 5 || groups.some((g) => !/^[0-9a-fA-F]{1,16}$/.test(g))) return undefined;
  const wide = [8, 4, 4, 4, 12];
  const short = groups.map((g, i) => g.replace(/^0+/, '').padStart(wide[i], '0').toLowerCase());
  return short.every((g, i) => g.length === wide[i]) ? short.join('-') : undefined;
}

function bits(v) {
  const b = Buffer.alloc(8);
  b.writeDoubleBE(v);
  return b.toString('hex');
}

const hexOr = (bytes) => (bytes.length > 0 ? bytes.toString('hex') : '-');

/** Compares and explains. */
function agree(inputs, lines, expected, show) {
  for (let i = 0; i < inputs.length; i++) {
    if (expected[i] === undefined || lines[i] === expected[i]) continue;
    assert.fail(`seed ${seed}, input ${i}: ${show(inputs[i])}\n  ours:   ${lines[i]}\n  theirs: ${expected[i]}`);
  }
}

/* --- Device messages --- */

/** Nanoseconds; undefined: no date of ours; null: a form on which nothing is said here. */
function dateNs(text) {
  if (/^[+-]/.test(text)) return null;
  const m =
    /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{0,9}))?)?(?:Z|([+-])(\d\d)(?::(\d\d)(?::(\d\d))?)?(.?))$/su.exec(
      text,
    );
  if (m === null) return undefined;
  const [y, mo, d, h, mi, s, oh, om, os] = [1, 2, 3, 4, 5, 6, 9, 10, 11].map((i) => Number(m[i] ?? 0));
  // One character behind the hours or minutes of an offset is swallowed, unless it is the colon that more would
  // follow; behind the seconds none is.
  if ((m[12] ?? '') !== '' && (m[11] !== undefined || m[12] === ':' || m[12] > '\uffff')) return undefined;
  const offset = oh * 3600 + om * 60 + os;
  const date = new Date(0);
  date.setUTCFullYear(y, mo - 1, d);
  const real = date.getUTCFullYear() === y && date.getUTCMonth() === mo - 1 && date.getUTCDate() === d;
  if (!real || h > 23 || mi > 59 || s > 59 || om > 59 || os > 59 || offset > 18 * 3600) return undefined;
  const seconds = BigInt(date.getTime() / 1000 + h * 3600 + mi * 60 + s + (m[8] === '-' ? offset : -offset));
  const ns = seconds * 1_000_000_000n + BigInt((m[7] ?? '').padEnd(9, '0'));
  return ns >= MIN_NS && ns <= MAX_NS ? ns : undefined;
}

/** The number that the original reads in this text, a JSON number or one of its own forms; else undefined. */
function power(text) {
  const m = /^-(?:Infinity)$|^-?(\d*)(\.?)(\d*)(?:[eE]([+-]?\d+))?$/.exec(text);
  if (m === null || (!/^\d/.test(text) && !/^-/.test(text))) return undefined;
  if (text === '-Infinity') return -Infinity;
  if (m[1] + m[2] + m[3] === '') return undefined;
  const exponent = BigInt(m[4] ?? 0);
  if (BigInt(`0${m[1]}${m[3]}`) >= 2n ** 127n || exponent > 2147483647n || -exponent > 2147483647n) return undefined;
  if (exponent - BigInt(m[3].length) < -2147483647n) return undefined;
  return Number(`${text.startsWith('-') ? '-' : ''}${m[1] || '0'}.${m[3] || '0'}e${exponent}`);
}

/** Java's Double.toString of the shortest digits. */
function javaDouble(v) {
  if (!Number.isFinite(v)) return `"${v}"`;
  if (v === 0) return Object.is(v, -0) ? '-0.0' : '0.0';
  // Where one digit would do, it takes the nearest with two (4.9E-324).
  const shortest = v.toExponential();
  const twoDigits = v.toExponential(1);
  const text = /^-?\de/.test(shortest) && Number(twoDigits) === v ? twoDigits : shortest;
  const [mantissa, exponent] = text.replace('.0e', 'e').split('e');
  const e = Number(exponent);
  if (e < -3 || e >= 7) return `${mantissa.includes('.') ? mantissa : `${mantissa}.0`}E${e}`;
  const sign = mantissa.startsWith('-') ? '-' : '';
  const d = mantissa.replace(/[-.]/g, '');
  if (e < 0) return `${sign}0.${'0'.repeat(-e - 1)}${d}`;
  return `${sign}${d.slice(0, e + 1).padEnd(e + 1, '0')}.${d.slice(e + 1) || '0'}`;
}

function isoTime(ns) {
  const seconds = ns >= 0n ? ns / 1_000_000_000n : -((-ns + 999_999_999n) / 1_000_000_000n);
  const fraction = String(ns - seconds * 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '');
  const date = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  return `${date}${fraction === '' ? '' : `.${fraction}`}Z`;
}

// A surrogate without its other half becomes a question mark, as in Java.
const toBytes = (text) => Buffer.from(text.toWellFormed().replaceAll('\ufffd', (c, at) => (text[at] === '\ufffd' ? c : '?')));

/**
 * What the tool should say to a message whose fields are these; rawPower: the number's own text, without quotes.
 * Undefined: nothing is said.
 */
function judge(o, rawPower) {
  const needed = ['outletId', 'rfidTag', 'periodStart', 'periodEnd', 'outletStateChange'];
  if (typeof o !== 'object' || o === null || needed.some((k) => typeof o[k] !== 'string')) return 'no';
  const id = uuid(o.outletId);
  const tag = toBytes(o.rfidTag);
  const from = dateNs(o.periodStart);
  const to = dateNs(o.periodEnd);
  const kwh = rawPower === undefined ? undefined : power(rawPower);
  if (from === null || to === null) return undefined;
  const given = 'messageId' in o && o.messageId !== null;
  if (given && typeof o.messageId !== 'string') return 'no';
  const messageId = given ? toBytes(o.messageId) : Buffer.alloc(0);
  if (id === undefined || tag.length > 64 || from === undefined || to === undefined || kwh === undefined) return 'no';
  if (!STATES.includes(o.outletStateChange) || messageId.length > 64 || (given && messageId.length === 0)) return 'no';
  const text =
    `{"outletId":"${id}","rfidTag":${JSON.stringify(tag.toString())},"periodStart":"${isoTime(from)}",` +
    `"periodEnd":"${isoTime(to)}","outletStateChange":"${o.outletStateChange}","powerConsumption":${javaDouble(kwh)}` +
    `${given ? `,"messageId":${JSON.stringify(messageId.toString())}` : ''}}`;
  return `ok ${id} ${hexOr(tag)} ${from} ${to} ${o.outletStateChange} ${bits(kwh)} ${hexOr(messageId)} ${hexOr(Buffer.from(text))}`;
}

/* Random parts of messages; `bad` of them now and then. */

function randomText(max) {
  const kinds = [
    () => String.fromCharCode(0x20 + below(0x5f)),
    () => String.fromCharCode(below(0x20)),
    () => '"',
    () => '\\',
    () => '/',
    () => String.fromCodePoint(0x80 + below(0x700)),
    () => String.fromCodePoint(0x800 + below(0xd000)),
    () => String.fromCodePoint(0x10000 + below(0x100000)),
    () => '\u007f',
    () => String.fromCharCode(0xd800 + below(0x800)),
  ];
  return Array.from({ length: below(max) }, () => kinds[chance(0.7) ? 0 : below(kinds.length)]()).join('');
}

/** A JSON string of that text; each character as it is, or in one of its escaped forms. */
function quote(text) {
  const short = { '"': '\\"', '\\': '\\\\', '\b': '\\b', '\f': '\\f', '\n': '\\n', '\r': '\\r', '\t': '\\t', '/': '\\/' };
  const out = [];
  for (const c of text) {
    const units = c
      .split('')
      .map((u) =>
        `\\u${u.charCodeAt(0).toString(16).padStart(4, '0')}`.replace(/[a-f]/g, (x) => (chance(0.5) ? x.toUpperCase() : x)),
      );
    const must = c < ' ' || c === '"' || c === '\\' || !c.isWellFormed();
    if (short[c] !== undefined && (chance(0.5) || (must && chance(0.5)))) out.push(short[c]);
    else out.push(must || chance(0.1) ? units.join('').replaceAll('\\U', '\\u') : c);
  }
  return `"${out.join('')}"`;
}

function randomUuid() {
  const lens = [8, 4, 4, 4, 12];
  if (chance(0.1)) return lens.map((n) => hex(1 + below(chance(0.2) ? n + 2 : n))).join('-');
  if (chance(0.03))
    return pick([hex(32), `${hex(8)}-${hex(4)}`, '', 'x-y-z-1-2', `{${hex(8)}-${hex(4)}-${hex(4)}-${hex(4)}-${hex(12)}}`]);
  return lens.map((n) => hex(n)).join('-');
}

const two = (n) => String(n).padStart(2, '0');
function randomDate() {
  const y = chance(0.9) ? 1970 + below(100) : below(10000);
  const day = chance(0.05) ? below(34) : 1 + below(28);
  const time = `${two(below(chance(0.03) ? 26 : 24))}:${two(below(chance(0.03) ? 62 : 60))}`;
  const seconds = chance(0.1) ? '' : `:${two(below(chance(0.03) ? 62 : 60))}${chance(0.5) ? `.${digits(below(10))}` : ''}`;
  const sign = pick('+-');
  const offset = chance(0.5)
    ? 'Z'
    : [
        `${sign}${two(below(20))}`,
        chance(0.8) ? `:${two(below(chance(0.05) ? 62 : 60))}` : '',
        chance(0.1) ? `:${two(below(60))}` : '',
        chance(0.05) ? pick(['x', 'Z', '0', 'é', ' ']) : '',
      ].join('');
  const text = `${String(y).padStart(4, '0')}-${two(chance(0.03) ? below(15) : 1 + below(12))}-${two(day)}T${time}${seconds}${offset}`;
  return chance(0.03) ? text.replace(pick(['T', '-', ':', 'Z']), pick(['t', ' ', '', '--', 'z'])) : text;
}

function randomNumber() {
  const kind = below(12);
  if (kind === 0)
    return pick([
      '-Infinity',
      '-.5',
      '1.',
      '-.',
      '007',
      '0e5',
      '-0',
      '00',
      '1e400',
      '-1e400',
      '5e-324',
      '1.7976931348623157e308',
    ]);
  if (kind === 1)
    return pick(['.5', '+1', 'NaN', 'Infinity', '-', '1e', '1e+', '0x10', '1_0', '1e2147483648', '1e-2147483648', '--1', '']);
  if (kind === 2) return `${digits(1 + below(45))}${chance(0.5) ? `.${digits(below(30))}` : ''}`;
  if (kind === 3) return bits2number();
  const plain = `${chance(0.2) ? '-' : ''}${below(chance(0.5) ? 100 : 1e9)}`;
  const fraction = chance(0.7) ? `.${digits(1 + below(16))}` : '';
  return `${plain}${fraction}${chance(0.2) ? `${pick('eE')}${pick(['', '+', '-'])}${below(330)}` : ''}`;
}

/** Any double at all, in its shortest form. */
function bits2number() {
  const v = randomBytes(8).readDoubleBE();
  return Number.isFinite(v) ? String(v) : '1';
}

const space = () => (chance(0.85) ? '' : Array.from({ length: 1 + below(3) }, () => pick(' \t\n\r')).join(''));

function randomValue(depth) {
  const kind = below(depth > 4 ? 5 : 7);
  if (kind === 0) return pick(['null', 'true', 'false']);
  if (kind <= 2)
    return `${chance(0.3) ? '-' : ''}${below(1e6)}${chance(0.4) ? `.${digits(1 + below(9))}` : ''}${chance(0.2) ? `e${below(300)}` : ''}`;
  if (kind <= 4) return quote(randomText(12));
  const items = Array.from(
    { length: below(4) },
    () => (kind === 5 ? '' : `${quote(randomText(6))}${space()}:${space()}`) + randomValue(depth + 1),
  );
  return `${'[{'[kind - 5]}${space()}${items.join(`${space()},${space()}`)}${space()}${']}'[kind - 5]}`;
}

/** A message as bytes, and what the tool should say. */
function randomMessage() {
  const fields = {
    outletId: randomUuid(),
    rfidTag: randomText(chance(0.1) ? 90 : 20),
    periodStart: randomDate(),
    periodEnd: randomDate(),
    outletStateChange: pick(STATES),
  };
  if (chance(0.3)) fields.messageId = chance(0.1) ? null : randomText(chance(0.1) ? 90 : 12);
  if (chance(0.02)) fields.outletStateChange = pick(['charging', '', 'Charging ', 'X']);
  const number = randomNumber();
  const quoted = chance(0.15);
  const numberText = quoted ? `"${chance(0.2) ? pick([' ', '\t', ' \n']) : ''}${number}"` : number;
  const parts = Object.entries(fields).map(([k, v]) => [k, v === null ? 'null' : quote(v)]);
  parts.push(['powerConsumption', numberText]);
  let verdict = judge(fields, number);
  for (let i = below(3); i > 0; i--) parts.push([`x${i}${randomText(8)}`, randomValue(0)]);
  if (chance(0.03)) {
    const k = pick(parts)[0];
    parts.push([k, chance(0.5) ? parts.find((p) => p[0] === k)[1] : randomValue(0)]);
    if (!k.startsWith('x')) verdict = 'no'; // twice
  }
  shuffle(parts);
  if (chance(0.03)) {
    const gone = pick(['outletId', 'rfidTag', 'periodStart', 'periodEnd', 'outletStateChange', 'powerConsumption']);
    parts.splice(0, parts.length, ...parts.filter((part) => part[0] !== gone));
    verdict = 'no';
  }
  if (chance(0.03)) {
    const at = below(parts.length);
    const other = pick(['null', '5', 'true', '[]', '{}']);
    if (
      !parts[at][0].startsWith('x') &&
      !(parts[at][0] === 'messageId' && other === 'null') &&
      !(parts[at][0] === 'powerConsumption' && other === '5')
    ) {
      parts[at][1] = other;
      verdict = 'no';
    }
  }
  const members = parts.map(([k, v]) => `${quote(k)}${space()}:${space()}${v}`);
  const text = `${space()}{${space()}${members.join(`${space()},${space()}`)}${space()}}`;
  // What follows the closing brace is of no interest, be it text or not.
  const after = chance(0.1) ? randomBytes(below(9)) : Buffer.alloc(0);
  return [Buffer.concat([Buffer.from(text), after]), verdict];
}

function mutate(bytes) {
  let b = Buffer.from(bytes);
  for (let i = 1 + below(3); i > 0 && b.length > 0; i--) {
    const at = below(b.length);
    const kind = below(4);
    if (kind === 0) b[at] = below(256);
    else if (kind === 1) b = Buffer.concat([b.subarray(0, at), b.subarray(at + 1)]);
    else if (kind === 2)
      b = Buffer.concat([b.subarray(0, at), Buffer.from([pick(Buffer.from('{}[]",:\\0 e-.\x00\xff'))]), b.subarray(at)]);
    else b = b.subarray(0, at);
  }
  return b;
}

function isKey(string, name) {
  try {
    return JSON.parse(string) === name;
  } catch {
    return false;
  }
}

const FIELDS = ['outletId', 'rfidTag', 'periodStart', 'periodEnd', 'outletStateChange', 'powerConsumption', 'messageId'];

/** The text with the original's forms of numbers put right, the power as it was, and whether a field comes twice. */
function putRight(text) {
  let rawPower;
  let twice = false;
  let depth = 0;
  let key = ['', 0]; // the last string, and where it ends
  const seen = new Set();
  const plain = text.replace(/("(?:[^"\\]|\\.)*")|[{}[\]:]|-Infinity|[-0-9][0-9.eE+-]*/gsu, (token, string, at) => {
    if ('{['.includes(token)) depth++;
    if ('}]'.includes(token)) depth--;
    if (token === ':' && depth === 1) {
      const name = FIELDS.find((f) => isKey(key[0], f));
      twice = twice || seen.has(name);
      if (name !== undefined) seen.add(name);
    }
    if (string === undefined && '{}[]:'.includes(token)) return token;
    const isPower = depth === 1 && isKey(key[0], 'powerConsumption') && /^[ \t\n\r]*:[ \t\n\r]*$/.test(text.slice(key[1], at));
    if (string !== undefined) key = [string, at + string.length];
    const inside = string === undefined ? token : string.slice(1, -1).replace(/^[ \t\n\r]+/, '');
    if (isPower) rawPower = inside;
    // Strings stay, but for a quoted number; what nobody reads may be any run of the characters of numbers.
    if (isPower) return power(inside) === undefined ? token : '0';
    return string === undefined && token !== '-Infinity' ? '0' : token;
  });
  return { plain, rawPower, twice };
}

/** What the tool should say to any bytes, by JSON.parse. */
function judgeBytes(b) {
  for (let end = b.indexOf('}'); end >= 0; end = b.indexOf('}', end + 1)) {
    const text = decodeUtf8(b.subarray(0, end + 1));
    if (text === undefined) return 'no';
    const { plain, rawPower, twice } = putRight(text);
    try {
      const said = judge(JSON.parse(plain), rawPower);
      return twice ? 'no' : said;
    } catch {
      // Perhaps a later brace is the one that closes it.
    }
  }
  return 'no';
}

test('device messages are read and written as JSON.parse and a second set of rules say', async () => {
  const inputs = [];
  const expected = [];
  for (let i = 0; i < COUNT; i++) {
    const [bytes, verdict] = randomMessage();
    inputs.push(bytes);
    expected.push(verdict);
  }
  const lines = await ask('json', inputs);
  agree(inputs, lines, expected, (b) => JSON.stringify(b.toString()));
  const accepted = lines.filter((l) => l !== 'no').length;
  assert.ok(accepted > COUNT / 4 && accepted < COUNT * 0.9, `${accepted} of ${COUNT} were accepted`);
});

test('damaged device messages are refused exactly when JSON.parse and these rules refuse them', async () => {
  const inputs = Array.from({ length: COUNT }, () => mutate(randomMessage()[0]));
  const expected = inputs.map(judgeBytes);
  const lines = await ask('json', inputs);
  agree(inputs, lines, expected, (b) => `${JSON.stringify(b.toString())} ${b.toString('hex')}`);
  assert.ok(lines.filter((l) => l !== 'no').length > COUNT / 100);
});

/* --- Charging events --- */

// Bytes for texts: the other implementation replaces broken UTF-8, which is to be refused.
const schema = protobuf.parse(`syntax = "proto3";
  message Time { int64 seconds = 1; int32 nanos = 2; }
  message Session { bytes sessionId = 1; bytes rfidTag = 2; Time periodStart = 3; Time periodEnd = 4; double powerConsumption = 5; }
  message Event { bytes initiator = 1; bytes outletId = 2; bytes outletState = 3; Session recentSession = 4;
    bytes eventId = 100; bytes itemId = 101; int64 itemEnergy = 102; }`).root;
const Event = schema.lookupType('Event');
const Session = schema.lookupType('Session');
const Time = schema.lookupType('Time');
const { Long } = protobuf.util;
const long = (n) => Long.fromString(String(n));
const big = (n) => BigInt(String(n));

function timeNs(t) {
  const ns = big(t.seconds) * 1_000_000_000n + BigInt(t.nanos);
  return ns >= MIN_NS && ns <= MAX_NS ? ns : undefined;
}

function timeOf(ns) {
  const nanos = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return { seconds: long((ns - nanos) / 1_000_000_000n), nanos: Number(nanos) };
}

/** Only what is not the default, as proto3 has it: this implementation writes whatever is set. */
const set = (o) =>
  Object.fromEntries(
    Object.entries(o).filter(
      ([, v]) =>
        v !== undefined &&
        v !== null &&
        v.length !== 0 &&
        !Object.is(v, 0) &&
        !Object.is(v, -0) &&
        !(v instanceof Long && v.isZero()),
    ),
  );

/** The bytes that we should write. */
function write(e) {
  const time = (ns) => (ns === undefined ? undefined : set(timeOf(ns)));
  return Buffer.from(
    Event.encode(
      set({
        initiator: Buffer.from(e.initiator),
        outletId: Buffer.from(e.outletId),
        outletState: Buffer.from(e.state),
        recentSession: set({
          sessionId: e.sessionId && Buffer.from(e.sessionId),
          rfidTag: e.tag,
          periodStart: time(e.from),
          periodEnd: time(e.to),
          powerConsumption: e.kwh,
        }),
        eventId: e.eventId,
        itemId: e.itemId,
        itemEnergy: e.itemId && long(e.itemMwh),
      }),
    ).finish(),
  );
}

function lineOf(e) {
  return [
    'ok',
    e.initiator,
    e.outletId,
    e.state,
    e.sessionId ?? '-',
    hexOr(e.tag),
    e.from,
    e.to ?? '-',
    bits(e.kwh),
    e.eventId ? hexOr(e.eventId) : '-',
    e.itemId ? hexOr(e.itemId) : '-',
    e.itemId ? e.itemMwh : '-',
    hexOr(write(e)),
  ].join(' ');
}

/** What the tool should say to a record that the other implementation has read. */
function judgeEvent(p) {
  const s = p.recentSession;
  const [initiator, outletText, state] = [p.initiator, p.outletId, p.outletState].map((b) => decodeUtf8(Buffer.from(b)));
  if (!['AppBackend', 'OutletBackend'].includes(initiator) || !STATES.includes(state) || outletText === undefined) return 'no';
  if (!s?.periodStart || decodeUtf8(Buffer.from(s.rfidTag)) === undefined || s.rfidTag.length > 64) return 'no';
  const outletId = uuid(outletText);
  const sessionText = decodeUtf8(Buffer.from(s.sessionId));
  const sessionId = sessionText === '' ? undefined : uuid(sessionText ?? 'x');
  const [from, to] = [s.periodStart, s.periodEnd].map((t) => (t ? timeNs(t) : undefined));
  if (
    outletId === undefined ||
    (sessionText !== '' && sessionId === undefined) ||
    from === undefined ||
    (s.periodEnd && to === undefined)
  )
    return 'no';
  const identity = (b) => (b.length === 0 || b.length === 16 ? b : undefined);
  const [eventId, itemId] = [p.eventId, p.itemId].map((b) => identity(Buffer.from(b)));
  const itemMwh = big(p.itemEnergy);
  if (eventId === undefined || itemId === undefined || itemMwh < 0n || itemMwh > 2n ** 60n) return 'no';
  return lineOf({
    initiator,
    outletId,
    state,
    sessionId,
    tag: Buffer.from(s.rfidTag),
    from,
    to,
    kwh: s.powerConsumption,
    eventId: eventId.length > 0 ? eventId : undefined,
    itemId: itemId.length > 0 ? itemId : undefined,
    itemMwh,
  });
}

const some = (p, fn) => (chance(p) ? fn() : undefined);
const randomNs = () =>
  chance(0.05)
    ? pick([0n, -1n, 1n, -1_000_000_000n, MIN_NS, MAX_NS])
    : BigInt(below(4e9) - 1e9) * 1_000_000_000n + BigInt(below(1e9));

function randomEvent() {
  const kwh = chance(0.1) ? pick([0, -0, Infinity, -Infinity, 1e300, -5, 1e-300, 5e-324]) : below(1e8) / 1000;
  const lens = [8, 4, 4, 4, 12];
  const id = () =>
    lens
      .map((n) => hex(n))
      .join('-')
      .toLowerCase();
  return {
    initiator: pick(['AppBackend', 'OutletBackend']),
    outletId: id(),
    state: pick(STATES),
    sessionId: some(0.8, id),
    tag: toBytes(randomText(14)).subarray(0, 64),
    from: randomNs(),
    to: some(0.5, randomNs),
    kwh,
    eventId: some(0.5, () => randomBytes(16)),
    itemId: some(0.2, () => randomBytes(16)),
    itemMwh: BigInt(below(2 ** 48)) * BigInt(below(4096)),
  };
}

/* The same event, as another writer might put it: each field one piece of bytes. */

const piece = (fn) => {
  const w = protobuf.Writer.create();
  fn(w);
  return Buffer.from(w.finish());
};
const bytesField = (n, b) => piece((w) => w.uint32(n * 8 + 2).bytes(b));

function unknownField() {
  const n = pick([6, 7, 15, 16, 99, 103, 500, 100_000]);
  switch (below(4)) {
    case 0:
      return piece((w) => w.uint32(n * 8).uint64(long(BigInt(below(2 ** 32)) * 65_537n)));
    case 1:
      return piece((w) => w.uint32(n * 8 + 1).double(random()));
    case 2:
      return bytesField(n, randomBytes(below(20)));
    default:
      return piece((w) => w.uint32(n * 8 + 5).fixed32(below(2 ** 32)));
  }
}

/** Pieces in any order, with unknown ones between; those of one number stay in theirs. */
function join(pieces) {
  const all = [...pieces.map((p) => [p]), ...Array.from({ length: chance(0.3) ? below(4) : 0 }, () => [unknownField()])];
  return Buffer.concat(shuffle(all).flat(2));
}

/** A message field, in one piece or split in two: what comes twice is merged. */
function messageField(n, pieces) {
  if (!chance(0.3)) return [bytesField(n, join(pieces))];
  const cut = below(pieces.length + 1);
  return [bytesField(n, join(pieces.slice(0, cut))), bytesField(n, join(pieces.slice(cut)))];
}

// A field twice: the last counts.
const twice = (p, old, now) => (chance(p) ? [Buffer.concat([old(), now()])] : [now()]);

function timePieces(ns) {
  const t = timeOf(ns);
  const pieces = [];
  if (!t.seconds.isZero() || chance(0.2))
    pieces.push(
      ...twice(
        0.1,
        () => piece((w) => w.uint32(8).int64(long(below(1000)))),
        () => piece((w) => w.uint32(8).int64(t.seconds)),
      ),
    );
  if (t.nanos !== 0 || chance(0.2)) pieces.push(piece((w) => w.uint32(16).int32(t.nanos)));
  return pieces;
}

function writeOtherwise(e) {
  const text = (n, s) =>
    twice(
      0.1,
      () => bytesField(n, Buffer.from(pick(['Charging', 'x', '']))),
      () => bytesField(n, Buffer.from(s)),
    );
  const session = [
    ...(e.sessionId ? text(1, e.sessionId) : chance(0.3) ? text(1, '') : []),
    ...text(2, e.tag),
    Buffer.concat(messageField(3, timePieces(e.from))),
    ...(e.to === undefined ? [] : [Buffer.concat(messageField(4, timePieces(e.to)))]),
    ...(e.kwh !== 0 || Object.is(e.kwh, -0) || chance(0.3)
      ? twice(
          0.1,
          () => piece((w) => w.uint32(41).double(7)),
          () => piece((w) => w.uint32(41).double(e.kwh)),
        )
      : []),
  ];
  return join([
    ...text(1, e.initiator),
    ...text(2, chance(0.2) ? e.outletId.toUpperCase() : e.outletId),
    ...text(3, e.state),
    Buffer.concat(messageField(4, session)),
    ...(e.eventId ? [bytesField(100, e.eventId)] : []),
    ...(e.itemId ? [bytesField(101, e.itemId), piece((w) => w.uint32(816).int64(long(e.itemMwh)))] : []),
  ]);
}

const showHex = (b) => b.toString('hex');

test('charging events are written as protobufjs writes them, and read back', async () => {
  // A negative zero is a default, and so left out.
  const events = Array.from({ length: COUNT }, randomEvent).map((e) => (e.kwh === 0 ? { ...e, kwh: 0 } : e));
  const inputs = events.map(write);
  inputs.forEach((b, i) => assert.deepEqual(judgeEvent(Event.decode(b)), lineOf(events[i]), `these rules: ${showHex(b)}`));
  agree(inputs, await ask('event', inputs), events.map(lineOf), showHex);
});

test('charging events are read in any order, with unknown, repeated and split fields', async () => {
  const events = Array.from({ length: COUNT }, randomEvent);
  const inputs = events.map(writeOtherwise);
  agree(inputs, await ask('event', inputs), events.map(lineOf), showHex);
});

test('damaged charging events are refused exactly when protobufjs and these rules refuse them', async () => {
  const inputs = [];
  const expected = [];
  while (inputs.length < COUNT) {
    const whole = write(randomEvent());
    const b = chance(0.5) ? whole.subarray(0, below(whole.length)) : damage(whole);
    inputs.push(b);
    expected.push(judgeRecord(b));
  }
  assert.ok(expected.filter((e) => e === undefined).length < COUNT / 4);
  agree(inputs, await ask('event', inputs), expected, showHex);
});

/** One byte is another. */
function damage(b) {
  const out = Buffer.from(b);
  out[below(out.length)] = below(256);
  return out;
}

/** A broken record, for whoever reads it. */
class Broken extends Error {}

function judgeRecord(b) {
  try {
    if (differs(b)) return undefined;
    return judgeEvent(Event.decode(b));
  } catch (e) {
    if (e instanceof Broken || e instanceof RangeError || /invalid wire type|index out of range/.test(e.message)) return 'no';
    throw e;
  }
}

/** The fields of a record as [number, wire type, content]; throws Broken where it is cut off. */
function* fieldsOf(bytes) {
  let at = 0;
  const varint = () => {
    let v = 0n;
    for (let i = 0n; i < 10n; i++) {
      if (at >= bytes.length) throw new Broken();
      const byte = bytes[at++];
      v |= BigInt(byte & 127) << (7n * i);
      if (byte < 128) return v;
    }
    return 2n ** 70n;
  };
  const take = (n) => {
    if (n > bytes.length - at) throw new Broken();
    at += n;
    return bytes.subarray(at - n, at);
  };
  while (at < bytes.length) {
    const tag = varint();
    const type = Number(tag & 7n);
    if (type === 0) yield [tag >> 3n, type, varint()];
    else if (type === 1) yield [tag >> 3n, type, take(8)];
    else if (type === 5) yield [tag >> 3n, type, take(4)];
    else if (type === 2) {
      const length = varint();
      yield [tag >> 3n, type, length < 2n ** 31n ? take(Number(length)) : undefined];
    } else {
      yield [tag >> 3n, type, undefined];
      return;
    }
  }
}

const TYPES = {
  event: { 1: [2], 2: [2], 3: [2], 4: [2, 'session'], 100: [2], 101: [2], 102: [0] },
  session: { 1: [2], 2: [2], 3: [2, 'time'], 4: [2, 'time'], 5: [1] },
  time: { 1: [0], 2: [0] },
};

/**
 * Where the two are known to differ, so that nothing can be learned: protobufjs replaces a message that comes
 * twice instead of merging it, reads a field whatever its wire type, takes the number 0 and groups for fields,
 * and cuts varints that are too long.
 */
function differs(bytes, message = 'event') {
  const seen = new Set();
  let odd = false;
  for (const [n, type, content] of fieldsOf(bytes)) {
    const [wanted, inner] = TYPES[message][n] ?? [type];
    if (n === 0n || n >= 2n ** 29n || content === undefined || wanted !== type) odd = true;
    else if (type === 0 && content >= 2n ** 64n) odd = true;
    else if (message === 'time' && n === 2n && content !== BigInt.asUintN(64, BigInt.asIntN(32, content))) odd = true;
    else if (inner !== undefined) {
      odd = odd || seen.has(n) || differs(content, inner);
      seen.add(n);
    }
  }
  return odd;
}
