/** One entry of a package's changelog. */
export interface ChangelogEntry {
  /** Unix seconds; 0 when it does not say. */
  date: number;
  /** Who, and mostly of which version: `Name <address> - version`. */
  author: string;
  text: string;
  /** Whether it says that it mends something an attacker could use. */
  security: boolean;
  cves: string[];
}

/** The CVE numbers that a text names, each once. */
export const cvesIn = (text: string): string[] => [...new Set(text.match(/\bCVE-\d{4}-\d{4,}\b/g))];
