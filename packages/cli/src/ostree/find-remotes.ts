import { type Finder, type FoundRemote, findRemotes, pullFromRemotes } from '@atomic/ostree';
import { collectionRefs } from './collection-args.ts';
import { type Options, UsageError } from './options.ts';
import { connectFromEnvironment } from './pull-result.ts';
import { trustFromEnvironment } from './trust.ts';
import { COMMON, JSON_OPTION, NO_WAIT, openRepo, REPO, type Verb } from './verb.ts';

/** Stock's names of the finders. */
const NAMES: Record<Finder, string> = { config: 'OstreeRepoFinderConfig', mount: 'OstreeRepoFinderMount' };

function parseFinders(options: Options): Finder[] | undefined {
  const text = options.value('finders');
  if (text === undefined) return undefined;
  if (text === '') throw new UsageError('List of finders in --finders option must not be empty', true);
  const finders: Finder[] = [];
  const names = text.split(',');
  names.forEach((name, i) => {
    const known = name === 'config' || name === 'mount' || name === 'lan';
    if (!known || names.indexOf(name) !== i) {
      throw new UsageError(`Unknown or duplicate finder type given in --finders option: ‘${name}’`, true);
    }
    if (name === 'lan') {
      throw new UsageError('LAN repo finder requested but ostree was compiled without Avahi support', true);
    }
    finders.push(name);
  });
  return finders;
}

function resultText(found: FoundRemote, index: number): string {
  const { summaryLastModified: time } = found;
  const modified = time === 0 ? 'unknown' : new Date(time * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
  const refs = found.refs.map(
    ({ collectionId, ref, checksum }) => `    - (${collectionId}, ${ref}) = ${checksum ?? '(not found)'}\n`,
  );
  return [
    `Result ${index}: ${found.url}`,
    ` - Finder: ${NAMES[found.finder]}`,
    ` - Keyring: ${found.remote}.trustedkeys.gpg`,
    ` - Priority: ${found.priority}`,
    ` - Summary last modified: ${modified}`,
    ' - Refs:',
    refs.join(''),
  ].join('\n');
}

export const verb: Verb = {
  args: 'COLLECTION-ID REF [COLLECTION-ID REF...]',
  summary: 'Find remotes to serve the given refs',
  options: [
    REPO,
    { long: 'cache-dir', arg: '', text: 'Use custom cache dir' },
    { long: 'disable-fsync', text: 'Do not invoke fsync()' },
    {
      long: 'finders',
      arg: 'FINDERS',
      text: 'Use the specified comma separated list of finders (e.g. config,lan,mount)',
    },
    { long: 'pull', text: 'Pull the updates after finding them' },
    { long: 'mirror', text: 'Do a mirror pull (see ostree pull --mirror)' },
    ...COMMON,
    JSON_OPTION,
    NO_WAIT,
  ],
  examples: ['ostree find-remotes --repo=repo --finders=mount --pull org.example.Os os/amd64/main'],
  async run(call) {
    const { ctx, options, args } = call;
    const repo = openRepo(call);
    const refs = collectionRefs(args);
    const mirror = options.flag('mirror');
    if (mirror && !options.flag('pull')) throw new UsageError('When --mirror is specified, --pull must also be', true);
    if (options.flag('disable-fsync')) repo.config.set('core', 'fsync', 'false');
    const cacheDir = options.value('cache-dir');
    const connection = {
      trust: trustFromEnvironment(),
      ...connectFromEnvironment(),
      ...(cacheDir === undefined ? {} : { cacheDir }),
      signal: ctx.signal,
    };
    const places = await findRemotes(repo, refs, { ...connection, finders: parseFinders(options) });
    if (ctx.json) ctx.printJson(places);
    else if (places.length === 0) ctx.print('No results.');
    else {
      for (const [i, found] of places.entries()) ctx.print(resultText(found, i));
      const missing = refs.filter(
        ({ collectionId, ref }) =>
          !places.some((found) =>
            found.refs.some((one) => one.collectionId === collectionId && one.ref === ref && one.checksum !== null),
          ),
      );
      ctx.print(`${refs.length - missing.length}/${refs.length} refs were found.`);
      if (missing.length > 0) ctx.print('Refs not found in any remote:');
      for (const { collectionId, ref } of missing) ctx.print(` - (${collectionId}, ${ref})`);
    }
    if (places.length === 0 || !options.flag('pull')) return;
    await pullFromRemotes(repo, places, {
      ...connection,
      mirror,
      wait: ctx.wait,
      onWait: ctx.onWait,
      progress: ctx.progress,
    });
    if (!ctx.json) ctx.print(`Pulled ${refs.length}/${refs.length} refs successfully.`);
  },
};
