#!/usr/bin/env python3
"""Measures the server against the machine's own limits, and what it does when it is overloaded.

usage: run.py BUILD_DIR [quick|full|overload|NAME...]

quick     the figures at 1,000 connections, once, short
full      all figures, each three times, medians (about a quarter of an hour)
overload  too much load, slow readers, storms, a full disk, a clock that jumps (four minutes)
report    nothing is run: the figures of earlier runs, as the tables of docs/performance.md
NAME      some of: """  # the names are added below

import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request

FIGURES_FILE = 'bench.json'
GENERATOR_MAX = 0.70  # of its processor; above, a rate is the generator's
FOREIGN_MAX = 0.05    # of a processor, used by others meanwhile
PLENTY = ['--message-rate', '100000', '--message-burst', '100000']
MANY = ['--max-connections', '19500', '--max-connections-per-address', '19500']


def parse(text):
    """`name value` lines: the last phase's wins, `second` and `step` lines are lists."""
    facts = {'seconds_lines': [], 'steps': [], 'phases': []}
    for line in text.splitlines():
        words = line.split()
        if words[0] == 'phase':
            facts['phases'].append({'seconds_lines': []})
        elif words[0] == 'second':
            facts['phases'][-1]['seconds_lines'].append([float(w) for w in words[1:]])
        elif words[0] == 'step':
            facts['steps'].append([float(w) for w in words[1:]])
        else:
            value = float(words[1])
            facts[words[0]] = value
            if facts['phases']:
                facts['phases'][-1][words[0]] = value
    return facts


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def pinned(core):
    """For the child: that processor only, if the machine has it."""
    def pin():
        if core is not None and core in os.sched_getaffinity(0):
            os.sched_setaffinity(0, {core})
    return pin


class Bench:
    def __init__(self, build, scale):
        self.build = pathlib.Path(build)
        self.scale = scale
        self.work = pathlib.Path(tempfile.mkdtemp(prefix='bench-', dir=self.build))
        self.runs = 3 if scale == 'full' else 1
        self.seconds = 6 if scale == 'full' else 3
        self.results = earlier(build)
        self.notes = []

    def tool(self, name):
        return str(self.build / 'bench' / f'bench_{name}')

    def run(self, name, *arguments, check=True):
        done = subprocess.run([self.tool(name), *map(str, arguments)], text=True,
                              capture_output=True, check=False)
        # Wrong answers are for the caller to judge; anything else ends it.
        if done.returncode != 0 and (check or 'acked_mwh' not in done.stdout):
            sys.exit(f'bench_{name} {arguments}: {done.stdout[-2000:]}{done.stderr[-2000:]}')
        return done.stdout

    def fleet(self, n, customers=None):
        """A data directory with n outlets, made once; each use gets a copy."""
        master = self.work / f'fleet-{n}'
        if not master.exists():
            self.run('fill', master, n, n if customers is None else customers)
        directory = pathlib.Path(tempfile.mkdtemp(prefix='data-', dir=self.work))
        shutil.rmtree(directory)
        shutil.copytree(master, directory)
        return directory

    def note(self, text):
        self.notes.append(text)
        print(f'note: {text}', flush=True)


class Server:
    """evcharge on a data directory; `core` None: on all processors."""

    def __init__(self, bench, data, core=0, options=(), environ=None):
        self.ports = [free_port() for _ in range(3)]
        self.data = data
        self.log = tempfile.TemporaryFile('w+', dir=bench.work)
        names = ['outlet', 'app', 'gateway']
        listen = [f'--{n}-listen=127.0.0.1:{p}' for n, p in zip(names, self.ports)]
        begun = time.monotonic()
        self.process = subprocess.Popen(
            [str(bench.build / 'evcharge'), 'serve', f'--data={data}', *listen, *options],
            stderr=self.log, preexec_fn=pinned(core), env={**os.environ, **(environ or {})})
        self.pid = self.process.pid
        while True:
            try:
                socket.create_connection(('127.0.0.1', self.ports[2]), 1).close()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() - begun > 60:
                    sys.exit(f'the server does not start: {self.said()}')
                time.sleep(0.002)
        self.start_s = time.monotonic() - begun

    @property
    def port(self):
        return self.ports[2]

    def said(self):
        self.log.seek(0)
        return self.log.read()[-2000:]

    def get(self, path, port=0):
        url = f'http://127.0.0.1:{self.ports[port]}{path}'
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.read().decode()

    def books(self):
        return json.loads(self.get('/api/books'))

    def metric(self, start):
        return sum(float(line.rsplit(' ', 1)[1]) for line in self.get('/metrics').splitlines()
                   if line.startswith(start))

    def status_kib(self, key):
        for line in open(f'/proc/{self.pid}/status', encoding='ascii'):
            if line.startswith(key + ':'):
                return int(line.split()[1])
        return 0

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        if code != 0:
            sys.exit(f'the server ended with {code}: {self.said()}')


class Reference:
    def __init__(self, bench, data, core=0):
        self.port = free_port()
        self.process = subprocess.Popen([bench.tool('reference'), str(data), str(self.port)],
                                        preexec_fn=pinned(core))
        self.pid = self.process.pid
        for _ in range(1000):
            try:
                socket.create_connection(('127.0.0.1', self.port), 1).close()
                return
            except OSError:
                time.sleep(0.005)
        sys.exit('the reference loop does not start')

    def stop(self):
        self.process.kill()
        self.process.wait()


def load(bench, server, *arguments, core=1, check=True):
    cores = ['--core', core] if core is not None else []
    return parse(bench.run('load', '--port', server.port, '--server', server.pid, *cores,
                           *arguments, check=check))


def median_of(runs):
    """The run whose rate is the median, so that its figures belong together."""
    ordered = sorted(runs, key=lambda r: r['rate'])
    middle = dict(ordered[len(ordered) // 2])
    middle['rates'] = [round(r['rate']) for r in ordered]
    middle['server_us_all'] = sorted(round(r['server_us'], 2) for r in runs)
    middle['server_us'] = statistics.median(r['server_us'] for r in runs)
    middle['generator_share_max'] = max(r['generator_share'] for r in runs)
    middle['foreign_share_max'] = max(r['foreign_share'] for r in runs)
    middle['valid'] = middle['generator_share_max'] < GENERATOR_MAX
    middle['quiet'] = middle['foreign_share_max'] < FOREIGN_MAX
    for key in ('phases', 'seconds_lines', 'steps'):
        middle.pop(key, None)
    return middle


def line_of(name, r):
    marks = ('' if r['valid'] else '  generator above 70 %') + ('' if r['quiet'] else '  not quiet')
    print(f"{name:34} {r['rate']:9.0f}/s {r['server_us']:7.2f} us  p50 {r['p50_us'] / 1e3:8.2f} ms"
          f"  p99 {r['p99_us'] / 1e3:8.2f} ms  generator {r['generator_share']:.2f}"
          f"  foreign {r['foreign_share']:.2f}{marks}", flush=True)


def keep(bench, name, runs):
    result = median_of(runs)
    bench.results[name] = result
    line_of(name, result)
    return result


# --- the figures ---


def sqlite_rows(directory):
    """What a run left in the database: rows of each table, and the mean size of packed columns."""
    import sqlite3
    db = sqlite3.connect(f'file:{directory}/evcharge.db?mode=ro', uri=True)
    one = lambda q: db.execute(q).fetchone()[0] or 0
    # What the fleet began with is not of this run.
    began = {'session_row': one("SELECT count(*) FROM outlet_row") // 2}
    tables = ['event_row', 'session_row', 'command_row', 'identity_block', 'delivery']
    rows = {t: one(f'SELECT count(*) FROM {t}') - began.get(t, 0) for t in tables}
    rows['outlet_extra_bytes'] = one('SELECT avg(length(extra)) FROM outlet_row WHERE lastEvent>0')
    rows['session_extra_bytes'] = one('SELECT avg(length(extra)) FROM session_row WHERE n>5000')
    db.close()
    return rows


def machine(bench):
    """What the machine allows: disk, bare echoes, bare rows."""
    print('--- the machine')
    disk = {}
    for line in bench.run('disk', bench.work, 1 if bench.scale == 'quick' else 3).splitlines():
        name, rate, p50, p99, cpu = line.split()
        disk[name] = {'rate': float(rate), 'p50_us': float(p50), 'p99_us': float(p99),
                      'cpu_us': float(cpu)}
        print(f'disk {name:29} {float(rate):9.0f}/s {float(cpu):7.2f} us'
              f'  p50 {p50} us  p99 {p99} us')
    bench.results['disk'] = disk
    for n in [1000] if bench.scale == 'quick' else [100, 1000, 10000]:
        runs = [parse(bench.run('echo', n, bench.seconds)) for _ in range(bench.runs)]
        keep(bench, f'echo {n}', runs)
    rows = {}
    text = bench.run('engine', 10000, 1 if bench.scale == 'quick' else 3, bench.work)
    for line in text.splitlines()[2:]:
        group, engine, us, bare, bare_us, _ = line.split()
        rows[group] = {'engine': float(engine), 'engine_us': float(us), 'bare': float(bare),
                       'bare_us': float(bare_us)}
        print(f'rows in groups of {group:16} engine {float(engine):8.0f}/s {us} us'
              f'   bare SQLite {float(bare):8.0f}/s {bare_us} us')
    bench.results['rows'] = rows


def one_run(bench, kind, n, outlets, rows=None, core=0, generator=1):
    data = bench.fleet(outlets)
    server = (Server(bench, data, core=core, options=PLENTY + MANY) if kind == 'server'
              else Reference(bench, data, core=core))
    facts = load(bench, server, '--connections', n, '--stride', outlets // max(n, 1),
                 '--phase', '0:1', '--phase', f'0:{bench.seconds}', core=generator)
    if kind == 'server':
        groups = server.metric('evcharge_store_commit_seconds_count')
        facts['group'] = server.metric('evcharge_gateway_messages_total') / max(groups, 1)
        facts['balanced'] = server.books()['balanced']
    server.stop()
    if rows is not None:
        facts_rows = sqlite_rows(data)
        answers = facts['verdict_applied']
        rows[kind] = {k: (v if 'bytes' in k else v / answers) for k, v in facts_rows.items()}
    shutil.rmtree(data)
    return facts


def throughput(bench):
    """Durable messages a second, beside the reference loop."""
    print('--- as fast as it goes: 95 % reports, 5 % whole cycles, one outstanding')
    for n in [1000] if bench.scale == 'quick' else [100, 1000, 10000]:
        server, reference, rows = [], [], {}
        for _ in range(bench.runs):
            server.append(one_run(bench, 'server', n, 10000, rows))
            reference.append(one_run(bench, 'reference', n, 10000, rows))
        a = keep(bench, f'server {n}', server)
        b = keep(bench, f'reference {n}', reference)
        pairs = sorted(x['rate'] / y['rate'] for x, y in zip(server, reference))
        bench.results[f'ratio {n}'] = {
            'rate': statistics.median(pairs), 'of_pairs': pairs,
            'cpu': b['server_us'] / a['server_us']}
        bench.results[f'rows of a message {n}'] = rows
        print(f"  ratio of rates {statistics.median(pairs):.2f}, of processor time"
              f" {b['server_us'] / a['server_us']:.2f}; messages in a group {a['group']:.0f}")
        for kind in ('server', 'reference'):
            print('  rows of a message,', kind + ':',
                  ', '.join(f'{k} {v:.3f}' for k, v in rows[kind].items()))


def unpinned(bench):
    """The same with the server on both processors, where it has to share with the generator."""
    runs = [one_run(bench, 'server', 1000, 10000, core=None, generator=None)
            for _ in range(bench.runs)]
    keep(bench, 'server 1000, unpinned', runs)


def paced(bench):
    """20,000 messages a second over 5,000 connections, at times fixed beforehand."""
    print('--- paced: 20,000/s over 5,000 connections')
    runs = []
    for _ in range(bench.runs):
        data = bench.fleet(10000)
        server = Server(bench, data, options=PLENTY)
        runs.append(load(bench, server, '--connections', 5000, '--stride', 2,
                         '--phase', '20000:2', '--phase', f'20000:{2 * bench.seconds}'))
        server.stop()
        shutil.rmtree(data)
    keep(bench, 'paced 5000', runs)
    bench.results['paced 5000']['p50_us'] = statistics.median(r['p50_us'] for r in runs)
    bench.results['paced 5000']['p99_us'] = statistics.median(r['p99_us'] for r in runs)


def alone(bench):
    """One connection: what one commit and the ways to it and back cost."""
    runs = [one_run(bench, 'server', 1, 10000) for _ in range(bench.runs)]
    keep(bench, 'server 1', runs)
    runs = [one_run(bench, 'reference', 1, 10000) for _ in range(bench.runs)]
    keep(bench, 'reference 1', runs)


def million(bench):
    """The same load with a million outlets registered, spread over all of them."""
    print('--- 1,000,000 outlets')
    for n in [1000, 10000]:
        base = [one_run(bench, 'server', n, 10000) for _ in range(bench.runs)]
        runs = [one_run(bench, 'server', n, 1000000) for _ in range(bench.runs)]
        a = keep(bench, f'server {n}, 10,000 outlets', base)
        b = keep(bench, f'server {n}, 1,000,000 outlets', runs)
        bench.results[f'million {n}'] = {'rate': b['rate'] / a['rate'],
                                         'cpu': a['server_us'] / b['server_us']}


def memory(bench):
    """Memory and time of idle connections."""
    print('--- idle connections')
    n = 5000 if bench.scale == 'quick' else 19000
    data = bench.fleet(20000)
    server = Server(bench, data, options=MANY)
    time.sleep(0.5)
    idle = server.status_kib('VmRSS')
    facts = parse(bench.run('memory', '--port', server.port, '--server', server.pid, '--core', 1,
                            '--connections', n))
    server.stop()
    shutil.rmtree(data)
    steps = facts['steps']
    tenth = max(1, len(steps) // 10)
    ends = [statistics.median(s[1] for s in steps[:tenth + 1]),
            statistics.median(s[1] for s in steps[-tenth - 1:])]
    bench.results['memory'] = {'bytes_each': facts['bytes_each'], 'connections': n,
                               'first_us': ends[0], 'last_us': ends[1], 'idle_rss_kib': idle,
                               'steps': steps}
    print(f"{n} connections: {facts['bytes_each']:.0f} bytes each; to make one {ends[0]:.1f} us at"
          f" first, {ends[1]:.1f} us at last; before, {idle} KiB resident")


def startup(bench):
    """From the start of the process until the gateway takes a connection."""
    print('--- start-up')
    for n in [10000, 100000] + ([1000000] if bench.scale == 'full' else []):
        times = []
        for _ in range(bench.runs + 1):
            data = bench.fleet(n)
            server = Server(bench, data)
            times.append(server.start_s)
            time.sleep(0.3)
            rss = server.status_kib('VmRSS')
            server.stop()
            shutil.rmtree(data)
        bench.results[f'startup {n}'] = {'s': statistics.median(times), 'all': times,
                                         'rss_kib': rss}
        print(f'{n} outlets: {statistics.median(times):.3f} s, then {rss} KiB resident')


# --- too much ---


class Judge:
    """Expectations of a scenario: told at once, counted at the end."""

    def __init__(self, bench, name):
        self.bench, self.name, self.checks = bench, name, []
        print(f'--- {name}', flush=True)

    def expect(self, holds, what, figure):
        self.checks.append({'what': what, 'figure': figure, 'holds': bool(holds)})
        print(f"{'ok  ' if holds else 'FAIL'} {what}: {figure}", flush=True)

    def books(self, server, facts):
        books = server.books()
        total = round(books['outlets']['totalPowerConsumption'] * 1e6)
        self.expect(books['balanced'], 'the books balance', books['balanced'])
        self.expect(facts['acked_mwh'] <= total <= facts['maybe_mwh'],
                    'all acknowledged energy is there, and none twice',
                    f"{facts['acked_mwh']:.0f} <= {total} <= {facts['maybe_mwh']:.0f} mWh")

    def answers(self, facts):
        self.expect(facts['wrong'] == 0, 'wrong answers', f"{facts['wrong']:.0f}")
        self.expect(facts['unanswered'] == 0, 'unanswered in the end', f"{facts['unanswered']:.0f}")

    def end(self, facts):
        self.bench.results['overload ' + self.name] = {
            'checks': self.checks, 'seconds': [p['seconds_lines'] for p in facts['phases']]}
        return all(c['holds'] for c in self.checks)


def peak_mib(facts):
    return max((s[4] for p in facts['phases'] for s in p['seconds_lines']), default=0) / 1024


def back_to_normal(lines, limit_us):
    """The first second of those from which on p99 stays below the limit."""
    late = [s[0] for s in lines if s[3] > limit_us or s[1] == 0]
    return late[-1] if late else 0.0


def capacity(bench):
    data = bench.fleet(10000)
    server = Server(bench, data, options=MANY)
    facts = load(bench, server, '--connections', 5000, '--stride', 2, '--phase', '0:5')
    server.stop()
    shutil.rmtree(data)
    return facts['rate']


def too_much(bench):
    """Twice what can be borne, for a minute, with up to 16 messages on each connection."""
    judge = Judge(bench, 'twice the load')
    bears = capacity(bench)
    data = bench.fleet(10000)
    server = Server(bench, data, options=MANY)
    half, twice = int(bears * 0.4), int(bears * 2)
    facts = load(bench, server, '--connections', 5000, '--stride', 2, '--window', 16,
                 '--phase', f'{half}:10', '--phase', f'{twice}:60', '--phase', f'{half}:20',
                 check=False)
    before, during, after = facts['phases']
    judge.answers(facts)
    judge.books(server, facts)
    judge.expect(facts['closed'] == 0, 'connections lost', f"{facts['closed']:.0f}")
    judge.expect(during['rate'] > 0.7 * bears, 'goes on at its best',
                 f"{during['rate']:.0f}/s of {bears:.0f}/s, asked for {twice}/s")
    judge.expect(during['fairness'] > 0.95, 'shares of the devices (1: all equal)',
                 f"{during['fairness']:.3f}, {during['share_min']:.0f} to"
                 f" {during['share_max']:.0f} answers")
    judge.expect(peak_mib(facts) < 400, 'memory at its highest', f'{peak_mib(facts):.0f} MiB')
    normal = max(50000, 2 * before['p99_us'])
    back = back_to_normal(after['seconds_lines'], normal)
    judge.expect(back <= 10, f'back to normal (p99 below {normal / 1e3:.0f} ms) after',
                 f'{back:.0f} s')
    judge.expect(True, 'p50 / p99 before, during, after', ', '.join(
        f"{p['p50_us'] / 1e3:.1f} / {p['p99_us'] / 1e3:.1f} ms" for p in facts['phases']))
    server.stop()
    shutil.rmtree(data)
    return judge.end(facts)


def slow_readers(bench):
    """Fifty devices that never read, fifty that read 640 bytes a second; all of them send."""
    judge = Judge(bench, 'slow and silent readers')
    data = bench.fleet(10000)
    server = Server(bench, data)
    facts = load(bench, server, '--connections', 1000, '--stride', 10, '--mute', 50, '--slow', 50,
                 '--phase', '5000:60', check=False)
    judge.answers(facts)
    judge.books(server, facts)
    judge.expect(facts['p99_us'] < 50000, 'p50 / p99 of the others',
                 f"{facts['p50_us'] / 1e3:.1f} / {facts['p99_us'] / 1e3:.1f} ms")
    judge.expect(facts['unsent'] < 100, 'messages of the others that did not get out',
                 f"{facts['unsent']:.0f}")
    judge.expect(peak_mib(facts) < 200, 'memory at its highest', f'{peak_mib(facts):.0f} MiB')
    judge.expect(True, 'messages that the hundred sent', f"{facts['flooded']:.0f}")
    judge.expect(True, 'of them closed', f"{facts['slow_again']:.0f}")
    held = 'evcharge_gateway_held_total{reason="%s"}'
    judge.expect(True, 'held back, by reason', ', '.join(
        f'{r} {server.metric(held % r):.0f}' for r in ('outstanding', 'rate', 'busy')))
    server.stop()
    shutil.rmtree(data)
    return judge.end(facts)


def storm(bench):
    """10,000 devices lose their connections at once and come back at once."""
    judge = Judge(bench, '10,000 reconnects at once')
    data = bench.fleet(10000)
    server = Server(bench, data)
    facts = load(bench, server, '--connections', 10000, '--phase', '5000:5', '--phase', 'storm',
                 '--phase', '5000:15', check=False)
    judge.answers(facts)
    judge.books(server, facts)
    judge.expect(facts['storm_s'] < 10, 'all are back after', f"{facts['storm_s']:.2f} s")
    judge.expect(True, 'server time of each', f"{facts['storm_server_us_each']:.0f} us")
    back = back_to_normal(facts['phases'][2]['seconds_lines'], 50000)
    judge.expect(back <= 10, 'back to normal (p99 below 50 ms) after', f'{back:.0f} s')
    judge.expect(peak_mib(facts) < 200, 'memory at its highest', f'{peak_mib(facts):.0f} MiB')
    server.stop()
    shutil.rmtree(data)
    return judge.end(facts)


def during(bench, server, arguments, actions):
    """Runs the load; each action is (seconds after the start of the first phase, function)."""
    command = [bench.tool('load'), '--port', str(server.port), '--server', str(server.pid),
               '--core', '1', *map(str, arguments)]
    with tempfile.TemporaryFile('w+', dir=bench.work) as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, text=True)
        time.sleep(2)  # for the devices to connect and to begin; the seconds are rough
        begun = time.monotonic()
        for at, act in actions:
            time.sleep(max(0.0, begun + at - time.monotonic()))
            act()
        complaints = process.communicate()[1]
        out.seek(0)
        text = out.read()
    if 'acked_mwh' not in text:
        sys.exit(f'bench_load: {text[-1000:]}{complaints[-1000:]}')
    if complaints:
        print(complaints.strip()[:500])
    return parse(text)


def full_disk(bench):
    """The file system fills up under the server, and has room again after ten seconds."""
    judge = Judge(bench, 'full disk')
    place = bench.work / 'small'
    place.mkdir()
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=192m', 'bench', str(place)],
                             capture_output=True, check=False)
    if mounted.returncode != 0:
        bench.note('full disk: not run, as it takes the right to mount a small file system')
        place.rmdir()
        return True
    try:
        return full_disk_on(bench, judge, place)
    finally:
        subprocess.run(['umount', '-l', str(place)], check=False)
        place.rmdir()


def full_disk_on(bench, judge, place):
    data = place / 'data'
    shutil.copytree(bench.fleet(2000), data)
    server = Server(bench, data)
    ballast = place / 'ballast'

    def fill():
        with open(ballast, 'wb') as f:
            try:
                while True:
                    f.write(bytes(1 << 16))
            except OSError:
                pass

    facts = during(bench, server, ['--connections', 500, '--stride', 4, '--phase', '3000:30'],
                   [(5, fill), (15, ballast.unlink)])
    lines = facts['phases'][0]['seconds_lines']
    none = sum(1 for s in lines if s[1] == 0)
    judge.answers(facts)
    judge.books(server, facts)
    judge.expect(none >= 3, 'seconds without an answer while the disk was full', none)
    judge.expect(lines[-1][1] > 2000, 'answers in the last second', f'{lines[-1][1]:.0f}')
    judge.expect(True, 'sent again, on new connections',
                 f"{facts['resent']:.0f}, {facts['closed']:.0f}")
    judge.expect(server.process.poll() is None, 'the server lives', server.process.poll() is None)
    server.stop()
    return judge.end(facts)


def clock_jump(bench):
    """The wall clock goes an hour ahead, then two hours back, under way."""
    judge = Judge(bench, 'a clock that jumps')
    data = bench.fleet(2000)
    path = bench.work / 'clock'
    path.write_bytes(struct.pack('q', 0))

    def move(hours):
        with open(path, 'r+b') as f:
            f.write(struct.pack('q', int(hours * 3600e9)))

    server = Server(bench, data, environ={'BENCH_CLOCK_FILE': str(path),
                                          'LD_PRELOAD': str(bench.build / 'bench/bench_clock.so')})
    facts = during(bench, server, ['--connections', 500, '--stride', 4, '--phase', '3000:30'],
                   [(6, lambda: move(1)), (14, lambda: move(-1))])
    lines = facts['phases'][0]['seconds_lines']
    judge.expect(facts['unanswered'] == 0, 'unanswered in the end', f"{facts['unanswered']:.0f}")
    judge.books(server, facts)
    judge.expect(facts['closed'] == 0, 'connections lost', f"{facts['closed']:.0f}")
    judge.expect(True, 'refused while the clock was behind', f"{facts['verdict_refused']:.0f}")
    judge.expect(min(s[1] for s in lines[2:]) > 0, 'answers in the worst second',
                 f'{min(s[1] for s in lines[2:]):.0f}')
    judge.expect(facts['p99_us'] < 50000, 'p50 / p99 over all',
                 f"{facts['p50_us'] / 1e3:.1f} / {facts['p99_us'] / 1e3:.1f} ms")
    server.stop()
    shutil.rmtree(data)
    return judge.end(facts)


# --- targets ---


def targets(r):
    """(what, aim, figure, met) for all that was measured."""
    def get(name, key):
        return r[name][key] if name in r else None

    rows = [
        ('rate of the reference loop, 1,000 connections', '>= 0.60', get('ratio 1000', 'rate'),
         lambda v: v >= 0.6, '{:.2f}'),
        ('paced 20,000/s, 5,000 connections: p50', '<= 2 ms', get('paced 5000', 'p50_us'),
         lambda v: v <= 2000, '{:.0f} us'),
        ('paced 20,000/s, 5,000 connections: p99', '<= 10 ms', get('paced 5000', 'p99_us'),
         lambda v: v <= 10000, '{:.0f} us'),
        ('memory of an idle connection', '<= 4 kB', get('memory', 'bytes_each'),
         lambda v: v <= 4096, '{:.0f} B'),
        ('rate with 1,000,000 outlets, 1,000 connections', '>= 0.50', get('million 1000', 'rate'),
         lambda v: v >= 0.5, '{:.2f}'),
        ('rate with 1,000,000 outlets, 10,000 connections', '>= 0.50',
         get('million 10000', 'rate'), lambda v: v >= 0.5, '{:.2f}'),
        ('start-up with 100,000 outlets', '< 0.5 s', get('startup 100000', 's'),
         lambda v: v < 0.5, '{:.3f} s'),
        ('idle resident memory', '< 20 MB', get('startup 100000', 'rss_kib'),
         lambda v: v * 1024 < 20e6, '{:.0f} KiB'),
    ]
    if 'memory' in r:
        m = r['memory']
        rows.append((f"connect cost at {m['connections']} beside 1,000", '<= 1.25',
                     m['last_us'] / m['first_us'], lambda v: v <= 1.25, '{:.2f}'))
    return [(what, aim, form.format(v), met(v)) for what, aim, v, met, form in rows
            if v is not None]


def summary(bench):
    r = bench.results
    rows = targets(r)
    if rows:
        print('--- targets')
    for what, aim, figure, met in rows:
        print(f"{'met    ' if met else 'NOT MET'} {what:50} {aim:10} {figure}")
    if 'server 1000' in r and 'echo 1000' in r:
        print(f"ratio to the raw echo, 1,000 connections: rate"
              f" {r['server 1000']['rate'] / r['echo 1000']['rate']:.2f}, processor time"
              f" {r['echo 1000']['server_us'] / r['server 1000']['server_us']:.2f}")
    path = bench.build / FIGURES_FILE
    r['targets'] = [{'what': w, 'aim': a, 'figure': f, 'met': m} for w, a, f, m in rows]
    r['notes'] = bench.notes
    r['machine'] = {'processors': os.cpu_count(), 'kernel': os.uname().release,
                    'when': time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}
    path.write_text(json.dumps(r, indent=1) + '\n', encoding='utf-8')
    print(f'all figures, also those of earlier runs: {path}')


def earlier(build):
    try:
        return json.loads((pathlib.Path(build) / FIGURES_FILE).read_text(encoding='utf-8'))
    except FileNotFoundError:
        return {}


def report(r):
    """Markdown."""
    print('| target | aim | measured | |\n| --- | --- | --- | --- |')
    for t in r.get('targets', []):
        met = 'met' if t['met'] else '**not met**'
        print(f"| {t['what']} | {t['aim']} | {t['figure']} | {met} |")
    print('\n| load | messages/s | server µs a message | p50 ms | p99 ms | generator | others |')
    print('| --- | ---: | ---: | ---: | ---: | ---: | ---: |')
    for name, v in r.items():
        if isinstance(v, dict) and 'server_us' in v:
            print(f"| {name} | {v['rate']:,.0f} | {v['server_us']:.1f} | {v['p50_us'] / 1e3:.2f} |"
                  f" {v['p99_us'] / 1e3:.2f} | {v['generator_share_max']:.0%} |"
                  f" {v['foreign_share_max']:.0%} |")
    print('\n| disk | a second | p50 µs | p99 µs |\n| --- | ---: | ---: | ---: |')
    for name, v in r.get('disk', {}).items():
        print(f"| {name} | {v['rate']:,.0f} | {v['p50_us']:.0f} | {v['p99_us']:.0f} |")
    print('\n| reports in a group | engine/s | µs | bare SQLite/s | µs |')
    print('| ---: | ---: | ---: | ---: | ---: |')
    for group, v in r.get('rows', {}).items():
        print(f"| {group} | {v['engine']:,.0f} | {v['engine_us']:.1f} | {v['bare']:,.0f} |"
              f" {v['bare_us']:.1f} |")
    print('\n| too much | what | figure | |\n| --- | --- | --- | --- |')
    for name, v in r.items():
        for c in v.get('checks', []) if isinstance(v, dict) else []:
            print(f"| {name.removeprefix('overload ')} | {c['what']} | {c['figure']} |"
                  f" {'' if c['holds'] else '**no**'} |")


FIGURES = {'machine': machine, 'throughput': throughput, 'unpinned': unpinned, 'paced': paced,
           'alone': alone, 'million': million, 'memory': memory, 'startup': startup}
OVERLOAD = {'too-much': too_much, 'slow-readers': slow_readers, 'storm': storm,
            'full-disk': full_disk, 'clock-jump': clock_jump}
QUICK = ['machine', 'throughput', 'paced', 'memory', 'startup']


def chosen(arguments):
    names = []
    for a in arguments or ['quick']:
        if a == 'quick':
            names += QUICK
        elif a == 'full':
            names += list(FIGURES)
        elif a == 'overload':
            names += list(OVERLOAD)
        elif a in FIGURES or a in OVERLOAD:
            names.append(a)
        else:
            sys.exit(f"{__doc__}{', '.join([*FIGURES, *OVERLOAD])}")
    return names


def main():
    if len(sys.argv) < 2:
        sys.exit(f"{__doc__}{', '.join([*FIGURES, *OVERLOAD])}")
    if sys.argv[2:] == ['report']:
        report(earlier(sys.argv[1]))
        return
    names = chosen(sys.argv[2:])
    scale = 'quick' if sys.argv[2:] in ([], ['quick']) else 'full'
    bench = Bench(sys.argv[1], scale)
    held = True
    try:
        for name in names:
            if name in FIGURES:
                FIGURES[name](bench)
            else:
                held = OVERLOAD[name](bench) and held
        summary(bench)
    finally:
        shutil.rmtree(bench.work, ignore_errors=True)
    sys.exit(0 if held else 1)


if __name__ == '__main__':
    main()
