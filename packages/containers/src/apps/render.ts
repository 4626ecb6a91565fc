import { AtomicError } from '@atomic/ostree';
import { GROUP_OF, quadletType } from '../quadlet/unit-names.ts';

/** How a value is written into a line of a file; `group`: the last `[Group]` above it. */
type Written = (value: string, line: string, group: string) => string;

const NAME = /\{\{\{\{|\{\{\s*([a-z][a-z0-9_]*)\s*\}\}|\{\{/g;

/**
 * Replaces `{{ name }}` by the values; `{{{{` stands for two braces. Once, and only what the author wrote: a value is
 * never read as a template. Throws `invalid` with the line for names nobody knows.
 */
export function renderText(text: string, file: string, values: ReadonlyMap<string, string>, written: Written): string {
  let group = '';
  return text
    .split('\n')
    .map((line, index) => {
      group = /^\s*\[([^\]]+)\]\s*$/.exec(line)?.[1] ?? group;
      return line.replaceAll(NAME, (whole, name: string | undefined) => {
        if (whole === '{{{{') return '{{';
        const value = name === undefined ? undefined : values.get(name);
        if (value !== undefined) return written(value, line, group);
        const what = name === undefined ? '{{ without a name and }}' : `no parameter ${name}`;
        throw new AtomicError('invalid', `${file}:${index + 1}: ${what}`, {
          hint:
            name === undefined
              ? 'two braces themselves are written {{{{'
              : `there are ${[...values.keys()].join(', ')}`,
        });
      });
    })
    .join('\n');
}

/** As it is: for configuration, whose syntax is the app's. */
export const asItIs: Written = (value) => value;

/**
 * For unit files: a value stays one value, in quotes or not, and is no specifier, escape or variable of systemd. `$` is a
 * variable only where a line becomes a command, which all keys of a quadlet's own group do.
 */
export function unitEscape(file: string): Written {
  const [name = '', folder = ''] = file.split('/').reverse();
  const type = quadletType(name) ?? quadletType(folder.replace(/\.d$/, ''));
  const own = type === undefined ? undefined : GROUP_OF[type];
  return (value, line, group) => {
    const escaped = value.replaceAll(/["'\\]/g, '\\$&').replaceAll('%', '%%');
    return group === own || /^\s*Exec/.test(line) ? escaped.replaceAll('$', '$$$$') : escaped;
  };
}
