// `./dev crashtest`: EV_CRASH_ROUNDS kills (200), in runs of at most 50, each of its own seed from EV_CRASH_SEED on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killAndCount } from './kill.mjs';

const ROUNDS = Number(process.env.EV_CRASH_ROUNDS ?? 200);
const SEED = Number(process.env.EV_CRASH_SEED ?? 1);
const AT_A_TIME = 50;

for (let done = 0, seed = SEED; done < ROUNDS; done += AT_A_TIME, seed++) {
  const rounds = Math.min(AT_A_TIME, ROUNDS - done);
  test(`killed ${rounds} times, seed ${seed}: every acknowledged message is there once`, async (t) => {
    const began = performance.now();
    const f = await killAndCount({ rounds, devices: 40, posters: 4, acks: 400, seed });
    console.log(JSON.stringify({ seed, rounds, seconds: Math.round((performance.now() - began) / 1000), ...f }));
    assert.ok(f.messages > 50 * rounds && f.sessions > 0 && f.sentAgain > 0, JSON.stringify(f));
  });
}
