/** A stranger's words (names in signatures, owners of keys) without what would steer a terminal. */
export const oneLine = (text: string): string => text.replace(/[\p{Cc}\p{Cf}]+/gu, '\u{fffd}');
