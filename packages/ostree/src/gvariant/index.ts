export { decode } from './decode.ts';
export { encode } from './encode.ts';
export { parseVariantText } from './parse-text.ts';
export { print } from './text.ts';
export * from './value.ts';
export * from './vardict.ts';
