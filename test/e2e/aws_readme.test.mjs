// docs/aws.md's walk, run exactly as printed; then what a person does next with the command line: dead letters, lists,
// history, stuck sessions, and customers whom the original registered.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { AwsWorld, deviceMessage, NAMES } from './aws.mjs';
import { books, call, newCustomer, newOutlet, run, until } from './harness.mjs';
import { readWalk, Shell, silent, walk } from './walk.mjs';

test('the walk gives the printed answers', async (t) => {
  const steps = await readWalk('docs/aws.md');
  assert.ok(steps.length > 15);
  await until('the ports are free', silent);
  const world = await AwsWorld.start({ provision: false });
  t.after(() => world.stop());
  const shell = await Shell.open({ ...world.env, EVCHARGE_DRAIN_TIMEOUT: '1s' });
  try {
    await walk(shell, steps, 'build/evcharge serve --engine aws --data data &');
  } finally {
    await shell.close();
  }
});

describe('what a person does next', () => {
  let world, server, cli;

  before(async () => {
    world = await AwsWorld.start();
    server = await world.serve('outlet,app,gateway', { args: ['--drain-timeout', '1s', '--stuck-after', '1s'] });
    cli = async (...words) => {
      const r = await run([...words, '--json', '--outlet', server.outlet, '--app', server.app, '--gateway', server.gateway]);
      assert.equal(r.code, 0, `${words.join(' ')}: ${r.stderr}`);
      return r.stdout.trim() === '' ? null : JSON.parse(r.stdout);
    };
  });
  after(() => world?.stop());

  const inState = (id, wanted) => until(`${id} in ${wanted}`, async () => (await world.outlet(id)).outletState === wanted);

  test('dead letters: listed, replayed, dropped', async () => {
    const outletId = await newOutlet(server);
    // A message for an outlet that is registered only afterwards, and one that nobody can read.
    const late = 'feedfeed-0000-4000-8000-000000000001';
    await world.send(deviceMessage(late, 'CablePlugged', { messageId: 'late-1' }), '{"outletId":');
    const letters = await until('two letters', async () => {
      const { items } = await cli('deadletters', 'list');
      return items.length === 2 && items;
    });
    const ofLate = letters.find((l) => l.outletId === late);
    const garbage = letters.find((l) => l !== ofLate);
    assert.equal(ofLate.reason, 'no such outlet');
    assert.equal((await cli('deadletters', 'show', garbage.id)).body, '{"outletId":');
    // Still of no use: it stays open.
    assert.equal((await cli('deadletters', 'replay', ofLate.id)).verdict, 'rejected');
    const row = await world.row(NAMES.outlets, 'outletId', outletId);
    const of = (type, ...names) => Object.fromEntries(names.map((k) => [k, { [type]: String(row[k]) }]));
    await world.putItem(NAMES.outlets, {
      outletId: { S: late },
      ...of('S', 'chargerGroupId', 'outletCode', 'address', 'outletState', 'rfidTag', 'startTime'),
      ...of('N', 'maxPower', 'powerConsumption', 'totalChargingSessions', 'totalPowerConsumption'),
    });
    assert.equal((await cli('deadletters', 'replay', ofLate.id)).verdict, 'applied');
    assert.equal((await world.outlet(late)).outletState, 'CablePlugged');
    await run(['deadletters', 'drop', garbage.id, '--outlet', server.outlet]);
    assert.deepEqual((await cli('deadletters', 'list')).items, []);
    assert.deepEqual((await cli('deadletters', 'list', '--all')).items.map((l) => l.status).sort(), ['dropped', 'replayed']);
    assert.equal((await books(server)).deadLetters.open, 0);
  });

  test('history in pages, lists, stuck sessions, books', async () => {
    const [outletId, customer] = [await newOutlet(server, { outletCode: 'H1' }), await newCustomer(server, 'history-1')];
    for (let n = 0; n < 3; n++) {
      await world.send(deviceMessage(outletId, 'CablePlugged', { n: 10 * n }));
      await inState(outletId, 'CablePlugged');
      await world.send(deviceMessage(outletId, 'DeviceRequestsCharging', { rfidTag: 'history-1', n: 10 * n + 1 }));
      await inState(outletId, 'Charging');
      if (n === 2) break; // this one goes on, and nothing is heard of it
      await world.send(deviceMessage(outletId, 'DeviceRequestsStop', { rfidTag: 'history-1', kwh: n + 1, n: 10 * n + 2 }));
      await inState(outletId, 'ChargingFinished');
    }
    const url = `${server.app}/api/customers/${customer.customerId}/charging-history`;
    const all = await until('all in the history', async () => {
      const { body } = await call('GET', url);
      return body.length === 3 && body[2].state === 'ChargingFinished' && body[1].powerConsumption === 2 && body;
    });
    assert.deepEqual(all.map((s) => s.powerConsumption), [0, 2, 1]);
    const paged = [];
    for (let next = `${url}?limit=1`; next; ) {
      const page = await call('GET', next);
      paged.push(...page.body);
      const link = /<([^>]*)>; rel="next"/.exec(page.headers.get('link') ?? '');
      next = link && new URL(link[1], server.app).href;
      assert.ok(paged.length <= 3);
    }
    assert.deepEqual(paged, all);
    assert.ok((await cli('outlet', 'list')).items.some((o) => o.outletId === outletId && o.outletState === 'Charging'));
    assert.equal((await cli('session', 'list', '--live')).items.filter((s) => s.outletId === outletId).length, 1);
    const stuck = await until('it is stuck', async () => {
      const { items } = await cli('session', 'list', '--stuck');
      return items.find((s) => s.outletId === outletId);
    });
    assert.equal(stuck.sessionId, all[0].sessionId);
    await cli('outlet', 'finish', outletId);
    await until('it is over', async () => (await cli('session', 'show', stuck.sessionId)).state === 'ChargingFinished');
    const b = await until('the books balance', async () => {
      const now = await books(server);
      return now.balanced && now;
    });
    assert.equal(b.outlets.totalPowerConsumption, 3);
    assert.equal(b.sessions.powerConsumption, 3);
  });

  test('a customer whom the original registered starts by its tag', async () => {
    const tag = '7D3A9C51-aaaa-4bbb-8ccc-000000000001'; // as sent; the original does not fold case
    const customerId = 'c0ffee00-0000-4000-8000-000000000001';
    await world.putItem(NAMES.customers, {
      customerId: { S: customerId },
      rfidTag: { S: tag },
      address: { S: 'Side Street 2' },
      email: { S: 'anna@example.org' },
      paymentMethod: { S: 'invoice' },
    });
    const outletId = await newOutlet(server);
    await world.send(deviceMessage(outletId, 'CablePlugged'));
    await inState(outletId, 'CablePlugged');
    await world.send(deviceMessage(outletId, 'DeviceRequestsCharging', { rfidTag: tag, n: 1 }));
    await inState(outletId, 'Charging');
    const { sessionId } = await world.outlet(outletId);
    assert.equal((await world.session(sessionId)).customerId, customerId);
    await world.send(deviceMessage(outletId, 'DeviceRequestsStop', { rfidTag: tag, kwh: 1, n: 2 }));
    await inState(outletId, 'ChargingFinished');
    await until('in its history', async () => {
      const { body } = await call('GET', `${server.app}/api/customers/${customerId}/charging-history`);
      return body[0]?.powerConsumption === 1;
    });
  });
});
