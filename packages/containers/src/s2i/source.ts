import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize, resolve } from 'node:path';
import { AtomicError, runProgram } from '@atomic/ostree';
import { runBounded } from '@atomic/sysroot';
import { readIgnore } from './ignore.ts';

/** Sources to build, until disposed of. */
export interface BuildSource extends Disposable {
  /** Folder of what is built. */
  folder: string;
  /** As it was given, without passwords. */
  location: string;
  contextDir: string;
  commit?: { id: string; author: string; date: string; message: string; ref: string } | undefined;
}

export interface SourceOptions {
  ref?: string | undefined;
  contextDir?: string | undefined;
  signal?: AbortSignal | undefined;
}

const isUrl = (source: string): boolean => /^(https?|git|ssh|file):\/\/|^[\w.-]+@[\w.-]+:/.test(source);

/** Opens sources: a folder, or a git repository (`URL[#REF]`), which is cloned. Throws `not-found`, `failed`. */
export async function openSources(source: string, options: SourceOptions = {}): Promise<BuildSource> {
  const contextDir = normalize(options.contextDir ?? '.');
  if (contextDir.startsWith('..') || contextDir.startsWith('/')) {
    throw new AtomicError('usage', `--context-dir ${contextDir} leads out of the sources`);
  }
  if (!isUrl(source)) {
    const folder = contextFolder(resolve(source), contextDir);
    const commit = existsSync(join(resolve(source), '.git')) ? await readCommit(resolve(source)) : undefined;
    return { folder, location: resolve(source), contextDir, commit, [Symbol.dispose]: () => {} };
  }
  const [url = source, fragment] = source.split('#');
  const ref = options.ref ?? fragment;
  if (ref?.startsWith('-') === true) throw new AtomicError('usage', `${ref} is no branch or tag`);
  const scratch = mkdtempSync(join(tmpdir(), 'atomic-s2i-'));
  const dispose = (): void => rmSync(scratch, { recursive: true, force: true });
  try {
    const folder = join(scratch, 'src');
    const branch = ref === undefined ? [] : ['--branch', ref];
    const words = ['-c', 'core.hooksPath=/dev/null', 'clone', '--quiet', '--depth=1', ...branch, '--', url, folder];
    await runProgram('git', words, {
      signal: options.signal,
      // Nobody is there to be asked, and `ext::` runs commands.
      env: { GIT_TERMINAL_PROMPT: '0', GIT_ALLOW_PROTOCOL: 'https:http:git:ssh:file' },
    });
    const commit = await readCommit(folder);
    const location = url.replace(/\/\/[^/@]*@/, '//');
    return { folder: contextFolder(folder, contextDir), location, contextDir, commit, [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** What is built of the sources. Throws `invalid` when links lead there: they may lead anywhere on this machine. */
function contextFolder(sources: string, contextDir: string): string {
  const given = resolve(sources, contextDir);
  if (!existsSync(given)) throw new AtomicError('not-found', `${given} is not there`);
  const folder = resolve(realpathSync(sources), contextDir);
  if (realpathSync(folder) === folder) return folder;
  throw new AtomicError('invalid', `--context-dir ${contextDir} is, or is behind, a link`, {
    hint: 'links in sources could lead to files of this machine: name the folder it leads to',
  });
}

/**
 * A file or folder of the sources' own; undefined when it is not there. Throws `invalid` for anything else: a link could
 * lead to files of this machine.
 */
export function ownPath(sources: string, path: string, kind: 'file' | 'folder'): string | undefined {
  const parts = path.split('/');
  for (const count of parts.map((_, index) => index + 1)) {
    const stat = lstatSync(join(sources, ...parts.slice(0, count)), { throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    const wanted = count === parts.length ? kind : 'folder';
    if (wanted === 'folder' ? stat.isDirectory() : stat.isFile()) continue;
    throw new AtomicError('invalid', `${parts.slice(0, count).join('/')} of the sources is no ${wanted}`, {
      hint: 'links are not followed, as they could lead to files of this machine: put what it is itself there',
    });
  }
  return join(sources, path);
}

async function readCommit(folder: string): Promise<BuildSource['commit']> {
  const git = ['-c', `safe.directory=${folder}`, '-C', folder];
  const limits = { seconds: 20, characters: 4000 };
  const shown = await runBounded('git', [...git, 'log', '-1', '--format=%H%n%an <%ae>%n%aI%n%s'], limits);
  const named = await runBounded('git', [...git, 'rev-parse', '--abbrev-ref', 'HEAD'], limits);
  if (shown.kind !== 'exited' || shown.code !== 0 || named.kind !== 'exited') return undefined;
  const [id = '', author = '', date = '', message = ''] = shown.output.split('\n');
  return { id, author, date, message, ref: named.output.trim() };
}

/** Copies sources into a folder, without `.git` and what `.s2iignore` leaves out; links stay links. */
export function copySources(from: string, to: string, exclude: RegExp | undefined): void {
  const path = ownPath(from, '.s2iignore', 'file');
  const ignored = readIgnore(path === undefined ? '' : readFileSync(path, 'utf8'));
  const walk = (at: string): void => {
    for (const name of readdirSync(join(from, at)).sort()) {
      const relative = at === '' ? name : `${at}/${name}`;
      if (relative === '.git') continue;
      const stat = lstatSync(join(from, relative));
      if (stat.isDirectory()) {
        walk(relative);
        continue;
      }
      if (ignored(relative) || exclude?.test(relative) === true) continue;
      const target = join(to, relative);
      mkdirSync(dirname(target), { recursive: true });
      if (stat.isSymbolicLink()) symlinkSync(readlinkSync(join(from, relative)), target);
      else if (stat.isFile()) cpSync(join(from, relative), target, { preserveTimestamps: true });
    }
  };
  mkdirSync(to, { recursive: true });
  walk('');
}

/** `NAME=value` lines: `.s2i/environment`, or a file given. Throws `invalid` with the line. */
export function readEnvironment(path: string): [string, string][] {
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .flatMap((raw, index): [string, string][] => {
      const line = raw.trim();
      if (line === '' || line.startsWith('#')) return [];
      const match = /^([A-Za-z_][A-Za-z0-9_.-]*)=(.*)$/.exec(line);
      if (match !== null) return [[match[1] ?? '', match[2] ?? '']];
      throw new AtomicError('invalid', `${path}:${index + 1}: it must be NAME=value`);
    });
}
