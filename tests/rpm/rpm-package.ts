// RPM packages for tests, made by the real rpmbuild: from a few lines of content, or from a folder that has the files.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What is missing to make RPMs and repositories of them; undefined when nothing is. */
export function rpmToolsMissing(): string | undefined {
  const missing = ['rpmbuild', 'createrepo_c', 'dnf', 'rpm'].find((tool) => !existsSync(join('/usr/bin', tool)));
  return missing === undefined ? undefined : `needs ${missing} (apt install rpm createrepo-c dnf)`;
}

export type Scriptlet = 'pretrans' | 'pre' | 'post' | 'preun' | 'postun' | 'posttrans';

/** What a package says about itself. */
export interface RpmHeader {
  name: string;
  /** "VERSION-RELEASE", with "EPOCH:" before it when it has one */
  version: string;
  arch?: string;
  summary?: string;
  requires?: readonly string[];
  /** needed before the files are unpacked */
  requiresPre?: readonly string[];
  provides?: readonly string[];
  recommends?: readonly string[];
  conflicts?: readonly string[];
  obsoletes?: readonly string[];
  scripts?: Partial<Record<Scriptlet, string>>;
  /** spec text of triggers, such as "%transfiletriggerin -- /usr/lib\n/sbin/ldconfig" */
  triggers?: string;
  /** newest first: "* Sat Nov 21 2026 Name <address> - 1-1\n- what" */
  changelog?: string;
}

/** The file at a path: content, or a link's text; `spec` is what %files says before its path, such as %config. */
export type RpmFile = string | Buffer | { content?: string | Buffer; link?: string; mode?: string; spec?: string };

/** A line of %files: globs and macros are plain characters in it. */
export const fileLine = (path: string, before = ''): string =>
  `${before}"${path.replace(/[[\]?*]/g, '[$&]').replaceAll('%', '%%')}"`;

/** Runs rpmbuild on files that lie in `root`; returns the name of the package made in `out`. */
export async function buildFrom(root: string, header: RpmHeader, fileLines: string[], out: string): Promise<string> {
  const [, epoch, version = '', release = ''] = /^(?:(\d+):)?([^-]+)-([^-]+)$/.exec(header.version) ?? [];
  if (version === '') throw new Error(`${header.name}: version '${header.version}' is not VERSION-RELEASE`);
  const arch = header.arch ?? 'noarch';
  const tags = (tag: string, values: readonly string[] | undefined): string[] =>
    (values ?? []).map((value) => `${tag}: ${value}`);
  const scripts = Object.entries(header.scripts ?? {}).map(([name, text]) => `%${name}\n${text}`);
  const spec = [
    `Name: ${header.name}`,
    ...(epoch === undefined ? [] : [`Epoch: ${epoch}`]),
    `Version: ${version}`,
    `Release: ${release}`,
    `Summary: ${header.summary ?? header.name}`,
    'License: see-copyright',
    `BuildArch: ${arch}`,
    'AutoReqProv: no',
    ...tags('Requires', header.requires),
    ...tags('Requires(pre)', header.requiresPre),
    ...tags('Provides', header.provides),
    ...tags('Recommends', header.recommends),
    ...tags('Conflicts', header.conflicts),
    ...tags('Obsoletes', header.obsoletes),
    '%description',
    header.summary ?? header.name,
    ...scripts,
    ...(header.triggers === undefined ? [] : [header.triggers]),
    '%files',
    ...fileLines,
    ...(header.changelog === undefined ? [] : ['%changelog', header.changelog]),
  ];
  const work = await mkdtemp(join(tmpdir(), 'atomic-rpmbuild-'));
  const define = {
    _topdir: work,
    _dbpath: join(work, 'db'),
    _rpmdir: out,
    _build_name_fmt: '%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm',
    _binary_payload: 'w1.zstdio',
    _buildhost: 'test',
    use_source_date_epoch_as_buildtime: '1',
    __os_install_post: '%{nil}',
    debug_package: '%{nil}',
    _build_id_links: 'none',
    // The files lie where they are, among others: nothing is built, checked or cleaned.
    __spec_install_pre: 'true',
    __check_files: '%{nil}',
    _unpackaged_files_terminate_build: '0',
    clean_buildroot: '0',
  };
  try {
    await writeFile(join(work, 'x.spec'), `${spec.join('\n')}\n`);
    await mkdir(out, { recursive: true });
    const defines = Object.entries(define).flatMap(([key, value]) => ['--define', `${key} ${value}`]);
    await run(
      'rpmbuild',
      [
        '-bb',
        '--quiet',
        '--noclean',
        '--target',
        `${arch}-linux`,
        ...defines,
        '--buildroot',
        root,
        join(work, 'x.spec'),
      ],
      {
        env: { PATH: '/usr/bin:/bin', LC_ALL: 'C.UTF-8', HOME: work, SOURCE_DATE_EPOCH: '1767225600' },
        maxBuffer: 2 ** 26,
      },
    );
    return `${header.name}-${version}-${release}.${arch}.rpm`;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Makes a package of the files given; returns its path. */
export async function buildRpm(
  header: RpmHeader & { files?: Readonly<Record<string, RpmFile>>; directories?: readonly string[] },
  out: string,
): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'atomic-rpmroot-'));
  try {
    const lines: string[] = [];
    for (const path of header.directories ?? []) {
      await mkdir(join(root, path), { recursive: true });
      lines.push(fileLine(path, '%attr(0755,root,root) %dir '));
    }
    for (const [path, file] of Object.entries(header.files ?? {})) {
      const {
        content,
        link,
        mode,
        spec = '',
      } = typeof file === 'string' || Buffer.isBuffer(file) ? { content: file } : file;
      await mkdir(dirname(join(root, path)), { recursive: true });
      if (link !== undefined) {
        await symlink(link, join(root, path));
        lines.push(fileLine(path, `%attr(-,root,root) ${spec} `));
        continue;
      }
      await writeFile(join(root, path), content ?? '');
      const bits = mode ?? (/\/s?bin\/[^/]+$/.test(path) ? '0755' : '0644');
      lines.push(fileLine(path, `%attr(${bits},root,root) ${spec} `));
    }
    return join(out, await buildFrom(root, header, lines, out));
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** An advisory of updateinfo.xml. */
export interface Advisory {
  id: string;
  type: 'security' | 'bugfix' | 'enhancement';
  severity?: 'Low' | 'Moderate' | 'Important' | 'Critical';
  title: string;
  cves?: readonly string[];
  /** name, version-release and architecture of the packages that mend it */
  packages: readonly { name: string; version: string; arch: string }[];
}

/** A group of comps.xml. */
export interface Group {
  id: string;
  name: string;
  mandatory: readonly string[];
  default?: readonly string[];
  optional?: readonly string[];
}

const xml = (text: string): string =>
  text.replace(/[&<>"]/g, (c) => `&${c === '&' ? 'amp' : c === '<' ? 'lt' : c === '>' ? 'gt' : 'quot'};`);

/** comps.xml, as dnf reads it: the groups, and an environment of all of them. */
export function compsXml(groups: readonly Group[], environment?: { id: string; name: string }): string {
  const packages = (type: string, names: readonly string[] = []): string =>
    names.map((name) => `      <packagereq type="${type}">${xml(name)}</packagereq>\n`).join('');
  const body = groups.map(
    (group) => `  <group>
    <id>${xml(group.id)}</id>
    <name>${xml(group.name)}</name>
    <description>${xml(group.name)}</description>
    <default>true</default>
    <uservisible>true</uservisible>
    <packagelist>
${packages('mandatory', group.mandatory)}${packages('default', group.default)}${packages('optional', group.optional)}    </packagelist>
  </group>
`,
  );
  if (environment !== undefined) {
    const ids = groups.map((group) => `      <groupid>${xml(group.id)}</groupid>\n`).join('');
    body.push(`  <environment>
    <id>${xml(environment.id)}</id>
    <name>${xml(environment.name)}</name>
    <description>${xml(environment.name)}</description>
    <display_order>1</display_order>
    <grouplist>
${ids}    </grouplist>
    <optionlist/>
  </environment>
`);
  }
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE comps PUBLIC "-//Red Hat, Inc.//DTD Comps info//EN" "comps.dtd">
<comps>
${body.join('')}</comps>
`;
}

/** updateinfo.xml, as Fedora's. */
export function updateinfoXml(advisories: readonly Advisory[]): string {
  const body = advisories.map((a) => {
    const references = (a.cves ?? []).map(
      (cve) =>
        `      <reference href="https://cve.example/${xml(cve)}" id="${xml(cve)}" type="cve" title="${xml(cve)}"/>\n`,
    );
    const packages = a.packages.map((p) => {
      const [, epoch = '0', version = '', release = ''] = /^(?:(\d+):)?([^-]+)-([^-]+)$/.exec(p.version) ?? [];
      const file = `${p.name}-${version}-${release}.${p.arch}.rpm`;
      return `        <package name="${xml(p.name)}" version="${version}" release="${release}" epoch="${epoch}" arch="${p.arch}" src="${xml(file)}"><filename>${xml(file)}</filename></package>\n`;
    });
    return `  <update from="test@example" status="final" type="${a.type}" version="1">
    <id>${xml(a.id)}</id>
    <title>${xml(a.title)}</title>
    <issued date="2026-11-01 00:00:00"/>
    <severity>${a.severity ?? 'None'}</severity>
    <description>${xml(a.title)}</description>
    <references>
${references.join('')}    </references>
    <pkglist>
      <collection short="T"><name>test</name>
${packages.join('')}      </collection>
    </pkglist>
  </update>
`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<updates>\n${body.join('')}</updates>\n`;
}

/** Writes the metadata of a folder of packages, so that dnf takes it for a repository. */
export async function createRepository(
  folder: string,
  options: { comps?: string; updateinfo?: string } = {},
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const aside = await mkdtemp(join(tmpdir(), 'atomic-createrepo-'));
  try {
    const args = ['--quiet', '--update', '--no-database', '--simple-md-filenames'];
    if (options.comps !== undefined) {
      await writeFile(join(aside, 'comps.xml'), options.comps);
      args.push('--groupfile', join(aside, 'comps.xml'));
    }
    await run('createrepo_c', [...args, folder]);
    if (options.updateinfo !== undefined) {
      await writeFile(join(aside, 'updateinfo.xml'), options.updateinfo);
      await run('modifyrepo_c', ['--mdtype=updateinfo', join(aside, 'updateinfo.xml'), join(folder, 'repodata')]);
    }
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}
