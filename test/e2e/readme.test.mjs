// The README's walk, run exactly as printed; and again with a kill -9 and a restart after each step.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from './harness.mjs';
import { BUILD, listens, readWalk, Shell, silent, walk } from './walk.mjs';

const SERVE = 'build/evcharge serve --data data &';

test('the walk gives the printed answers', async () => {
  const steps = await readWalk('README.md');
  assert.ok(steps.some((s) => s.command === BUILD) && steps.some((s) => s.command === SERVE));
  assert.ok(steps.length > 15);
  await until('the ports are free', silent);
  const shell = await Shell.open();
  try {
    await walk(shell, steps, SERVE);
  } finally {
    await shell.close();
  }
});

test('a kill -9 and a restart after any step change nothing', async () => {
  const steps = await readWalk('README.md');
  const from = steps.findIndex((s) => s.command === SERVE);
  await until('the ports are free', silent);
  const shell = await Shell.open();
  try {
    await walk(shell, steps, SERVE, async (i, command) => {
      if (i < from || command.startsWith('kill')) return;
      await shell.run('kill -9 %%; wait %% 2>/dev/null');
      await until('the server is dead', silent);
      await shell.run(SERVE);
      await until('the server listens again', listens);
    });
  } finally {
    await shell.close();
  }
});
