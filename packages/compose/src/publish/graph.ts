import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FileLock } from '@atomic/linux';
import { AtomicError, type Checksum, type Metadata, type Repo, replaceFile, stringVariant } from '@atomic/ostree';
import { BARRIER_KEY, parseRollout, ROLLOUT_KEY, STREAM_KEY } from '@atomic/sysroot';
import { z } from 'zod';

/** The update graph of a repository's streams, beside its summary, which tells clients the same. */
export const GRAPH_FILE = 'atomic-graph.json';

const release = z.object({
  commit: z.string().regex(/^[0-9a-f]{64}$/),
  version: z.string().optional(),
  /** when it came into the stream, Unix seconds */
  released: z.number(),
  /** it has to run before anything newer is taken */
  barrier: z.boolean().optional(),
  /** how it is rolled out, as the commit's `atomic.rollout` would say it */
  rollout: z.string().optional(),
});
const graphSchema = z.object({ streams: z.record(z.string(), z.array(release)) });

/** A commit in a stream. */
export type Release = z.output<typeof release>;
/** The releases of each stream, by its ref, oldest first: hosts go from one to any later one, up to the next barrier. */
export type Graph = z.output<typeof graphSchema>;

/** Reads the graph; one without streams where there is none. Throws AtomicError 'corrupt'. */
export function readGraph(repo: Repo): Graph {
  const path = join(repo.path, GRAPH_FILE);
  if (!existsSync(path)) return { streams: {} };
  let data: unknown;
  try {
    data = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    throw new AtomicError('corrupt', `${path} is no JSON`);
  }
  const parsed = graphSchema.safeParse(data);
  if (!parsed.success)
    throw new AtomicError('corrupt', `${path}: '${parsed.error.issues[0]?.path.join('.')}' is not what a graph has`);
  return parsed.data;
}

/** Writes the graph, whole or not at all. */
export function writeGraph(repo: Repo, graph: Graph): void {
  replaceFile(join(repo.path, GRAPH_FILE), `${JSON.stringify(graph, null, 2)}\n`);
}

/** Who changes the graph holds this. */
export const lockGraph = async (
  repo: Repo,
  options: {
    wait?: boolean | undefined;
    onWait?: ((message: string) => void) | undefined;
    signal?: AbortSignal | undefined;
  },
): Promise<FileLock> => await FileLock.acquire(join(repo.path, '.atomic-graph.lock'), 'exclusive', options);

/** What a summary says of streams, for clients of this project; others pass over it. */
export function graphMetadata(graph: Graph): Metadata {
  const metadata: Metadata = new Map();
  for (const [ref, releases] of Object.entries(graph.streams)) {
    metadata.set(`${STREAM_KEY}.${ref}`, { type: 'as', value: releases.map(({ commit }) => commit) });
    for (const { commit, barrier, rollout } of releases) {
      if (barrier !== undefined) metadata.set(`${BARRIER_KEY}.${commit}`, { type: 'b', value: barrier });
      if (rollout !== undefined) metadata.set(`${ROLLOUT_KEY}.${commit}`, stringVariant(rollout));
    }
  }
  return metadata;
}

/** Throws AtomicError 'invalid' unless clients understand it. */
export function checkRollout(text: string): string {
  parseRollout(text);
  return text;
}

/** The commits of a stream. */
export const commitsOf = (graph: Graph, ref: string): Checksum[] =>
  (graph.streams[ref] ?? []).map(({ commit }) => commit);
