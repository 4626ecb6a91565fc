import {
  type DeltaSuperblock,
  type DescribedPart,
  describeParts,
  describeSuperblock,
  formatSize,
} from '@atomic/ostree';
import { deltaArgument } from './static-delta.ts';
import { COMMON, JSON_OPTION, openRepo, REPO, type Verb } from './verb.ts';

function headLines(id: string, delta: DeltaSuperblock): string[] {
  const endianness =
    delta.endianness === null ? 'invalid' : `${delta.endianness}${delta.heuristic ? ' (heuristic)' : ''}`;
  return [
    `Delta: ${id}`,
    `Signed: ${delta.signed ? 'yes' : 'no'}`,
    delta.from === null ? 'From <scratch>' : `From: ${delta.from}`,
    `To: ${delta.to}`,
    `Endianness: ${endianness}`,
    `Timestamp: ${delta.timestamp}`,
    `Number of parents: ${delta.recursion}`,
    `Number of fallback entries: ${delta.fallbacks.length}`,
    ...delta.fallbacks.map(({ checksum }) => `  ${checksum}`),
    ...sizeLines('Fallback', delta.fallbacks),
    `Number of parts: ${delta.parts.length}`,
  ];
}

const total = (items: readonly { size: number; usize: number }[], key: 'size' | 'usize'): number =>
  items.reduce((sum, item) => sum + item[key], 0);

function sizeLines(what: string, items: readonly { size: number; usize: number }[]): string[] {
  const [size, usize] = [total(items, 'size'), total(items, 'usize')];
  const title = what === '' ? 'Total' : `Total ${what}`;
  return [
    `${title} Size: ${size} (${formatSize(size)})`,
    `${title} Uncompressed Size: ${usize} (${formatSize(usize)})`,
  ];
}

function partLines(part: DescribedPart, i: number): string[] {
  const { operations: ops } = part;
  return [
    `PartMeta${i}: nobjects=${part.objects.length} size=${part.size} usize=${part.usize}`,
    `PartPayload${i}: nmodes=${part.modes} nxattrs=${part.xattrs} blobsize=${part.payloadSize} opsize=${part.operationsSize}`,
    `PartPayloadOps${i}: openspliceclose=${ops.openSpliceClose} open=${ops.open} write=${ops.write} setread=${ops.setRead} ` +
      `unsetread=${ops.unsetRead} close=${ops.close} bspatch=${ops.bspatch}`,
  ];
}

export const show: Verb = {
  args: 'DELTA',
  summary: 'Dump information on a delta',
  options: [REPO, ...COMMON, JSON_OPTION],
  examples: ['ostree static-delta show --repo=repo FROM-TO', 'ostree static-delta show --repo=repo ./update.delta'],
  async run(call) {
    const { ctx } = call;
    const repo = openRepo(call);
    const id = deltaArgument(call);
    const delta = describeSuperblock(repo, id);
    if (!ctx.json) for (const line of headLines(id, delta)) ctx.print(line);
    const parts: DescribedPart[] = [];
    for await (const part of describeParts(repo, delta, id)) {
      if (!ctx.json) for (const line of partLines(part, parts.length)) ctx.print(line);
      parts.push(part);
    }
    if (ctx.json) {
      const { from, to, signed, endianness, heuristic, timestamp, fallbacks } = delta;
      ctx.printJson({ from, to, signed, endianness, heuristic, timestamp, fallbacks, parts });
      return;
    }
    for (const line of [...sizeLines('Part', parts), ...sizeLines('', [...parts, ...delta.fallbacks])]) ctx.print(line);
  },
};
