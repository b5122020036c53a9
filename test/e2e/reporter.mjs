// A node:test reporter that prints flat TAP: one line for each test, however deep, none for suites,
// so that the counts of Meson and of `./dev test` are the counts of tests.
const path = [];

function* failure(error) {
  const cause = error?.cause ?? error;
  const text = String(cause?.stack ?? cause?.message ?? cause);
  for (const line of text.split('\n')) yield `# ${line}\n`;
}

function* result(data, ok, number) {
  const name = [...path.slice(0, data.nesting), data.name].join(' > ').replace(/[#\n]/g, ' ');
  const skip = data.skip === undefined ? '' : ` # SKIP ${data.skip === true ? '' : data.skip}`;
  yield `${ok ? 'ok' : 'not ok'} ${number} - ${name}${skip}\n`;
  if (!ok) yield* failure(data.details?.error);
}

export default async function* reporter(source) {
  let number = 0;
  for await (const { type, data } of source) {
    if (type === 'test:start') {
      path[data.nesting] = data.name;
    } else if (type === 'test:pass' || type === 'test:fail') {
      const ok = type === 'test:pass';
      // A suite fails because of a test, which has its own line, or by itself (a hook).
      const byTest = data.details?.error?.failureType === 'subtestsFailed';
      if (data.details?.type === 'suite' && (ok || byTest)) continue;
      yield* result(data, ok, ++number);
    } else if (type === 'test:stderr' || type === 'test:stdout') {
      for (const line of data.message.trimEnd().split('\n')) yield `# ${line}\n`;
    }
  }
  yield `1..${number}\n`;
}
