// One stand-in for one service of AWS, as a process of its own: `fork`ed by standins.mjs, told by the IPC channel
// what to be, and gone when that channel is, or after LIFE_MS, whoever forgot it.
'use strict';
const net = require('node:net');
const path = require('node:path');

const LIFE_MS = 30 * 60_000;
setTimeout(() => process.exit(3), LIFE_MS).unref();
process.on('disconnect', () => process.exit(0));

// Not all of them can be told where to listen: every listener is on the loopback.  Of the ports that are asked
// for, `wanted` says which one counts, and which one it is to be in truth (0: a free one).
const wanted = new Map();
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
  const done = typeof args[args.length - 1] === 'function' ? [args.pop()] : [];
  const asked = Number((args[0] !== null && typeof args[0] === 'object' ? args[0].port : args[0]) ?? 0);
  const port = wanted.get(asked);
  if (port !== undefined) this.once('listening', () => process.send({ port: this.address().port }));
  return listen.call(this, { port: port ?? 0, host: '127.0.0.1' }, ...done);
};

const ASKED = 4567; // any number: what they are told to listen on, see above

const kinds = {
  dynalite({ ms }) {
    require('dynalite')({ createTableMs: ms, deleteTableMs: ms, updateTableMs: ms }).listen(ASKED);
  },
  kinesalite({ ms, shards }) {
    require('kinesalite')({ createStreamMs: ms, deleteStreamMs: ms, updateStreamMs: ms, shardLimit: shards }).listen(ASKED);
  },
  'kinesis-local'({ ms, shards, region }) {
    const dir = path.dirname(require.resolve('kinesis-local/package.json'));
    Object.assign(process.env, {
      KINESIS_MOCK_CERT_PATH: path.join(dir, 'server.json'),
      KINESIS_MOCK_TLS_PORT: String(ASKED + 1),
      KINESIS_MOCK_PLAIN_PORT: String(ASKED),
      SHARD_LIMIT: String(shards),
      LOG_LEVEL: 'ERROR',
      AWS_REGION: region,
    });
    for (const step of ['CREATE_STREAM', 'DELETE_STREAM', 'SPLIT_SHARD', 'MERGE_SHARDS', 'UPDATE_SHARD_COUNT'])
      process.env[`${step}_DURATION`] = `${ms}ms`;
    require(path.join(dir, 'main.js'));
  },
  async fauxqs({ region }) {
    const { startFauxqs } = await import('fauxqs');
    await startFauxqs({ port: ASKED, logger: false, defaultRegion: region });
  },
};

process.once('message', async ({ kind, port, ...options }) => {
  wanted.set(ASKED, port);
  await kinds[kind](options);
});
