#!/usr/bin/env python3
"""What deploy/ says is true of the program: the container's packages, rights on AWS, units.

usage: deploy.py ROOT EVCHARGE
"""
import json
import pathlib
import re
import shutil
import string
import subprocess
import sys
import tempfile

# The operations of the three services whose permission has another name than `service:Operation`.
PERMISSIONS = {
    'SendMessageBatch': 'SendMessage',
    'DeleteMessageBatch': 'DeleteMessage',
    'ChangeMessageVisibilityBatch': 'ChangeMessageVisibility',
}
OPERATIONS = {
    'sqs': 'ChangeMessageVisibility ChangeMessageVisibilityBatch CreateQueue DeleteMessage '
           'DeleteMessageBatch DeleteQueue GetQueueAttributes GetQueueUrl ListQueues PurgeQueue '
           'ReceiveMessage SendMessage SendMessageBatch SetQueueAttributes',
    'kinesis': 'CreateStream DeleteStream DescribeStream DescribeStreamSummary GetRecords '
               'GetShardIterator ListShards ListStreams MergeShards PutRecord PutRecords '
               'SplitShard UpdateShardCount',
    'dynamodb': 'BatchGetItem BatchWriteItem CreateTable DeleteItem DeleteTable DescribeTable '
                'DescribeTimeToLive GetItem ListTables PutItem Query Scan TransactGetItems '
                'TransactWriteItems UpdateItem UpdateTable UpdateTimeToLive',
}
SERVICE_OF = {op: service for service, ops in OPERATIONS.items() for op in ops.split()}
ROLES = ('outlet', 'app', 'gateway', 'provision')
PLACEHOLDERS = {'prefix': 'p_', 'region': 'r', 'account': '1'}


def permission(operation):
    return f'{SERVICE_OF[operation]}:{PERMISSIONS.get(operation, operation)}'


# --- Rights ---

def statements(policy, faults, name):
    for s in policy['Statement']:
        if set(s) != {'Sid', 'Effect', 'Action', 'Resource'} or s['Effect'] != 'Allow':
            faults.append(f'{name}: a statement is more than Sid, Effect Allow, Action, Resource')
        services = {action.split(':')[0] for action in s['Action']}
        for resource in s['Resource']:
            parts = resource.split(':')
            if parts[:2] != ['arn', 'aws'] or parts[3:5] != ['r', '1'] or {parts[2]} != services:
                faults.append(f'{name}: {s["Sid"]}: {resource} is not one of {services}')
            if not parts[5].split('/')[-1].startswith('p_'):
                faults.append(f'{name}: {s["Sid"]}: {resource} does not begin with the prefix')
        yield s


def check_policy(path, faults):
    """The actions that a policy allows."""
    text = path.read_text()
    actions = set()
    policy = json.loads(string.Template(text).substitute(PLACEHOLDERS))
    for s in statements(policy, faults, path.name):
        if s['Action'] != sorted(set(s['Action'])):
            faults.append(f'{path.name}: {s["Sid"]}: actions are not sorted')
        actions |= set(s['Action'])
    known = {permission(op) for op in SERVICE_OF}
    for action in sorted(actions - known):
        faults.append(f'{path.name}: {action} is no permission that is known here')
    return actions


def called(root):
    """Operations that the engine names; what is only an attribute's name is not among them."""
    found = set()
    for path in (root / 'src/engine/aws').glob('*.c'):
        found |= set(re.findall(r'"([A-Z][A-Za-z]+)"', path.read_text())) & set(SERVICE_OF)
    return found


def check_policies(root, faults):
    allowed = {role: check_policy(root / f'deploy/aws/iam/{role}.json', faults) for role in ROLES}
    everything = set().union(*allowed.values())
    operations = called(root)
    if 'CreateTable' not in operations:
        faults.append('src/engine/aws: not even CreateTable is called: is this test blind?')
    for operation in sorted(operations):
        if permission(operation) not in everything:
            faults.append(f'deploy/aws/iam: nobody may {permission(operation)}')
    for role in ROLES[:3]:
        for action in sorted(allowed[role]):
            if re.search(r':(Create(?!Queue)|Delete(Table|Stream)|Update(?!Item))', action):
                faults.append(f'{role}.json: {action} is not a running process\'s')


# --- Packages ---

def words_of(text):
    return text.replace('\\\n', ' ').split()


def installed(containerfile):
    """For each stage the packages of its apt-get install."""
    stages = re.split(r'^FROM ', containerfile, flags=re.M)[1:]
    lists = []
    for stage in stages:
        match = re.search(r'apt-get install -y --no-install-recommends(.*?)&&', stage, flags=re.S)
        lists.append(set(words_of(match.group(1))) if match else set())
    return lists


def linked(evcharge):
    """Debian packages of the libraries that the executable names."""
    out = subprocess.run(['readelf', '-d', evcharge], capture_output=True, text=True, check=True)
    packages = set()
    for lib in re.findall(r'\(NEEDED\).*\[(.*)\]', out.stdout):
        owner = subprocess.run(['dpkg', '-S', f'*/{lib}'], capture_output=True, text=True)
        if owner.returncode == 0:
            packages.add(owner.stdout.split(':')[0])
    return packages


def check_packages(root, evcharge, faults):
    dev = (root / 'dev').read_text()
    wanted = set(re.search(r'BUILD_PACKAGES="([^"]*)"', dev).group(1).split())
    lists = installed((root / 'deploy/Containerfile').read_text())
    if len(lists) != 2:
        faults.append('deploy/Containerfile: not two stages')
        return
    for package in sorted(wanted ^ lists[0]):
        where = './dev' if package in wanted else 'the Containerfile'
        faults.append(f'deploy/Containerfile: {package} is only in {where}')
    # Those of a sanitizer, and the system's own, are in no image or in each.
    ours = {p for p in linked(evcharge) if not p.startswith(('libc6', 'lib' 'asan', 'lib' 'ubsan',
                                                             'lib' 'tsan', 'libgcc'))}
    more = {'libwebsockets-evlib-ev', 'ca-certificates', 'curl'}
    if shutil.which('dpkg'):
        for package in sorted((ours | more) ^ lists[1]):
            where = 'the executable' if package in ours else 'the Containerfile'
            faults.append(f'deploy/Containerfile: run-time package {package} is only in {where}')


# --- Units ---

def check_units(root, evcharge, faults):
    """Copies in which the executable is the one that was built, as the verifier looks for it."""
    units = sorted((root / 'deploy').glob('*.service'))
    if len(units) != 2:
        faults.append(f'deploy: {len(units)} units')
    with tempfile.TemporaryDirectory() as folder:
        copies = []
        for unit in units:
            text = unit.read_text()
            if 'ExecStart=/usr/bin/evcharge serve' not in text:
                faults.append(f'{unit.name}: does not start /usr/bin/evcharge serve')
            copy = pathlib.Path(folder) / unit.name.replace('@', '@outlet')
            copy.write_text(text.replace('/usr/bin/evcharge', str(evcharge)))
            copies.append(copy)
        if shutil.which('systemd-analyze') is None:
            print('no systemd-analyze here: units are only read')
            return
        out = subprocess.run(['systemd-analyze', 'verify', '--man=no', *copies],
                             capture_output=True, text=True)
        ours = [line for line in out.stderr.splitlines() if folder in line or 'evcharge' in line]
        if out.returncode != 0 or ours:
            faults.append(f'systemd-analyze verify: {out.stderr.strip()}')


def main():
    root, evcharge = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    faults = []
    check_policies(root, faults)
    check_packages(root, evcharge, faults)
    check_units(root, evcharge, faults)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
