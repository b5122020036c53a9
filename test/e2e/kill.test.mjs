// A short run of what `./dev crashtest` does at length.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { killAndCount } from './kill.mjs';

test('killed 8 times under load, every acknowledged message is there once', async (t) => {
  const f = await killAndCount({ rounds: 8, devices: 20, posters: 2, acks: 400, seed: 1 });
  t.diagnostic(JSON.stringify(f));
  assert.ok(f.messages > 500 && f.sessions > 20 && f.sentAgain > 0, JSON.stringify(f));
});
