import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { composeTree, loadTreefile } from '@atomic/compose';
import { type Checksum, pullLocal, Repo } from '@atomic/ostree';
import { deploy, initStateroot, initSysroot, type LocalPackage, makeOrigin, Sysroot } from '@atomic/sysroot';
import { LayerDisk } from './layer-disk.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const CACHE = join(process.env['ATOMIC_TEST_CACHE'] ?? join(ROOT, 'build'), 'cache');

/** The minimal host with what layering needs. */
const TREE = `include: ${join(ROOT, 'examples/debian-minimal.yaml')}
ref: test/layering
version: "1"
timestamp: 2026-01-01T00:00:00Z
packages: [apt, debian-archive-keyring, bubblewrap]
`;

/** Why layering cannot be tested here. */
export function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  for (const tool of ['mmdebstrap', 'bwrap', 'apt-get', 'dpkg-deb', 'dpkg-scanpackages', 'nsenter', 'prlimit']) {
    if (!['/usr/bin', '/usr/sbin', '/bin'].some((folder) => existsSync(join(folder, tool)))) return `needs ${tool}`;
  }
  return undefined;
}

/** A package to build. */
export interface Deb {
  name: string;
  version?: string;
  depends?: string;
  fields?: Record<string, string>;
  files?: Record<string, string>;
  links?: Record<string, string>;
  /** preinst, postinst…: what follows `#!/bin/sh`. */
  scripts?: Record<string, string>;
  conffiles?: string[];
}

/** A disk with the tree in its repository, deployed; a folder of packages; an /etc whose only repository is that. */
export class LayeringLab extends LayerDisk implements Disposable {
  private constructor(work: string, sysroot: Sysroot, base: Checksum) {
    super(work, sysroot, base);
    mkdirSync(join(this.etc, 'apt/sources.list.d'), { recursive: true });
    mkdirSync(join(work, 'debs'));
  }

  static async open(): Promise<LayeringLab> {
    mkdirSync(CACHE, { recursive: true });
    // Beside the cache, so that objects are linked and not copied.
    const work = mkdtempSync(join(CACHE, 'layering-'));
    try {
      return await LayeringLab.#fill(work);
    } catch (error) {
      rmSync(work, { recursive: true, force: true });
      throw error;
    }
  }

  static async #fill(work: string): Promise<LayeringLab> {
    const kept = join(CACHE, 'layering-repo');
    const repo = existsSync(join(kept, 'config')) ? Repo.open(kept) : Repo.create(kept, { mode: 'bare' });
    const treefile = join(work, 'tree.yaml');
    writeFileSync(treefile, TREE);
    const { commit } = await composeTree({ treefile: loadTreefile(treefile), repo, cachedir: CACHE });
    const disk = join(work, 'disk');
    initSysroot(disk);
    const sysroot = Sysroot.open(disk, { run: join(work, 'run'), mutableDeployments: true });
    await pullLocal(sysroot.repo, kept, { refs: ['test/layering'] });
    initStateroot(sysroot, 'test');
    await deploy(sysroot, { os: 'test', rev: commit, origin: makeOrigin('test/layering') });
    return new LayeringLab(work, sysroot, commit);
  }

  /** Builds a package, into the folder that is the repository. */
  deb({
    name,
    version = '1',
    depends,
    fields = {},
    files = {},
    links = {},
    scripts = {},
    conffiles = [],
  }: Deb): LocalPackage {
    const root = mkdtempSync(join(this.work, 'deb-'));
    const put = (path: string, text: string, mode = 0o644): void => {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
      chmodSync(join(root, path), mode);
    };
    const control = {
      Package: name,
      Version: version,
      Architecture: 'all',
      Maintainer: 'Test <test@example.com>',
      Description: `${name} for a test`,
      ...(depends === undefined ? {} : { Depends: depends }),
      ...fields,
    };
    put(
      'DEBIAN/control',
      `${Object.entries(control)
        .map(([key, value]) => `${key}: ${value}`)
        .join('\n')}\n`,
    );
    for (const [script, text] of Object.entries(scripts)) put(`DEBIAN/${script}`, `#!/bin/sh\n${text}\n`, 0o755);
    if (conffiles.length > 0) put('DEBIAN/conffiles', `${conffiles.join('\n')}\n`);
    for (const [path, text] of Object.entries(files)) put(path, text, /bin\//.test(path) ? 0o755 : 0o644);
    for (const [path, target] of Object.entries(links)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      execFileSync('ln', ['-s', target, join(root, path)]);
    }
    chmodSync(root, 0o755);
    const path = join(this.work, 'debs', `${name}_${version.replaceAll(':', '%3a')}_all.deb`);
    execFileSync('dpkg-deb', ['--root-owner-group', '-Znone', '--build', root, path], { stdio: 'ignore' });
    rmSync(root, { recursive: true });
    const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
    return { name: `${name}_${version}_all`, sha256, path };
  }

  override assertNothingLeft(): void {
    const folder = join(this.sysroot.path, 'ostree/extensions/atomic');
    assert.deepEqual(readdirSync(folder).sort(), ['cache', 'lock']);
    assert.ok(!readFileSync('/proc/self/mountinfo', 'utf8').includes(folder), 'nothing is mounted');
    assert.deepEqual(
      readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && inside(pid, folder)),
      [],
      'no process is left',
    );
  }

  [Symbol.dispose](): void {
    rmSync(this.work, { recursive: true, force: true });
  }
}

/** Whether a process has the layering's overlay mounted. */
function inside(pid: string, folder: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/mountinfo`, 'utf8').includes(`${folder}/work`);
  } catch {
    return false;
  }
}
