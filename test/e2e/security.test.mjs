// Nobody in who does not belong, and nothing secret out.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFile, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import tls from 'node:tls';
import { after, before, describe, test } from 'node:test';
import { Device, Server, ask, books, message, newCustomer, newOutlet, outletOf, run, tempDir, until } from './harness.mjs';
import { Wire, exchange, growth, request } from './wire.mjs';

const bearer = (secret) => ({ authorization: `Bearer ${secret}` });
const basic = (user, secret) => ({ authorization: `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}` });
const GROUP = '86c911e2-bbf3-42c8-8925-f9d380c1f329';
const OUTLET = { chargerGroupId: GROUP, outletCode: 'S', address: 'a', maxPower: 1, outletState: 'Available' };
const PERSON = { address: 'a', email: 'a@b', paymentMethod: 'c' };

async function secretOf(args, dir) {
  const r = await run([...args, '--data', dir]);
  assert.equal(r.code, 0, r.stderr);
  assert.match(r.stdout, /^evc_[A-Za-z0-9_-]{43}\n$/);
  assert.match(r.stderr, /shown once/);
  return r.stdout.trim();
}

/** The status of a WebSocket handshake: 101, or why not. */
async function handshake(server, outletId, headers = {}) {
  const d = await Device.connect(server, outletId, { ws: { headers } });
  if (!d.error) {
    await d.close();
    return 101;
  }
  return Number(/Unexpected server response: (\d+)/.exec(d.error.message)[1]);
}

describe('what is not loopback', () => {
  for (const name of ['outlet', 'app', 'gateway']) {
    for (const address of ['0.0.0.0:0', '[::]:0', '192.0.2.1:0']) {
      test(`--${name}-listen ${address} takes TLS or --insecure`, async () => {
        const dir = await tempDir();
        const r = await run(['serve', '--data', path.join(dir, 'data'), `--${name}-listen`, address]);
        assert.equal(r.code, 2);
        assert.match(r.stderr, new RegExp(`${name}-listen = .* is not loopback: that takes tls-cert and tls-key, or insecure`));
        assert.deepEqual(await readdir(dir), []);
        await rm(dir, { recursive: true });
      });
    }
  }

  test('with --insecure everything but /live wants a token', async (t) => {
    const dir = await tempDir();
    const token = await secretOf(['config', 'token', 'create', 'tester'], dir);
    const server = await Server.start({ dir, host: '0.0.0.0', args: ['--insecure'], headers: bearer(token) });
    t.after(() => server.stop());
    for (const listener of ['outlet', 'app', 'gateway']) {
      const url = server[listener];
      assert.equal((await ask('GET', `${url}/live`)).status, 200);
      for (const route of ['/ready', '/metrics', '/api/openapi.json', '/nothing', '/api/books', '/api/customers']) {
        const { value: r, grew } = await growth(server, () => ask('GET', url + route));
        assert.equal(r.status, 401, url + route);
        assert.match(r.headers.get('www-authenticate'), /Bearer/);
        assert.equal(await grew('evcharge_api_refused_total{why="missing"}'), 1);
      }
      assert.equal((await ask('GET', `${url}/metrics`, { headers: bearer(token) })).status, 200);
      assert.equal((await ask('GET', `${url}/metrics`, { headers: { ...bearer(token), host: 'charge.example:1' } })).status, 200);
    }
    const made = await ask('POST', `${server.outlet}/api/chargers`, { body: OUTLET, headers: bearer(token) });
    assert.equal(made.status, 201);
    assert.equal(await handshake(server, made.body.outletId), 401);
    assert.equal(await handshake(server, made.body.outletId, bearer(token)), 401, 'a token is no device secret');
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    await rm(dir, { recursive: true });
  });
});

describe('tokens and secrets', () => {
  let dir;
  let server;
  let token;
  before(async () => {
    dir = await tempDir();
    token = await secretOf(['config', 'token', 'create', 'tester'], dir);
    server = await Server.start({ dir, args: ['--auth', 'always', '--log-level', 'debug'], headers: bearer(token) });
  });
  after(async () => {
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    await rm(dir, { recursive: true });
  });
  const get = (url, headers) => ask('GET', url, { headers });
  const newOne = async () => (await ask('POST', `${server.outlet}/api/chargers`, { body: OUTLET, headers: bearer(token) })).body.outletId;

  test('auth = always wants them on loopback, too', async () => {
    assert.equal((await get(`${server.outlet}/live`)).status, 200);
    for (const url of [`${server.outlet}/api/books`, `${server.app}/api/sessions`, `${server.gateway}/metrics`, `${server.app}/ready`])
      assert.deepEqual([(await get(url)).status, (await get(url, bearer(token))).status], [401, 200]);
    const other = token.slice(0, -1) + (token.endsWith('A') ? 'B' : 'A');
    for (const wrong of [other, token.slice(0, -1), `${token}A`, token.toUpperCase(), '', 'x'])
      assert.equal((await get(`${server.outlet}/api/books`, { authorization: `Bearer ${wrong}` })).status, 401);
    assert.equal((await get(`${server.outlet}/api/books`, basic('tester', token))).status, 401);
    assert.equal((await get(`${server.outlet}/api/books`, { authorization: `bEARER   ${token}` })).status, 200);
  });

  test('a token is made, listed and revoked while the server runs', async () => {
    const fresh = await secretOf(['config', 'token', 'create', 'ci.robot-1'], dir);
    await until('the server takes it', async () => (await get(`${server.app}/api/customers`, bearer(fresh))).status === 200);
    const list = await run(['config', 'token', 'list', '--data', dir]);
    assert.match(list.stdout, /^ci\.robot-1 +\d{4}-/m);
    assert.match(list.stdout, /^tester /m);
    assert.ok(!list.stdout.includes('evc_'));
    const again = await run(['config', 'token', 'create', 'ci.robot-1', '--data', dir]);
    assert.equal(again.code, 1);
    assert.equal(again.stdout, '');
    const revoked = await run(['config', 'token', 'revoke', 'ci.robot-1', '--data', dir]);
    assert.equal(revoked.code, 0);
    await until('the server refuses it', async () => (await get(`${server.app}/api/customers`, bearer(fresh))).status === 401);
    assert.equal((await run(['config', 'token', 'revoke', 'ci.robot-1', '--data', dir])).code, 1);
    const file = path.join(dir, 'credentials');
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.ok(!(await readFile(file, 'utf8')).includes('evc_'));
  });

  test('a device comes in by its secret, Basic or Bearer, and by no other', async () => {
    const [mine, theirs] = [await newOne(), await newOne()];
    const secret = await secretOf(['outlet', 'secret', 'create', mine], dir);
    const other = await secretOf(['outlet', 'secret', 'create', theirs], dir);
    await until('the server takes it', async () => (await handshake(server, mine, bearer(secret))) === 101);
    assert.equal(await handshake(server, mine, basic(mine, secret)), 101);
    assert.equal(await handshake(server, mine, basic(mine.toUpperCase(), secret)), 101);
    const { grew } = await growth(server, async () => {
      assert.equal(await handshake(server, mine), 401);
      assert.equal(await handshake(server, mine, bearer(other)), 401, 'of another outlet');
      assert.equal(await handshake(server, mine, basic(theirs, other)), 401);
      assert.equal(await handshake(server, mine, basic(theirs, secret)), 401, 'another user');
      assert.equal(await handshake(server, mine, basic(mine, token)), 401, 'an API token');
      assert.equal(await handshake(server, mine, basic(mine, '')), 401);
      assert.equal((await get(`${server.gateway}/devices/${mine}/commands`, bearer(other))).status, 401);
      assert.equal((await get(`${server.outlet}/api/books`, bearer(secret))).status, 401, 'a secret is no token');
    });
    assert.equal(await grew('evcharge_gateway_refused_total'), 7);
    assert.equal(await grew('evcharge_api_refused_total{why="wrong"}'), 1);
    assert.ok(server.logs.some((l) => l.event === 'device.refused' && l.outlet === mine));
    const messages = `${server.gateway}/devices/${mine}/messages`;
    const posted = await ask('POST', messages, { body: message(mine, 'CablePlugged'), headers: basic(mine, secret) });
    assert.equal(posted.body.verdict, 'applied');
    // A second one, to change over; then all are revoked.
    const second = await secretOf(['outlet', 'secret', 'create', mine], dir);
    const both = async () => [await handshake(server, mine, bearer(second)), await handshake(server, mine, bearer(secret))].join();
    await until('both work', async () => (await both()) === '101,101');
    assert.equal((await run(['outlet', 'secret', 'revoke', mine, '--data', dir])).code, 0);
    await until('none works', async () => (await both()) === '401,401');
    assert.equal(await handshake(server, theirs, bearer(other)), 101);
  });

  test('the logs tell no secret, no tag and nobody\'s address, whatever happens', async () => {
    const id = await newOne();
    const secret = await secretOf(['outlet', 'secret', 'create', id], dir);
    const TAG = 'Card-Of-Anna-0815';
    const headers = bearer(token);
    const person = { rfidTag: TAG, address: 'Hidden Lane 7', email: 'anna@hidden.example', paymentMethod: 'DE00 1234' };
    const made = await ask('POST', `${server.app}/api/customers`, { body: person, headers });
    assert.equal(made.status, 201);
    assert.equal((await ask('POST', `${server.app}/api/customers`, { body: person, headers })).status, 409);
    await until('the server takes the secret', async () => (await handshake(server, id, bearer(secret))) === 101);
    const d = await Device.connect(server, id, { ws: { headers: basic(id, secret) } });
    await d.send('CablePlugged');
    await d.send('DeviceRequestsCharging', { rfidTag: TAG });
    await d.command('Charging');
    await d.send('Charging', { rfidTag: TAG, powerConsumption: 1 });
    await d.send('Charging', { rfidTag: 'Card-Of-Bert-0816', powerConsumption: 100001 });
    d.sendRaw(`{"rfidTag":"${TAG}","outletId":`);
    await d.send('DeviceRequestsStop', { rfidTag: TAG });
    await ask('POST', `${server.outlet}/api/chargers/${id}/finish`, { body: { reason: 'asked by phone' }, headers });
    await handshake(server, id, basic(id, 'evc_wrong-but-somebodys-secret'));
    await get(`${server.outlet}/api/books`, bearer('evc_wrong-but-somebodys-token'));
    await get(`${server.app}/api/customers?token=${token}`, headers);
    await d.close();
    await until('its line', () => server.logs.some((l) => l.event === 'device.disconnected' && l.outlet === id));
    const logs = server.logs.map((l) => l.raw).join('\n');
    assert.ok(server.logs.every((l) => l.event && l.level), 'every line is one of ours');
    for (const hidden of [token, secret, TAG, TAG.toLowerCase(), 'Card-Of-Bert-0816', 'evc_', 'Hidden Lane', 'anna@', 'DE00', 'somebodys'])
      assert.ok(!logs.includes(hidden), hidden);
    assert.ok(!logs.includes(secret.slice(4, 16)) && !logs.includes(Buffer.from(`${id}:${secret}`).toString('base64')));
  });
});

describe('pages of other sites', () => {
  let server;
  let host;
  before(async () => {
    server = await Server.start();
    host = new URL(server.app).host;
  });
  after(async () => assert.deepEqual(await server.stop(), { code: 0, signal: null }));

  for (const [what, headers, status] of [
    ['another site', { origin: 'http://evil.example' }, 403],
    ['another port of this host', { origin: 'http://127.0.0.1:1' }, 403],
    ['a sandboxed page', { origin: 'null' }, 403],
    ['a page that a name was bound to', { host: 'evil.example' }, 403],
    ['the same with a port', { host: 'evil.example:8080' }, 403],
    ['the same with its own origin', { host: 'evil.example', origin: 'http://evil.example' }, 403],
    ['a name that begins like an address', { host: '127.0.0.1.evil.example' }, 403],
    ['a link on another site', { 'sec-fetch-site': 'cross-site' }, 403],
    ['localhost', { host: 'localhost:8080' }, 200],
    ['an IPv6 address', { host: '[::1]:8080' }, 200],
    ['a program', {}, 200],
  ]) {
    test(`${what}: ${status}`, async () => {
      const { value: r, grew } = await growth(server, () => ask('GET', `${server.app}/api/customers`, { headers }));
      assert.equal(r.status, status, r.text);
      assert.equal(await grew('evcharge_api_refused_total{why="foreign"}'), status === 403 ? 1 : 0);
      assert.equal(r.headers.get('access-control-allow-origin'), null);
    });
  }

  test('its own page may ask and change', async () => {
    const r = await ask('POST', `${server.app}/api/customers`, {
      headers: { origin: `http://${host}`, host },
      body: PERSON,
    });
    assert.equal(r.status, 201);
  });

  test('another site\'s page can change nothing and open no socket', async () => {
    const outletId = await newOutlet(server);
    const headers = { origin: 'http://evil.example' };
    const { outlets, customers } = await books(server);
    assert.equal((await ask('POST', `${server.outlet}/api/chargers`, { headers, body: OUTLET })).status, 403);
    assert.equal((await ask('POST', `${server.app}/api/customers`, { headers, body: PERSON })).status, 403);
    const messages = `${server.gateway}/devices/${outletId}/messages`;
    assert.equal((await ask('POST', messages, { headers, body: message(outletId, 'CablePlugged') })).status, 403);
    assert.equal(await handshake(server, outletId, headers), 403);
    assert.equal(await handshake(server, outletId, { host: 'evil.example' }), 403);
    // The old GET that stops a session: not even by an image on a page.
    const { body: customer } = await ask('POST', `${server.app}/api/customers`, { body: PERSON });
    await ask('POST', messages, { body: message(outletId, 'CablePlugged') });
    const start = { customerId: customer.customerId, outletId };
    const { body: session } = await ask('POST', `${server.app}/api/chargers/start`, { body: start });
    const url = `${server.app}/api/chargers/session/${session.sessionId}`;
    assert.equal((await ask('GET', `${url}/stop`, { headers: { 'sec-fetch-site': 'cross-site' } })).status, 403);
    assert.equal((await ask('HEAD', `${url}/stop`)).status, 405);
    assert.notEqual((await ask('GET', url)).body.state, 'AppRequestsStop');
    assert.deepEqual([outlets.count, customers.count + 1], await books(server).then((b) => [b.outlets.count, b.customers.count]));
    assert.equal((await outletOf(server, outletId)).outletState, 'Charging');
  });
});

/** A self-signed certificate for this machine, in dir/cert.pem and dir/key.pem. */
function certificate(dir) {
  const [cert, key] = [path.join(dir, 'cert.pem'), path.join(dir, 'key.pem')];
  execFileSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', cert],
  ], { stdio: 'ignore' });
  return { cert, key };
}

describe('TLS', () => {
  let dir;
  let files;
  let ca;
  let server;
  let token;
  before(async () => {
    dir = await tempDir();
    files = certificate(dir);
    ca = await readFile(files.cert);
    token = await secretOf(['config', 'token', 'create', 'tester'], path.join(dir, 'data'));
    // Not loopback: with a certificate that needs no further word.
    const args = ['--tls-cert', files.cert, '--tls-key', files.key];
    server = await Server.start({ dir: path.join(dir, 'data'), host: '0.0.0.0', args, headers: bearer(token), ca });
  });
  after(async () => {
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    await rm(dir, { recursive: true });
  });
  const served = async (url, options = {}) => {
    const socket = tls.connect({ host: '127.0.0.1', port: Number(new URL(url).port), rejectUnauthorized: false, ...options });
    await new Promise((done, failed) => socket.once('secureConnect', done).once('error', failed));
    const { fingerprint256 } = socket.getPeerCertificate();
    const protocol = socket.getProtocol();
    socket.destroy();
    return { fingerprint256, protocol };
  };
  const headers = () => bearer(token);

  test('https and wss work, and are told in the log', async () => {
    for (const listener of ['outlet', 'app', 'gateway']) {
      assert.match(server[listener], /^https:/);
      assert.equal((await ask('GET', `${server[listener]}/live`, { ca })).status, 200);
      assert.equal((await ask('GET', `${server[listener]}/ready`, { ca })).status, 401);
      assert.equal((await ask('GET', `${server[listener]}/ready`, { ca, headers: headers() })).status, 200);
    }
    const { body } = await ask('POST', `${server.outlet}/api/chargers`, { ca, headers: headers(), body: OUTLET });
    const secret = await secretOf(['outlet', 'secret', 'create', body.outletId], server.dir);
    const connect = () => Device.connect(server, body.outletId, { ws: { ca, headers: bearer(secret) } });
    const d = await until('the secret is known', async () => {
      const one = await connect();
      return one.error ? null : one;
    });
    assert.equal((await d.send('CablePlugged')).verdict, 'applied');
    await d.close();
  });

  test('TLS 1.2 and 1.3, nothing older', async () => {
    assert.equal((await served(server.app, { maxVersion: 'TLSv1.2' })).protocol, 'TLSv1.2');
    assert.equal((await served(server.app)).protocol, 'TLSv1.3');
    await assert.rejects(served(server.app, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }));
  });

  test('plain HTTP on a TLS port ends at once, and nobody else notices', async () => {
    for (const bytes of [request('GET', '/live'), 'garbage\r\n\r\n', Buffer.from('1603010005ffffffffff', 'hex')]) {
      const answer = await exchange(server.app, bytes, { plain: true });
      assert.ok(!/^HTTP\/1\.1 2/.test(answer.text));
    }
    assert.equal((await ask('GET', `${server.app}/live`, { ca })).status, 200);
  });

  test('a handshake that does not go on ends after its time', async () => {
    const w = await Wire.open(server.app, { plain: true });
    const { grew } = await growth(server, () => until('the end', () => w.isClosed));
    assert.equal(w.text, '');
    assert.ok((await grew('evcharge_net_aborted_total{listener="app",reason="head_timeout"}')) >= 1);
  });

  test('SIGHUP takes a new certificate, not a broken one; open connections go on', async () => {
    const old = (await served(server.app)).fingerprint256;
    const w = await Wire.open(server.outlet, { ca });
    const fresh = certificate(await tempDir());
    await copyFile(fresh.key, files.key);
    await copyFile(fresh.cert, files.cert);
    server.child.kill('SIGHUP');
    const now = await until('the new certificate', async () => {
      const one = (await served(server.app)).fingerprint256;
      return one !== old && one;
    });
    for (const listener of ['outlet', 'gateway']) assert.equal((await served(server[listener])).fingerprint256, now);
    w.send(request('GET', '/live'));
    await until('the old connection is answered', () => w.text.startsWith('HTTP/1.1 200'));
    await w.end();
    await writeFile(files.cert, 'this is no certificate');
    server.child.kill('SIGHUP');
    await until('the complaint', () => server.logs.some((l) => l.event === 'tls.unusable' && l.level === 'error'));
    assert.equal((await served(server.app)).fingerprint256, now);
    server.options.ca = await readFile(fresh.cert);
    await rm(path.dirname(fresh.cert), { recursive: true });
  });

  test('a certificate without its key, or one that is none, is refused at the start', async () => {
    const other = await tempDir();
    for (const [args, words] of [
      [['--tls-cert', files.key], /tls-cert and tls-key go together/],
      [['--tls-cert', `${files.cert}.none`, '--tls-key', files.key], /No such file/],
    ]) {
      const r = await run(['serve', '--data', other, ...args]);
      assert.equal(r.code, 2);
      assert.match(r.stderr, words);
    }
    const listens = ['outlet', 'app', 'gateway'].flatMap((n) => [`--${n}-listen`, '127.0.0.1:0']);
    const r = await run(['serve', '--data', other, ...listens, '--tls-cert', files.key, '--tls-key', files.key]);
    assert.equal(r.code, 1);
    assert.match(r.stderr, /server\.failed.*key\.pem/);
    await rm(other, { recursive: true });
  });
});

test('a customer\'s tag is not shown to a device that asks with another', async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const outletId = await newOutlet(server);
  await newCustomer(server, 'first-tag');
  const d = await Device.connect(server, outletId);
  await d.send('CablePlugged');
  await d.send('DeviceRequestsCharging', { rfidTag: 'first-tag' });
  await d.command('Charging');
  const refused = await d.send('DeviceRequestsCharging', { rfidTag: 'second-tag' });
  assert.equal(refused.verdict, 'refused');
  assert.ok(!JSON.stringify(refused).includes('first-tag'));
  await d.close();
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});
