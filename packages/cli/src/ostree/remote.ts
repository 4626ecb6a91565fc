import path from 'node:path';
import { AtomicError, type Repo, remoteAdd, remoteDelete, remoteRefs } from '@atomic/ostree';
import { UsageError } from './options.ts';
import { type Call, COMMON, JSON_OPTION, openAt, openRepo, REPO, type Verb } from './verb.ts';

const WHERE = [
  { ...REPO, text: 'Path to OSTree repository (defaults to /sysroot/ostree/repo)' },
  { long: 'sysroot', arg: 'PATH', text: 'Use sysroot at PATH (overrides --repo)' },
];

function repoOrSysroot(call: Call): Repo {
  const sysroot = call.options.value('sysroot');
  return sysroot === undefined ? openRepo(call) : openAt(path.join(sysroot, 'ostree/repo'));
}

function urlOf(repo: Repo, name: string): string {
  if (!repo.remotes().includes(name)) throw new AtomicError('not-found', `Remote "${name}" not found`);
  const url = repo.remoteOption(name, 'url') ?? repo.remoteOption(name, 'metalink');
  if (url === undefined) throw new AtomicError('not-found', `No "url" in remote "${name}"`);
  return url;
}

export const add: Verb = {
  args: 'NAME [metalink=|mirrorlist=]URL [BRANCH...]',
  summary: 'Add a remote repository',
  options: [
    { long: 'set', arg: 'KEY=VALUE', text: 'Set config option KEY=VALUE for remote' },
    { long: 'no-gpg-verify', text: 'Disable GPG verification' },
    { long: 'no-sign-verify', text: 'Disable signature verification' },
    { long: 'if-not-exists', text: 'Do nothing if the provided remote exists' },
    { long: 'force', text: 'Replace the provided remote if it exists' },
    { long: 'contenturl', arg: 'URL', text: 'Use URL when fetching content' },
    ...WHERE,
    ...COMMON,
  ],
  examples: ['ostree remote add --repo=repo --no-gpg-verify origin http://10.0.2.2:8000 debian/12/x86_64/minimal'],
  async run(call) {
    const { options, args } = call;
    const [name, url, ...branches] = args;
    if (name === undefined || url === undefined) throw new UsageError('NAME and URL must be specified', true);
    const repo = repoOrSysroot(call);
    const settings: Record<string, string> = {};
    for (const pair of options.list('set')) {
      const equals = pair.indexOf('=');
      if (equals < 0) throw new UsageError(`Missing '=' in KEY=VALUE for --set '${pair}'`);
      settings[pair.slice(0, equals)] = pair.slice(equals + 1);
    }
    const contentUrl = options.value('contenturl');
    if (contentUrl !== undefined) settings['contenturl'] = contentUrl;
    if (options.flag('no-gpg-verify')) settings['gpg-verify'] = 'false';
    if (options.flag('no-sign-verify')) settings['sign-verify'] = 'false';
    if (repo.remotes().includes(name)) {
      if (options.flag('if-not-exists')) return;
      if (!options.flag('force')) {
        throw new AtomicError('exists', `Remote configuration for "${name}" already exists: (in config)`);
      }
      remoteDelete(repo, name);
    }
    remoteAdd(repo, name, url, { options: settings, branches });
  },
};

export const remove: Verb = {
  args: 'NAME',
  summary: 'Delete a remote repository',
  options: [{ long: 'if-exists', text: 'Do nothing if the provided remote does not exist' }, ...WHERE, ...COMMON],
  async run(call) {
    const [name] = call.args;
    if (name === undefined) throw new UsageError('NAME must be specified', true);
    const repo = repoOrSysroot(call);
    if (!repo.remotes().includes(name)) {
      if (call.options.flag('if-exists')) return;
      throw new AtomicError('not-found', `Remote "${name}" not found`);
    }
    remoteDelete(repo, name);
  },
};

export const list: Verb = {
  args: '',
  summary: 'List remote repository names',
  options: [REPO, { long: 'show-urls', short: 'u', text: 'Show remote URLs in list' }, ...COMMON, JSON_OPTION],
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
      ctx.print(call.options.flag('show-urls') ? `${name.padEnd(width)}  ${urlOf(repo, name)}` : name);
    }
  },
};

export const showUrl: Verb = {
  args: 'NAME',
  summary: 'Show remote repository URL',
  options: [REPO, ...COMMON],
  async run(call) {
    const repo = openRepo(call);
    const [name] = call.args;
    if (name === undefined) throw new UsageError('NAME must be specified', true);
    call.ctx.print(urlOf(repo, name));
  },
};

export const refs: Verb = {
  args: 'NAME',
  summary: 'List remote refs',
  options: [REPO, ...COMMON, JSON_OPTION],
  async run(call) {
    const { ctx } = call;
    const repo = openRepo(call);
    const [name] = call.args;
    if (name === undefined) throw new UsageError('NAME must be specified', true);
    urlOf(repo, name);
    const found = await remoteRefs(repo, name, { signal: ctx.signal });
    if (ctx.json) ctx.printJson([...found].map(([ref, checksum]) => ({ ref, checksum })));
    else for (const ref of [...found.keys()].sort()) ctx.print(`${name}:${ref}`);
  },
};
