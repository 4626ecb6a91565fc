const HEADER = 32;
const FRAME = 24;
const MAGIC = 0x377f0682;
/** Of the database file: which way of journalling it is written and read with. */
const JOURNAL = [18, 19] as const;
const ROLLBACK = 1;

/** The running checksum of a write-ahead log. */
function sum(bytes: Buffer, littleEndian: boolean, [a, b]: [number, number]): [number, number] {
  const word = (at: number): number => (littleEndian ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  let [one, two] = [a, b];
  for (let at = 0; at + 8 <= bytes.length; at += 8) {
    one = (one + word(at) + two) >>> 0;
    two = (two + word(at + 4) + one) >>> 0;
  }
  return [one, two];
}

/**
 * A database with what its write-ahead log holds put in its place, up to the log's last whole transaction, as SQLite does
 * when it opens both (sqlite.org/fileformat2.html, "The Write-Ahead Log"); the result needs no log. A log that belongs
 * to another state of the file changes nothing.
 */
export function withWal(database: Buffer, wal: Buffer | null): Buffer {
  const pages = wal === null ? new Map<number, Buffer>() : committedPages(wal, database.length + wal.length);
  const pageSize = wal === null || pages.size === 0 ? 0 : wal.readUInt32BE(8);
  const highest = Math.max(0, ...pages.keys());
  const whole = Buffer.alloc(Math.max(database.length, highest * pageSize));
  database.copy(whole);
  for (const [page, content] of pages) content.copy(whole, (page - 1) * pageSize);
  for (const at of JOURNAL) if (whole.length > at) whole[at] = ROLLBACK;
  return whole;
}

/** The newest content of each page that a transaction of the log ended; no page lies beyond `end` bytes. */
function committedPages(wal: Buffer, end: number): Map<number, Buffer> {
  const done = new Map<number, Buffer>();
  if (wal.length < HEADER || (wal.readUInt32BE(0) & ~1) >>> 0 !== MAGIC) return done;
  const littleEndian = (wal.readUInt32BE(0) & 1) === 0;
  const pageSize = wal.readUInt32BE(8);
  if (pageSize < 512 || pageSize > 65_536 || (pageSize & (pageSize - 1)) !== 0) return done;
  const salt = wal.subarray(16, 24);
  let running = sum(wal.subarray(0, 24), littleEndian, [0, 0]);
  if (running[0] !== wal.readUInt32BE(24) || running[1] !== wal.readUInt32BE(28)) return done;
  let open = new Map<number, Buffer>();
  for (let at = HEADER; at + FRAME + pageSize <= wal.length; at += FRAME + pageSize) {
    const frame = wal.subarray(at, at + FRAME);
    if (!frame.subarray(8, 16).equals(salt)) break;
    const content = wal.subarray(at + FRAME, at + FRAME + pageSize);
    running = sum(content, littleEndian, sum(frame.subarray(0, 8), littleEndian, running));
    if (running[0] !== frame.readUInt32BE(16) || running[1] !== frame.readUInt32BE(20)) break;
    const page = frame.readUInt32BE(0);
    // A database grows by what is written to it: a page beyond is a lie that would cost memory.
    if (page === 0 || page * pageSize > end) break;
    open.set(page, content);
    if (frame.readUInt32BE(4) !== 0) {
      for (const [number, newest] of open) done.set(number, newest);
      open = new Map();
    }
  }
  return done;
}
