import { AtomicError } from '@atomic/ostree';
import type { Conversion } from './conversion.ts';
import type { Row } from './rows.ts';

/** What is said where another engine than podman cannot do what a source asks for. */
export interface EngineReasons {
  /** As messages call it. */
  engine: string;
  /** Why not, by key, where that is not plain from its name. */
  reasons: Readonly<Record<string, string>>;
}

/** Ends the conversion of a source that an engine has nothing for. */
export function cannot(why: string): never {
  throw new AtomicError('unsupported', why);
}

/**
 * Refuses a source that says what an engine cannot do: nothing is dropped in silence. Keys that only take some values are
 * checked by `limits`, which returns why not.
 */
export function requireHonoured(
  { engine, reasons }: EngineReasons,
  { source, group }: Conversion,
  keys: ReadonlySet<string>,
  limits: Readonly<Record<string, (value: string) => string | undefined>> = {},
): void {
  const refused = new Map<string, string>();
  for (const { key, value } of source.entries(group)) {
    if (value === '') continue;
    if (!keys.has(key)) refused.set(key, reasons[key] ?? `${engine} has nothing like it`);
    const why = limits[key]?.(value.trimEnd());
    if (why !== undefined) refused.set(key, why);
  }
  if (refused.size === 0) return;
  const list = [...refused].map(([key, why]) => `${key}= (${why})`).join(', ');
  cannot(`${engine} cannot honour ${list}`);
}

/** The keys of rows. */
export const keysOf = (...rows: readonly (readonly Row[])[]): string[] => rows.flat().map(({ key }) => key);
