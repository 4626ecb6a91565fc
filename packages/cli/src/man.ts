import type { CommandModel } from './completion.ts';
import { VERSION } from './version.ts';

const roff = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/gm, '\\&$1');

function page(name: string, model: CommandModel, usage: string): string {
  const lines = [
    `.TH ${name.toUpperCase().replaceAll(' ', '\\-')} 1 "" "atomic ${VERSION}" "Atomic"`,
    '.SH NAME',
    `${roff(name.replaceAll(' ', '-'))} \\- ${roff(model.summary)}`,
    '.SH SYNOPSIS',
    `.B ${roff(usage)}`,
  ];
  if (model.commands.length > 0) {
    lines.push('.SH COMMANDS');
    for (const child of model.commands) {
      lines.push(
        '.TP',
        `.B ${roff(child.name)}`,
        `${roff(child.summary)}; see ${roff(`${name} ${child.name}`.replaceAll(' ', '-'))}(1)`,
      );
    }
  }
  if (model.options.length > 0) {
    lines.push('.SH OPTIONS');
    for (const option of model.options) {
      const value = option.takesValue ? '=VALUE' : '';
      lines.push('.TP', `.B ${roff(option.flags.join(', '))}${value}`, roff(option.summary));
    }
  }
  if (model.examples !== undefined && model.examples !== '') {
    lines.push('.SH EXAMPLES', '.nf', roff(model.examples.trimEnd()), '.fi');
  }
  return `${lines.join('\n')}\n`;
}

/** The manual pages of a program, one a command: file name → roff text (man(7)). */
export function manualPages(model: CommandModel, path: string[] = []): Map<string, string> {
  const here = [...path, model.name];
  const name = here.join(' ');
  const usage = `${name} [OPTION...]${model.commands.length > 0 ? ' COMMAND' : ' [ARGUMENT...]'}`;
  const pages = new Map([[`${here.join('-')}.1`, page(name, model, usage)]]);
  for (const child of model.commands) for (const [file, text] of manualPages(child, here)) pages.set(file, text);
  return pages;
}
