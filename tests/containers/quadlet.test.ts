import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  QUADLET_KEYS_OF,
  QUADLET_TYPES,
  type QuadletType,
  runGenerator,
  searchFolders,
  writeUnits,
} from '@atomic/containers';
import { differences, readOutput } from '../conformance/quadlet/compare-output.ts';
import { podmanGenerator } from '../conformance/quadlet/podman-package.ts';

const PROGRAM = '/usr/bin/podman';
// Podman's generator syncs each file it writes: in memory that costs nothing.
const scratch = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'atomic-quadlet-'));
after(() => rmSync(scratch, { recursive: true }));
let number = 0;

/** A folder of sources; keys of `files` may have folders in them. */
function sources(files: Readonly<Record<string, string>>): string {
  const folder = join(scratch, `sources-${number++}`);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

interface Made {
  folder: string;
  messages: string[];
}

function ours(from: string, user = false): Made {
  const folder = join(scratch, `ours-${number++}`);
  const run = runGenerator({ folders: searchFolders({ kind: 'folders', folders: [from] }), user });
  writeUnits(run, folder, 'atomic');
  return { folder, messages: run.messages };
}

function theirs(program: string, from: string, user = false): Made {
  const folder = join(scratch, `theirs-${number++}`);
  mkdirSync(folder);
  const run = spawnSync(program, ['-no-kmsg-log', ...(user ? ['-user'] : []), folder], {
    encoding: 'utf8',
    env: { QUADLET_UNIT_DIRS: from },
    maxBuffer: 1 << 28,
  });
  const messages = run.stderr
    .split('\n')
    .map((line) => line.replace(/^quadlet-generator\[\d+\]: /, ''))
    .filter((line) => line !== '' && line !== 'processing encountered some errors');
  return { folder, messages };
}

const stock = podmanGenerator('experimental');
const skip = 'reason' in stock ? `podman's own generator ${stock.reason}` : false;

/** Holds ours beside podman's own generator: units, links, and what is said. */
function sameAsPodman(from: string, user = false): number {
  if ('reason' in stock) throw new Error('not skipped');
  const a = ours(from, user);
  const b = theirs(stock.program, from, user);
  assert.doesNotMatch(b.messages.join('\n'), /^panic/m, b.messages.join('\n'));
  assert.deepEqual(differences(readOutput(a.folder, PROGRAM), readOutput(b.folder, PROGRAM)), []);
  const lines = (made: Made): string[] => made.messages.flatMap((message) => message.split('\n')).sort();
  assert.deepEqual(lines(a), lines(b));
  return readdirSync(a.folder).length;
}

const MINIMAL: Readonly<Record<QuadletType, string>> = {
  container: '[Container]\nImage=localhost/i\n',
  volume: '[Volume]\n',
  network: '[Network]\n',
  pod: '[Pod]\n',
  kube: '[Kube]\nYaml=k.yml\n',
  image: '[Image]\nImage=localhost/i\n',
  build: '[Build]\nImageTag=localhost/b\nSetWorkingDirectory=unit\n',
  artifact: '[Artifact]\nArtifact=localhost/a\n',
};

const VALUES = [
  '',
  'x',
  'yes',
  'off',
  '017',
  '"a b"',
  '"a b" c',
  "a 'b c' d\\x41\\u00e9",
  'bad\\qescape',
  '/host:/inside:ro,z',
  './beside:/inside',
  'A=b "C=d e" F',
  'some.volume:/v',
  'some.network:ip=10.0.0.1',
  'some.container',
  'some.pod',
  'some.image',
  'some.build',
  'type=bind,src=./a,"dst=/x,y"',
  'https://host/x.git',
  '%h/file',
];

describe("podman's own generator", { skip }, () => {
  test('every key of every type, with values of all kinds', () => {
    const files: Record<string, string> = {};
    for (const type of QUADLET_TYPES) {
      // Of a container and a .kube of one name, one unit would be lost.
      if (type !== 'kube') files[`some.${type}`] = MINIMAL[type];
      for (const key of QUADLET_KEYS_OF[type]) {
        for (const [index, value] of VALUES.entries()) {
          // Names of units that are no names are a matter of files, not of keys.
          if (key === 'ServiceName') continue;
          files[`${type}-${key}-${index}.${type}`] = `${MINIMAL[type]}${key}=${value}\n`;
        }
      }
    }
    assert.ok(sameAsPodman(sources(files)) > 3000);
  });

  test('the same keys are refused', () => {
    const all = new Set(QUADLET_TYPES.flatMap((type) => [...QUADLET_KEYS_OF[type]]));
    const files: Record<string, string> = {};
    for (const type of QUADLET_TYPES) {
      for (const key of all) files[`${type}-${key}.${type}`] = `${MINIMAL[type]}${key}=1\n`;
    }
    sameAsPodman(sources(files));
  });

  test('templates, instances, drop-ins, folders, links and names', () => {
    const files = {
      'web@.container':
        '[Container]\nImage=localhost/i\nVolume=data@.volume:/d\n[Install]\nWantedBy=a.target\nDefaultInstance=one\n',
      'web@two.container': '[Container]\nImage=localhost/i\n[Install]\nWantedBy=a.target b/c.target\n',
      'data@.volume': '[Volume]\nLabel=a=%i\n',
      'a-b-c.container': '[Container]\nImage=localhost/i\nEnvironment=A=1\n',
      'a-b-c.container.d/10.conf': '[Container]\nEnvironment=\nEnvironment=B=2\n[Service]\nRestart=always\n',
      'a-b-.container.d/10.conf': '[Container]\nEnvironment=NEVER=1\n',
      'a-.container.d/05.conf': '[Container]\nEnvironment=C=3\n',
      'container.d/99.conf': '[Container]\nLabel=all=1\n',
      'web@.container.d/x.conf': '[Container]\nLabel=template=1\n',
      'below/deep.container':
        '# first\n\n[Unit]\nDescription=x\n# about\nAfter=web@two.container deep.service\n\n[Container]\n# inside\nImage=some.image\n',
      'below/some.image': '[Image]\nImage=localhost/i\nImageTag=localhost/j\n[Quadlet]\nDefaultDependencies=no\n',
      'named.container':
        '[Container]\nImage=localhost/i\nServiceName=other\nContainerName=me-%N\n[Install]\nAlias=also.service x/y.service\nRequiredBy=r.service\nUpheldBy=u.service\n',
      'uses.container': '[Container]\nImage=localhost/i\nNetwork=named.container\nPod=p.pod\n',
      'p.pod': '[Pod]\n',
      // A file podman cannot parse costs it all others of the folder; ours are made.
      'broken/bad.container': 'Image=x\n',
      'broken/worse.container': '[Container]\nImage\n',
      'twice.container': '[Unit]\nA=1\n[Container]\nImage=localhost/i\n[Unit]\nB=2\n[X-Container]\nC=3\n',
      'continued.container': '[Container]\nImage=localhost/i\nExec=one \\\n# not part of it\n  two \\\n\n  three\\\n',
      'users.container': '[Container]\nImage=short\n[Service]\nUser=x\nType=simple\n',
    };
    sameAsPodman(sources(files));
    sameAsPodman(sources(files), true);
  });
});

test('systemd takes every unit', () => {
  const files: Record<string, string> = {};
  for (const type of QUADLET_TYPES) files[`some-${type}.${type}`] = MINIMAL[type];
  files['big.container'] = `${MINIMAL.container}Network=some-network.network
Volume=some-volume.volume:/data
Environment="A=with space" B=100%%
Exec=sh -c "echo 'x y'; exit 0"
HealthCmd=true
[Service]
Restart=always
[Install]
WantedBy=multi-user.target
`;
  const { folder, messages } = ours(sources(files));
  assert.deepEqual(messages, []);
  // The engine need not be installed for a unit to be right.
  const program = join(scratch, 'podman');
  cpSync('/bin/true', program);
  const units = readdirSync(folder).filter((name) => name.endsWith('.service'));
  assert.equal(units.length, 9);
  for (const unit of units) {
    const path = join(folder, unit);
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll(PROGRAM, program));
  }
  const verify = spawnSync('systemd-analyze', ['verify', '--man=no', ...units.map((unit) => join(folder, unit))], {
    encoding: 'utf8',
    env: { ...process.env, SYSTEMD_UNIT_PATH: `${folder}:/usr/lib/systemd/system` },
  });
  assert.equal(verify.status, 0, verify.stderr);
  const about = verify.stderr
    .split('\n')
    .filter((line) => line.includes(folder) || units.some((unit) => line.startsWith(unit)));
  assert.deepEqual(about, []);
});
