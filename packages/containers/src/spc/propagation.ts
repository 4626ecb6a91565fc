import { readFileSync } from 'node:fs';

/** `:rslave` where mounts that come later can be seen through a bind mount of the folder: what holds it is shared. */
export function slaveSuffix(folder: string, mountinfo = readFileSync('/proc/self/mountinfo', 'utf8')): string {
  let best: { point: string; shared: boolean } | undefined;
  for (const line of mountinfo.split('\n')) {
    // proc(5): the fifth field is the mount point, octal escapes for blanks; optional fields end with a dash.
    const [before = ''] = line.split(' - ');
    const fields = before.split(' ');
    const point = (fields[4] ?? '').replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    if (point === '') continue;
    const holds = point === '/' || folder === point || folder.startsWith(`${point}/`);
    const shared = fields.slice(6).some((field) => /^(?:shared|master):/.test(field));
    if (holds && (best === undefined || point.length >= best.point.length)) best = { point, shared };
  }
  return best?.shared === true ? ':rslave' : '';
}
