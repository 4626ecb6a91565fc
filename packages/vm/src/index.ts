export { type BootEntry, extractKernel, partitionRange, readBootEntries } from './boot-entries.ts';
export { type CommandResult, type LoginOptions, SerialConsole, shellQuote, type WaitOptions } from './console.ts';
export { EMULATED_KARGS } from './emulated-kargs.ts';
export {
  type BootKind,
  type DiskFormat,
  diskFormat,
  type ExitReason,
  Machine,
  type MachineArchitecture,
  type MachineOptions,
} from './machine.ts';
export { type Fault, type RepoServer, type ServeOptions, serveRepo } from './serve.ts';
export { type LoggedWrite, readWriteLog, replayWrites } from './write-log.ts';
