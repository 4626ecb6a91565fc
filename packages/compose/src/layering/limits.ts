import { totalmem } from 'node:os';

/** What the scripts of packages may use together; whoever goes beyond is stopped and named. */
export interface LayerLimits {
  /** Seconds for one script. */
  scriptSeconds: number;
  /** Seconds for all of a command: fetching, installing. */
  seconds: number;
  /** Bytes of memory. */
  memory: number;
  processes: number;
  /** Bytes of the file system that stay free. */
  reserve: number;
  /** Bytes of one file. */
  fileSize: number;
}

const MIB = 1024 * 1024;

export const DEFAULT_LIMITS: Readonly<LayerLimits> = {
  scriptSeconds: 900,
  seconds: 3 * 3600,
  // What remains is for the machine, which goes on working meanwhile.
  memory: Math.max(384 * MIB, Math.floor(totalmem() * 0.6)),
  processes: 1024,
  reserve: 256 * MIB,
  fileSize: 8 * 1024 * MIB,
};
