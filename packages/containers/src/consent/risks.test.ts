import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readWords } from '../labels/words.ts';
import { risksOf } from './risks.ts';

const ids = (line: string, weight: 'grave' | 'note'): string[] =>
  risksOf(readWords(line, 'line'))
    .filter((risk) => risk.weight === weight)
    .map(({ id }) => id);

const TABLE: [line: string, grave: string[], notes?: string[]][] = [
  ['docker run -it IMG sh', []],
  ['docker run --name x -p 80:80 -v data:/data -e A=/:/host IMG --privileged -v /:/host', []],
  ['docker run --privileged IMG', ['privileged']],
  ['docker run --privileged=false IMG', []],
  ['docker run -v /:/host IMG', ['mount:/']],
  ['docker run -v=/:/host IMG', ['mount:/']],
  ['docker run -v/:/host IMG', ['mount:/']],
  ['docker run -itdv //:/host IMG', ['mount:/']],
  ['docker run -v /etc/..:/host:ro IMG', ['mount:/']],
  ['docker run --mount type=bind,src=/,dst=/host IMG', ['mount:/']],
  ['docker run --mount type=volume,src=data,dst=/x IMG', []],
  ['docker run -v /var/run/docker.sock:/s IMG', ['engine-socket']],
  ['docker run -v /run:/run IMG', ['mount:/run']],
  ['docker run -v /etc/localtime:/etc/localtime IMG', []],
  ['docker run -v /etc:/etc IMG', ['mount:/etc']],
  ['docker run -v /etc:/etc:ro,z IMG', [], ['mount:/etc']],
  ['docker run -v /srv/www:/www IMG', [], ['mount:/srv/www']],
  [
    'docker run --net=host --pid host --ipc=host --uts=host --userns host IMG',
    ['network', 'processes', 'ipc', 'hostname', 'users'],
  ],
  ['docker run --network=container:db IMG', [], ['network:db']],
  ['docker run --device=/dev/kvm:/dev/kvm IMG', ['device:/dev/kvm']],
  ['docker run --cap-add=CAP_SYS_ADMIN --cap-add chown IMG', ['capability:SYS_ADMIN'], ['capability:CHOWN']],
  [
    'docker run --security-opt seccomp=unconfined --security-opt label:disable --security-opt apparmor=unconfined IMG',
    ['seccomp', 'selinux', 'apparmor'],
  ],
  ['podman run --security-opt unmask=ALL IMG', ['system-paths']],
  ['docker run --restart=always IMG', [], ['restart']],
  ['/usr/bin/docker -H tcp://x container run --privileged IMG', ['privileged']],
  ['docker rm -f x', []],
  ['docker build .', ['engine:build']],
  ['rm -rf /', ['program']],
];

for (const [line, grave, notes = []] of TABLE) {
  test(`risks: ${line}`, () => {
    assert.deepEqual(ids(line, 'grave'), grave);
    assert.deepEqual(ids(line, 'note'), notes);
  });
}
