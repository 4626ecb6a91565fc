import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Host, Lab } from './lab.ts';

export interface Deb {
  name: string;
  version: string;
  arch?: string;
  depends?: string;
  files: Record<string, string | Buffer>;
  scripts?: Record<string, string>;
}

/** Packages of Debian's kind, served beside a lab's repository. */
export class DebRepository {
  readonly #lab: Lab;
  readonly #folder: string;

  constructor(lab: Lab) {
    this.#lab = lab;
    this.#folder = join(lab.folder, 'repo/debs');
    mkdirSync(this.#folder);
  }

  /** Builds a package and lists it; the file's name. Machines fetch the lists once an hour. */
  publish({ name, version, arch = 'all', depends, files, scripts = {} }: Deb): string {
    const root = join(this.#lab.folder, `deb-${name}`);
    const put = (path: string, content: string | Buffer, mode: number) => {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), content);
      chmodSync(join(root, path), mode);
    };
    const control = [
      ...[`Package: ${name}`, `Version: ${version}`, `Architecture: ${arch}`, 'Maintainer: Test <test@example.com>'],
      ...(depends === undefined ? [] : [`Depends: ${depends}`]),
      `Description: ${name} for a test`,
    ].join('\n');
    put('DEBIAN/control', `${control}\n`, 0o644);
    for (const [path, content] of Object.entries(files)) put(path, content, /bin\//.test(path) ? 0o755 : 0o644);
    for (const [script, text] of Object.entries(scripts)) put(`DEBIAN/${script}`, `#!/bin/sh\n${text}\n`, 0o755);
    const file = `${name}_${version.replaceAll(':', '%3a')}_${arch}.deb`;
    execFileSync('dpkg-deb', ['--root-owner-group', '--build', root, join(this.#folder, file)], { stdio: 'ignore' });
    rmSync(root, { recursive: true });
    const listed = readdirSync(this.#folder).filter((one) => one.endsWith('.deb'));
    const index = listed.map((one) => {
      const path = join(this.#folder, one);
      const content = readFileSync(path);
      const fields = execFileSync('dpkg-deb', ['-f', path], { encoding: 'utf8' }).trimEnd();
      const sha256 = createHash('sha256').update(content).digest('hex');
      return `${fields}\nFilename: ./${one}\nSize: ${content.length}\nSHA256: ${sha256}\n`;
    });
    writeFileSync(join(this.#folder, 'Packages'), index.join('\n'));
    return file;
  }

  /** A package with an account, a configuration file, something in /var, and another one it needs. */
  publishGreeter(): void {
    this.publish({
      name: 'greeter-data',
      version: '1.0-1',
      files: { 'usr/share/greeter/words': 'hello from a layer\n' },
    });
    this.publish({
      name: 'greeter',
      version: '1.0-1',
      depends: 'greeter-data, adduser',
      files: { 'usr/bin/greeter': '#!/bin/sh\ncat /usr/share/greeter/words\n', 'etc/greeter.conf': 'default\n' },
      scripts: {
        postinst: 'adduser --system --group --no-create-home greeter\ninstall -d -o greeter /var/lib/greeter',
      },
    });
  }

  /** Where a machine of the lab finds it. */
  get url(): string {
    return `http://10.0.2.2:${this.#lab.server.port}/debs`;
  }

  /** Makes it the one repository of a machine. */
  async use(host: Host): Promise<void> {
    await host.check(`rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*; sync`);
    await host.check(`echo 'deb [trusted=yes] ${this.url} ./' > /etc/apt/sources.list.d/test.list`);
  }
}
