import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { run } from './measure.ts';
import type { Trees } from './trees.ts';

export type Who = 'stock' | 'ours';

/** One operation that is measured with both tools. */
export interface Row {
  name: string;
  /** Times stock's seconds should be ours, at least. */
  aim?: number;
  /** Its peak memory is listed, as that of a tree of so many files. */
  memory?: { operation: string; files: 'ten' | 'hundred' };
  /** No further pair is begun after so many seconds. */
  budget: number;
  /** Before each pair. */
  pair?: (serial: number) => void;
  /** Before each run. */
  before?: (run: Run) => void;
  args: (run: Run) => string[];
  /** After each run: bytes to list, of what is for stock's clients and for our own. */
  bytes?: (run: Run) => { stock: number; own: number };
  /** Needs the slow link, and runs behind it. */
  slow?: boolean;
  /** Another program than `ostree`. */
  tools?: Partial<Record<Who, string>>;
  /** How to run the program, when not plainly. */
  prefix?: string[];
}

/** One run: each has names of its own, since files made where others were just deleted cost ext4 more. */
export interface Run {
  who: Who;
  serial: number;
  /** A name no other run has. */
  fresh: string;
}

export interface Setting {
  /** The checkout. */
  root: string;
  work: string;
  trees: Trees;
  /** Port of the server for build/cache/bench. */
  port: string;
  /** The namespace behind the slow link, and the server's address as it sees it. */
  slow: { namespace: string; address: string } | undefined;
}

const STOCK = '/usr/bin/ostree';

/** All rows, in the order of the report. */
export function makeRows({ work, trees, port, slow }: Setting): Row[] {
  const stock = (...args: string[]): string => run(work, STOCK, ...args);
  const init = (mode: string) => (one: Run) => {
    stock('init', `--repo=${one.fresh}`, `--mode=${mode}`);
  };
  const repoOf = (what: string, who: Who): string => join(work, `${what}-${who}`);

  /** Commit, commit again, one per cent changed, check-out, fsck, pull-local: of a tree of so many files. */
  const basics = (files: 'ten' | 'hundred', tree: string, budget: number): Row[] => {
    const label = files === 'ten' ? '' : ', 100,000 files';
    const changing = join(work, `changing-${files}`);
    const bare = join(work, `bare-${files}`);
    const archive = files === 'ten' ? trees.archive : join(work, 'archive-hundred');
    const ref = files === 'ten' ? 'v1' : 'main';
    const memory = (operation: string) => ({ memory: { operation, files } });
    let names: string[] = [];
    return [
      {
        name: `commit, fresh, bare${label}`,
        aim: 1.3,
        ...memory('commit'),
        budget,
        before: (one) => {
          init('bare')(one);
          // The next rows commit again to the first of these.
          const kept = repoOf(`again-${files}`, one.who);
          rmSync(kept, { force: true });
          symlinkSync(join(work, one.fresh), kept);
        },
        args: ({ fresh }) => ['commit', `--repo=${fresh}`, '-b', 'main', '-s', 'one', tree],
      },
      {
        name: `commit again, unchanged${label}`,
        aim: 5,
        ...memory('commit again'),
        budget,
        args: ({ who }) => ['commit', `--repo=${repoOf(`again-${files}`, who)}`, '-b', 'main', '-s', 'two', tree],
      },
      ...(files === 'ten'
        ? [
            {
              name: 'commit again, 1 % changed',
              aim: 5,
              budget,
              pair: (serial: number) => {
                if (serial === 0) {
                  run(work, 'cp', '-a', tree, changing);
                  for (const who of ['ours', 'stock'] as const) {
                    stock('init', `--repo=${repoOf('changing', who)}`, '--mode=bare');
                  }
                  const all = run(work, 'find', changing, '-type', 'f').split('\n').sort();
                  names = all.filter((_, index) => index % 100 === 0);
                }
                for (const name of names) appendFileSync(name, `${serial}\n`);
              },
              // Each tool first learns the tree as it was.
              before: ({ who, serial }: Run) => {
                if (serial === 0) {
                  const program = who === 'ours' ? join(import.meta.dirname, '../bin/ostree') : STOCK;
                  run(work, program, 'commit', `--repo=${repoOf('changing', who)}`, '-b', 'main', changing);
                  for (const name of names) appendFileSync(name, `${who}\n`);
                }
              },
              args: ({ who }: Run) => ['commit', `--repo=${repoOf('changing', who)}`, '-b', 'main', changing],
            },
            {
              name: 'commit, fresh, archive',
              aim: 1.3,
              budget,
              before: init('archive'),
              args: ({ fresh }: Run) => ['commit', `--repo=${fresh}`, '-b', 'main', '-s', 'one', tree],
            },
          ]
        : []),
      {
        name: `checkout, hard links${label}`,
        aim: 1.5,
        ...memory('checkout'),
        budget,
        pair: (serial) => {
          if (serial > 0) return;
          stock('init', `--repo=${bare}`, '--mode=bare');
          if (files === 'ten') stock('pull-local', `--repo=${bare}`, archive, ref);
          else stock('commit', `--repo=${bare}`, '-b', ref, tree);
        },
        args: ({ fresh }) => ['checkout', '-H', `--repo=${bare}`, ref, fresh],
      },
      {
        name: `fsck, bare${label}`,
        aim: 1.8,
        ...memory('fsck'),
        budget,
        args: () => ['fsck', `--repo=${bare}`, '-q'],
      },
      ...(files === 'ten'
        ? [{ name: 'fsck, archive', aim: 1.8, budget, args: () => ['fsck', `--repo=${archive}`, '-q'] }]
        : []),
      {
        name: `pull-local, archive to bare${label}`,
        aim: 1.8,
        ...memory('pull-local'),
        budget,
        pair: (serial) => {
          if (serial > 0 || files === 'ten') return;
          stock('init', `--repo=${archive}`, '--mode=archive');
          stock('pull-local', `--repo=${archive}`, bare, ref);
        },
        before: init('bare'),
        args: ({ fresh }) => ['pull-local', `--repo=${fresh}`, archive, ref],
      },
    ];
  };

  const remote = (address: string) => (one: Run) => {
    init('bare')(one);
    const url = `http://${address}:${port}/archive`;
    stock('remote', 'add', `--repo=${one.fresh}`, '--no-gpg-verify', 'origin', url);
  };
  const slowly = {
    slow: true,
    budget: 60,
    prefix: slow === undefined ? [] : ['ip', 'netns', 'exec', slow.namespace],
  };
  const pull = (ref: string) => ({
    args: ({ fresh }: Run) => ['pull', '--disable-static-deltas', `--repo=${fresh}`, 'origin', ref],
  });
  const address = slow?.address ?? '';
  /** Begins with version 1 in the repository. */
  const having = (one: Run): void => {
    stock('pull-local', `--repo=${one.fresh}`, join(work, 'bare-ten'), 'v1');
  };
  const needsBare = (): void => {
    const bare = join(work, 'bare-ten');
    if (statSync(bare, { throwIfNoEntry: false }) !== undefined) return;
    stock('init', `--repo=${bare}`, '--mode=bare');
    stock('pull-local', `--repo=${bare}`, trees.archive, 'v1');
  };
  /** The folder of the only delta in a repository. */
  const deltaFolder = (repo: string): string => {
    const deltas = join(work, repo, 'deltas');
    const [first = ''] = readdirSync(deltas);
    const [rest = ''] = readdirSync(join(deltas, first));
    return join(deltas, first, rest);
  };
  const delta = (name: string, to: string, aim: Partial<Row>): Row[] => [
    {
      name: `static delta generate, ${name}`,
      ...aim,
      before: ({ fresh }) => {
        run(work, 'cp', '-al', trees.archive, fresh);
      },
      args: ({ fresh }) => ['static-delta', 'generate', `--repo=${fresh}`, '--from=v1', `--to=${to}`],
      bytes: ({ fresh, who }) => {
        const folder = deltaFolder(fresh);
        if (who === 'stock') {
          rmSync(join(work, `delta-${to}`), { force: true });
          symlinkSync(folder, join(work, `delta-${to}`));
        }
        const sum = (names: RegExp): number =>
          readdirSync(folder)
            .filter((file) => names.test(file))
            .reduce((total, file) => total + statSync(join(folder, file)).size, 0);
        // Our own clients fetch other parts than stock's.
        return { stock: sum(/^(superblock|\d+)$/), own: sum(/^(superblock|a\d+)$/) };
      },
      budget: 60,
    },
    {
      name: `static delta apply, ${name}`,
      aim: 1.3,
      budget: 20,
      pair: needsBare,
      before: (one) => {
        init('bare')(one);
        having(one);
      },
      // Both apply the same one: stock's.
      args: ({ fresh }) => ['static-delta', 'apply-offline', `--repo=${fresh}`, join(work, `delta-${to}`)],
    },
  ];

  return [
    { name: 'start, `rev-parse`', budget: 5, args: () => ['rev-parse', `--repo=${trees.archive}`, 'v1'] },
    { name: 'start, `--version`', budget: 5, args: () => ['--version'] },
    ...basics('ten', trees.tree, 20),
    {
      name: 'pull over HTTP, fresh, loopback',
      aim: 2,
      memory: { operation: 'pull over HTTP', files: 'ten' },
      budget: 25,
      before: remote('127.0.0.1'),
      ...pull('v1'),
    },
    {
      name: 'pull over HTTP, fresh, 50 ms and 20 Mbit/s (every fifth file)',
      aim: 1.5,
      ...slowly,
      before: remote(address),
      ...pull('sample'),
    },
    {
      name: 'pull of an update, no delta, 50 ms and 20 Mbit/s',
      aim: 1.5,
      ...slowly,
      pair: needsBare,
      before: (one) => {
        remote(address)(one);
        having(one);
      },
      ...pull('v2'),
    },
    ...delta('many packages and the kernel', 'v2', { aim: 3, memory: { operation: 'static delta', files: 'ten' } }),
    ...delta('one library', 'library', { aim: 3 }),
    {
      name: 'prune, 200 commits, 100 kept',
      aim: 2,
      budget: 10,
      memory: { operation: 'prune', files: 'ten' },
      before: ({ fresh }) => {
        run(work, 'cp', '-al', trees.history, fresh);
      },
      args: ({ fresh }) => ['prune', `--repo=${fresh}`, '--refs-only', '--depth=99'],
    },
    {
      name: 'summary -u, 2,000 refs',
      aim: 2,
      budget: 10,
      before: ({ fresh }) => {
        run(work, 'cp', '-al', trees.history, fresh);
        const heads = join(work, fresh, 'refs/heads');
        const commit = readFileSync(join(heads, 'main'), 'utf8');
        mkdirSync(join(heads, 'app'), { recursive: true });
        for (let i = 0; i < 2000; i++) writeFileSync(join(heads, 'app', `name-${i}`), commit);
      },
      args: ({ fresh }) => ['summary', `--repo=${fresh}`, '-u'],
    },
    ...basics('hundred', trees.many, 1),
  ];
}
