// Bytes on a TCP connection, for what no proper client sends; and what a proper one says of its state.
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { until } from './harness.mjs';

/** A plain (or TLS) connection that keeps what came. */
export class Wire {
  static async open(url, options = {}) {
    const { hostname, port, protocol } = new URL(url);
    const w = new Wire();
    w.bytes = Buffer.alloc(0);
    w.host = `${hostname}:${port}`;
    const to = { host: options.host ?? hostname, port: Number(port), ...options };
    w.socket = protocol === 'https:' && !options.plain ? tls.connect(to) : net.connect(to);
    w.socket.on('error', (e) => (w.error = e));
    w.socket.on('data', (d) => (w.bytes = Buffer.concat([w.bytes, d])));
    w.closed = once(w.socket, 'close').then(() => (w.isClosed = true)).catch(() => (w.isClosed = true));
    await Promise.race([once(w.socket, w.socket.encrypted ? 'secureConnect' : 'connect'), w.closed]).catch(() => {});
    return w;
  }

  get text() {
    return this.bytes.toString('latin1');
  }

  send(bytes) {
    if (!this.socket.destroyed) this.socket.write(bytes);
    return this;
  }

  async end() {
    this.socket.destroy();
    await this.closed;
  }
}

/** Sends bytes and gives all that came until the server closed. */
export async function exchange(url, bytes, options = {}) {
  const w = await Wire.open(url, options);
  w.send(bytes);
  await until(`the end of ${JSON.stringify(String(bytes).slice(0, 40))}`, () => w.isClosed);
  const text = w.text;
  const [head, ...rest] = text.split('\r\n\r\n');
  const lines = head.split('\r\n');
  return {
    text,
    status: Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? 0),
    headers: lines.slice(1),
    names: lines.slice(1).map((l) => l.slice(0, l.indexOf(':'))),
    body: rest.join('\r\n\r\n'),
  };
}

/** The bytes of a request that ends its connection. */
export function request(method, target, { body = '', headers = [], host = 'localhost' } = {}) {
  const lines = [`${method} ${target} HTTP/1.1`, `Host: ${host}`, 'Connection: close', ...headers];
  if (body !== '') lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), Buffer.from(body)]);
}

/** A masked frame as a client sends it (RFC 6455, 5.2). */
export function frame(opcode, payload, { fin = true, mask = true } = {}) {
  const body = Buffer.from(payload);
  const key = Buffer.from([1, 2, 3, 4]);
  const head = [(fin ? 0x80 : 0) | opcode];
  if (body.length < 126) head.push(body.length);
  else if (body.length < 65536) head.push(126, body.length >> 8, body.length & 255);
  else head.push(127, 0, 0, 0, 0, ...[24, 16, 8, 0].map((s) => (body.length >>> s) & 255));
  if (!mask) return Buffer.concat([Buffer.from(head), body]);
  head[1] |= 0x80;
  return Buffer.concat([Buffer.from(head), key, body.map((b, i) => b ^ key[i % 4])]);
}

/** A WebSocket of a device made by hand: it answers no ping, and reads only as long as it is not paused. */
export async function openDevice(server, outletId) {
  const w = await Wire.open(server.gateway);
  w.send(
    `GET /devices/${outletId} HTTP/1.1\r\nHost: ${w.host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  await until('the upgrade', () => w.text.includes('\r\n\r\n'));
  w.bytes = w.bytes.subarray(w.bytes.indexOf('\r\n\r\n') + 4);
  return w;
}

/** The code of the close frame that a server sent last; 0 if it sent none. */
export function closeCode(bytes) {
  for (let at = 0; at + 2 <= bytes.length; ) {
    let size = bytes[at + 1] & 127;
    let head = 2;
    if (size === 126) [size, head] = [bytes.readUInt16BE(at + 2), 4];
    if ((bytes[at] & 15) === 8) return size >= 2 ? bytes.readUInt16BE(at + head) : 1005;
    at += head + size;
  }
  return 0;
}

/** Runs fn; then says by how much a counter has grown since. */
export async function growth(server, fn) {
  const before = await server.metrics();
  const value = await fn();
  return { value, grew: async (name) => ((await server.metrics()).get(name) ?? 0) - (before.get(name) ?? 0) };
}
