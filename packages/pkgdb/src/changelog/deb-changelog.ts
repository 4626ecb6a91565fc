import { gunzipSync } from 'node:zlib';
import { printable } from '../printable.ts';
import { readFileIn, type TreeView } from '../tree/tree-view.ts';
import type { ChangelogEntry } from './entry.ts';
import { cvesIn } from './entry.ts';

/** An entry of a Debian changelog, which is of a version and goes to a suite. */
export interface DebChangelogEntry extends ChangelogEntry {
  version: string;
}

/** Bytes, packed and unpacked; the kernel's are 3 MB. */
const MAX_CHANGELOG = 64 * 1024 * 1024;

/** `package (version) suites; urgency=…` */
const HEADER = /^[^\s(]+ \(([^()\s]+)\)((?: [^\s;]+)+);/;
/** ` -- maintainer <address>  date` */
const TRAILER = /^ -- (.*?) {2}(.*)$/;

/** The entries of a changelog (deb-changelog(5)), newest first; lines that belong to none are passed over. */
export function* parseDebChangelog(text: string): Generator<DebChangelogEntry> {
  let open: { version: string; suites: string; lines: string[] } | null = null;
  for (const line of printable(text).split('\n')) {
    const header = HEADER.exec(line);
    if (header !== null) {
      open = { version: header[1] ?? '', suites: header[2] ?? '', lines: [] };
      continue;
    }
    if (open === null) continue;
    const trailer = TRAILER.exec(line);
    if (trailer === null) {
      open.lines.push(line.trimEnd());
      continue;
    }
    const { version, suites, lines } = open;
    open = null;
    const body = lines.join('\n').replace(/^\n+|\n+$/g, '');
    const date = Date.parse(trailer[2] ?? '');
    const cves = cvesIn(body);
    yield {
      version,
      date: Number.isNaN(date) ? 0 : Math.floor(date / 1000),
      author: `${trailer[1]} - ${version}`,
      text: body,
      cves,
      // Debian's and Ubuntu's security teams upload to a suite of that name.
      security: cves.length > 0 || /-security\b/.test(suites),
    };
  }
}

/** The changelog a package brought, newest entry first; empty where the tree was made without documentation. */
export function* readDebChangelog(view: TreeView, name: string): Generator<DebChangelogEntry> {
  // A native package has only one, named as others name that of their upstream.
  for (const file of ['changelog.Debian.gz', 'changelog.Debian', 'changelog.gz', 'changelog']) {
    const bytes = readFileIn(view, `usr/share/doc/${name}/${file}`, MAX_CHANGELOG);
    if (bytes === null) continue;
    yield* parseDebChangelog(unpacked(bytes, file).toString('utf8'));
    return;
  }
}

function unpacked(bytes: Buffer, file: string): Buffer {
  if (!file.endsWith('.gz')) return bytes;
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_CHANGELOG });
  } catch {
    // A changelog is for reading only: one that cannot be read is as none.
    return Buffer.alloc(0);
  }
}
