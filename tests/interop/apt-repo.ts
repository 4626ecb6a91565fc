import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface FakePackage {
  name: string;
  version: string;
  depends?: string;
  essential?: boolean;
  /** content by absolute path */
  files?: Record<string, string>;
}

/** What {@link AptRepo} needs; undefined when all is there. */
export function missingForApt(): string | undefined {
  const missing = ['dpkg-deb', 'dpkg-scanpackages', 'apt-ftparchive', 'apt-get'].find(
    (tool) => !existsSync(`/usr/bin/${tool}`),
  );
  return missing === undefined ? undefined : `needs ${missing}`;
}

/** What installing from one needs as well. */
export function missingForInstall(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  return existsSync('/usr/bin/mmdebstrap') ? undefined : 'needs mmdebstrap';
}

/** A flat apt repository of packages made on the spot. */
export class AptRepo {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
    mkdirSync(path, { recursive: true });
  }

  /** The entry for a treefile's `repos`. */
  get line(): string {
    return `deb [trusted=yes] copy:${this.path} ./`;
  }

  add(one: FakePackage): void {
    const root = mkdtempSync(join(dirname(this.path), 'deb-'));
    const put = (path: string, text: string): void => {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    };
    for (const [path, text] of Object.entries(one.files ?? {})) put(path, text);
    const control = [
      `Package: ${one.name}`,
      `Version: ${one.version}`,
      'Architecture: all',
      'Maintainer: Nobody <nobody@example.org>',
      ...(one.essential ? ['Essential: yes'] : []),
      ...(one.depends === undefined ? [] : [`Depends: ${one.depends}`]),
      'Description: for a test',
    ];
    put('DEBIAN/control', `${control.join('\n')}\n`);
    execFileSync('dpkg-deb', ['--root-owner-group', '-Znone', '--build', root, this.path], { stdio: 'ignore' });
    rmSync(root, { recursive: true });
  }

  /** Drops all packages; new ones are then the only ones. */
  clear(): void {
    rmSync(this.path, { recursive: true });
    mkdirSync(this.path);
  }

  /** Writes the lists; `listed`: packages that are in them alone. */
  publish(listed: readonly { name: string; version: string; description: string }[] = []): void {
    const packages = execFileSync('dpkg-scanpackages', ['--multiversion', '.'], {
      cwd: this.path,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const stanzas = listed.map(
      ({ name, version, description }) =>
        `Package: ${name}\nVersion: ${version}\nArchitecture: all\nFilename: ./none.deb\nSize: 1\nDescription: ${description}\n\n`,
    );
    writeFileSync(join(this.path, 'Packages'), [...stanzas, packages].join(''));
    rmSync(join(this.path, 'Release'), { force: true });
    const release = execFileSync('apt-ftparchive', ['release', '.'], { cwd: this.path });
    writeFileSync(join(this.path, 'Release'), release);
  }
}
