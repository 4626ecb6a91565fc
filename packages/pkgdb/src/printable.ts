const CONTROL = /[\0-\x08\x0b-\x1f\x7f-\x9f]/g;

/** Text of packages as a terminal may show it: control characters, but for line feeds and tabs, are replaced. */
export const printable = (text: string): string => text.replace(CONTROL, '\ufffd');
