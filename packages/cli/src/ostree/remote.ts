import { readFileSync } from 'node:fs';
import path from 'node:path';
import { importGpgKeys, type Repo, remoteAdd, remoteDelete, remoteUrl, SIGN_TYPES, signEngine } from '@atomic/ostree';
import { UsageError } from './options.ts';
import { type Call, COMMON, JSON_OPTION, openAt, openRepo, REPO, required, type Verb } from './verb.ts';

const WHERE = [
  { ...REPO, text: 'Path to OSTree repository (defaults to /sysroot/ostree/repo)' },
  { long: 'sysroot', arg: 'PATH', text: 'Use sysroot at PATH (overrides --repo)' },
];

function repoOrSysroot(call: Call): Repo {
  const sysroot = call.options.value('sysroot');
  return sysroot === undefined ? openRepo(call) : openAt(path.join(sysroot, 'ostree/repo'), { sysroot });
}

/** `KEYTYPE=inline:KEY` or `KEYTYPE=file:PATH` as configuration. */
function verificationKey(spec: string): { type: string; key: string; value: string } {
  const match = /^([^=]*)=(.*)$/s.exec(spec);
  if (match === null) throw new UsageError(`Failed to parse KEYTYPE=[inline|file]:DATA in ${spec}`);
  const [, type = '', reference = ''] = match;
  signEngine(type);
  const colon = reference.indexOf(':');
  const kind = colon < 0 ? reference : reference.slice(0, colon);
  if (kind !== 'inline' && kind !== 'file') {
    throw new UsageError(`Invalid key reference ${kind}, expected inline|file`);
  }
  if (colon < 0) throw new UsageError(`Failed to parse KEYTYPE=[inline|file]:DATA in ${spec}`);
  const key = `verification-${type}-${kind === 'inline' ? 'key' : 'file'}`;
  return { type, key, value: reference.slice(colon + 1) };
}

/** The settings of a new remote, in the order stock writes them. */
function remoteSettings({ options }: Call): Map<string, string> {
  const settings = new Map<string, string>();
  for (const key of ['contenturl', 'custom-backend']) {
    const value = options.value(key);
    if (value !== undefined) settings.set(key, value);
  }
  for (const pair of options.list('set')) {
    const equals = pair.indexOf('=');
    if (equals < 0) throw new UsageError("Missing '=' in KEY=VALUE for --set");
    settings.set(pair.slice(0, equals), pair.slice(equals + 1));
  }
  const unsigned = options.flag('no-sign-verify');
  if (options.flag('no-gpg-verify') || unsigned) settings.set('gpg-verify', 'false');
  const keys = options.list('sign-verify').map(verificationKey);
  if (unsigned) {
    if (keys.length > 0) throw new UsageError('Cannot specify both --sign-verify and --no-sign-verify');
    settings.set('sign-verify', 'false');
  }
  for (const { key, value } of keys) settings.set(key, value);
  if (keys.length > 0) settings.set('sign-verify', keys.map(({ type }) => type).join(','));
  const collection = options.value('collection-id');
  if (collection !== undefined) settings.set('collection-id', collection);
  return settings;
}

/** What `gpg-import` and `add --gpg-import` say. */
export const importedText = (count: number, name: string): string =>
  `Imported ${count} GPG key${count === 1 ? '' : 's'} to remote "${name}"`;

export const add: Verb = {
  args: 'NAME [metalink=|mirrorlist=]URL [BRANCH...]',
  summary: 'Add a remote repository',
  options: [
    { long: 'set', arg: 'KEY=VALUE', text: 'Set config option KEY=VALUE for remote' },
    { long: 'no-gpg-verify', text: 'Disable GPG verification' },
    { long: 'no-sign-verify', text: 'Disable signature verification' },
    {
      long: 'sign-verify',
      arg: 'KEYTYPE=[inline|file]:PUBKEY',
      text: `Verify signatures using KEYTYPE=inline:PUBKEY or KEYTYPE=file:/path/to/key (${SIGN_TYPES.slice(0, 2).join(', ')})`,
    },
    { long: 'if-not-exists', text: 'Do nothing if the provided remote exists' },
    { long: 'force', text: 'Replace the provided remote if it exists' },
    { long: 'gpg-import', arg: 'FILE', text: 'Import GPG key from FILE' },
    { long: 'custom-backend', arg: 'NAME', text: 'This remote has content not fetched via libostree' },
    { long: 'contenturl', arg: 'URL', text: 'Use URL when fetching content' },
    {
      long: 'collection-id',
      arg: 'COLLECTION-ID',
      text: 'Globally unique ID for this repository as an collection of refs for redistribution to other repositories',
    },
    ...WHERE,
    ...COMMON,
  ],
  examples: [
    'ostree remote add --repo=repo --gpg-import=key.asc origin https://example.org/repo debian/12/x86_64/minimal',
    'ostree remote add --repo=repo --no-gpg-verify origin http://10.0.2.2:8000 debian/12/x86_64/minimal',
  ],
  async run(call) {
    const { ctx, options, args } = call;
    const [name, url, ...branches] = args;
    const repo = repoOrSysroot(call);
    if (options.value('custom-backend') === undefined) required(url, 'NAME and URL must be specified');
    const remote = required(name, 'NAME must be specified');
    const [ifNotExists, force] = [options.flag('if-not-exists'), options.flag('force')];
    if (ifNotExists && force) throw new UsageError('Can only specify one of --if-not-exists and --force', true);
    remoteAdd(repo, remote, url ?? null, { options: remoteSettings(call), branches, ifNotExists, force });
    const keyFile = options.value('gpg-import');
    if (keyFile === undefined) return;
    const imported = await importGpgKeys(repo, remote, [readFileSync(keyFile)], { signal: ctx.signal });
    ctx.print(importedText(imported, remote));
  },
};

export const remove: Verb = {
  args: 'NAME',
  summary: 'Delete a remote repository',
  options: [{ long: 'if-exists', text: 'Do nothing if the provided remote does not exist' }, ...WHERE, ...COMMON],
  examples: ['ostree remote delete --repo=repo origin'],
  async run(call) {
    const repo = repoOrSysroot(call);
    const name = required(call.args[0], 'NAME must be specified');
    if (call.options.flag('if-exists') && repo.remoteTable.find(name) === null) return;
    remoteDelete(repo, name);
  },
};

export const list: Verb = {
  args: '',
  summary: 'List remote repository names',
  options: [REPO, { long: 'show-urls', short: 'u', text: 'Show remote URLs in list' }, ...COMMON, JSON_OPTION],
  examples: ['ostree remote list --repo=repo --show-urls'],
  async run(call) {
    const { ctx } = call;
    const repo = openRepo(call);
    const names = repo.remotes();
    if (ctx.json) {
      ctx.printJson(names.map((name) => ({ name, url: repo.remoteOption(name, 'url') ?? null })));
      return;
    }
    const width = Math.max(0, ...names.map((name) => name.length));
    for (const name of names) {
      ctx.print(call.options.flag('show-urls') ? `${name.padEnd(width)}  ${remoteUrl(repo, name)}` : name);
    }
  },
};

export const showUrl: Verb = {
  args: 'NAME',
  summary: 'Show remote repository URL',
  options: [REPO, ...COMMON],
  examples: ['ostree remote show-url --repo=repo origin'],
  async run(call) {
    const repo = openRepo(call);
    call.ctx.print(remoteUrl(repo, required(call.args[0], 'NAME must be specified')));
  },
};
