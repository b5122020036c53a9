// Devices of our own gateways on the aws engine: several gateway processes share the queue of commands, one outlet and
// one app process decide. Devices hop between the gateways while commands are put for them, are away, are many; gateways
// are killed and stopped.
import assert from 'node:assert/strict';
import { describe, after, before, test } from 'node:test';
import { ListQueuesCommand, SendMessageCommand } from '@aws-sdk/client-sqs';
import { AwsWorld } from './aws.mjs';
import { random } from './aws_proxy.mjs';
import { books, call, Device, message, newCustomer, newOutlet, outletOf, run, until } from './harness.mjs';

const COMMAND_TIMEOUT_MS = 12_000;
const QUICK_STOP = ['--drain-timeout', '1s']; // long polls wait for 20 s: only the one that is looked at is waited for

let world, outletSide, appSide, gateways;

before(async () => {
  world = await AwsWorld.start();
  [outletSide, appSide, ...gateways] = await Promise.all([
    world.serve('outlet', {
      args: ['--command-timeout', `${COMMAND_TIMEOUT_MS / 1000}s`, '--sweep-interval', '2s', '--notify-denials', ...QUICK_STOP],
    }),
    world.serve('app', { args: QUICK_STOP }),
    ...['one', 'two', 'three'].map((id) => world.serve('gateway', { args: ['--gateway-id', id, ...QUICK_STOP] })),
  ]);
  await until('the gateways are ready', async () => {
    const all = await Promise.all(gateways.map((g) => call('GET', `${g.gateway}/ready`)));
    return all.every((r) => r.status === 200);
  });
});
after(() => world?.stop());

const state = (id, wanted) =>
  until(`outlet ${id} in ${wanted}`, async () => {
    const row = await world.outlet(id);
    return row.outletState === wanted && row;
  });
const sessionIn = (id, wanted) =>
  until(`session ${id} in ${wanted}`, async () => {
    const row = await world.session(id);
    return row?.outletState === wanted && row;
  });

async function startByApp(customer, outletId) {
  const { status, body, text } = await call('POST', `${appSide.app}/api/chargers/start`, { customerId: customer.customerId, outletId });
  assert.equal(status, 201, text);
  return body.sessionId;
}

async function stopByApp(sessionId) {
  const { status, text } = await call('POST', `${appSide.app}/api/chargers/session/${sessionId}/stop`);
  assert.equal(status, 200, text);
}

/** Sends, and it is in the queue. */
async function queued(device, change, extra) {
  const a = await device.send(change, extra);
  assert.deepEqual({ ...a, ack: undefined }, { ack: undefined, verdict: 'queued', reason: null, outletState: null }, change);
}

/** A device that changes its gateway at each `hop`; it has all the connections that it ever had. */
class Hopper {
  constructor(outletId, at = gateways) {
    this.outletId = outletId;
    this.at = at;
    this.connections = [];
    this.n = 0;
  }

  async hop(gateway = this.at[this.n % this.at.length]) {
    this.n++;
    const before = this.device;
    this.device = await Device.connect(gateway, this.outletId);
    assert.equal(this.device.ws.readyState, 1, this.device.error?.message);
    this.connections.push(this.device);
    // The old one is still open when the new one is there: as after a lost network.
    await before?.close();
  }

  /** All commands, on whatever connection, in the order of the connections. */
  get commands() {
    return this.connections.flatMap((d) => d.commands);
  }

  command(change, tag) {
    return until(`${this.outletId}: ${change} for ${tag}`, () =>
      this.commands.find((c) => c.outletStateChange === change && c.rfidTag === tag),
    );
  }

  /** On each connection in order and none twice; over all of them nothing of an older session behind a newer one. */
  checkOrder(tags) {
    for (const d of this.connections) {
      const ids = d.commands.map((c) => c.messageId);
      assert.deepEqual(ids, [...new Set(ids)].sort(), 'in order, none twice');
    }
    const rounds = this.commands.map((c) => tags.indexOf(c.rfidTag));
    assert.deepEqual(rounds, [...rounds].sort((a, b) => a - b), 'sessions in order');
  }

  async close() {
    await this.device.close();
  }
}

describe('three gateways', { concurrency: true }, () => {
  test('a device that hops gets each command that stands, once on a connection, in order', async () => {
    await Promise.all([1, 2, 3].map(async (seed) => {
      const rnd = random(seed);
      const tags = ['a', 'b', 'c'].map((n) => `hop-${seed}-${n}`);
      const outletId = await newOutlet(outletSide);
      const customers = await Promise.all(tags.map((t, i) => (i === 1 ? null : newCustomer(appSide, t))));
      const h = new Hopper(outletId);
      const maybeHop = async () => rnd() < 0.6 && h.hop(gateways[Math.floor(rnd() * 3)]);
      await h.hop();

      // Started by the app, stopped by the app, while the device moves on.
      const session = async (i) => {
        await queued(h.device, 'CablePlugged');
        await state(outletId, 'CablePlugged');
        const [sessionId] = await Promise.all([startByApp(customers[i], outletId), maybeHop()]);
        await h.command('Charging', tags[i]);
        await queued(h.device, 'Charging', { rfidTag: tags[i], powerConsumption: 1 });
        await until('its energy', async () => (await world.session(sessionId))?.powerConsumption === 1);
        await Promise.all([stopByApp(sessionId), maybeHop()]);
        await h.command('AppRequestsStop', tags[i]);
        await queued(h.device, 'DeviceRequestsStop', { rfidTag: tags[i], powerConsumption: 0.5 });
        const ended = await sessionIn(sessionId, 'ChargingFinished');
        assert.equal(ended.powerConsumption, 1.5);
        await queued(h.device, 'Available');
        await state(outletId, 'Available');
      };
      await session(0);
      // Denied: nobody has this tag.
      await queued(h.device, 'CablePlugged');
      await state(outletId, 'CablePlugged');
      await queued(h.device, 'DeviceRequestsCharging', { rfidTag: tags[1] });
      await maybeHop();
      await h.command('AppDeniesCharging', tags[1]);
      await queued(h.device, 'Available');
      await state(outletId, 'Available');
      await session(2);

      h.checkOrder(tags);
      await h.close();
      assert.equal((await outletOf(outletSide, outletId)).totalPowerConsumption, 3);
    }));
  });

  test('commands of a device that is away are kept, and given when it comes', async () => {
    const [outletId, customer] = await Promise.all([newOutlet(outletSide), newCustomer(appSide, 'away-1')]);
    const h = new Hopper(outletId);
    await h.hop();
    await queued(h.device, 'CablePlugged');
    await state(outletId, 'CablePlugged');
    await h.close();
    const sessionId = await startByApp(customer, outletId);
    await state(outletId, 'Charging');
    await h.hop();
    const command = await h.command('Charging', 'away-1');
    assert.equal(command.outletId, outletId);
    // Acknowledged: it does not come again, and its device has time to begin.
    await until('its acknowledgement is kept', async () => {
      const row = (await world.rows('ev-charging_evcharge-items_table')).find((r) => r.pk === `outlet#${outletId}` && r.sk === 'delivery');
      return row?.ackedVersion > 0;
    });
    await h.hop();
    await queued(h.device, 'DeviceRequestsStop', { rfidTag: 'away-1', powerConsumption: 2 });
    await sessionIn(sessionId, 'ChargingFinished');
    assert.equal(h.commands.length, 1);
    await h.close();
  });

  test('a start that no device hears of lapses', async () => {
    const [outletId, customer] = await Promise.all([newOutlet(outletSide), newCustomer(appSide, 'lapse-1')]);
    const posted = await call('POST', `${gateways[0].gateway}/devices/${outletId}/messages`, message(outletId, 'CablePlugged'));
    assert.equal(posted.body.verdict, 'queued');
    await state(outletId, 'CablePlugged');
    const sessionId = await startByApp(customer, outletId);
    await state(outletId, 'Charging');
    const row = await until('taken back', async () => {
      const now = await world.outlet(outletId);
      return now.outletState === 'CablePlugged' && now;
    }, COMMAND_TIMEOUT_MS + 20_000);
    assert.equal(row.totalChargingSessions, 0);
    await sessionIn(sessionId, 'DeviceDeniesCharging');
    const h = new Hopper(outletId);
    await h.hop();
    await queued(h.device, 'DeviceRequestsCharging', { rfidTag: 'lapse-1' });
    const command = await h.command('Charging', 'lapse-1');
    assert.equal(h.commands[0], command, 'nothing of the session that never was');
    assert.notEqual((await world.outlet(outletId)).sessionId, sessionId);
    await queued(h.device, 'DeviceRequestsStop', { rfidTag: 'lapse-1', powerConsumption: 0.25 });
    await state(outletId, 'ChargingFinished');
    await h.close();
  });

  test('posts and long polls', async () => {
    const [outletId, customer] = await Promise.all([newOutlet(outletSide), newCustomer(appSide, 'post-1')]);
    const at = (i) => `${gateways[i].gateway}/devices/${outletId}`;
    assert.deepEqual((await call('GET', `${at(0)}/commands`)).body, []);
    const plugged = message(outletId, 'CablePlugged');
    const one = await call('POST', `${at(0)}/messages`, plugged);
    assert.deepEqual([one.status, one.body], [200, { ack: plugged.messageId, verdict: 'queued', reason: null, outletState: null }]);
    await state(outletId, 'CablePlugged');
    // A poll at another gateway than that of the post.
    const poll = call('GET', `${at(1)}/commands?wait=20`);
    const request = message(outletId, 'DeviceRequestsCharging', { rfidTag: 'post-1', messageId: undefined });
    const asked = await call('POST', `${at(2)}/messages`, request);
    assert.deepEqual(asked.body, { ack: null, verdict: 'queued', reason: null, outletState: null });
    const polled = await poll;
    assert.equal(polled.status, 200);
    assert.deepEqual(polled.body.map((c) => [c.outletStateChange, c.rfidTag, c.outletId]), [['Charging', 'post-1', outletId]]);
    // Until it is acknowledged it comes again, at whichever gateway.
    assert.deepEqual((await call('GET', `${at(2)}/commands`)).body, polled.body);
    const ack = await call('POST', `${at(0)}/commands/${polled.body[0].messageId}/ack`);
    assert.deepEqual([ack.status, ack.text], [204, '']);
    assert.deepEqual((await call('GET', `${at(1)}/commands`)).body, []);
    // Several at once, one of them not readable, one of another outlet; the good ones count.
    const reports = [1, 2, 3].map((kwh) => message(outletId, 'Charging', { rfidTag: 'post-1', powerConsumption: kwh }));
    const foreign = message(await newOutlet(outletSide), 'CablePlugged');
    const mixed = [reports[0], { ...reports[0], periodStart: 'yesterday' }, reports[1], foreign, reports[2]];
    const many = await call('POST', `${at(1)}/messages`, mixed);
    assert.equal(many.status, 200);
    assert.deepEqual(many.body.map((a) => a.verdict), ['queued', 'rejected', 'queued', 'rejected', 'queued']);
    const acks = [reports[0], null, reports[1], foreign, reports[2]].map((m) => m?.messageId ?? null);
    assert.deepEqual(many.body.map((a) => a.ack), acks);
    assert.match(many.body[1].reason, /periodStart/);
    await until('the energy', async () => (await world.outlet(outletId)).totalPowerConsumption === 6);
    // The same again, at another gateway: counted once.
    await call('POST', `${at(2)}/messages`, reports);
    const stop = message(outletId, 'DeviceRequestsStop', { rfidTag: 'post-1', powerConsumption: 1 });
    const stopped = await call('POST', `${at(0)}/messages`, stop);
    assert.equal(stopped.body.verdict, 'queued');
    assert.equal((await state(outletId, 'ChargingFinished')).totalPowerConsumption, 7);
    const [session] = await until('the session ends', async () => {
      const all = (await call('GET', `${appSide.app}/api/customers/${customer.customerId}/charging-history`)).body;
      return all[0]?.state === 'ChargingFinished' && all;
    });
    assert.equal(session.powerConsumption, 7);
    // Wrong requests, as on the embedded engine.
    const nobody = `${gateways[0].gateway}/devices/00000000-0000-4000-8000-000000000000`;
    assert.equal((await call('GET', `${nobody}/commands`)).status, 404);
    assert.equal((await call('GET', `${at(0)}/commands?wait=61`)).status, 422);
    assert.equal((await call('POST', `${at(0)}/commands/x/ack`)).status, 422);
    assert.equal((await call('POST', `${at(0)}/messages`, '{')).status, 200); // an answer: it is a dead letter
  });

  test('fifty devices at once: each kilowatt-hour is counted once', async () => {
    const ids = await Promise.all(Array.from({ length: 50 }, () => newOutlet(outletSide)));
    const rnd = random(7);
    const totals = await Promise.all(ids.map(async (outletId, i) => {
      const tag = `fifty-${i}`;
      await newCustomer(appSide, tag);
      const h = new Hopper(outletId);
      await h.hop(gateways[i % 3]);
      await queued(h.device, 'CablePlugged');
      await state(outletId, 'CablePlugged');
      await queued(h.device, 'DeviceRequestsCharging', { rfidTag: tag });
      await h.command('Charging', tag);
      let mwh = 0;
      for (let k = 0; k < 8; k++) {
        if (k === 3 + (i % 3)) await h.hop(gateways[(i + k) % 3]);
        const kwh = Math.floor(rnd() * 100_000);
        mwh += kwh;
        const period = { periodStart: `2026-01-01T10:0${k}:00Z`, periodEnd: `2026-01-01T10:0${k + 1}:00Z` };
        const report = { rfidTag: tag, powerConsumption: kwh / 1e6, messageId: `fifty-${i}-${k}`, ...period };
        await queued(h.device, 'Charging', report);
        if (k % 4 === 0) h.device.sendRaw(JSON.stringify(message(outletId, 'Charging', report))); // by mistake
      }
      await queued(h.device, 'DeviceRequestsStop', { rfidTag: tag, powerConsumption: 0.5 });
      mwh += 500_000;
      const row = await state(outletId, 'ChargingFinished');
      const session = await sessionIn(row.sessionId, 'ChargingFinished');
      await until('the sum', async () => Math.round((await world.session(row.sessionId)).powerConsumption * 1e6) === mwh);
      assert.equal(Math.round((await world.outlet(outletId)).totalPowerConsumption * 1e6), mwh, outletId);
      assert.equal(session.outletId, outletId);
      h.checkOrder([tag]);
      await h.close();
      return mwh;
    }));
    assert.equal(totals.length, 50);
  });
});

describe('the end of a gateway', { concurrency: true }, () => {
  test('killed: its queue stays behind, its device gets elsewhere what it missed', async () => {
    const doomed = await world.serve('gateway', { args: ['--gateway-id', 'doomed'] });
    await until('it is ready', async () => (await call('GET', `${doomed.gateway}/ready`)).status === 200);
    const [outletId, customer] = await Promise.all([newOutlet(outletSide), newCustomer(appSide, 'doomed-1')]);
    const h = new Hopper(outletId);
    await h.hop(doomed);
    await queued(h.device, 'CablePlugged');
    await state(outletId, 'CablePlugged');
    await doomed.kill();
    await h.device.closed;
    const sessionId = await startByApp(customer, outletId);
    await state(outletId, 'Charging'); // the command goes to a queue that nobody reads
    await h.hop(gateways[1]);
    await h.command('Charging', 'doomed-1');
    await queued(h.device, 'DeviceRequestsStop', { rfidTag: 'doomed-1', powerConsumption: 1 });
    assert.equal((await sessionIn(sessionId, 'ChargingFinished')).powerConsumption, 1);
    h.checkOrder(['doomed-1']);
    await h.close();
    const { QueueUrls } = await world.cloud.sqs.send(new ListQueuesCommand({ QueueNamePrefix: 'ev-charging_gateway_' }));
    assert.ok(QueueUrls.some((u) => u.endsWith('gateway_doomed_queue')));
  });

  test('told to stop: it closes its devices, hands over and removes its queue', async () => {
    const leaving = await world.serve('gateway', { args: ['--gateway-id', 'leaving', '--drain-timeout', '25s'] });
    await until('it is ready', async () => (await call('GET', `${leaving.gateway}/ready`)).status === 200);
    const [outletId, customer] = await Promise.all([newOutlet(outletSide), newCustomer(appSide, 'leaving-1')]);
    const h = new Hopper(outletId);
    await h.hop(leaving);
    await queued(h.device, 'CablePlugged');
    await state(outletId, 'CablePlugged');
    const sessionId = await startByApp(customer, outletId);
    await h.command('Charging', 'leaving-1');
    const stopped = leaving.stop();
    await h.device.closed;
    await stopByApp(sessionId);
    // What arrives ends the long polls early; else they are waited for, 20 s at most.
    const url = world.urls.commands.replace(/[^/]*$/, 'ev-charging_gateway_leaving_queue');
    const wake = message('00000000-0000-4000-8000-000000000000', 'Charging', { messageId: '1-01' });
    const MessageBody = JSON.stringify(wake);
    const woken = (QueueUrl) => world.cloud.sqs.send(new SendMessageCommand({ QueueUrl, MessageBody })).catch(() => {});
    await until('it has ended', async () => {
      await Promise.all([woken(world.urls.commands), woken(url)]);
      return leaving.exit;
    }, 30_000);
    assert.deepEqual(await stopped, { code: 0, signal: null });
    await h.hop(gateways[2]);
    await h.command('AppRequestsStop', 'leaving-1');
    await queued(h.device, 'DeviceRequestsStop', { rfidTag: 'leaving-1', powerConsumption: 1 });
    await sessionIn(sessionId, 'ChargingFinished');
    h.checkOrder(['leaving-1']);
    await h.close();
    const { QueueUrls } = await world.cloud.sqs.send(new ListQueuesCommand({ QueueNamePrefix: 'ev-charging_gateway_' }));
    assert.ok(!QueueUrls.some((u) => u.endsWith('gateway_leaving_queue')), QueueUrls.join());
  });

  test('a device needs its secret, which a gateway reads from its own data directory', async () => {
    const g = await world.serve('gateway', { args: ['--auth', 'always', ...QUICK_STOP] });
    const [mine, theirs] = [await newOutlet(outletSide), await newOutlet(outletSide)];
    const secretFor = async (id) => (await run(['outlet', 'secret', 'create', id, '--data', g.dir])).stdout.trim();
    const [secret, other] = [await secretFor(mine), await secretFor(theirs)];
    const post = (id, authorization) =>
      call('POST', `${g.gateway}/devices/${id}/messages`, message(id, 'CablePlugged'), authorization ? { authorization } : {});
    await until('it takes the secret', async () => (await post(mine, `Bearer ${secret}`)).status === 200);
    assert.equal((await post(mine)).status, 401);
    assert.equal((await post(mine, `Bearer ${other}`)).status, 401);
    const basic = (id, s) => `Basic ${Buffer.from(`${id}:${s}`).toString('base64')}`;
    const device = await Device.connect(g, mine, { ws: { headers: { authorization: basic(mine, secret) } } });
    await queued(device, 'Available');
    await device.close();
    const refused = await Device.connect(g, mine, { ws: { headers: { authorization: basic(mine, other) } } });
    assert.match(refused.error.message, /401/);
    assert.equal((await run(['outlet', 'secret', 'revoke', mine, '--data', g.dir])).code, 0);
    await until('it is revoked', async () => (await post(mine, `Bearer ${secret}`)).status === 401);
  });
});

test('the books balance over all of it, where both sides are read', async () => {
  assert.equal((await books(outletSide)).balanced, null); // it does not know the sessions
  const both = await world.serve('outlet,app', { args: QUICK_STOP });
  const end = await books(both);
  assert.equal(end.balanced, true, JSON.stringify(end));
  assert.equal(end.parked.count, 0);
  assert.equal(end.unassignedItems.open, 0);
});
