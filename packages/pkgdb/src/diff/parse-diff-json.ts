import type { AdvisoryJson } from '../advisory/advisory.ts';
import type { RpmDiffJson } from './diff-json.ts';

const isText = (value: unknown): value is string => typeof value === 'string';
const isNumber = (value: unknown): value is number => typeof value === 'number';
const isPair = (value: unknown): value is [string, string] =>
  Array.isArray(value) && value.length === 2 && value.every(isText);

const isModified = (value: unknown): value is RpmDiffJson['upgraded'][number] =>
  Array.isArray(value) && isNumber(value[0]) && isText(value[1]) && isPair(value[2]) && isPair(value[3]);
const isSingle = (value: unknown): value is RpmDiffJson['added'][number] =>
  Array.isArray(value) && isNumber(value[0]) && value.length === 4 && value.slice(1).every(isText);

const isListOf = <T>(value: unknown, isItem: (item: unknown) => item is T): value is T[] =>
  Array.isArray(value) && value.every(isItem);

/** Reads back what `rpmDiffJson` made; null for anything else. */
export function parseRpmDiff(value: unknown): RpmDiffJson | null {
  if (typeof value !== 'object' || value === null) return null;
  const { upgraded, downgraded, removed, added }: Record<string, unknown> = { ...value };
  if (!isListOf(upgraded, isModified) || !isListOf(downgraded, isModified)) return null;
  if (!isListOf(removed, isSingle) || !isListOf(added, isSingle)) return null;
  return { upgraded, downgraded, removed, added };
}

const isAdvisory = (value: unknown): value is AdvisoryJson => {
  if (!Array.isArray(value)) return false;
  const [id, kind, severity, packages, more]: unknown[] = value;
  if (!isText(id) || !isNumber(kind) || !isNumber(severity) || !isListOf(packages, isText)) return false;
  return typeof more === 'object' && more !== null && 'cve_references' in more && isListOf(more.cve_references, isPair);
};

/** Reads back a list of what `advisoryJson` made; null for anything else. */
export const parseAdvisoryList = (value: unknown): AdvisoryJson[] | null =>
  isListOf(value, isAdvisory) ? value : null;
