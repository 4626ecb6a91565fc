export { byteswap } from './byteswap.ts';
export { decode } from './decode.ts';
export { hashTableOrder, inHashTableOrder } from './dict-order.ts';
export { encode } from './encode.ts';
export { type Json, variantToJson } from './json.ts';
export { parseVariantText } from './parse-text.ts';
export { print } from './text.ts';
export * from './value.ts';
export * from './vardict.ts';
