/**
 * Runs the most used commands of a bundle in this process and writes V8's compiled form of what they needed:
 * `warm.ts BUNDLE CACHE SCRATCH`. Functions that were never called stay out: reading them back costs time too.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { constants, Script } from 'node:vm';

const [bundle = '', cache = '', scratch = ''] = process.argv.slice(2);
const tree = join(scratch, 'tree');
const repo = join(scratch, 'repo');
mkdirSync(join(tree, 'folder'), { recursive: true });
writeFileSync(join(tree, 'folder/file'), 'content');

const COMMANDS = [
  ['init', `--repo=${repo}`, '--mode=archive'],
  ['init', `--repo=${repo}-2`, '--mode=bare-user'],
  ['commit', `--repo=${repo}`, '-b', 'main', '-s', 'subject', tree],
  ['refs', `--repo=${repo}`],
  ['rev-parse', `--repo=${repo}`, 'main'],
  ['show', `--repo=${repo}`, 'main'],
  ['ls', `--repo=${repo}`, '-R', 'main'],
  ['cat', `--repo=${repo}`, 'main', '/folder/file'],
  ['log', `--repo=${repo}`, 'main'],
  ['remote', 'add', `--repo=${repo}-2`, '--no-gpg-verify', 'origin', `file://${repo}`],
  ['remote', 'list', `--repo=${repo}-2`],
  ['config', `--repo=${repo}`, 'get', 'core.mode'],
  ['summary', `--repo=${repo}`, '-u'],
  ['pull', `--repo=${repo}-2`, 'origin', 'main'],
  ['pull-local', `--repo=${repo}-2`, repo, 'main'],
  ['checkout', `--repo=${repo}-2`, '-U', 'origin:main', join(scratch, 'out')],
  ['fsck', `--repo=${repo}-2`],
  ['prune', `--repo=${repo}-2`, '--refs-only'],
];

const script = new Script(readFileSync(bundle, 'latin1'), {
  filename: bundle,
  importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
});
const { exit } = process;
for (const words of COMMANDS) {
  // Each run has modules of its own; the functions V8 compiled are the script's.
  const status = await new Promise<unknown>((resolve) => {
    process.argv = [process.execPath, bundle, ...(basename(bundle).startsWith('ostree') ? [] : ['ostree']), ...words];
    Object.assign(process, { exit: resolve });
    script.runInThisContext()({}, createRequire(bundle), {}, bundle, dirname(bundle));
  });
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeAllListeners(name);
  if (status !== 0) process.stderr.write(`note: compiling ahead: ostree ${words.join(' ')}: status ${status}\n`);
}
writeFileSync(cache, script.createCachedData());
exit(0);
