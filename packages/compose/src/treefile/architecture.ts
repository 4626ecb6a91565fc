import { arch } from 'node:os';

/** Debian's name for this machine's architecture. */
export function debianArchitecture(): string {
  const names: Record<string, string> = { x64: 'amd64', arm64: 'arm64' };
  return names[arch()] ?? arch();
}
