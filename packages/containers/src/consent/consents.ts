import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { AtomicError } from '@atomic/ostree';
import { z } from 'zod';
import { OutcomeError } from '../outcome.ts';
import type { Risk } from './risk.ts';

const consent = z.object({
  /** Of the image's configuration: a changed image is another one. */
  digest: z.string(),
  image: z.string(),
  risks: z.array(z.string()),
  /** ISO 8601. */
  when: z.string(),
});
const file = z.object({ version: z.literal(1), consents: z.array(consent) });
export type Consent = z.output<typeof consent>;

/** Who was asked before, and agreed. */
export class Consents {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  list(): Consent[] {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
      throw error;
    }
    try {
      return file.parse(JSON.parse(text)).consents;
    } catch (cause) {
      throw new AtomicError('corrupt', `the record of consents ${this.#path} is malformed`, {
        hint: 'remove it, and you are asked again',
        cause,
      });
    }
  }

  /** Whether every grave one of the risks was agreed to for this very image. */
  covers(digest: string, risks: readonly Risk[]): boolean {
    const agreed = new Set(this.list().flatMap((one) => (one.digest === digest ? one.risks : [])));
    return digest !== '' && risks.every(({ weight, id }) => weight !== 'grave' || agreed.has(id));
  }

  remember(digest: string, image: string, risks: readonly Risk[]): void {
    if (digest === '') return;
    const grave = risks.filter(({ weight }) => weight === 'grave').map(({ id }) => id);
    const all = this.list();
    const before = all.filter((one) => one.digest === digest).flatMap((one) => one.risks);
    const entry = { digest, image, risks: [...new Set([...before, ...grave])].sort(), when: new Date().toISOString() };
    this.#write([...all.filter((one) => one.digest !== digest), entry]);
  }

  /** Drops what was agreed to for an image, by digest or name; whether there was any. */
  forget(imageOrDigest: string): boolean {
    const all = this.list();
    const left = all.filter((one) => one.image !== imageOrDigest && one.digest !== imageOrDigest);
    if (left.length < all.length) this.#write(left);
    return left.length < all.length;
  }

  #write(consents: Consent[]): void {
    mkdirSync(dirname(this.#path), { recursive: true });
    const aside = `${this.#path}.${process.pid}`;
    writeFileSync(aside, `${JSON.stringify({ version: 1, consents }, null, 2)}\n`, { mode: 0o600, flush: true });
    renameSync(aside, this.#path);
  }
}

/** How somebody is asked; undefined: there is nobody. */
export type Ask = ((text: string) => Promise<boolean>) | undefined;

export interface ConsentRequest {
  /** What wants it: `atomic run web`. */
  what: string;
  image: string;
  /** Of the image's configuration. */
  digest: string;
  risks: readonly Risk[];
  /** `--yes`. */
  yes: boolean;
  ask: Ask;
  consents: Consents;
}

/** The risks in words, the grave ones first. */
export const riskLines = (risks: readonly Risk[]): string[] =>
  [...risks]
    .sort((a, b) => a.weight.localeCompare(b.weight))
    .map(({ weight, text }) => `  ${weight === 'grave' ? '!' : '-'} ${text}`);

/**
 * Lets through what asks for nothing grave, was agreed to before, or is agreed to now. Throws the outcome `refused`
 * otherwise, and when there is nobody to ask.
 */
export async function requireConsent(request: ConsentRequest): Promise<void> {
  const { what, image, digest, risks, yes, ask, consents } = request;
  if (yes || !risks.some(({ weight }) => weight === 'grave') || consents.covers(digest, risks)) return;
  const told = [`${image} wants more of this machine than containers get:`, ...riskLines(risks)].join('\n');
  if (ask === undefined) {
    throw new OutcomeError('refused', `${told}\nNobody is here to agree to that`, {
      hint: `agree once on a terminal, or with --yes: ${what}`,
    });
  }
  if (!(await ask(`${told}\nLet it?`))) throw new OutcomeError('refused', `${what}: not done`);
  consents.remember(digest, image, risks);
}
